//! Groups of flags that several commands share.

use std::time::Duration;

use clap::{Args, ValueEnum};

use super::values;
use crate::discover::target::TargetName;
use crate::facts::server::LocaleProvider;
use crate::output::Format;
use crate::plan::dump::DumpClaim;
use crate::postgres::initdb::Wish;

/// Which PostgreSQL.
#[derive(Args, Debug, Clone)]
pub struct TargetArgs {
    /// The workload: statefulset/NAME, deployment/NAME or NAME; not needed where the namespace holds exactly one PostgreSQL
    #[arg(value_name = "TARGET")]
    pub target: Option<TargetName>,
    /// Name of the server's container, where the pod has several that look like one
    #[arg(long, value_name = "NAME")]
    pub container: Option<String>,
    /// The run to go on with, where there are several
    #[arg(long = "run", value_name = "ID")]
    pub run_id: Option<String>,
}

/// How the result is printed.
#[derive(Args, Debug, Clone)]
pub struct OutputArgs {
    /// Output format: table, wide, json, yaml, name, jsonpath=TEMPLATE, jsonpath-file=FILE, custom-columns=SPEC
    #[arg(
        short = 'o',
        long = "output",
        value_name = "FORMAT",
        default_value = "table"
    )]
    pub output: Format,
}

/// How a command that writes is allowed to act.
#[derive(Args, Debug, Clone)]
pub struct ActArgs {
    /// Do not ask for confirmation
    #[arg(short = 'y', long = "yes")]
    pub yes: bool,
    /// Print the steps and do nothing; server also asks the API server whether it would accept each write
    #[arg(long, value_name = "MODE", num_args = 0..=1, require_equals = true, default_value = "none", default_missing_value = "client")]
    pub dry_run: DryRun,
}

/// `--dry-run`, as kubectl has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum DryRun {
    /// Act.
    None,
    /// Print only.
    Client,
    /// Print, and ask the API server whether it would accept each write.
    Server,
}

/// Which version, which image, and how the data goes over.
#[derive(Args, Debug, Clone, Default)]
pub struct UpgradeOptions {
    /// Major version to go to; the image stays in its repository, its tag is replaced by the new major
    #[arg(long, value_name = "MAJOR", value_parser = values::major)]
    pub to: Option<u32>,
    /// Image to go to, said in full
    #[arg(long, value_name = "REF", value_parser = values::image)]
    pub image: Option<String>,
    /// Image that the data was made with, where the server does not start with its present one
    #[arg(long, value_name = "REF", value_parser = values::image)]
    pub old_image: Option<String>,
    /// How the data goes to the new version: `pg_upgrade`, or a dump and a load, which take their time and go where `pg_upgrade` cannot
    #[arg(long, value_enum, default_value_t)]
    pub method: Method,
    #[command(flatten)]
    pub made_with: MadeWithArgs,
    /// How `pg_upgrade` transfers files; auto takes clone where the file system has reflinks, else link with a volume snapshot, else copy
    #[arg(long, value_enum, default_value_t)]
    pub transfer: Transfer,
    /// Where the dump of --method dump or side-by-side lies and is kept: a claim of this name, or one of this size that the run makes
    #[arg(long, value_name = "NAME|SIZE", value_parser = values::dump_claim)]
    pub dump_claim: Option<DumpClaim>,
    /// Directory of the new cluster, on the data claim, such as /data/17 after /data/16; PGDATA follows (default: the old one's place)
    #[arg(long, value_name = "DIR", value_parser = values::directory)]
    pub data_directory: Option<String>,
    /// Parallel jobs of `pg_upgrade` and vacuumdb (default: one for each processor the server may use)
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=64))]
    pub jobs: Option<u32>,
    /// Volume snapshot: auto, none, or the name of a VolumeSnapshotClass
    #[arg(long, value_name = "auto|none|CLASS", default_value = "auto", value_parser = values::object_name)]
    pub snapshot: String,
    /// How the new server is compared with the old one: auto takes counts where they fit in 5 s, else quick
    #[arg(long, value_enum, default_value_t)]
    pub verify: Verify,
    /// Refuse when the estimated outage is longer, such as 120s or 5m
    #[arg(long, value_name = "DURATION", value_parser = values::duration)]
    pub outage_budget: Option<Duration>,
    /// Checks whose blockers are waived, by id
    #[arg(long, value_name = "ID,…", value_delimiter = ',')]
    pub ignore_checks: Vec<String>,
}

