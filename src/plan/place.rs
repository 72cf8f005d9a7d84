//! A directory of its own for the new cluster: `/data/15` is followed by `/data/16`, and `PGDATA` says so.

use k8s_openapi::api::core::v1::{Container, PodSpec};
use serde::Serialize;
use serde_json::Value;

use super::crossing::{Issue, families};
use super::upgrade::volume_path;
use crate::facts::instance::{Family, InstanceFacts};
use crate::facts::server::ServerFacts;
use crate::facts::target::TargetFacts;
use crate::record::Place;

/// Where the new cluster goes, and what is in the way.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Placement {
    /// What the plan and the record have; `None` when there can be no such directory.
    pub place: Option<Place>,
    /// Why the new server would not find it, or not all of itself.
    pub issues: Vec<Issue>,
}

/// Judges `directory`, a path in the server's container, by the pod template and the settings of the running server.
///
/// `None` where it is the directory that the old cluster has.
pub fn decide(
    directory: &str,
    pod: &PodSpec,
    instance: &InstanceFacts,
    server: &ServerFacts,
    (image, target): (&str, Option<&TargetFacts>),
) -> Option<Placement> {
    let old = server.data_directory.trim_end_matches('/');
    if directory == old {
        return None;
    }
    let container = pod.containers.iter().find(|c| c.name == instance.container);
    let on_volume = volume_path(instance, directory);
    let mut issues = of_the_images(instance, server, image, target);
    if is_below(directory, old) || is_below(old, directory) {
        issues.push(Issue::blocker(
            format!("{directory} and the old cluster's {old} lie in each other"),
            "name a directory beside it",
        ));
    }
    if on_volume.is_err() || directory == instance.mount_path.trim_end_matches('/') {
        issues.push(Issue::blocker(
            format!(
                "{directory} is not below {}, where the data claim is mounted",
                instance.mount_path
            ),
            "name a directory on the data claim: nothing is copied to another volume",
        ));
    }
    issues.extend(
        container
            .into_iter()
            .flat_map(|c| of_mounts(c, instance, directory)),
    );
    let pgdata = match container.map(|container| pgdata(container, old)) {
        Some(Ok(value)) => value,
        Some(Err(issue)) => {
            issues.push(issue);
            None
        }
        None => None,
    };
    issues.extend(of_names(pod, instance, server, old));
    Some(Placement {
        place: on_volume.ok().map(|volume_directory| Place {
            directory: directory.to_owned(),
            volume_directory,
            pgdata,
        }),
        issues,
    })
}

/// Only some images take their data directory from `PGDATA`, and give it to the same user.
fn of_the_images(
    instance: &InstanceFacts,
    server: &ServerFacts,
    image: &str,
    target: Option<&TargetFacts>,
) -> Vec<Issue> {
    let mut issues = Vec::new();
    let both = (Family::DockerLibrary, Some(Family::DockerLibrary));
    if families(instance, Some(server), image, target) != both {
        issues.push(Issue::blocker(
            "only docker-library's images take their data directory from PGDATA alone",
            "leave --data-directory away: the new cluster takes the old one's place",
        ));
    }
    if target.is_some_and(|target| target.libc.is_musl() != server.container.libc().is_musl()) {
        issues.push(Issue::blocker(
            "the image's C library changes, and with it the user to whom its entrypoint gives the data directory and nothing beside it",
            "leave --data-directory away: the archive then lies in the data directory and changes hands with it",
        ));
    }
    issues
}

/// Other mounts that have a part in the directory.
fn of_mounts(container: &Container, instance: &InstanceFacts, directory: &str) -> Vec<Issue> {
    let claim = instance.mount_path.trim_end_matches('/');
    let mounts = container.volume_mounts.iter().flatten();
    mounts
        .map(|mount| mount.mount_path.trim_end_matches('/'))
        .filter(|mount| mount.len() > claim.len())
        .filter(|mount| is_below(directory, mount) || is_below(mount, directory))
        .map(|mount| {
            Issue::blocker(
                format!("something else is mounted at {mount} in the server's container"),
                "name a directory that no other mount has a part in",
            )
        })
        .collect()
}

