//! Nobody evicts the server for other resources.

use super::{Check, CheckInput, Concerns, Finding, Run, Severity};

/// Nobody evicts the server for other resources.
pub(super) const CHECK: Check = Check {
    id: "vertical-autoscaler",
    title: "No VerticalPodAutoscaler replaces the server's pod",
    why: "It evicts the pod whenever it has another recommendation, also right after the upgrade while statistics are made",
    mend: "Set its updateMode to Off for the time of the upgrade",
    severity: Severity::Warning,
    waivable: true,
    concerns: Concerns::Place,
    queries: &[],
    run: Run::Kubernetes(run),
};

fn run(input: &CheckInput) -> Vec<Finding> {
    let namespace = &input.instance.workload.namespace;
    input
        .surroundings
        .vertical_scalers
        .iter()
        .map(|scaler| {
            Finding::warning(format!(
                "VerticalPodAutoscaler {} evicts the pod of {} when it likes",
                scaler.name, input.instance.workload
            ))
            .fix(format!(
                "kubectl -n {namespace} patch verticalpodautoscaler {} --type merge -p '{{\"spec\":{{\"updatePolicy\":{{\"updateMode\":\"Off\"}}}}}}'",
                scaler.name
            ))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::super::Severity;
    use super::super::testing::{fires, input, silent};
    use crate::facts::surroundings::Scaler;

    #[test]
    fn one_that_evicts_is_named() {
        let mut input = input();
        silent("vertical-autoscaler", &input);
        input.surroundings.vertical_scalers = vec![Scaler {
            name: "pg".to_owned(),
            kind: "StatefulSet".to_owned(),
            target: "pg".to_owned(),
        }];
        let finding = fires("vertical-autoscaler", &input).remove(0);
        assert_eq!(finding.severity, Severity::Warning);
        assert!(
            finding
                .fix
                .starts_with("kubectl -n shop patch verticalpodautoscaler pg ")
        );
    }
}
