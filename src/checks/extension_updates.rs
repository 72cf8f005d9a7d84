//! Every extension can be updated to the version of the target image.

use super::{
    Check, Concerns, Finding, Run, Severity, Target, in_database, name, numbered, read_databases,
    statements,
};

/// Every extension can be updated to the version of the target image.
pub(super) const CHECK: Check = Check {
    id: "extension-updates",
    title: "Every extension can be updated to the version in the target image",
    why: "After the upgrade an extension still has its old version; where no update script leads to the new one it has to be dropped and made again",
    mend: "kubectl pg-upgrade vacuum runs ALTER EXTENSION … UPDATE",
    severity: Severity::Warning,
    waivable: true,
    concerns: Concerns::Contents,
    queries: &[],
    run: Run::Target(run),
};

fn run(target: &Target<'_>) -> Vec<Finding> {
    let Some(have) = &target.target.extensions else {
        return Vec::new();
    };
    let (mut updated, mut stuck, mut fixes) = (Vec::new(), Vec::new(), Vec::new());
    for (database, contents) in read_databases(target.server) {
        for extension in contents.extensions.iter().flatten() {
            let Some(new) = have.get(&extension.name) else {
                continue;
            };
            let Some(to) = new
                .default_version
                .as_deref()
                .filter(|to| *to != extension.version)
            else {
                continue;
            };
            let shown = format!(
                "{} {} to {to} in {}",
                extension.name,
                extension.version,
                name(&database.name)
            );
            if leads(&new.updates, &extension.version, to) {
                updated.push(shown);
            } else {
                stuck.push(shown);
                fixes.push(in_database(
                    &database.name,
                    &format!(
                        "DROP EXTENSION {0}; CREATE EXTENSION {0}",
                        name(&extension.name)
                    ),
                ));
            }
        }
    }
    let mut findings = Vec::new();
    if !stuck.is_empty() {
        findings.push(
            Finding::warning(format!(
                "no update script leads to the new version of {}",
                numbered(stuck.len(), "extension")
            ))
            .objects(stuck)
            .fix(format!("after the upgrade, {}", statements(&fixes))),
        );
    }
    if !updated.is_empty() {
        findings.push(
            Finding::info(format!(
                "{} to update after the upgrade",
                numbered(updated.len(), "extension")
            ))
            .objects(updated)
            .fix("kubectl pg-upgrade vacuum"),
        );
    }
    findings
}

/// Whether update scripts, each `FROM--TO`, lead from one version to another.
fn leads(updates: &[String], from: &str, to: &str) -> bool {
    let steps: Vec<(&str, &str)> = updates
        .iter()
        .filter_map(|step| step.split_once("--"))
        .collect();
    let mut reached = vec![from];
    let mut next = 0;
    while let Some(at) = reached.get(next).copied() {
        if at == to {
            return true;
        }
        next += 1;
        for (_, end) in steps.iter().filter(|(start, _)| *start == at) {
            if !reached.contains(end) {
                reached.push(end);
            }
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::super::Severity;
    use super::super::testing::{fires, input, silent};
    use super::*;

    #[test]
    fn update_scripts_are_followed_step_by_step() {
        let updates = [
            "1.0--1.1".to_owned(),
            "1.1--1.2".to_owned(),
            "1.2--1.1".to_owned(),
        ];
        assert!(leads(&updates, "1.0", "1.2"));
        assert!(!leads(&updates, "1.0", "2.0"));
    }

    #[test]
    fn an_update_is_told_and_a_dead_end_is_a_warning() {
        let mut input = input();
        silent("extension-updates", &input);
        let plpgsql = input
            .target
            .as_mut()
            .unwrap()
            .extensions
            .as_mut()
            .unwrap()
            .get_mut("plpgsql")
            .unwrap();
        plpgsql.default_version = Some("2.0".to_owned());
        assert_eq!(
            fires("extension-updates", &input)[0].severity,
            Severity::Warning
        );
        let plpgsql = input
            .target
            .as_mut()
            .unwrap()
            .extensions
            .as_mut()
            .unwrap()
            .get_mut("plpgsql")
            .unwrap();
        plpgsql.updates = vec!["1.0--2.0".to_owned()];
        assert_eq!(
            fires("extension-updates", &input)[0].severity,
            Severity::Info
        );
    }
}
