//! KEDA does not start what was stopped.

use super::{Check, CheckInput, Concerns, Finding, Run, Severity};

/// KEDA does not start what was stopped.
pub(super) const CHECK: Check = Check {
    id: "scaled-object",
    title: "No KEDA ScaledObject scales the server or a client",
    why: "KEDA scales from 0 on its own, unlike a HorizontalPodAutoscaler: it starts the server or its clients again in the middle of the outage",
    mend: "Pause it for the time of the upgrade",
    severity: Severity::Warning,
    waivable: true,
    concerns: Concerns::Place,
    queries: &[],
    run: Run::Kubernetes(run),
};

fn run(input: &CheckInput) -> Vec<Finding> {
    let namespace = &input.instance.workload.namespace;
    let mut findings: Vec<Finding> = input
        .surroundings
        .scaled_objects
        .iter()
        .map(|scaler| {
            Finding::warning(format!(
                "ScaledObject {} scales {} {namespace}/{}",
                scaler.name, scaler.kind, scaler.target
            ))
            .fix(format!(
                "kubectl -n {namespace} annotate scaledobject {} autoscaling.keda.sh/paused=true",
                scaler.name
            ))
        })
        .collect();
    findings.extend(
        input
            .surroundings
            .unread
            .iter()
            .map(|what| Finding::info(format!("it is not known what scales here: {what}"))),
    );
    findings
}

#[cfg(test)]
mod tests {
    use super::super::Severity;
    use super::super::testing::{fires, input, silent};
    use crate::facts::surroundings::Scaler;

    #[test]
    fn what_starts_things_again_is_named() {
        let mut input = input();
        silent("scaled-object", &input);
        input.surroundings.scaled_objects = vec![Scaler {
            name: "work".to_owned(),
            kind: "Deployment".to_owned(),
            target: "app".to_owned(),
        }];
        assert_eq!(
            fires("scaled-object", &input)[0].message,
            "ScaledObject work scales Deployment shop/app"
        );
        input.surroundings.scaled_objects.clear();
        input.surroundings.unread = vec!["ScaledObjects: forbidden".to_owned()];
        assert_eq!(fires("scaled-object", &input)[0].severity, Severity::Info);
    }
}
