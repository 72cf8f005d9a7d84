//! The durable account of one run: what was asked, every step with its state and times, what was seen.
//!
//! One ConfigMap per run holds it as JSON. Fields are only ever added; `format` changes when they are not.

mod dump;
mod load;
mod side;
mod template;

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::facts::instance::{InstanceFacts, ObjectId};
use crate::k8s::names;
use crate::steps::Step;

pub use dump::{DumpEntry, DumpPlace};
pub use load::{LOAD, Load};
pub use side::{NewServer, RoleMap, Side};
pub use template::{TemplateChange, with_image};

/// Version of the record's shape.
pub const FORMAT: u32 = 1;

/// One run against one instance.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Record {
    /// Version of this shape, [`FORMAT`].
    pub format: u32,
    /// Name of the run, unique in its namespace.
    pub run: String,
    /// Where the run stands.
    pub state: RunState,
    /// The command line that started it, without values that could be secret.
    pub asked: Asked,
    /// Who started it, as `user@host` of the machine.
    pub started_by: String,
    /// Server time of the start.
    pub started_at: Timestamp,
    /// Server time of the end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub finished_at: Option<Timestamp>,
    /// The instance as it was found, before anything was changed.
    pub instance: InstanceFacts,
    /// What the upgrade needs to know about the old and the new server.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub upgrade: Option<Upgrade>,
    /// The other server, for `--method side-by-side`, which has no [`Upgrade`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub side: Option<Side>,
    /// Every step of every command of this run, in the order they were planned.
    #[serde(default)]
    pub steps: Vec<Entry>,
    /// What was observed before the outage, and what verification found (summaries; details lie on the volume).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub observed: Vec<Value>,
    /// The worker's own account of the upgrade.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub result: Option<Value>,
    /// The volume snapshots made for this run.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub snapshots: Vec<SnapshotEntry>,
    /// The dumps of this run that outlive their load.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub dumps: Vec<DumpEntry>,
}

/// What the user asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Asked {
    /// The command that started the run.
    pub command: String,
    /// `--to`, when given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<u32>,
    /// The new image.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image: Option<String>,
    /// `--transfer`.
    #[serde(default)]
    pub transfer: String,
    /// `--snapshot`.
    #[serde(default)]
    pub snapshot: String,
    /// `--apps`.
    #[serde(default)]
    pub apps: Vec<String>,
    /// `--verify`.
    #[serde(default)]
    pub verify: String,
    /// `--outage-budget`, milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outage_budget_ms: Option<u64>,
}

/// What stands for the transfer mode where `pg_dump` and `pg_restore` carry the data.
pub const DUMP: &str = "dump";

/// Where the data is, from which version to which, and how.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Upgrade {
    /// Old major version.
    pub from: u32,
    /// New major version.
    pub to: u32,
    /// Full version of the old server.
    pub from_version: String,
    /// Full version of the new server.
    pub to_version: String,
    /// Old image, as the workload named it.
    pub old_image: String,
    /// New image.
    pub new_image: String,
    /// Transfer mode that was chosen: `clone`, `link`, `copy` or `swap`; or [`DUMP`] or [`LOAD`].
    pub transfer: String,
    /// Why that mode.
    pub transfer_reason: String,
    /// Data directory in the server's container.
    pub data_directory: String,
    /// The run's directory on the volume, as the server's container sees it.
    pub run_directory: String,
    /// The same, below `/vol` in a pod of ours.
    pub volume_run_directory: String,
    /// The data directory below `/vol` in a pod of ours.
    pub volume_data_directory: String,
    /// `PGDATA` to set in the template, when the new image would look elsewhere.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub set_pgdata: Option<String>,
    /// Where the new cluster is placed, when that is not the data directory of the old one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub place: Option<Place>,
    /// What else changes in the pod template with the image.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub template: Option<TemplateChange>,
    /// Owner of the data directory.
    pub uid: i64,
    /// Group of the data directory.
    pub gid: i64,
    /// libc version of the old image, empty when unknown.
    #[serde(default)]
    pub old_libc: String,
    /// libc version of the new image, empty when unknown.
    #[serde(default)]
    pub new_libc: String,
    /// Jobs for `pg_upgrade` and vacuumdb.
    pub jobs: u32,
    /// Estimated outage, milliseconds.
    pub estimate_ms: u64,
    /// The estimate is what a rehearsal of this upgrade took.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub rehearsed: bool,
    /// Environment of the worker that comes from the servers' facts.
    #[serde(default)]
    pub worker_env: BTreeMap<String, String>,
    /// Files of the worker's plan, by name.
    #[serde(default)]
    pub worker_files: BTreeMap<String, String>,
    /// Where the dump lies when it lies on a claim of its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dump: Option<DumpPlace>,
    /// The dump that is loaded, where no data is upgraded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub load: Option<Load>,
    /// The server has tablespaces of users, which pods of ours find by the server's own paths.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub tablespaces: bool,
}

