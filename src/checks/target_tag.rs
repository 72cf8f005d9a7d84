//! The tag of the target image tells its version.

use super::{Check, Concerns, Finding, Run, Severity, Target};
use crate::postgres::image::major;

/// The tag of the target image tells its version.
pub(super) const CHECK: Check = Check {
    id: "target-tag",
    title: "The tag of the target image tells its version",
    why: "A tag that lies today may hold another version tomorrow, and a restart then finds data that it cannot read",
    mend: "Name an image whose tag is its version with --image",
    severity: Severity::Warning,
    waivable: true,
    concerns: Concerns::Contents,
    queries: &[],
    run: Run::Target(run),
};

fn run(target: &Target<'_>) -> Vec<Finding> {
    let image = &target.input.request.image;
    let version = target.target.version;
    match major(image) {
        Some(claimed) if claimed != version.major => {
            vec![Finding::warning(format!(
                "image {image} holds PostgreSQL {version}, not {claimed}"
            ))]
        }
        None if !image.contains('@') => vec![
            Finding::warning(format!(
                "image {image} does not say its version; today it holds PostgreSQL {version}"
            ))
            .fix(format!("--image with a tag such as {}", version.major)),
        ],
        _ => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{fires, input, silent};

    #[test]
    fn a_tag_that_lies_or_moves_is_named() {
        let mut input = input();
        silent("target-tag", &input);
        input.request.image = "postgres:18".to_owned();
        assert!(
            fires("target-tag", &input)[0]
                .message
                .contains("holds PostgreSQL 17.11, not 18")
        );
        input.request.image = "postgres:latest".to_owned();
        fires("target-tag", &input);
        input.request.image = "postgres@sha256:abc".to_owned();
        silent("target-tag", &input);
    }
}
