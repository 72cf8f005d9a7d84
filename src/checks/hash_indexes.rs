//! No hash index has to be rebuilt.

use super::{Check, Concerns, Finding, Live, Query, Run, Severity, each_relation, rows_finding};
use crate::postgres::version::MajorVersion;

const QUERY: Query = Query::database(
    "hash-indexes",
    "SELECT n.nspname AS schema, c.relname AS relation FROM pg_class c JOIN pg_am a ON a.oid = c.relam JOIN pg_namespace n ON n.oid = c.relnamespace \
     WHERE c.relkind = 'i' AND a.amname = 'hash' ORDER BY 1, 2",
)
.until(MajorVersion::before_ten(9, 6));

/// No hash index has to be rebuilt.
pub(super) const CHECK: Check = Check {
    id: "hash-indexes",
    title: "No hash index has to be rebuilt",
    why: "The form of hash indexes changed in 10: pg_upgrade marks them invalid",
    mend: "REINDEX INDEX after the upgrade",
    severity: Severity::Warning,
    waivable: true,
    concerns: Concerns::StoredForm,
    queries: &[QUERY],
    run: Run::Change(10, run),
};

fn run(live: &Live<'_>) -> Vec<Finding> {
    rows_finding(
        live.server,
        &QUERY,
        Severity::Warning,
        ("hash index", "to rebuild after the upgrade"),
        each_relation(|name| format!("REINDEX INDEX {name}")),
    )
}

#[cfg(test)]
mod tests {
    use super::super::testing::{fires, input, silent};
    use super::*;

    #[test]
    fn they_are_found_on_a_server_that_can_have_them() {
        let mut input = input();
        silent("hash-indexes", &input);
        input.server.as_mut().unwrap().version = crate::postgres::version::ServerVersion {
            major: MajorVersion::before_ten(9, 6),
            minor: 1,
        };
        assert!(
            fires("hash-indexes", &input)[0]
                .message
                .contains("could not be read")
        );
        super::super::testing::set_rows(&mut input, "hash-indexes", "[]");
        silent("hash-indexes", &input);
        super::super::testing::set_rows(
            &mut input,
            "hash-indexes",
            r#"[{"schema": "public", "relation": "h"}]"#,
        );
        assert_eq!(
            fires("hash-indexes", &input)[0].objects,
            ["postgres.public.h"]
        );
    }
}