/// A directory of its own for the new cluster; the old one's keeps a guard.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Place {
    /// The directory in the server's container.
    pub directory: String,
    /// The same, below `/vol` in a pod of ours.
    pub volume_directory: String,
    /// `PGDATA` in the template before, where it was there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pgdata: Option<String>,
}

/// One volume snapshot of the run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SnapshotEntry {
    /// Name of the VolumeSnapshot.
    pub name: String,
    /// When it was asked for.
    pub at: Timestamp,
    /// `stopped` when the server was down, `running` when it was not.
    pub cut: String,
}

/// Where a run stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RunState {
    /// Steps are left to do.
    Open,
    /// The instance is on the new version.
    Upgraded,
    /// The instance holds what a dump held; or another server holds the same data, and clients were not led to it.
    Loaded,
    /// It failed and the instance is on the old version.
    Failed,
    /// It stopped half-way.
    HalfWay,
    /// The old version was put back.
    Restored,
    /// What it left was removed.
    Cleaned,
    /// It was a rehearsal, and the upgrade works.
    Rehearsed,
    /// What it had stopped is back, and nothing else was done.
    Resumed,
}

impl fmt::Display for RunState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Open => "open",
            Self::Upgraded => "upgraded",
            Self::Loaded => "loaded",
            Self::Failed => "failed",
            Self::HalfWay => "half-way",
            Self::Restored => "restored",
            Self::Cleaned => "cleaned",
            Self::Rehearsed => "rehearsed",
            Self::Resumed => "resumed",
        })
    }
}

/// One step and how far it is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Entry {
    /// The command that planned it.
    pub phase: Phase,
    /// What to do.
    pub step: Step,
    /// How far it is.
    pub state: StepState,
    /// Server time at which it was begun.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started_at: Option<Timestamp>,
    /// Server time at which it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub finished_at: Option<Timestamp>,
    /// What came of it, in a few words.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub note: String,
}

/// The command a step belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Phase {
    /// Everything that is done before the outage.
    Prepare,
    /// Clients off.
    Quiesce,
    /// The way back.
    Snapshot,
    /// The outage.
    Upgrade,
    /// Clients back.
    Resume,
    /// Statistics, extensions, indexes.
    Vacuum,
    /// The way back, taken.
    Back,
    /// The upgrade of a copy.
    Rehearse,
    /// Leftovers.
    Cleanup,
}

/// How far a step is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum StepState {
    /// Not begun.
    Pending,
    /// Written before the act: after a crash the change may or may not exist.
    Started,
    /// Done.
    Done,
    /// It failed; the note says why.
    Failed,
    /// It was not needed.
    Skipped,
    /// Done, and taken back later.
    Undone,
}

impl Record {
    /// A new, open record.
    pub fn new(
        run: String,
        asked: Asked,
        started_by: String,
        started_at: Timestamp,
        instance: InstanceFacts,
    ) -> Self {
        Self {
            format: FORMAT,
            run,
            state: RunState::Open,
            asked,
            started_by,
            started_at,
            finished_at: None,
            instance,
            upgrade: None,
            side: None,
            steps: Vec::new(),
            observed: Vec::new(),
            result: None,
            snapshots: Vec::new(),
            dumps: Vec::new(),
        }
    }

    /// Adds the steps of a command, all pending.
    pub fn plan(&mut self, phase: Phase, steps: impl IntoIterator<Item = Step>) {
        self.steps.extend(steps.into_iter().map(|step| Entry {
            phase,
            step,
            state: StepState::Pending,
            started_at: None,
            finished_at: None,
            note: String::new(),
        }));
    }

    /// It only starts the old version: an upgrade is a run of its own.
    pub fn is_bring_up(&self) -> bool {
        self.asked.command == "bring-up"
    }

    /// It only tries the upgrade on a copy: nothing of the instance is changed.
    pub fn is_rehearsal(&self) -> bool {
        self.asked.command == "rehearse"
    }

