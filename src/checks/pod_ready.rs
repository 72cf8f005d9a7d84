//! The server is ready.

use super::{Check, CheckInput, Concerns, Finding, Run, Severity};

/// The server is ready.
pub(super) const CHECK: Check = Check {
    id: "pod-ready",
    title: "The pod of the server is ready",
    why: "A server in trouble is better mended before it is upgraded; whether the new one is ready is told by the same probes",
    mend: "kubectl describe pod, and mend what it says",
    severity: Severity::Warning,
    waivable: true,
    concerns: Concerns::Place,
    queries: &[],
    run: Run::Kubernetes(run),
};

fn run(input: &CheckInput) -> Vec<Finding> {
    match &input.instance.pod {
        Some(pod) if !pod.ready => {
            let namespace = &input.instance.workload.namespace;
            vec![
                Finding::warning(format!("Pod {namespace}/{} is not ready", pod.name))
                    .fix(format!("kubectl -n {namespace} describe pod {}", pod.name)),
            ]
        }
        _ => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{fires, input, silent};

    #[test]
    fn a_pod_that_is_not_ready_is_worth_a_word() {
        let mut input = input();
        silent("pod-ready", &input);
        input.instance.pod.as_mut().unwrap().ready = false;
        fires("pod-ready", &input);
    }
}
