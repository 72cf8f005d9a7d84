//! The upgrade pod: made beside the running server, and removed at the end.

use std::collections::BTreeMap;
use std::time::Duration;

use k8s_openapi::api::core::v1::{ConfigMap, Pod, PodSpec};
use kube::ResourceExt;

use super::errand::LIMIT;
use super::guest;
use super::worker::{self, CONTAINER};
use crate::error::{Exit, Failure, Result};
use crate::exec::Acting;
use crate::exec::store::instance_label;
use crate::k8s::K8s;
use crate::k8s::names;
use crate::k8s::wait::{Progress, WaitError, wait_for};
use crate::k8s::write::{create_or_adopt, delete_own};
use crate::manifests::pod::{Blueprint, DUMPS, DumpMount, SERVER_GRACE, config_map, pod};
use crate::record::{Record, Upgrade};

/// The files of the worker's plan that are not environment: written by `plan`, kept in the pod's ConfigMap.
pub(crate) type PlanFiles = BTreeMap<String, String>;

/// Creates the pod, or finds it, and waits until it has prepared the new data directory.
pub(super) async fn prepare(acting: &mut Acting<'_>, name: &str) -> Result<String> {
    let k8s = acting.k8s;
    let exists = k8s.api::<Pod>().get_opt(name).await?.is_some();
    if !exists {
        let template = crate::discover::target::template(k8s, acting.record.target()).await?;
        let upgrade = acting
            .record
            .upgrade
            .as_ref()
            .ok_or_else(|| Failure::new(Exit::Failed, "the record has no plan"))?;
        let cold = crate::plan::upgrade::is_cold(&acting.record.instance);
        let node = acting
            .record
            .instance
            .pod
            .as_ref()
            .map(|p| p.node.clone())
            .filter(|_| !cold);
        let env = worker_env(acting.record, upgrade);
        let groups: Vec<i64> = acting.record.instance.fs_group.into_iter().collect();
        let claim = acting
            .record
            .instance
            .claim
            .as_ref()
            .map(|c| c.id.name.clone());
        let blueprint = Blueprint {
            name,
            run: &names::fit(&acting.record.run),
            instance: &instance_label(acting.record.target()),
            part: "upgrade",
            script: "worker.sh",
            old_image: Some(&upgrade.old_image),
            image: &upgrade.new_image,
            node: node.as_deref(),
            spared: None,
            uid: upgrade.uid,
            gid: upgrade.gid,
            groups: &groups,
            claim: claim.as_deref(),
            mirror: mirror(acting.record, false),
            snapshot_claim: None,
            live_claim: None,
            dump_claim: dump_claim(upgrade),
            login: None,
            empty_claim: false,
            env: &env,
            server: true,
            restart: true,
            container: &acting.record.instance.container,
            template: &template,
        };
        create(k8s, &blueprint, &upgrade.worker_files).await?;
    }
    await_started(acting, name).await?;
    let mut worker = worker::Worker::attach(k8s, name);
    // A dump is read to its end once more.
    let patience = if acting.record.is_load() {
        LIMIT
    } else {
        Duration::from_secs(1800)
    };
    let event = worker
        .wait_for(&["prepared", "refused", "result"], patience, |event| {
            acting.note(worker::name_of(event));
        })
        .await?;
    if worker::name_of(&event) == "result" {
        // A pod made again may have finished what the lost one began.
        worker.unsee();
    }
    acting.worker = Some(worker);
    match worker::name_of(&event) {
        "prepared" | "result" => Ok(String::new()),
        _ => Err(Failure::refused(format!(
            "Pod {name} refuses: {}",
            [&event["reason"], &event["detail"]]
                .iter()
                .filter_map(|v| v.as_str())
                .collect::<Vec<_>>()
                .join(": ")
        ))
        .hint("the old server was not touched")),
    }
}

/// Where the server has the data claim, when pods of ours need it there: for the run's tablespaces, or for those of others.
pub(super) fn mirror(record: &Record, others: bool) -> Option<(&str, &str)> {
    let needed = others || record.upgrade.as_ref().is_some_and(|u| u.tablespaces);
    let instance = &record.instance;
    needed.then_some((instance.mount_path.as_str(), instance.sub_path.as_str()))
}

