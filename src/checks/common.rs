//! What several checks do with rows, names and columns, and the sentences made of them.

use std::fmt::Write as _;

use super::{Finding, Live, Severity};
use crate::facts::server::{Contents, Database, Found, ServerFacts};
use crate::facts::target::VolumeFacts;
use crate::postgres::query::Query;
use crate::postgres::quote;
use crate::postgres::version::{MajorVersion, ServerVersion};

/// A row of a section.
pub(super) type Row = serde_json::Map<String, serde_json::Value>;

/// A finding that says that something was not read, so nothing can be said about it.
pub(super) fn unknown(what: &str, server: &ServerFacts) -> Finding {
    let said = server
        .complaints
        .first()
        .map(|line| format!(" (the server said: {line})"))
        .unwrap_or_default();
    Finding::blocker(format!("{what} could not be read{said}"))
}

/// Databases that were read, with what is inside.
pub(super) fn read_databases(server: &ServerFacts) -> impl Iterator<Item = (&Database, &Contents)> {
    server
        .databases
        .iter()
        .filter_map(|database| Some((database, database.contents.as_ref()?)))
}

/// The rows of a section of every database that was read, or the finding that some database did not answer it.
///
/// `query` decides whether the server was asked at all.
pub(super) fn rows_of_databases<'a>(
    server: &'a ServerFacts,
    query: &Query,
) -> Result<Vec<(&'a Database, &'a Found)>, Vec<Finding>> {
    if !query.applies(server.version.major) {
        return Ok(Vec::new());
    }
    let mut rows = Vec::new();
    let mut missing = Vec::new();
    for (database, contents) in read_databases(server) {
        match contents.found.get(query.section) {
            Some(found) if found.count > 0 => rows.push((database, found)),
            Some(_) => {}
            None => missing.push(name(&database.name)),
        }
    }
    if missing.is_empty() {
        Ok(rows)
    } else {
        Err(vec![
            unknown(
                &format!(
                    "section {:?} of {}",
                    query.section,
                    numbered(missing.len(), "database")
                ),
                server,
            )
            .objects(missing),
        ])
    }
}

/// The rows of a section that is asked once, or the finding that it was not read.
pub(super) fn server_rows<'a>(
    server: &'a ServerFacts,
    query: &Query,
) -> Result<&'a [Row], Vec<Finding>> {
    if !query.applies(server.version.major) {
        return Ok(&[]);
    }
    let found = server.found.get(query.section).ok_or_else(|| {
        vec![unknown(
            &format!("section {:?} of the server", query.section),
            server,
        )]
    })?;
    Ok(&found.rows)
}

/// Indexes on text that a provider of collations decides about: how many, and the databases they are in with the number in each.
/// `provider` is the letter in `collprovider`, `own` tells a database whose default collation is the provider's. What could
/// not be read is a finding.
pub(super) fn collated_indexes(
    server: &ServerFacts,
    provider: &str,
    own: impl Fn(&Database) -> bool,
) -> (u64, Vec<String>, Vec<Finding>) {
    let (mut indexes, mut objects, mut unread) = (0, Vec::new(), Vec::new());
    for (database, contents) in read_databases(server) {
        let Some(by_provider) = &contents.collated_indexes else {
            unread.push(unknown(
                &format!("the collations of database {}", name(&database.name)),
                server,
            ));
            continue;
        };
        let of = |letter: &str| by_provider.get(letter).copied().unwrap_or(0);
        let count = of(provider) + if own(database) { of("d") } else { 0 };
        if count > 0 {
            indexes += count;
            objects.push(format!("{} ({count})", name(&database.name)));
        }
    }
    (indexes, objects, unread)
}

/// A text column of a row; empty when it is NULL or missing.
pub(super) fn text<'a>(row: &'a Row, column: &str) -> &'a str {
    row.get(column)
        .and_then(serde_json::Value::as_str)
        .unwrap_or_default()
}

/// A name as people write it: bare where SQL takes it bare, else in double quotes.
pub(super) fn name(name: &str) -> String {
    let bare = name.starts_with(|c: char| c.is_ascii_lowercase() || c == '_')
        && name
            .chars()
            .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_');
    if bare {
        name.to_owned()
    } else {
        quote::identifier(name).replace('\n', "\\n")
    }
}

/// Names joined by dots.
pub(super) fn dotted(names: &[&str]) -> String {
    names
        .iter()
        .map(|part| name(part))
        .collect::<Vec<_>>()
        .join(".")
}

/// `1 database`, `3 databases`.
pub(super) fn numbered(count: usize, noun: &str) -> String {
    match (count, noun.strip_suffix('y')) {
        (1, _) => format!("1 {noun}"),
        (_, Some(stem)) => format!("{count} {stem}ies"),
        _ if noun.ends_with('x') => format!("{count} {noun}es"),
        _ => format!("{count} {noun}s"),
    }
}

/// Statements for the first objects, ready to paste; the rest is counted.
pub(super) fn statements(all: &[String]) -> String {
    const SHOWN: usize = 10;
    let mut text = all
        .iter()
        .take(SHOWN)
        .cloned()
        .collect::<Vec<_>>()
        .join("; ");
    if all.len() > SHOWN {
        let _ = write!(text, "; and {} more like these", all.len() - SHOWN);
    }
    text
}

