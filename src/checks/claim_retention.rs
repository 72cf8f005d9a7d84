//! Stopping the server keeps the claim.

use super::{Check, CheckInput, Concerns, Finding, Run, Severity};

/// Stopping the server keeps the claim.
pub(super) const CHECK: Check = Check {
    id: "claim-retention",
    title: "Stopping the server keeps the claim",
    why: "persistentVolumeClaimRetentionPolicy.whenScaled: Delete removes the claim, and with it the data, when the server is scaled to 0",
    mend: "Set whenScaled to Retain",
    severity: Severity::Blocker,
    waivable: false,
    concerns: Concerns::Place,
    queries: &[],
    run: Run::Kubernetes(run),
};

fn run(input: &CheckInput) -> Vec<Finding> {
    let id = &input.instance.workload;
    if !input.instance.claim_deleted_when_scaled {
        return deleted_with_workload(input);
    }
    vec![
        Finding::blocker(format!("{id} deletes its claims when it is scaled down (whenScaled: Delete)")).fix(format!(
            "kubectl -n {} patch {}/{} -p '{{\"spec\":{{\"persistentVolumeClaimRetentionPolicy\":{{\"whenScaled\":\"Retain\"}}}}}}'",
            id.namespace, id.kind.to_lowercase(), id.name
        )),
    ]
}

/// The upgrade deletes no workload; whoever makes the StatefulSet anew loses the data and the way back with it.
fn deleted_with_workload(input: &CheckInput) -> Vec<Finding> {
    if !input.surroundings.claim_deleted_when_deleted {
        return Vec::new();
    }
    let id = &input.instance.workload;
    vec![
        Finding::info(format!("{id} deletes its claims when it is deleted (whenDeleted: Delete)")).fix(format!(
            "kubectl -n {} patch {}/{} -p '{{\"spec\":{{\"persistentVolumeClaimRetentionPolicy\":{{\"whenDeleted\":\"Retain\"}}}}}}'",
            id.namespace, id.kind.to_lowercase(), id.name
        )),
    ]
}

#[cfg(test)]
mod tests {
    use super::super::Severity;
    use super::super::testing::{fires, input, silent};

    #[test]
    fn a_policy_that_deletes_the_data_is_refused() {
        let mut input = input();
        silent("claim-retention", &input);
        input.surroundings.claim_deleted_when_deleted = true;
        assert_eq!(fires("claim-retention", &input)[0].severity, Severity::Info);
        input.instance.claim_deleted_when_scaled = true;
        assert!(
            fires("claim-retention", &input)[0]
                .fix
                .starts_with("kubectl -n shop patch statefulset/pg -p '{")
        );
    }
}
