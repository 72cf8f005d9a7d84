//! From the lines that the script prints to facts.

use std::collections::BTreeMap;

use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use super::ParseError;
use crate::checks;
use crate::discover::queries;
use crate::facts::container::Container;
use crate::facts::server::{
    Contents, Control, Database, FileSetting, Found, LocaleProvider, ServerFacts,
};
use crate::postgres::query::Scope;
use crate::postgres::version::{MajorVersion, ServerVersion};

/// Turns the script's stdout into facts. `complaints` is its stderr.
pub fn parse(stdout: &str, complaints: &str) -> Result<ServerFacts, ParseError> {
    let complaints: Vec<String> = complaints
        .lines()
        // Warnings at each login, such as those about collation versions, explain nothing that is missing.
        .filter(|line| {
            line.contains("ERROR:") || line.contains("FATAL:") || line.contains("error:")
        })
        .map(str::to_owned)
        .collect();
    let lines = complete_lines(stdout, &complaints)?;
    let mut sections = Sections::default();
    for line in lines {
        sections.add(line)?;
    }
    sections.into_facts(complaints)
}

/// Checks the sentinel: the last line is the number of lines before it, and the one before is `end`.
fn complete_lines<'a>(stdout: &'a str, complaints: &[String]) -> Result<Vec<&'a str>, ParseError> {
    let mut lines: Vec<&str> = stdout.lines().collect();
    if let Some(refused) = lines.iter().find_map(|line| {
        let value: Map<String, Value> = serde_json::from_str(line).ok()?;
        (value.get("section")?.as_str()? == "refused").then_some(value)
    }) {
        let text = |key: &str| {
            refused
                .get(key)
                .and_then(Value::as_str)
                .unwrap_or_default()
                .to_owned()
        };
        return Err(ParseError::Refused {
            reason: text("reason"),
            detail: text("detail"),
        });
    }
    let said = complaints
        .last()
        .map(|line| format!("; it said: {line}"))
        .unwrap_or_default();
    let count = lines
        .pop()
        .and_then(|line| line.trim().parse::<usize>().ok())
        .ok_or_else(|| ParseError::Cut(format!("no line count at its end{said}")))?;
    if count != lines.len() {
        return Err(ParseError::Cut(format!(
            "{} of {count} lines{said}",
            lines.len()
        )));
    }
    match lines.pop() {
        Some(r#"{"section":"end"}"#) => Ok(lines),
        _ => Err(ParseError::Cut(format!("psql ended early{said}"))),
    }
}

#[derive(Default)]
struct Sections {
    server: BTreeMap<String, Found>,
    databases: BTreeMap<String, BTreeMap<String, Found>>,
    container: Option<Container>,
}

#[derive(serde::Deserialize)]
struct Section {
    #[serde(rename = "section")]
    name: String,
    database: String,
    count: u64,
    rows: Vec<Map<String, Value>>,
}

impl Sections {
    fn add(&mut self, line: &str) -> Result<(), ParseError> {
        let bad = |_| ParseError::Line(line.chars().take(200).collect());
        let value: Value = serde_json::from_str(line).map_err(bad)?;
        if value.get("section").and_then(Value::as_str) == Some("container") {
            self.container = Some(serde_json::from_value(camel_case(value)).map_err(bad)?);
            return Ok(());
        }
        let section: Section = serde_json::from_value(value).map_err(bad)?;
        let found = Found {
            count: section.count,
            rows: section.rows,
        };
        let once = queries::ALL
            .iter()
            .chain(checks::ALL.iter().flat_map(|check| check.queries))
            .any(|query| query.section == section.name && query.scope == Scope::Server);
        let repeated = if once {
            self.server.insert(section.name, found)
        } else {
            self.databases
                .entry(section.database)
                .or_default()
                .insert(section.name, found)
        };
        match repeated {
            None => Ok(()),
            Some(_) => Err(ParseError::Line(format!(
                "a section came twice: {}",
                line.chars().take(80).collect::<String>()
            ))),
        }
    }

