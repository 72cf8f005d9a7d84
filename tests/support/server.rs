//! A PostgreSQL of tests/instances: where it is, how to talk to it, what is in it.

use std::cell::Cell;
use std::fmt::{Display, Write as _};

use super::process::Done;
use super::space::Space;
use super::{LIMIT, context, eventually};

/// The minor of 17 that can go to the 18 of `tests/cluster/images`, which is older than the newest 17.
pub(crate) const OLDER_17: &str = "17.11";

/// The same in the words of Bitnami's tags.
pub(crate) const OLDER_BITNAMI_17: &str = "17.11.0";

/// Name of every instance: of its Service and of the Secret with what clients need.
pub(crate) const NAME: &str = "pg";

/// A file of tests/instances, and what its placeholders become.
#[derive(Clone, Debug)]
pub(crate) struct Instance {
    file: &'static str,
    image: String,
    class: &'static str,
    changes: Vec<(String, String)>,
}

impl Instance {
    /// A file whose name begins with `library-` or is `authentik`, with the docker-library image.
    pub(crate) fn library(file: &'static str, tag: impl Display) -> Self {
        let class = if file == "library-mount-root" {
            "xfs"
        } else {
            "ext4"
        };
        Self {
            file,
            image: library(tag),
            class,
            changes: Vec::new(),
        }
    }

    /// A file whose name begins with `bitnami-`.
    pub(crate) fn bitnami(file: &'static str, tag: impl Display) -> Self {
        let image = format!("docker.io/bitnamilegacy/postgresql:{tag}");
        Self {
            image,
            ..Self::library(file, tag)
        }
    }

    /// Another storage class.
    pub(crate) fn class(mut self, class: &'static str) -> Self {
        self.class = class;
        self
    }

    /// A change of the manifest's text, which must hold `from`.
    pub(crate) fn with(mut self, from: &str, to: &str) -> Self {
        self.changes.push((from.to_owned(), to.to_owned()));
        self
    }

    fn is_library(&self) -> bool {
        self.file.starts_with("library-")
    }

    /// What the binary is told.
    pub(crate) fn workload(&self) -> &'static str {
        match self.file {
            "library-deployment" => "deployment/pg",
            file if file.starts_with("library-") => "statefulset/pg",
            _ => "statefulset/pg-postgresql",
        }
    }

    fn container(&self) -> &'static str {
        if self.is_library() {
            "postgres"
        } else {
            "postgresql"
        }
    }

    pub(crate) fn manifest(&self, namespace: &str, password: &str) -> String {
        let path = format!(
            "{}/tests/instances/{}.yaml",
            env!("CARGO_MANIFEST_DIR"),
            self.file
        );
        let mut text = std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{path}: {e}"));
        for (from, to) in &self.changes {
            assert!(text.contains(from), "{path} has no {from}");
            text = text.replace(from, to);
        }
        if !context().starts_with("pg-upgrade-") {
            text = text.replace("storageClassName: \"${CLASS}\"", "");
        }
        text.replace("${CLASS}", self.class)
            .replace("${NAME}", NAME)
            .replace("${NAMESPACE}", namespace)
            .replace("${IMAGE}", &self.image)
            .replace("${SIZE}", "1Gi")
            .replace("${PASSWORD_B64}", &base64(password.as_bytes()))
    }
}

/// The docker-library image of a tag.
pub(crate) fn library(tag: impl Display) -> String {
    format!("docker.io/library/postgres:{tag}")
}

/// RFC 4648, with padding.
pub(crate) fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for chunk in bytes.chunks(3) {
        let all = chunk.iter().fold(0, |n, b| n << 8 | u32::from(*b)) << (8 * (3 - chunk.len()));
        for i in 0..4 {
            let digit = DIGITS[(all >> (18 - 6 * i) & 63) as usize] as char;
            text.push(if i <= chunk.len() { digit } else { '=' });
        }
    }
    text
}

