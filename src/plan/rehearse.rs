//! A rehearsal: where its copy comes from, its steps, what it predicts, and what makes it prove less.

use serde_json::Value;

use super::upgrade::{Request, dump_claim, is_cold};
use crate::facts::instance::InstanceFacts;
use crate::facts::server::ServerFacts;
use crate::k8s::names;
use crate::output::human_bytes;
use crate::record::{Phase, Record, RunState, Upgrade};
use crate::steps::Step;

/// How long the storage may take to make the volume snapshot.
const SNAPSHOT_SECONDS: u64 = 3600;
/// Between the server's stop and its Service's first answer, milliseconds: the pod's end, its scheduling, its start and
/// its readiness, which no copy shows.
const POD_MS: u64 = 2000;

/// How a running server is copied where there are no volume snapshots.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pace {
    /// Bytes a second.
    pub rate: u64,
    /// The checkpoint at the begin of the online backup is not spread.
    pub fast: bool,
}

/// Where the copy comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// A volume snapshot of this class.
    Snapshot(String),
    /// The running server, through an online backup.
    Server(Pace),
}

/// Where the copy comes from: a volume snapshot where the storage has them, else the running server.
///
/// # Errors
/// A sentence that says why there can be no copy.
pub fn source(
    request: &Request,
    instance: &InstanceFacts,
    server: &ServerFacts,
    pace: Pace,
) -> Result<Source, String> {
    let Some(claim) = &instance.claim else {
        return Err(format!("{} has no claim to copy", instance.workload));
    };
    if let Some(class) = snapshot_class(request, instance) {
        return Ok(Source::Snapshot(class));
    }
    let why = if is_cold(instance) {
        "its access mode lets no other pod read it beside the server"
    } else if claim.storage_class.is_empty() {
        "it has no storage class of which another claim could be made"
    } else if server.version.major.number() < 10 {
        "PostgreSQL 9.6 has no temporary replication slots to copy it with"
    } else if server.wal_level == "minimal" {
        "wal_level minimal does not let it be copied from the running server"
    } else if super::tablespaces::any(server) {
        "its tablespaces are not in a copy from the running server"
    } else if server.max_replication_slots == 0 {
        "max_replication_slots is 0, so it cannot be copied from the running server"
    } else {
        return Ok(Source::Server(pace));
    };
    Err(format!(
        "{} cannot be snapshotted: {}; and {why}",
        claim.id, claim.no_snapshot_reason
    ))
}

/// What makes the slot of an online backup a danger or of no use: `kept` is the session's answer of that name.
pub fn slot_trouble(kept: &Value) -> Option<String> {
    let Some(bytes) = kept["bytes"].as_u64() else {
        return Some(
            "the server has given up its replication slot (max_slot_wal_keep_size)".to_owned(),
        );
    };
    // What is kept was free before: half of it is left to the server.
    let free = kept["free"].as_u64().filter(|free| bytes > *free)?;
    Some(format!(
        "the server writes faster than it is copied: {} of write-ahead log are kept for the copy, {} are free; a higher --copy-rate shortens it",
        human_bytes(bytes),
        human_bytes(free)
    ))
}

/// The class whose snapshot is rehearsed on: a rehearsal has one also where the upgrade itself wants none.
fn snapshot_class(request: &Request, instance: &InstanceFacts) -> Option<String> {
    match request.snapshot.as_str() {
        "auto" | "none" => instance.claim.as_ref()?.snapshot_class.clone(),
        class => Some(class.to_owned()),
    }
}

