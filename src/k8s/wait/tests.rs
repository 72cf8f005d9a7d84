use k8s_openapi::api::core::v1::Pod;
use serde_json::json;

use super::*;
use crate::k8s::fake::{FakeApi, Fault};
use crate::k8s::to_fake;

const POD: &str = "/api/v1/namespaces/shop/pods/db-0";
const LIMIT: Duration = Duration::from_secs(20);

fn phase(pod: Option<&Pod>) -> Progress<String> {
    let Some(pod) = pod else {
        return Progress::Waiting("no pod".into());
    };
    let status = pod.status.as_ref();
    match status.and_then(|status| status.phase.as_deref()) {
        Some("Running") => Progress::Done(pod.name_any()),
        Some("Failed") => Progress::Failed("it failed".into()),
        other => Progress::Waiting(format!("pod is {}", other.unwrap_or("new"))),
    }
}

fn set(fake: &FakeApi, phase: &str) {
    fake.put(
        POD,
        json!({"metadata": {"labels": {"app": "db"}}, "status": {"phase": phase}}),
    );
}

async fn wait(fake: &FakeApi, limit: Duration) -> Result<String, WaitError> {
    let api: Api<Pod> = to_fake(fake).api();
    wait_for(api, "db-0", limit, phase, |_| {}).await
}

/// Runs something on the server while a wait is under way.
fn later(fake: &FakeApi, milliseconds: u64, act: impl FnOnce(&FakeApi) + Send + 'static) {
    let fake = fake.clone();
    tokio::spawn(async move {
        tokio::time::sleep(Duration::from_millis(milliseconds)).await;
        act(&fake);
    });
}

#[tokio::test]
async fn what_is_there_already_takes_one_request() {
    let fake = FakeApi::start().await;
    set(&fake, "Running");
    assert_eq!(wait(&fake, LIMIT).await.unwrap(), "db-0");
    assert_eq!(fake.requests().len(), 1);
}

#[tokio::test]
async fn changes_are_seen_as_they_happen_and_told_once() {
    let fake = FakeApi::start().await;
    let mut told = Vec::new();
    let api: Api<Pod> = to_fake(&fake).api();
    let begun = Instant::now();
    let on_waiting = |text: &str| {
        told.push(text.to_owned());
        set(&fake, "Pending");
        if text == "pod is Pending" {
            set(&fake, "Running");
        }
    };
    wait_for(api, "db-0", LIMIT, phase, on_waiting)
        .await
        .unwrap();
    assert_eq!(told, ["no pod", "pod is Pending"]);
    assert!(
        begun.elapsed() < Duration::from_secs(2),
        "{:?}",
        begun.elapsed()
    );
    assert_eq!(fake.requests().len(), 2, "{:?}", fake.requests());
}

#[tokio::test]
async fn a_failure_ends_the_wait() {
    let fake = FakeApi::start().await;
    later(&fake, 100, |fake| set(fake, "Failed"));
    let error = wait(&fake, LIMIT).await.unwrap_err();
    assert!(matches!(error, WaitError::Failed(_)), "{error}");
}

#[tokio::test]
async fn the_end_of_the_time_tells_the_last_state() {
    let fake = FakeApi::start().await;
    set(&fake, "Pending");
    let error = wait(&fake, Duration::from_secs(1)).await.unwrap_err();
    assert_eq!(error.to_string(), "gave up after 1s: pod is Pending");
}

#[tokio::test]
async fn a_limit_of_zero_is_one_look() {
    let fake = FakeApi::start().await;
    set(&fake, "Pending");
    let error = wait(&fake, Duration::ZERO).await.unwrap_err();
    assert_eq!(error.to_string(), "gave up after 0s: pod is Pending");
    set(&fake, "Running");
    wait(&fake, Duration::ZERO).await.unwrap();
}

#[tokio::test]
async fn a_deletion_is_seen() {
    let fake = FakeApi::start().await;
    set(&fake, "Running");
    later(&fake, 200, |fake| fake.remove(POD));
    let api: Api<Pod> = to_fake(&fake).api();
    let look = |pod: Option<&Pod>| match pod {
        None => Progress::Done(()),
        Some(_) => Progress::Waiting("still there".into()),
    };
    wait_for(api, "db-0", LIMIT, look, |_| {}).await.unwrap();
}

#[tokio::test]
async fn an_expired_watch_starts_anew() {
    let fake = FakeApi::start().await;
    set(&fake, "Pending");
    later(&fake, 300, |fake| {
        // The change falls into the gap between two watches.
        fake.fault("watch=true", 1, Fault::Slow(Duration::from_millis(200)));
        fake.drop_connections();
    });
    later(&fake, 400, |fake| {
        set(fake, "Running");
        fake.compact();
    });
    wait(&fake, LIMIT).await.unwrap();
    assert!(fake.requests().len() >= 4, "{:?}", fake.requests());
}

#[tokio::test]
async fn a_restart_of_the_server_is_survived() {
    let fake = FakeApi::start().await;
    set(&fake, "Pending");
    later(&fake, 200, FakeApi::stop);
    let again = fake.clone();
    tokio::spawn(async move {
        tokio::time::sleep(Duration::from_millis(1200)).await;
        set(&again, "Running");
        again.start_again().await;
    });
    wait(&fake, LIMIT).await.unwrap();
}

#[tokio::test]
async fn errors_of_the_server_pass() {
    let fake = FakeApi::start().await;
    set(&fake, "Pending");
    fake.fault("watch=true", 2, Fault::Status(500, Vec::new()));
    fake.fault("watch=true", 1, Fault::Reset);
    later(&fake, 100, |fake| set(fake, "Running"));
    wait(&fake, LIMIT).await.unwrap();
}

#[tokio::test]
async fn without_permission_to_watch_it_reads_again_and_again() {
    let fake = FakeApi::start().await;
    fake.deny("watch", "pods");
    fake.deny("list", "pods");
    set(&fake, "Pending");
    later(&fake, 500, |fake| set(fake, "Running"));
    wait(&fake, LIMIT).await.unwrap();
}

#[tokio::test]
async fn without_permission_to_read_it_ends() {
    let fake = FakeApi::start().await;
    fake.deny("*", "pods");
    let error = wait(&fake, LIMIT).await.unwrap_err();
    assert!(matches!(error, WaitError::Denied(_)), "{error}");
}

#[tokio::test]
async fn a_list_is_waited_for_by_its_labels() {
    let fake = FakeApi::start().await;
    set(&fake, "Running");
    fake.put("/api/v1/namespaces/shop/pods/other", json!({}));
    let api: Api<Pod> = to_fake(&fake).api();
    let mut seen = Vec::new();
    let look = |pods: &[Pod]| {
        let names: Vec<String> = pods.iter().map(ResourceExt::name_any).collect();
        match names.as_slice() {
            [only] if only == "db-1" => Progress::Done(()),
            names => Progress::Waiting(names.join(",")),
        }
    };
    let on_waiting = |text: &str| {
        seen.push(text.to_owned());
        if text == "db-0" {
            let labels = json!({"metadata": {"labels": {"app": "db"}}});
            fake.put("/api/v1/namespaces/shop/pods/db-1", labels);
        } else {
            fake.remove(POD);
        }
    };
    wait_list(api, "app=db", LIMIT, look, on_waiting)
        .await
        .unwrap();
    assert_eq!(seen, ["db-0", "db-0,db-1"]);
}
