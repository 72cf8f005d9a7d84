//! No view is made of columns of system views that went.

use super::{
    Check, Concerns, Finding, Live, Query, Run, Severity, dotted, in_database, numbered,
    rows_of_databases, statements, text,
};
use crate::postgres::catalogs::column_went;

/// Tables of the catalog are not among them: what depends on those is not written down.
const QUERY: Query = Query::database(
    "system-views",
    "SELECT DISTINCT n.nspname AS schema, c.relname AS relation, c.relkind AS kind, s.relname AS \"view\", a.attname AS \"column\" FROM pg_rewrite r \
     CROSS JOIN LATERAL (SELECT refobjid, refobjsubid FROM pg_depend WHERE classid = 'pg_rewrite'::regclass AND objid = r.oid \
      AND refclassid = 'pg_class'::regclass AND refobjsubid > 0 OFFSET 0) d \
     JOIN pg_class s ON s.oid = d.refobjid AND s.relkind = 'v' AND s.relnamespace = 11 \
     JOIN pg_attribute a ON a.attrelid = s.oid AND a.attnum = d.refobjsubid \
     JOIN pg_class c ON c.oid = r.ev_class JOIN pg_namespace n ON n.oid = c.relnamespace WHERE r.ev_class >= 16384 ORDER BY 1, 2, 4, 5",
)
.unlimited()
.gated(
    "EXISTS (SELECT FROM pg_class c CROSS JOIN LATERAL (SELECT oid FROM pg_rewrite WHERE ev_class = c.oid OFFSET 0) r \
     CROSS JOIN LATERAL (SELECT FROM pg_depend WHERE classid = '2618' AND objid = r.oid AND refclassid = '1259' AND refobjid < '16384' \
     AND refobjsubid > 0 OFFSET 0) d WHERE c.oid >= '16384' AND c.relhasrules)",
);

/// No view is made of columns of system views that went.
pub(super) const CHECK: Check = Check {
    id: "system-views",
    title: "No view is made of columns of system views that the new version lacks",
    why: "pg_upgrade --check passes, and then the restore of the schema fails in the middle of the outage",
    mend: "DROP VIEW, and make it again from what the new version has",
    severity: Severity::Blocker,
    waivable: false,
    concerns: Concerns::Contents,
    queries: &[QUERY],
    run: Run::Live(run),
};

fn run(live: &Live<'_>) -> Vec<Finding> {
    let found = match rows_of_databases(live.server, &QUERY) {
        Err(unknown) => return unknown,
        Ok(found) => found,
    };
    let (mut objects, mut fixes) = (Vec::new(), Vec::new());
    for (database, row) in found
        .iter()
        .flat_map(|(database, found)| found.rows.iter().map(move |row| (database, row)))
        .filter(|(_, row)| column_went(text(row, "view"), text(row, "column"), live.to))
    {
        let relation = dotted(&[text(row, "schema"), text(row, "relation")]);
        objects.push(format!(
            "{}.{relation} of {}.{}",
            dotted(&[&database.name]),
            text(row, "view"),
            text(row, "column")
        ));
        let kind = if text(row, "kind") == "m" {
            "MATERIALIZED VIEW"
        } else {
            "VIEW"
        };
        let fix = in_database(&database.name, &format!("DROP {kind} {relation}"));
        if !fixes.contains(&fix) {
            fixes.push(fix);
        }
    }
    if objects.is_empty() {
        return Vec::new();
    }
    vec![
        Finding::blocker(format!(
            "{} made of columns of system views that PostgreSQL {} lacks",
            numbered(fixes.len(), "view"),
            live.to
        ))
        .objects(objects)
        .fix(statements(&fixes)),
    ]
}

#[cfg(test)]
mod tests {
    use super::super::testing::{fires, live, silent};

    #[test]
    fn they_are_found_on_a_real_server() {
        silent("system-views", &live("13-rich", 17));
        silent("system-views", &live("15-troubled", 16));
        let finding = fires("system-views", &live("15-troubled", 17)).remove(0);
        assert_eq!(
            finding.message,
            "1 view made of columns of system views that PostgreSQL 17 lacks"
        );
        assert_eq!(finding.fix, "in app: DROP VIEW public.written");
        let finding = fires("system-views", &live("18-troubled", 19)).remove(0);
        assert_eq!(finding.fix, "in app: DROP VIEW public.failures");
    }
}
