use std::fmt::Write as _;

use super::answer::libraries;
use super::*;
use crate::checks;
use crate::discover::queries;
use crate::postgres::query::Query;

fn recorded(version: &str) -> String {
    let path = format!(
        "{}/tests/fixtures/gather-{version}.jsonl",
        env!("CARGO_MANIFEST_DIR")
    );
    std::fs::read_to_string(path).unwrap()
}

#[test]
fn what_real_servers_said_is_understood() {
    for (name, version) in [
        ("13", "13.16"),
        ("15", "15.18"),
        ("17", "17.11"),
        ("18", "18.6"),
    ] {
        let facts = parse(&recorded(name), "").unwrap();
        assert_eq!(facts.version.to_string(), version);
        assert_eq!(facts.install_user.name, "postgres");
        assert!(facts.connected_as.superuser);
        assert_eq!(facts.control.wal_segment_bytes, 16 * 1024 * 1024);
        assert!(facts.data_kib().unwrap() > 10_000);
        assert!(facts.file_settings.is_some() && facts.sessions.is_some());
        assert_eq!(facts.complaints, Vec::<String>::new());
        for database in facts.open_databases() {
            let contents = database.contents.as_ref().unwrap();
            assert!(
                contents
                    .extensions
                    .as_ref()
                    .unwrap()
                    .iter()
                    .any(|e| e.name == "plpgsql")
            );
            assert!(contents.relations.is_some() && contents.collated_indexes.is_some());
        }
        assert_eq!(facts.database("template0").unwrap().contents, None);
        let text = serde_json::to_string(&facts).unwrap();
        assert_eq!(serde_json::from_str::<ServerFacts>(&text).unwrap(), facts);
    }
}

#[test]
fn an_answer_that_is_cut_anywhere_is_refused() {
    let whole = recorded("17");
    let lines: Vec<&str> = whole.lines().collect();
    for kept in 0..lines.len() {
        let cut = lines[..kept].join("\n");
        assert!(
            matches!(parse(&cut, "").unwrap_err(), ParseError::Cut(_)),
            "{kept}"
        );
    }
    for dropped in 0..lines.len() - 1 {
        let mut rest = lines.clone();
        rest.remove(dropped);
        assert!(
            matches!(parse(&rest.join("\n"), "").unwrap_err(), ParseError::Cut(_)),
            "{dropped}"
        );
    }
}

#[test]
fn a_refusal_says_why() {
    let line = r#"{"section":"refused","reason":"no-login","detail":"as app on /tmp port 5432: FATAL: no"}"#;
    let error = parse(line, "").unwrap_err().to_string();
    assert_eq!(
        error,
        "no superuser login to the server inside its container: as app on /tmp port 5432: FATAL: no"
    );
}

#[test]
fn a_section_that_failed_is_unknown_and_not_empty() {
    let whole = recorded("17");
    let kept: Vec<&str> = whole
        .lines()
        .filter(|line| !line.contains(r#""section": "prepared""#))
        .collect();
    let count = kept.len() - 1;
    let mut text = kept[..count].join("\n");
    let _ = write!(text, "\n{count}\n");
    let facts = parse(&text, "ERROR:  canceling statement due to lock timeout").unwrap();
    assert_eq!(facts.prepared, None);
    assert_eq!(facts.slots, Some(Vec::new()));
    assert_eq!(facts.complaints.len(), 1);
}

#[test]
fn a_database_without_its_end_was_not_read() {
    let whole = recorded("17");
    let kept: Vec<&str> = whole
        .lines()
        .filter(|line| {
            !(line.contains(r#""section": "database-end""#)
                && line.contains(r#""database": "postgres""#))
        })
        .collect();
    let count = kept.len() - 1;
    let facts = parse(&format!("{}\n{count}\n", kept[..count].join("\n")), "").unwrap();
    assert_eq!(facts.database("postgres").unwrap().contents, None);
    assert!(facts.database("template1").unwrap().contents.is_some());
}

#[test]
fn preload_lists_are_taken_apart() {
    assert_eq!(
        libraries(r#"pg_stat_statements, "pgaudit",$libdir/pg_cron.so,"#),
        ["pg_stat_statements", "pgaudit", "pg_cron"]
    );
}

#[test]
fn the_script_is_one_text_with_every_query_once() {
    let script = script();
    let all: Vec<&Query> = queries::ALL
        .iter()
        .chain(checks::ALL.iter().flat_map(|check| check.queries))
        .collect();
    for query in &all {
        assert_eq!(script.matches(&query.statement()).count(), 1, "{query:?}");
        for word in ["PGUP_SQL", ";", "$pgup$"] {
            assert!(!query.sql.contains(word), "{query:?}");
            assert!(!query.gate.unwrap_or_default().contains(word), "{query:?}");
        }
        // A server of any version is asked for a section once.
        let others = all
            .iter()
            .filter(|other| other.section == query.section && other.sql != query.sql);
        for other in others {
            assert!(
                other.until < query.since || query.until < other.since,
                "{query:?}"
            );
        }
    }
}
