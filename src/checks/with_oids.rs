//! No table was made with oids.

use super::{Check, Concerns, Finding, Live, Query, Run, Severity, each_relation, rows_finding};
use crate::postgres::version::MajorVersion;

const QUERY: Query = Query::database(
    "with-oids",
    "SELECT n.nspname AS schema, c.relname AS relation FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace \
     WHERE to_jsonb(c)->>'relhasoids' = 'true' AND n.nspname <> 'pg_catalog' ORDER BY 1, 2",
)
.until(MajorVersion::new(11));

/// No table was made with oids.
pub(super) const CHECK: Check = Check {
    id: "with-oids",
    title: "No table was made WITH OIDS",
    why: "Tables WITH OIDS went with 12; pg_upgrade refuses them",
    mend: "ALTER TABLE … SET WITHOUT OIDS",
    severity: Severity::Blocker,
    waivable: false,
    concerns: Concerns::Contents,
    queries: &[QUERY],
    run: Run::Change(12, run),
};

fn run(live: &Live<'_>) -> Vec<Finding> {
    rows_finding(
        live.server,
        &QUERY,
        Severity::Blocker,
        ("table", "made WITH OIDS"),
        each_relation(|name| format!("ALTER TABLE {name} SET WITHOUT OIDS")),
    )
}

#[cfg(test)]
mod tests {
    use super::super::testing::{fires, input, silent};
    use super::*;

    #[test]
    fn they_are_found_on_a_server_that_can_have_them() {
        let mut input = input();
        silent("with-oids", &input);
        input.server.as_mut().unwrap().version = crate::postgres::version::ServerVersion {
            major: MajorVersion::new(11),
            minor: 1,
        };
        assert!(
            fires("with-oids", &input)[0]
                .message
                .contains("could not be read")
        );
        super::super::testing::set_rows(&mut input, "with-oids", "[]");
        silent("with-oids", &input);
        super::super::testing::set_rows(
            &mut input,
            "with-oids",
            r#"[{"schema": "public", "relation": "old"}]"#,
        );
        assert_eq!(
            fires("with-oids", &input)[0].objects,
            ["postgres.public.old"]
        );
    }
}
