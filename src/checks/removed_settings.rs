//! No configuration file has a setting that is gone.

use super::{Check, Concerns, Finding, Live, Run, Severity, numbered, to_version, unknown};
use crate::postgres::settings::{renamed, stops};

/// No configuration file has a setting that is gone.
pub(super) const CHECK: Check = Check {
    id: "removed-settings",
    title: "No configuration file that the new server reads has a setting that it does not know",
    why: "A server refuses to start on a configuration file with an unknown setting",
    mend: "Remove the line; in files of the data directory it is commented out by the upgrade",
    severity: Severity::Blocker,
    waivable: true,
    concerns: Concerns::Contents,
    queries: &[],
    run: Run::Live(run),
};

fn run(live: &Live<'_>) -> Vec<Finding> {
    let Some(lines) = &live.server.file_settings else {
        return vec![unknown("the configuration files", live.server)];
    };
    let to = to_version(live);
    let known = live
        .input
        .target
        .as_ref()
        .and_then(|target| target.settings.as_ref());
    let (mut inside, mut outside, mut fixes) = (Vec::new(), Vec::new(), Vec::new());
    let directory = format!("{}/", live.server.data_directory.trim_end_matches('/'));
    for line in lines {
        let (Some(name), Some(file)) = (&line.name, &line.file) else {
            continue;
        };
        if !stops(name, to, known) {
            continue;
        }
        let place = format!("{name} ({file} line {})", line.line.unwrap_or(0));
        // Files of another image family are translated, and what is gone is left out.
        let crossing = live.input.crossing.as_ref();
        let translated = crossing.is_some_and(|crossing| crossing.translated.contains(file));
        if translated || file.starts_with(&directory) {
            inside.push(place);
        } else {
            let instead = renamed(name)
                .map(|new| format!(", use {new}"))
                .unwrap_or_default();
            fixes.push(format!("remove {name} from {file}{instead}"));
            outside.push(place);
        }
    }
    let mut findings = Vec::new();
    if !outside.is_empty() {
        findings.push(
            Finding::blocker(format!(
                "{} outside the data directory that PostgreSQL {} does not know",
                numbered(outside.len(), "setting"),
                to.major
            ))
            .objects(outside)
            .fix(fixes.join("; ")),
        );
    }
    if !inside.is_empty() {
        findings.push(
            Finding::info(format!(
                "{} that PostgreSQL {} does not know, commented out by the upgrade",
                numbered(inside.len(), "setting"),
                to.major
            ))
            .objects(inside),
        );
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::super::testing::{fires, input, silent};

    use super::super::Severity;
    use crate::facts::server::FileSetting;

    #[test]
    fn a_removed_setting_in_the_data_directory_is_told() {
        let mut input = input();
        silent("removed-settings", &input);
        let finding = fires("removed-settings", &super::super::testing::troubled()).remove(0);
        assert_eq!(finding.severity, Severity::Info);
        assert!(
            finding.objects[0].starts_with("operator_precedence_warning ("),
            "{:?}",
            finding.objects
        );
        input.server.as_mut().unwrap().file_settings = None;
        fires("removed-settings", &input);
    }

    #[test]
    fn a_removed_setting_in_another_file_is_a_blocker() {
        let mut input = input();
        input.server.as_mut().unwrap().file_settings = Some(vec![FileSetting {
            name: Some("wal_keep_segments".to_owned()),
            value: Some("8".to_owned()),
            file: Some("/etc/postgresql/custom.conf".to_owned()),
            line: Some(3),
            applied: true,
            error: None,
        }]);
        let finding = fires("removed-settings", &input).remove(0);
        assert_eq!(finding.severity, Severity::Blocker);
        assert_eq!(
            finding.fix,
            "remove wal_keep_segments from /etc/postgresql/custom.conf, use wal_keep_size"
        );
    }
}
