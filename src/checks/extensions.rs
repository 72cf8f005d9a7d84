//! The target image has every extension.

use super::{
    Check, Concerns, Finding, Run, Severity, Target, in_database, name, numbered, read_databases,
    statements, unknown,
};

/// The target image has every extension.
pub(super) const CHECK: Check = Check {
    id: "extensions",
    title: "The target image has every extension in use",
    why: "An extension that the new image lacks stops pg_upgrade when it loads the libraries or restores the schema",
    mend: "DROP EXTENSION, or take an image that has it",
    severity: Severity::Blocker,
    waivable: false,
    concerns: Concerns::Contents,
    queries: &[],
    run: Run::Target(run),
};

fn run(target: &Target<'_>) -> Vec<Finding> {
    let Some(have) = &target.target.extensions else {
        return vec![Finding::blocker(
            "the extensions of the target image could not be listed",
        )];
    };
    let mut findings = Vec::new();
    let mut objects = Vec::new();
    let mut fixes = Vec::new();
    for (database, contents) in read_databases(target.server) {
        let Some(extensions) = &contents.extensions else {
            findings.push(unknown(
                &format!("the extensions of database {}", name(&database.name)),
                target.server,
            ));
            continue;
        };
        for extension in extensions
            .iter()
            .filter(|extension| !have.contains_key(&extension.name))
        {
            objects.push(format!(
                "{} {} in {}",
                extension.name,
                extension.version,
                name(&database.name)
            ));
            fixes.push(in_database(
                &database.name,
                &format!("DROP EXTENSION {}", name(&extension.name)),
            ));
        }
    }
    if !objects.is_empty() {
        findings.push(
            Finding::blocker(format!(
                "the target image lacks {}",
                numbered(objects.len(), "extension")
            ))
            .objects(objects)
            .fix(format!(
                "take an image that has it with --image, or {}",
                statements(&fixes)
            )),
        );
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::super::testing::{fires, input, silent};

    #[test]
    fn a_missing_extension_is_named_with_its_database() {
        let mut input = input();
        silent("extensions", &input);
        input
            .target
            .as_mut()
            .unwrap()
            .extensions
            .as_mut()
            .unwrap()
            .remove("plpgsql");
        let finding = fires("extensions", &input).remove(0);
        assert_eq!(finding.objects[0], "plpgsql 1.0 in template1");
        assert!(finding.fix.contains("in postgres: DROP EXTENSION plpgsql"));
        input.target.as_mut().unwrap().extensions = None;
        fires("extensions", &input);
    }

    #[test]
    fn an_extension_that_went_is_found_on_a_real_server() {
        let finding = fires("extensions", &super::super::testing::troubled()).remove(0);
        assert_eq!(finding.objects, ["adminpack 2.1 in app"]);
    }
}
