//! `list` against an API server in this process.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use clap::Parser as _;
use serde_json::json;

use super::*;
use crate::cli::{Cli, Command};
use crate::k8s::fake::{ExecStep, FakeApi};
use crate::k8s::to_fake;
use crate::output::UiBuilder;

fn container(name: &str, image: &str) -> Value {
    json!({"name": name, "image": image,
        "env": [{"name": "PGDATA", "value": "/var/lib/postgresql/data/pgdata"}],
        "volumeMounts": [{"name": "data", "mountPath": "/var/lib/postgresql/data"}]})
}

fn pod(image: &str, labels: &Value, owner: &Value, claim: &str, state: &Value) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {"labels": labels, "ownerReferences": if owner.is_null() { json!([]) } else { json!([owner]) }},
        "spec": {"containers": [container("postgres", image)],
            "volumes": [{"name": "data", "persistentVolumeClaim": {"claimName": claim}}]},
        "status": {"phase": "Running", "containerStatuses": [{"name": "postgres", "image": "", "imageID": "",
            "ready": true, "restartCount": 0, "state": state}]},
    })
}

fn owner(api_version: &str, kind: &str, name: &str) -> Value {
    json!({"apiVersion": api_version, "kind": kind, "name": name, "uid": format!("uid-{name}"), "controller": true})
}

fn running() -> Value {
    json!({"running": {}})
}

