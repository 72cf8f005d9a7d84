//! The chart's StatefulSet and what becomes of it.

use k8s_openapi::api::core::v1::{Container, EnvVar, ExecAction, Lifecycle, LifecycleHandler};
use serde_json::{Value, json};

use super::*;
use crate::checks::{CheckInput, testing};
use crate::facts::server::{FileSetting, Setting};
use crate::record::{Asked, Record};

const CONF: &str = "/opt/bitnami/postgresql/conf/postgresql.conf";

/// Everything that a crossing is decided from.
pub(crate) struct Facts {
    pub(crate) pod: PodSpec,
    pub(crate) input: CheckInput,
    pub(crate) files: ImageFiles,
}

impl Facts {
    fn server(&mut self) -> &mut ServerFacts {
        self.input.server.as_mut().unwrap()
    }

    fn container(&mut self) -> &mut Container {
        &mut self.pod.containers[0]
    }

    fn line(&mut self, file: &str, name: &str, value: Option<&str>) {
        let line = FileSetting {
            name: Some(name.to_owned()),
            value: value.map(str::to_owned),
            file: Some(file.to_owned()),
            line: Some(1),
            applied: true,
            error: None,
        };
        self.server()
            .file_settings
            .get_or_insert_default()
            .push(line);
    }

    pub(crate) fn decide(&self) -> Crossing {
        let (server, target) = (self.input.server.as_ref(), self.input.target.as_ref());
        decide(
            &self.pod,
            &self.input.instance,
            server.unwrap(),
            target.unwrap(),
            &self.files,
        )
    }

    /// A run that did it.
    pub(crate) fn record(&self) -> Record {
        let mut request = crate::plan::upgrade::tests::request();
        request.image.clone_from(&self.input.request.image);
        let (server, target) = (self.input.server.as_ref(), self.input.target.as_ref());
        let instance = &self.input.instance;
        let upgrade = crate::plan::upgrade::decide(
            &request,
            instance,
            server.unwrap(),
            target.unwrap(),
            true,
        );
        let mut record = Record::new(
            request.run.clone(),
            Asked::default(),
            "me@here".to_owned(),
            jiff::Timestamp::UNIX_EPOCH,
            instance.clone(),
        );
        for (phase, step) in crate::plan::upgrade::steps(
            &request,
            instance,
            &self.decide().on(upgrade.clone().unwrap()),
            Vec::new(),
        ) {
            record.plan(phase, [step]);
        }
        record.upgrade = upgrade.ok().map(|upgrade| self.decide().on(upgrade));
        record
    }

    fn issue(&self, part: &str, blocks: bool) {
        let issues = self.decide().issues;
        let found = issues.iter().find(|issue| issue.message.contains(part));
        assert_eq!(
            found.map(|issue| issue.blocks),
            Some(blocks),
            "{part}: {issues:#?}"
        );
    }

    fn blockers(&self) -> Vec<String> {
        let issues = self.decide().issues.into_iter();
        issues
            .filter(|issue| issue.blocks)
            .map(|issue| issue.message)
            .collect()
    }
}

