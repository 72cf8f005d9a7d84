//! The Kubernetes side of one PostgreSQL: workload, pod, claim, and who owns or uses them.

use serde::{Deserialize, Serialize};

use crate::postgres::version::MajorVersion;

/// Identifies one object exactly: its name can be reused, its UID cannot.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ObjectId {
    /// API group and version, such as `apps/v1`.
    pub api_version: String,
    /// Kind, such as `StatefulSet`.
    pub kind: String,
    /// Namespace; empty for objects that have none.
    pub namespace: String,
    /// Name.
    pub name: String,
    /// UID given by the API server.
    pub uid: String,
}

impl std::fmt::Display for ObjectId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.namespace.is_empty() {
            write!(f, "{} {}", self.kind, self.name)
        } else {
            write!(f, "{} {}/{}", self.kind, self.namespace, self.name)
        }
    }
}

/// Image families whose contract (paths, users, environment) is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Family {
    /// `docker.io/library/postgres` and what derives from it.
    DockerLibrary,
    /// `bitnami/postgresql`, `bitnamilegacy/postgresql`.
    Bitnami,
}

/// One PostgreSQL in a StatefulSet or Deployment, as Kubernetes shows it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct InstanceFacts {
    /// The StatefulSet or Deployment.
    pub workload: ObjectId,
    /// `spec.replicas`.
    pub replicas: i32,
    /// Name of the server's container.
    pub container: String,
    /// Image of the server's container as written in the template.
    pub image: String,
    /// Family of that image.
    pub family: Family,
    /// `command` of the container; empty when the image's is used.
    pub command: Vec<String>,
    /// `args` of the container.
    pub args: Vec<String>,
    /// `updateStrategy.rollingUpdate.partition` of a StatefulSet.
    pub partition: i32,
    /// `strategy.type` or `updateStrategy.type`.
    pub strategy: String,
    /// `persistentVolumeClaimRetentionPolicy.whenScaled` is `Delete`.
    pub claim_deleted_when_scaled: bool,
    /// `terminationGracePeriodSeconds` of the pod, seconds.
    pub grace_seconds: i64,
    /// `securityContext.fsGroup` of the pod.
    pub fs_group: Option<i64>,
    /// The pod that runs the server, if there is one.
    pub pod: Option<PodFacts>,
    /// Why no server runs, when none does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub down: Option<Down>,
    /// The claim that holds the data directory.
    pub claim: Option<ClaimFacts>,
    /// Where that claim is mounted in the server's container.
    pub mount_path: String,
    /// `subPath` of that mount; empty for the whole volume.
    pub sub_path: String,
    /// Names of Services that select the server's pods.
    pub services: Vec<String>,
    /// Who manages the workload besides the user.
    pub owners: Vec<Owner>,
    /// PodDisruptionBudgets that select the server's pods.
    pub disruption_budgets: Vec<String>,
    /// HorizontalPodAutoscalers that scale the workload itself.
    pub autoscalers: Vec<String>,
    /// Pod Security level enforced in the namespace (`restricted`, `baseline`, `privileged`, empty when unset or unreadable).
    pub pod_security: String,
}

/// A server that does not run, and what is known about starting it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Down {
    /// Nobody asks for a pod: the workload is at zero replicas.
    pub scaled_to_zero: bool,
    /// The last words of a server that ended again and again; empty when none was started.
    pub said: String,
    /// Major version of the data directory, as those words tell it.
    pub data_major: Option<MajorVersion>,
    /// Other images that the workload had before, the newest first.
    pub earlier_images: Vec<String>,
}

/// The pod that runs the server.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PodFacts {
    /// Name of the pod.
    pub name: String,
    /// UID of the pod.
    pub uid: String,
    /// Node that it runs on.
    pub node: String,
    /// Its address.
    pub ip: String,
    /// All of its containers are ready.
    pub ready: bool,
    /// The image as the node resolved it (`imageID`).
    pub image_id: String,
}

/// The claim that holds the data directory, and what its storage can do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ClaimFacts {
    /// The PersistentVolumeClaim.
    pub id: ObjectId,
    /// Access modes, such as `ReadWriteOnce`.
    pub access_modes: Vec<String>,
    /// Capacity in bytes.
    pub capacity_bytes: u64,
    /// Storage class; empty when none is set.
    pub storage_class: String,
    /// CSI driver of the volume; empty when it is not a CSI volume or may not be read.
    pub driver: String,
    /// Name of the bound PersistentVolume.
    pub volume: String,
    /// VolumeSnapshotClass that fits the driver, when there is one.
    pub snapshot_class: Option<String>,
    /// Why there is no snapshot class, when there is none.
    pub no_snapshot_reason: String,
    /// Names of all pods that mount the claim, the server's own included.
    pub used_by: Vec<String>,
}

/// Software that owns the workload and may fight changes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Owner {
    /// What kind of owner it is.
    pub kind: OwnerKind,
    /// Its name as the user knows it, such as the operator's or the Helm release's name.
    pub name: String,
    /// Name of an operator's custom resource; empty for other owners.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub object: String,
}

/// Kinds of owners that matter for an upgrade.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum OwnerKind {
    /// A PostgreSQL operator: the instance is never touched.
    Operator,
    /// A Helm release: a later `helm upgrade` puts its values back.
    Helm,
    /// An Argo CD application.
    ArgoCd,
    /// A Flux Kustomization or HelmRelease.
    Flux,
    /// Some other controller in `ownerReferences`.
    Other,
}
