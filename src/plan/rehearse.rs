//! A rehearsal: its steps, what it predicts, and what makes it prove less.

use serde_json::Value;

use super::upgrade::Request;
use crate::facts::instance::InstanceFacts;
use crate::k8s::names;
use crate::record::{Phase, Record, RunState};
use crate::steps::Step;

/// How long the storage may take to make the volume snapshot.
const SNAPSHOT_SECONDS: u64 = 3600;
/// Between the server's stop and its Service's first answer, milliseconds: the pod's end, its scheduling, its start and
/// its readiness, which no copy shows.
const POD_MS: u64 = 2000;

/// The class whose snapshot is rehearsed on: a rehearsal has one also where the upgrade itself wants none.
pub fn snapshot_class(request: &Request, instance: &InstanceFacts) -> Option<String> {
    match request.snapshot.as_str() {
        "auto" | "none" => instance.claim.as_ref()?.snapshot_class.clone(),
        class => Some(class.to_owned()),
    }
}

/// The steps of a rehearsal.
pub fn steps(run: &str, class: &str) -> Vec<(Phase, Step)> {
    let name = names::name(&["pg-upgrade", run, "clone"]);
    let (snapshot, claim) = (name.clone(), name);
    [
        Step::Look,
        Step::Snapshot {
            name: snapshot.clone(),
            class: class.to_owned(),
            wait_seconds: SNAPSHOT_SECONDS,
            stopped: false,
        },
        Step::CloneClaim {
            snapshot: snapshot.clone(),
            claim: claim.clone(),
        },
        Step::Rehearse {
            claim: claim.clone(),
        },
        Step::DropClone { snapshot, claim },
    ]
    .into_iter()
    .map(|step| (Phase::Rehearse, step))
    .collect()
}

/// What is left to delete of a rehearsal that did not come to its end.
pub fn rest(record: &Record) -> Vec<Step> {
    let begun = record
        .in_force()
        .any(|e| matches!(e.step, Step::Snapshot { .. }));
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

    fn record() -> Record {
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
        record.upgrade = Some(upgrade);
        for (phase, step) in steps("pg-1", "csi") {
            record.plan(phase, [step]);
        }
        record
    }

    #[test]
    fn what_was_made_is_deleted_whatever_came_of_it() {
        let mut record = record();
        assert_eq!(rest(&record), []);
        record.steps[0].state = StepState::Done;
        record.steps[1].state = StepState::Started;
        assert_eq!(rest(&record), [record.steps[4].step.clone()]);
    }

    #[test]
    fn the_newest_rehearsal_of_the_same_upgrade_is_the_estimate() {
        let mut old = record();
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