/// The pod template of an instance of the tests.
fn pod(file: &str) -> PodSpec {
    let path = format!("{}/tests/instances/{file}.yaml", env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(path).unwrap();
    let set = text
        .split("\n---\n")
        .find(|part| part.contains("kind: StatefulSet"))
        .unwrap();
    let set: Value =
        serde_saphyr::from_str(&set.replace("${IMAGE}", "docker.io/bitnamilegacy/postgresql:13"))
            .unwrap();
    serde_json::from_value(set["spec"]["template"]["spec"].clone()).unwrap()
}

/// Bitnami's chart as it is installed.
pub(crate) fn facts() -> Facts {
    facts_of("bitnami-statefulset")
}

fn facts_of(file: &str) -> Facts {
    let mut input = testing::input();
    let instance = &mut input.instance;
    instance.family = Family::Bitnami;
    instance.image = "docker.io/bitnamilegacy/postgresql:13".to_owned();
    instance.container = "postgresql".to_owned();
    instance.mount_path = "/bitnami/postgresql".to_owned();
    input.request.image = "docker.io/library/postgres:17".to_owned();
    input.target.as_mut().unwrap().family = Some(Family::DockerLibrary);
    let server = input.server.as_mut().unwrap();
    server.data_directory = "/bitnami/postgresql/data".to_owned();
    server.config_file = CONF.to_owned();
    server.hba_file = "/opt/bitnami/postgresql/conf/pg_hba.conf".to_owned();
    server.socket_directories = "/tmp, /opt/bitnami/postgresql/tmp".to_owned();
    server.shared_preload = vec!["pgaudit".to_owned()];
    (server.container.dir_uid, server.container.dir_gid) = (Some(1001), Some(1001));
    server.file_settings = None;
    server.settings.clear();
    let mut facts = Facts {
        pod: pod(file),
        input,
        files: ImageFiles::default(),
    };
    for (name, value) in [
        ("listen_addresses", "*"),
        ("port", "5432"),
        ("max_wal_size", "400MB"),
        ("shared_preload_libraries", "pgaudit"),
        ("vacuum_cleanup_index_scale_factor", "0.1"),
        ("pgaudit.log_catalog", "off"),
        (
            "external_pid_file",
            "/opt/bitnami/postgresql/tmp/postgresql.pid",
        ),
    ] {
        facts.line(CONF, name, Some(value));
    }
    facts.line(
        "/bitnami/postgresql/data/postgresql.auto.conf",
        "work_mem",
        Some("9MB"),
    );
    for line in [
        "host     all             all             0.0.0.0/0               md5",
        "local    all             all                                     md5",
    ] {
        facts.files.hba.push(Some(line.to_owned()));
    }
    facts
}

pub(crate) fn bitnami_input() -> CheckInput {
    let facts = facts();
    CheckInput {
        crossing: Some(facts.decide()),
        ..facts.input
    }
}

/// Compares with a file of tests/golden, which is written anew when it differs.
pub(crate) fn golden(name: &str, text: &str) {
    let path = format!("{}/tests/golden/{name}", env!("CARGO_MANIFEST_DIR"));
    if std::fs::read_to_string(&path).unwrap_or_default() != text {
        std::fs::write(&path, text).unwrap();
        panic!("{path} was out of date and has been written anew; look at it and commit it");
    }
}

fn yaml(crossing: &Crossing) -> String {
    let part = |value: &Value| crate::output::yaml(value).unwrap();
    format!(
        "{}---\n{}",
        part(&crossing.change.forward),
        part(&crossing.change.back)
    )
}

#[test]
fn the_charts_template_gets_what_the_new_image_needs_and_gives_it_back() {
    let crossing = facts().decide();
    golden("template-bitnami-statefulset.yaml", &yaml(&crossing));
    assert_eq!(facts().blockers(), [""; 0]);
    assert_eq!(crossing.dropped_libraries, ["pgaudit".to_owned()].into());
    let before = serde_json::to_value(facts().pod).unwrap();
    assert!(crossing.change.fits(&before));
}

#[test]
fn the_configuration_in_force_goes_into_the_new_data_directory() {
    let files = facts().decide().files;
    golden("bitnami-postgresql.conf", &files["postgresql.conf"]);
    golden("bitnami-pg_hba.conf", &files["pg_hba.conf"]);
}

#[test]
fn what_the_user_mounts_is_read_where_it_is() {
    let mut facts = facts_of("bitnami-config");
    let copy = "/opt/bitnami/postgresql/conf/conf.d/override.conf";
    facts.line(copy, "max_connections", Some("70"));
    facts.line(CONF, "log_hostname", Some("off"));
    facts
        .files
        .given
        .insert("/bitnami/postgresql/conf/conf.d/override.conf".to_owned());
    let crossing = facts.decide();
    golden("template-bitnami-config.yaml", &yaml(&crossing));
    let conf = &crossing.files["postgresql.conf"];
    let end = "include_dir = '/bitnami/postgresql/conf/conf.d'\nlog_hostname = 'off'\n";
    assert!(
        conf.ends_with(end) && !conf.contains("max_connections"),
        "{conf}"
    );
    // pgaudit in a file of the user's stops the new server, and only the user can take it out.
    facts.line(copy, "shared_preload_libraries", Some("pgaudit"));
    assert!(facts.decide().dropped_libraries.is_empty());
    facts.line(
        copy,
        "ssl_key_file",
        Some("/opt/bitnami/postgresql/certs/tls.key"),
    );
    facts.issue("names /opt/bitnami/postgresql/certs/tls.key", true);
}

#[test]
fn a_main_file_of_the_users_is_included_with_the_port() {
    let mut facts = facts_of("bitnami-config");
    for file in ["postgresql.conf", "pg_hba.conf", "conf.d/override.conf"] {
        facts
            .files
            .given
            .insert(format!("/bitnami/postgresql/conf/{file}"));
    }
    facts.files.includes = vec![
        "include_dir = 'conf.d' # more".to_owned(),
        "include_if_exists 'none.conf'".to_owned(),
    ];
    facts.server().shared_preload.clear();
    let lines = facts.server().file_settings.as_mut().unwrap();
    lines.retain(|line| line.name.as_deref() != Some("external_pid_file"));
    let crossing = facts.decide();
    let conf = &crossing.files["postgresql.conf"];
    let include = "include = '/bitnami/postgresql/conf/postgresql.conf'\nport = 5432\n";
    let hba = "hba_file = '/bitnami/postgresql/conf/pg_hba.conf'\n";
    assert!(conf.contains(include) && conf.ends_with(hba), "{conf}");
    assert!(!conf.contains("max_wal_size") && !crossing.files.contains_key("pg_hba.conf"));
    assert_eq!(facts.blockers(), [""; 0]);
    facts.files.includes.push("include 'gone.conf'".to_owned());
    facts.issue(
        "only Bitnami's image has /bitnami/postgresql/conf/gone.conf",
        true,
    );
}

#[test]
fn a_plain_bitnami_pod_is_told_user_directory_and_variables() {
    let mut facts = facts();
    facts.pod.security_context = None;
    facts.pod.volumes = None;
    let container = facts.container();
    *container = Container {
        name: "postgresql".to_owned(),
        env: Some(vec![
            EnvVar {
                name: "POSTGRESQL_USERNAME".to_owned(),
                value: Some("canary".to_owned()),
                ..EnvVar::default()
            },
            serde_json::from_value(json!({"name": "POSTGRESQL_PASSWORD", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}})).unwrap(),
            EnvVar {
                name: "POSTGRESQL_DATABASE".to_owned(),
                value: Some("canary".to_owned()),
                ..EnvVar::default()
            },
        ]),
        command: Some(vec!["/opt/bitnami/scripts/postgresql/entrypoint.sh".to_owned()]),
        args: Some(["/opt/bitnami/scripts/postgresql/run.sh", "-c", "work_mem=5MB"].map(str::to_owned).to_vec()),
        ..Container::default()
    };
    let crossing = facts.decide();
    golden("template-bitnami-plain.yaml", &yaml(&crossing));
    assert!(!yaml(&crossing).contains("canary"));
    assert_eq!(facts.blockers(), [""; 0]);
}

