//! The way back from a run that failed, from its record alone.

use super::side::services_back;
use crate::record::{Phase, Record, StepState};
use crate::steps::Step;

/// Seconds that the old server may take to be ready again.
const READY_SECONDS: u64 = 600;

/// The new server has run on files that it shares with the old one: only a volume snapshot is a way back.
pub fn past_no_return(record: &Record) -> bool {
    let shared = record
        .upgrade
        .as_ref()
        .is_some_and(|u| matches!(u.transfer.as_str(), "link" | "swap"));
    let served = record.steps.iter().any(|e| {
        e.phase == Phase::Upgrade
            && e.state == StepState::Done
            && matches!(e.step, Step::AwaitServer { .. })
    });
    shared && served
}

/// Steps that end with the old server and its clients up. Empty when nothing was taken off or left behind.
///
/// Before the server was stopped only clients and the upgrade pod are to be brought back. After it the worker has put
/// the old directory back by itself when `pg_upgrade` failed; `GoBack` finds that done.
pub fn after_failure(record: &Record) -> Vec<Step> {
    let begun = |wanted: fn(&Step) -> bool| {
        record
            .in_force()
            .any(|e| e.phase != Phase::Back && wanted(&e.step))
    };
    let stopped = begun(|s| matches!(s, Step::Stop { .. } | Step::Down));
    let switched = begun(|s| matches!(s, Step::Switch { .. }));
    let mut steps = Vec::new();
    if let (true, Some(upgrade)) = (stopped, &record.upgrade) {
        if switched || begun(|s| matches!(s, Step::Stop { .. })) {
            steps.push(Step::Down);
        }
        if begun(|s| matches!(s, Step::PreparePod { .. })) {
            steps.push(Step::GoBack);
        }
        steps.push(Step::Switch {
            from: upgrade.new_image.clone(),
            to: upgrade.old_image.clone(),
            replicas: record.instance.replicas,
            pgdata: None,
            template: upgrade
                .change(&record.instance.container)
                .map(|change| change.back),
        });
        steps.push(Step::AwaitServer {
            major: upgrade.from,
            seconds: READY_SECONDS,
        });
    }
    steps.extend(services_back(record));
    steps.extend(clients_back(record));
    for entry in record.in_force() {
        if let Step::PreparePod { name } | Step::Transfer { pod: name } = &entry.step
            && !released(record, name)
        {
            steps.push(Step::Release { name: name.clone() });
        }
    }
    steps
}

/// What brings back everything that is stopped, in reverse order.
pub fn clients_back(record: &Record) -> Vec<Step> {
    record
        .quiesced()
        .into_iter()
        .filter_map(Step::undo)
        .collect()
}

fn released(record: &Record, pod: &str) -> bool {
    record.steps.iter().any(|e| {
        e.state == StepState::Done && matches!(&e.step, Step::Release { name } if name == pod)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::upgrade::{self, decide, tests as plans};
    use crate::record::{Asked, Entry};

    /// The record of a link upgrade that failed at the first step of a kind.
    fn failed_at(wanted: fn(&Step) -> bool) -> Record {
        let (instance, server, target) = plans::facts(false, true, true);
        let request = plans::request();
        let upgrade = decide(&request, &instance, &server, &target, true).unwrap();
        let mut record = Record::new(
            request.run.clone(),
            Asked::default(),
            "me@here".into(),
            jiff::Timestamp::UNIX_EPOCH,
            instance.clone(),
        );
        for (phase, step) in upgrade::steps(&request, &instance, &upgrade, Vec::new()) {
            record.plan(phase, [step]);
        }
        record.upgrade = Some(upgrade);
        let at = record
            .steps
            .iter()
            .position(|e: &Entry| wanted(&e.step))
            .unwrap();
        for entry in &mut record.steps[..at] {
            entry.state = StepState::Done;
        }
        record.steps[at].state = StepState::Failed;
        record
    }

    fn way_back(wanted: fn(&Step) -> bool) -> Vec<String> {
        after_failure(&failed_at(wanted))
            .iter()
            .map(ToString::to_string)
            .collect()
    }

    #[test]
    fn before_the_stop_only_the_pod_is_taken_away() {
        assert_eq!(
            way_back(|s| matches!(s, Step::Observe { .. })),
            ["remove the upgrade pod"]
        );
    }

    #[test]
    fn after_the_stop_the_old_server_comes_back_on_its_own_directory() {
        assert_eq!(
            way_back(|s| matches!(s, Step::AwaitUpgrade { .. })),
            [
                "stop the server",
                "put the archived data directory back",
                "switch the image to postgres:13 and start the server",
                "wait until PostgreSQL 13 answers",
                "remove the upgrade pod",
            ]
        );
    }

    #[test]
    fn pgdata_that_was_set_for_the_new_image_is_taken_away_again() {
        let mut record = failed_at(|s| matches!(s, Step::AwaitServer { .. }));
        record.upgrade.as_mut().unwrap().set_pgdata = Some("/data".to_owned());
        let steps = after_failure(&record);
        let switched = steps.iter().find_map(|step| match step {
            Step::Switch { template, .. } => template.clone(),
            _ => None,
        });
        assert_eq!(
            switched,
            Some(serde_json::json!({"containers": [
                {"name": "postgres", "env": [{"name": "PGDATA", "$patch": "delete"}]}]}))
        );
    }

    #[test]
    fn a_new_server_that_never_answered_is_no_point_of_no_return() {
        assert!(!past_no_return(&failed_at(|s| matches!(
            s,
            Step::AwaitServer { .. }
        ))));
        assert!(past_no_return(&failed_at(|s| matches!(
            s,
            Step::Verify { .. }
        ))));
    }
}