/// The steps of a rehearsal.
pub fn steps(run: &str, source: &Source, upgrade: &Upgrade) -> Vec<(Phase, Step)> {
    let claim = names::name(&["pg-upgrade", run, "clone"]);
    let mut steps = vec![Step::Look];
    let mut snapshot = None;
    match source {
        Source::Snapshot(class) => {
            let name = snapshot.insert(claim.clone());
            steps.push(Step::Snapshot {
                name: name.clone(),
                class: class.clone(),
                wait_seconds: SNAPSHOT_SECONDS,
                stopped: false,
            });
            steps.push(Step::CloneClaim {
                snapshot: name.clone(),
                claim: claim.clone(),
            });
        }
        Source::Server(pace) => {
            steps.push(Step::EmptyClaim {
                claim: claim.clone(),
            });
            steps.push(Step::CopyServer {
                claim: claim.clone(),
                rate: pace.rate,
                fast: pace.fast,
            });
        }
    }
    if let Some(place) = &upgrade.dump {
        steps.push(dump_claim(place, upgrade));
    }
    steps.push(Step::Rehearse {
        claim: claim.clone(),
        copied: snapshot.is_none(),
    });
    steps.push(Step::DropClone {
        snapshot,
        claim,
        dump: upgrade.dump.clone(),
    });
    steps
        .into_iter()
        .map(|step| (Phase::Rehearse, step))
        .collect()
}

/// What is left to delete of a rehearsal that did not come to its end.
pub fn rest(record: &Record) -> Vec<Step> {
    let begun = record
        .in_force()
        .any(|e| matches!(e.step, Step::Snapshot { .. } | Step::EmptyClaim { .. }));
    let drops = record.steps.iter().map(|e| &e.step);
    let drops = drops.filter(|step| begun && matches!(step, Step::DropClone { .. }));
    drops.take(1).cloned().collect()
}

/// The outage that a rehearsal's times predict, milliseconds.
pub fn predicted_ms(rehearsed: &Value) -> u64 {
    ["upgrade_ms", "start_ms", "verify_ms"]
        .iter()
        .filter_map(|key| rehearsed[key].as_u64())
        .sum::<u64>()
        + POD_MS
}

/// In which numbers a copy differs from the server that it was taken from; one sentence each.
pub fn strayed(live: &Value, copy: &Value) -> Vec<String> {
    [
        "databases",
        "roles",
        "relations",
        "sequences",
        "largeObjects",
    ]
    .iter()
    .filter(|key| live[key] != copy[key])
    .map(|key| {
        format!(
            "the copy holds {} {key}, the live server held {}: something changed in between",
            copy[key], live[key]
        )
    })
    .collect()
}

