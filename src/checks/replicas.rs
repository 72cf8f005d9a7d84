//! There is one server.

use super::{Check, CheckInput, Concerns, Finding, Run, Severity};

/// There is one server.
pub(super) const CHECK: Check = Check {
    id: "replicas",
    title: "The workload has one replica",
    why: "More replicas are standbys with claims of their own, or servers of their own; they are not supported yet",
    mend: "Scale to 1; make the standbys anew after the upgrade",
    severity: Severity::Blocker,
    waivable: false,
    concerns: Concerns::Place,
    queries: &[],
    run: Run::Kubernetes(run),
};

fn run(input: &CheckInput) -> Vec<Finding> {
    if input.instance.replicas <= 1 {
        return Vec::new();
    }
    let id = &input.instance.workload;
    vec![
        Finding::blocker(format!(
            "{id} has {} replicas, which is not supported",
            input.instance.replicas
        ))
        .fix(format!(
            "kubectl -n {} scale {}/{} --replicas 1",
            id.namespace,
            id.kind.to_lowercase(),
            id.name
        )),
    ]
}

#[cfg(test)]
mod tests {
    use super::super::testing::{fires, input, silent};

    #[test]
    fn more_than_one_replica_is_refused() {
        let mut input = input();
        silent("replicas", &input);
        input.instance.replicas = 2;
        fires("replicas", &input);
    }
}
