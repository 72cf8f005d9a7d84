//! The configuration of the new data directory: what was in force under Bitnami's image, in the order in which it was read.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use super::{Issue, Places, SOCKET};
use crate::facts::image_files::ImageFiles;
use crate::facts::server::{FileSetting, ServerFacts};
use crate::facts::target::TargetFacts;
use crate::postgres::{quote, settings};

/// Settings that say where the old server finds itself.
const OF_THE_PLACE: &[&str] = &[
    "config_file",
    "data_directory",
    "external_pid_file",
    "hba_file",
    SOCKETS,
];
/// Settings whose default is right in the new image when their value is a path of the old one.
const WITH_A_DEFAULT: &[&str] = &["log_directory", "stats_temp_directory"];
const SOCKETS: &str = "unix_socket_directories";
/// What Bitnami's image preloads unasked.
const PGAUDIT: &str = "pgaudit";
const PRELOAD: &str = "shared_preload_libraries";

/// What becomes of the configuration.
pub(super) struct Carried {
    pub(super) files: BTreeMap<String, String>,
    pub(super) translated: BTreeSet<String>,
    pub(super) dropped_libraries: BTreeSet<String>,
    pub(super) issues: Vec<Issue>,
}

struct Work<'a> {
    server: &'a ServerFacts,
    target: &'a TargetFacts,
    files: &'a ImageFiles,
    places: &'a Places<'a>,
    given: &'a str,
    args: &'a [String],
    conf: String,
    included: BTreeSet<String>,
    carried: Carried,
}

pub(super) fn decide(
    server: &ServerFacts,
    target: &TargetFacts,
    files: &ImageFiles,
    places: &Places<'_>,
    given: &str,
    args: &[String],
) -> Carried {
    let mut work = Work {
        server,
        target,
        files,
        places,
        given,
        args,
        conf: "# What was in force under Bitnami's image, which keeps it outside the data directory. By kubectl pg-upgrade.\n"
            .to_owned(),
        included: BTreeSet::new(),
        carried: Carried {
            files: BTreeMap::new(),
            translated: BTreeSet::new(),
            dropped_libraries: BTreeSet::new(),
            issues: Vec::new(),
        },
    };
    work.drop_pgaudit();
    work.lines();
    work.arguments();
    work.hba();
    let Work {
        conf, mut carried, ..
    } = work;
    carried.files.insert("postgresql.conf".to_owned(), conf);
    carried
}

