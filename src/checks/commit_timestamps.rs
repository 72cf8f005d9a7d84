//! Nobody needs to know when a row was committed.

use super::{Check, Concerns, Finding, Live, Run, Severity};

/// Nobody needs to know when a row was committed.
pub(super) const CHECK: Check = Check {
    id: "commit-timestamps",
    title: "Commit timestamps are not kept",
    why: "The times of commits (pg_commit_ts) stay in the old cluster: pg_xact_commit_timestamp tells nothing of what was committed before the upgrade",
    mend: "Keep what is needed of them in a table before",
    severity: Severity::Warning,
    waivable: true,
    concerns: Concerns::Contents,
    queries: &[],
    run: Run::Live(run),
};

fn run(live: &Live<'_>) -> Vec<Finding> {
    if live.server.value_of("track_commit_timestamp") != Some("on") {
        return Vec::new();
    }
    vec![
        Finding::warning("commit timestamps are kept (track_commit_timestamp = on), and those of before the upgrade would be lost")
            .fix("keep what is needed of pg_xact_commit_timestamp(xmin) in a table before"),
    ]
}

#[cfg(test)]
mod tests {
    use super::super::testing::{fires, input, silent};

    #[test]
    fn only_where_they_are_kept() {
        let mut input = input();
        silent("commit-timestamps", &input);
        let settings = &mut input.server.as_mut().unwrap().settings;
        let mut kept = settings[0].clone();
        kept.name = "track_commit_timestamp".to_owned();
        kept.value = Some("on".to_owned());
        settings.push(kept);
        fires("commit-timestamps", &input);
    }
}
