//! No column has the type unknown.

use super::{Check, Concerns, Finding, Live, Run, Severity, columns_finding};

/// No column has the type unknown.
pub(super) const CHECK: Check = Check {
    id: "unknown-columns",
    title: "No column has the type unknown",
    why: "Tables can no longer have columns of type unknown since 10; pg_upgrade refuses them",
    mend: "ALTER TABLE … ALTER COLUMN … TYPE text",
    severity: Severity::Blocker,
    waivable: false,
    concerns: Concerns::Contents,
    queries: &[],
    run: Run::Change(10, run),
};

fn run(live: &Live<'_>) -> Vec<Finding> {
    columns_finding(
        live.server,
        &["unknown"],
        "without a real type",
        "TYPE text",
    )
}

#[cfg(test)]
mod tests {
    use super::super::testing::{fires, recorded, silent};

    #[test]
    fn such_columns_of_an_old_server_are_found() {
        silent("unknown-columns", &recorded("9.6-rich", "17"));
        let finding = fires("unknown-columns", &recorded("9.6-troubled", "17")).remove(0);
        assert_eq!(finding.objects, [r#"app.public.untyped."no type""#]);
    }
}
