//! The running server was read.

use super::{Check, CheckInput, Finding, Run};

/// The running server was read.
pub(super) const CHECK: Check = Check {
    id: "server-facts",
    title: "The running server was read",
    why: "Without the server nothing is known about its databases, and every check of the live layer is missing",
    mend: "Start the server with the old image, or read the error of the command",
    waivable: false,
    queries: &[],
    run: Run::Kubernetes(run),
};

fn run(input: &CheckInput) -> Vec<Finding> {
    if input.server.is_some() {
        return Vec::new();
    }
    let id = &input.instance.workload;
    let fix = if input.instance.pod.is_some() {
        String::new()
    } else {
        format!(
            "kubectl -n {} scale {}/{} --replicas 1",
            id.namespace,
            id.kind.to_lowercase(),
            id.name
        )
    };
    vec![
        Finding::blocker(
            "no running server could be read, so nothing is known about its databases",
        )
        .fix(fix),
    ]
}

#[cfg(test)]
mod tests {
    use super::super::testing::{fires, input, silent};

    #[test]
    fn a_server_that_was_not_read_is_a_blocker() {
        let mut input = input();
        silent("server-facts", &input);
        input.server = None;
        input.instance.pod = None;
        let finding = fires("server-facts", &input).remove(0);
        assert_eq!(
            finding.fix,
            "kubectl -n shop scale statefulset/pg --replicas 1"
        );
    }
}
