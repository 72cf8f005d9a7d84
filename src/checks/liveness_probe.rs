//! A server that starts slowly is not killed.

use super::{Check, CheckInput, Concerns, Finding, Run, Severity};

/// A server that starts slowly is not killed.
pub(super) const CHECK: Check = Check {
    id: "liveness-probe",
    title: "The liveness probe waits for a slow start",
    why: "The kubelet kills a server that still replays WAL after an unclean stop, again and again, so it never comes up",
    mend: "Give the container a startupProbe, or the livenessProbe a higher failureThreshold",
    severity: Severity::Warning,
    waivable: true,
    concerns: Concerns::Place,
    queries: &[],
    run: Run::Kubernetes(run),
};

/// Seconds that recovery may take without being called slow.
const PATIENCE: i32 = 60;
/// Seconds that the suggested change waits.
const ENOUGH: i32 = 300;

fn run(input: &CheckInput) -> Vec<Finding> {
    let Some(probe) = input
        .surroundings
        .liveness
        .filter(|probe| probe.patience() < PATIENCE)
    else {
        return Vec::new();
    };
    let id = &input.instance.workload;
    let threshold = ENOUGH / probe.period.max(1);
    vec![
        Finding::warning(format!(
            "container {} is killed when it does not answer {} s after its start (livenessProbe, no startupProbe)",
            input.instance.container,
            probe.patience()
        ))
        .fix(format!(
            "kubectl -n {} patch {}/{} -p '{{\"spec\":{{\"template\":{{\"spec\":{{\"containers\":[{{\"name\":\"{}\",\"livenessProbe\":{{\"failureThreshold\":{threshold}}}}}]}}}}}}}}' (restarts the server)",
            id.namespace,
            id.kind.to_lowercase(),
            id.name,
            input.instance.container
        )),
    ]
}

#[cfg(test)]
mod tests {
    use super::super::Severity;
    use super::super::testing::{fires, input, silent};
    use crate::facts::surroundings::Liveness;

    #[test]
    fn a_short_patience_is_a_warning() {
        let mut input = input();
        silent("liveness-probe", &input);
        let mut probe = Liveness {
            delay: 30,
            period: 10,
            threshold: 6,
        };
        input.surroundings.liveness = Some(probe);
        silent("liveness-probe", &input);
        (probe.delay, probe.threshold) = (0, 3);
        input.surroundings.liveness = Some(probe);
        let finding = fires("liveness-probe", &input).remove(0);
        assert_eq!(finding.severity, Severity::Warning);
        assert!(finding.message.contains(" 30 s "), "{}", finding.message);
        assert!(
            finding.fix.contains(r#"{"failureThreshold":30}}]}}}}'"#),
            "{}",
            finding.fix
        );
    }
}