#[test]
fn what_cannot_be_changed_is_named() {
    let mut wrong = facts();
    wrong
        .container()
        .env
        .as_mut()
        .unwrap()
        .retain(|v| v.name != "PGDATA");
    wrong.container().env.as_mut().unwrap().push(EnvVar {
        name: "PGDATA".to_owned(),
        value: Some("/elsewhere".to_owned()),
        ..EnvVar::default()
    });
    wrong.issue("variable PGDATA of the container is not", true);

    let mut wrong = facts();
    wrong.container().env.as_mut().unwrap().push(EnvVar {
        name: "POSTGRES_PASSWORD".to_owned(),
        ..EnvVar::default()
    });
    wrong.issue(
        "POSTGRES_PASSWORD and POSTGRES_PASSWORD_FILE are both set",
        true,
    );

    let mut wrong = facts();
    wrong.container().command = Some(
        ["sh", "-c", "exec /opt/bitnami/scripts/x.sh"]
            .map(str::to_owned)
            .to_vec(),
    );
    wrong.issue("name /opt/bitnami/scripts/x.sh", true);

    let hook = |words: &str| {
        Some(LifecycleHandler {
            exec: Some(ExecAction {
                command: Some(vec![words.to_owned()]),
            }),
            ..LifecycleHandler::default()
        })
    };
    let mut wrong = facts();
    wrong.container().lifecycle = Some(Lifecycle {
        post_start: hook("/opt/bitnami/a.sh"),
        pre_stop: hook("/opt/bitnami/b.sh"),
        ..Lifecycle::default()
    });
    wrong.issue("postStart hook names /opt/bitnami/a.sh", true);
    wrong.issue("preStop hook names /opt/bitnami/b.sh", false);

    let mut wrong = facts();
    let mounts = wrong.container().volume_mounts.as_mut().unwrap();
    mounts[0].mount_path = "/docker-entrypoint-preinitdb.d/x".to_owned();
    wrong.issue(
        "scripts in /docker-entrypoint-preinitdb.d run at every start",
        false,
    );

    let mut wrong = facts();
    let probe = wrong.container().readiness_probe.as_mut().unwrap();
    let command = "PGPASSWORD=canary /opt/bitnami/postgresql/bin/psql -c 'SELECT 1'";
    probe.exec.as_mut().unwrap().command =
        Some(vec!["sh".to_owned(), "-c".to_owned(), command.to_owned()]);
    wrong.issue(
        "readinessProbe of the container runs Bitnami's files, and holds a password",
        true,
    );
    assert!(!format!("{:?}", wrong.decide()).contains("canary"));
}