/// A PostgreSQL in a namespace.
pub(crate) struct Server<'a> {
    space: &'a Space,
    instance: Instance,
    /// Whether every session begins with the settings of `settings.sql`.
    set: Cell<bool>,
}

/// Finds the superuser and the password where the server's own container has them. $1 is the database. With a word in $2,
/// what every session begins with (`settings.sql`) is not for the tests' own. The address is not loopback's, on which
/// entrypoints have a server for a moment before the real one.
const PSQL: &str = r#"user=${POSTGRES_USER:-postgres} file=$POSTGRES_PASSWORD_FILE
if [ -d /opt/bitnami/scripts ] || [ "$user" = app ]; then user=postgres file=${POSTGRES_POSTGRES_PASSWORD_FILE:-$file}; fi
[ -z "$2" ] || export PGOPTIONS='-c search_path=public -c client_min_messages=error -c default_transaction_read_only=off -c standard_conforming_strings=on -c DateStyle=ISO
  -c IntervalStyle=postgres -c TimeZone=UTC -c bytea_output=hex -c statement_timeout=0 -c lock_timeout=0 -c session_replication_role=origin
  -c row_security=on -c backslash_quote=on -c xmloption=content -c quote_all_identifiers=off' PGCLIENTENCODING=UTF8
export PGPASSWORD="${POSTGRES_PASSWORD:-$(cat "$file")}" PGUSER="$user" PGHOST=$(hostname -i) PGDATABASE="$1"
PATH=/usr/lib/postgresql/$PG_MAJOR/bin:$PATH
exec psql -XAtq -v ON_ERROR_STOP=1"#;

impl<'a> Server<'a> {
    pub(crate) fn new(space: &'a Space, instance: &Instance) -> Self {
        Self {
            space,
            instance: instance.clone(),
            set: Cell::new(false),
        }
    }

