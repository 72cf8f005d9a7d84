//! Nobody puts the old image back.

use super::{Check, CheckInput, Concerns, Finding, Run, Severity};
use crate::facts::instance::OwnerKind;

/// Nobody puts the old image back.
pub(super) const CHECK: Check = Check {
    id: "managed-by",
    title: "Nobody puts the old image back",
    why: "Helm and GitOps keep the image in values or in a repository: the next release or sync puts the old one on data of the new version",
    mend: "Change the image there right after the upgrade; the report of the run has the exact change",
    severity: Severity::Warning,
    waivable: true,
    concerns: Concerns::Place,
    queries: &[],
    run: Run::Kubernetes(run),
};

fn run(input: &CheckInput) -> Vec<Finding> {
    let image = &input.request.image;
    input
        .instance
        .owners
        .iter()
        .filter_map(|owner| {
            let finding = match owner.kind {
                OwnerKind::Operator => return None,
                OwnerKind::Helm => Finding::info(format!("{} belongs to Helm release {}", input.instance.workload, owner.name))
                    .fix(format!("after the upgrade set the image to {image} in the values of release {}", owner.name)),
                OwnerKind::ArgoCd => Finding::warning(format!("{} belongs to Argo CD application {}", input.instance.workload, owner.name))
                    .fix(format!("pause it: kubectl annotate application {} argocd.argoproj.io/skip-reconcile=true", owner.name)),
                OwnerKind::Flux => Finding::warning(format!("{} belongs to Flux ({})", input.instance.workload, owner.name))
                    .fix(format!("pause it: flux suspend, for {}", owner.name)),
                OwnerKind::Other => Finding::warning(format!("{} is controlled by {}, which may undo changes", input.instance.workload, owner.name)),
            };
            Some(finding)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::super::Severity;
    use super::super::testing::{fires, input, silent};
    use super::*;
    use crate::facts::instance::Owner;

    #[test]
    fn who_keeps_the_image_is_named() {
        let mut input = input();
        silent("managed-by", &input);
        let owner = |kind| Owner {
            kind,
            name: "shop-db".to_owned(),
            object: String::new(),
        };
        input.instance.owners = vec![
            owner(OwnerKind::Helm),
            owner(OwnerKind::ArgoCd),
            owner(OwnerKind::Operator),
        ];
        let findings = fires("managed-by", &input);
        assert_eq!(
            findings.iter().map(|f| f.severity).collect::<Vec<_>>(),
            [Severity::Info, Severity::Warning]
        );
    }
}
