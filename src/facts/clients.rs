//! Who uses the database.

use serde::{Deserialize, Serialize};

use super::instance::ObjectId;

/// One workload that uses the database, or may.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Client {
    /// The Deployment, StatefulSet or CronJob.
    pub id: ObjectId,
    /// Replicas; for a CronJob 1 when it is not suspended.
    pub replicas: i32,
    /// Why it is listed.
    pub reason: String,
    /// HorizontalPodAutoscaler that scales it; it pauses by itself while the workload is at zero.
    pub autoscaler: Option<String>,
}

/// Sessions of pods that nothing controls or that are not in this namespace.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Stranger {
    /// Address of the session.
    pub address: String,
    /// What is known of it.
    pub who: String,
}

/// Everything that connects.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Clients {
    /// Workloads that can be stopped.
    pub workloads: Vec<Client>,
    /// Sessions that cannot be stopped by scaling something here.
    pub strangers: Vec<Stranger>,
}
