//! What would make an upgrade fail or hurt: one file per check. Pure: facts in, findings out.
//!
//! A new check is one file with one `Check`, one `mod` line and one entry in `ALL`; `docs/checks.md` is rendered from these.

use std::fmt::Write as _;

use serde::Serialize;

use crate::facts::dry_run::DryRun;
use crate::facts::instance::InstanceFacts;
use crate::facts::server::{Contents, Database, Found, ServerFacts};
use crate::facts::surroundings::Surroundings;
use crate::facts::target::TargetFacts;
use crate::postgres::query::Query;
use crate::postgres::quote;
use crate::postgres::version::{MajorVersion, ServerVersion};

mod access_mode;
mod aclitem_columns;
mod architecture;
mod autoscaler;
mod block_size;
mod checksums;
mod claim;
mod claim_retention;
mod claim_users;
mod column_versions;
mod data_directory_mode;
mod data_directory_owner;
mod data_directory_place;
mod database_locales;
mod databases_read;
mod disruption_budget;
mod dry_run;
mod encoding_conversions;
mod extension_updates;
mod extensions;
mod free_inodes;
mod free_space;
mod function_settings;
mod grace_period;
mod hash_indexes;
mod in_recovery;
mod install_user;
mod invalid_databases;
mod large_objects;
mod libc_family;
mod libc_version;
mod libraries;
mod liveness_probe;
mod locale_provider;
mod locales;
mod logical_slots;
mod managed_by;
mod newest_minor;
mod not_null_inheritance;
mod old_clients;
mod open_databases;
mod operator_owned;
mod partition;
mod permissions;
mod physical_slots;
mod pod_ready;
mod pod_security;
mod polymorphics;
mod postfix_operators;
mod preload_libraries;
mod prepared_transactions;
mod reg_types;
mod release_round;
mod removed_settings;
mod removed_types;
mod replicas;
mod role_settings;
mod scaled_object;
mod server_arguments;
mod server_facts;
mod server_tag;
mod service_mesh;
mod snapshot_class;
mod sql_identifier_columns;
mod standbys;
mod subscriptions;
mod superuser;
mod system_composites;
mod tablespaces;
mod target_facts;
mod target_tag;
mod template_databases;
mod transfer_mode;
mod unknown_columns;
mod update_strategy;
mod version_pair;
mod vertical_autoscaler;
mod volume;
mod wal_directory;
mod wal_segment_size;
mod with_oids;

