//! The target image is of the same family, or what differs goes along.

use super::{Check, CheckInput, Concerns, Finding, Run, Severity};
use crate::facts::instance::Family;
use crate::plan::crossing::families;

/// The target image is of the same family, or what differs goes along.
pub(super) const CHECK: Check = Check {
    id: "image-family",
    title: "The target image is of the same family, or everything that differs goes along",
    why: "Images differ in user, paths, variables, probes and in where the configuration lies: the new server would not start, or let nobody in",
    mend: "From Bitnami's image to docker-library's the pod template and the configuration are changed with the image, and the plan shows it; mend first what is named. No other change of the family is built",
    severity: Severity::Blocker,
    waivable: false,
    concerns: Concerns::Contents,
    queries: &[],
    run: Run::Kubernetes(run),
};

fn run(input: &CheckInput) -> Vec<Finding> {
    let (image, old) = (&input.request.image, &input.instance.image);
    let target = input.target.as_ref();
    let fix = "name a docker-library image with --image: from Bitnami's to that one the pod template is changed with the image";
    match families(&input.instance, input.server.as_ref(), image, target) {
        (Family::DockerLibrary, Some(Family::Bitnami)) => vec![
            Finding::blocker(format!(
                "{old} is of the docker-library family and {image} of Bitnami's: going that way is not built"
            ))
            .fix(fix),
        ],
        (Family::Bitnami, None) if target.is_none() => vec![Finding::info(format!(
            "the family of {image} is not known before it is looked into"
        ))],
        (Family::Bitnami, None) => vec![
            Finding::blocker(format!(
                "{old} is of Bitnami's family, and {image} of none whose paths and variables are known"
            ))
            .fix(fix),
        ],
        (Family::Bitnami, Some(Family::DockerLibrary)) => crossing(input),
        _ => Vec::new(),
    }
}

fn crossing(input: &CheckInput) -> Vec<Finding> {
    let Some(crossing) = &input.crossing else {
        return vec![Finding::info(
            "the image goes from Bitnami's family to docker-library's; what changes with it was not looked into",
        )];
    };
    let issues = crossing.issues.iter().map(|issue| {
        let finding = if issue.blocks {
            Finding::blocker(&issue.message)
        } else {
            Finding::warning(&issue.message)
        };
        finding.fix(&issue.fix)
    });
    let known = Finding::info(
        "the image goes from Bitnami's family to docker-library's: the pod template changes with it, as the plan shows",
    );
    issues.chain([known]).collect()
}

#[cfg(test)]
mod tests {
    use super::super::testing::{fires, input, silent};
    use super::*;
    use crate::plan::crossing::tests::{bitnami_input, facts};

    #[test]
    fn only_from_bitnami_to_docker_library_is_there_a_way() {
        let mut input = input();
        silent("image-family", &input);
        input.request.image = "docker.io/bitnamilegacy/postgresql:17".to_owned();
        let finding = fires("image-family", &input).remove(0);
        assert_eq!(finding.severity, Severity::Blocker);
        assert!(finding.message.contains("not built"), "{finding:?}");
        // What is inside counts, not the name.
        input.target.as_mut().unwrap().family = Some(Family::DockerLibrary);
        silent("image-family", &input);

        let mut input = bitnami_input();
        silent_but_info(&input);
        input.request.image = "registry.example/db:17".to_owned();
        input.target.as_mut().unwrap().family = None;
        let finding = fires("image-family", &input).remove(0);
        assert!(
            finding.message.contains("of none whose paths"),
            "{finding:?}"
        );
        let looked = input.target.take();
        assert_eq!(fires("image-family", &input)[0].severity, Severity::Info);
        input.target = looked;
        // A docker-library image in the clothes of Bitnami.
        input.server.as_mut().unwrap().config_file = "/data/postgresql.conf".to_owned();
        silent("image-family", &input);
    }

    fn silent_but_info(input: &CheckInput) {
        let found = fires("image-family", input);
        assert!(
            found.iter().all(|f| f.severity < Severity::Blocker),
            "{found:?}"
        );
    }

    #[test]
    fn what_cannot_go_along_is_a_blocker() {
        let mut input = bitnami_input();
        let mut facts = facts();
        facts.files.hba.push(None);
        input.crossing = Some(facts.decide());
        let found = fires("image-family", &input);
        assert!(
            found.iter().any(|f| f.severity == Severity::Blocker),
            "{found:?}"
        );
    }

    #[test]
    fn other_checks_judge_the_new_place_of_the_configuration() {
        let mut input = bitnami_input();
        silent("preload-libraries", &input);
        assert_eq!(
            fires("removed-settings", &input)[0].severity,
            Severity::Info
        );
        input.crossing = None;
        fires("preload-libraries", &input);
        assert_eq!(
            fires("removed-settings", &input)[0].severity,
            Severity::Blocker
        );
    }
}
