//! The data claim, what its storage can do, and the namespace's Pod Security level.

use k8s_openapi::api::core::v1::{
    Namespace as NamespaceObject, PersistentVolume, PersistentVolumeClaim,
};
use k8s_openapi::api::storage::v1::StorageClass;
use kube::api::ListParams;

use super::namespace::Namespace;
use crate::error::{Failure, Result};
use crate::facts::instance::{ClaimFacts, ObjectId};
use crate::k8s::K8s;
use crate::k8s::labels;
use crate::k8s::quantity;
use crate::k8s::snapshot::VolumeSnapshotClass;

/// Marks the default VolumeSnapshotClass of a driver (external-snapshotter, client/apis/volumesnapshot/v1).
const DEFAULT_CLASS: &str = "snapshot.storage.kubernetes.io/is-default-class";

/// Reads a claim of the session's namespace and the storage behind it.
///
/// # Errors
/// When the claim cannot be read; the rest is noted as unknown.
pub async fn read_claim(k8s: &K8s, namespace: &Namespace, name: &str) -> Result<ClaimFacts> {
    let claim = k8s
        .api::<PersistentVolumeClaim>()
        .get(name)
        .await
        .map_err(|e| {
            Failure::from(e).context(format!(
                "reading PersistentVolumeClaim {}/{name}",
                k8s.namespace()
            ))
        })?;
    let spec = claim.spec.unwrap_or_default();
    let status = claim.status.unwrap_or_default();
    let class_name = spec.storage_class_name.clone().unwrap_or_default();
    let volume = spec.volume_name.clone().unwrap_or_default();
    let (driver, classes) = tokio::join!(driver(k8s, &volume, &class_name), async {
        list_snapshot_classes(k8s).await
    });
    let (snapshot_class, no_snapshot_reason) = match classes {
        Err(reason) => (None, reason),
        Ok(_) if driver.is_empty() => (
            None,
            "the driver of the volume could not be read".to_owned(),
        ),
        Ok(classes) => choose_class(&driver, &classes),
    };
    Ok(ClaimFacts {
        id: ObjectId {
            api_version: "v1".to_owned(),
            kind: "PersistentVolumeClaim".to_owned(),
            namespace: k8s.namespace().to_owned(),
            name: name.to_owned(),
            uid: claim.metadata.uid.unwrap_or_default(),
        },
        access_modes: spec.access_modes.unwrap_or_default(),
        capacity_bytes: status
            .capacity
            .and_then(|c| c.get("storage").and_then(|q| quantity::whole(&q.0)))
            .unwrap_or(0),
        storage_class: class_name,
        driver,
        volume,
        snapshot_class,
        no_snapshot_reason,
        used_by: pods_on_claim(namespace, name),
    })
}

/// Names of the pods that mount a claim and have not ended, our own aside that only read it: probes, and copies for a
/// rehearsal, whose client may have been killed.
pub fn pods_on_claim(namespace: &Namespace, claim: &str) -> Vec<String> {
    namespace
        .pods
        .iter()
        .filter(|pod| {
            let phase = pod
                .status
                .as_ref()
                .and_then(|s| s.phase.as_deref())
                .unwrap_or_default();
            let labels = pod.metadata.labels.as_ref();
            let part = labels.and_then(|l| l.get(labels::PART));
            let only_reads = matches!(part.map(String::as_str), Some("probe" | "copy"));
            phase != "Succeeded"
                && phase != "Failed"
                && !only_reads
                && pod
                    .spec
                    .iter()
                    .flat_map(|s| s.volumes.iter().flatten())
                    .any(|v| {
                        v.persistent_volume_claim
                            .as_ref()
                            .is_some_and(|c| c.claim_name == claim)
                    })
        })
        .filter_map(|pod| pod.metadata.name.clone())
        .collect()
}

/// The CSI driver of a volume; the class's provisioner when the volume may not be read.
async fn driver(k8s: &K8s, volume: &str, class: &str) -> String {
    if !volume.is_empty()
        && let Ok(found) = k8s.api_all::<PersistentVolume>().get(volume).await
    {
        return found
            .spec
            .and_then(|s| s.csi)
            .map(|c| c.driver)
            .unwrap_or_default();
    }
    if class.is_empty() {
        return String::new();
    }
    k8s.api_all::<StorageClass>()
        .get(class)
        .await
        .map(|c| c.provisioner)
        .unwrap_or_default()
}

async fn list_snapshot_classes(k8s: &K8s) -> Result<Vec<VolumeSnapshotClass>, String> {
    match k8s
        .api_all::<VolumeSnapshotClass>()
        .list(&ListParams::default())
        .await
    {
        Ok(list) => Ok(list.items),
        Err(kube::Error::Api(status)) if status.code == 404 => {
            Err("this Kubernetes has no VolumeSnapshot API (snapshot.storage.k8s.io)".to_owned())
        }
        Err(error) => Err(format!("VolumeSnapshotClasses cannot be listed: {error}")),
    }
}

fn choose_class(driver: &str, classes: &[VolumeSnapshotClass]) -> (Option<String>, String) {
    let fitting: Vec<&VolumeSnapshotClass> =
        classes.iter().filter(|c| c.driver == driver).collect();
    let defaults: Vec<&&VolumeSnapshotClass> = fitting
        .iter()
        .filter(|c| {
            c.metadata
                .annotations
                .iter()
                .flatten()
                .any(|(k, v)| k == DEFAULT_CLASS && v == "true")
        })
        .collect();
    let name = |c: &VolumeSnapshotClass| c.metadata.name.clone();
    match (defaults.as_slice(), fitting.as_slice()) {
        ([one], _) => (name(one), String::new()),
        ([], [one]) => (name(one), String::new()),
        ([], []) => (None, format!("no VolumeSnapshotClass for driver {driver}")),
        _ => (
            None,
            format!("several VolumeSnapshotClasses fit driver {driver}; name one with --snapshot"),
        ),
    }
}

/// The Pod Security level that the namespace enforces; empty when unset or unreadable.
pub async fn pod_security(k8s: &K8s) -> String {
    k8s.api_all::<NamespaceObject>()
        .get(k8s.namespace())
        .await
        .ok()
        .and_then(|n| n.metadata.labels)
        .and_then(|mut l| l.remove("pod-security.kubernetes.io/enforce"))
        .unwrap_or_default()
}
