//! The checks against real servers that have what they look for, and against `pg_upgrade --check` on the same data.
//!
//! `make test-servers` runs these; they need root and the root file systems of the test images. They also keep what is recorded
//! in `tests/fixtures` true.

use std::collections::BTreeSet;

use super::lab::Lab;
use super::{live_from, recorded_from};
use crate::checks::{Finding, Severity, run_all};
use crate::discover::server;
use crate::facts::server::ServerFacts;
use crate::postgres::query::HARMLESS;

/// Names of databases that careless quoting breaks.
const NAMES: [&str; 10] = [
    "o'b\"r\\a=z",
    "UPPER case",
    "$(touch /tmp/owned) `id`",
    "postgresql://x/y?z",
    "new\nline",
    "tab\tx",
    "dbname=postgres host=/nowhere",
    ":PGUP -- ;",
    "größe",
    "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
];

/// Makes a cluster on /vol/data and starts it.
fn started(lab: &mut Lab, major: &str, initdb: &str) {
    lab.run(&format!(
        "set -e; new_cluster {major} /vol/data --locale=en_US.utf8 {initdb}; start {major} /vol/data"
    ));
}

/// What all checks say about a server on the way to a major version.
fn findings(facts: ServerFacts, to: &str) -> Vec<Finding> {
    let input = match to {
        "17" | "18" | "19" => recorded_from(facts, to),
        _ => live_from(facts, to.parse().unwrap()),
    };
    run_all(&input, &[])
}

/// The checks with these ids have something to say about the server.
#[track_caller]
pub(super) fn says(facts: ServerFacts, to: &str, ids: &[&str]) {
    all_say(&findings(facts, to), ids);
}

#[track_caller]
fn all_say(found: &[Finding], ids: &[&str]) {
    for id in ids {
        assert!(
            found.iter().any(|finding| finding.check == *id),
            "{id} is silent\n{found:#?}"
        );
    }
}

/// The answer means to the checks what the recorded one means; else it is recorded anew.
fn same_as_recorded(lab: &mut Lab, name: &str, answer: &str, to: &str) {
    let path = super::path(&format!("gather-{name}"));
    let meaning = |answer: &str| {
        let facts = server::parse(answer, "").ok()?;
        let sections: BTreeSet<String> = facts
            .found
            .keys()
            .cloned()
            .chain(facts.databases.iter().flat_map(|database| {
                let found = database
                    .contents
                    .iter()
                    .flat_map(|contents| &contents.found);
                found.map(|(section, found)| format!("{} {section} {}", database.name, found.count))
            }))
            .collect();
        let said: Vec<_> = findings(facts, to)
            .into_iter()
            .map(|finding| (finding.check, finding.severity, finding.fix))
            .collect();
        Some((sections, said))
    };
    let recorded = std::fs::read_to_string(&path).unwrap_or_default();
    if meaning(&recorded) != meaning(answer) {
        std::fs::write(&path, answer).unwrap();
        lab.stale.push(name.to_owned());
    }
}

/// Nothing that `data-types` looks for is at the bottom of a type for which it is not asked.
fn harmless_types_are_harmless(lab: &mut Lab, major: &str) {
    let query = format!(
        "WITH RECURSIVE walk(oid) AS (SELECT unnest({HARMLESS}::oid[]) UNION SELECT x.oid FROM walk w JOIN pg_type t ON t.oid = w.oid \
         CROSS JOIN LATERAL (SELECT t.typbasetype AS oid UNION ALL SELECT t.typelem UNION ALL SELECT rngsubtype FROM pg_range WHERE rngtypid = t.oid) x) \
         SELECT t.typname FROM walk w JOIN pg_type t ON t.oid = w.oid WHERE t.oid >= 16384 OR t.typtype = 'c' \
         OR t.typname ~ '^(reg(coll|conf|dict|name|oper|proc).*|aclitem|unknown|abstime|reltime|tinterval|line|sql_identifier)$';"
    );
    assert_eq!(lab.sql(major, "postgres", &query).trim(), "");
}

