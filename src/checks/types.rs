//! What a check is, what it sees, and what it says.

use serde::Serialize;

use crate::facts::dry_run::DryRun;
use crate::facts::instance::InstanceFacts;
use crate::facts::server::ServerFacts;
use crate::facts::surroundings::Surroundings;
use crate::facts::target::TargetFacts;
use crate::plan::crossing::Crossing;
use crate::plan::place::Placement;
use crate::postgres::initdb::Wish;
use crate::postgres::query::Query;
use crate::postgres::version::MajorVersion;
use crate::record::{DUMP, LOAD};

/// Which side a check looks at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Layer {
    /// The running server.
    Live,
    /// The target image and the volume, as the probe pod sees them.
    Target,
    /// Kubernetes.
    Kubernetes,
}

impl Layer {
    /// The word in output and documentation.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Live => "live",
            Self::Target => "target",
            Self::Kubernetes => "kubernetes",
        }
    }
}

/// How much a finding matters, least first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Severity {
    /// Good to know.
    Info,
    /// The upgrade works; something has to be done or known.
    Warning,
    /// The upgrade would fail or do harm.
    Blocker,
}

impl Severity {
    /// The word in output.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Info => "info",
            Self::Warning => "warning",
            Self::Blocker => "blocker",
        }
    }
}

/// One thing that a check found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Finding {
    /// Id of the check.
    pub check: &'static str,
    /// How much it matters.
    pub severity: Severity,
    /// One sentence of fact, without a period.
    pub message: String,
    /// What it is about: databases, tables, roles, pods. At most as many as were read; `message` has the number.
    pub objects: Vec<String>,
    /// Why it matters.
    pub why: &'static str,
    /// Exact statement or command that mends it; empty when there is none.
    pub fix: String,
    /// `--ignore-checks` turns it into a warning.
    pub waivable: bool,
    /// It was a blocker and `--ignore-checks` named its check.
    pub waived: bool,
}

impl Finding {
    pub(super) fn new(severity: Severity, message: impl Into<String>) -> Self {
        Self {
            check: "",
            severity,
            message: message.into(),
            objects: Vec::new(),
            why: "",
            fix: String::new(),
            waivable: false,
            waived: false,
        }
    }

    pub(super) fn blocker(message: impl Into<String>) -> Self {
        Self::new(Severity::Blocker, message)
    }

    pub(super) fn warning(message: impl Into<String>) -> Self {
        Self::new(Severity::Warning, message)
    }

    pub(super) fn info(message: impl Into<String>) -> Self {
        Self::new(Severity::Info, message)
    }

    pub(super) fn objects<T: Into<String>>(mut self, objects: impl IntoIterator<Item = T>) -> Self {
        self.objects = objects.into_iter().map(Into::into).collect();
        self
    }

    pub(super) fn fix(mut self, fix: impl Into<String>) -> Self {
        self.fix = fix.into();
        self
    }
}

/// What was asked for, as far as checks need it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Request {
    /// Major version asked for with `--to`.
    pub to: Option<u32>,
    /// Image to go to.
    pub image: String,
    /// `auto`, `clone`, `link`, `copy` or `swap`, decided where it could be; or `dump`.
    pub transfer: String,
    /// `auto`, `none` or the name of a VolumeSnapshotClass.
    pub snapshot: String,
    /// What the new cluster is made with, where it shall not be as the old one.
    pub wish: Wish,
}

/// Everything that checks look at. What was not read is `None` and becomes a finding.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct CheckInput {
    /// The Kubernetes side.
    pub instance: InstanceFacts,
    /// The running server; `None` when none runs.
    pub server: Option<ServerFacts>,
    /// The target image and the volume; `None` when no probe pod was made.
    pub target: Option<TargetFacts>,
    /// What the plan does and whether it is allowed; `None` when that could not be asked.
    pub access: Option<Vec<(String, bool)>>,
    /// What stands around the instance.
    pub surroundings: Surroundings,
    /// The API server's answers to the objects that the plan makes; empty when none was tried.
    pub dry_run: Vec<DryRun>,
    /// What changes with the family of the image; `None` when it stays, or cannot be told yet.
    pub crossing: Option<Crossing>,
    /// The directory that the new cluster shall have, where it is not the old one's.
    pub placement: Option<Placement>,
    /// What was asked for.
    pub request: Request,
}

