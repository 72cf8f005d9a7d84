//! A dump that is to be loaded, as a pod that has read it to its end tells it.

use serde::{Deserialize, Serialize};

/// What the dump is and what it holds.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Given {
    /// Its path in pods of ours.
    pub path: String,
    /// `ours`, `custom`, `directory`, `tar` or `plain`.
    pub kind: String,
    /// `gzip`, `zstd` or `lz4` where the whole file is compressed; else empty.
    pub packed: String,
    /// Version of the server that was dumped; empty when it does not say.
    pub from: String,
    /// Version of the `pg_dump` that made it; empty when it does not say.
    pub by: String,
    /// Databases that it makes.
    pub databases: Vec<String>,
    /// Roles that own objects in it or may use them.
    pub owners: Vec<String>,
    /// It has roles of its own.
    pub globals: bool,
    /// Its size, bytes.
    pub bytes: u64,
    /// When its file was written last, seconds since 1970.
    pub made_at: i64,
    /// Tables that it has rows for.
    pub tables: u64,
    /// Their rows; `None` for a dump made of INSERT statements, which are not counted.
    pub rows: Option<u64>,
    /// Sequences that it sets.
    pub sequences: u64,
    /// Large objects.
    pub large_objects: u64,
    /// What its load may take on the data claim, bytes.
    pub needed: u64,
}
