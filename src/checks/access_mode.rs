//! The upgrade pod can be made while the server runs.

use super::{Check, CheckInput, Concerns, Finding, Run, Severity};

/// The upgrade pod can be made while the server runs.
pub(super) const CHECK: Check = Check {
    id: "access-mode",
    title: "The upgrade pod can mount the claim beside the running server",
    why: "With ReadWriteOncePod only one pod may use the claim, so everything is prepared after the stop: the outage is longer by some seconds",
    mend: "Nothing has to be done; ReadWriteOnce makes the outage shorter",
    severity: Severity::Blocker,
    waivable: true,
    concerns: Concerns::Place,
    queries: &[],
    run: Run::Kubernetes(run),
};

fn run(input: &CheckInput) -> Vec<Finding> {
    let Some(claim) = &input.instance.claim else {
        return Vec::new();
    };
    let modes = &claim.access_modes;
    if modes
        .iter()
        .any(|mode| mode == "ReadWriteOnce" || mode == "ReadWriteMany")
    {
        Vec::new()
    } else if modes.iter().any(|mode| mode == "ReadWriteOncePod") {
        vec![Finding::info(format!(
            "claim {} is ReadWriteOncePod: the upgrade pod starts after the stop",
            claim.id.name
        ))]
    } else {
        vec![Finding::blocker(format!(
            "claim {} cannot be written to (access modes: {})",
            claim.id.name,
            modes.join(", ")
        ))]
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{fires, input, silent};

    use super::super::Severity;

    #[test]
    fn a_claim_for_one_pod_makes_the_outage_longer() {
        let mut input = input();
        silent("access-mode", &input);
        let claim = input.instance.claim.as_mut().unwrap();
        claim.access_modes = vec!["ReadWriteOncePod".to_owned()];
        assert_eq!(fires("access-mode", &input)[0].severity, Severity::Info);
        input.instance.claim.as_mut().unwrap().access_modes = vec!["ReadOnlyMany".to_owned()];
        assert_eq!(fires("access-mode", &input)[0].severity, Severity::Blocker);
    }
}
