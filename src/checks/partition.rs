//! The new image reaches the pod.

use super::{Check, CheckInput, Concerns, Finding, Run, Severity};

/// The new image reaches the pod.
pub(super) const CHECK: Check = Check {
    id: "partition",
    title: "No partition holds the new image back",
    why: "With updateStrategy.rollingUpdate.partition above 0 the pod comes back with the old image, on data of the new version",
    mend: "Set the partition to 0",
    severity: Severity::Blocker,
    waivable: false,
    concerns: Concerns::Place,
    queries: &[],
    run: Run::Kubernetes(run),
};

fn run(input: &CheckInput) -> Vec<Finding> {
    if input.instance.partition <= 0 {
        return Vec::new();
    }
    let id = &input.instance.workload;
    vec![
        Finding::blocker(format!("{id} has updateStrategy.rollingUpdate.partition {}", input.instance.partition)).fix(format!(
            "kubectl -n {} patch {}/{} -p '{{\"spec\":{{\"updateStrategy\":{{\"rollingUpdate\":{{\"partition\":0}}}}}}}}'",
            id.namespace, id.kind.to_lowercase(), id.name
        )),
    ]
}

#[cfg(test)]
mod tests {
    use super::super::testing::{fires, input, silent};

    #[test]
    fn a_partition_is_refused() {
        let mut input = input();
        silent("partition", &input);
        input.instance.partition = 1;
        assert!(
            fires("partition", &input)[0]
                .fix
                .contains(r#""partition":0"#)
        );
    }
}