/// The claim that a dump goes to, or comes from; what is only loaded cannot be written to.
fn dump_claim(upgrade: &Upgrade) -> Option<DumpMount<'_>> {
    let source = upgrade.load.as_ref().and_then(|load| load.claim.as_deref());
    let place = upgrade.dump.as_ref().map(|place| place.claim.as_str());
    Some(DumpMount {
        claim: source.or(place)?,
        read_only: source.is_some(),
    })
}

/// The worker's environment: what the servers' facts gave, and where and how.
pub(crate) fn worker_env(record: &Record, upgrade: &Upgrade) -> BTreeMap<String, String> {
    let mut env = upgrade.worker_env.clone();
    let work = upgrade
        .volume_run_directory
        .rsplit_once('/')
        .map_or("", |(work, _)| work);
    for (name, value) in [
        ("PGUP_RUN", record.run.clone()),
        ("PGUP_DATA", upgrade.volume_data_directory.clone()),
        ("PGUP_WORK", work.to_owned()),
        ("PGUP_FROM", upgrade.from.to_string()),
        ("PGUP_TO", upgrade.to.to_string()),
        ("PGUP_TRANSFER", upgrade.transfer.clone()),
        ("PGUP_JOBS", upgrade.jobs.to_string()),
    ] {
        env.insert(name.to_owned(), value);
    }
    if let Some(place) = &upgrade.place {
        env.insert("PGUP_PLACE".to_owned(), place.volume_directory.clone());
    }
    if let Some(place) = &upgrade.dump {
        let directory = format!("{DUMPS}/{}", place.directory);
        env.insert("PGUP_DUMP".to_owned(), directory);
        if !record.is_rehearsal() {
            env.insert("PGUP_DUMP_KEEP".to_owned(), "1".to_owned());
        }
    }
    env
}

/// Creates the ConfigMap and the pod of a blueprint; both may exist already.
pub(crate) async fn create(k8s: &K8s, blueprint: &Blueprint<'_>, files: &PlanFiles) -> Result<()> {
    let map = config_map(blueprint, files)?;
    let object = pod(blueprint)?;
    create_or_adopt(&k8s.api::<ConfigMap>(), &map)
        .await
        .map_err(|e| Failure::from(e).context(format!("creating ConfigMap {}", blueprint.name)))?;
    create_or_adopt(&k8s.api::<Pod>(), &object)
        .await
        .map_err(|e| Failure::from(e).context(format!("creating Pod {}", blueprint.name)))?;
    Ok(())
}

/// Waits until the main container runs, and says early why it never will.
pub(crate) async fn await_started(acting: &Acting<'_>, name: &str) -> Result<()> {
    wait_started(acting.k8s, name, |text| acting.note(text)).await
}

/// As [`await_started`], for pods made outside of a run.
pub(crate) async fn wait_started(
    k8s: &K8s,
    name: &str,
    mut on_waiting: impl FnMut(&str),
) -> Result<()> {
    let limit = Duration::from_secs(600);
    let api = k8s.api::<Pod>();
    let outcome = wait_for(
        api.clone(),
        name,
        limit,
        |pod: Option<&Pod>| look_started(pod),
        |text| on_waiting(text),
    )
    .await;
    let failure = match outcome {
        Ok(()) => return Ok(()),
        Err(WaitError::Failed(why)) => Failure::new(Exit::Failed, format!("Pod {name}: {why}")),
        Err(other) => Failure::from(other).context(format!("waiting for Pod {name}")),
    };
    let uid = api.get_opt(name).await.ok().flatten().and_then(|p| p.uid());
    Err(with_warnings(k8s, failure, uid).await)
}

/// Adds what Kubernetes says of a pod that does not start; a mount that fails is told nowhere else.
pub(super) async fn with_warnings(k8s: &K8s, failure: Failure, uid: Option<String>) -> Failure {
    let said = match uid {
        Some(uid) => k8s.warnings_about(&uid).await.unwrap_or_default(),
        None => Vec::new(),
    };
    let last = said.len().saturating_sub(3);
    said[last..].iter().fold(failure, |failure, text| {
        failure.hint(format!("Kubernetes says: {text}"))
    })
}

