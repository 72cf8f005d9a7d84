//! The VolumeSnapshot of the data claim.

use serde_json::{Value, json};

use crate::k8s::labels;

/// A VolumeSnapshot of `claim`. It has no owner reference: the way back outlives everything else.
pub fn volume_snapshot(name: &str, class: &str, claim: &str, run: &str, instance: &str) -> Value {
    json!({
        "apiVersion": "snapshot.storage.k8s.io/v1",
        "kind": "VolumeSnapshot",
        "metadata": {"name": name, "labels": {
            labels::MANAGED_BY: labels::MANAGER,
            labels::RUN: run,
            labels::INSTANCE: instance,
            labels::PART: "snapshot",
        }},
        "spec": {
            "volumeSnapshotClassName": class,
            "source": {"persistentVolumeClaimName": claim},
        },
    })
}
