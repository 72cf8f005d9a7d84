//! No index is invalid.

use super::{Check, Concerns, Finding, Live, Query, Run, Severity, each_relation, rows_finding};

const QUERY: Query = Query::database(
    "invalid-indexes",
    "SELECT n.nspname AS schema, c.relname AS relation FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid AND c.relkind = 'i' \
     JOIN pg_namespace n ON n.oid = c.relnamespace WHERE NOT i.indisvalid AND n.nspname !~ '^pg_toast' ORDER BY 1, 2",
)
.gated("EXISTS (SELECT FROM pg_index WHERE NOT indisvalid)");

/// No index is invalid.
pub(super) const CHECK: Check = Check {
    id: "invalid-indexes",
    title: "No index is invalid",
    why: "An invalid index, left by CREATE INDEX CONCURRENTLY that failed, is not carried over",
    mend: "REINDEX INDEX CONCURRENTLY, or DROP INDEX",
    severity: Severity::Info,
    waivable: true,
    concerns: Concerns::Contents,
    queries: &[QUERY],
    run: Run::Live(run),
};

fn run(live: &Live<'_>) -> Vec<Finding> {
    rows_finding(
        live.server,
        &QUERY,
        Severity::Info,
        ("index", "that is invalid and not carried over"),
        each_relation(|name| format!("DROP INDEX {name}")),
    )
}

#[cfg(test)]
mod tests {
    use super::super::testing::{fires, input, silent, troubled};

    #[test]
    fn they_are_found_on_a_real_server() {
        silent("invalid-indexes", &input());
        assert_eq!(
            fires("invalid-indexes", &troubled())[0].objects,
            ["app.public.doubled_a"]
        );
    }
}
