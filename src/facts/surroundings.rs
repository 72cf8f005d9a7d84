//! What stands around an instance in its namespace: meshes, probes, scalers, clients with programs of their own.

use serde::{Deserialize, Serialize};

use super::dump_claim::DumpClaimFacts;

/// What Kubernetes and its add-ons may do to the server, to our pods or to clients.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Surroundings {
    /// Why the server's pod has a sidecar of a service mesh, such as `namespace label istio-injection=enabled`.
    pub mesh: Vec<String>,
    /// The container's `livenessProbe`, when it has one and no `startupProbe` holds it back.
    pub liveness: Option<Liveness>,
    /// A change of the workload's template starts a second server before the first has ended.
    pub surges: bool,
    /// `persistentVolumeClaimRetentionPolicy.whenDeleted` is `Delete`.
    pub claim_deleted_when_deleted: bool,
    /// KEDA `ScaledObjects` of the server or of a client.
    pub scaled_objects: Vec<Scaler>,
    /// `VerticalPodAutoscalers` of the server that replace its pod.
    pub vertical_scalers: Vec<Scaler>,
    /// Kinds that may not be listed, with the reason.
    pub unread: Vec<String>,
    /// Clients whose image holds PostgreSQL's client programs, by its name.
    pub dumpers: Vec<Dumper>,
    /// The claim that a dump goes to, when it is not the data claim.
    pub dump_claim: Option<DumpClaimFacts>,
}

/// How long the kubelet waits for a server that does not answer, seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Liveness {
    /// `initialDelaySeconds`.
    pub delay: i32,
    /// `periodSeconds`.
    pub period: i32,
    /// `failureThreshold`.
    pub threshold: i32,
}

impl Liveness {
    /// Seconds after which a server that is still starting is killed.
    pub fn patience(self) -> i32 {
        self.delay
            .saturating_add(self.period.saturating_mul(self.threshold))
    }
}

/// Something that scales a workload.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Scaler {
    /// Its name.
    pub name: String,
    /// Kind of what it scales.
    pub kind: String,
    /// Name of what it scales.
    pub target: String,
}

/// A workload or CronJob with PostgreSQL's client programs in an image of its own.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Dumper {
    /// `CronJob`, `Deployment` or `StatefulSet`.
    pub kind: String,
    /// Its name.
    pub name: String,
    /// Name of the container.
    pub container: String,
    /// Its image.
    pub image: String,
}
