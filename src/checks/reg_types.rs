//! No column holds references by oid that change.

use super::{Check, Concerns, Finding, Live, Run, Severity, columns_finding};

/// No column holds references by oid that change.
pub(super) const CHECK: Check = Check {
    id: "reg-types",
    title: "No column holds object references that change",
    why: "Values of types such as regproc are oids of objects, which the new version numbers anew; pg_upgrade refuses them",
    mend: "ALTER TABLE … ALTER COLUMN … TYPE text, and back after the upgrade",
    severity: Severity::Blocker,
    waivable: false,
    concerns: Concerns::StoredForm,
    queries: &[],
    run: Run::Live(run),
};

fn run(live: &Live<'_>) -> Vec<Finding> {
    columns_finding(
        live.server,
        &[
            "regcollation",
            "regconfig",
            "regdictionary",
            "regnamespace",
            "regoper",
            "regoperator",
            "regproc",
            "regprocedure",
        ],
        "of a type that refers to objects by oid",
        "TYPE text",
    )
}

#[cfg(test)]
mod tests {
    use super::super::testing::{fires, input, silent};

    #[test]
    fn such_columns_are_found_on_a_real_server() {
        silent("reg-types", &input());
        let finding = fires("reg-types", &super::super::testing::troubled()).remove(0);
        assert_eq!(
            finding.objects,
            [r#"app.public."Bad Types"."A proc""#, "app.public.wrapped.d"]
        );
        assert!(
            finding.fix.starts_with(
                r#"in app: ALTER TABLE public."Bad Types" ALTER COLUMN "A proc" TYPE text"#
            ),
            "{}",
            finding.fix
        );
    }

    #[test]
    fn a_section_that_was_not_read_is_a_blocker() {
        let mut input = input();
        for database in &mut input.server.as_mut().unwrap().databases {
            if let Some(contents) = &mut database.contents {
                contents.found.remove("data-types");
            }
        }
        assert!(
            fires("reg-types", &input)[0]
                .message
                .contains("could not be read")
        );
    }
}
