//! Claims like the data claim.

use serde_json::{Value, json};

use crate::facts::instance::ClaimFacts;
use crate::k8s::labels;

/// A claim of the data claim's class and size whose content comes from a volume snapshot.
pub fn from_snapshot(
    name: &str,
    snapshot: &str,
    like: &ClaimFacts,
    size: &str,
    run: &str,
    instance: &str,
) -> Value {
    let mut claim = empty(name, like, size, run, instance);
    claim["spec"]["dataSource"] =
        json!({"apiGroup": "snapshot.storage.k8s.io", "kind": "VolumeSnapshot", "name": snapshot});
    claim
}

/// An empty claim of the data claim's class for a dump.
pub fn for_dump(name: &str, like: &ClaimFacts, size: &str, run: &str, instance: &str) -> Value {
    let mut claim = empty(name, like, size, run, instance);
    claim["metadata"]["labels"][labels::PART] = json!("dump-claim");
    claim
}

/// An empty claim of the data claim's class.
pub fn empty(name: &str, like: &ClaimFacts, size: &str, run: &str, instance: &str) -> Value {
    json!({
        "metadata": {"name": name, "labels": {
            labels::MANAGED_BY: labels::MANAGER,
            labels::RUN: run,
            labels::INSTANCE: instance,
            labels::PART: "restored-claim",
        }},
        "spec": {
            "accessModes": like.access_modes,
            "storageClassName": like.storage_class,
            "resources": {"requests": {"storage": size}},
        },
    })
}