    #[expect(
        clippy::too_many_lines,
        reason = "one struct is filled from one answer"
    )]
    fn into_facts(mut self, complaints: Vec<String>) -> Result<ServerFacts, ParseError> {
        let why = || {
            complaints
                .first()
                .cloned()
                .unwrap_or_else(|| "no reason given".to_owned())
        };
        let missing = |section: &str| ParseError::Missing {
            section: section.to_owned(),
            why: why(),
        };
        let container = self
            .container
            .take()
            .ok_or_else(|| ParseError::Cut(format!("psql ended early: {}", why())))?;
        let server: ServerRow = self
            .server
            .remove("server")
            .and_then(|found| found.rows.into_iter().next())
            .and_then(|row| serde_json::from_value(Value::Object(row)).ok())
            .ok_or_else(|| missing("version and control data"))?;
        let version =
            ServerVersion::from_num(server.version_num).ok_or_else(|| missing("version"))?;
        let settings = self
            .server
            .remove("settings")
            .and_then(rows)
            .ok_or_else(|| missing("settings"))?;
        let rows_of_databases: Vec<DatabaseRow> = self
            .server
            .remove("databases")
            .and_then(rows)
            .ok_or_else(|| missing("databases"))?;
        let actual: BTreeMap<u32, Option<String>> = self
            .server
            .remove("collation-versions")
            .and_then(rows::<CollationVersionRow>)
            .unwrap_or_default()
            .into_iter()
            .map(|row| (row.oid, row.version))
            .collect();
        let directories = container.directories.clone().unwrap_or_default();
        let databases = rows_of_databases
            .into_iter()
            .map(|row| {
                let contents = self
                    .databases
                    .remove(&row.name)
                    .filter(|sections| sections.contains_key(queries::END))
                    .map(contents);
                let oid = row.oid;
                Some(Database {
                    oid,
                    name: row.name,
                    encoding: row.encoding,
                    provider: LocaleProvider::from_code(&row.provider)?,
                    collate: row.collate.unwrap_or_default(),
                    ctype: row.ctype.unwrap_or_default(),
                    locale: row.locale,
                    icu_rules: row.icu_rules,
                    collation_version: row.collation_version,
                    actual_collation_version: actual.get(&oid).cloned().flatten(),
                    allows_connections: row.allows_connections,
                    connection_limit: row.connection_limit,
                    template: row.template,
                    tablespace: row.tablespace,
                    frozen_age: row.frozen_age,
                    kib: directories.get(&format!("base/{oid}")).copied(),
                    contents,
                })
            })
            .collect::<Option<Vec<_>>>()
            .ok_or_else(|| missing("locale providers"))?;
        let setting = |name: &str| {
            server
                .settings
                .get(name)
                .cloned()
                .flatten()
                .unwrap_or_default()
        };
        let number = |name: &str| setting(name).parse().unwrap_or_default();
        Ok(ServerFacts {
            version,
            version_text: server.version_text.clone(),
            install_user: server.install_user.clone(),
            connected_as: server.connected_as.clone(),
            data_directory: setting("data_directory"),
            config_file: setting("config_file"),
            hba_file: setting("hba_file"),
            ident_file: setting("ident_file"),
            socket_directories: setting("unix_socket_directories"),
            port: setting("port").parse().map_err(|_| missing("port"))?,
            block_size: setting("block_size")
                .parse()
                .map_err(|_| missing("block size"))?,
            group_access: setting("data_directory_mode").ends_with("750"),
            shared_preload: libraries(&setting("shared_preload_libraries")),
            session_preload: [
                libraries(&setting("session_preload_libraries")),
                libraries(&setting("local_preload_libraries")),
            ]
            .concat(),
            wal_level: setting("wal_level"),
            max_replication_slots: number("max_replication_slots"),
            max_connections: number("max_connections"),
            in_recovery: server.in_recovery,
            roles: server.roles,
            control: control(&server).ok_or_else(|| missing("control data"))?,
            container,
            settings,
            file_settings: self
                .server
                .remove("file-settings")
                .and_then(rows::<FileSetting>),
            role_settings: self.server.remove("role-settings").and_then(rows),
            databases,
            prepared: self.server.remove("prepared").and_then(rows),
            slots: self.server.remove("slots").and_then(rows).map(
                |mut slots: Vec<crate::facts::server::Slot>| {
                    slots.retain(|slot| !slot.temporary);
                    slots
                },
            ),
            subscriptions: if version.major < MajorVersion::new(10) {
                Some(Vec::new())
            } else {
                self.server.remove("subscriptions").and_then(rows)
            },
            tablespaces: self.server.remove("tablespaces").and_then(rows),
            standbys: self.server.remove("standbys").and_then(rows),
            sessions: self.server.remove("sessions").and_then(rows),
            found: self.server,
            complaints,
        })
    }
}

