//! The server's own workload: down, on the other image, up again.

use std::time::{Duration, Instant};

use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;
use kube::api::ListParams;
use serde_json::{Value, json};

use super::clients::set_replicas;
use super::worker;
use crate::discover::target;
use crate::error::{Exit, Failure, Result};
use crate::exec::Acting;
use crate::k8s::wait::{Progress, WaitError, wait_list};
use crate::k8s::write::delete_uid;
use crate::record::with_image;

/// CHECKPOINT and sync while clients still run: dirty pages would make `pg_upgrade` several times slower.
pub(super) async fn sync(acting: &mut Acting<'_>) -> Result<String> {
    let Some(pod) = acting.record.instance.pod.clone() else {
        return Ok("no server runs".to_owned());
    };
    crate::discover::sql::checkpoint(acting.k8s, &pod.name, &acting.record.instance.container)
        .await
        .map_err(|e| e.context("CHECKPOINT and sync on the old server"))?;
    Ok(String::new())
}

/// Arms the worker, scales the server to zero, and waits until the worker has the data directory behind the guard.
pub(super) async fn stop(acting: &mut Acting<'_>, from: i32) -> Result<String> {
    let instance = acting.record.instance.clone();
    worker::attach(acting)?;
    let mut worker = acting
        .worker
        .take()
        .ok_or_else(|| Failure::new(Exit::Failed, "no upgrade pod"))?;
    let outcome = stop_with(acting, &mut worker, &instance, from).await;
    acting.worker = Some(worker);
    outcome
}

async fn stop_with(
    acting: &mut Acting<'_>,
    worker: &mut worker::Worker,
    instance: &crate::facts::instance::InstanceFacts,
    from: i32,
) -> Result<String> {
    // Who has seen it prepared knows what it said. An earlier client may have done all of this.
    if !worker.has_spoken() && is_stopped(worker, &["guarded", "result", "disarmed"]).await {
        return Ok("already stopped".to_owned());
    }
    alone_on_claim(acting, instance).await?;
    let patience = u64::try_from(instance.grace_seconds).unwrap_or(30) + 60;
    worker.skip_seen();
    if let Err(failure) = worker.tell(&["arm", &patience.to_string()]).await {
        // The server that an earlier client had armed it for may have ended just now.
        if is_stopped(worker, &["guarded", "result"]).await {
            return Ok("already stopped".to_owned());
        }
        return Err(failure);
    }
    if from > 0 {
        set_replicas(acting.k8s, &instance.workload, 0).await?;
        fast_shutdown(acting);
    }
    let event = worker
        .wait_for(
            &["guarded", "result", "disarmed", "refused", "unclean"],
            Duration::from_secs(patience + 30),
            |event| {
                acting.note(worker::name_of(event));
            },
        )
        .await?;
    if matches!(worker::name_of(&event), "guarded" | "result") {
        return Ok(String::new());
    }
    // Not a clean stop: once the pod is really gone the worker may recover by starting the old server once.
    await_pods_gone(acting, Duration::from_secs(patience)).await?;
    worker
        .tell(&["arm", &patience.to_string(), "recover"])
        .await?;
    let event = worker
        .wait_for(
            &["guarded", "result", "disarmed", "refused"],
            Duration::from_secs(patience + 600),
            |event| {
                acting.note(worker::name_of(event));
            },
        )
        .await?;
    match worker::name_of(&event) {
        "guarded" | "result" => Ok("the stop was not clean; recovered".to_owned()),
        _ => Err(Failure::new(
            Exit::Failed,
            format!(
                "the old server did not stop cleanly: {}",
                event["detail"].as_str().unwrap_or_default()
            ),
        )),
    }
}

/// Whether the worker has said that the server is down and the data behind the guard; it gets a moment to say one of `words`.
async fn is_stopped(worker: &mut worker::Worker, words: &[&str]) -> bool {
    drop(worker.wait_for(words, Duration::from_secs(2), |_| {}).await);
    worker.last(&["guarded", "result"]).is_some()
}

