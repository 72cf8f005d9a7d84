//! The data directory is on the claim.

use super::{Check, Concerns, Finding, Live, Run, Severity};

/// The data directory is on the claim.
pub(super) const CHECK: Check = Check {
    id: "data-directory-place",
    title: "The data directory is on the claim",
    why: "The upgrade pod mounts the claim and works there; data that lies elsewhere is out of its reach, or gone with the pod",
    mend: "Move the data onto a claim",
    severity: Severity::Blocker,
    waivable: false,
    concerns: Concerns::Place,
    queries: &[],
    run: Run::Live(run),
};

fn run(live: &Live<'_>) -> Vec<Finding> {
    let mount = live.input.instance.mount_path.trim_end_matches('/');
    let real = live.server.container.real_dir.as_str();
    let below = |path: &str| {
        path == mount
            || path
                .strip_prefix(mount)
                .is_some_and(|rest| rest.starts_with('/'))
    };
    if live.input.instance.claim.is_none() {
        return Vec::new();
    }
    let directory = &live.server.data_directory;
    if mount.is_empty() || !below(directory) {
        vec![Finding::blocker(format!(
            "data directory {directory} is not below {mount}, where the claim is mounted"
        ))]
    } else if !real.is_empty() && !below(real) {
        vec![Finding::blocker(format!(
            "data directory {directory} is a link to {real}, which is not on the claim"
        ))]
    } else {
        Vec::new()
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{fires, input, silent};

    #[test]
    fn data_beside_the_claim_is_refused() {
        let mut input = input();
        silent("data-directory-place", &input);
        input.instance.mount_path = "/vol/dat".to_owned();
        fires("data-directory-place", &input);
        input.instance.mount_path = "/vol/data/".to_owned();
        silent("data-directory-place", &input);
        input.server.as_mut().unwrap().container.real_dir = "/other".to_owned();
        assert!(
            fires("data-directory-place", &input)[0]
                .message
                .contains("is a link to /other")
        );
    }
}
