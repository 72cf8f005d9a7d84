use std::time::Instant as Clocked;

use k8s_openapi::api::core::v1::{ConfigMap, Pod};
use kube::api::{Api, PostParams};
use serde_json::json;

use super::connect::percent_decode;
use super::*;
use crate::k8s::fake::{FakeApi, Fault};
use crate::k8s::{ApiError, ConnectOptions, K8s, Plain, to_fake, to_fake_with};

const POD: &str = "/api/v1/namespaces/shop/pods/db-0";

async fn start() -> (FakeApi, K8s, Api<Pod>) {
    let fake = FakeApi::start().await;
    fake.put(POD, json!({}));
    let k8s = to_fake(&fake);
    let api = k8s.api();
    (fake, k8s, api)
}

fn config_map() -> ConfigMap {
    serde_json::from_value(json!({"metadata": {"name": "plan"}})).unwrap()
}

fn unavailable() -> Fault {
    Fault::Status(503, Vec::new())
}

#[tokio::test]
async fn a_read_is_repeated_until_the_server_is_back() {
    let (fake, k8s, pods) = start().await;
    fake.fault("/pods/db-0", 2, unavailable());
    fake.fault("/pods/db-0", 1, Fault::Reset);
    fake.fault("/pods/db-0", 1, Fault::HalfAnswer);
    pods.get("db-0").await.unwrap();
    assert_eq!(k8s.requests(), 5);
    assert_eq!(fake.requests().len(), 5);
}

#[tokio::test]
async fn a_create_is_not_repeated() {
    let (fake, k8s, _) = start().await;
    let api: Api<ConfigMap> = k8s.api();
    for fault in [
        unavailable(),
        Fault::Status(429, Vec::new()),
        Fault::LoseAnswer,
    ] {
        let before = fake.requests().len();
        fake.fault("POST", 1, fault);
        let result = api
            .create(&PostParams::default(), &config_map())
            .await
            .plain();
        assert!(result.is_err());
        assert_eq!(fake.requests().len(), before + 1);
    }
}

#[tokio::test]
async fn a_lost_answer_says_that_it_may_have_happened() {
    let (fake, k8s, _) = start().await;
    let api: Api<ConfigMap> = k8s.api();
    fake.fault("POST", 1, Fault::LoseAnswer);
    let error = api
        .create(&PostParams::default(), &config_map())
        .await
        .plain()
        .unwrap_err();
    assert!(error.may_have_happened(), "{error}");
    assert!(
        fake.object("/api/v1/namespaces/shop/configmaps/plan")
            .is_some()
    );
}

#[tokio::test]
async fn a_server_that_was_never_reached_fails_at_once() {
    let (fake, k8s, pods) = start().await;
    fake.stop();
    tokio::time::sleep(Duration::from_millis(50)).await;
    let begun = Clocked::now();
    let error = pods.get("db-0").await.plain().unwrap_err();
    assert!(error.is_unreachable(), "{error}");
    assert!(error.to_string().contains(&fake.url()), "{error}");
    assert!(error.to_string().contains("refused"), "{error}");
    assert!(begun.elapsed() < Duration::from_secs(1));
    assert_eq!(k8s.requests(), 1);
}

#[tokio::test]
async fn a_restart_of_the_server_is_waited_for_and_told() {
    let (fake, k8s, pods) = start().await;
    pods.get("db-0").await.unwrap();
    let told = Arc::new(Mutex::new(Vec::new()));
    let sink = Arc::clone(&told);
    k8s.on_notice(move |notice| sink.lock().unwrap().push(notice.clone()));
    fake.stop();
    let again = fake.clone();
    tokio::spawn(async move {
        tokio::time::sleep(Duration::from_millis(1500)).await;
        again.start_again().await;
    });
    // Nothing was sent, so a create may wait as well.
    let api: Api<ConfigMap> = k8s.api();
    api.create(&PostParams::default(), &config_map())
        .await
        .unwrap();
    let told = told.lock().unwrap();
    assert!(matches!(&told[..], [Notice::Retrying { .. }]), "{told:?}");
}

#[tokio::test]
async fn retry_after_is_respected_within_the_bound() {
    let (fake, _, pods) = start().await;
    let after = |seconds: &str| Fault::Status(429, vec![("Retry-After".into(), seconds.into())]);
    fake.fault("/pods/db-0", 1, after("1"));
    let begun = Clocked::now();
    pods.get("db-0").await.unwrap();
    assert!(begun.elapsed() >= Duration::from_secs(1));
    fake.fault("/pods/db-0", 1, after("3600"));
    let error = pods.get("db-0").await.plain().unwrap_err();
    assert_eq!(error.status(), Some(429));
}

