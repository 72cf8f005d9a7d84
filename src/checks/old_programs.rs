//! The old server's programs run beside the new image.

use super::{Check, Concerns, Finding, Run, Severity, Target};

/// The old server's programs run beside the new image.
pub(super) const CHECK: Check = Check {
    id: "old-programs",
    title: "The old server's programs run in a pod of the target image and start a server there",
    why: "pg_upgrade starts the old server once more to read its catalogs, from a copy of its programs beside the new ones",
    mend: "Take the official image, or one built from it, for both versions",
    severity: Severity::Blocker,
    waivable: true,
    concerns: Concerns::Place,
    queries: &[],
    run: Run::Target(run),
};

fn run(target: &Target<'_>) -> Vec<Finding> {
    let Some(old) = &target.target.old_programs else {
        return Vec::new();
    };
    if old.failed.is_empty() {
        return Vec::new();
    }
    let does = if old.version.is_empty() {
        "do not run"
    } else {
        "start no server"
    };
    vec![
        Finding::blocker(format!(
            "the programs of {} {does} in a pod of {}: {}",
            target.input.instance.image,
            target.input.request.image,
            old.failed.trim().trim_end_matches('.')
        ))
        .fix("take a target image of the same family with --image"),
    ]
}

#[cfg(test)]
mod tests {
    use super::super::testing::{fires, input, silent};
    use crate::facts::target::OldPrograms;

    #[test]
    fn programs_that_do_not_run_are_a_blocker() {
        let mut input = input();
        silent("old-programs", &input);
        let mut say = |version: &str, failed: &str| {
            input.target.as_mut().unwrap().old_programs = Some(OldPrograms {
                version: version.to_owned(),
                failed: failed.to_owned(),
            });
            fires("old-programs", &input)[0].message.clone()
        };
        assert_eq!(
            say("", "libicu.so.67: cannot open shared object file\n"),
            "the programs of postgres:13 do not run in a pod of postgres:17: libicu.so.67: cannot open shared object file"
        );
        assert!(say("postgres (PostgreSQL) 13.16", "FATAL: no memory").contains("start no server"));
    }
}
