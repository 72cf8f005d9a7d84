//! The PostgreSQL side of one instance, as the running server and its container tell it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::container::Container;
use crate::postgres::version::ServerVersion;

/// Everything read from a running server in one go.
///
/// What could not be read is `None` (or a missing key), never a default: a check that needs it says so.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ServerFacts {
    /// `server_version_num`.
    pub version: ServerVersion,
    /// `version()`.
    pub version_text: String,
    /// Role with oid 10, which initdb made; the new cluster must be made with the same.
    pub install_user: Role,
    /// Role that these facts were read as.
    pub connected_as: Role,
    /// `data_directory`, a path in the server's container.
    pub data_directory: String,
    /// `config_file`.
    pub config_file: String,
    /// `hba_file`.
    pub hba_file: String,
    /// `ident_file`.
    pub ident_file: String,
    /// `unix_socket_directories`.
    pub socket_directories: String,
    /// `port`.
    pub port: u16,
    /// Bytes in a page (`block_size`).
    pub block_size: u64,
    /// `data_directory_mode` allows the group to read; false also where the server is older than 11.
    pub group_access: bool,
    /// Libraries in `shared_preload_libraries`, in order.
    pub shared_preload: Vec<String>,
    /// Libraries in `session_preload_libraries` and `local_preload_libraries`.
    pub session_preload: Vec<String>,
    /// `wal_level`.
    pub wal_level: String,
    /// `max_replication_slots`.
    pub max_replication_slots: u32,
    /// `max_connections`.
    pub max_connections: u32,
    /// `pg_is_in_recovery()`: the server is a standby.
    pub in_recovery: bool,
    /// Number of roles besides those that initdb made.
    pub roles: u64,
    /// Control data.
    pub control: Control,
    /// What the server's container tells; the parts that it could not tell are `None` inside.
    pub container: Container,
    /// `pg_settings` that are not at their default.
    pub settings: Vec<Setting>,
    /// `pg_file_settings`: every line of every configuration file; `None` when it could not be read.
    pub file_settings: Option<Vec<FileSetting>>,
    /// Settings attached to roles and databases (`ALTER ROLE … SET`), names only; `None` when they could not be read.
    pub role_settings: Option<Vec<RoleSetting>>,
    /// All databases, template0 included.
    pub databases: Vec<Database>,
    /// Prepared transactions; `None` when they could not be read.
    pub prepared: Option<Vec<PreparedTransaction>>,
    /// Replication slots that are not temporary; `None` when they could not be read.
    pub slots: Option<Vec<Slot>>,
    /// Subscriptions of all databases; `None` when they could not be read, empty before version 10.
    pub subscriptions: Option<Vec<Subscription>>,
    /// Tablespaces besides the two that every cluster has; `None` when they could not be read.
    pub tablespaces: Option<Vec<Tablespace>>,
    /// Standbys and other receivers that are connected; `None` when they could not be read.
    pub standbys: Option<Vec<Standby>>,
    /// Sessions of clients, our own excluded; `None` when they could not be read.
    pub sessions: Option<Vec<Session>>,
    /// Sections that checks asked for once per server, by section name; a missing key was not read.
    pub found: BTreeMap<String, Found>,
    /// What the server or psql said on stderr, for messages about what could not be read.
    pub complaints: Vec<String>,
}

/// One role.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Role {
    /// Name.
    pub name: String,
    /// `rolsuper`.
    pub superuser: bool,
    /// `rolcanlogin`.
    pub login: bool,
}

/// `pg_control_init()`, `pg_control_system()` and `pg_control_checkpoint()`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Control {
    /// `system_identifier`, as text since it does not fit a JSON number everywhere.
    pub system_identifier: String,
    /// `catalog_version_no`.
    pub catalog_version: u64,
    /// `pg_control_version`.
    pub control_version: u64,
    /// Data pages carry checksums.
    pub checksums: bool,
    /// Bytes per WAL segment.
    pub wal_segment_bytes: u64,
    /// Blocks per segment of a large relation.
    pub blocks_per_segment: u64,
    /// Timeline.
    pub timeline: u64,
    /// Position of the last checkpoint's redo record.
    pub redo: String,
    /// `default_char_signedness` (18 and newer).
    pub char_signed: Option<bool>,
}

/// One row of `pg_settings` that is not at its default.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Setting {
    /// Name.
    pub name: String,
    /// Value in the setting's own unit; `None` where it may hold a secret.
    pub value: Option<String>,
    /// `configuration file`, `command line`, `environment variable`, `database`, `user` …
    pub source: String,
    /// `postmaster`, `sighup`, `superuser` …
    pub context: String,
    /// `bool`, `integer`, `real`, `string` or `enum`.
    pub vartype: String,
    /// Unit of the value, such as `8kB`.
    pub unit: Option<String>,
    /// File that sets it.
    pub file: Option<String>,
    /// Line in that file.
    pub line: Option<u32>,
}

