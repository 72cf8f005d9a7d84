//! The volume snapshot types of `snapshot.storage.k8s.io/v1`, as far as this tool reads or writes them.
//!
//! Source: `client/apis/volumesnapshot/v1/types.go` of kubernetes-csi/external-snapshotter.

use std::borrow::Cow;

use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, Time};
use kube::Resource;
use serde::{Deserialize, Serialize};

/// API group of the types.
pub const GROUP: &str = "snapshot.storage.k8s.io";
/// Annotation of the class to use when a snapshot names none: `"true"`.
pub const DEFAULT_CLASS: &str = "snapshot.storage.kubernetes.io/is-default-class";

macro_rules! resource {
    ($type:ident, $plural:literal, $scope:ty) => {
        impl Resource for $type {
            type DynamicType = ();
            type Scope = $scope;

            fn kind((): &()) -> Cow<'_, str> {
                stringify!($type).into()
            }

            fn group((): &()) -> Cow<'_, str> {
                GROUP.into()
            }

            fn version((): &()) -> Cow<'_, str> {
                "v1".into()
            }

            fn plural((): &()) -> Cow<'_, str> {
                $plural.into()
            }

            fn meta(&self) -> &ObjectMeta {
                &self.metadata
            }

            fn meta_mut(&mut self) -> &mut ObjectMeta {
                &mut self.metadata
            }
        }

        impl $type {
            /// Names the type in an object that is sent; lists leave it out of their items.
            fn type_meta() -> TypeMeta {
                TypeMeta {
                    api_version: format!("{GROUP}/v1"),
                    kind: stringify!($type).to_owned(),
                }
            }
        }
    };
}

/// `apiVersion` and `kind`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TypeMeta {
    /// `snapshot.storage.k8s.io/v1`.
    #[serde(default)]
    pub api_version: String,
    /// Name of the type.
    #[serde(default)]
    pub kind: String,
}

/// A request for a snapshot of a claim, and its state.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct VolumeSnapshot {
    /// `apiVersion` and `kind`.
    #[serde(flatten)]
    pub types: TypeMeta,
    /// Name, labels, UID.
    pub metadata: ObjectMeta,
    /// What to snapshot.
    pub spec: VolumeSnapshotSpec,
    /// What became of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<VolumeSnapshotStatus>,
}
resource!(
    VolumeSnapshot,
    "volumesnapshots",
    k8s_openapi::NamespaceResourceScope
);

/// What to snapshot.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct VolumeSnapshotSpec {
    /// The claim, or the content of a snapshot made elsewhere.
    pub source: VolumeSnapshotSource,
    /// Name of the VolumeSnapshotClass; the default one when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub volume_snapshot_class_name: Option<String>,
}

/// One of the two is set.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct VolumeSnapshotSource {
    /// Name of the claim to snapshot.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub persistent_volume_claim_name: Option<String>,
    /// Name of existing content.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub volume_snapshot_content_name: Option<String>,
}

/// State of a snapshot.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct VolumeSnapshotStatus {
    /// Content that holds the snapshot.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bound_volume_snapshot_content_name: Option<String>,
    /// Instant the storage took the snapshot.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub creation_time: Option<Time>,
    /// A volume can be made from it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ready_to_use: Option<bool>,
    /// Least size of a volume made from it; absent when the driver does not tell.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub restore_size: Option<Quantity>,
    /// Last error; the controller keeps trying.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<VolumeSnapshotError>,
}

/// Why taking a snapshot failed last time.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct VolumeSnapshotError {
    /// When.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub time: Option<Time>,
    /// The driver's words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
}

/// How a driver takes snapshots.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct VolumeSnapshotClass {
    /// `apiVersion` and `kind`.
    #[serde(flatten)]
    pub types: TypeMeta,
    /// Name, annotations.
    pub metadata: ObjectMeta,
    /// Name of the CSI driver.
    pub driver: String,
    /// `Delete` or `Retain`: what becomes of the stored snapshot when the object is deleted.
    pub deletion_policy: String,
    /// Settings for the driver.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parameters: Option<std::collections::BTreeMap<String, String>>,
}
resource!(
    VolumeSnapshotClass,
    "volumesnapshotclasses",
    k8s_openapi::ClusterResourceScope
);

/// A stored snapshot, the counterpart of a PersistentVolume.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct VolumeSnapshotContent {
    /// `apiVersion` and `kind`.
    #[serde(flatten)]
    pub types: TypeMeta,
    /// Name, annotations.
    pub metadata: ObjectMeta,
    /// Whose it is.
    pub spec: VolumeSnapshotContentSpec,
    /// What the storage says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<VolumeSnapshotContentStatus>,
}
resource!(
    VolumeSnapshotContent,
    "volumesnapshotcontents",
    k8s_openapi::ClusterResourceScope
);

