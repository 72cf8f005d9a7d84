//! No sidecar of a service mesh is in the way.

use super::{Check, CheckInput, Concerns, Finding, Run, Severity};
use crate::k8s::labels;

/// No sidecar of a service mesh is in the way.
pub(super) const CHECK: Check = Check {
    id: "service-mesh",
    title: "No sidecar of a service mesh stands before the server",
    why: "Pods of this tool ask to be left out; behind a sidecar all sessions come from its address, so clients are found by the name of the Service only",
    mend: "Name the clients with --apps where preflight does not list them; exempt the pods of this tool from other injectors",
    severity: Severity::Warning,
    waivable: true,
    concerns: Concerns::Place,
    queries: &[],
    run: Run::Kubernetes(run),
};

fn run(input: &CheckInput) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mesh = &input.surroundings.mesh;
    if !mesh.is_empty() {
        findings.push(
            Finding::info(format!(
                "{} gets a sidecar of a service mesh",
                input.instance.workload
            ))
            .objects(mesh.iter().cloned())
            .fix("add clients that are not listed with --apps KIND/NAME"),
        );
    }
    for tried in input.dry_run.iter().filter(|t| !t.added.is_empty()) {
        findings.push(
            Finding::warning(format!(
                "admission adds containers to {}, although it asks to be left out",
                tried.object
            ))
            .objects(tried.added.iter().cloned())
            .fix(format!(
                "exempt pods with the label {}={} from the injecting webhook: kubectl get mutatingwebhookconfigurations",
                labels::MANAGED_BY,
                labels::MANAGER
            )),
        );
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::super::Severity;
    use super::super::testing::{fires, input, silent};
    use crate::facts::dry_run::{Answer, DryRun};

    #[test]
    fn a_sidecar_is_told_and_one_in_our_pod_is_a_warning() {
        let mut input = input();
        silent("service-mesh", &input);
        input.surroundings.mesh = vec!["Istio: namespace istio-injection=enabled".to_owned()];
        assert_eq!(fires("service-mesh", &input)[0].severity, Severity::Info);
        input.dry_run = vec![DryRun {
            object: "Pod x".to_owned(),
            answer: Answer::Accepted,
            added: vec!["proxy".to_owned()],
        }];
        let findings = fires("service-mesh", &input);
        assert_eq!(findings[1].severity, Severity::Warning);
        assert_eq!(findings[1].objects, ["proxy"]);
    }
}
