//! No operator owns the instance.

use super::{Check, CheckInput, Finding, Run};
use crate::facts::instance::OwnerKind;

/// No operator owns the instance.
pub(super) const CHECK: Check = Check {
    id: "operator-owned",
    title: "No operator owns the instance",
    why: "An operator would undo every change, or break its own bookkeeping",
    mend: "Use the operator's own upgrade procedure",
    waivable: false,
    queries: &[],
    run: Run::Kubernetes(run),
};

fn run(input: &CheckInput) -> Vec<Finding> {
    input
        .instance
        .owners
        .iter()
        .filter(|owner| owner.kind == OwnerKind::Operator)
        .map(|owner| {
            Finding::blocker(format!(
                "{} belongs to the operator {}",
                input.instance.workload, owner.name
            ))
            .objects([owner.name.clone()])
            .fix(format!(
                "upgrade it as the documentation of {} says",
                owner.name
            ))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::super::testing::{fires, input, silent};
    use super::*;
    use crate::facts::instance::Owner;

    #[test]
    fn an_instance_of_an_operator_is_refused() {
        let mut input = input();
        silent("operator-owned", &input);
        input.instance.owners = vec![Owner {
            kind: OwnerKind::Operator,
            name: "CloudNativePG".to_owned(),
            object: "shop".to_owned(),
        }];
        assert!(
            fires("operator-owned", &input)[0]
                .message
                .contains("CloudNativePG")
        );
    }
}