/// Two namespaces: a StatefulSet and a crashing Deployment of Helm in one, `CloudNativePG` and a bare pod in the other.
async fn world() -> FakeApi {
    let fake = FakeApi::start().await;
    // End of life is judged by the server's clock, which stands at 2026-11-20.
    let at: jiff::Timestamp = "2026-11-20T12:00:00Z".parse().unwrap();
    #[expect(clippy::disallowed_methods, reason = "sets the server's clock")]
    fake.set_clock_ahead(at.as_second() - jiff::Timestamp::now().as_second());
    let template = |image: &str, labels: &Value| {
        json!({"metadata": {"labels": labels}, "spec": {"containers": [container("postgres", image)],
            "volumes": [{"name": "data", "persistentVolumeClaim": {"claimName": "web-data"}}]}})
    };
    let app = json!({"app": "pg"});
    fake.put("/apis/apps/v1/namespaces/shop/statefulsets/pg", json!({
        "apiVersion": "apps/v1", "kind": "StatefulSet", "metadata": {"labels": {"team": "a"}},
        "spec": {"replicas": 1, "serviceName": "pg", "selector": {"matchLabels": app},
            "template": {"metadata": {"labels": app}, "spec": {"containers": [container("postgres", "postgres:13.16")]}},
            "volumeClaimTemplates": [{"metadata": {"name": "data"}, "spec": {}}]},
    }));
    fake.put(
        "/api/v1/namespaces/shop/pods/pg-0",
        pod(
            "postgres:13.16",
            &app,
            &owner("apps/v1", "StatefulSet", "pg"),
            "data-pg-0",
            &running(),
        ),
    );
    let web = json!({"app": "web", "pod-template-hash": "5f4d"});
    fake.put("/apis/apps/v1/namespaces/shop/deployments/web", json!({
        "apiVersion": "apps/v1", "kind": "Deployment",
        "metadata": {"labels": {"app.kubernetes.io/managed-by": "Helm", "app.kubernetes.io/instance": "shop-db"}},
        "spec": {"replicas": 3, "selector": {"matchLabels": {"app": "web"}}, "template": template("postgres:17-alpine", &web)},
    }));
    fake.put(
        "/api/v1/namespaces/shop/pods/web-5f4d-x",
        pod(
            "postgres:17-alpine",
            &web,
            &owner("apps/v1", "ReplicaSet", "web-5f4d"),
            "web-data",
            &json!({"waiting": {"reason": "CrashLoopBackOff"}}),
        ),
    );
    // Neither clients nor dumps are servers.
    fake.put(
        "/api/v1/namespaces/shop/pods/dump-1",
        pod(
            "postgres:17",
            &json!({}),
            &owner("batch/v1", "Job", "dump"),
            "backup",
            &running(),
        ),
    );
    fake.put("/api/v1/namespaces/shop/pods/psql", json!({"apiVersion": "v1", "kind": "Pod", "metadata": {},
        "spec": {"containers": [{"name": "psql", "image": "postgres:17"}]}, "status": {"phase": "Running"}}));
    for instance in ["db-1", "db-2"] {
        fake.put(
            &format!("/api/v1/namespaces/team/pods/{instance}"),
            pod(
                "cloudnative-pg/postgresql:16.3",
                &json!({"cnpg.io/cluster": "db", "cnpg.io/podRole": "instance"}),
                &owner("postgresql.cnpg.io/v1", "Cluster", "db"),
                instance,
                &running(),
            ),
        );
    }
    fake.put(
        "/api/v1/namespaces/team/pods/alone",
        pod(
            "postgres:latest",
            &json!({}),
            &Value::Null,
            "alone",
            &running(),
        ),
    );
    for (namespace, claim) in [
        ("shop", "data-pg-0"),
        ("shop", "web-data"),
        ("team", "db-1"),
    ] {
        fake.put(&format!("/api/v1/namespaces/{namespace}/persistentvolumeclaims/{claim}"),
            json!({"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {}, "status": {"capacity": {"storage": "8Gi"}}}));
    }
    fake.on_exec(|call| {
        let version = if call.pod == "alone" {
            "180006\n"
        } else {
            "130023\n"
        };
        vec![ExecStep::Stdout(version.into()), ExecStep::Exit(0)]
    });
    fake
}

#[derive(Clone, Default)]
struct Heard(Arc<Mutex<Vec<u8>>>);

impl std::io::Write for Heard {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

async fn listing(fake: &FakeApi, line: &str) -> (Result<Exit>, String, String) {
    let cli = Cli::try_parse_from(
        ["kubectl-pg_upgrade", "list"]
            .into_iter()
            .chain(line.split_whitespace()),
    )
    .unwrap();
    let Command::List(args) = cli.command else {
        panic!("not list");
    };
    let heard = Heard::default();
    let session = Session {
        k8s: to_fake(fake),
        ui: UiBuilder::new(heard.clone()).build(),
    };
    let mut out = Vec::new();
    let exit = run(&args, &session, &mut out).await;
    let heard = String::from_utf8(heard.0.lock().unwrap().clone()).unwrap();
    (exit, String::from_utf8(out).unwrap(), heard)
}

#[tokio::test]
async fn all_namespaces_in_order_with_versions_of_servers() {
    let fake = world().await;
    let (exit, out, heard) = listing(&fake, "-A").await;
    assert_eq!(exit.unwrap(), Exit::Done);
    insta::assert_snapshot!(out, @r#"
    NAMESPACE   NAME                            VERSION    NEWEST   END OF LIFE   SIZE      MANAGED BY      METHOD       BLOCKERS
    shop        statefulset/pg                  13.23      13.23    2025-11-13    8.0 GiB   <none>          pg-upgrade   <none>
    shop        deployment/web                  17 (tag)   17.12    2029-11-08    8.0 GiB   Helm shop-db    pg-upgrade   replicas 3, crash loop
    team        pod/alone                       18.6       18.6     2030-11-14    <none>    <none>          pg-upgrade   bare pod
    team        cluster.postgresql.cnpg.io/db   16 (tag)   16.15    2028-11-09    8.0 GiB   CloudNativePG   operator     operator
    "#);
    assert_eq!(heard, "");
    let asked: Vec<String> = fake.exec_calls().into_iter().map(|c| c.pod).collect();
    // An operator's pods are left alone, and so is a pod whose server does not run.
    assert_eq!(asked.len(), 2, "{asked:?}");
    let lists = fake
        .requests()
        .into_iter()
        .filter(|r| r.contains("limit=500"));
    assert_eq!(lists.count(), 4);
}

#[tokio::test]
async fn one_namespace_has_no_column_for_it_and_no_exec_shows_tags() {
    let fake = world().await;
    let (_, out, _) = listing(&fake, "--no-exec -o wide").await;
    insta::assert_snapshot!(out, @r#"
    NAME             VERSION    NEWEST   END OF LIFE   SIZE      MANAGED BY     METHOD       BLOCKERS                 IMAGE                POD/CLAIM
    statefulset/pg   13 (tag)   13.23    2025-11-13    8.0 GiB   <none>         pg-upgrade   <none>                   postgres:13.16       pg-0/data-pg-0
    deployment/web   17 (tag)   17.12    2029-11-08    8.0 GiB   Helm shop-db   pg-upgrade   replicas 3, crash loop   postgres:17-alpine   web-5f4d-x/web-data
    "#);
    assert_eq!(fake.exec_calls().len(), 0);
}

#[tokio::test]
async fn every_fact_is_a_field_and_selectors_choose() {
    let fake = world().await;
    let (_, out, _) = listing(&fake, "-A -o json -l team=a").await;
    let list: Value = serde_json::from_str(&out).unwrap();
    assert_eq!(list["items"].as_array().unwrap().len(), 1, "{list:#}");
    insta::assert_snapshot!(out, @r#"
    {
      "apiVersion": "pg-upgrade.dev/v1alpha1",
      "kind": "InstanceList",
      "asOf": "2026-11-20",
      "notListed": [],
      "items": [
        {
          "namespace": "shop",
          "target": "statefulset/pg",
          "runsAs": "workload",
          "version": "13.23",
          "major": "13",
          "versionSource": "server",
          "newestMinor": "13.23",
          "endOfLife": "2025-11-13",
          "support": "ended",
          "image": "postgres:13.16",
          "container": "postgres",
          "replicas": 1,
          "pod": "pg-0",
          "state": "running",
          "claim": "data-pg-0",
          "capacityBytes": 8589934592,
          "managedBy": [],
          "method": "pg-upgrade",
          "blockers": []
        }
      ]
    }
    "#);
    let (_, out, _) = listing(&fake, "-A -o name -l cnpg.io/cluster").await;
    assert_eq!(out, "cluster.postgresql.cnpg.io/db\n");
    let (_, out, _) = listing(&fake, "-o name").await;
    assert_eq!(out, "statefulset.apps/pg\ndeployment.apps/web\n");
}

#[tokio::test]
async fn what_may_not_be_read_is_unknown_and_said_once() {
    let fake = world().await;
    fake.deny("*", "pods/exec");
    fake.deny("list", "persistentvolumeclaims");
    let (exit, out, heard) = listing(&fake, "-A").await;
    assert_eq!(exit.unwrap(), Exit::Done);
    assert!(out.contains("13 (tag)") && !out.contains("GiB"), "{out}");
    assert_eq!(heard.matches("could not be asked").count(), 1, "{heard}");
    assert!(
        heard.contains("not listed: PersistentVolumeClaims"),
        "{heard}"
    );
    // Workloads alone, and pods alone, make a list.
    fake.deny("list", "pods");
    let (_, out, _) = listing(&fake, "").await;
    assert!(
        out.contains("statefulset/pg") && !out.contains("crash loop"),
        "{out}"
    );
    let fake = world().await;
    fake.deny("list", "statefulsets");
    fake.deny("list", "deployments");
    let (_, out, _) = listing(&fake, "").await;
    assert!(
        out.contains("deployment/web") && out.contains("crash loop"),
        "{out}"
    );
    assert!(out.contains("statefulset/pg"), "{out}");
    fake.deny("list", "pods");
    let (exit, _, _) = listing(&fake, "-A").await;
    let failure = exit.unwrap_err().to_string();
    assert!(
        failure.contains("in all namespaces") && failure.contains("-n NAMESPACE"),
        "{failure}"
    );
}

#[tokio::test]
async fn nothing_found_is_said_and_is_no_error() {
    let fake = FakeApi::start().await;
    let (exit, out, heard) = listing(&fake, "").await;
    assert_eq!(exit.unwrap(), Exit::Done);
    assert_eq!(
        (out.as_str(), heard.as_str()),
        ("", "No PostgreSQL found in namespace shop\n")
    );
}

#[tokio::test]
async fn a_server_that_does_not_answer_costs_seconds_only() {
    let fake = world().await;
    fake.on_exec(|_| vec![ExecStep::Silence]);
    let start = std::time::Instant::now();
    let (exit, out, heard) = listing(&fake, "-A").await;
    assert_eq!(exit.unwrap(), Exit::Done);
    assert!(start.elapsed() < Duration::from_secs(9));
    assert!(out.contains("13 (tag)"), "{out}");
    assert!(
        heard.contains("shop/pg-0") && heard.contains("within 5s"),
        "{heard}"
    );
}

#[test]
fn the_end_of_life_is_red_when_it_is_past() {
    let seen = |support| Outlook {
        newest: None,
        end_of_life: Some("2025-11-13".parse().unwrap()),
        support: Some(support),
        method: None,
        blockers: Vec::new(),
    };
    assert_eq!(end_of_life(&seen(Support::Ended)).tone, Tone::Bad);
    assert_eq!(end_of_life(&seen(Support::EndsSoon)).tone, Tone::Warn);
    assert_eq!(end_of_life(&seen(Support::Supported)).tone, Tone::Plain);
}
