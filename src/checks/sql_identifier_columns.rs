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
    use super::super::testing::{fires, silent};
    use crate::postgres::version::MajorVersion;

    #[test]
    fn such_columns_of_an_old_server_are_found() {
        let mut input = super::super::testing::with_column("sql_identifier");
        silent("sql-identifier-columns", &input);
        input.server.as_mut().unwrap().version = crate::postgres::version::ServerVersion {
            major: MajorVersion::new(11),
            minor: 1,
        };
        assert_eq!(
            fires("sql-identifier-columns", &input)[0].objects,
            ["postgres.public.t.c"]
        );
    }
}
