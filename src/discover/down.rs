//! Why no server runs: the workload is at zero, or the server ends again and again.

use std::cmp::Reverse;

use k8s_openapi::api::apps::v1::{ControllerRevision, ReplicaSet};
use k8s_openapi::api::core::v1::{ContainerStatus, Pod};
use kube::ResourceExt;
use kube::api::{ListParams, LogParams};

use super::namespace::Workload;
use super::target::selector_text;
use crate::facts::instance::Down;
use crate::k8s::K8s;
use crate::postgres::version::MajorVersion;

/// Looks why no server runs; `None` when one does, or is just starting for the first time.
pub(super) async fn read(
    k8s: &K8s,
    workload: &Workload,
    container: &str,
    pod: Option<&Pod>,
) -> Option<Down> {
    let image = image_of(&workload.pod.containers, container);
    let said = match pod {
        None if workload.replicas > 0 => return None,
        None => String::new(),
        Some(pod) => {
            let statuses = pod.status.iter().flat_map(|s| s.container_statuses.iter());
            let status = statuses.flatten().find(|s| s.name == container)?;
            if !ends_again_and_again(status) {
                return None;
            }
            last_words(k8s, &pod.name_any(), container, status).await
        }
    };
    let mut earlier = earlier_images(k8s, workload, container).await;
    earlier.retain(|earlier| Some(earlier) != image.as_ref());
    Some(Down {
        scaled_to_zero: pod.is_none(),
        data_major: data_major(&said),
        said: complaint(&said),
        earlier_images: earlier,
    })
}

fn image_of(
    containers: &[k8s_openapi::api::core::v1::Container],
    container: &str,
) -> Option<String> {
    let found = containers.iter().find(|c| c.name == container)?;
    found.image.clone()
}

/// A container that has ended once and is not ready now, whether it is just being tried again or not.
fn ends_again_and_again(status: &ContainerStatus) -> bool {
    let ended = |state: &Option<k8s_openapi::api::core::v1::ContainerState>| {
        state.as_ref().is_some_and(|s| s.terminated.is_some())
    };
    !status.ready && (ended(&status.last_state) || ended(&status.state))
}

async fn last_words(k8s: &K8s, pod: &str, container: &str, status: &ContainerStatus) -> String {
    let params = LogParams {
        container: Some(container.to_owned()),
        // A container that waits for its next try has only its previous log.
        previous: status.restart_count > 0,
        tail_lines: Some(60),
        ..LogParams::default()
    };
    // Without its words the version of the data stays unknown, which is said.
    k8s.api::<Pod>()
        .logs(pod, &params)
        .await
        .unwrap_or_default()
}

/// `The data directory was initialized by PostgreSQL version 15, which is not compatible with this version 17.11`
/// (`checkDataDir` and `ValidatePgVersion` in miscinit.c).
fn data_major(said: &str) -> Option<MajorVersion> {
    let (_, after) = said.rsplit_once("initialized by PostgreSQL version ")?;
    let version: String = after
        .chars()
        .take_while(|c| c.is_ascii_digit() || *c == '.')
        .collect();
    version.trim_end_matches('.').parse().ok()
}

/// The line that says most: the last error, else the last line that is not empty.
fn complaint(said: &str) -> String {
    let lines = || said.lines().map(str::trim).filter(|line| !line.is_empty());
    let telling = |line: &&str| {
        ["FATAL", "PANIC", "ERROR", "Error", "error"]
            .iter()
            .any(|word| line.contains(word))
    };
    let line = lines().rfind(telling).or_else(|| lines().next_back());
    line.unwrap_or_default().chars().take(300).collect()
}

/// Images that earlier revisions of the workload had, the newest first.
async fn earlier_images(k8s: &K8s, workload: &Workload, container: &str) -> Vec<String> {
    let selector = selector_text(&workload.selector);
    let params = ListParams::default().labels(&selector);
    let ours = |metadata: &kube::core::ObjectMeta| {
        let mut owners = metadata.owner_references.iter().flatten();
        owners.any(|o| o.uid == workload.id.uid)
    };
    // Who may not read revisions names the image by --old-image.
    let mut found: Vec<(i64, String)> = if workload.id.kind == "StatefulSet" {
        let list = k8s.api::<ControllerRevision>().list(&params).await;
        let revisions = list.map(|l| l.items).unwrap_or_default();
        let ours = revisions.into_iter().filter(|r| ours(&r.metadata));
        ours.filter_map(|r| {
            let data = r.data.0;
            let containers = data["spec"]["template"]["spec"]["containers"].as_array()?;
            let server = containers.iter().find(|c| c["name"] == container)?;
            Some((
                r.revision.unwrap_or(0),
                server["image"].as_str()?.to_owned(),
            ))
        })
        .collect()
    } else {
        let list = k8s.api::<ReplicaSet>().list(&params).await;
        let sets = list.map(|l| l.items).unwrap_or_default();
        let ours = sets.into_iter().filter(|r| ours(&r.metadata));
        ours.filter_map(|r| {
            let number = r.annotations().get("deployment.kubernetes.io/revision");
            let number = number.and_then(|n| n.parse().ok()).unwrap_or(0);
            let spec = r.spec.template?.spec?;
            Some((number, image_of(&spec.containers, container)?))
        })
        .collect()
    };
    found.sort_by_key(|(revision, _)| Reverse(*revision));
    let mut images = Vec::new();
    for (_, image) in found {
        if !images.contains(&image) {
            images.push(image);
        }
    }
    images
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const REFUSED: &str = "\n2026-11-21 12:00:00.000 UTC [1] FATAL:  database files are incompatible with server\n\
        2026-11-21 12:00:00.000 UTC [1] DETAIL:  The data directory was initialized by PostgreSQL version 15, which is not compatible with this version 17.11 (Debian 17.11-1).\n";

    #[test]
    fn the_servers_words_tell_the_version_of_the_data() {
        assert_eq!(data_major(REFUSED), Some(MajorVersion::new(15)));
        let old = "initialized by PostgreSQL version 9.6, which";
        assert_eq!(data_major(old), Some(MajorVersion::before_ten(9, 6)));
        assert_eq!(data_major("no space left on device"), None);
        assert!(complaint(REFUSED).ends_with("database files are incompatible with server"));
        assert_eq!(complaint("one\n\ntwo\n"), "two");
    }

    #[test]
    fn a_server_that_starts_for_the_first_time_is_not_down() {
        let status = |ready: bool, state: serde_json::Value, last: serde_json::Value| {
            let status = json!({"name": "postgres", "image": "x", "imageID": "", "ready": ready,
                "restartCount": 3, "state": state, "lastState": last});
            serde_json::from_value::<ContainerStatus>(status).unwrap()
        };
        let ended = json!({"terminated": {"exitCode": 1}});
        let runs = json!({"running": {}});
        let waits = json!({"waiting": {"reason": "CrashLoopBackOff"}});
        assert!(ends_again_and_again(&status(false, waits, ended.clone())));
        assert!(ends_again_and_again(&status(
            false,
            runs.clone(),
            ended.clone()
        )));
        assert!(!ends_again_and_again(&status(true, runs.clone(), ended)));
        assert!(!ends_again_and_again(&status(false, runs, json!({}))));
    }
}
