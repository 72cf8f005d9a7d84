//! No operator follows its operand.

use super::{Check, Concerns, Finding, Live, Query, Run, Severity, name, rows_finding, text};
use crate::postgres::version::MajorVersion;

const QUERY: Query = Query::database(
    "postfix-operators",
    "SELECT n.nspname AS schema, o.oprname AS relation, format_type(o.oprleft, NULL) AS argument FROM pg_operator o \
     JOIN pg_namespace n ON n.oid = o.oprnamespace WHERE o.oprright = 0 AND o.oid >= 16384 ORDER BY 1, 2",
)
.until(MajorVersion::new(13))
.gated("EXISTS (SELECT FROM pg_operator WHERE oid >= '16384')");

/// No operator follows its operand.
pub(super) const CHECK: Check = Check {
    id: "postfix-operators",
    title: "No operator follows its operand",
    why: "Operators behind their operand went with 14; pg_upgrade refuses them",
    mend: "DROP OPERATOR, and make it again as a function or before its operand",
    severity: Severity::Blocker,
    waivable: false,
    concerns: Concerns::Contents,
    queries: &[QUERY],
    run: Run::Change(14, run),
};

fn run(live: &Live<'_>) -> Vec<Finding> {
    rows_finding(
        live.server,
        &QUERY,
        Severity::Blocker,
        ("operator", "behind the operand"),
        |database, row| {
            let operator = format!(
                "{}.{} ({}, NONE)",
                name(text(row, "schema")),
                text(row, "relation"),
                text(row, "argument")
            );
            (
                format!("{}.{operator}", name(database)),
                format!("DROP OPERATOR {operator}"),
            )
        },
    )
}

#[cfg(test)]
mod tests {
    use super::super::testing::{fires, input, silent};

    #[test]
    fn they_are_found_on_a_real_server() {
        silent("postfix-operators", &input());
        let finding = fires("postfix-operators", &super::super::testing::troubled()).remove(0);
        assert_eq!(finding.objects, ["app.public.!!! (bigint, NONE)"]);
        assert_eq!(
            finding.fix,
            "in app: DROP OPERATOR public.!!! (bigint, NONE)"
        );
    }
}
