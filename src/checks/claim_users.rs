//! Only the server uses the claim.

use super::{Check, CheckInput, Concerns, Finding, Run, Severity, numbered};

/// Only the server uses the claim.
pub(super) const CHECK: Check = Check {
    id: "claim-users",
    title: "Only the server uses the claim",
    why: "Another pod on the same volume can start a server on the data, or change files, in the middle of the upgrade",
    mend: "Stop the other pods",
    severity: Severity::Blocker,
    waivable: false,
    concerns: Concerns::Place,
    queries: &[],
    run: Run::Kubernetes(run),
};

fn run(input: &CheckInput) -> Vec<Finding> {
    let Some(claim) = &input.instance.claim else {
        return Vec::new();
    };
    let own = input.instance.pod.as_ref().map(|pod| pod.name.as_str());
    let others: Vec<&String> = claim
        .used_by
        .iter()
        .filter(|pod| Some(pod.as_str()) != own)
        .collect();
    if others.is_empty() {
        return Vec::new();
    }
    let names: Vec<&str> = others.iter().map(|pod| pod.as_str()).collect();
    vec![
        Finding::blocker(format!(
            "claim {} is used by {} besides the server",
            claim.id.name,
            numbered(others.len(), "pod")
        ))
        .fix(format!(
            "kubectl -n {} delete pod {}",
            claim.id.namespace,
            names.join(" ")
        ))
        .objects(others),
    ]
}

#[cfg(test)]
mod tests {
    use super::super::testing::{fires, input, silent};

    #[test]
    fn another_pod_on_the_claim_is_named() {
        let mut input = input();
        silent("claim-users", &input);
        input
            .instance
            .claim
            .as_mut()
            .unwrap()
            .used_by
            .push("debug".to_owned());
        let finding = fires("claim-users", &input).remove(0);
        assert_eq!(
            (finding.objects[0].as_str(), finding.fix.as_str()),
            ("debug", "kubectl -n shop delete pod debug")
        );
    }
}
