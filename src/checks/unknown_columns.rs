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
    use super::super::testing::{fires, silent};
    use crate::postgres::version::MajorVersion;

    #[test]
    fn such_columns_of_an_old_server_are_found() {
        let mut input = super::super::testing::with_column("unknown");
        silent("unknown-columns", &input);
        input.server.as_mut().unwrap().version = crate::postgres::version::ServerVersion {
            major: MajorVersion::before_ten(9, 6),
            minor: 1,
        };
        assert_eq!(
            fires("unknown-columns", &input)[0].objects,
            ["postgres.public.t.c"]
        );
    }
}
