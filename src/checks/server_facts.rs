//! The running server was read.

use super::{Check, CheckInput, Concerns, Finding, Run, Severity};
use crate::plan::bring_up;

/// The running server was read.
pub(super) const CHECK: Check = Check {
    id: "server-facts",
    title: "The running server was read",
    why: "Without the server nothing is known about its databases, and every check of the live layer is missing",
    mend: "Start the server with the old image, or read the error of the command",
    severity: Severity::Blocker,
    waivable: false,
    concerns: Concerns::Place,
    queries: &[],
    run: Run::Kubernetes(run),
};

fn run(input: &CheckInput) -> Vec<Finding> {
    if input.server.is_some() {
        return Vec::new();
    }
    let id = &input.instance.workload;
    if let Some(down) = &input.instance.down {
        return vec![match bring_up::decide(&input.instance, down, None) {
            Ok(plan) => Finding::blocker(plan.why).fix(format!(
                "kubectl pg-upgrade run -n {} {}/{} does that and goes on",
                id.namespace,
                id.kind.to_lowercase(),
                id.name
            )),
            Err(why) => Finding::blocker(why),
        }];
    }
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
    use crate::facts::instance::Down;
    use crate::postgres::version::MajorVersion;

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
        input.instance.image = "postgres:17".to_owned();
        input.instance.down = Some(Down {
            scaled_to_zero: false,
            said: "FATAL:  database files are incompatible with server".to_owned(),
            data_major: Some(MajorVersion::new(15)),
            earlier_images: vec!["postgres:15.4".to_owned()],
        });
        let finding = fires("server-facts", &input).remove(0);
        assert!(
            finding.message.ends_with("postgres:15.4 is put back first"),
            "{}",
            finding.message
        );
    }
}
