//! One PostgreSQL of a list: what the lists of Kubernetes tell, and the version that its server says.

use serde::{Deserialize, Serialize};

use super::instance::Owner;
use crate::postgres::version::{MajorVersion, ServerVersion};

/// One PostgreSQL, whatever runs it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Listed {
    /// Namespace.
    pub namespace: String,
    /// What it is to be named by, as kubectl takes it: `statefulset/pg`, `cluster.postgresql.cnpg.io/shop`.
    pub target: String,
    /// What runs its pods.
    pub runs_as: RunsAs,
    /// Name of the server's container.
    pub container: String,
    /// Image of that container as it is written in the template, else in the pod.
    pub image: String,
    /// `spec.replicas`, or the number of an operator's pods; `None` when only pods could be read.
    pub replicas: Option<i32>,
    /// `updateStrategy.rollingUpdate.partition`.
    pub partition: i32,
    /// `persistentVolumeClaimRetentionPolicy.whenScaled` is `Delete`.
    pub claim_deleted_when_scaled: bool,
    /// Pod of the server; empty when there is none, or pods could not be read.
    pub pod: String,
    /// State of that pod.
    pub state: PodState,
    /// Whether the data directory's mount is on a claim.
    pub has_claim: bool,
    /// Name of that claim; empty when it is not known.
    pub claim: String,
    /// Capacity of the claim in bytes; `None` when claims could not be read.
    pub capacity_bytes: Option<u64>,
    /// Who manages it besides the user.
    pub owners: Vec<Owner>,
    /// The version that the server says.
    pub version: Option<ServerVersion>,
    /// The major version that the image's tag or the operator claims; the server may be another.
    pub claimed: Option<MajorVersion>,
}

impl Listed {
    /// The major version: the server's own, else what is claimed.
    pub fn major(&self) -> Option<MajorVersion> {
        self.version.map(|version| version.major).or(self.claimed)
    }
}

/// What runs the pods of a PostgreSQL.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RunsAs {
    /// A StatefulSet or Deployment.
    Workload,
    /// A PostgreSQL operator's custom resource.
    Operator,
    /// Some other controller's object.
    Other,
    /// Nothing: a pod by itself.
    BarePod,
}

/// State of the server's pod.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PodState {
    /// Pods could not be read.
    Unknown,
    /// There is no pod, or its server's container does not run.
    NotRunning,
    /// The server's container runs.
    Running,
    /// The server's container ends again and again.
    CrashLoop,
    /// The image cannot be pulled.
    ImagePull,
}