impl CheckInput {
    /// Major version that the data goes to: the image's own, else the one asked for, else the one in its tag.
    pub fn to(&self) -> Option<MajorVersion> {
        let asked = self
            .request
            .to
            .and_then(|to| u16::try_from(to).ok())
            .map(MajorVersion::new);
        self.target
            .as_ref()
            .map(|target| target.version.major)
            .or(asked)
            .or_else(|| crate::postgres::image::major(&self.request.image))
    }
}

/// What a check of the live layer sees.
#[derive(Clone, Copy, Debug)]
pub struct Live<'a> {
    /// The running server.
    pub server: &'a ServerFacts,
    /// Everything else.
    pub input: &'a CheckInput,
    /// Major version that the data goes to.
    pub to: MajorVersion,
}

/// What a check of the target layer sees.
#[derive(Clone, Copy, Debug)]
pub struct Target<'a> {
    /// The running server.
    pub server: &'a ServerFacts,
    /// The target image and the volume.
    pub target: &'a TargetFacts,
    /// Everything else.
    pub input: &'a CheckInput,
}

/// What a check is about, which decides the ways to a new version that it is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Concerns {
    /// Where the server runs and who else uses it: any way, a load that replaces the databases included.
    Place,
    /// What the databases hold and what the new version makes of it: not a load, which finds out by reading the dump.
    Contents,
    /// What `pg_upgrade` carries over in its stored form: not a dump, which writes it as text.
    StoredForm,
}

impl Concerns {
    /// Whether it matters to a transfer, in the words of the record.
    pub(crate) fn matters_to(self, transfer: &str) -> bool {
        match transfer {
            LOAD => self == Self::Place,
            DUMP => self != Self::StoredForm,
            _ => true,
        }
    }
}

/// The function of a check, which says what it needs to have been read.
#[derive(Clone, Copy, Debug)]
pub enum Run {
    /// Needs the running server.
    Live(fn(&Live<'_>) -> Vec<Finding>),
    /// Needs the running server, and matters where the old version is older than this one, which brought a change, and the
    /// new one is not.
    Change(u16, fn(&Live<'_>) -> Vec<Finding>),
    /// Needs the running server and the target image.
    Target(fn(&Target<'_>) -> Vec<Finding>),
    /// Needs neither.
    Kubernetes(fn(&CheckInput) -> Vec<Finding>),
}

/// One preflight check.
#[derive(Clone, Copy, Debug)]
pub struct Check {
    /// Stable id, kebab-case; its file has the same name.
    pub id: &'static str,
    /// What is true when it is silent.
    pub title: &'static str,
    /// Why it matters: what happens otherwise.
    pub why: &'static str,
    /// How it is mended, in general.
    pub mend: &'static str,
    /// The worst that it says about what was read. What could not be read may be a blocker all the same.
    pub severity: Severity,
    /// `--ignore-checks` may turn its blockers into warnings.
    pub waivable: bool,
    /// What it is about.
    pub concerns: Concerns,
    /// What to ask the server for it, besides what is read anyway.
    pub queries: &'static [Query],
    /// The check itself.
    pub run: Run,
}

impl Check {
    /// Which side it looks at.
    pub const fn layer(&self) -> Layer {
        match self.run {
            Run::Live(_) | Run::Change(..) => Layer::Live,
            Run::Target(_) => Layer::Target,
            Run::Kubernetes(_) => Layer::Kubernetes,
        }
    }

    pub(crate) fn findings(&self, input: &CheckInput) -> Vec<Finding> {
        // server-facts and target-facts say what was not read, once for all checks.
        let live = match (&input.server, input.to()) {
            (Some(server), Some(to)) => Some(Live { server, input, to }),
            _ => None,
        };
        let found = match self.run {
            Run::Kubernetes(run) => run(input),
            Run::Live(run) => live.iter().flat_map(run).collect(),
            Run::Change(major, run) => {
                let change = MajorVersion::new(major);
                live.iter()
                    .filter(|live| live.server.version.major < change && change <= live.to)
                    .flat_map(run)
                    .collect()
            }
            Run::Target(run) => match (&input.server, &input.target) {
                (Some(server), Some(target)) => run(&Target {
                    server,
                    target,
                    input,
                }),
                _ => Vec::new(),
            },
        };
        found
            .into_iter()
            .map(|finding| Finding {
                check: self.id,
                why: self.why,
                waivable: self.waivable,
                ..finding
            })
            .collect()
    }
}