#[tokio::test]
async fn request_timeout_bounds_a_call() {
    let fake = FakeApi::start().await;
    fake.fault("GET", 9, Fault::Hang);
    let options = ConnectOptions {
        request_timeout: Some(Duration::from_millis(300)),
        ..ConnectOptions::default()
    };
    let pods: Api<Pod> = to_fake_with(&fake, &options).api();
    let begun = Clocked::now();
    let error = pods.get("db-0").await.plain().unwrap_err();
    assert!(error.may_have_happened(), "{error}");
    assert!(begun.elapsed() < Duration::from_secs(2));
}

#[tokio::test]
async fn one_connection_serves_call_after_call() {
    let (fake, k8s, pods) = start().await;
    for _ in 0..5 {
        pods.get("db-0").await.unwrap();
    }
    k8s.server_version().await.unwrap();
    assert_eq!(fake.connections(), 1);
    assert_eq!(k8s.requests(), 6);
}

#[tokio::test]
async fn connecting_sends_nothing() {
    let (fake, k8s, _) = start().await;
    assert_eq!((fake.connections(), k8s.requests()), (0, 0));
}

#[tokio::test]
async fn the_servers_clock_is_learned() {
    let (fake, k8s, pods) = start().await;
    fake.set_clock_ahead(3600);
    pods.get("db-0").await.unwrap();
    let ahead = k8s.now().duration_since(Timestamp::now());
    assert!((3598..=3602).contains(&ahead.as_secs()), "{ahead:?}");
}

#[test]
fn clocks_that_agree_within_the_resolution_are_taken_as_equal() {
    let at = |text: &str| text.parse::<Timestamp>().unwrap();
    let mut clock = Clock::default();
    clock.observe(
        at("2026-01-01T00:00:00.4Z"),
        at("2026-01-01T00:00:00.5Z"),
        at("2026-01-01T00:00:00Z"),
    );
    assert_eq!(clock.offset(), SignedDuration::ZERO);
    clock.observe(
        at("2026-01-01T00:00:00Z"),
        at("2026-01-01T00:00:00.1Z"),
        at("2026-01-01T01:00:00Z"),
    );
    assert_eq!(clock.offset().as_secs(), 3600);
}

#[tokio::test]
async fn a_warning_of_the_server_is_told_once() {
    let (fake, k8s, pods) = start().await;
    fake.warn("v1 \"Pod\" is old");
    let told = Arc::new(Mutex::new(Vec::new()));
    let sink = Arc::clone(&told);
    k8s.on_notice(move |notice| sink.lock().unwrap().push(notice.clone()));
    pods.get("db-0").await.unwrap();
    pods.get("db-0").await.unwrap();
    let expected = Notice::Warning("v1 \"Pod\" is old".into());
    assert_eq!(*told.lock().unwrap(), [expected]);
}

#[tokio::test]
async fn every_request_says_who_and_on_whose_behalf() {
    let fake = FakeApi::start().await;
    fake.put(POD, json!({}));
    let options = ConnectOptions {
        as_user: Some("eve".into()),
        as_group: vec!["dba".into()],
        as_uid: Some("7".into()),
        as_user_extra: vec![("team".into(), "db".into())],
        ..ConnectOptions::default()
    };
    let k8s = to_fake_with(&fake, &options);
    k8s.api::<Pod>().get("db-0").await.unwrap();
    let head = fake.heads().remove(0);
    assert_eq!(head["authorization"], "Bearer t0ken");
    assert_eq!(head["impersonate-user"], "eve");
    assert_eq!(head["impersonate-group"], "dba");
    assert_eq!(head["impersonate-uid"], "7");
    assert_eq!(head["impersonate-extra-team"], "db");
    assert!(
        head["user-agent"].starts_with("kubectl-pg_upgrade/"),
        "{head:?}"
    );
    assert_eq!(k8s.user(), "tester as eve");
}

#[tokio::test]
async fn errors_are_the_servers_sentence() {
    let (fake, _, pods) = start().await;
    let error = pods.get("db-1").await.plain().unwrap_err();
    assert_eq!(error.to_string(), "pods \"db-1\" not found");
    assert!(error.is_not_found());
    fake.deny("get", "pods");
    let error: ApiError = pods.get("db-1").await.plain().unwrap_err();
    assert!(error.is_denied());
    assert!(error.to_string().contains("cannot get resource"), "{error}");
}

#[test]
fn only_calls_that_change_nothing_twice_are_repeatable() {
    let shape = |method: &str, uri: &str, headers: &[(&str, &str)]| {
        let mut request = Request::builder().method(method).uri(uri);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        Shape::of(&request.body(Body::empty()).unwrap())
    };
    assert!(shape("GET", "/api/v1/pods?watch=true", &[]).repeatable);
    assert!(!shape("GET", "/exec", &[("upgrade", "websocket")]).repeatable);
    assert!(!shape("POST", "/api/v1/pods", &[]).repeatable);
    assert!(!shape("POST", "/pods/x/eviction", &[]).repeatable);
    assert!(!shape("DELETE", "/pods/x", &[]).repeatable);
    assert!(
        !shape(
            "PATCH",
            "/x",
            &[("content-type", "application/merge-patch+json")]
        )
        .repeatable
    );
    assert!(
        shape(
            "PATCH",
            "/x",
            &[("content-type", "application/apply-patch+yaml")]
        )
        .repeatable
    );
    assert!(shape("POST", "/x?dryRun=All", &[]).repeatable);
    let review = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews";
    assert!(shape("POST", review, &[]).repeatable);
    assert_eq!(
        shape("GET", "/x/log?follow=true", &[]).stream,
        Stream::Endless
    );
}

