//! No column has the type `sql_identifier`.

use super::{Check, Concerns, Finding, Live, Run, Severity, columns_finding};

/// No column has the type `sql_identifier`.
pub(super) const CHECK: Check = Check {
    id: "sql-identifier-columns",
    title: "No column has the type sql_identifier",
    why: "The stored form of information_schema.sql_identifier changed in 12; pg_upgrade refuses such columns",
    mend: "ALTER TABLE … ALTER COLUMN … TYPE name",
    severity: Severity::Blocker,
    waivable: false,
    concerns: Concerns::StoredForm,
    queries: &[],
    run: Run::Change(12, run),
};

fn run(live: &Live<'_>) -> Vec<Finding> {
    columns_finding(
        live.server,
        &["sql_identifier"],
        "of type information_schema.sql_identifier",
        "TYPE name",
    )
}

#[cfg(test)]
mod tests {
    use super::super::testing::{fires, recorded, silent};

    #[test]
    fn such_columns_of_an_old_server_are_found() {
        silent("sql-identifier-columns", &recorded("11", "17"));
        for from in ["9.6-troubled", "10-troubled", "11-troubled"] {
            let finding = fires("sql-identifier-columns", &recorded(from, "17")).remove(0);
            assert_eq!(finding.objects, [r#"app.public."Named".n"#]);
        }
    }
}
