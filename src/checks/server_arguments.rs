//! No argument of the server is a setting that is gone.

use super::{Check, Concerns, Finding, Live, Run, Severity, numbered, to_version};
use std::collections::BTreeMap;

use crate::postgres::settings::{renamed, stops};

/// No argument of the server is a setting that is gone.
pub(super) const CHECK: Check = Check {
    id: "server-arguments",
    title: "No argument or environment variable of the server sets what the new version does not know",
    why: "A server refuses to start with an unknown setting among its arguments; the new server would crash-loop",
    mend: "Remove it from args or env of the container",
    severity: Severity::Blocker,
    waivable: false,
    concerns: Concerns::Contents,
    queries: &[],
    run: Run::Live(run),
};

fn run(live: &Live<'_>) -> Vec<Finding> {
    let to = to_version(live);
    let known = live
        .input
        .target
        .as_ref()
        .and_then(|target| target.settings.as_ref());
    let words: Vec<&str> = live
        .input
        .instance
        .command
        .iter()
        .chain(&live.input.instance.args)
        .map(String::as_str)
        .collect();
    let mut names: BTreeMap<String, &str> = BTreeMap::new();
    for name in arguments(&words) {
        names.insert(name, "in args of the container");
    }
    for setting in &live.server.settings {
        if setting.source == "command line" {
            // Arguments that Bitnami's scripts make go with them.
            if live.input.crossing.is_some() {
                continue;
            }
            names
                .entry(setting.name.clone())
                .or_insert("on the command line that the image makes");
        } else if setting.source == "environment variable" {
            names
                .entry(setting.name.clone())
                .or_insert("in the environment of the container");
        }
    }
    names.retain(|name, _| stops(name, to, known));
    if names.is_empty() {
        return Vec::new();
    }
    let id = &live.input.instance.workload;
    let all: Vec<String> = names
        .keys()
        .map(|name| renamed(name).map_or_else(|| name.clone(), |new| format!("{name} (use {new})")))
        .collect();
    vec![
        Finding::blocker(format!(
            "{} of the server that PostgreSQL {} does not know",
            numbered(names.len(), "argument"),
            to.major
        ))
        .objects(names.iter().map(|(name, place)| format!("{name} {place}")))
        .fix(format!(
            "kubectl -n {} edit {}/{}: remove {}",
            id.namespace,
            id.kind.to_lowercase(),
            id.name,
            all.join(", ")
        )),
    ]
}

/// Names of the settings in `-c NAME=VALUE`, `-cNAME=VALUE` and `--NAME=VALUE`, also inside a shell's command line.
fn arguments(words: &[&str]) -> Vec<String> {
    let mut names = Vec::new();
    let mut words = words
        .iter()
        .flat_map(|word| word.split_whitespace())
        .map(|word| word.trim_matches(['"', '\'']));
    while let Some(word) = words.next() {
        let assignment = if word == "-c" {
            words.next()
        } else if let Some(rest) = word.strip_prefix("--") {
            Some(rest)
        } else {
            word.strip_prefix("-c")
        };
        if let Some((name, _)) = assignment.and_then(|text| text.split_once('=')) {
            names.push(name.replace('-', "_").to_ascii_lowercase());
        }
    }
    names
}

#[cfg(test)]
mod tests {
    use super::super::testing::{fires, input, silent};
    use super::*;

    #[test]
    fn a_removed_setting_among_the_arguments_is_a_blocker() {
        let mut input = input();
        silent("server-arguments", &input);
        input.instance.args = ["-c", "wal_keep_segments=8", "-c", "work_mem=8MB"]
            .map(str::to_owned)
            .to_vec();
        let finding = fires("server-arguments", &input).remove(0);
        assert_eq!(
            finding.objects,
            ["wal_keep_segments in args of the container"]
        );
        assert!(
            finding
                .fix
                .ends_with("remove wal_keep_segments (use wal_keep_size)"),
            "{}",
            finding.fix
        );
    }

    #[test]
    fn a_removed_setting_that_only_the_server_shows_is_a_blocker() {
        let input = super::super::testing::troubled();
        assert_eq!(
            fires("server-arguments", &input)[0].objects,
            ["vacuum_cleanup_index_scale_factor on the command line that the image makes"]
        );
    }

    #[test]
    fn all_spellings_of_an_argument_are_read() {
        let words = [
            "postgres",
            "-cA=1",
            "--wal-keep-segments=8",
            "sh",
            "exec postgres -c \"b=2\" -c c=3",
            "-D",
            "/x=y",
        ];
        assert_eq!(arguments(&words), ["a", "wal_keep_segments", "b", "c"]);
    }
}