/// A connection whose credential plugin writes down each run, and gives the number of it as token.
fn with_plugin(fake: &FakeApi, runs: &std::path::Path, expiry: &str) -> K8s {
    let script = format!(
        r#"echo >> {runs}; n=$(wc -l < {runs}); echo '{{"status":{{"token":"'$((n))'"{expiry}}}}}'"#,
        runs = runs.display()
    );
    let mut kubeconfig: serde_json::Value = serde_json::from_str(&fake.kubeconfig()).unwrap();
    kubeconfig["users"][0]["user"] = json!({"exec": {
        "apiVersion": "client.authentication.k8s.io/v1",
        "command": "sh", "args": ["-c", script], "interactiveMode": "Never",
    }});
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), kubeconfig.to_string()).unwrap();
    let options = ConnectOptions {
        kubeconfig: Some(file.path().to_owned()),
        ..ConnectOptions::default()
    };
    let target = crate::k8s::config::resolve(&options, &|_| None, None).unwrap();
    K8s::to(target, Limits::new(None))
}

fn tokens(fake: &FakeApi) -> Vec<String> {
    let heads = fake.heads();
    heads
        .iter()
        .map(|head| head["authorization"].clone())
        .collect()
}

#[tokio::test]
async fn a_credential_plugin_runs_once_and_only_when_needed() {
    let fake = FakeApi::start().await;
    fake.put(POD, json!({}));
    fake.on_exec(|_| vec![crate::k8s::fake::ExecStep::Exit(0)]);
    let folder = tempfile::TempDir::new().unwrap();
    let runs = folder.path().join("runs");
    let k8s = with_plugin(&fake, &runs, "");
    assert!(!runs.exists());
    let limit = Duration::from_secs(5);
    let (one, two, three) = tokio::join!(
        k8s.server_version(),
        k8s.server_version(),
        k8s.exec("db-0", "c", &["x"], None, limit)
    );
    one.unwrap();
    two.unwrap();
    three.unwrap();
    assert_eq!(tokens(&fake), ["Bearer 1", "Bearer 1", "Bearer 1"]);
}

#[tokio::test]
async fn a_refused_token_is_renewed_once() {
    let fake = FakeApi::start().await;
    let folder = tempfile::TempDir::new().unwrap();
    let k8s = with_plugin(&fake, &folder.path().join("runs"), "");
    fake.fault("/version", 1, Fault::Status(401, Vec::new()));
    k8s.server_version().await.unwrap();
    assert_eq!(tokens(&fake), ["Bearer 1", "Bearer 2"]);
    fake.fault("/version", 9, Fault::Status(401, Vec::new()));
    let error = k8s.server_version().await.unwrap_err();
    assert_eq!(error.status(), Some(401));
    assert_eq!(fake.requests().len(), 4);
}

#[tokio::test]
async fn an_expired_token_is_renewed_before_it_is_sent() {
    let fake = FakeApi::start().await;
    let folder = tempfile::TempDir::new().unwrap();
    let expiry = r#","expirationTimestamp":"2020-01-01T00:00:00Z""#;
    let k8s = with_plugin(&fake, &folder.path().join("runs"), expiry);
    k8s.server_version().await.unwrap();
    k8s.server_version().await.unwrap();
    assert_eq!(tokens(&fake), ["Bearer 1", "Bearer 2"]);
}

#[test]
fn a_password_in_a_proxy_address_is_unescaped() {
    assert_eq!(percent_decode("me:p%40ss%zz"), b"me:p@ss%zz");
}

#[tokio::test]
async fn a_proxy_gets_the_request_with_its_login() {
    // The fake server stands in for the proxy: it sees the tunnel being asked for.
    let fake = FakeApi::start().await;
    let options = ConnectOptions {
        server: Some("https://k8s.example:6443".into()),
        ..ConnectOptions::default()
    };
    let proxy = fake.url().replace("http://", "http://me:p%40ss@");
    let env = |name: &str| (name == "HTTPS_PROXY").then(|| proxy.clone());
    let target = crate::k8s::config::resolve(&options, &env, None).unwrap();
    let k8s = K8s::to(target, Limits::new(None));
    k8s.server_version().await.unwrap_err();
    assert_eq!(fake.requests(), ["CONNECT k8s.example:6443"]);
    assert_eq!(fake.heads()[0]["proxy-authorization"], "Basic bWU6cEBzcw==");
}