impl Work<'_> {
    fn blocker(&mut self, message: String, fix: impl Into<String>) {
        self.carried.issues.push(Issue::blocker(message, fix));
    }

    fn warning(&mut self, message: String, fix: impl Into<String>) {
        self.carried.issues.push(Issue::warning(message, fix));
    }

    /// Where a file of the configuration is with the new image; `None` when it was the old image's.
    fn place(&self, file: &str) -> Option<String> {
        if self.places.keeps(file) {
            return Some(file.to_owned());
        }
        let folder = parent(&self.server.config_file);
        let rest = file.strip_prefix(folder)?;
        let given = format!("{}{rest}", self.given);
        self.files.given.contains(&given).then_some(given)
    }

    /// Bitnami preloads pgaudit whether it is used or not; docker-library's image has it not.
    fn drop_pgaudit(&mut self) {
        let preloaded = self
            .server
            .shared_preload
            .iter()
            .any(|library| library == PGAUDIT);
        let has = |libraries: &BTreeSet<String>| libraries.contains(PGAUDIT);
        if !preloaded || self.target.libraries.as_ref().is_none_or(has) {
            return;
        }
        let lines = self.server.file_settings.iter().flatten();
        let by_user = lines
            .filter(|line| line.applied && line.name.as_deref() == Some(PRELOAD))
            .filter_map(|line| line.file.as_deref())
            .any(|file| self.place(file).is_some() || self.is_persistent(file));
        if by_user {
            // preload-libraries says where it is.
            return;
        }
        self.carried.dropped_libraries.insert(PGAUDIT.to_owned());
        if self.audits() {
            self.blocker(
                "the server audits by pgaudit, which the target image lacks".to_owned(),
                "take an image that has it with --image, or set pgaudit.log to none (POSTGRESQL_PGAUDIT_LOG) and remove it from roles and databases",
            );
        } else {
            self.warning(
                "pgaudit is preloaded by Bitnami's image and not by the new one; nothing uses it"
                    .to_owned(),
                "",
            );
        }
    }

    fn audits(&self) -> bool {
        let silent = |value: &str| value.is_empty() || value.eq_ignore_ascii_case("none");
        let log = self
            .server
            .settings
            .iter()
            .find(|s| s.name == "pgaudit.log");
        let roles = self.server.role_settings.iter().flatten();
        log.is_some_and(|setting| !setting.value.as_deref().is_some_and(silent))
            || roles
                .into_iter()
                .any(|setting| setting.name.starts_with("pgaudit."))
    }

    /// `postgresql.auto.conf`, which goes along with the data.
    fn is_persistent(&self, file: &str) -> bool {
        let data = self.server.data_directory.trim_end_matches('/');
        file.strip_prefix(data)
            .is_some_and(|rest| rest.starts_with('/'))
    }

    fn lines(&mut self) {
        let Some(lines) = self.server.file_settings.as_ref() else {
            self.blocker(
                "the configuration files of the server could not be read".to_owned(),
                "let preflight read them as a superuser",
            );
            return;
        };
        let main = self.place(&self.server.config_file);
        if let Some(main) = &main {
            // It reads the others itself.
            let _ = writeln!(self.conf, "include = {}", quote::conf_value(main));
            self.includes_of(main);
            let _ = writeln!(self.conf, "port = {}", self.server.port);
        } else {
            self.sockets();
        }
        for line in lines.iter().filter(|line| line.error.is_none()) {
            let (Some(name), Some(file)) = (&line.name, &line.file) else {
                continue;
            };
            if self.is_persistent(file) {
                continue;
            }
            match self.place(file) {
                Some(place) => self.read_there(name, line, &place, main.is_some()),
                None if main.is_some() => {
                    let what = format!(
                        "{file}, which sets {name}, goes with the old image, and {} is the user's own",
                        self.server.config_file
                    );
                    self.blocker(
                        what,
                        "put its settings into the ConfigMap of postgresql.conf",
                    );
                }
                None => {
                    self.carried.translated.insert(file.clone());
                    self.set(&name.to_ascii_lowercase(), line.value.as_deref(), file);
                }
            }
        }
    }

    /// The socket is where the new image's programs look, and where clients beside the server found it.
    fn sockets(&mut self) {
        let old = self.server.socket_directories.split(',').map(str::trim);
        let stays = |path: &&str| *path == "/tmp" || *path != SOCKET && self.places.keeps(path);
        let all: Vec<&str> = [SOCKET].into_iter().chain(old.filter(stays)).collect();
        let value = quote::conf_value(&all.join(", "));
        let _ = writeln!(self.conf, "{SOCKETS} = {value}");
    }

    /// A line of a file that the new server reads where it is.
    fn read_there(&mut self, name: &str, line: &FileSetting, place: &str, by_main: bool) {
        let folder = parent(place);
        // A folder is read as a whole, so that files that are added to it later count.
        let (word, whole) = if folder.ends_with("/conf.d") {
            ("include_dir", folder)
        } else {
            ("include", place)
        };
        if !by_main && self.included.insert(whole.to_owned()) {
            let _ = writeln!(self.conf, "{word} = {}", quote::conf_value(whole));
        }
        if let Some(lost) = line
            .value
            .as_deref()
            .and_then(|value| self.places.lost(value))
        {
            let what = format!("{name} in {place} names {lost}, which only Bitnami's image has");
            self.blocker(what, format!("remove {name} from {place}"));
        }
    }

    /// What the user's own main file includes must be there, or the new server does not start.
    fn includes_of(&mut self, main: &str) {
        let files = self.files;
        for line in &files.includes {
            let text = line.trim();
            let word: String = text
                .chars()
                .take_while(|c| c.is_alphanumeric() || *c == '_')
                .collect();
            let rest = text[word.len()..].trim_start_matches([' ', '\t', '=']);
            let rest = rest.split('#').next().unwrap_or_default().trim();
            let value = rest.trim_matches('\'');
            let path = if value.starts_with('/') {
                value.to_owned()
            } else {
                format!("{}/{value}", parent(main))
            };
            let inside = format!("{}/", path.trim_end_matches('/'));
            let there = self.places.keeps(&path) && !path.starts_with(self.given)
                || self.places.has_mount_at(path.trim_end_matches('/'))
                || files
                    .given
                    .iter()
                    .any(|file| *file == path || file.starts_with(&inside));
            if !there && !word.eq_ignore_ascii_case("include_if_exists") {
                let what =
                    format!("{main} has the line {text:?}, and only Bitnami's image has {path}");
                self.blocker(what, format!("remove that line from {main}"));
            }
        }
    }

    /// One setting of a file that goes with the old image.
    fn set(&mut self, name: &str, value: Option<&str>, place: &str) {
        if OF_THE_PLACE.contains(&name)
            || settings::stops(name, self.target.version, self.target.settings.as_ref())
        {
            return;
        }
        let of = name.split_once('.').map_or("", |(library, _)| library);
        if self.carried.dropped_libraries.contains(of) {
            return;
        }
        let Some(value) = value.filter(|value| !value.chars().any(char::is_control)) else {
            let what = format!(
                "the value of {name} in {place} is not read, because it may hold a secret, so it cannot be carried over"
            );
            self.blocker(
                what,
                format!("ALTER SYSTEM SET {name} = …, which goes along with the data, and remove it from there"),
            );
            return;
        };
        let mut value = value.to_owned();
        if name == PRELOAD {
            let libraries = value.split(',').map(|word| word.trim().trim_matches('"'));
            let kept: Vec<&str> = libraries
                .filter(|library| !self.carried.dropped_libraries.contains(*library))
                .collect();
            value = kept.join(",");
            if value.is_empty() {
                return;
            }
        }
        if let Some(lost) = self.places.lost(&value) {
            let what = format!("{name} in {place} names {lost}, which only Bitnami's image has");
            if WITH_A_DEFAULT.contains(&name) {
                self.warning(format!("{what}; it gets its default"), "");
            } else {
                self.blocker(
                    what,
                    "mount that file from a Secret or ConfigMap, or remove the setting",
                );
            }
            return;
        }
        let _ = writeln!(self.conf, "{name} = {}", quote::conf_value(&value));
    }

    /// Arguments that Bitnami's scripts give to the server (`POSTGRESQL_EXTRA_FLAGS`) win over every file.
    fn arguments(&mut self) {
        let server = self.server;
        for setting in server
            .settings
            .iter()
            .filter(|s| s.source == "command line")
        {
            if !self.is_argument(&setting.name) {
                self.set(
                    &setting.name,
                    setting.value.as_deref(),
                    "the server's arguments",
                );
            }
        }
    }

    /// The container's own arguments stay in the pod template.
    fn is_argument(&self, name: &str) -> bool {
        self.args.iter().any(|word| {
            let word = word.strip_prefix("-c").unwrap_or(word);
            let word = word.trim_start_matches('-').replace('-', "_");
            word.split_once('=')
                .is_some_and(|(set, _)| set.eq_ignore_ascii_case(name))
        })
    }

    fn hba(&mut self) {
        let file = &self.server.hba_file;
        if self.is_persistent(file) {
            return;
        }
        if let Some(place) = self.place(file) {
            let _ = writeln!(self.conf, "hba_file = {}", quote::conf_value(&place));
            return;
        }
        if self.files.hba.is_empty() {
            self.blocker(
                format!("{file} could not be read, so who may log in cannot be carried over"),
                "put it into a ConfigMap (pgHbaConfiguration of the chart)",
            );
            return;
        }
        let mut text = format!("# As {file} of Bitnami's image. By kubectl pg-upgrade.\n");
        let mut odd = 0;
        for line in &self.files.hba {
            match line {
                Some(line) if !leads_elsewhere(line) => {
                    text.push_str(line);
                    text.push('\n');
                }
                _ => odd += 1,
            }
        }
        if odd > 0 {
            let what = format!(
                "{file} has lines that hold a secret or read other files ({odd}), which are not carried over"
            );
            self.blocker(
                what,
                "put it into a ConfigMap (pgHbaConfiguration of the chart)",
            );
        }
        self.carried.files.insert("pg_hba.conf".to_owned(), text);
    }
}

/// A line of `pg_hba.conf` that takes names or lines from another file.
fn leads_elsewhere(line: &str) -> bool {
    line.trim_start().starts_with("include")
        || line
            .split([' ', '\t', ','])
            .any(|word| word.starts_with('@'))
}

fn parent(path: &str) -> &str {
    path.rsplit_once('/').map_or("", |(parent, _)| parent)
}
