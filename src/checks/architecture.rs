//! Both images are of the same architecture.

use super::{Check, Concerns, Finding, Run, Severity, Target};

/// Both images are of the same architecture.
pub(super) const CHECK: Check = Check {
    id: "architecture",
    title: "Both images run on the same architecture",
    why: "The format of data files depends on the architecture",
    mend: "Keep the server on nodes of its architecture",
    severity: Severity::Blocker,
    waivable: false,
    concerns: Concerns::Contents,
    queries: &[],
    run: Run::Target(run),
};

fn run(target: &Target<'_>) -> Vec<Finding> {
    let old = target.server.container.machine.as_str();
    match target.target.machine.as_deref() {
        Some(new) if !old.is_empty() && old == new => Vec::new(),
        Some(new) if !old.is_empty() => {
            vec![Finding::blocker(format!(
                "the server runs on {old}, the pod of the new image on {new}"
            ))]
        }
        _ => vec![Finding::blocker("the architectures could not be compared")],
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{fires, input, silent};

    #[test]
    fn another_architecture_is_refused() {
        let mut input = input();
        silent("architecture", &input);
        input.target.as_mut().unwrap().machine = Some("aarch64".to_owned());
        fires("architecture", &input);
        input.target.as_mut().unwrap().machine = None;
        fires("architecture", &input);
    }
}
