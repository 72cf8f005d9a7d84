//! No column holds privileges.

use super::{Check, Concerns, Finding, Live, Run, Severity, columns_finding};

/// No column holds privileges.
pub(super) const CHECK: Check = Check {
    id: "aclitem-columns",
    title: "No column has the type aclitem",
    why: "The stored form of aclitem changed in 16; pg_upgrade refuses such columns",
    mend: "ALTER TABLE … ALTER COLUMN … TYPE text[], and back after the upgrade",
    severity: Severity::Blocker,
    waivable: false,
    concerns: Concerns::StoredForm,
    queries: &[],
    run: Run::Change(16, run),
};

fn run(live: &Live<'_>) -> Vec<Finding> {
    columns_finding(
        live.server,
        &["aclitem"],
        "of a type whose stored form changed in 16",
        "TYPE text",
    )
}

#[cfg(test)]
mod tests {
    use super::super::testing::{fires, input, silent};

    #[test]
    fn such_columns_are_found_on_a_real_server() {
        silent("aclitem-columns", &input());
        let mut troubled = super::super::testing::troubled();
        assert_eq!(
            fires("aclitem-columns", &troubled)[0].objects,
            ["app.public.privileges.a"]
        );
        troubled.target.as_mut().unwrap().version =
            crate::postgres::version::ServerVersion::new(15, 18);
        silent("aclitem-columns", &troubled);
    }
}