fn look_started(pod: Option<&Pod>) -> Progress<()> {
    let Some(pod) = pod else {
        return Progress::Waiting("being created".to_owned());
    };
    let status = pod.status.clone().unwrap_or_default();
    if let Some(condition) = status
        .conditions
        .iter()
        .flatten()
        .find(|c| c.type_ == "PodScheduled" && c.status == "False")
    {
        let why = condition.message.clone().unwrap_or_default();
        return Progress::Waiting(format!("not scheduled: {why}"));
    }
    let containers = status
        .init_container_statuses
        .iter()
        .flatten()
        .chain(status.container_statuses.iter().flatten());
    for container in containers {
        let state = container.state.clone().unwrap_or_default();
        if let Some(waiting) = state.waiting {
            let reason = waiting.reason.unwrap_or_default();
            let message = waiting.message.unwrap_or_default();
            if matches!(
                reason.as_str(),
                "ErrImagePull"
                    | "ImagePullBackOff"
                    | "InvalidImageName"
                    | "CreateContainerConfigError"
                    | "ErrImageNeverPull"
            ) {
                return Progress::Failed(format!("image {}: {reason}: {message}", container.image));
            }
        }
        if container.name != CONTAINER
            && let Some(ended) = state.terminated
            && ended.exit_code != 0
        {
            return Progress::Failed(format!(
                "its container {} ended with code {}: {}",
                container.name,
                ended.exit_code,
                ended.message.unwrap_or_default()
            ));
        }
        if container.name == CONTAINER
            && (container.started == Some(true)
                || container
                    .state
                    .as_ref()
                    .is_some_and(|s| s.terminated.is_some() || s.running.is_some()))
        {
            return Progress::Done(());
        }
    }
    Progress::Waiting(format!(
        "{} on {}",
        status.phase.unwrap_or_default(),
        pod.spec
            .as_ref()
            .and_then(|s: &PodSpec| s.node_name.clone())
            .unwrap_or_else(|| "no node yet".to_owned())
    ))
}

/// Lets the worker end and deletes the pod and its ConfigMap.
pub(super) async fn release(acting: &mut Acting<'_>, name: &str) -> Result<String> {
    acting.worker = None;
    remove(acting.k8s, name).await?;
    if let Some(side) = &acting.record.side
        && let Err(failure) = guest::dismiss(acting.k8s, &side.new, name).await
    {
        // The service does not depend on it.
        acting.ui.warn(format!("{:#}", failure.error));
    }
    Ok(String::new())
}

/// Waits until no pod of this name is being deleted: it would be taken for the new one.
pub(super) async fn await_no_ending(acting: &Acting<'_>, name: &str) -> Result<()> {
    let ended = |pod: Option<&Pod>| match pod {
        Some(pod) if pod.metadata.deletion_timestamp.is_some() => {
            Progress::Waiting("the pod before it ends".to_owned())
        }
        _ => Progress::Done(()),
    };
    let api = acting.k8s.api::<Pod>();
    let grace = acting.record.instance.grace_seconds.max(SERVER_GRACE);
    let limit = Duration::from_secs(60 + u64::try_from(grace).unwrap_or(60));
    let waited = wait_for(api, name, limit, ended, |text| acting.note(text)).await;
    waited.map_err(|e| Failure::from(e).context(format!("waiting for the end of Pod {name}")))
}

/// Deletes a pod of ours and its ConfigMap; neither needs to exist.
pub(crate) async fn remove(k8s: &K8s, name: &str) -> Result<()> {
    let (pods, maps) = (k8s.api::<Pod>(), k8s.api::<ConfigMap>());
    let (pod, map) = tokio::join!(delete_own(&pods, name), delete_own(&maps, name));
    pod.and(map)
        .map(drop)
        .map_err(|e| Failure::from(e).context(format!("deleting Pod and ConfigMap {name}")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::upgrade::{decide, tests as plans};
    use crate::record::{DumpPlace, Load};

    #[test]
    fn only_a_dump_that_is_made_can_be_written() {
        let (instance, server, target) = plans::facts(true, true, true);
        let mut upgrade = decide(&plans::request(), &instance, &server, &target, false).unwrap();
        assert_eq!(dump_claim(&upgrade), None);
        upgrade.dump = Some(DumpPlace {
            claim: "made".to_owned(),
            size: None,
            directory: "d".to_owned(),
            needed: 0,
        });
        let is = |claim, read_only| Some(DumpMount { claim, read_only });
        assert_eq!(dump_claim(&upgrade), is("made", false));
        upgrade.load = Some(Load {
            claim: Some("backups".to_owned()),
            ..Load::default()
        });
        assert_eq!(dump_claim(&upgrade), is("backups", true));
    }
}
