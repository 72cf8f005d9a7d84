//! A dump that outlives its load: where it lies and what is known of it.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// Where a dump lies.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DumpPlace {
    /// Name of the claim.
    pub claim: String,
    /// Size of the claim, a quantity, where the run makes it; none for a claim of the user's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size: Option<String>,
    /// The dump's directory below the claim's root.
    pub directory: String,
    /// What it may take, bytes.
    #[serde(default)]
    pub needed: u64,
}

/// One dump of a run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DumpEntry {
    /// Where it lies.
    #[serde(flatten)]
    pub place: DumpPlace,
    /// When it was begun.
    pub at: Timestamp,
    /// What it takes on the claim, bytes; none as long as it is not finished.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bytes: Option<u64>,
    /// It was proven whole and has its manifest.
    #[serde(default)]
    pub sealed: bool,
}

impl std::fmt::Display for DumpPlace {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} on claim {}", self.directory, self.claim)
    }
}
