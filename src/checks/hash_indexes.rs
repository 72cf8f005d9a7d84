//! No hash index has to be rebuilt.

use super::{Check, Concerns, Finding, Live, Query, Run, Severity, each_relation, rows_finding};
use crate::postgres::version::MajorVersion;

const QUERY: Query = Query::database(
    "hash-indexes",
    "SELECT n.nspname AS schema, c.relname AS relation FROM pg_class c JOIN pg_am a ON a.oid = c.relam JOIN pg_namespace n ON n.oid = c.relnamespace \
     WHERE c.relkind = 'i' AND a.amname = 'hash' ORDER BY 1, 2",
)
.until(MajorVersion::before_ten(9, 6))
.gated("EXISTS (SELECT FROM pg_am a JOIN pg_class c ON c.relam = a.oid WHERE a.amname = 'hash')");

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
    use super::super::testing::{fires, recorded, silent};

    #[test]
    fn such_indexes_of_an_old_server_are_found() {
        silent("hash-indexes", &recorded("9.6", "17"));
        let finding = fires("hash-indexes", &recorded("9.6-troubled", "17")).remove(0);
        assert_eq!(finding.objects, [r#"app.public."by Hash""#]);
        assert_eq!(finding.fix, r#"in app: REINDEX INDEX public."by Hash""#);
    }
}
