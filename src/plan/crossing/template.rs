//! The change of the pod template, as two strategic merge patches.

use k8s_openapi::api::core::v1::{Container, EnvVar, LifecycleHandler, PodSpec, Probe};
use serde_json::{Map, Value, json};

use super::{Issue, Places, SOCKET};
use crate::facts::instance::InstanceFacts;
use crate::facts::server::ServerFacts;
use crate::record::TemplateChange;

/// Variables of docker-library's entrypoint, and those of Bitnami's that say the same, the one that wins first.
const VARIABLES: &[(&str, &[&str])] = &[
    (
        "POSTGRES_USER",
        &[
            "POSTGRESQL_USERNAME",
            "POSTGRESQL_USER",
            "POSTGRES_USERNAME",
        ],
    ),
    ("POSTGRES_PASSWORD", &["POSTGRESQL_PASSWORD"]),
    (
        "POSTGRES_DB",
        &["POSTGRESQL_DATABASE", "POSTGRESQL_DB", "POSTGRES_DATABASE"],
    ),
];

struct Work<'a> {
    pod: &'a PodSpec,
    server: &'a ServerFacts,
    places: &'a Places<'a>,
    container: &'a Container,
    forward: Map<String, Value>,
    back: Map<String, Value>,
    volumes: Vec<String>,
    issues: Vec<Issue>,
}

pub(super) fn decide(
    pod: &PodSpec,
    instance: &InstanceFacts,
    server: &ServerFacts,
    places: &Places<'_>,
) -> (TemplateChange, Vec<Issue>) {
    let none = Container::default();
    let container = pod.containers.iter().find(|c| c.name == instance.container);
    let name = json!(instance.container);
    let mut work = Work {
        pod,
        server,
        places,
        container: container.unwrap_or(&none),
        forward: Map::from_iter([("name".to_owned(), name.clone())]),
        back: Map::from_iter([("name".to_owned(), name)]),
        volumes: Vec::new(),
        issues: Vec::new(),
    };
    work.user();
    work.variables();
    work.commands();
    work.probes();
    work.hooks();
    work.scripts();
    work.root();
    work.others();
    let mut forward = json!({"containers": [work.forward]});
    let mut back = json!({"containers": [work.back]});
    if !work.volumes.is_empty() {
        let all = work.volumes.iter();
        forward["volumes"] = all
            .clone()
            .map(|name| json!({"name": name, "emptyDir": {}}))
            .collect();
        back["volumes"] = all
            .map(|name| json!({"name": name, "$patch": "delete"}))
            .collect();
    }
    (TemplateChange { forward, back }, work.issues)
}

