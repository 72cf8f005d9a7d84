//! No encoding conversion was made by users.

use super::{Check, Concerns, Finding, Live, Query, Run, Severity, each_relation, rows_finding};
use crate::postgres::version::MajorVersion;

const QUERY: Query = Query::database(
    "encoding-conversions",
    "SELECT n.nspname AS schema, c.conname AS relation FROM pg_conversion c JOIN pg_namespace n ON n.oid = c.connamespace WHERE c.oid >= 16384 ORDER BY 1, 2",
)
.until(MajorVersion::new(13))
.gated("EXISTS (SELECT FROM pg_conversion WHERE oid >= '16384')");

/// No encoding conversion was made by users.
pub(super) const CHECK: Check = Check {
    id: "encoding-conversions",
    title: "No encoding conversion was made by users",
    why: "The functions of encoding conversions have other arguments since 14; pg_upgrade refuses them",
    mend: "DROP CONVERSION, and make it again after the upgrade",
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
        (
            "encoding conversion",
            "with the function arguments of before 14",
        ),
        each_relation(|name| format!("DROP CONVERSION {name}")),
    )
}

#[cfg(test)]
mod tests {
    use super::super::testing::{fires, input, silent};

    #[test]
    fn they_are_found_on_a_real_server() {
        silent("encoding-conversions", &input());
        let finding = fires("encoding-conversions", &super::super::testing::troubled()).remove(0);
        assert_eq!(finding.objects, ["app.public.myconv"]);
    }
}