/// What the new cluster is made with where it shall not be as the old one.
#[derive(Args, Debug, Clone, Default, PartialEq, Eq)]
pub struct MadeWithArgs {
    /// With --method dump: encoding of the new databases, such as UTF8 (default: as they are)
    #[arg(long, value_name = "NAME", value_parser = values::encoding)]
    pub encoding: Option<String>,
    /// With --method dump: locale of the new databases, such as C.utf8, or with ICU de-DE (default: as they are)
    #[arg(long, value_name = "NAME", value_parser = values::locale)]
    pub locale: Option<String>,
    /// With --method dump: who sorts the text of the new databases (default: as it is)
    #[arg(long, value_enum, value_name = "libc|icu|builtin")]
    pub locale_provider: Option<LocaleProvider>,
    /// With --method dump: checksums of data pages, on or off (default: as they are)
    #[arg(long, value_name = "on|off", num_args = 0..=1, require_equals = true, default_missing_value = "on", value_parser = values::switch)]
    pub data_checksums: Option<bool>,
}

impl MadeWithArgs {
    /// The same as the plan knows it.
    pub fn wish(&self) -> Wish {
        Wish {
            encoding: self.encoding.clone(),
            locale: self.locale.clone(),
            provider: self.locale_provider,
            checksums: self.data_checksums,
        }
    }
}

/// `--method`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Method {
    /// `pg_upgrade` on the same claim.
    #[default]
    PgUpgrade,
    /// `pg_dump` and `pg_restore` on the same claim: for what `pg_upgrade` refuses, such as another C library.
    Dump,
    /// `pg_dump` and `pg_restore` from the server into another one that runs already.
    SideBySide,
    /// The data comes from a dump that is there already: what `restore --from dump` asks for.
    #[value(skip)]
    Load,
}

/// `--transfer`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Transfer {
    /// Chosen from what the file system and the storage can do.
    #[default]
    Auto,
    /// Reflinks: as fast as link, the old directory stays whole.
    Clone,
    /// Hard links: no space, but no way back without a snapshot once the new server ran.
    Link,
    /// Copies: twice the space.
    Copy,
    /// Directories change places (PostgreSQL 18): the old directory is used up.
    Swap,
}

impl Transfer {
    /// The word as it is typed.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Clone => "clone",
            Self::Link => "link",
            Self::Copy => "copy",
            Self::Swap => "swap",
        }
    }
}

/// `--verify`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Verify {
    /// counts where they fit in 5 s, else quick.
    #[default]
    Auto,
    /// Every object, and the size in pages of every relation.
    Quick,
    /// The same and every table's exact number of rows.
    Counts,
}

impl Verify {
    /// The word as it is typed.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Quick => "quick",
            Self::Counts => "counts",
        }
    }
}

/// Which client workloads are stopped.
#[derive(Args, Debug, Clone, Default)]
pub struct AppsArgs {
    /// Clients to stop: auto (owners of the sessions seen and whatever names the Service), none, or KIND/NAME,…
    #[arg(long, value_name = "auto|none|KIND/NAME,…", value_delimiter = ',', default_value = "auto", value_parser = values::app)]
    pub apps: Vec<String>,
    /// Clients to stop: workloads that match this label selector
    #[arg(short = 'l', long, value_name = "SELECTOR", conflicts_with = "apps")]
    pub selector: Option<String>,
    /// Give up when clients are still connected after this time
    #[arg(long, value_name = "DURATION", default_value = "60s", value_parser = values::duration)]
    pub timeout: Duration,
}