impl Work<'_> {
    fn change(&mut self, field: &str, forward: Value, back: Value) {
        self.forward.insert(field.to_owned(), forward);
        self.back.insert(field.to_owned(), back);
    }

    /// The data directory keeps its owner, so the server runs as that user whatever the new image says.
    fn user(&mut self) {
        let (of_container, of_pod) = (&self.container.security_context, &self.pod.security_context);
        let own = of_container.as_ref();
        let user = own.and_then(|s| s.run_as_user);
        let group = own.and_then(|s| s.run_as_group);
        let pods = of_pod.as_ref();
        let effective_user = user.or(pods.and_then(|s| s.run_as_user));
        let effective_group = group.or(pods.and_then(|s| s.run_as_group));
        let facts = &self.server.container;
        let (mut forward, mut back) = (Map::new(), Map::new());
        if let Some(uid) = facts.dir_uid.map(i64::from)
            && effective_user != Some(uid)
        {
            forward.insert("runAsUser".to_owned(), json!(uid));
            back.insert("runAsUser".to_owned(), json!(user));
        }
        if let (Some(gid), None) = (facts.dir_gid, effective_group) {
            forward.insert("runAsGroup".to_owned(), json!(gid));
            back.insert("runAsGroup".to_owned(), Value::Null);
        }
        if forward.is_empty() {
            return;
        }
        // An empty object that was not there before would not be the same.
        let back = own.map_or(Value::Null, |_| Value::Object(back));
        self.change("securityContext", Value::Object(forward), back);
    }

    fn variables(&mut self) {
        let present: Vec<&EnvVar> = self.container.env.iter().flatten().collect();
        let find = |name: &str| present.iter().find(|variable| variable.name == name);
        let mut added: Vec<Value> = Vec::new();
        let data = self.server.data_directory.trim_end_matches('/');
        match find("PGDATA") {
            None => added.push(json!({"name": "PGDATA", "value": data})),
            Some(set) if set.value.as_deref().map(|v| v.trim_end_matches('/')) == Some(data) => {}
            Some(_) => self.issues.push(Issue::blocker(
                format!(
                    "variable PGDATA of the container is not {data}, where the server's data is"
                ),
                format!("set PGDATA to {data} in the pod template first"),
            )),
        }
        for (name, others) in VARIABLES {
            let file = format!("{name}_FILE");
            match (find(name), find(&file)) {
                (Some(_), Some(_)) => self.issues.push(Issue::blocker(
                    format!("variables {name} and {file} are both set, which docker-library's image refuses"),
                    format!("remove {name} or {file} from the pod template"),
                )),
                (None, None) => {
                    let candidates = others.iter().flat_map(|other| {
                        [(*name, (*other).to_owned()), (file.as_str(), format!("{other}_FILE"))]
                    });
                    let same = candidates
                        .filter_map(|(name, other)| Some((name, find(&other)?)))
                        .find(|(_, other)| other.value.as_deref() != Some(""));
                    added.extend(same.map(|(name, other)| like(name, other)));
                }
                _ => {}
            }
        }
        if added.is_empty() {
            return;
        }
        let removed = added
            .iter()
            .map(|v| json!({"name": v["name"], "$patch": "delete"}));
        let removed: Value = removed.collect();
        // A variable is expanded only behind the one that it names; new items would come first.
        let names = present
            .iter()
            .map(|variable| json!({"name": variable.name}));
        let order: Value = names
            .chain(
                added
                    .iter()
                    .map(|variable| json!({"name": variable["name"]})),
            )
            .collect();
        self.forward
            .insert("$setElementOrder/env".to_owned(), order);
        self.change("env", Value::Array(added), removed);
    }

    /// The entrypoint and the program of the new image take the place of Bitnami's.
    fn commands(&mut self) {
        let script = |word: &String, name: &str| {
            word.starts_with(super::BITNAMI) && word.ends_with(name) || word == name
        };
        let command = self.container.command.clone().unwrap_or_default();
        let args = self.container.args.clone().unwrap_or_default();
        let mut words: Vec<String> = command.iter().chain(&args).cloned().collect();
        let before = words.len();
        if words
            .first()
            .is_some_and(|word| script(word, "/entrypoint.sh"))
        {
            words.remove(0);
        }
        if words.first().is_some_and(|word| script(word, "/run.sh")) {
            words.remove(0);
        }
        if let Some(lost) = words.iter().find_map(|word| self.places.lost(word)) {
            self.issues.push(Issue::blocker(
                format!(
                    "command or args of the container name {lost}, which only Bitnami's image has"
                ),
                "remove it from command and args of the pod template",
            ));
            return;
        }
        if words.len() == before {
            return;
        }
        let kept = if words.is_empty() {
            Value::Null
        } else {
            json!(words)
        };
        if !command.is_empty() {
            self.change("command", Value::Null, json!(command));
        }
        if json!(self.container.args) != kept {
            self.change("args", kept, json!(self.container.args));
        }
    }

    fn probes(&mut self) {
        let container = self.container;
        for (field, probe) in [
            ("livenessProbe", &container.liveness_probe),
            ("readinessProbe", &container.readiness_probe),
            ("startupProbe", &container.startup_probe),
        ] {
            let Some(command) = probe.as_ref().and_then(|probe| self.foreign(probe)) else {
                continue;
            };
            if command.iter().any(|word| has_secret(word)) {
                self.issues.push(Issue::blocker(
                    format!("{field} of the container runs Bitnami's files, and holds a password, so it cannot be kept for the way back"),
                    "give the probe a command without a password first, such as pg_isready",
                ));
                continue;
            }
            let ready = [
                "pg_isready",
                "-U",
                &self.server.install_user.name,
                "-d",
                "postgres",
                "-h",
                "127.0.0.1",
                "-p",
                &self.server.port.to_string(),
            ];
            let exec = |command: Value| json!({"exec": {"command": command}});
            self.change(field, exec(json!(ready)), exec(json!(command)));
        }
    }

    /// The command of a probe that needs what only Bitnami's image makes.
    fn foreign(&self, probe: &Probe) -> Option<Vec<String>> {
        let command = probe.exec.as_ref()?.command.clone()?;
        let text = command.join(" ");
        // Its entrypoint makes that file, on the volume too.
        let foreign = text.contains("/.initialized") || self.places.lost(&text).is_some();
        foreign.then_some(command)
    }

    fn hooks(&mut self) {
        let Some(lifecycle) = &self.container.lifecycle else {
            return;
        };
        let lost = |handler: Option<&LifecycleHandler>| {
            let words = handler?.exec.as_ref()?.command.as_ref()?;
            words
                .iter()
                .find_map(|word| self.places.lost(word))
                .map(str::to_owned)
        };
        let (start, stop) = (
            lost(lifecycle.post_start.as_ref()),
            lost(lifecycle.pre_stop.as_ref()),
        );
        if let Some(lost) = start {
            self.issues.push(Issue::blocker(
                format!("the postStart hook names {lost}, which only Bitnami's image has: the kubelet ends a container whose hook fails"),
                "remove the hook from the pod template first",
            ));
        }
        if let Some(lost) = stop {
            self.issues.push(Issue::warning(
                format!("the preStop hook names {lost}, which only Bitnami's image has: it will fail, and the server is stopped all the same"),
                "remove the hook from the pod template",
            ));
        }
    }

    /// Bitnami's entrypoint runs scripts at every start.
    fn scripts(&mut self) {
        const SCRIPTS: &str = "/docker-entrypoint-preinitdb.d";
        let mounts = self.container.volume_mounts.iter().flatten();
        if mounts
            .into_iter()
            .any(|m| m.mount_path.starts_with(SCRIPTS))
        {
            self.issues.push(Issue::warning(
                format!("scripts in {SCRIPTS} run at every start of Bitnami's image, and docker-library's has no such thing"),
                "do what they do in an init container",
            ));
        }
    }

    /// Directories that docker-library's server and entrypoint write to.
    fn root(&mut self) {
        let read_only = self
            .container
            .security_context
            .as_ref()
            .is_some_and(|s| s.read_only_root_filesystem == Some(true));
        if !read_only {
            return;
        }
        let (mut mounts, mut removed) = (Vec::new(), Vec::new());
        for (path, name) in [(SOCKET, "postgresql-run"), ("/tmp", "postgresql-tmp")] {
            if self.places.has_mount_at(path) {
                continue;
            }
            let mut name = name.to_owned();
            while self.pod.volumes.iter().flatten().any(|v| v.name == name) {
                name.push_str("-new");
            }
            mounts.push(json!({"name": name, "mountPath": path}));
            removed.push(json!({"mountPath": path, "$patch": "delete"}));
            self.volumes.push(name);
        }
        if !mounts.is_empty() {
            self.change("volumeMounts", Value::Array(mounts), Value::Array(removed));
        }
    }

    /// Containers beside the server, which stay as they are.
    fn others(&mut self) {
        let inits = self.pod.init_containers.iter().flatten();
        for other in self.pod.containers.iter().chain(inits) {
            if other.name == self.container.name {
                continue;
            }
            let alone = PodSpec {
                containers: vec![other.clone()],
                ..self.pod.clone()
            };
            let places = Places::new(&alone, &other.name);
            let variables = other.env.iter().flatten().filter_map(|v| v.value.as_ref());
            let mut words = other
                .command
                .iter()
                .chain(&other.args)
                .flatten()
                .chain(variables);
            // It keeps its own image, with what Bitnami put there; what it shares with the server changes.
            let own = other
                .image
                .as_deref()
                .is_some_and(|image| image.contains("bitnami"));
            let lost = |word: &'_ String| {
                let lost = places.lost(word)?;
                (!own || places.mounts(lost)).then(|| lost.to_owned())
            };
            if let Some(lost) = words.find_map(lost) {
                self.issues.push(Issue::warning(
                    format!(
                        "container {} names {lost}, which the new server does not make",
                        other.name
                    ),
                    format!(
                        "look whether container {} still works afterwards",
                        other.name
                    ),
                ));
            }
        }
    }
}

/// A variable with the value of another: by the same reference, or by its name; never a copy of its value.
fn like(name: &str, other: &EnvVar) -> Value {
    match &other.value_from {
        Some(source) => json!({"name": name, "valueFrom": source}),
        None => json!({"name": name, "value": format!("$({})", other.name)}),
    }
}

/// A password that stands in a command as it is.
fn has_secret(text: &str) -> bool {
    let literal = |(at, mark): (usize, &str)| {
        let value = text[at + mark.len()..].trim_start_matches(['"', '\'']);
        !value.is_empty() && !value.starts_with(['$', ' '])
    };
    text.match_indices("PGPASSWORD=").any(literal)
        || text.split("://").skip(1).any(|rest| {
            let authority = rest.split(['/', ' ', '?']).next().unwrap_or_default();
            authority
                .rsplit_once('@')
                .is_some_and(|(user, _)| user.contains(':'))
        })
}
