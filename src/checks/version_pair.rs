//! The pair of versions is supported.

use super::{Check, Concerns, Finding, Live, Run, Severity};
use crate::postgres::version::supported_pair;

/// The pair of versions is supported.
pub(super) const CHECK: Check = Check {
    id: "version-pair",
    title: "The pair of versions is supported",
    why: "pg_upgrade goes upwards only, and only from and to versions that it knows",
    mend: "Choose another version with --to or --image",
    severity: Severity::Blocker,
    waivable: false,
    concerns: Concerns::Contents,
    queries: &[],
    run: Run::Live(run),
};

fn run(live: &Live<'_>) -> Vec<Finding> {
    let from = live.server.version.major;
    let mut findings = Vec::new();
    if let Err(reason) = supported_pair(from, live.to) {
        findings.push(
            Finding::blocker(format!("{reason}"))
                .fix("choose another version with --to or --image"),
        );
    }
    if let (Some(asked), Some(target)) = (live.input.request.to, &live.input.target)
        && asked != u32::from(target.version.major.number())
    {
        findings.push(
            Finding::blocker(format!(
                "--to says {asked}, but image {} holds PostgreSQL {}",
                live.input.request.image, target.version
            ))
            .fix(format!("--to {}, or another --image", target.version.major)),
        );
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::super::testing::{fires, input, silent};

    use crate::postgres::version::ServerVersion;

    #[test]
    fn only_upwards_and_only_known_versions() {
        let mut input = input();
        silent("version-pair", &input);
        input.target.as_mut().unwrap().version = ServerVersion::new(13, 16);
        input.request.to = None;
        assert!(
            fires("version-pair", &input)[0]
                .message
                .contains("already version 13")
        );
        input.target.as_mut().unwrap().version = ServerVersion::new(20, 1);
        fires("version-pair", &input);
    }

    #[test]
    fn an_image_of_another_version_than_asked_for_is_refused() {
        let mut input = input();
        input.request.to = Some(18);
        assert!(
            fires("version-pair", &input)[0]
                .message
                .contains("holds PostgreSQL 17.11")
        );
    }
}
