//! The claim that a dump goes to.

use serde::{Deserialize, Serialize};

/// What is known of it before anything is mounted.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DumpClaimFacts {
    /// Its name; none for one that the run makes.
    pub name: Option<String>,
    /// It exists, or will.
    pub exists: bool,
    /// Its size, bytes; zero when nothing is bound yet.
    pub bytes: u64,
    /// Access modes, such as `ReadWriteOnce`.
    pub access_modes: Vec<String>,
    /// Why no file can be written to it, such as `is being deleted`.
    pub unfit: Option<String>,
    /// The pods that mount it, each with the node that it is on.
    pub used_by: Vec<(String, String)>,
    /// Its volume cannot be mounted on the server's node, by the volume's own node affinity.
    pub out_of_reach: bool,
}

impl DumpClaimFacts {
    /// The first pod, with its node, beside which none of ours on this node can mount the claim.
    pub fn in_the_way(&self, node: Option<&str>) -> Option<&(String, String)> {
        let has = |mode: &str| self.access_modes.iter().any(|m| m == mode);
        let (alone, many) = (has("ReadWriteOncePod"), has("ReadWriteMany"));
        let mut users = self.used_by.iter();
        users.find(|(_, place)| alone || (!many && node != Some(place.as_str())))
    }
}
