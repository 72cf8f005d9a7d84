//! Pod Security lets the upgrade pod in.

use super::{Check, CheckInput, Finding, Run};

/// Pod Security lets the upgrade pod in.
pub(super) const CHECK: Check = Check {
    id: "pod-security",
    title: "Pod Security lets the upgrade pod in",
    why: "The upgrade pod keeps to the level restricted; it can do so only when the data does not belong to root",
    mend: "chown the data directory to the user of the server",
    waivable: false,
    queries: &[],
    run: Run::Kubernetes(run),
};

fn run(input: &CheckInput) -> Vec<Finding> {
    let owner = input
        .server
        .as_ref()
        .and_then(|server| server.container.dir_uid);
    match input.instance.pod_security.as_str() {
        "" | "privileged" | "baseline" => Vec::new(),
        "restricted" if owner != Some(0) => Vec::new(),
        level => vec![Finding::blocker(format!(
            "namespace {} enforces Pod Security level {level}, which a pod of the owner of the data directory does not pass",
            input.instance.workload.namespace
        ))],
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{fires, input, silent};

    #[test]
    fn a_level_that_the_pod_does_not_pass_is_refused() {
        let mut input = input();
        input.instance.pod_security = "restricted".to_owned();
        silent("pod-security", &input);
        input.server.as_mut().unwrap().container.dir_uid = Some(0);
        fires("pod-security", &input);
    }
}
