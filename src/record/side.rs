//! What a run of `--method side-by-side` knows about the two servers.

use serde::{Deserialize, Serialize};

use super::DumpPlace;
use crate::facts::instance::ObjectId;
use crate::manifests::login::Login;

/// The old server is the run's instance; this is the rest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Side {
    /// The server that is loaded.
    pub new: NewServer,
    /// How the old one is entered.
    pub old_login: Login,
    /// Its port.
    pub old_port: u16,
    /// Image of the pod that carries the data: it has the programs of the new server's version.
    pub image: String,
    /// Numeric user and group of that pod.
    pub uid: i64,
    /// `--to`: the major version that the new server must be.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<u32>,
    /// Full version of the old server.
    #[serde(default)]
    pub from_version: String,
    /// Full version of the new server.
    #[serde(default)]
    pub to_version: String,
    /// Size of the old server's databases.
    #[serde(default)]
    pub bytes: u64,
    /// Parallel jobs.
    pub jobs: u32,
    /// What the new server holds may be thrown away.
    #[serde(default)]
    pub reset: bool,
    /// Clients go on writing to the old server: a trial.
    #[serde(default)]
    pub online: bool,
    /// Roles that others take the place of.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub role_maps: Vec<RoleMap>,
    /// Secret with new passwords of roles.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub role_passwords: Option<String>,
    /// Nothing goes to tablespaces.
    #[serde(default)]
    pub no_tablespaces: bool,
    /// Where the dump lies and is kept; none where it goes with the pod.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dump: Option<DumpPlace>,
    /// Earlier runs from this server into that one that did not end well: what they left there may be cleared.
    #[serde(default)]
    pub earlier: Vec<String>,
}

/// A role of the old server, and the one of the new server that takes its place.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RoleMap {
    /// Name on the old server.
    pub old: String,
    /// Name on the new one.
    pub new: String,
}

impl std::str::FromStr for RoleMap {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        // A name with an equals sign could be cut in two ways.
        match text.split('=').collect::<Vec<_>>()[..] {
            [old, new]
                if !old.is_empty()
                    && !new.is_empty()
                    && old != new
                    && !text.contains(['\n', '\r']) =>
            {
                Ok(Self {
                    old: old.to_owned(),
                    new: new.to_owned(),
                })
            }
            _ => Err(format!("{text:?} is not OLD=NEW, two different roles")),
        }
    }
}

/// The server that is loaded, and how it is entered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "by", rename_all = "kebab-case", rename_all_fields = "camelCase")]
pub enum NewServer {
    /// A StatefulSet or Deployment.
    Workload {
        /// The object.
        workload: Box<ObjectId>,
        /// Name of its server's container.
        container: String,
        /// Its superuser; none where a pod of ours cannot have the Secret, and is let in as a guest.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        login: Option<Box<Login>>,
        /// Its port.
        port: u16,
    },
    /// Whatever the keys host, port, user and password of a Secret lead to.
    Secret {
        /// Name of the Secret, in the old server's namespace.
        name: String,
    },
}

impl NewServer {
    /// The name that `--reset-target` repeats.
    pub fn name(&self) -> &str {
        match self {
            Self::Workload { workload, .. } => &workload.name,
            Self::Secret { name } => name,
        }
    }
}

impl std::fmt::Display for NewServer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Workload { workload, .. } => workload.fmt(f),
            Self::Secret { name } => write!(f, "the server of Secret {name}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_role_map_names_two_roles() {
        let map: RoleMap = "postgres=ad min".parse().unwrap();
        assert_eq!((map.old.as_str(), map.new.as_str()), ("postgres", "ad min"));
        for bad in ["", "a", "a=", "=b", "a=a", "a=b=c"] {
            assert!(bad.parse::<RoleMap>().is_err(), "{bad}");
        }
    }
}