    /// It replaces the data by what a dump holds: the version stays.
    pub fn is_load(&self) -> bool {
        self.upgrade.as_ref().is_some_and(|u| u.load.is_some())
    }

    /// Steps that still change the world: begun or done, and not taken back.
    pub fn in_force(&self) -> impl DoubleEndedIterator<Item = &Entry> {
        self.steps.iter().filter(|entry| {
            matches!(
                entry.state,
                StepState::Started | StepState::Done | StepState::Failed
            )
        })
    }

    /// Tells whether a step of this phase is pending or begun.
    pub fn has_open_steps(&self) -> bool {
        self.steps
            .iter()
            .any(|entry| matches!(entry.state, StepState::Pending | StepState::Started))
    }

    /// Everything that a quiesce of this run stopped and nothing has brought back yet, last first.
    pub fn quiesced(&self) -> Vec<&Step> {
        let mut stopped: Vec<&Step> = Vec::new();
        for entry in self.in_force() {
            match (entry.phase, &entry.step) {
                (Phase::Quiesce, step @ (Step::Scale { .. } | Step::Suspend { .. })) => {
                    stopped.push(step);
                }
                (
                    Phase::Resume | Phase::Back,
                    step @ (Step::Scale { .. } | Step::Suspend { .. }),
                ) if entry.state == StepState::Done => {
                    stopped.retain(|other| other.undo().as_ref() != Some(step));
                }
                _ => {}
            }
        }
        stopped.reverse();
        stopped
    }

    /// The newest outage: from the first step that took something off to the last that brought it back, milliseconds.
    ///
    /// A quiesce that was resumed before the upgrade is an outage of its own.
    pub fn outage_ms(&self) -> Option<i64> {
        let (mut start, mut end) = (None, None);
        for entry in &self.steps {
            if entry.step.begins_outage() && entry.started_at.is_some() {
                if end.is_some() {
                    (start, end) = (None, None);
                }
                start = start.or(entry.started_at);
            }
            if entry.step.ends_outage() && entry.state == StepState::Done {
                end = entry.finished_at.or(end);
            }
        }
        Some(end?.as_millisecond() - start?.as_millisecond())
    }

    /// What is left of `--outage-budget`; `None` without one, and once going back would take longer than going on: on the
    /// way back, and when the new server has been let loose on files that both clusters share.
    pub fn budget_left(&self, now: Timestamp) -> Option<Duration> {
        let budget = self.asked.outage_budget_ms?;
        let shared = |u: &Upgrade| matches!(u.transfer.as_str(), "link" | "swap");
        let begun = |entry: &&Entry| entry.started_at.is_some();
        let mut steps = self.steps.iter().filter(begun);
        let too_late = steps.any(|entry| {
            entry.phase == Phase::Back
                || matches!(entry.step, Step::Switch { .. })
                    && self.upgrade.as_ref().is_some_and(shared)
        });
        if too_late {
            return None;
        }
        let off = self.steps.iter().filter(|e| e.step.begins_outage());
        let since = off.filter_map(|e| e.started_at).min();
        let spent = since.map_or(0, |at| now.as_millisecond() - at.as_millisecond());
        let spent = u64::try_from(spent).unwrap_or(0);
        Some(Duration::from_millis(budget.saturating_sub(spent)))
    }

    /// Name of the run's upgrade pod and of the ConfigMap with its scripts.
    pub fn pod_name(&self) -> String {
        pod_name(&self.run)
    }

    /// Full versions of the old and the new server, once they are known.
    pub fn versions(&self) -> Option<(&str, &str)> {
        let upgrade = self.upgrade.as_ref();
        let upgrade = upgrade.map(|u| (u.from_version.as_str(), u.to_version.as_str()));
        let side = self.side.as_ref();
        upgrade.or_else(|| side.map(|s| (s.from_version.as_str(), s.to_version.as_str())))
    }

    /// It moves data from one version to another, or did.
    pub fn has_plan(&self) -> bool {
        self.upgrade.is_some() || self.side.is_some()
    }

    /// The workload this run is about.
    pub fn target(&self) -> &ObjectId {
        &self.instance.workload
    }
}

/// Name of a run's upgrade pod; the record's own ConfigMap is named otherwise.
pub fn pod_name(run: &str) -> String {
    names::name(&["pg-upgrade", run, "pod"])
}

#[cfg(test)]
mod tests;
