//! The schema of the running server, without data, as `pg_dump` in its own container writes it.
//!
//! The dump is made where the server is, over the local connection that everything else is read through: it needs no password,
//! no `pg_hba.conf` entry and no open network policy, and no `pg_dump` but the one that comes with the server. Another version's
//! output may not suit the new server, so the probe pod makes it with the old programs first and lets the new `pg_dump` read it
//! from there (`src/scripts/schema.sh`).

use std::fmt::Write as _;
use std::time::Duration;

use super::sql;
use crate::facts::server::{Database, ServerFacts};
use crate::facts::target::SchemaPart;
use crate::k8s::K8s;
use crate::k8s::exec::{ExecError, OUTPUT_LIMIT};
use crate::postgres::quote;

const DUMP: &str = concat!(
    include_str!("../scripts/unlisted.sh"),
    include_str!("../scripts/dump.sh")
);

/// Seconds that `pg_dump` may take for all databases together. It holds ACCESS SHARE locks on the tables of a database meanwhile.
pub const DUMP_SECONDS: u64 = 30;
/// Large objects of one database that a dump without data may name; each takes memory of `pg_dump`.
const LARGE_OBJECTS: u64 = 10_000;

/// Which databases are dumped.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Wanted {
    /// Names of those that are.
    pub databases: Vec<String>,
    /// Those that are not, with the reason.
    pub left_out: Vec<SchemaPart>,
}

/// Chooses the databases whose schema can be dumped without harm to the server.
pub fn wanted(server: &ServerFacts) -> Wanted {
    let mut wanted = Wanted::default();
    // Half of what all sessions together can hold stays free for them.
    let locks = server.max_locks_per_transaction() * u64::from(server.max_connections) / 2;
    for database in &server.databases {
        if !database.allows_connections || database.connection_limit == -2 {
            continue;
        }
        match too_much(database, locks) {
            Some(why) => wanted
                .left_out
                .push(SchemaPart::unproved(&database.name, why)),
            None => wanted.databases.push(database.name.clone()),
        }
    }
    wanted
}

/// Why a dump of this database would be too much.
fn too_much(database: &Database, locks: u64) -> Option<String> {
    let contents = database.contents.as_ref();
    let Some(relations) = contents.and_then(|contents| contents.relations.as_ref()) else {
        return Some("it could not be read".to_owned());
    };
    let locked = relations.tables
        + relations.partitioned_tables
        + relations.views
        + relations.materialized_views
        + relations.foreign_tables;
    if database.name.chars().any(char::is_control) {
        Some("its name has control characters".to_owned())
    } else if locked > locks {
        Some(format!(
            "pg_dump would lock {locked} tables and views, more than half of what the server has room for"
        ))
    } else if relations.large_objects > LARGE_OBJECTS {
        Some(format!(
            "pg_dump would name {} large objects",
            relations.large_objects
        ))
    } else {
        None
    }
}

/// Dumps the schema of these databases; `mark` begins the lines between them and must be in none.
///
/// # Errors
/// A sentence that says why there is no dump.
pub async fn dump(
    k8s: &K8s,
    pod: &str,
    container: &str,
    databases: &[String],
    mark: &str,
) -> Result<Vec<u8>, String> {
    let script = script(databases, mark);
    let limit = Duration::from_secs(DUMP_SECONDS + 15);
    let output = k8s
        .exec(pod, container, &sql::FROM_STDIN, Some(script), limit)
        .await
        .map_err(|error| match error {
            ExecError::TooMuch { .. } => {
                format!("its dump is larger than {} MiB", OUTPUT_LIMIT >> 20)
            }
            other => other.to_string(),
        })?;
    if output.code == 0 {
        return Ok(output.stdout);
    }
    let said = output.text();
    let refused: Option<serde_json::Value> = said
        .lines()
        .last()
        .and_then(|line| serde_json::from_str(line).ok());
    Err(refused
        .and_then(|line| line["detail"].as_str().map(str::to_owned))
        .unwrap_or_else(|| output.stderr.trim().to_owned()))
}

/// The whole script: the way in, what to dump, the dump.
fn script(databases: &[String], mark: &str) -> Vec<u8> {
    let mut head = format!("PGUP_MARK={mark} PGUP_SECONDS={DUMP_SECONDS}\nset --");
    for database in databases {
        let _ = write!(head, " {}", quote::shell_word(database));
    }
    sql::with_prelude(&format!("{head}\n{DUMP}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checks::testing::input;

    #[test]
    fn what_would_harm_the_server_is_left_out_and_said() {
        let mut server = input().server.unwrap();
        assert_eq!(wanted(&server).databases, ["template1", "postgres"]);
        assert_eq!(wanted(&server).left_out, []);
        let relations = |server: &mut ServerFacts,
                         change: fn(&mut crate::facts::server::Relations)| {
            let database = server.databases.iter_mut().find(|d| d.name == "postgres");
            change(
                database
                    .unwrap()
                    .contents
                    .as_mut()
                    .unwrap()
                    .relations
                    .as_mut()
                    .unwrap(),
            );
        };
        // 64 locks for each of 100 connections, of which half.
        relations(&mut server, |r| r.tables = 3200);
        assert_eq!(wanted(&server).left_out, []);
        relations(&mut server, |r| r.views += 1);
        let left_out = &wanted(&server).left_out[0];
        assert_eq!(left_out.database, "postgres");
        assert!(left_out.unproved.as_ref().unwrap().contains("3201"));
        relations(&mut server, |r| (r.tables, r.large_objects) = (1, 10_001));
        assert!(
            wanted(&server).left_out[0]
                .unproved
                .as_ref()
                .unwrap()
                .contains("large")
        );
    }

    #[test]
    fn names_of_databases_are_words_for_the_shell() {
        let script =
            String::from_utf8(script(&["it's".to_owned(), "app".to_owned()], "m")).unwrap();
        assert!(script.contains("PGUP_MARK=m PGUP_SECONDS=30\nset -- 'it'\\''s' app\n"));
    }
}
