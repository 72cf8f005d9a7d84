use super::*;
use crate::checks::testing;

fn record() -> Record {
    let instance = testing::input().instance;
    Record::new(
        "pg-1".into(),
        Asked::default(),
        "me@here".into(),
        at(0),
        instance,
    )
}

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(1_800_000_000 + second).unwrap()
}

fn app(from: i32, to: i32) -> Step {
    let workload = ObjectId {
        api_version: "apps/v1".into(),
        kind: "Deployment".into(),
        namespace: "shop".into(),
        name: "api".into(),
        uid: "u".into(),
    };
    Step::Scale { workload, from, to }
}

#[test]
fn the_outage_budget_runs_from_the_stop_and_ends_where_going_on_is_shorter() {
    let mut record = record();
    assert_eq!(record.budget_left(at(0)), None);
    record.asked.outage_budget_ms = Some(20_000);
    assert_eq!(record.budget_left(at(50)), Some(Duration::from_secs(20)));
    done(&mut record, Phase::Upgrade, Step::Stop { from: 1 }, 0, 1);
    assert_eq!(record.budget_left(at(5)), Some(Duration::from_secs(15)));
    assert_eq!(record.budget_left(at(25)), Some(Duration::ZERO));
    let switch = Step::Switch {
        from: "postgres:13".into(),
        to: "postgres:17".into(),
        replicas: 1,
        pgdata: None,
        template: None,
    };
    done(&mut record, Phase::Upgrade, switch, 5, 5);
    let (instance, server, target) = crate::plan::upgrade::tests::facts(false, true, true);
    let request = crate::plan::upgrade::tests::request();
    record.upgrade = crate::plan::upgrade::decide(&request, &instance, &server, &target, true).ok();
    assert_eq!(record.budget_left(at(6)), None);
    record.upgrade.as_mut().unwrap().transfer = "copy".into();
    assert_eq!(record.budget_left(at(6)), Some(Duration::from_secs(14)));
    done(&mut record, Phase::Back, Step::Down, 6, 7);
    assert_eq!(record.budget_left(at(7)), None);
}

fn done(record: &mut Record, phase: Phase, step: Step, from: i64, to: i64) {
    record.plan(phase, [step]);
    let entry = record.steps.last_mut().unwrap();
    entry.state = StepState::Done;
    entry.started_at = Some(at(from));
    entry.finished_at = Some(at(to));
}

#[test]
fn what_was_resumed_is_not_quiesced_any_more() {
    let mut record = record();
    done(&mut record, Phase::Quiesce, app(3, 0), 1, 2);
    assert_eq!(record.quiesced(), [&app(3, 0)]);
    done(&mut record, Phase::Resume, app(0, 3), 3, 4);
    assert!(record.quiesced().is_empty());
}

#[test]
fn a_scaling_that_may_have_happened_counts_as_quiesced() {
    let mut record = record();
    record.plan(Phase::Quiesce, [app(3, 0)]);
    assert!(record.quiesced().is_empty());
    record.steps[0].state = StepState::Started;
    assert_eq!(record.quiesced(), [&app(3, 0)]);
}

#[test]
fn the_outage_is_the_newest_one() {
    let mut record = record();
    done(&mut record, Phase::Quiesce, app(3, 0), 1, 2);
    done(&mut record, Phase::Resume, app(0, 3), 50, 51);
    assert_eq!(record.outage_ms(), Some(50_000));
    done(
        &mut record,
        Phase::Upgrade,
        Step::Stop { from: 1 },
        100,
        101,
    );
    assert_eq!(record.outage_ms(), None);
    done(
        &mut record,
        Phase::Upgrade,
        Step::AwaitServer {
            major: 17,
            seconds: 9,
        },
        104,
        107,
    );
    assert_eq!(record.outage_ms(), Some(7_000));
}

#[test]
fn a_record_survives_its_own_json() {
    let mut record = record();
    done(&mut record, Phase::Quiesce, app(3, 0), 1, 2);
    let text = serde_json::to_string(&record).unwrap();
    assert_eq!(serde_json::from_str::<Record>(&text).unwrap(), record);
}
