//! The pod that carries the data from one server to another: no claim, two logins.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{Container, Pod};
use serde_json::{Value, json};

use super::login::{Login, mount};
use super::pod::{Blueprint, pod};

/// Port that PostgreSQL listens on unless told otherwise.
const PORT: u16 = 5432;

/// How a server is entered.
#[derive(Clone, Copy, Debug)]
pub enum Entry<'a> {
    /// As its own container is told.
    Login(&'a Login),
    /// By all keys of a Secret.
    Secret(&'a str),
}

/// What a pod mounts to enter its servers.
#[derive(Clone, Debug, Default)]
pub struct Entries {
    volumes: Vec<Value>,
    mounts: Vec<Value>,
}

impl Entries {
    /// Adds the way into a server under a name, `old` or `new`; what is no secret goes to the environment.
    pub fn add(&mut self, name: &str, entry: Entry, env: &mut BTreeMap<String, String>) {
        match entry {
            Entry::Login(login) => {
                mount(name, login, &mut self.volumes, &mut self.mounts, env);
            }
            Entry::Secret(secret) => {
                let volume = format!("login-{name}");
                self.volumes
                    .push(json!({"name": volume, "secret": {"secretName": secret}}));
                self.mounts.push(json!({"name": volume, "mountPath": format!("/login/{name}"), "readOnly": true}));
            }
        }
    }

    /// The pod of a blueprint with these; what it writes to its node is at most `room` bytes.
    ///
    /// # Errors
    /// When the blueprint makes no pod.
    pub fn pod(&self, blueprint: &Blueprint, room: u64) -> Result<Pod, serde_json::Error> {
        let mut pod = serde_json::to_value(pod(blueprint)?)?;
        for (at, more) in [
            ("/spec/volumes", &self.volumes),
            ("/spec/containers/0/volumeMounts", &self.mounts),
        ] {
            if let Some(Value::Array(list)) = pod.pointer_mut(at) {
                list.extend(more.iter().cloned());
            }
        }
        let volumes = pod.pointer_mut("/spec/volumes");
        for volume in volumes.and_then(Value::as_array_mut).into_iter().flatten() {
            if volume["name"] == "work" {
                volume["emptyDir"]["sizeLimit"] = json!(room.to_string());
            }
        }
        serde_json::from_value(pod)
    }
}

/// The port that a server's container listens on.
pub fn port(container: &Container) -> u16 {
    let told = ["POSTGRESQL_PORT_NUMBER", "PGPORT"]
        .iter()
        .find_map(|name| {
            let mut all = container.env.iter().flatten();
            all.find(|e| e.name == *name)?.value.as_ref()?.parse().ok()
        });
    let usual = |p: &i32| *p == i32::from(PORT);
    let ports = || container.ports.iter().flatten().map(|p| p.container_port);
    let named = || {
        let mut all = container.ports.iter().flatten();
        let postgres = |name: &String| name.contains("postgres") || name.contains("sql");
        all.find(|p| p.name.as_ref().is_some_and(postgres))
            .map(|p| p.container_port)
    };
    let found = ports().find(usual).or_else(named);
    told.or_else(|| found.and_then(|p| u16::try_from(p).ok()))
        .unwrap_or(PORT)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_port_is_what_the_container_says() {
        let of = |container: Value| {
            let mut container = container;
            container["name"] = json!("postgres");
            port(&serde_json::from_value(container).unwrap())
        };
        assert_eq!(of(json!({})), 5432);
        assert_eq!(
            of(
                json!({"ports": [{"containerPort": 9187}, {"name": "tcp-postgresql", "containerPort": 5433}]})
            ),
            5433
        );
        assert_eq!(
            of(
                json!({"env": [{"name": "POSTGRESQL_PORT_NUMBER", "value": "6000"}], "ports": [{"containerPort": 5432}]})
            ),
            6000
        );
    }

    #[test]
    fn secrets_are_mounted_in_the_main_container_only() {
        let (env, template) = (
            BTreeMap::new(),
            k8s_openapi::api::core::v1::PodSpec::default(),
        );
        let blueprint = Blueprint {
            name: "pg-upgrade-x",
            run: "x",
            instance: "statefulset.pg",
            part: "side",
            script: "side.sh",
            old_image: None,
            image: "postgres:17",
            node: None,
            spared: None,
            uid: 999,
            gid: 999,
            groups: &[],
            claim: None,
            mirror: None,
            snapshot_claim: None,
            live_claim: None,
            dump_claim: None,
            login: None,
            empty_claim: false,
            env: &env,
            server: false,
            restart: true,
            container: "postgres",
            template: &template,
        };
        let mut entries = Entries::default();
        entries.add("new", Entry::Secret("managed"), &mut BTreeMap::new());
        let spec = entries.pod(&blueprint, 7 << 30).unwrap().spec.unwrap();
        let secret = |name: &str| {
            let mut volumes = spec.volumes.iter().flatten();
            volumes
                .find(|v| v.name == name)?
                .secret
                .clone()?
                .secret_name
        };
        assert_eq!(secret("login-new").as_deref(), Some("managed"));
        let mut volumes = spec.volumes.iter().flatten();
        let work = volumes.find(|v| v.name == "work").unwrap();
        let limit = work.empty_dir.clone().unwrap().size_limit.unwrap().0;
        assert_eq!(limit, "7516192768");
        let mounts = spec.containers[0].volume_mounts.clone().unwrap();
        assert!(
            mounts
                .iter()
                .any(|m| m.mount_path == "/login/new" && m.read_only == Some(true))
        );
    }
}