/// No other pod may mount the claim while its data directory is changed.
async fn alone_on_claim(
    acting: &Acting<'_>,
    instance: &crate::facts::instance::InstanceFacts,
) -> Result<()> {
    let Some(claim) = &instance.claim else {
        return Ok(());
    };
    let own = [
        instance
            .pod
            .as_ref()
            .map(|p| p.name.clone())
            .unwrap_or_default(),
        acting.record.pod_name(),
    ];
    let pods = acting.k8s.api::<Pod>().list(&ListParams::default()).await?;
    let others: Vec<String> = pods
        .items
        .iter()
        .filter(|pod| {
            let phase = pod
                .status
                .as_ref()
                .and_then(|s| s.phase.as_deref())
                .unwrap_or_default();
            !matches!(phase, "Succeeded" | "Failed")
                && pod
                    .spec
                    .iter()
                    .flat_map(|s| s.volumes.iter().flatten())
                    .any(|v| {
                        v.persistent_volume_claim
                            .as_ref()
                            .is_some_and(|c| c.claim_name == claim.id.name)
                    })
        })
        .filter_map(|pod| pod.metadata.name.clone())
        .filter(|name| !own.contains(name))
        .collect();
    if others.is_empty() {
        return Ok(());
    }
    Err(Failure::new(
        Exit::Failed,
        format!("{} is also mounted by Pod {}", claim.id, others.join(", ")),
    ))
}

/// Scales the server to zero and waits until its pods are gone.
pub(super) async fn down(acting: &mut Acting<'_>) -> Result<String> {
    set_replicas(acting.k8s, &acting.record.instance.workload, 0).await?;
    fast_shutdown(acting);
    let patience = u64::try_from(acting.record.instance.grace_seconds).unwrap_or(30) + 120;
    await_pods_gone(acting, Duration::from_secs(patience)).await?;
    Ok(String::new())
}

const FAST_SHUTDOWN: &str = include_str!("../scripts/fast-shutdown.sh");

/// Asks the server for a fast shutdown beside the kubelet's own signal: an image without `STOPSIGNAL SIGINT` (Bitnami)
/// gets SIGTERM, waits for its sessions to end, and is killed uncleanly after the grace period.
fn fast_shutdown(acting: &Acting<'_>) {
    let (Some(pod), Some(upgrade)) = (&acting.record.instance.pod, &acting.record.upgrade) else {
        return;
    };
    let (k8s, pod, container) = (
        acting.k8s.clone(),
        pod.name.clone(),
        acting.record.instance.container.clone(),
    );
    let old = upgrade.data_directory.clone();
    let place = upgrade.place.as_ref().map(|place| place.directory.clone());
    let directories = [old.clone(), place.unwrap_or(old)];
    tokio::spawn(async move {
        let [old, place] = &directories;
        let argv = ["sh", "-c", FAST_SHUTDOWN, "sh", place, old];
        // A pod that is gone already needs no signal.
        drop(
            k8s.exec(&pod, &container, &argv, None, Duration::from_secs(10))
                .await,
        );
    });
}

async fn await_pods_gone(acting: &Acting<'_>, limit: Duration) -> Result<()> {
    let workload = target::read_workload(acting.k8s, acting.record.target()).await?;
    let selector = target::selector_text(&workload.selector);
    wait_list(
        acting.k8s.api::<Pod>(),
        &selector,
        limit,
        |pods: &[Pod]| match pods {
            [] => Progress::Done(()),
            some => Progress::Waiting(format!(
                "pods left: {}",
                some.iter()
                    .filter_map(|p| p.metadata.name.clone())
                    .collect::<Vec<_>>()
                    .join(", ")
            )),
        },
        |text| acting.note(text),
    )
    .await
    .map_err(|e| {
        Failure::from(e).context(format!(
            "waiting until the pods of {} are gone",
            acting.record.target()
        ))
    })
}

/// What changes in the pod template besides the image.
#[derive(Clone, Copy, Default)]
pub(super) struct Template<'a> {
    /// `PGDATA` of the server's container.
    pub(super) pgdata: Option<&'a str>,
    /// A strategic merge patch of the pod's spec.
    pub(super) patch: Option<&'a Value>,
}

