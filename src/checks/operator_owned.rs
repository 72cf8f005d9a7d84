//! No operator owns the instance.

use std::collections::BTreeMap;

use super::{Check, CheckInput, Concerns, Finding, Run, Severity};
use crate::facts::instance::OwnerKind;
use crate::operators;
use crate::operators::procedure::{Names, procedure};

/// No operator owns the instance.
pub(super) const CHECK: Check = Check {
    id: "operator-owned",
    title: "No operator owns the instance",
    why: "An operator would undo every change, or break its own bookkeeping",
    mend: "Use the operator's own upgrade procedure, which the finding has with all names filled in",
    severity: Severity::Blocker,
    waivable: false,
    concerns: Concerns::Place,
    queries: &[],
    run: Run::Kubernetes(run),
};

fn run(input: &CheckInput) -> Vec<Finding> {
    let instance = &input.instance;
    instance
        .owners
        .iter()
        .filter(|owner| owner.kind == OwnerKind::Operator)
        .map(|owner| {
            let finding = Finding::blocker(format!(
                "{} belongs to the operator {}",
                instance.workload, owner.name
            ));
            let Some(operator) = operators::by_name(&owner.name) else {
                return finding.objects([owner.name.clone()]);
            };
            let names = Names {
                namespace: &instance.workload.namespace,
                cluster: &owner.object,
                image: &instance.image,
                from: input
                    .server
                    .as_ref()
                    .map(|server| server.version.major)
                    .or_else(|| operators::claimed_major(&instance.image, &BTreeMap::new())),
                to: input.to(),
                members: Some(instance.replicas).filter(|replicas| *replicas > 0),
            };
            finding
                .objects([format!("{}/{}", operator.resource, owner.object)])
                .fix(procedure(operator, &names).join("\n"))
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
        let finding = fires("operator-owned", &input).remove(0);
        assert!(finding.message.contains("CloudNativePG"));
        assert_eq!(finding.objects, ["cluster.postgresql.cnpg.io/shop"]);
        for words in ["-n shop cluster.postgresql.cnpg.io shop", "postgres:17"] {
            assert!(finding.fix.contains(words), "{}", finding.fix);
        }
    }
}
