//! No index uses the operator classes for inet that `btree_gist` had.

use super::{Check, Concerns, Finding, Live, Query, Run, Severity, each_relation, rows_finding};
use crate::postgres::version::MajorVersion;

const QUERY: Query = Query::database(
    "inet-indexes",
    "SELECT n.nspname AS schema, c.relname AS relation FROM pg_opclass o JOIN pg_am m ON m.oid = o.opcmethod AND m.amname = 'gist' \
     JOIN pg_index i ON o.oid = ANY (i.indclass) JOIN pg_class c ON c.oid = i.indexrelid JOIN pg_namespace n ON n.oid = c.relnamespace \
     WHERE o.opcname IN ('gist_inet_ops', 'gist_cidr_ops') AND o.opcdefault ORDER BY 1, 2",
)
.until(MajorVersion::new(18))
.gated("EXISTS (SELECT FROM pg_opclass WHERE oid >= '16384')");

/// No index uses the operator classes for inet that `btree_gist` had.
pub(super) const CHECK: Check = Check {
    id: "inet-indexes",
    title: "No index is made with gist_inet_ops or gist_cidr_ops of btree_gist",
    why: "These operator classes give wrong answers and are no longer the default in 19; pg_upgrade refuses indexes with them",
    mend: "DROP INDEX, and make it again with inet_ops after the upgrade",
    severity: Severity::Blocker,
    waivable: false,
    concerns: Concerns::StoredForm,
    queries: &[QUERY],
    run: Run::Change(19, run),
};

fn run(live: &Live<'_>) -> Vec<Finding> {
    rows_finding(
        live.server,
        &QUERY,
        Severity::Blocker,
        ("index", "with gist_inet_ops or gist_cidr_ops of btree_gist"),
        each_relation(|name| format!("DROP INDEX {name}")),
    )
}

#[cfg(test)]
mod tests {
    use super::super::testing::{fires, live, silent};

    #[test]
    fn they_are_found_on_a_real_server() {
        silent("inet-indexes", &live("18-troubled", 18));
        silent("inet-indexes", &live("18-rich", 19));
        assert_eq!(
            fires("inet-indexes", &live("18-troubled", 19))[0].fix,
            "in app: DROP INDEX public.networks_at_idx"
        );
    }
}