/// Image, what changes in the template with it, and replicas in one patch.
pub(super) async fn switch(
    acting: &mut Acting<'_>,
    from: &str,
    to: &str,
    replicas: i32,
    change: Template<'_>,
) -> Result<String> {
    let workload = acting.record.target().clone();
    let live = target::read_workload(acting.k8s, &workload).await?;
    let container = &acting.record.instance.container;
    let image = live
        .pod
        .containers
        .iter()
        .find(|c| c.name == *container)
        .and_then(|c| c.image.clone())
        .unwrap_or_default();
    if image != from && image != to {
        return Err(Failure::new(
            Exit::Failed,
            format!(
                "{workload} has image {image} now, which is neither {from} nor {to}: someone changed it"
            ),
        ));
    }
    let upgrade = acting.record.upgrade.as_ref();
    if let Some(planned) = upgrade
        .filter(|u| u.new_image == to)
        .and_then(|u| u.change(container))
        && !planned.fits(&serde_json::to_value(&live.pod)?)
    {
        return Err(Failure::new(
            Exit::Failed,
            format!(
                "the pod template of {workload} is not the one that its change was planned for: someone changed it"
            ),
        ));
    }
    let patch = switched(container, to, replicas, change);
    target::patch_template(acting.k8s, &workload, patch).await?;
    Ok(String::new())
}

/// The strategic merge patch of the switch: containers merge by name, so only what is named here changes.
pub(super) fn switched(container: &str, image: &str, replicas: i32, change: Template<'_>) -> Value {
    let mut spec = with_image(change.patch, container, image);
    if let Some(pgdata) = change.pgdata {
        spec["containers"][0]["env"] = json!([{"name": "PGDATA", "value": pgdata}]);
    }
    json!({"spec": {"replicas": replicas, "template": {"spec": spec}}})
}

/// A pod that counts as ready may hold a server that does not answer yet: without a readiness probe it is ready at once.
const ANSWER: Duration = Duration::from_secs(60);

/// Waits until the server's pod is ready, answers, and really is the version asked for.
pub(super) async fn await_server(
    acting: &mut Acting<'_>,
    major: u32,
    seconds: u64,
) -> Result<String> {
    let patience = Duration::from_secs(seconds);
    let budget = acting.record.budget_left(acting.k8s.now());
    let end = Instant::now() + budget.map_or(patience, |left| left.min(patience));
    let mut ready_since = None;
    let (pod, version) = loop {
        let left = end.saturating_duration_since(Instant::now());
        let pod = match await_ready(acting, left).await {
            Err(failure) if Instant::now() >= end && budget.is_some_and(|b| b < patience) => {
                return Err(failure.context("the outage budget is used up"));
            }
            outcome => outcome?,
        };
        let container = &acting.record.instance.container;
        match crate::discover::sql::version(acting.k8s, &pod, container).await {
            Ok(version) => break (pod, version),
            Err(failure) => {
                let since = *ready_since.get_or_insert_with(Instant::now);
                // Recovery takes its time; anything else does not go away by itself.
                let recovers = failure.to_string().contains("starting up");
                let over = Instant::now() >= end || !recovers && since.elapsed() > ANSWER;
                if over {
                    let what = format!("asking the server in Pod {pod} for its version");
                    return Err(failure.context(what));
                }
                acting.note("the server does not answer yet");
                tokio::time::sleep(Duration::from_millis(300)).await;
            }
        }
    };
    if let Some(facts) = &mut acting.record.instance.pod {
        facts.name.clone_from(&pod);
    }
    if u32::from(version.major.number()) != major {
        return Err(Failure::new(
            Exit::Failed,
            format!("Pod {pod} runs PostgreSQL {version}, not {major}"),
        ));
    }
    Ok(format!("PostgreSQL {version}"))
}