/// A statement with the database that it belongs into.
pub(super) fn in_database(database: &str, statement: &str) -> String {
    format!("in {}: {statement}", name(database))
}

/// The newest version of a major that is known, for the time in which the image was not looked into.
pub(super) fn newest(major: MajorVersion) -> ServerVersion {
    major.known().map_or(
        ServerVersion { major, minor: 0 },
        crate::postgres::version::KnownMajor::newest,
    )
}

/// The new server's version: the image's own, else the newest known.
pub(super) fn to_version(live: &Live<'_>) -> ServerVersion {
    live.input
        .target
        .as_ref()
        .map_or_else(|| newest(live.to), |target| target.version)
}

/// Columns of one of the types, of every database, from the section `data-types`.
fn columns_of_types(server: &ServerFacts, types: &[&str]) -> Result<Vec<Column>, Vec<Finding>> {
    let query = crate::postgres::query::DATA_TYPES;
    let mut columns = Vec::new();
    for (database, found) in rows_of_databases(server, &query)? {
        for row in &found.rows {
            if types.contains(&text(row, "type")) {
                columns.push(Column {
                    database: database.name.clone(),
                    schema: text(row, "schema").to_owned(),
                    relation: text(row, "relation").to_owned(),
                    name: text(row, "column").to_owned(),
                    base: text(row, "type").to_owned(),
                    kind: text(row, "kind").to_owned(),
                });
            }
        }
    }
    // What is made of a table's columns goes before they change.
    columns.sort_by_key(|column| column.kind == "r");
    Ok(columns)
}

/// A column whose stored form is the problem.
struct Column {
    database: String,
    schema: String,
    relation: String,
    name: String,
    base: String,
    kind: String,
}

impl Column {
    fn shown(&self) -> String {
        dotted(&[&self.database, &self.schema, &self.relation, &self.name])
    }

    fn statement(&self, action: &str) -> String {
        let relation = dotted(&[&self.schema, &self.relation]);
        let mend = match self.kind.as_str() {
            "i" => format!("DROP INDEX {relation}"),
            "m" => format!("DROP MATERIALIZED VIEW {relation}"),
            _ => format!(
                "ALTER TABLE {relation} ALTER COLUMN {} {action}",
                name(&self.name)
            ),
        };
        in_database(&self.database, &mend)
    }
}

/// The finding about columns of types that cannot be taken over; none when there are no such columns.
pub(super) fn columns_finding(
    server: &ServerFacts,
    types: &[&str],
    what: &str,
    action: &str,
) -> Vec<Finding> {
    let columns = match columns_of_types(server, types) {
        Err(unknown) => return unknown,
        Ok(columns) if columns.is_empty() => return Vec::new(),
        Ok(columns) => columns,
    };
    let mut types: Vec<&str> = columns.iter().map(|column| column.base.as_str()).collect();
    types.sort_unstable();
    types.dedup();
    let types = if types == ["system-composite"] {
        String::new()
    } else {
        format!(" ({})", types.join(", "))
    };
    let mut fixes: Vec<String> = columns
        .iter()
        .map(|column| column.statement(action))
        .collect();
    // An index or a materialized view with several such columns goes once.
    fixes.dedup();
    vec![
        Finding::blocker(format!(
            "{} {what}{types}",
            numbered(columns.len(), "column")
        ))
        .objects(columns.iter().map(Column::shown))
        .fix(statements(&fixes)),
    ]
}

/// One finding about all rows of a section: how many there are, what they are called, and a statement for each.
///
/// `noun` and `what` make the sentence, as in `3 tables` and `made WITH OIDS`; `shown` gives the object's name and the statement of a row, which is for the database that is given.
pub(super) fn rows_finding(
    server: &ServerFacts,
    query: &Query,
    severity: Severity,
    (noun, what): (&str, &str),
    shown: impl Fn(&str, &Row) -> (String, String),
) -> Vec<Finding> {
    let found = match rows_of_databases(server, query) {
        Err(unknown) => return unknown,
        Ok(found) => found,
    };
    let count: u64 = found.iter().map(|(_, found)| found.count).sum();
    if count == 0 {
        return Vec::new();
    }
    let (objects, fixes): (Vec<String>, Vec<String>) = found
        .iter()
        .flat_map(|(database, found)| found.rows.iter().map(move |row| (database, row)))
        .map(|(database, row)| {
            let (object, statement) = shown(&database.name, row);
            (object, in_database(&database.name, &statement))
        })
        .unzip();
    let count = numbered(usize::try_from(count).unwrap_or(usize::MAX), noun);
    vec![
        Finding::new(severity, format!("{count} {what}"))
            .objects(objects)
            .fix(statements(&fixes)),
    ]
}

/// For [`rows_finding`], where each row is a relation that a statement of its name mends.
pub(super) fn each_relation(
    statement: impl Fn(&str) -> String,
) -> impl Fn(&str, &Row) -> (String, String) {
    move |database, row| {
        let (schema, relation) = (text(row, "schema"), text(row, "relation"));
        (
            dotted(&[database, schema, relation]),
            statement(&dotted(&[schema, relation])),
        )
    }
}

/// The volume as the probe pod saw it.
pub(super) fn probed_volume<'a>(live: &Live<'a>) -> Option<&'a VolumeFacts> {
    live.input.target.as_ref()?.volume.as_ref()
}
