//! A claim made from a volume snapshot.

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
            "dataSource": {"apiGroup": "snapshot.storage.k8s.io", "kind": "VolumeSnapshot", "name": snapshot},
        },
    })
}
