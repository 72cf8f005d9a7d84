//! Two servers never run on one volume.

use super::{Check, CheckInput, Concerns, Finding, Run, Severity};

/// Two servers never run on one volume.
pub(super) const CHECK: Check = Check {
    id: "update-strategy",
    title: "A changed template never runs two servers at once",
    why: "Two servers on one data directory destroy it: they are in separate PID namespaces, so the lock file does not keep them apart",
    mend: "Set the strategy of the Deployment to Recreate",
    severity: Severity::Warning,
    waivable: true,
    concerns: Concerns::Place,
    queries: &[],
    run: Run::Kubernetes(run),
};

fn run(input: &CheckInput) -> Vec<Finding> {
    let id = &input.instance.workload;
    if input.surroundings.surges {
        return vec![
            Finding::warning(format!(
                "{id} has strategy RollingUpdate with maxSurge: every change of its template starts a second server beside the first"
            ))
            .fix(format!(
                "kubectl -n {} patch {}/{} -p '{{\"spec\":{{\"strategy\":{{\"type\":\"Recreate\",\"rollingUpdate\":null}}}}}}'",
                id.namespace,
                id.kind.to_lowercase(),
                id.name
            )),
        ];
    }
    if input.instance.strategy == "OnDelete" {
        return vec![Finding::info(format!(
            "{id} has updateStrategy OnDelete; the upgrade replaces the pod itself"
        ))];
    }
    Vec::new()
}

#[cfg(test)]
mod tests {
    use super::super::Severity;
    use super::super::testing::{fires, input, silent};

    #[test]
    fn a_second_server_beside_the_first_is_a_warning() {
        let mut input = input();
        silent("update-strategy", &input);
        input.instance.strategy = "OnDelete".to_owned();
        assert_eq!(fires("update-strategy", &input)[0].severity, Severity::Info);
        input.surroundings.surges = true;
        assert_eq!(
            fires("update-strategy", &input)[0].severity,
            Severity::Warning
        );
    }
}