/// One line of a configuration file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct FileSetting {
    /// Name; `None` on a line that could not be parsed.
    pub name: Option<String>,
    /// Value as written; `None` where it may hold a secret.
    pub value: Option<String>,
    /// File.
    pub file: Option<String>,
    /// Line in that file.
    pub line: Option<u32>,
    /// The line is in force (a later one may override an earlier one).
    pub applied: bool,
    /// What is wrong with it.
    pub error: Option<String>,
}

/// A setting attached to a role, a database or both.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RoleSetting {
    /// Database that it holds in; `None` for all.
    pub database: Option<String>,
    /// Role that it holds for; `None` for all.
    pub role: Option<String>,
    /// Name of the setting.
    pub name: String,
}

/// Who defines the sort order of a database's text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum LocaleProvider {
    /// The C library.
    Libc,
    /// ICU.
    Icu,
    /// PostgreSQL itself (17 and newer).
    Builtin,
}

impl LocaleProvider {
    /// From `datlocprovider` or `collprovider`.
    pub fn from_code(code: &str) -> Option<Self> {
        match code {
            "c" => Some(Self::Libc),
            "i" => Some(Self::Icu),
            "b" => Some(Self::Builtin),
            _ => None,
        }
    }

    /// As initdb's `--locale-provider` wants it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Libc => "libc",
            Self::Icu => "icu",
            Self::Builtin => "builtin",
        }
    }
}

/// One row of `pg_database` and what is inside.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Database {
    /// oid.
    pub oid: u32,
    /// Name.
    pub name: String,
    /// Encoding, such as `UTF8`.
    pub encoding: String,
    /// Locale provider.
    pub provider: LocaleProvider,
    /// `datcollate`.
    pub collate: String,
    /// `datctype`.
    pub ctype: String,
    /// ICU or builtin locale (`daticulocale`, `datlocale`).
    pub locale: Option<String>,
    /// `daticurules`.
    pub icu_rules: Option<String>,
    /// Collation version recorded when the database was made (15 and newer).
    pub collation_version: Option<String>,
    /// Collation version that the running server's library has (15 and newer).
    pub actual_collation_version: Option<String>,
    /// `datallowconn`.
    pub allows_connections: bool,
    /// `datconnlimit`; -2 marks a database whose DROP was interrupted.
    pub connection_limit: i64,
    /// `datistemplate`.
    pub template: bool,
    /// Name of its default tablespace.
    pub tablespace: String,
    /// `age(datfrozenxid)`.
    pub frozen_age: i64,
    /// KiB on disk in the default tablespace; `None` when the data directory was unreadable.
    pub kib: Option<u64>,
    /// What is inside; `None` when the database was not read (it takes no connections, or connecting failed).
    pub contents: Option<Contents>,
}

/// What is inside one database.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Contents {
    /// Numbers of user relations by kind; `None` when they could not be counted.
    pub relations: Option<Relations>,
    /// Extensions; `None` when they could not be read.
    pub extensions: Option<Vec<Extension>>,
    /// Libraries that functions in C are loaded from; `None` when they could not be read.
    pub libraries: Option<Vec<Library>>,
    /// Settings attached to functions (`CREATE FUNCTION … SET`), names only; `None` when they could not be read.
    pub function_settings: Option<Vec<FunctionSetting>>,
    /// User indexes that depend on a collation, by provider code (`d` the database's own, `c`, `i`, `b`); `None` when not read.
    pub collated_indexes: Option<BTreeMap<String, u64>>,
    /// Sections that checks asked for in each database, by section name; a missing key was not read.
    pub found: BTreeMap<String, Found>,
}

/// Numbers of user relations by kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Relations {
    /// All of them, TOAST tables and indexes included.
    pub relations: u64,
    /// Ordinary tables and partitions.
    pub tables: u64,
    /// Partitioned tables.
    pub partitioned_tables: u64,
    /// Indexes.
    pub indexes: u64,
    /// Sequences.
    pub sequences: u64,
    /// Views.
    pub views: u64,
    /// Materialized views.
    pub materialized_views: u64,
    /// Foreign tables.
    pub foreign_tables: u64,
    /// Unlogged tables.
    pub unlogged_tables: u64,
    /// Pages at the last VACUUM or ANALYZE.
    pub pages: u64,
    /// Large objects.
    pub large_objects: u64,
}

