use serde_json::json;

use super::*;
use crate::k8s::fake::FakeApi;
use crate::k8s::to_fake;

const POD: &str = "/api/v1/namespaces/shop/pods/worker";

fn set(fake: &FakeApi, status: &serde_json::Value) {
    fake.put(
        POD,
        json!({
            "spec": {"restartPolicy": "OnFailure", "containers": [{"name": "main"}]},
            "status": status,
        }),
    );
}

fn container(restarts: i32, state: &serde_json::Value) -> serde_json::Value {
    json!({"containerStatuses": [{"name": "main", "image": "", "imageID": "", "ready": true,
        "restartCount": restarts, "state": state}]})
}

fn running(fake: &FakeApi, restarts: i32) {
    set(fake, &container(restarts, &json!({"running": {}})));
}

fn ended(fake: &FakeApi) {
    set(fake, &container(0, &json!({"terminated": {"exitCode": 0}})));
    fake.end_log("worker", "main");
}

fn line(fake: &FakeApi, second: u32, text: &str) {
    let at = format!("2026-01-01T00:00:{second:02}.5Z");
    fake.log("worker", "main", &at, text);
}

fn follow(fake: &FakeApi) -> LogFollower {
    LogFollower::new(&to_fake(fake), "worker", "main")
}

async fn next(follower: &mut LogFollower) -> String {
    follower.next_line().await.unwrap().unwrap()
}

#[tokio::test]
async fn every_line_comes_and_then_the_end() {
    let fake = FakeApi::start().await;
    running(&fake, 0);
    line(&fake, 1, "one");
    let mut follower = follow(&fake);
    assert_eq!(next(&mut follower).await, "one");
    line(&fake, 2, "two  spaced");
    line(&fake, 2, "");
    assert_eq!(next(&mut follower).await, "two  spaced");
    assert_eq!(next(&mut follower).await, "");
    ended(&fake);
    assert_eq!(follower.next_line().await.unwrap(), None);
    assert_eq!(follower.next_line().await.unwrap(), None);
}

#[tokio::test]
async fn a_cut_log_goes_on_without_loss_or_repetition() {
    let fake = FakeApi::start().await;
    running(&fake, 0);
    for number in 0..20 {
        line(&fake, number / 10, &format!("line {number}"));
    }
    // Equal lines of the same instant are not repetitions.
    line(&fake, 2, "same");
    line(&fake, 2, "same");
    for bytes in [100, 333, 500] {
        fake.cut_log("worker", "main", bytes);
    }
    fake.cut_log("worker", "main", 333);
    let mut follower = follow(&fake);
    let mut lines = Vec::new();
    for _ in 0..22 {
        lines.push(next(&mut follower).await);
    }
    let cut_again = fake.clone();
    cut_again.cut_log("worker", "main", 0);
    fake.drop_connections();
    line(&fake, 3, "after");
    lines.push(next(&mut follower).await);
    ended(&fake);
    assert_eq!(follower.next_line().await.unwrap(), None);
    let mut expected: Vec<String> = (0..20).map(|number| format!("line {number}")).collect();
    expected.extend(["same", "same", "after"].map(str::to_owned));
    assert_eq!(lines, expected);
}

#[tokio::test]
async fn a_container_that_has_not_started_is_waited_for() {
    let fake = FakeApi::start().await;
    let waiting = json!({"waiting": {"reason": "ContainerCreating"}});
    set(&fake, &container(0, &waiting));
    let later = fake.clone();
    tokio::spawn(async move {
        tokio::time::sleep(Duration::from_millis(200)).await;
        line(&later, 1, "hello");
        running(&later, 0);
    });
    assert_eq!(next(&mut follow(&fake)).await, "hello");
}

#[tokio::test]
async fn a_restart_of_the_container_loses_no_line() {
    let fake = FakeApi::start().await;
    running(&fake, 0);
    line(&fake, 1, "one");
    let mut follower = follow(&fake);
    assert_eq!(next(&mut follower).await, "one");
    // The connection breaks, two more lines come, then the container is started again.
    fake.cut_log("worker", "main", 0);
    fake.drop_connections();
    line(&fake, 2, "two");
    fake.restart_log("worker", "main");
    line(&fake, 3, "three");
    running(&fake, 1);
    assert_eq!(next(&mut follower).await, "two");
    assert_eq!(next(&mut follower).await, "three");
    ended(&fake);
    assert_eq!(follower.next_line().await.unwrap(), None);
}

#[tokio::test]
async fn a_failed_container_that_is_started_again_is_not_the_end() {
    let fake = FakeApi::start().await;
    set(
        &fake,
        &container(0, &json!({"terminated": {"exitCode": 1}})),
    );
    let pod: Pod = serde_json::from_value(fake.object(POD).unwrap()).unwrap();
    assert!(matches!(state(&pod, "main"), State::Open));
    let waiting = json!({"waiting": {"reason": "CrashLoopBackOff"}});
    set(&fake, &container(3, &waiting));
    let pod: Pod = serde_json::from_value(fake.object(POD).unwrap()).unwrap();
    assert!(matches!(state(&pod, "main"), State::Open));
}

#[tokio::test]
async fn a_deleted_or_replaced_pod_is_gone() {
    let fake = FakeApi::start().await;
    let mut follower = follow(&fake);
    let error = follower.next_line().await.unwrap_err();
    assert!(matches!(error, LogError::Gone { .. }), "{error}");
    running(&fake, 0);
    line(&fake, 1, "one");
    assert_eq!(next(&mut follower).await, "one");
    fake.remove(POD);
    fake.put(
        POD,
        json!({"metadata": {"uid": "other"}, "spec": {"containers": [{"name": "main"}]}}),
    );
    fake.drop_connections();
    let error = follower.next_line().await.unwrap_err();
    assert!(matches!(error, LogError::Gone { .. }), "{error}");
}

#[tokio::test]
async fn an_unknown_container_is_an_error() {
    let fake = FakeApi::start().await;
    running(&fake, 0);
    let mut follower = LogFollower::new(&to_fake(&fake), "worker", "nobody");
    let error = follower.next_line().await.unwrap_err();
    assert!(matches!(error, LogError::NoContainer { .. }), "{error}");
}

#[tokio::test]
async fn a_dropped_wait_does_not_open_the_log_again() {
    let fake = FakeApi::start().await;
    running(&fake, 0);
    fake.fault(
        "/log?",
        1,
        crate::k8s::fake::Fault::Slow(Duration::from_millis(500)),
    );
    let mut follower = follow(&fake);
    line(&fake, 1, "one");
    let text = loop {
        let short = Duration::from_millis(20);
        if let Ok(line) = tokio::time::timeout(short, follower.next_line()).await {
            break line.unwrap();
        }
    };
    assert_eq!(text.as_deref(), Some("one"));
    assert_eq!(fake.requests().len(), 2, "{:?}", fake.requests());
}

#[tokio::test]
async fn a_dropped_wait_loses_no_line() {
    let fake = FakeApi::start().await;
    running(&fake, 0);
    line(&fake, 1, "one");
    let mut follower = follow(&fake);
    assert_eq!(next(&mut follower).await, "one");
    for number in 2..10 {
        let short = Duration::from_millis(20);
        let result = tokio::time::timeout(short, follower.next_line()).await;
        assert!(result.is_err());
        line(&fake, number, &format!("line {number}"));
        assert_eq!(next(&mut follower).await, format!("line {number}"));
    }
}