pub mod docs;
pub mod report;
#[cfg(test)]
pub(crate) mod testing;

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
    fn new(severity: Severity, message: impl Into<String>) -> Self {
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

    fn blocker(message: impl Into<String>) -> Self {
        Self::new(Severity::Blocker, message)
    }

    fn warning(message: impl Into<String>) -> Self {
        Self::new(Severity::Warning, message)
    }

    fn info(message: impl Into<String>) -> Self {
        Self::new(Severity::Info, message)
    }

    fn objects<T: Into<String>>(mut self, objects: impl IntoIterator<Item = T>) -> Self {
        self.objects = objects.into_iter().map(Into::into).collect();
        self
    }

    fn fix(mut self, fix: impl Into<String>) -> Self {
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
    /// `auto`, `clone`, `link`, `copy` or `swap`, decided where it could be.
    pub transfer: String,
    /// `auto`, `none` or the name of a VolumeSnapshotClass.
    pub snapshot: String,
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

/// The function of a check, which says what it needs to have been read.
#[derive(Clone, Copy, Debug)]
pub enum Run {
    /// Needs the running server.
    Live(fn(&Live<'_>) -> Vec<Finding>),
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
    /// `--ignore-checks` may turn its blockers into warnings.
    pub waivable: bool,
    /// What to ask the server for it, besides what is read anyway.
    pub queries: &'static [Query],
    /// The check itself.
    pub run: Run,
}

impl Check {
    /// Which side it looks at.
    pub const fn layer(&self) -> Layer {
        match self.run {
            Run::Live(_) => Layer::Live,
            Run::Target(_) => Layer::Target,
            Run::Kubernetes(_) => Layer::Kubernetes,
        }
    }

    fn findings(&self, input: &CheckInput) -> Vec<Finding> {
        let found = match self.run {
            Run::Kubernetes(run) => run(input),
            // server-facts and target-facts say what was not read, once for all checks.
            Run::Live(run) => match (&input.server, input.to()) {
                (Some(server), Some(to)) => run(&Live { server, input, to }),
                _ => Vec::new(),
            },
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

/// Every check, in the order they are reported.
pub const ALL: &[Check] = &[
    server_facts::CHECK,
    target_facts::CHECK,
    operator_owned::CHECK,
    version_pair::CHECK,
    server_tag::CHECK,
    target_tag::CHECK,
    release_round::CHECK,
    column_versions::CHECK,
    newest_minor::CHECK,
    libc_family::CHECK,
    libc_version::CHECK,
    architecture::CHECK,
    in_recovery::CHECK,
    superuser::CHECK,
    install_user::CHECK,
    template_databases::CHECK,
    open_databases::CHECK,
    invalid_databases::CHECK,
    databases_read::CHECK,
    prepared_transactions::CHECK,
    logical_slots::CHECK,
    physical_slots::CHECK,
    standbys::CHECK,
    subscriptions::CHECK,
    tablespaces::CHECK,
    block_size::CHECK,
    wal_segment_size::CHECK,
    checksums::CHECK,
    database_locales::CHECK,
    locale_provider::CHECK,
    locales::CHECK,
    extensions::CHECK,
    extension_updates::CHECK,
    libraries::CHECK,
    preload_libraries::CHECK,
    reg_types::CHECK,
    system_composites::CHECK,
    aclitem_columns::CHECK,
    removed_types::CHECK,
    unknown_columns::CHECK,
    sql_identifier_columns::CHECK,
    with_oids::CHECK,
    encoding_conversions::CHECK,
    postfix_operators::CHECK,
    polymorphics::CHECK,
    not_null_inheritance::CHECK,
    hash_indexes::CHECK,
    large_objects::CHECK,
    removed_settings::CHECK,
    server_arguments::CHECK,
    role_settings::CHECK,
    function_settings::CHECK,
    data_directory_place::CHECK,
    data_directory_owner::CHECK,
    data_directory_mode::CHECK,
    wal_directory::CHECK,
    volume::CHECK,
    transfer_mode::CHECK,
    free_space::CHECK,
    free_inodes::CHECK,
    claim::CHECK,
    access_mode::CHECK,
    claim_users::CHECK,
    claim_retention::CHECK,
    snapshot_class::CHECK,
    replicas::CHECK,
    partition::CHECK,
    update_strategy::CHECK,
    pod_ready::CHECK,
    grace_period::CHECK,
    liveness_probe::CHECK,
    autoscaler::CHECK,
    scaled_object::CHECK,
    vertical_autoscaler::CHECK,
    disruption_budget::CHECK,
    managed_by::CHECK,
    old_clients::CHECK,
    service_mesh::CHECK,
    pod_security::CHECK,
    dry_run::CHECK,
    permissions::CHECK,
];

/// Runs every check; never stops at the first finding. Blockers of the checks in `ignored` become warnings where they may.
///
/// Worst findings come first; among equals the order of `ALL` holds.
pub fn run_all(input: &CheckInput, ignored: &[String]) -> Vec<Finding> {
    let mut findings: Vec<Finding> = ALL.iter().flat_map(|check| check.findings(input)).collect();
    for finding in &mut findings {
        if finding.severity == Severity::Blocker
            && finding.waivable
            && ignored.iter().any(|id| id == finding.check)
        {
            finding.severity = Severity::Warning;
            finding.waived = true;
        }
    }
    findings.sort_by_key(|finding| std::cmp::Reverse(finding.severity));
    findings
}

/// The check with this id.
pub fn find(id: &str) -> Option<&'static Check> {
    ALL.iter().find(|check| check.id == id)
}

/// Ids in `ignored` that are no check, or whose blockers cannot be waived, with what is wrong.
pub fn wrong_ids(ignored: &[String]) -> Vec<String> {
    ignored
        .iter()
        .filter_map(|id| match find(id) {
            None => Some(format!("there is no check {id:?}")),
            Some(check) if !check.waivable => {
                Some(format!("check {id} cannot be ignored: {}", check.why))
            }
            Some(_) => None,
        })
        .collect()
}

/// A finding that says that something was not read, so nothing can be said about it.
fn unknown(what: &str, server: &ServerFacts) -> Finding {
    let said = server
        .complaints
        .first()
        .map(|line| format!(" (the server said: {line})"))
        .unwrap_or_default();
    Finding::blocker(format!("{what} could not be read{said}"))
}

/// Databases that were read, with what is inside.
fn read_databases(server: &ServerFacts) -> impl Iterator<Item = (&Database, &Contents)> {
    server
        .databases
        .iter()
        .filter_map(|database| Some((database, database.contents.as_ref()?)))
}

/// The rows of a section of every database that was read, or the finding that some database did not answer it.
///
/// `query` decides whether the server was asked at all.
fn rows_of_databases<'a>(
    server: &'a ServerFacts,
    query: &Query,
) -> Result<Vec<(&'a Database, &'a Found)>, Vec<Finding>> {
    if !query.applies(server.version.major) {
        return Ok(Vec::new());
    }
    let mut rows = Vec::new();
    let mut missing = Vec::new();
    for (database, contents) in read_databases(server) {
        match contents.found.get(query.section) {
            Some(found) if found.count > 0 => rows.push((database, found)),
            Some(_) => {}
            None => missing.push(name(&database.name)),
        }
    }
    if missing.is_empty() {
        Ok(rows)
    } else {
        Err(vec![
            unknown(
                &format!(
                    "section {:?} of {}",
                    query.section,
                    numbered(missing.len(), "database")
                ),
                server,
            )
            .objects(missing),
        ])
    }
}

/// A text column of a row; empty when it is NULL or missing.
fn text<'a>(row: &'a serde_json::Map<String, serde_json::Value>, column: &str) -> &'a str {
    row.get(column)
        .and_then(serde_json::Value::as_str)
        .unwrap_or_default()
}

/// A name as people write it: bare where SQL takes it bare, else in double quotes.
fn name(name: &str) -> String {
    let bare = name.starts_with(|c: char| c.is_ascii_lowercase() || c == '_')
        && name
            .chars()
            .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_');
    if bare {
        name.to_owned()
    } else {
        quote::identifier(name).replace('\n', "\\n")
    }
}

/// Names joined by dots.
fn dotted(names: &[&str]) -> String {
    names
        .iter()
        .map(|part| name(part))
        .collect::<Vec<_>>()
        .join(".")
}

/// `1 database`, `3 databases`.
fn numbered(count: usize, noun: &str) -> String {
    match (count, noun.strip_suffix('y')) {
        (1, _) => format!("1 {noun}"),
        (_, Some(stem)) => format!("{count} {stem}ies"),
        _ if noun.ends_with('x') => format!("{count} {noun}es"),
        _ => format!("{count} {noun}s"),
    }
}

/// Statements for the first objects, ready to paste; the rest is counted.
fn statements(all: &[String]) -> String {
    const SHOWN: usize = 10;
    let mut text = all
        .iter()
        .take(SHOWN)
        .cloned()
        .collect::<Vec<_>>()
        .join("; ");
    if all.len() > SHOWN {
        let _ = write!(text, "; and {} more like these", all.len() - SHOWN);
    }
    text
}

/// A statement with the database that it belongs into.
fn in_database(database: &str, statement: &str) -> String {
    format!("in {}: {statement}", name(database))
}

/// The newest version of a major that is known, for the time in which the image was not looked into.
fn newest(major: MajorVersion) -> ServerVersion {
    major.known().map_or(
        ServerVersion { major, minor: 0 },
        crate::postgres::version::KnownMajor::newest,
    )
}

/// The new server's version: the image's own, else the newest known.
fn to_version(live: &Live<'_>) -> ServerVersion {
    live.input
        .target
        .as_ref()
        .map_or_else(|| newest(live.to), |target| target.version)
}

/// Columns of one of the types, of every database, from the section `data-types`.
fn columns_of_types(server: &ServerFacts, types: &[&str]) -> Result<Vec<Column>, Vec<Finding>> {
    let query = crate::postgres::query::DATA_TYPES;
    let mut columns = Vec::new();
    for (database, found) in rows_of_databases(server, &query)? {
        for row in &found.rows {
            if types.contains(&text(row, "type")) {
                columns.push(Column {
                    database: database.name.clone(),
                    schema: text(row, "schema").to_owned(),
                    relation: text(row, "relation").to_owned(),
                    name: text(row, "column").to_owned(),
                    base: text(row, "type").to_owned(),
                });
            }
        }
    }
    Ok(columns)
}

/// A column whose stored form is the problem.
struct Column {
    database: String,
    schema: String,
    relation: String,
    name: String,
    base: String,
}

impl Column {
    fn shown(&self) -> String {
        dotted(&[&self.database, &self.schema, &self.relation, &self.name])
    }

    fn statement(&self, action: &str) -> String {
        let alter = format!(
            "ALTER TABLE {} ALTER COLUMN {} {action}",
            dotted(&[&self.schema, &self.relation]),
            name(&self.name)
        );
        in_database(&self.database, &alter)
    }
}

/// The finding about columns of types that cannot be taken over; none when there are no columns.
fn columns_finding(
    columns: Result<Vec<Column>, Vec<Finding>>,
    what: &str,
    action: &str,
) -> Vec<Finding> {
    let columns = match columns {
        Err(unknown) => return unknown,
        Ok(columns) if columns.is_empty() => return Vec::new(),
        Ok(columns) => columns,
    };
    let mut types: Vec<&str> = columns.iter().map(|column| column.base.as_str()).collect();
    types.sort_unstable();
    types.dedup();
    let types = if types == ["system-composite"] {
        String::new()
    } else {
        format!(" ({})", types.join(", "))
    };
    let fixes: Vec<String> = columns
        .iter()
        .map(|column| column.statement(action))
        .collect();
    vec![
        Finding::blocker(format!(
            "{} {what}{types}",
            numbered(columns.len(), "column")
        ))
        .objects(columns.iter().map(Column::shown))
        .fix(statements(&fixes)),
    ]
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn ids_are_unique_words_with_a_file_of_their_own() {
        let ids: BTreeSet<&str> = ALL.iter().map(|check| check.id).collect();
        assert_eq!(ids.len(), ALL.len());
        let files: BTreeSet<String> =
            std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/src/checks"))
                .unwrap()
                .map(|entry| entry.unwrap().file_name().into_string().unwrap())
                .filter_map(|file| Some(file.strip_suffix(".rs")?.replace('_', "-")))
                .filter(|name| !["mod", "docs", "report", "testing"].contains(&name.as_str()))
                .collect();
        assert_eq!(
            ids.into_iter().map(str::to_owned).collect::<BTreeSet<_>>(),
            files
        );
        for check in ALL {
            assert!(
                check.id.chars().all(|c| c.is_ascii_lowercase() || c == '-'),
                "{}",
                check.id
            );
            for text in [check.title, check.why, check.mend] {
                assert!(
                    !text.is_empty() && !text.ends_with('.'),
                    "{}: {text}",
                    check.id
                );
            }
        }
    }

    #[test]
    fn every_file_has_a_test_that_fires_and_one_that_is_silent() {
        for check in ALL {
            let path = format!(
                "{}/src/checks/{}.rs",
                env!("CARGO_MANIFEST_DIR"),
                check.id.replace('-', "_")
            );
            let text = std::fs::read_to_string(path).unwrap();
            assert!(
                text.contains("fires(") && text.contains("silent("),
                "{}",
                check.id
            );
        }
    }

    #[test]
    fn clean_servers_give_no_finding_above_info() {
        for input in testing::clean() {
            let loud: Vec<_> = run_all(&input, &[])
                .into_iter()
                .filter(|f| f.severity > Severity::Info)
                .collect();
            assert_eq!(loud, [], "{}", input.server.unwrap().version);
        }
    }

    #[test]
    fn ignoring_a_check_turns_its_blocker_into_a_warning_where_that_may_be() {
        let mut input = testing::input();
        input.instance.partition = 1;
        input.server.as_mut().unwrap().in_recovery = true;
        let ignored = ["partition".to_owned(), "in-recovery".to_owned()];
        let findings = run_all(&input, &ignored);
        let of = |id: &str| findings.iter().find(|finding| finding.check == id).unwrap();
        assert_eq!(of("in-recovery").severity, Severity::Blocker);
        assert_eq!(
            (of("partition").severity, of("partition").waived),
            (Severity::Blocker, false)
        );
        assert_eq!(
            wrong_ids(&["nonsense".to_owned()]),
            [r#"there is no check "nonsense""#]
        );
        assert_eq!(wrong_ids(&ignored).len(), 2);
        assert_eq!(wrong_ids(&["newest-minor".to_owned()]), [] as [String; 0]);
    }

    #[test]
    fn the_worst_comes_first() {
        let mut input = testing::input();
        input.instance.partition = 1;
        input.instance.autoscalers = vec!["pg".to_owned()];
        let order: Vec<Severity> = run_all(&input, &[])
            .iter()
            .map(|finding| finding.severity)
            .collect();
        assert!(order.is_sorted_by(|a, b| a >= b), "{order:?}");
    }

    #[test]
    fn names_are_quoted_where_they_must_be() {
        assert_eq!(
            dotted(&["app", "My Table", "x\"y"]),
            r#"app."My Table"."x""y""#
        );
        assert_eq!(numbered(2, "index"), "2 indexes");
        assert_eq!(numbered(1, "database"), "1 database");
    }
}