/// What names the old directory and would not follow.
fn of_names(
    pod: &PodSpec,
    instance: &InstanceFacts,
    server: &ServerFacts,
    old: &str,
) -> Vec<Issue> {
    let mut issues = Vec::new();
    let mentioned = mentions(pod, &instance.container, old);
    if !mentioned.is_empty() {
        issues.push(Issue::blocker(
            format!(
                "the pod template names the old data directory {old} in {}, which the new server's is not",
                mentioned.join(", ")
            ),
            "let it say $(PGDATA) there, or leave --data-directory away",
        ));
    }
    let set = settings(server, old);
    if !set.is_empty() {
        issues.push(Issue::blocker(
            format!(
                "settings name the old data directory {old}: {}",
                set.join(", ")
            ),
            "write a path relative to the data directory, or leave --data-directory away",
        ));
    }
    issues
}

/// Whether a path is the directory or below it.
fn is_below(path: &str, directory: &str) -> bool {
    path.strip_prefix(directory)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// `PGDATA` as the template has it; `None` where it does not, and one that is added wins over what the image says.
fn pgdata(container: &Container, old: &str) -> Result<Option<String>, Issue> {
    let variable = container
        .env
        .iter()
        .flatten()
        .find(|variable| variable.name == "PGDATA");
    match variable.map(|variable| variable.value.clone()) {
        None => Ok(None),
        Some(Some(value)) if value.trim_end_matches('/') == old => Ok(Some(value)),
        Some(_) => Err(Issue::blocker(
            format!(
                "variable PGDATA of the container is not the plain value {old}, where the server's data is"
            ),
            "set PGDATA to the data directory, as a plain value in the pod template, first",
        )),
    }
}

/// Where the template names the directory, besides the server's own `PGDATA`.
fn mentions(pod: &PodSpec, server: &str, old: &str) -> Vec<String> {
    let mut pod = pod.clone();
    for container in pod.containers.iter_mut().filter(|c| c.name == server) {
        if let Some(variables) = &mut container.env {
            variables.retain(|variable| variable.name != "PGDATA");
        }
    }
    let mut found = Vec::new();
    let spec = serde_json::to_value(&pod).unwrap_or_default();
    search(&spec, "", old, &mut found);
    found
}

fn search(value: &Value, at: &str, old: &str, found: &mut Vec<String>) {
    match value {
        Value::String(text) if names(text, old) => found.push(at.to_owned()),
        Value::Array(items) => {
            for (index, item) in items.iter().enumerate() {
                let index = index.to_string();
                let name = item["name"].as_str().unwrap_or(&index);
                search(item, &format!("{at}[{name}]"), old, found);
            }
        }
        Value::Object(members) => {
            for (name, member) in members {
                let dot = if at.is_empty() { "" } else { "." };
                search(member, &format!("{at}{dot}{name}"), old, found);
            }
        }
        _ => {}
    }
}

/// Whether a text has the path in it, and not only a longer one.
fn names(text: &str, path: &str) -> bool {
    let part = |c: char| c.is_alphanumeric() || "._-".contains(c);
    text.match_indices(path).any(|(start, _)| {
        !text[..start].ends_with(part) && !text[start + path.len()..].starts_with(part)
    })
}

/// What somebody has set to a path in the old data directory.
fn settings(server: &ServerFacts, old: &str) -> Vec<String> {
    let set = server
        .settings
        .iter()
        .filter(|setting| setting.source != "override");
    set.filter(|setting| setting.value.as_deref().is_some_and(|v| names(v, old)))
        .map(|setting| match &setting.file {
            Some(file) => format!("{} ({file})", setting.name),
            None => format!("{} ({})", setting.name, setting.source),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::plan::upgrade::tests as plans;

    /// An instance with the claim at `/data` and the data in `/data/13`.
    fn placed(directory: &str, change: impl FnOnce(&mut Value, &mut ServerFacts)) -> Placement {
        let (mut instance, mut server, target) = plans::facts(false, true, true);
        instance.mount_path = "/data".to_owned();
        server.data_directory = "/data/13".to_owned();
        let mut pod = json!({"containers": [
            {"name": "exporter", "env": [{"name": "PGDATA", "value": "/data/13x"}]},
            {"name": instance.container, "env": [{"name": "PGDATA", "value": "/data/13/"}],
             "args": ["-c", "hba_file=$(PGDATA)/pg_hba.conf", "-c", "log_directory=/mnt/data/13"],
             "volumeMounts": [{"name": "data", "mountPath": "/data"}]},
        ]});
        change(&mut pod, &mut server);
        let pod = serde_json::from_value(pod).unwrap();
        decide(
            directory,
            &pod,
            &instance,
            &server,
            (plans::request().image.as_str(), Some(&target)),
        )
        .unwrap()
    }

    fn messages(placement: &Placement) -> Vec<&str> {
        let issues = placement.issues.iter();
        issues.map(|issue| issue.message.as_str()).collect()
    }

    fn refused(directory: &str, change: impl FnOnce(&mut Value, &mut ServerFacts), words: &str) {
        let placement = placed(directory, change);
        let said = messages(&placement);
        assert_eq!(said.len(), 1, "{said:?}");
        assert!(said[0].contains(words), "{said:?}");
    }

    #[test]
    fn a_directory_beside_the_old_one_is_taken() {
        let placement = placed("/data/17", |_, _| {});
        assert_eq!(messages(&placement), [""; 0]);
        let place = placement.place.unwrap();
        assert_eq!(place.volume_directory, "/vol/17");
        assert_eq!(place.pgdata.as_deref(), Some("/data/13/"));
        let bare = placed("/data/17", |pod, _| pod["containers"][1]["env"] = json!([]));
        assert_eq!(bare.place.unwrap().pgdata, None);
    }

    #[test]
    fn only_a_free_name_on_the_same_claim_will_do() {
        refused("/data/13/17", |_, _| {}, "lie in each other");
        refused("/other/17", |_, _| {}, "is not below /data");
        let root = placed("/data", |_, _| {});
        assert_eq!(messages(&root).len(), 2, "{root:?}");
        let wal = |pod: &mut Value, _: &mut ServerFacts| {
            pod["containers"][1]["volumeMounts"] = json!([
                {"name": "data", "mountPath": "/data/"}, {"name": "wal", "mountPath": "/data/17/pg_wal"}]);
        };
        refused("/data/17", wal, "mounted at /data/17/pg_wal");
    }

    #[test]
    fn what_names_the_old_directory_would_not_follow() {
        let argument = |pod: &mut Value, _: &mut ServerFacts| {
            pod["containers"][1]["args"][1] = json!("hba_file=/data/13/pg_hba.conf");
        };
        refused("/data/17", argument, "args[1]");
        let sidecar = |pod: &mut Value, _: &mut ServerFacts| {
            pod["containers"][0]["env"][0]["value"] = json!("/data/13");
        };
        refused("/data/17", sidecar, "containers[exporter].env[PGDATA]");
        let reference = |pod: &mut Value, _: &mut ServerFacts| {
            pod["containers"][1]["env"] =
                json!([{"name": "PGDATA", "valueFrom": {"configMapKeyRef": {"key": "a"}}}]);
        };
        refused("/data/17", reference, "not the plain value /data/13");
        let setting = |_: &mut Value, server: &mut ServerFacts| {
            let setting = &mut server.settings[0];
            setting.value = Some("/data/13/server.crt".to_owned());
            setting.source = "configuration file".to_owned();
        };
        refused("/data/17", setting, "settings name the old data directory");
    }
}