/// Fresh, with a rich and healthy schema, and with troubles: one server, three answers. The lab is left with the last.
///
/// `configuration` are lines for `postgresql.conf` and `hba` for `pg_hba.conf` of the troubled one, `arguments` those of its server.
pub(super) fn three_states(
    major: &str,
    to: &str,
    configuration: &str,
    hba: &str,
    arguments: &str,
) -> Lab {
    let mut lab = Lab::new();
    if major == "17" {
        // The newest minor cannot go to the 18 of the images.
        lab.run("ln -s \"$(root 17-older)\" \"$LAB/roots/17\"");
    }
    started(&mut lab, major, "");
    harmless_types_are_harmless(&mut lab, major);
    let answer = lab.answer(major, "");
    same_as_recorded(&mut lab, major, &answer, to);

    let each = |word: &str| {
        NAMES
            .map(|name| format!("{word} DATABASE \"{}\";", name.replace('"', "\"\"")))
            .join("\n")
    };
    lab.sql(
        major,
        "postgres",
        &format!("CREATE DATABASE shop; {}", each("CREATE")),
    );
    let schema = match major {
        "9.6" | "10" | "11" => include_str!("../../../tests/support/healthy-old.sql"),
        _ => include_str!("../../../tests/support/healthy.sql"),
    };
    lab.sql(major, "shop", schema);
    let answer = lab.answer(major, "");
    same_as_recorded(&mut lab, &format!("{major}-rich"), &answer, to);
    let mut healthy = recorded_from(server::parse(&answer, "").unwrap(), to);
    // Another C library is worth a warning on every healthy server.
    healthy.target.as_mut().unwrap().libc = healthy.server.as_ref().unwrap().container.libc();
    let mut loud = run_all(&healthy, &[]);
    // Names with a line break are healthy up to 18.
    loud.retain(|finding| finding.severity > Severity::Info && finding.check != "newline-names");
    assert_eq!(loud, []);
    lab.sql(
        major,
        "postgres",
        &format!(
            "DROP DATABASE shop; DROP ROLE healthy_reader; {}",
            each("DROP")
        ),
    );

    lab.run(&format!(
        "set -e; stop {major} /vol/data
         lib=$(dirname \"$(find \"$(root {major})/usr/lib/postgresql/{major}/lib\" -name fuzzystrmatch.so)\")
         cp \"$lib/fuzzystrmatch.so\" \"$lib/ours.so\"; cp \"$lib/auto_explain.so\" \"$lib/ours_too.so\"
         install -d -o 999 -g 999 \"$LAB/vol/fast\"
         printf 'archive_mode = on\\narchive_command = true\\n{configuration}' >> \"$LAB/vol/data/postgresql.conf\"
         printf '{hba}' >> \"$LAB/vol/data/pg_hba.conf\"
         start {major} /vol/data -c wal_level=logical -c max_prepared_transactions=5 -c shared_preload_libraries=ours_too {arguments}"
    ));
    lab.sql(major, "postgres", include_str!("troubled.sql"));
    // psql ends where it cannot connect, so each database gets one of its own.
    let answer = lab.answer(major, "LAB_ENV=(PGUP_EACH=1)");
    same_as_recorded(&mut lab, &format!("{major}-troubled"), &answer, to);
    lab
}

/// The statements of a fix, each with its database.
fn statements(fix: &str) -> Vec<(&str, &str)> {
    let fix = fix.rsplit_once(" or ").map_or(fix, |(_, fix)| fix);
    fix.split("; ")
        .map(|statement| {
            statement
                .strip_prefix("in ")
                .and_then(|rest| rest.split_once(": "))
                .unwrap_or(("postgres", statement))
        })
        .collect()
}

/// `pg_upgrade --check` refuses what the checks find, one thing after the other, and takes it when it is mended as the findings say.
///
/// `expected` has the words of `pg_upgrade` and the checks, in the order in which `pg_upgrade` comes to them.
pub(super) fn agrees(lab: &mut Lab, from: &str, to: &str, expected: &[(&str, &[&str])]) {
    let mut found = findings(lab.facts(from, ""), to);
    for (words, ids) in expected {
        let (_, said) = lab.try_run(&format!("agree {from} {to}"));
        assert!(said.contains(words), "{ids:?}: {words}\n{said}");
        for id in *ids {
            let of = |finding: &&Finding| finding.check == *id;
            assert!(
                found.iter().any(|finding| of(&finding)),
                "{id} is silent\n{said}"
            );
            for finding in found.iter().filter(of) {
                assert_eq!(finding.severity, Severity::Blocker, "{finding:?}");
                // A database that no statement mends goes.
                for database in finding.objects.iter().filter(|_| finding.fix.is_empty()) {
                    lab.sql(from, "postgres", &format!("DROP DATABASE {database};"));
                }
                for (database, statement) in statements(&finding.fix) {
                    lab.sql(from, database, &format!("{statement};"));
                }
            }
        }
        found = findings(lab.facts(from, ""), to);
        let left = found.iter().find(|finding| ids.contains(&finding.check));
        assert_eq!(left, None, "{words}");
    }
    // What no statement of ours mends: another image would.
    let (_, said) = lab.try_run(&format!("agree {from} {to}"));
    assert!(
        said.contains("references loadable libraries that are missing"),
        "{said}"
    );
    assert!(
        found.iter().any(|finding| finding.check == "libraries"),
        "{found:#?}"
    );
    lab.sql(
        from,
        "app",
        "DROP FUNCTION in_c(text); DROP EXTENSION IF EXISTS adminpack;",
    );
    let said = lab.run(&format!("agree {from} {to}"));
    assert!(said.contains("Clusters are compatible"), "{said}");
    assert_eq!(
        said.contains("Your installation contains hash indexes"),
        found.iter().any(|finding| finding.check == "hash-indexes"),
        "{said}"
    );
}

#[test]
#[ignore = "make test-servers"]
fn thirteen_to_seventeen() {
    let mut lab = three_states(
        "13",
        "17",
        "operator_precedence_warning = on\\npassword_encryption = on\\n",
        "hostssl all all 192.0.2.1/32 md5 clientcert=1\\nhostssl all all 192.0.2.2/32 md5 clientcert=0\\n",
        "-c vacuum_cleanup_index_scale_factor=0.2",
    );
    says(lab.facts("13", ""), "16", &["large-objects"]);
    agrees(
        &mut lab,
        "13",
        "17",
        &[
            (
                "cannot connect to invalid database \"halfdropped\"",
                &["invalid-databases"],
            ),
            (
                "template0 must not allow connections",
                &["template-databases"],
            ),
            ("databases must allow connections", &["open-databases"]),
            ("contains prepared transactions", &["prepared-transactions"]),
            (
                "Data type checks failed",
                &["reg-types", "system-composites", "aclitem-columns"],
            ),
            (
                "user-defined encoding conversions",
                &["encoding-conversions"],
            ),
            ("user-defined postfix operators", &["postfix-operators"]),
            ("incompatible polymorphic functions", &["polymorphics"]),
            (
                "inconsistent NOT NULL constraints",
                &["not-null-inheritance"],
            ),
        ],
    );
    // Up to 15 the databases of initdb must be alike.
    let anew = "DROP DATABASE postgres; CREATE DATABASE postgres TEMPLATE template0 LC_COLLATE 'C' LC_CTYPE 'C';";
    lab.sql("13", "app", anew);
    let (_, said) = lab.try_run("agree 13 15");
    assert!(
        said.contains("for database \"postgres\" do not match"),
        "{said}"
    );
    says(lab.facts("13", ""), "15", &["database-locales"]);
    lab.end();
}

#[test]
#[ignore = "make test-servers"]
fn fifteen_to_eighteen() {
    let mut lab = three_states(
        "15",
        "18",
        "force_parallel_mode = off\n",
        "",
        "-c vacuum_defer_cleanup_age=0",
    );
    // A standby follows, and is no primary.
    lab.run(
        "set -e; stop 15 /vol/data; cp -a \"$LAB/vol/data\" \"$LAB/vol/standby\"; start 15 /vol/data -c max_prepared_transactions=5 -c wal_level=logical
         touch \"$LAB/vol/standby/standby.signal\"
         echo \"primary_conninfo = 'host=/var/run/postgresql application_name=second'\" >> \"$LAB/vol/standby/postgresql.conf\"
         start 15 /vol/standby -c max_prepared_transactions=5 -c wal_level=logical -c port=5433
         until [[ $(sql 15 postgres -c 'SELECT state FROM pg_stat_replication') == streaming ]]; do sleep 0.1; done",
    );
    says(lab.facts("15", ""), "18", &["standbys"]);
    says(
        lab.facts("15", "LAB_PGDATA=/vol/standby"),
        "18",
        &["in-recovery"],
    );
    lab.end();
}

#[test]
#[ignore = "make test-servers"]
fn seventeen_to_eighteen() {
    let mut lab = three_states("17", "18", "", "", "-c max_slot_wal_keep_size=1MB");
    agrees(
        &mut lab,
        "17",
        "18",
        &[
            (
                "template0 must not allow connections",
                &["template-databases"],
            ),
            ("must not be -2", &["invalid-databases", "open-databases"]),
            ("contains prepared transactions", &["prepared-transactions"]),
            ("contains logical replication slots", &["logical-slots"]),
            ("subscriptions without origin", &["subscription-tables"]),
            (
                "Data type checks failed",
                &["reg-types", "system-composites"],
            ),
            (
                "inconsistent NOT NULL constraints",
                &["not-null-inheritance"],
            ),
        ],
    );
    lab.end();
}

#[test]
#[ignore = "make test-servers"]
fn eighteen_to_nineteen() {
    let configuration = "escape_string_warning = on\n";
    let hba = "host all all 192.0.2.1/32 radius radiusservers=192.0.2.3 radiussecrets=x\n";
    let mut lab = three_states(
        "18",
        "19",
        configuration,
        hba,
        "-c max_slot_wal_keep_size=1MB",
    );
    agrees(
        &mut lab,
        "18",
        "19",
        &[
            (
                "template0 must not allow connections",
                &["template-databases"],
            ),
            ("must not be -2", &["invalid-databases", "open-databases"]),
            ("databases using encodings", &["mule-internal"]),
            ("contains prepared transactions", &["prepared-transactions"]),
            ("(3) of database \"app\"", &["frozen-ids"]),
            ("contains logical replication slots", &["logical-slots"]),
            ("subscriptions without origin", &["subscription-tables"]),
            (
                "Data type checks failed",
                &["reg-types", "system-composites"],
            ),
            ("gist_inet_ops", &["inet-indexes"]),
        ],
    );
    lab.end();
}

/// Containers and places, not contents.
#[test]
#[ignore = "make test-servers"]
fn odd_places() {
    let mut lab = Lab::new();
    // A small volume, with its write-ahead log elsewhere.
    lab.run(
        "set -e; mkdir -p \"$LAB/vol/data\" \"$LAB/vol/wal\"; mount -t tmpfs -o size=80m,nr_inodes=2000,uid=999,gid=999,mode=0700 tmpfs \"$LAB/vol/data\"
         chown 999:999 \"$LAB/vol/wal\"; root 17 > /dev/null; umount \"$LAB/root-17/vol\"; mount --rbind \"$LAB/vol\" \"$LAB/root-17/vol\"",
    );
    started(
        &mut lab,
        "17",
        "--waldir=/vol/wal -c track_commit_timestamp=on",
    );
    lab.run("chmod 0770 \"$LAB/vol/data\"");
    // Without the recorded image, whose volume has room.
    let found = run_all(&live_from(lab.facts("17", ""), 19), &[]);
    all_say(
        &found,
        &[
            "free-space",
            "commit-timestamps",
            "free-inodes",
            "wal-directory",
            "data-directory-mode",
        ],
    );
    lab.run("chmod 0700 \"$LAB/vol/data\"");

    lab.sql(
        "17",
        "postgres",
        "CREATE ROLE app LOGIN IN ROLE pg_monitor; CREATE ROLE boss SUPERUSER LOGIN; CREATE DATABASE locked;",
    );
    lab.run("sed -i '1i local locked all reject' \"$LAB/vol/data/pg_hba.conf\"; as 999 17 pg_ctl -D /vol/data reload; sleep 0.5");
    says(
        lab.facts("17", "LAB_ENV=(PGUP_EACH=1)"),
        "18",
        &["databases-read"],
    );
    lab.sql(
        "17",
        "postgres",
        "DROP DATABASE locked; SET ROLE boss; ALTER ROLE postgres NOLOGIN;",
    );
    says(
        lab.facts("17", "LAB_ENV=(POSTGRES_USER=app)"),
        "18",
        &["superuser"],
    );
    says(
        lab.facts("17", "LAB_ENV=(POSTGRES_USER=boss)"),
        "18",
        &["install-user"],
    );
    lab.sql("17", "postgres -U boss", "ALTER ROLE postgres LOGIN;");

    // The kernel tells a 32-bit process another architecture.
    let on_32_bits = "as() { local at; at=$(root \"$2\"); shift 2; env -i PATH=/usr/lib/postgresql/17/bin:/usr/sbin:/usr/bin:/bin PGDATA=/vol/data chroot --userspec=999:999 \"$at\" setarch i686 \"$@\"; }";
    says(lab.facts("17", on_32_bits), "18", &["architecture"]);
    lab.run("at=$(root 17); rm \"$at/usr/bin/getconf\" \"$at/usr/bin/ldd\" \"$at/usr/bin/stat\"");
    says(
        lab.facts("17", ""),
        "18",
        &["libc-family", "data-directory-owner"],
    );
    lab.end();
}

/// The newest minors write a column option that older releases of newer majors do not know.
#[test]
#[ignore = "make test-servers"]
fn fifteen_of_the_newest_round() {
    let mut lab = Lab::new();
    started(&mut lab, "15-security", "");
    lab.sql(
        "15-security",
        "postgres",
        include_str!("../../../tests/support/healthy.sql"),
    );
    let answer = lab.answer("15-security", "");
    same_as_recorded(&mut lab, "15-security", &answer, "17");
    lab.end();
}
