//! The API server lets in what the upgrade makes.

use super::{Check, CheckInput, Concerns, Finding, Run, Severity};
use crate::facts::dry_run::Answer;
use crate::k8s::labels;

/// The API server lets in what the upgrade makes.
pub(super) const CHECK: Check = Check {
    id: "dry-run",
    title: "The API server accepts every object that the upgrade makes",
    why: "Quotas, limit ranges, Pod Security and admission webhooks may refuse the upgrade pod, its ConfigMap or the volume snapshot",
    mend: "Make room in the quota, or let objects of this tool pass where they are refused",
    severity: Severity::Blocker,
    waivable: false,
    concerns: Concerns::Place,
    queries: &[],
    run: Run::Kubernetes(run),
};

fn run(input: &CheckInput) -> Vec<Finding> {
    let namespace = &input.instance.workload.namespace;
    input
        .dry_run
        .iter()
        .filter_map(|tried| match &tried.answer {
            Answer::Accepted => None,
            Answer::Refused(words) => Some(
                Finding::blocker(format!(
                    "the API server would refuse {}: {}",
                    tried.object,
                    words.trim_end_matches('.')
                ))
                .objects([&tried.object])
                .fix(mend(namespace, words)),
            ),
            Answer::Untried(words) => Some(
                Finding::info(format!(
                    "it could not be tried whether {} would be accepted: {}",
                    tried.object,
                    words.trim_end_matches('.')
                ))
                .objects([&tried.object]),
            ),
        })
        .collect()
}

/// What to do about a refusal, by the words of the admission plugin that gave it.
fn mend(namespace: &str, words: &str) -> String {
    let after = |start: &str, end: &[char]| {
        let (_, rest) = words.split_once(start)?;
        rest.split(end).next().map(str::to_owned)
    };
    if let Some(quota) = after("exceeded quota: ", &[',']) {
        return format!("kubectl -n {namespace} edit resourcequota {quota}");
    }
    if let Some(quota) = after("failed quota: ", &[':']) {
        return format!(
            "kubectl -n {namespace} create -f a LimitRange with default limits, which resourcequota {quota} asks for"
        );
    }
    // A default limit below our request makes the pod invalid (API server, validation of resources).
    if [
        " usage per ",
        "max limit to request ratio",
        "must be less than or equal to memory limit",
        "must be less than or equal to cpu limit",
    ]
    .iter()
    .any(|said| words.contains(said))
    {
        return format!("kubectl -n {namespace} edit limitrange");
    }
    if words.contains("violates PodSecurity") {
        return format!(
            "kubectl label namespace {namespace} pod-security.kubernetes.io/enforce=baseline --overwrite"
        );
    }
    if let Some(webhook) = after("admission webhook \"", &['"']) {
        return format!(
            "let objects with the label {}={} pass in {webhook}: kubectl get validatingwebhookconfigurations,mutatingwebhookconfigurations",
            labels::MANAGED_BY,
            labels::MANAGER
        );
    }
    String::new()
}

#[cfg(test)]
mod tests {
    use super::super::Severity;
    use super::super::testing::{fires, input, silent};
    use super::*;
    use crate::facts::dry_run::DryRun;

    fn tried(answer: Answer) -> CheckInput {
        let mut input = input();
        input.dry_run = vec![DryRun {
            object: "Pod pg-upgrade-x".to_owned(),
            answer,
            added: Vec::new(),
        }];
        input
    }

    #[test]
    fn a_refusal_names_the_object_and_what_refuses() {
        silent("dry-run", &tried(Answer::Accepted));
        // Answers of Kubernetes 1.34.
        for (words, fix) in [
            (
                "pods \"x\" is forbidden: exceeded quota: tight, requested: requests.memory=256Mi, used: requests.memory=64Mi, limited: requests.memory=100Mi",
                "kubectl -n shop edit resourcequota tight",
            ),
            (
                "pods \"x\" is forbidden: maximum memory usage per Container is 128Mi, but request is 256Mi",
                "kubectl -n shop edit limitrange",
            ),
            (
                "Pod \"x\" is invalid: spec.containers[0].resources.requests: Invalid value: \"256Mi\": must be less than or equal to memory limit of 128Mi",
                "kubectl -n shop edit limitrange",
            ),
            (
                "pods \"x\" is forbidden: violates PodSecurity \"restricted:latest\": runAsUser=0",
                "kubectl label namespace shop pod-security.kubernetes.io/enforce=baseline --overwrite",
            ),
            (
                "admission webhook \"validate.kyverno.svc-fail\" denied the request: no",
                "let objects with the label app.kubernetes.io/managed-by=kubectl-pg-upgrade pass in validate.kyverno.svc-fail: kubectl get validatingwebhookconfigurations,mutatingwebhookconfigurations",
            ),
        ] {
            let finding = fires("dry-run", &tried(Answer::Refused(words.to_owned()))).remove(0);
            assert_eq!(finding.severity, Severity::Blocker);
            assert!(finding.message.contains(words), "{}", finding.message);
            assert_eq!(finding.fix, fix);
        }
        let untried = tried(Answer::Untried("no".to_owned()));
        assert_eq!(fires("dry-run", &untried)[0].severity, Severity::Info);
    }
}