#[test]
fn containers_beside_the_server_are_looked_through() {
    let mut facts = facts();
    let beside: Container = serde_json::from_value(json!({
        "name": "metrics", "image": "docker.io/bitnami/postgres-exporter:0",
        "env": [{"name": "DATA_SOURCE_PASS_FILE", "value": "/opt/bitnami/postgresql/secrets/postgres-password"}],
        "command": ["/opt/bitnami/postgres-exporter/bin/postgres_exporter"],
        "volumeMounts": [{"name": "postgresql-password", "mountPath": "/opt/bitnami/postgresql/secrets/"}],
    }))
    .unwrap();
    facts.pod.containers.push(beside);
    let about = |facts: &Facts| {
        let issues = facts.decide().issues.into_iter();
        issues
            .filter(|i| i.message.contains("container metrics"))
            .count()
    };
    assert_eq!(about(&facts), 0);
    let beside = &mut facts.pod.containers[1];
    beside.args = Some(vec!["--socket=/opt/bitnami/postgresql/tmp".to_owned()]);
    assert_eq!(about(&facts), 0, "its own image has that directory");
    let mounts = facts.pod.containers[1].volume_mounts.as_mut().unwrap();
    mounts.push(serde_json::from_value(json!({"name": "empty-dir", "subPath": "app-tmp-dir", "mountPath": "/opt/bitnami/postgresql/tmp"})).unwrap());
    facts.issue("container metrics names /opt/bitnami/postgresql/tmp", false);
}

#[test]
fn settings_and_rules_that_cannot_be_read_or_found_are_blockers() {
    let mut wrong = facts();
    wrong.line(CONF, "archive_command", None);
    wrong.line(
        CONF,
        "ssl_cert_file",
        Some("/opt/bitnami/postgresql/certs/tls.crt"),
    );
    wrong.line(CONF, "log_directory", Some("/opt/bitnami/postgresql/logs"));
    wrong.issue("the value of archive_command", true);
    wrong.issue("ssl_cert_file in", true);
    wrong.issue("log_directory in", false);
    for line in ["@/etc/x all all md5", "host all,@admins all all md5"] {
        let mut wrong = facts();
        wrong.files.hba.push(Some(line.to_owned()));
        wrong.issue("lines that hold a secret or read other files (1)", true);
    }
    let mut wrong = facts();
    wrong.files.hba.clear();
    wrong.issue("pg_hba.conf could not be read", true);
    let mut wrong = facts();
    wrong.server().file_settings = None;
    wrong.issue("configuration files of the server could not be read", true);
}

#[test]
fn arguments_of_the_old_image_come_last_and_audited_servers_stay() {
    let mut facts = facts();
    let setting = |name: &str, value: &str, source: &str| Setting {
        name: name.to_owned(),
        value: Some(value.to_owned()),
        source: source.to_owned(),
        context: "sighup".to_owned(),
        vartype: "string".to_owned(),
        unit: None,
        file: None,
        line: None,
    };
    facts.server().settings = vec![
        setting("work_mem", "8192", "command line"),
        setting("config_file", CONF, "command line"),
        setting("log_hostname", "on", "command line"),
        setting("pgaudit.log", "none", "configuration file"),
    ];
    facts.input.instance.args = vec!["--log-hostname=on".to_owned()];
    assert_eq!(facts.blockers(), [""; 0]);
    let conf = facts.decide().files.remove("postgresql.conf").unwrap();
    assert!(conf.ends_with("work_mem = '8192'\n"), "{conf}");
    facts.server().settings[3].value = Some("ddl".to_owned());
    facts.issue("audits by pgaudit", true);
}

#[test]
fn every_way_back_takes_the_change_of_the_template_back() {
    let mut facts = facts();
    facts.container().env.as_mut().unwrap().push(EnvVar {
        name: "PGUSER".to_owned(),
        value: Some("canary".to_owned()),
        ..EnvVar::default()
    });
    let record = facts.record();
    let change = record.upgrade.as_ref().unwrap().template.clone().unwrap();
    let patches = |steps: Vec<crate::steps::Step>| {
        let switched = steps.into_iter().find_map(|step| match step {
            crate::steps::Step::Switch { template, .. } => template,
            _ => None,
        });
        switched.unwrap()
    };
    let planned = record
        .steps
        .iter()
        .map(|entry| entry.step.clone())
        .collect();
    assert_eq!(patches(planned), change.forward);
    let upgrade = record.upgrade.as_ref().unwrap();
    let source = crate::plan::restore::Source::Archive;
    let restored = crate::plan::restore::steps(&record, upgrade, &record.instance, &source);
    assert_eq!(patches(restored), change.back);
    let mut failed = record.clone();
    for entry in &mut failed.steps {
        entry.state = crate::record::StepState::Done;
    }
    assert_eq!(
        patches(crate::plan::back::after_failure(&failed)),
        change.back
    );
    // No value of a variable gets into the record.
    let text = serde_json::to_string(&record).unwrap();
    assert!(!text.contains("canary"), "{text}");
}
