//! The data is on a claim.

use super::{Check, CheckInput, Concerns, Finding, Run, Severity};

/// The data is on a claim.
pub(super) const CHECK: Check = Check {
    id: "claim",
    title: "The data is on a PersistentVolumeClaim",
    why: "Only a claim outlives the pod: without one the data is gone when the server is stopped",
    mend: "Move the data onto a claim, with a dump and a new instance",
    severity: Severity::Blocker,
    waivable: false,
    concerns: Concerns::Place,
    queries: &[],
    run: Run::Kubernetes(run),
};

fn run(input: &CheckInput) -> Vec<Finding> {
    if input.instance.claim.is_some() {
        Vec::new()
    } else {
        vec![Finding::blocker(format!(
            "no claim is mounted where {} keeps its data",
            input.instance.workload
        ))]
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{fires, input, silent};

    #[test]
    fn data_without_a_claim_is_refused() {
        let mut input = input();
        silent("claim", &input);
        input.instance.claim = None;
        fires("claim", &input);
    }
}