/// One extension of one database.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Extension {
    /// Name.
    pub name: String,
    /// Installed version.
    pub version: String,
    /// Schema.
    pub schema: String,
}

/// One library that functions are loaded from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Library {
    /// `probin`, such as `$libdir/hstore`.
    pub library: String,
    /// Extension that owns one of the functions.
    pub extension: Option<String>,
    /// One of the functions.
    pub function: String,
}

/// A setting attached to a function.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct FunctionSetting {
    /// The function with its argument types.
    pub function: String,
    /// Name of the setting.
    pub name: String,
}

/// A prepared transaction.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PreparedTransaction {
    /// Its identifier.
    pub gid: String,
    /// Role that prepared it.
    pub owner: String,
    /// Database that it is in.
    pub database: String,
    /// When it was prepared, by the server's clock.
    pub prepared: String,
}

/// A replication slot.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Slot {
    /// Name.
    #[serde(alias = "slotName")]
    pub name: String,
    /// `logical` or `physical`.
    #[serde(alias = "slotType")]
    pub kind: String,
    /// Output plugin of a logical slot.
    pub plugin: Option<String>,
    /// Database of a logical slot.
    pub database: Option<String>,
    /// Someone reads from it now.
    pub active: bool,
    /// Goes with its session.
    #[serde(default)]
    pub temporary: bool,
    /// Why it can no longer be used (17 and newer).
    #[serde(default, alias = "invalidationReason")]
    pub invalidated: Option<String>,
    /// `wal_status` (13 and newer).
    #[serde(default)]
    pub wal_status: Option<String>,
    /// `confirmed_flush_lsn` of a logical slot.
    #[serde(default, alias = "confirmedFlushLsn")]
    pub confirmed_flush: Option<String>,
}

/// A subscription.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Subscription {
    /// Name.
    pub name: String,
    /// Database that it is in.
    pub database: Option<String>,
    /// It is enabled.
    pub enabled: bool,
}

/// A tablespace.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Tablespace {
    /// Name.
    pub name: String,
    /// Directory.
    pub location: String,
    /// What lies there of this server, bytes.
    #[serde(default)]
    pub bytes: Option<u64>,
}

/// A connected standby or other receiver of WAL.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Standby {
    /// Process that sends.
    pub pid: u32,
    /// `application_name`.
    pub application_name: Option<String>,
    /// Address that it connects from; `None` for a local socket.
    pub address: Option<String>,
    /// `state`.
    pub state: Option<String>,
    /// `sync_state`.
    pub sync_state: Option<String>,
}

/// A session of a client.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Session {
    /// Process of the server that serves it.
    pub pid: u32,
    /// Database.
    pub database: Option<String>,
    /// Role.
    pub role: String,
    /// `application_name`.
    pub application_name: String,
    /// Address that it connects from; `None` for a local socket.
    pub address: Option<String>,
    /// `active`, `idle` …
    pub state: Option<String>,
    /// When it connected, by the server's clock.
    pub since: Option<String>,
}

/// Rows that a check asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Found {
    /// How many there are.
    pub count: u64,
    /// The first of them, column name to value.
    pub rows: Vec<serde_json::Map<String, serde_json::Value>>,
}

impl ServerFacts {
    /// The database of this name.
    pub fn database(&self, name: &str) -> Option<&Database> {
        self.databases.iter().find(|database| database.name == name)
    }

    /// Value in force of a setting that is not at its default.
    pub fn setting(&self, name: &str) -> Option<&Setting> {
        self.settings.iter().find(|setting| setting.name == name)
    }

    /// The value in force of a setting that was changed; `None` also where it may hold a secret.
    pub fn value_of(&self, name: &str) -> Option<&str> {
        self.setting(name)?.value.as_deref()
    }

    /// `max_locks_per_transaction`.
    pub fn max_locks_per_transaction(&self) -> u64 {
        self.value_of("max_locks_per_transaction")
            .and_then(|value| value.parse().ok())
            .unwrap_or(64)
    }

    /// KiB that a copy of the cluster takes; `None` when the data directory was unreadable.
    pub fn data_kib(&self) -> Option<u64> {
        let spaces = self.tablespaces.iter().flatten().filter_map(|t| t.bytes);
        Some(self.container.data_kib()? + spaces.sum::<u64>() / 1024)
    }

    /// Databases that take connections, with what is inside where they were read.
    pub fn open_databases(&self) -> impl Iterator<Item = &Database> {
        self.databases
            .iter()
            .filter(|database| database.allows_connections && database.connection_limit != -2)
    }
}