fn contents(mut sections: BTreeMap<String, Found>) -> Contents {
    sections.remove(queries::END);
    Contents {
        relations: sections
            .remove("relations")
            .and_then(rows)
            .and_then(|rows: Vec<crate::facts::server::Relations>| rows.into_iter().next()),
        extensions: sections.remove("extensions").and_then(rows),
        libraries: sections.remove("libraries").and_then(rows),
        function_settings: sections.remove("function-settings").and_then(rows),
        collated_indexes: sections
            .remove("collated-indexes")
            .and_then(rows::<CollatedRow>)
            .map(|rows| {
                rows.into_iter()
                    .map(|row| (row.provider, row.indexes))
                    .collect()
            }),
        found: sections,
    }
}

/// Names in a comma-separated list such as `shared_preload_libraries`, quotes and `$libdir/` removed.
pub(super) fn libraries(list: &str) -> Vec<String> {
    list.split(',')
        .map(|name| name.trim().trim_matches('"').trim())
        .map(|name| name.strip_prefix("$libdir/").unwrap_or(name))
        .map(|name| name.strip_suffix(".so").unwrap_or(name))
        .filter(|name| !name.is_empty())
        .map(str::to_owned)
        .collect()
}

fn rows<T: DeserializeOwned>(found: Found) -> Option<Vec<T>> {
    found
        .rows
        .into_iter()
        .map(|row| serde_json::from_value(camel_case(Value::Object(row))).ok())
        .collect()
}

/// Names in SQL and shell to the names of our fields.
pub(crate) fn camel_case(value: Value) -> Value {
    let Value::Object(row) = value else {
        return value;
    };
    row.into_iter()
        .map(|(key, value)| {
            let mut up = false;
            let key = key
                .chars()
                .fold(String::with_capacity(key.len()), |mut name, c| {
                    if c == '_' {
                        up = true;
                    } else if std::mem::take(&mut up) {
                        name.push(c.to_ascii_uppercase());
                    } else {
                        name.push(c);
                    }
                    name
                });
            (key, value)
        })
        .collect()
}

#[derive(serde::Deserialize)]
struct ServerRow {
    version_num: u32,
    version_text: String,
    install_user: crate::facts::server::Role,
    connected_as: crate::facts::server::Role,
    settings: BTreeMap<String, Option<String>>,
    in_recovery: bool,
    roles: u64,
    control_init: Map<String, Value>,
    control_system: Map<String, Value>,
    control_checkpoint: Map<String, Value>,
}

#[derive(serde::Deserialize)]
#[serde(rename_all = "camelCase")]
struct DatabaseRow {
    oid: u32,
    name: String,
    encoding: String,
    provider: String,
    collate: Option<String>,
    ctype: Option<String>,
    locale: Option<String>,
    icu_rules: Option<String>,
    collation_version: Option<String>,
    allows_connections: bool,
    connection_limit: i64,
    template: bool,
    tablespace: String,
    frozen_age: i64,
}

#[derive(serde::Deserialize)]
struct CollationVersionRow {
    oid: u32,
    version: Option<String>,
}

#[derive(serde::Deserialize)]
struct CollatedRow {
    provider: String,
    indexes: u64,
}

fn control(server: &ServerRow) -> Option<Control> {
    let number = |part: &Map<String, Value>, key: &str| part.get(key).and_then(Value::as_u64);
    let init = &server.control_init;
    let system = &server.control_system;
    let checkpoint = &server.control_checkpoint;
    Some(Control {
        system_identifier: system.get("system_identifier")?.as_i64()?.to_string(),
        catalog_version: number(system, "catalog_version_no")?,
        control_version: number(system, "pg_control_version")?,
        checksums: number(init, "data_page_checksum_version")? > 0,
        wal_segment_bytes: number(init, "bytes_per_wal_segment")?,
        blocks_per_segment: number(init, "blocks_per_segment")
            .or_else(|| number(init, "database_blocks_per_segment"))
            .unwrap_or_default(),
        timeline: number(checkpoint, "timeline_id")?,
        redo: checkpoint
            .get("redo_lsn")
            .and_then(Value::as_str)
            .unwrap_or_default()
            .to_owned(),
        char_signed: init.get("default_char_signedness").and_then(Value::as_bool),
    })
}
