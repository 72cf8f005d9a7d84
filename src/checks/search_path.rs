//! Functions in indexes name their schemas.

use super::{Check, Concerns, Finding, Live, Query, Run, Severity, dotted, rows_finding, text};
use crate::postgres::version::MajorVersion;

const QUERY: Query = Query::database(
    "search-path",
    "SELECT DISTINCT n.nspname AS schema, c.relname AS relation, p.oid::regprocedure::text AS function FROM pg_depend d \
     JOIN pg_class c ON c.oid = d.objid AND c.relkind IN ('i', 'I') JOIN pg_namespace n ON n.oid = c.relnamespace \
     JOIN pg_proc p ON p.oid = d.refobjid AND p.oid >= 16384 JOIN pg_language l ON l.oid = p.prolang AND l.lanname NOT IN ('internal', 'c') \
     WHERE d.classid = 'pg_class'::regclass AND d.refclassid = 'pg_proc'::regclass \
     AND NOT EXISTS (SELECT FROM unnest(p.proconfig) s WHERE s LIKE 'search_path=%') ORDER BY 1, 2, 3",
)
.until(MajorVersion::new(16))
.gated("EXISTS (SELECT FROM pg_proc WHERE oid >= '16384') \
     AND EXISTS (SELECT FROM pg_index WHERE indexrelid >= '16384' AND (indexprs IS NOT NULL OR indpred IS NOT NULL))");

/// Functions in indexes name their schemas.
pub(super) const CHECK: Check = Check {
    id: "search-path",
    title: "Every function in an index sets its search_path",
    why: "Since 17 indexes are built and tables are analyzed with a search_path of pg_catalog alone: a function that finds its tables or functions by another fails there, or in the restore of the schema",
    mend: "ALTER FUNCTION … SET search_path, or name the schemas in its body; a rehearsal shows whether it matters",
    severity: Severity::Info,
    waivable: true,
    concerns: Concerns::Contents,
    queries: &[QUERY],
    run: Run::Change(17, run),
};

fn run(live: &Live<'_>) -> Vec<Finding> {
    rows_finding(
        live.server,
        &QUERY,
        Severity::Info,
        ("index", "with a function that sets no search_path"),
        |database, row| {
            let index = dotted(&[database, text(row, "schema"), text(row, "relation")]);
            let function = text(row, "function");
            (
                format!("{index} ({function})"),
                format!(
                    "ALTER FUNCTION {function} SET search_path = {}, pg_temp",
                    dotted(&[text(row, "schema")])
                ),
            )
        },
    )
}

#[cfg(test)]
mod tests {
    use super::super::testing::{fires, live, silent};

    #[test]
    fn they_are_found_on_a_real_server() {
        silent("search-path", &live("13-rich", 17));
        silent("search-path", &live("13-troubled", 16));
        assert_eq!(
            fires("search-path", &live("13-troubled", 17))[0].objects,
            ["app.public.by_rate (public.rate(integer))"]
        );
    }
}