/// Whose a stored snapshot is.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct VolumeSnapshotContentSpec {
    /// Name of the CSI driver.
    pub driver: String,
    /// `Delete` or `Retain`.
    pub deletion_policy: String,
    /// The VolumeSnapshot it is bound to.
    #[serde(default)]
    pub volume_snapshot_ref: k8s_openapi::api::core::v1::ObjectReference,
    /// Name of the VolumeSnapshotClass.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub volume_snapshot_class_name: Option<String>,
    /// Handle of the volume or of an existing snapshot.
    #[serde(default)]
    pub source: serde_json::Value,
}

/// What the storage says about a stored snapshot.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct VolumeSnapshotContentStatus {
    /// The driver's identifier of the snapshot.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub snapshot_handle: Option<String>,
    /// Nanoseconds since 1970, by the storage's clock.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub creation_time: Option<i64>,
    /// Bytes a volume made from it needs at least.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub restore_size: Option<i64>,
    /// A volume can be made from it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ready_to_use: Option<bool>,
    /// Last error; the controller keeps trying.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<VolumeSnapshotError>,
}

impl VolumeSnapshot {
    /// A snapshot of a claim in the namespace of the metadata.
    pub fn of_claim(metadata: ObjectMeta, claim: &str, class: Option<&str>) -> Self {
        Self {
            types: Self::type_meta(),
            metadata,
            spec: VolumeSnapshotSpec {
                source: VolumeSnapshotSource {
                    persistent_volume_claim_name: Some(claim.to_owned()),
                    volume_snapshot_content_name: None,
                },
                volume_snapshot_class_name: class.map(str::to_owned),
            },
            status: None,
        }
    }

    /// A volume can be made from it now.
    pub fn is_ready(&self) -> bool {
        self.status.as_ref().and_then(|status| status.ready_to_use) == Some(true)
    }

    /// The driver's last error, if there is one.
    pub fn error(&self) -> Option<&str> {
        self.status.as_ref()?.error.as_ref()?.message.as_deref()
    }
}

impl VolumeSnapshotClass {
    /// A class for a driver.
    pub fn of_driver(metadata: ObjectMeta, driver: &str, deletion_policy: &str) -> Self {
        Self {
            types: Self::type_meta(),
            metadata,
            driver: driver.to_owned(),
            deletion_policy: deletion_policy.to_owned(),
            parameters: None,
        }
    }

    /// Its driver uses it when a snapshot names no class.
    pub fn is_default(&self) -> bool {
        self.metadata
            .annotations
            .as_ref()
            .and_then(|annotations| annotations.get(DEFAULT_CLASS))
            .is_some_and(|value| value == "true")
    }
}

impl VolumeSnapshotContent {
    /// Content made from what is known, for tests and static snapshots.
    pub fn of(metadata: ObjectMeta, spec: VolumeSnapshotContentSpec) -> Self {
        Self {
            types: Self::type_meta(),
            metadata,
            spec,
            status: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_snapshot_is_sent_with_its_type_and_without_empty_fields() {
        let meta = ObjectMeta {
            name: Some("before".into()),
            ..ObjectMeta::default()
        };
        let snapshot = VolumeSnapshot::of_claim(meta, "data-db-0", Some("csi"));
        assert_eq!(
            serde_json::to_value(&snapshot).unwrap(),
            json!({
                "apiVersion": "snapshot.storage.k8s.io/v1",
                "kind": "VolumeSnapshot",
                "metadata": {"name": "before"},
                "spec": {
                    "source": {"persistentVolumeClaimName": "data-db-0"},
                    "volumeSnapshotClassName": "csi",
                },
            })
        );
        assert_eq!(
            VolumeSnapshot::url_path(&(), Some("shop")),
            "/apis/snapshot.storage.k8s.io/v1/namespaces/shop/volumesnapshots"
        );
    }

    #[test]
    fn the_state_of_a_snapshot_is_read_as_the_controller_writes_it() {
        let snapshot: VolumeSnapshot = serde_json::from_value(json!({
            "metadata": {"name": "s"},
            "spec": {"source": {"persistentVolumeClaimName": "c"}},
            "status": {
                "boundVolumeSnapshotContentName": "snapcontent-1",
                "creationTime": "2026-01-02T03:04:05Z",
                "readyToUse": true,
                "restoreSize": "1Gi",
                "error": {"message": "slow", "time": "2026-01-02T03:04:05Z"},
            },
        }))
        .unwrap();
        assert!(snapshot.is_ready());
        assert_eq!(snapshot.error(), Some("slow"));
    }

    #[test]
    fn the_default_class_is_known_by_its_annotation() {
        let class: VolumeSnapshotClass = serde_json::from_value(json!({
            "metadata": {"name": "c", "annotations": {DEFAULT_CLASS: "true"}},
            "driver": "hostpath.csi.k8s.io",
            "deletionPolicy": "Delete",
        }))
        .unwrap();
        assert!(class.is_default());
    }
}
