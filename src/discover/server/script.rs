//! The script that asks the server, put together from the statements.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use crate::checks;
use crate::discover::queries;
use crate::postgres::query::{Query, Scope};
use crate::postgres::version::{MajorVersion, ServerVersion};

const SQL_SH: &str = include_str!("../../scripts/sql.sh");
const GATHER_SH: &str = include_str!("../../scripts/gather.sh");

/// Begins the statement that decides which statements with a gate a database is asked; its rows are statements, which psql runs.
const GATES: &str = "WITH g(section, asked, statement) AS (VALUES ('database-end', false, '')";

/// The last of them gives the sections of those that are not asked, as empty as they would be, and the end of the database.
const GATES_END: &str = r")
SELECT statement FROM g WHERE asked UNION ALL
SELECT 'SELECT jsonb_build_object(''section'', s, ''database'', current_database(), ''count'', 0, ''rows'', ''[]''::jsonb) FROM unnest('
 || quote_literal(array_agg(section)) || '::text[]) s' FROM g WHERE asked IS NOT TRUE
\gexec";

/// The shell script that gathers the facts, complete: `sh` runs it in the server's container.
pub fn script() -> String {
    let queries: Vec<&Query> = queries::ALL
        .iter()
        .chain(checks::ALL.iter().flat_map(|check| check.queries))
        .collect();
    let of = |scope: Scope, gated: bool| {
        queries
            .iter()
            .copied()
            .filter(move |query| query.scope == scope && query.gate.is_some() == gated)
    };
    let mut script = format!("{SQL_SH}server_queries() {{\n");
    add_texts(&mut script, of(Scope::Server, false), Query::statement);
    script.push_str("}\ndatabase_queries() {\n");
    add_texts(&mut script, of(Scope::Database, false), Query::statement);
    add_text(&mut script, GATES);
    add_texts(&mut script, of(Scope::Database, true), gate);
    add_text(&mut script, GATES_END);
    script.push_str("}\n");
    script.push_str(GATHER_SH);
    script
}

/// A row of [`GATES`].
fn gate(query: &Query) -> String {
    format!(
        ", ('{}', {}, $pgup${}$pgup$)",
        query.section,
        query.gate.unwrap_or("true"),
        query.statement()
    )
}

/// Shell that prints the text.
fn add_text(script: &mut String, text: &str) {
    let _ = writeln!(script, "cat <<'PGUP_SQL'\n{text}\nPGUP_SQL");
}

/// Shell that prints a text for each query that suits the server's version.
///
/// Queries with the same versions share one `cat`: processes cost more than queries.
fn add_texts<'a>(
    script: &mut String,
    queries: impl Iterator<Item = &'a Query>,
    text: impl Fn(&Query) -> String,
) {
    let mut groups: BTreeMap<(MajorVersion, MajorVersion), Vec<String>> = BTreeMap::new();
    for query in queries {
        groups
            .entry((query.since, query.until))
            .or_default()
            .push(text(query));
    }
    for ((since, until), texts) in groups {
        let mut tests = Vec::new();
        if since > MajorVersion::OLDEST_SOURCE {
            tests.push(format!("[ \"$PGUP_VERSION\" -ge {} ]", version_num(since)));
        }
        if until < MajorVersion::NEWEST {
            let until = version_num(until);
            let next = if until >= 100_000 {
                until + 10_000
            } else {
                until + 100
            };
            tests.push(format!("[ \"$PGUP_VERSION\" -lt {next} ]"));
        }
        if tests.is_empty() {
            add_text(script, &texts.join("\n"));
        } else {
            let _ = writeln!(script, "if {}; then", tests.join(" && "));
            add_text(script, &texts.join("\n"));
            script.push_str("fi\n");
        }
    }
}

fn version_num(major: MajorVersion) -> u32 {
    ServerVersion { major, minor: 0 }.num()
}
