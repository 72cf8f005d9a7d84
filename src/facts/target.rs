//! The target image and the volume, as the probe pod tells them.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::container::Libc;
use super::instance::Family;
use crate::postgres::version::ServerVersion;

/// What a pod of the target image found out. What it did not tell is `None`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TargetFacts {
    /// Real version of the server in the image.
    pub version: ServerVersion,
    /// C library.
    pub libc: Libc,
    /// Family of the image, by what is in it; `None` when it is of no known one.
    pub family: Option<Family>,
    /// Name of the distribution; empty when the image does not say.
    pub os: String,
    /// `uname -m`.
    pub machine: Option<String>,
    /// Directory of the server's programs.
    pub bindir: Option<String>,
    /// The uid of the data directory's owner has an entry in the image's own `/etc/passwd`.
    pub uid_exists: Option<bool>,
    /// Version of ICU; `None` when the server was built without it or it was not told.
    pub icu: Option<String>,
    /// Locales of `locale -a`.
    pub locales: Option<BTreeSet<String>>,
    /// Extensions by name.
    pub extensions: Option<BTreeMap<String, TargetExtension>>,
    /// Libraries in `$libdir`, without `.so`.
    pub libraries: Option<BTreeSet<String>>,
    /// Names of settings that the server surely knows; it has more that it does not list.
    pub settings: Option<BTreeSet<String>>,
    /// What the server says of the settings in force on the running one; empty when it takes all of them.
    pub configuration: Option<Vec<String>>,
    /// The old server's programs, copied into a pod of this image; `None` when they were not.
    pub old_programs: Option<OldPrograms>,
    /// The schema of the running server, made again without its data; `None` when that was not wanted.
    pub schema: Option<SchemaFacts>,
    /// The volume.
    pub volume: Option<VolumeFacts>,
}

/// The old server's programs as they run in a pod of the target image.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct OldPrograms {
    /// What `postgres --version` says; empty when it does not run.
    pub version: String,
    /// Why they could not be copied, do not run or start no server; empty when all is well.
    pub failed: String,
}

/// What came of making the schema again.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct SchemaFacts {
    /// The roles, under an empty name, and each database.
    pub parts: Vec<SchemaPart>,
    /// Everything that was dumped was tried.
    pub complete: bool,
    /// Why the new server does not start on an empty cluster like the old one; empty when it does.
    pub refused: String,
    /// Why there was no dump to try.
    pub not_read: Option<String>,
}

/// The roles, or one database.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct SchemaPart {
    /// Name of the database; empty for the roles.
    pub database: String,
    /// Objects that the new server does not make, the first of them.
    pub errors: Vec<SchemaError>,
    /// How many there are.
    pub error_count: u64,
    /// Objects that already the old programs did not make again, so that nothing is known about them; the first of them.
    pub untried: Vec<SchemaError>,
    /// How many there are.
    pub untried_count: u64,
    /// Why nothing is known about all of it.
    pub unproved: Option<String>,
}

impl SchemaPart {
    /// A database that was not tried.
    pub fn unproved(database: &str, why: String) -> Self {
        Self {
            database: database.to_owned(),
            unproved: Some(why),
            ..Self::default()
        }
    }
}

/// One object that could not be made.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct SchemaError {
    /// Its type and name, such as `VIEW "public.v"`.
    pub object: String,
    /// The server's message.
    pub message: String,
}

/// An extension that the target image has.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct TargetExtension {
    /// `default_version` of its control file.
    pub default_version: Option<String>,
    /// Versions that a script leads to.
    pub versions: Vec<String>,
    /// Update scripts, as `FROM--TO`.
    pub updates: Vec<String>,
}

/// The volume that holds the data directory, as the uid of its owner sees it from another pod.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct VolumeFacts {
    /// The data directory in the pod.
    pub data: String,
    /// It is there.
    pub exists: bool,
    /// The pod's uid owns it.
    pub owner: Option<bool>,
    /// Owner.
    pub uid: Option<u32>,
    /// Group.
    pub gid: Option<u32>,
    /// Mode, octal digits.
    pub mode: Option<String>,
    /// The uid may make entries beside the data directory.
    pub writable_parent: Option<bool>,
    /// The uid may make entries in the data directory.
    pub writable_data: Option<bool>,
    /// What is where the new cluster shall be: `free`, `taken`, `foreign` or `closed`; `None` when it was not asked for.
    pub place: Option<String>,
    /// Files can be cloned; `None` when it was not tried.
    pub reflink: Option<bool>,
    /// Two directory entries can be exchanged by rename; `None` when it was not tried.
    pub exchange: Option<bool>,
    /// Type of the file system.
    pub fstype: Option<String>,
    /// Free bytes for the uid.
    pub free_bytes: Option<u64>,
    /// Size of the file system, bytes.
    pub total_bytes: Option<u64>,
    /// Free inodes.
    pub free_inodes: Option<u64>,
    /// Inodes of the file system; 0 where it has no fixed number.
    pub total_inodes: Option<u64>,
    /// Bytes of the data directory, WAL included.
    pub data_bytes: Option<u64>,
    /// Files of the data directory.
    pub data_files: Option<u64>,
    /// First line of `PG_VERSION`; empty when there is none.
    pub pg_version: String,
    /// Full version of the old programs; empty when they were not there to ask.
    pub old_version: String,
    /// There is a `postmaster.pid`.
    pub postmaster_pid: Option<bool>,
    /// State in the control data (1 shut down, 6 in production).
    pub state: Option<u32>,
    /// Where `pg_wal` points to when it is a symbolic link.
    pub wal_link: Option<String>,
    /// WAL segments are visible from the pod.
    pub wal_here: Option<bool>,
    /// Links in `pg_tblspc`.
    pub tablespaces: Vec<TablespaceLink>,
    /// Names in the data directory.
    pub entries: Vec<String>,
    /// All lines of `pg_controldata`; `None` when no program could read the control file.
    pub control: Option<BTreeMap<String, String>>,
}

/// One link in `pg_tblspc`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct TablespaceLink {
    /// oid of the tablespace.
    pub oid: String,
    /// Where it points to.
    pub path: String,
    /// That is a directory in the probe pod too.
    pub mounted: bool,
}
