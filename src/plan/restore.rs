//! The steps that put the old version back after an upgrade.

use crate::facts::instance::InstanceFacts;
use crate::k8s::names;
use crate::plan::back::clients_back;
use crate::record::{DUMP, LOAD, Record, RunState, Upgrade};
use crate::steps::Step;

/// Seconds that the old server may take to be ready again.
const READY_SECONDS: u64 = 600;

/// Where the old data comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// The old directory on the same volume (transfer modes clone and copy, or link before the new server's first start).
    Archive,
    /// A volume snapshot, by name.
    Snapshot(String),
}

/// Which of the runs, oldest first, is to be taken back: the newest, but for those that failed, which have put the old version
/// back by themselves.
pub fn meant(states: &[RunState]) -> Option<usize> {
    let changed = states.iter().rposition(|state| *state != RunState::Failed);
    changed.or(states.len().checked_sub(1))
}

/// Chooses the snapshot: the one that is named, else the newest that was cut with the server stopped, else the newest.
///
/// # Errors
/// When the run has none of that name, or none at all.
pub fn choose_snapshot(record: &Record, named: Option<&str>) -> Result<String, String> {
    if let Some(named) = named {
        return Ok(named.to_owned());
    }
    let stopped = record.snapshots.iter().rev().find(|s| s.cut == "stopped");
    stopped
        .or_else(|| record.snapshots.last())
        .map(|s| s.name.clone())
        .ok_or_else(|| format!("run {} made no volume snapshot", record.run))
}

/// The archive is whole when files were cloned or copied, or only read.
///
/// # Errors
/// A sentence that says why it is not.
pub fn archive_is_whole(upgrade: &Upgrade) -> Result<(), String> {
    match upgrade.transfer.as_str() {
        "clone" | "copy" | DUMP | LOAD => Ok(()),
        mode => Err(format!(
            "the archived data directory shares its files with the new one (transfer mode {mode}), and the new server has written to them"
        )),
    }
}

/// The steps; what a quiesce of the run still has stopped comes back at the end.
pub fn steps(
    record: &Record,
    upgrade: &Upgrade,
    now: &InstanceFacts,
    source: &Source,
) -> Vec<Step> {
    let mut steps = vec![Step::Down];
    steps.push(match source {
        Source::Archive => Step::GoBack,
        Source::Snapshot(name) => Step::Adopt {
            snapshot: name.clone(),
            claim: names::name(&["pg-upgrade", &record.run, "restored"]),
        },
    });
    steps.push(Step::Switch {
        from: now.image.clone(),
        to: upgrade.old_image.clone(),
        replicas: record.instance.replicas.max(1),
        pgdata: None,
        template: upgrade
            .change(&record.instance.container)
            .map(|change| change.back),
    });
    steps.push(Step::AwaitServer {
        major: upgrade.from,
        seconds: READY_SECONDS,
    });
    steps.extend(clients_back(record));
    steps.push(Step::Release {
        name: record.pod_name(),
    });
    steps
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_upgrade_that_failed_is_not_what_is_taken_back() {
        use RunState::{Failed, HalfWay, Upgraded};
        assert_eq!(meant(&[Upgraded, Failed, Failed]), Some(0));
        assert_eq!(meant(&[Upgraded, HalfWay, Failed]), Some(1));
        assert_eq!(meant(&[Failed, Failed]), Some(1));
        assert_eq!(meant(&[]), None);
    }
}
