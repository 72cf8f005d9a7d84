//! No column has a type that is gone.

use super::{Check, Concerns, Finding, Live, Run, Severity, columns_finding};

/// No column has a type that is gone.
pub(super) const CHECK: Check = Check {
    id: "removed-types",
    title: "No column has a type that the new version no longer has",
    why: "The types abstime, reltime and tinterval went with 12, and line has another form since 9.4",
    mend: "ALTER TABLE … ALTER COLUMN … TYPE timestamptz or interval",
    severity: Severity::Blocker,
    waivable: false,
    concerns: Concerns::Contents,
    queries: &[],
    run: Run::Change(12, run),
};

fn run(live: &Live<'_>) -> Vec<Finding> {
    columns_finding(
        live.server,
        &["abstime", "reltime", "tinterval"],
        "of a type that went with 12",
        "TYPE timestamptz",
    )
}

#[cfg(test)]
mod tests {
    use super::super::testing::{fires, silent};
    use crate::postgres::version::MajorVersion;

    #[test]
    fn such_columns_of_an_old_server_are_found() {
        let mut input = super::super::testing::with_column("abstime");
        silent("removed-types", &input);
        input.server.as_mut().unwrap().version = crate::postgres::version::ServerVersion {
            major: MajorVersion::new(11),
            minor: 1,
        };
        assert_eq!(
            fires("removed-types", &input)[0].objects,
            ["postgres.public.t.c"]
        );
    }
}
