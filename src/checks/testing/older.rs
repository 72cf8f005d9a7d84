//! Servers older than what test images have: the same as [`super::servers`] does with the others.

use super::servers::{agrees, says, three_states};

#[test]
#[ignore = "make test-servers"]
fn nine_six_to_seventeen() {
    // Replication is off by default here.
    let arguments = "-c max_replication_slots=10 -c max_wal_senders=10";
    let configuration =
        "operator_precedence_warning = on\\nsql_inheritance = on\\ndefault_with_oids = off\\n";
    let mut lab = three_states("9.6", "17", configuration, "", arguments);
    agrees(
        &mut lab,
        "9.6",
        "17",
        &[
            (
                "template0 must not allow connections",
                &["template-databases"],
            ),
            ("databases must allow connections", &["open-databases"]),
            ("contains prepared transactions", &["prepared-transactions"]),
            (
                "Data type checks failed",
                &[
                    "reg-types",
                    "system-composites",
                    "aclitem-columns",
                    "removed-types",
                    "sql-identifier-columns",
                    "unknown-columns",
                ],
            ),
            (
                "user-defined encoding conversions",
                &["encoding-conversions"],
            ),
            ("user-defined postfix operators", &["postfix-operators"]),
            ("incompatible polymorphic functions", &["polymorphics"]),
            ("tables declared WITH OIDS", &["with-oids"]),
            (
                "inconsistent NOT NULL constraints",
                &["not-null-inheritance"],
            ),
        ],
    );
    // The write-ahead log has another name here.
    lab.run(
        "set -e; stop 9.6 /vol/data; mv \"$LAB/vol/data/pg_xlog\" \"$LAB/vol/log\"; ln -s /vol/log \"$LAB/vol/data/pg_xlog\"
         start 9.6 /vol/data -c max_prepared_transactions=5 -c max_replication_slots=10 -c wal_level=logical",
    );
    let facts = lab.facts("9.6", "");
    let directories = facts.container.directories.clone().unwrap();
    for name in ["pg_wal", "pg_xact"] {
        assert!(directories.contains_key(name), "{directories:?}");
    }
    says(facts, "17", &["wal-directory"]);
    lab.end();
}

#[test]
#[ignore = "make test-servers"]
fn ten_to_seventeen() {
    three_states("10", "17", "", "", "").end();
}

#[test]
#[ignore = "make test-servers"]
fn eleven_to_eighteen() {
    three_states("11", "18", "", "", "").end();
}

#[test]
#[ignore = "make test-servers"]
fn twelve_to_seventeen() {
    three_states("12", "17", "", "", "").end();
}
