//! What the API server says to what an upgrade would make and change, sent to it as a dry run (`dryRun=All`).

use serde::{Deserialize, Serialize};

/// One write and the answer to it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DryRun {
    /// What would be made, such as `Pod pg-upgrade-pg-1-pod`; or the change, such as `the change of StatefulSet/pg`.
    pub object: String,
    /// What came of it.
    pub answer: Answer,
    /// Containers of a pod that admission added.
    pub added: Vec<String>,
}

/// What the API server answers to a dry run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Answer {
    /// It would be made.
    Accepted,
    /// It would not be made, in the API server's words.
    Refused(String),
    /// It could not be tried: no answer, or an admission webhook without dry runs.
    Untried(String),
}
