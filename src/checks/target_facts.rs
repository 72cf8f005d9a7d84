//! The target image was looked into.

use super::{ALL, Check, CheckInput, Concerns, Finding, Layer, Run, Severity};

/// The target image was looked into.
pub(super) const CHECK: Check = Check {
    id: "target-facts",
    title: "The target image was looked into",
    why: "Tags lie and images differ: only a pod of the target image knows its version, locales, extensions and libraries",
    mend: "Run preflight without --read-only",
    severity: Severity::Warning,
    waivable: false,
    concerns: Concerns::Contents,
    queries: &[],
    run: Run::Kubernetes(run),
};

fn run(input: &CheckInput) -> Vec<Finding> {
    if input.target.is_some() {
        return Vec::new();
    }
    let missing = ALL
        .iter()
        .filter(|check| check.layer() == Layer::Target)
        .count();
    vec![
        Finding::warning(format!(
            "image {} was not looked into, so {missing} checks were not made",
            input.request.image
        ))
        .fix(if input.dry_run.is_empty() {
            "kubectl pg-upgrade preflight without --read-only"
        } else {
            "see dry-run: the probe pod would be refused, too"
        }),
    ]
}

#[cfg(test)]
mod tests {
    use super::super::testing::{fires, input, silent};

    #[test]
    fn an_image_that_was_not_looked_into_is_said() {
        let mut input = input();
        silent("target-facts", &input);
        input.target = None;
        assert!(
            fires("target-facts", &input)[0]
                .message
                .contains("checks were not made")
        );
    }
}
