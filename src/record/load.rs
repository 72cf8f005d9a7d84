//! The dump that a run loads.

use serde::{Deserialize, Serialize};

use crate::facts::given::Given;

/// What stands for the transfer mode where the data comes from a dump that lies there already.
pub const LOAD: &str = "load";

/// Which dump, and what was found in it before anything was changed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Load {
    /// The claim that it lies on; none for the data claim.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub claim: Option<String>,
    /// `--database`: what a text without a database name is loaded into.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub database: Option<String>,
    /// What it is.
    #[serde(default)]
    pub given: Given,
}
