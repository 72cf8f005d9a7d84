//! Everything that the plan does is allowed.

use super::{Check, CheckInput, Concerns, Finding, Run, Severity, numbered};

/// Everything that the plan does is allowed.
pub(super) const CHECK: Check = Check {
    id: "permissions",
    title: "Everything that the plan does is allowed",
    why: "A request that is denied in the middle of the outage is the worst place to learn of it",
    mend: "kubectl pg-upgrade rbac prints the Role that is needed",
    severity: Severity::Blocker,
    waivable: true,
    concerns: Concerns::Place,
    queries: &[],
    run: Run::Kubernetes(run),
};

fn run(input: &CheckInput) -> Vec<Finding> {
    let Some(access) = &input.access else {
        return vec![
            Finding::warning("it could not be asked what is allowed")
                .fix("kubectl auth can-i --list"),
        ];
    };
    let denied: Vec<&String> = access
        .iter()
        .filter(|(_, allowed)| !allowed)
        .map(|(what, _)| what)
        .collect();
    if denied.is_empty() {
        return Vec::new();
    }
    vec![
        Finding::blocker(format!(
            "{} not allowed",
            if denied.len() == 1 {
                "1 request is".to_owned()
            } else {
                format!("{} are", numbered(denied.len(), "request"))
            }
        ))
        .objects(denied)
        .fix("kubectl pg-upgrade rbac | kubectl apply -f - as someone who may, and a RoleBinding"),
    ]
}

#[cfg(test)]
mod tests {
    use super::super::testing::{fires, input, silent};

    #[test]
    fn what_is_denied_is_named() {
        let mut input = input();
        silent("permissions", &input);
        input
            .access
            .as_mut()
            .unwrap()
            .push(("create pods/exec".to_owned(), false));
        assert_eq!(
            fires("permissions", &input)[0].objects,
            ["create pods/exec"]
        );
        input.access = None;
        fires("permissions", &input);
    }
}
