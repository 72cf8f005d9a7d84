//! The directory that the new cluster shall have can be its own.

use super::{Check, CheckInput, Concerns, Finding, Run, Severity};
use crate::plan::upgrade::WORK_DIRECTORY;

/// The directory that the new cluster shall have can be its own.
pub(super) const CHECK: Check = Check {
    id: "new-data-directory",
    title: "The directory of --data-directory is free, and nothing else names the old one",
    why: "The new server starts where PGDATA says; what lies there already is never written over, and a path that still names the old directory leads to a guard and not to data",
    mend: "Name another directory, or leave --data-directory away: the new cluster then takes the old one's place",
    severity: Severity::Blocker,
    waivable: false,
    concerns: Concerns::Contents,
    queries: &[],
    run: Run::Kubernetes(run),
};

fn run(input: &CheckInput) -> Vec<Finding> {
    let Some(placement) = &input.placement else {
        return Vec::new();
    };
    let issues = placement.issues.iter();
    let mut findings: Vec<Finding> = issues
        .map(|issue| Finding::blocker(issue.message.clone()).fix(issue.fix.clone()))
        .collect();
    let volume = input.target.as_ref().and_then(|t| t.volume.as_ref());
    let earlier = volume.is_some_and(|v| v.entries.iter().any(|name| name == WORK_DIRECTORY));
    if earlier {
        findings.push(
            Finding::blocker(
                "files of earlier runs lie in the data directory, which the new cluster leaves behind",
            )
            .fix("kubectl pg-upgrade cleanup removes them"),
        );
    }
    let seen = volume.and_then(|volume| volume.place.as_deref());
    // What the data's own user may not make, the server's container does as root.
    let root = input
        .server
        .as_ref()
        .is_some_and(|server| server.container.uid == Some(0));
    let seen = seen.filter(|seen| !(root && *seen == "closed"));
    if let (Some(place), Some(trouble)) = (&placement.place, seen.and_then(trouble)) {
        findings.push(Finding::blocker(format!("{} {trouble}", place.directory)));
    }
    findings
}

/// What the probe pod found there, where that is in the way.
fn trouble(seen: &str) -> Option<&'static str> {
    match seen {
        "taken" => Some("exists and is not empty"),
        "foreign" => Some("exists and belongs to another user than the data"),
        "closed" => Some(
            "cannot be made: neither the data's user nor that of the container may write to the directory above it",
        ),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{fires, input, silent};
    use crate::plan::crossing::Issue;
    use crate::plan::place::Placement;
    use crate::record::Place;

    #[test]
    fn what_lies_there_and_what_names_the_old_one_are_told() {
        let mut input = input();
        silent("new-data-directory", &input);
        input.placement = Some(Placement {
            place: Some(Place {
                directory: "/data/17".to_owned(),
                volume_directory: "/vol/17".to_owned(),
                pgdata: None,
            }),
            issues: Vec::new(),
        });
        let mut seen = |state: &str| {
            input
                .target
                .as_mut()
                .unwrap()
                .volume
                .as_mut()
                .unwrap()
                .place = Some(state.to_owned());
            input.clone()
        };
        silent("new-data-directory", &seen("free"));
        for (state, words) in [
            ("taken", "not empty"),
            ("foreign", "another user"),
            ("closed", "cannot be made"),
        ] {
            let found = fires("new-data-directory", &seen(state));
            assert!(found[0].message.contains(words), "{found:?}");
        }
        let mut by_root = seen("closed");
        by_root.server.as_mut().unwrap().container.uid = Some(0);
        silent("new-data-directory", &by_root);
        let mut used = seen("free");
        let volume = used.target.as_mut().unwrap().volume.as_mut().unwrap();
        volume.entries.push(".pg-upgrade".to_owned());
        let found = fires("new-data-directory", &used);
        assert!(found[0].message.contains("earlier runs"), "{found:?}");
        let mut named = seen("free");
        let issue = Issue::blocker("args name it", "say $(PGDATA)");
        named.placement.as_mut().unwrap().issues.push(issue);
        assert_eq!(
            fires("new-data-directory", &named)[0].message,
            "args name it"
        );
    }
}
