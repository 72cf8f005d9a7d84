//! What Kubernetes itself has against an upgrade: preflight says it while the server still runs.

use serde_json::Value;

use crate::support::{Instance, Space};

/// The findings of one check in a report of `preflight -o json`.
fn findings<'a>(report: &'a Value, check: &str) -> Vec<&'a Value> {
    report["findings"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|finding| finding["check"] == check)
        .collect()
}

/// What a refused dry run looks like: exit code 3 and nothing made.
fn refused(space: &Space, words: &str, fix: &str) {
    let report = space
        .plugin("preflight statefulset/pg --to 17 -o json")
        .exits(3)
        .json();
    let found = findings(&report, "dry-run");
    let [finding] = found.as_slice() else {
        panic!("{report:#}");
    };
    assert_eq!(finding["severity"], "blocker", "{finding:#}");
    let message = finding["message"].as_str().unwrap();
    assert!(
        message.contains("would refuse Pod pg-upgrade-"),
        "{message}"
    );
    assert!(message.contains(words), "{message}");
    assert_eq!(finding["fix"], fix.replace("NS", &space.name));
    assert_eq!(report["ready"], false);
    assert_eq!(space.leftovers(), [""; 0]);
}

#[test]
fn a_quota_without_room_for_the_upgrade_pod_is_told_before_the_outage() {
    let space = Space::new("kchk-quota");
    let pg = space.install(&Instance::library("library-statefulset", 13));
    let clean = space.plugin("preflight statefulset/pg --to 17 -o json");
    let report = clean.exits(0).json();
    let loud: Vec<&Value> = report["findings"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|finding| finding["severity"] != "info" && finding["check"] != "libc-version")
        .collect();
    assert_eq!(loud, [&Value::Null; 0]);
    assert_eq!(findings(&report, "dry-run"), [&Value::Null; 0]);
    let requests = report["apiRequests"].as_u64().unwrap();
    eprintln!("{requests} API requests, the probe included");
    space.kubectl("create quota tight --hard=requests.memory=128Mi");
    refused(
        &space,
        "exceeded quota: tight",
        "kubectl -n NS edit resourcequota tight",
    );
    space
        .plugin("run statefulset/pg --to 17 -y")
        .exits(3)
        .says("exceeded quota: tight");
    assert_eq!((pg.major(), pg.replicas()), (13, 1));
    space.kubectl("delete quota tight");
    space.kubectl("create quota snapshots --hard=count/volumesnapshots.snapshot.storage.k8s.io=0");
    space
        .plugin("preflight statefulset/pg --to 17 --transfer link")
        .exits(3)
        .says("would refuse VolumeSnapshot pg-upgrade-");
    // A copy needs no volume snapshot.
    space
        .plugin("preflight statefulset/pg --to 17 --transfer copy")
        .exits(0);
}

#[test]
fn a_limit_range_that_refuses_the_upgrade_pod_is_told_before_the_outage() {
    let space = Space::new("kchk-limits");
    let pg = space.install(&Instance::library("library-statefulset", 13));
    let limit = |words: &str| {
        space.apply(&format!(
            "{{apiVersion: v1, kind: LimitRange, metadata: {{name: small}}, spec: {{limits: [{{type: Container, {words}}}]}}}}"
        ));
    };
    limit("min: {memory: 512Mi}, defaultRequest: {memory: 512Mi}");
    refused(
        &space,
        "minimum memory usage per Container is 512Mi",
        "kubectl -n NS edit limitrange",
    );
    limit("min: null, defaultRequest: {memory: 64Mi}, default: {memory: 128Mi}");
    refused(
        &space,
        "must be less than or equal to memory limit of 128Mi",
        "kubectl -n NS edit limitrange",
    );
    assert_eq!(pg.major(), 13);
}
