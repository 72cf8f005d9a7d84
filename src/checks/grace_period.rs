//! The server has time to shut down.

use super::{Check, CheckInput, Concerns, Finding, Run, Severity};

/// The server has time to shut down.
pub(super) const CHECK: Check = Check {
    id: "grace-period",
    title: "The server has time to write everything when it is stopped",
    why: "A server that is killed before its last checkpoint has to recover first, which makes the outage longer",
    mend: "Set terminationGracePeriodSeconds to 60 or more",
    severity: Severity::Warning,
    waivable: true,
    concerns: Concerns::Place,
    queries: &[],
    run: Run::Kubernetes(run),
};

const SHORT: i64 = 10;

fn run(input: &CheckInput) -> Vec<Finding> {
    let seconds = input.instance.grace_seconds;
    if seconds >= SHORT {
        return Vec::new();
    }
    let id = &input.instance.workload;
    vec![
        Finding::warning(format!("the server is killed {seconds} s after it was asked to stop (terminationGracePeriodSeconds)")).fix(format!(
            "kubectl -n {} patch {}/{} -p '{{\"spec\":{{\"template\":{{\"spec\":{{\"terminationGracePeriodSeconds\":60}}}}}}}}'",
            id.namespace, id.kind.to_lowercase(), id.name
        )),
    ]
}

#[cfg(test)]
mod tests {
    use super::super::testing::{fires, input, silent};

    #[test]
    fn a_short_grace_period_is_a_warning() {
        let mut input = input();
        silent("grace-period", &input);
        input.instance.grace_seconds = 1;
        fires("grace-period", &input);
    }
}