/// The outage that the newest rehearsal of the same upgrade predicts, milliseconds.
pub fn estimate<'a>(
    records: impl IntoIterator<Item = &'a Record>,
    to: u32,
    transfer: &str,
) -> Option<u64> {
    let same = |record: &&Record| {
        record.state == RunState::Rehearsed
            && record
                .upgrade
                .as_ref()
                .is_some_and(|u| u.to == to && u.transfer == transfer)
    };
    let newest = records
        .into_iter()
        .filter(same)
        .max_by_key(|r| r.started_at)?;
    newest.result.as_ref()?["predicted_outage_ms"].as_u64()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::record::{Asked, StepState};

    const PACE: Pace = Pace {
        rate: 64 << 20,
        fast: false,
    };

    fn record(source: &Source) -> Record {
        let (instance, server, target) = crate::plan::upgrade::tests::facts(false, true, true);
        let request = crate::plan::upgrade::tests::request();
        let upgrade =
            crate::plan::upgrade::decide(&request, &instance, &server, &target, true).unwrap();
        let mut record = Record::new(
            "pg-1".into(),
            Asked {
                command: "rehearse".into(),
                ..Asked::default()
            },
            "me@here".into(),
            jiff::Timestamp::UNIX_EPOCH,
            instance,
        );
        for (phase, step) in steps("pg-1", source, &upgrade) {
            record.plan(phase, [step]);
        }
        record.upgrade = Some(upgrade);
        record
    }

    #[test]
    fn what_was_made_is_deleted_whatever_came_of_it() {
        for source in [Source::Snapshot("csi".into()), Source::Server(PACE)] {
            let mut record = record(&source);
            assert_eq!(rest(&record), []);
            record.steps[0].state = StepState::Done;
            record.steps[1].state = StepState::Started;
            assert_eq!(rest(&record), [record.steps[4].step.clone()]);
        }
    }

    #[test]
    fn without_snapshots_the_running_server_is_copied_where_it_can_be() {
        let (mut instance, server, _) = crate::plan::upgrade::tests::facts(false, true, true);
        let request = crate::plan::upgrade::tests::request();
        let from = |instance: &InstanceFacts, server: &ServerFacts| {
            source(&request, instance, server, PACE)
        };
        assert_eq!(
            from(&instance, &server),
            Ok(Source::Snapshot("fast".into()))
        );
        instance.claim.as_mut().unwrap().snapshot_class = None;
        assert_eq!(from(&instance, &server), Ok(Source::Server(PACE)));
        let mut minimal = server.clone();
        minimal.wal_level = "minimal".into();
        assert!(from(&instance, &minimal).unwrap_err().contains("wal_level"));
        let mut slotless = server.clone();
        slotless.max_replication_slots = 0;
        let mut spaced = slotless.clone();
        spaced.tablespaces = Some(vec![crate::facts::server::Tablespace {
            name: "fast".into(),
            location: "/data/fast".into(),
            bytes: None,
        }]);
        assert!(
            from(&instance, &spaced)
                .unwrap_err()
                .contains("tablespaces")
        );
        assert!(
            from(&instance, &slotless)
                .unwrap_err()
                .contains("slots is 0")
        );
        instance.claim.as_mut().unwrap().access_modes = vec!["ReadWriteOncePod".into()];
        let refusal = from(&instance, &server).unwrap_err();
        assert!(
            refusal.contains("no VolumeSnapshotClass for driver x; and its access mode"),
            "{refusal}"
        );
    }

    #[test]
    fn a_slot_that_keeps_more_than_is_left_ends_the_copy() {
        let trouble =
            |bytes: Value, free: Value| slot_trouble(&json!({"bytes": bytes, "free": free}));
        assert_eq!(trouble(json!(10 << 20), json!(20 << 20)), None);
        assert_eq!(trouble(json!(10 << 20), Value::Null), None);
        let full = trouble(json!(30 << 20), json!(20 << 20)).unwrap();
        assert!(full.contains("30.0 MiB of write-ahead log"), "{full}");
        assert!(trouble(Value::Null, json!(20 << 20)).is_some());
    }

    #[test]
    fn the_newest_rehearsal_of_the_same_upgrade_is_the_estimate() {
        let mut old = record(&Source::Snapshot("csi".into()));
        old.state = RunState::Rehearsed;
        old.result = Some(json!({"predicted_outage_ms": 1000}));
        let mut new = old.clone();
        new.started_at = jiff::Timestamp::from_second(60).unwrap();
        new.result = Some(json!({"predicted_outage_ms": 2000}));
        let mut failed = new.clone();
        failed.started_at = jiff::Timestamp::from_second(90).unwrap();
        failed.state = RunState::Failed;
        let (to, transfer) = {
            let upgrade = old.upgrade.as_ref().unwrap();
            (upgrade.to, upgrade.transfer.clone())
        };
        let all = [new, old, failed];
        assert_eq!(estimate(&all, to, &transfer), Some(2000));
        assert_eq!(estimate(&all, to, "copy"), None);
        assert_eq!(estimate(&all, to + 1, &transfer), None);
    }

    #[test]
    fn a_copy_that_is_not_like_the_server_is_said() {
        let live =
            json!({"databases": 3, "roles": 2, "relations": 10, "sequences": 1, "largeObjects": 0});
        assert_eq!(strayed(&live, &live), [""; 0]);
        let mut copy = live.clone();
        copy["relations"] = json!(9);
        assert_eq!(
            strayed(&live, &copy),
            ["the copy holds 9 relations, the live server held 10: something changed in between"]
        );
    }
}
