//! What is in sight, in a namespace and in all of them, with few rights and with many.

use std::time::Duration;

use super::rights::account;
use crate::support::{Instance, Space, eventually, own_cluster};

/// A Deployment of another image family whose image has no PostgreSQL data directory to start on: it crashes for ever.
const BROKEN: &str = "\
apiVersion: apps/v1
kind: Deployment
metadata: {name: broken, labels: {team: b}}
spec:
  selector: {matchLabels: {app: broken}}
  template:
    metadata: {labels: {app: broken}}
    spec:
      terminationGracePeriodSeconds: 0
      containers:
        - name: postgres
          image: docker.io/library/postgres:17
          imagePullPolicy: IfNotPresent
          env: [{name: PGDATA, value: /var/lib/postgresql/data/pgdata}]
          volumeMounts: [{name: data, mountPath: /var/lib/postgresql/data}]
      volumes: [{name: data, emptyDir: {}}]
";

#[test]
fn every_postgresql_in_sight_with_few_rights_too() {
    if !own_cluster("images of both families") {
        return;
    }
    let space = Space::new("list");
    space
        .plugin("list")
        .exits(0)
        .says(&format!("No PostgreSQL found in namespace {}", space.name));
    space.apply(BROKEN);
    let pg = space.place(&Instance::library("library-statefulset", 13));
    let bitnami = space.install(&Instance::bitnami("bitnami-statefulset", 15));
    pg.wait_ready();
    // A container that is just being tried again runs for a moment.
    let list = eventually("it crashes", Duration::from_secs(120), || {
        let list = space.plugin("list -o json").exits(0).json();
        (list["items"][0]["state"] == "crash-loop").then_some(list)
    });
    let of = |target: &str| {
        let items = list["items"].as_array().unwrap();
        let found = items.iter().find(|item| item["target"] == target);
        found
            .unwrap_or_else(|| panic!("{target} is not in {list:#}"))
            .clone()
    };
    assert_eq!(list["items"].as_array().unwrap().len(), 3, "{list:#}");
    let library = of(pg.target());
    assert_eq!(library["versionSource"], "server", "{library:#}");
    assert!(library["version"].as_str().unwrap().starts_with("13."));
    assert_eq!(library["support"], "ended");
    assert_eq!(library["capacityBytes"], 1_u64 << 30);
    assert_eq!(library["claim"], "data-pg-0");
    assert_eq!(library["method"], "pg-upgrade");
    assert_eq!(library["blockers"], serde_json::json!([]));
    let other = of(bitnami.target());
    assert!(other["version"].as_str().unwrap().starts_with("15."));
    let broken = of("deployment/broken");
    assert_eq!(broken["major"], "17");
    assert_eq!(broken["version"], serde_json::Value::Null);
    assert_eq!(
        broken["blockers"],
        serde_json::json!(["no claim", "crash loop"])
    );

    eventually("the tags speak", Duration::from_secs(60), || {
        let said = space.plugin("list --no-exec").exits(0).says("13 (tag)");
        said.out.contains("crash loop").then_some(())
    });
    let team = space.plugin("list -l team=b -o name").exits(0).out;
    assert_eq!(team, "deployment.apps/broken\n");

    // The Role that is printed is enough for one namespace, and all namespaces are refused with a way forward.
    let user = account(&space, "--read-only");
    let line = format!("list -o json {user}");
    eventually("the same with few rights", Duration::from_secs(60), || {
        let narrow = space.plugin(&line).exits(0).json();
        (narrow["items"] == list["items"]).then_some(())
    });
    space
        .plugin(&format!("list -A {user}"))
        .exits(1)
        .says("in all namespaces")
        .says("-n NAMESPACE");
    // Without exec the tags speak, and it is said once.
    let words = [
        "patch",
        "role",
        "tool",
        "--type=json",
        "-p",
        "[{\"op\":\"replace\",\"path\":\"/rules\",\"value\":[{\"apiGroups\":[\"apps\",\"\"],\
          \"resources\":[\"pods\",\"statefulsets\",\"deployments\"],\"verbs\":[\"list\"]}]}]",
    ];
    space.try_kubectl(&words, None).exits(0);
    eventually(
        "exec is not allowed any more",
        Duration::from_secs(20),
        || {
            let done = space.plugin(&format!("list {user}")).exits(0);
            let unread = done.err.matches("could not be asked").count() == 1
                && done.err.contains("not listed: PersistentVolumeClaims");
            (unread && done.out.contains("13 (tag)")).then_some(())
        },
    );
    space
        .plugin("list -A --no-exec")
        .exits(0)
        .says(&space.name)
        .says("deployment/broken");
}
