//! No autoscaler starts the server again.

use super::{Check, CheckInput, Concerns, Finding, Run, Severity, numbered};

/// No autoscaler starts the server again.
pub(super) const CHECK: Check = Check {
    id: "autoscaler",
    title: "No autoscaler scales the workload itself",
    why: "An autoscaler may scale the server up in the middle; the guard holds, but the pod crash-loops until the end",
    mend: "Delete it, or let quiesce hold it",
    severity: Severity::Warning,
    waivable: true,
    concerns: Concerns::Place,
    queries: &[],
    run: Run::Kubernetes(run),
};

fn run(input: &CheckInput) -> Vec<Finding> {
    let scalers = &input.instance.autoscalers;
    if scalers.is_empty() {
        return Vec::new();
    }
    vec![
        Finding::warning(format!(
            "{} {} {}",
            numbered(scalers.len(), "HorizontalPodAutoscaler"),
            if scalers.len() == 1 {
                "scales"
            } else {
                "scale"
            },
            input.instance.workload
        ))
        .objects(scalers.iter().cloned())
        .fix(format!(
            "kubectl -n {} delete hpa {}",
            input.instance.workload.namespace,
            scalers.join(" ")
        )),
    ]
}

#[cfg(test)]
mod tests {
    use super::super::testing::{fires, input, silent};

    #[test]
    fn an_autoscaler_of_the_server_is_named() {
        let mut input = input();
        silent("autoscaler", &input);
        input.instance.autoscalers = vec!["pg".to_owned()];
        assert_eq!(
            fires("autoscaler", &input)[0].message,
            "1 HorizontalPodAutoscaler scales StatefulSet shop/pg"
        );
    }
}
