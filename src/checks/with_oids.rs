//! No table was made with oids.

use super::{Check, Concerns, Finding, Live, Query, Run, Severity, each_relation, rows_finding};
use crate::postgres::version::MajorVersion;

const QUERY: Query = Query::database(
    "with-oids",
    "SELECT n.nspname AS schema, c.relname AS relation FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace \
     WHERE c.relhasoids AND n.nspname <> 'pg_catalog' ORDER BY 1, 2",
)
.until(MajorVersion::new(11))
.gated("EXISTS (SELECT FROM pg_class WHERE oid >= '16384' AND relhasoids)");

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
    use super::super::testing::{fires, recorded, silent};

    #[test]
    fn such_tables_of_an_old_server_are_found() {
        silent("with-oids", &recorded("11", "17"));
        for from in ["9.6-troubled", "10-troubled", "11-troubled"] {
            let finding = fires("with-oids", &recorded(from, "17")).remove(0);
            assert_eq!(finding.objects, ["app.public.numbered"]);
        }
    }
}
