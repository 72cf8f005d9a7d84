//! No column holds rows of system tables.

use super::{Check, Concerns, Finding, Live, Run, Severity, columns_finding};

/// No column holds rows of system tables.
pub(super) const CHECK: Check = Check {
    id: "system-composites",
    title: "No column holds rows of system tables",
    why: "The columns of system tables differ between versions, so stored rows of them cannot be read; pg_upgrade refuses them",
    mend: "ALTER TABLE … DROP COLUMN, or keep the values as text",
    severity: Severity::Blocker,
    waivable: false,
    concerns: Concerns::StoredForm,
    queries: &[],
    run: Run::Live(run),
};

fn run(live: &Live<'_>) -> Vec<Finding> {
    columns_finding(
        live.server,
        &["system-composite"],
        "of the row type of a system table",
        "TYPE text",
    )
}

#[cfg(test)]
mod tests {
    use super::super::testing::{fires, input, silent};

    #[test]
    fn such_columns_are_found_on_a_real_server() {
        silent("system-composites", &input());
        let finding = fires("system-composites", &super::super::testing::troubled()).remove(0);
        assert_eq!(finding.objects, ["app.public.catalog_rows.r"]);
        assert_eq!(
            finding.message,
            "1 column of the row type of a system table"
        );
    }
}
