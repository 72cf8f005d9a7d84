//! Configuration that an image keeps outside the data directory, as it lies in the server's container.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

/// What of it the server itself does not tell.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ImageFiles {
    /// Lines of `pg_hba.conf` that say something, in order; `None` for one that may hold a secret.
    pub hba: Vec<Option<String>>,
    /// Lines of the main configuration file that include others.
    pub includes: Vec<String>,
    /// Files that the user gave to the image, by their place on the volume or in a mount.
    pub given: BTreeSet<String>,
}