/// Waits until Kubernetes calls the server's pod ready; its name.
async fn await_ready(acting: &mut Acting<'_>, limit: Duration) -> Result<String> {
    let workload = target::read_workload(acting.k8s, acting.record.target()).await?;
    let selector = target::selector_text(&workload.selector);
    let container = acting.record.instance.container.clone();
    let wanted = workload
        .pod
        .containers
        .iter()
        .find(|c| c.name == container)
        .and_then(|c| c.image.clone())
        .unwrap_or_default();
    let helper = acting.record.pod_name();
    let own_node = acting
        .record
        .instance
        .pod
        .as_ref()
        .map(|p| p.node.clone())
        .unwrap_or_default();
    let k8s = acting.k8s.clone();
    // The image of the other side of the switch: pods that somebody made before it have it.
    let other = acting
        .record
        .steps
        .iter()
        .filter_map(|e| match &e.step {
            super::Step::Switch { from, to, .. } => Some([from, to]),
            _ => None,
        })
        .flatten()
        .find(|image| **image != wanted)
        .cloned()
        .unwrap_or_default();
    let mut moved = false;
    let mut replaced: Vec<String> = Vec::new();
    let mut uid = None;
    let outcome = wait_list(
        acting.k8s.api::<Pod>(),
        &selector,
        limit,
        |pods: &[Pod]| {
            for pod in pods.iter().filter(|p| has_image(p, &container, &other)) {
                // A StatefulSet waits for a broken pod to be ready before it replaces it, so for ever.
                let (name, uid) = (pod.name_any(), pod.uid().unwrap_or_default());
                if !replaced.contains(&uid) {
                    replaced.push(uid.clone());
                    let api = k8s.api::<Pod>();
                    tokio::spawn(async move { drop(delete_uid(&api, &name, &uid).await) });
                }
            }
            let progress = look_ready(pods, &container, &wanted);
            let ours = pods.iter().find(|p| has_image(p, &container, &wanted));
            uid = ours.and_then(ResourceExt::uid);
            let elsewhere = pods.iter().any(|p| {
                p.spec
                    .as_ref()
                    .and_then(|s| s.node_name.as_deref())
                    .is_some_and(|n| !own_node.is_empty() && n != own_node)
            });
            if elsewhere && !moved {
                // A ReadWriteOnce volume cannot follow the server to another node while our pod holds it.
                moved = true;
                let (k8s, helper) = (k8s.clone(), helper.clone());
                tokio::spawn(async move { drop(super::pod::remove(&k8s, &helper).await) });
            }
            progress
        },
        |text| acting.note(text),
    )
    .await;
    let failure = match outcome {
        Ok(pod) => return Ok(pod),
        Err(WaitError::Failed(why)) => {
            Failure::new(Exit::Failed, format!("the server does not start: {why}"))
        }
        Err(other) => Failure::from(other)
            .context(format!("waiting until {} is ready", acting.record.target())),
    };
    Err(super::pod::with_warnings(acting.k8s, failure, uid).await)
}

/// Tells whether a pod that stays has this image.
fn has_image(pod: &Pod, container: &str, image: &str) -> bool {
    pod.metadata.deletion_timestamp.is_none()
        && pod
            .spec
            .iter()
            .flat_map(|s| &s.containers)
            .any(|c| c.name == container && c.image.as_deref() == Some(image))
}

fn look_ready(pods: &[Pod], container: &str, image: &str) -> Progress<String> {
    let Some(pod) = pods.iter().find(|p| has_image(p, container, image)) else {
        return Progress::Waiting("no pod yet".to_owned());
    };
    let name = pod.metadata.name.clone().unwrap_or_default();
    let status = pod.status.clone().unwrap_or_default();
    if status
        .conditions
        .iter()
        .flatten()
        .any(|c| c.type_ == "Ready" && c.status == "True")
    {
        return Progress::Done(name);
    }
    if let Some(scheduled) = status
        .conditions
        .iter()
        .flatten()
        .find(|c| c.type_ == "PodScheduled" && c.status == "False")
    {
        return Progress::Waiting(format!(
            "{name} is not scheduled: {}",
            scheduled.message.clone().unwrap_or_default()
        ));
    }
    for found in status
        .container_statuses
        .iter()
        .flatten()
        .chain(status.init_container_statuses.iter().flatten())
    {
        let state = found.state.clone().unwrap_or_default();
        if let Some(waiting) = state.waiting {
            let reason = waiting.reason.unwrap_or_default();
            let message = waiting.message.unwrap_or_default();
            match reason.as_str() {
                "CrashLoopBackOff" if found.restart_count >= 2 => {
                    return Progress::Failed(format!(
                        "container {} of Pod {name} ends again and again: {message}",
                        found.name
                    ));
                }
                "InvalidImageName" | "ErrImageNeverPull" | "CreateContainerConfigError" => {
                    return Progress::Failed(format!("Pod {name}: {reason}: {message}"));
                }
                "" | "ContainerCreating" | "PodInitializing" => {}
                _ => return Progress::Waiting(format!("{name}: {reason}: {message}")),
            }
        }
    }
    Progress::Waiting(format!("{name} is not ready yet"))
}

#[cfg(test)]
mod tests;