    /// What the binary is told.
    pub(crate) fn target(&self) -> &'static str {
        self.instance.workload()
    }

    /// Waits until all pods of the workload are ready and the server answers.
    #[track_caller]
    pub(crate) fn wait_ready(&self) {
        self.space
            .kubectl(&format!("rollout status {} --timeout=300s", self.target()));
        eventually("the server answers", LIMIT, || {
            (self.try_sql("postgres", "SELECT 1").code == 0).then_some(())
        });
    }

    /// SQL as the superuser, whatever comes of it.
    #[track_caller]
    pub(crate) fn try_sql(&self, database: &str, sql: &str) -> Done {
        let words = [
            "exec",
            "-i",
            self.target(),
            "-c",
            self.instance.container(),
            "--",
            "sh",
            "-c",
            PSQL,
            "-",
            database,
            if self.set.get() { "set" } else { "" },
        ];
        self.space.try_kubectl(&words, Some(sql))
    }

    /// SQL as the superuser; returns what psql prints, unaligned and without headers.
    #[track_caller]
    pub(crate) fn sql(&self, database: &str, sql: &str) -> String {
        self.try_sql(database, sql)
            .exits(0)
            .out
            .trim_end()
            .to_owned()
    }

    /// A command line in the server's container, whatever comes of it.
    #[track_caller]
    pub(crate) fn shell(&self, line: &str) -> Done {
        let container = self.instance.container();
        let words = [
            "exec",
            self.target(),
            "-c",
            container,
            "--",
            "sh",
            "-c",
            line,
        ];
        self.space.try_kubectl(&words, None)
    }

    /// The pod template.
    #[track_caller]
    pub(crate) fn template(&self) -> serde_json::Value {
        self.space.get(self.target())["spec"]["template"].take()
    }

    /// Major version of the server that runs.
    #[track_caller]
    pub(crate) fn major(&self) -> u32 {
        let text = self.sql("postgres", "SHOW server_version_num");
        text.parse::<u32>().unwrap() / 10_000
    }

    /// Image in the template.
    #[track_caller]
    pub(crate) fn image(&self) -> String {
        let path = format!(
            "jsonpath={{.spec.template.spec.containers[?(@.name==\"{}\")].image}}",
            self.instance.container()
        );
        let words = ["get", self.target(), "-o", &path];
        self.space.try_kubectl(&words, None).exits(0).out
    }

    /// Fills it with a little of everything.
    #[track_caller]
    pub(crate) fn seed(&self) {
        self.sql("postgres", include_str!("seed.sql"));
    }

    /// Gives every session settings that break what relies on the usual ones.
    #[track_caller]
    pub(crate) fn set_for_everybody(&self) {
        self.sql("postgres", include_str!("settings.sql"));
        self.set.set(true);
    }

    /// The same as [`Server::seed`], and databases with hostile names: each costs every step of an upgrade its share.
    #[track_caller]
    pub(crate) fn seed_hostile(&self) {
        self.seed();
        let mut script = String::new();
        for database in HOSTILE_DATABASES {
            let quoted = database.replace('"', "\"\"");
            let _ = writeln!(script, "CREATE DATABASE \"{quoted}\";");
            let _ = writeln!(script, "{}", connect(database));
            script.push_str(include_str!("seed-database.sql"));
        }
        self.sql("postgres", &script);
    }

    /// Everything in it that must survive, as text: what the system knows, and every row of every table but `writes`.
    #[track_caller]
    pub(crate) fn fingerprint(&self) -> String {
        let databases = self.sql(
            "postgres",
            "SELECT datname FROM pg_database WHERE datallowconn ORDER BY datname",
        );
        let mut script = String::from(include_str!("fingerprint.sql"));
        for database in databases.lines() {
            script.push_str(&connect(database));
            script.push('\n');
            script.push_str(include_str!("fingerprint-database.sql"));
        }
        self.sql("postgres", &script)
    }

    /// Scales the workload, as somebody else would.
    #[track_caller]
    pub(crate) fn scale(&self, replicas: u32) {
        self.space
            .kubectl(&format!("scale {} --replicas={replicas}", self.target()));
    }

    /// Replicas in the workload's spec.
    #[track_caller]
    pub(crate) fn replicas(&self) -> u64 {
        self.space.get(self.target())["spec"]["replicas"]
            .as_u64()
            .unwrap()
    }

    /// Upgrades and says that everything is there; the usual middle of a test.
    #[track_caller]
    pub(crate) fn upgrades(&self, to: u32, more: &str) -> Done {
        let before = self.fingerprint();
        let done = self.runs(to, more).exits(0);
        assert_eq!(self.major(), to, "{done}");
        assert_same(&before, &self.fingerprint());
        done
    }

    /// `run TARGET --to MAJOR -y` and more words.
    #[track_caller]
    pub(crate) fn runs(&self, to: u32, more: &str) -> Done {
        let line = format!("run {} --to {to} -y {more}", self.target());
        self.space.start(line.trim_end()).finish_in(LIMIT)
    }
}

/// Names that break what does not quote: the last has 63 bytes, the longest that PostgreSQL keeps.
const HOSTILE_DATABASES: &[&str] = &[
    "Up \"quoted\" $(touch /tmp/x) `id` 'q' \\n",
    "dbname=x host=nowhere",
    "ü-63-bytes-aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
];

/// psql's `\connect` for any name.
fn connect(database: &str) -> String {
    let value = database.replace('\\', "\\\\").replace('\'', "\\'");
    format!(
        "\\connect -reuse-previous=on \"dbname='{}'\"",
        value.replace('"', "\"\"")
    )
}

/// Compares two fingerprints and shows only the lines that differ.
#[track_caller]
pub(crate) fn assert_same(before: &str, after: &str) {
    if before == after {
        return;
    }
    let lines = |a: &str, b: &str| {
        let other: Vec<&str> = b.lines().collect();
        let only: Vec<&str> = a.lines().filter(|l| !other.contains(l)).collect();
        only.join("\n")
    };
    panic!(
        "the data differ\n--- only before\n{}\n--- only after\n{}",
        lines(before, after),
        lines(after, before)
    );
}
