//! Client workloads: off before the outage, back after it.

use std::time::{Duration, Instant};

use kube::api::{DynamicObject, Patch};
use serde_json::{Value, json};

use crate::error::{Exit, Failure, Result};
use crate::exec::Acting;
use crate::facts::instance::ObjectId;
use crate::k8s::K8s;
use crate::k8s::write::patch_uid;

/// Scales a workload from one count to another; anything else that is found there stops the run.
pub(super) async fn scale(
    acting: &mut Acting<'_>,
    workload: &ObjectId,
    from: i32,
    to: i32,
) -> Result<String> {
    let live = read(acting.k8s, workload).await?;
    let Some(live) = live else {
        if to > from {
            acting.ui.warn(format!(
                "{workload} was deleted since; it is not brought back"
            ));
        }
        return Ok("it is gone".to_owned());
    };
    let found =
        i32::try_from(live.data["spec"]["replicas"].as_i64().unwrap_or(1)).unwrap_or(i32::MAX);
    if found == to {
        return Ok("already there".to_owned());
    }
    if found != from && to > from {
        return Ok(format!("left at {found}, which someone else set"));
    }
    set_replicas(acting.k8s, workload, to).await?;
    Ok(String::new())
}

/// The merge patch that gives a workload its replicas.
pub(super) fn replicas(count: i32) -> Value {
    json!({"spec": {"replicas": count}})
}

/// The merge patch that suspends a CronJob or lets it go on.
pub(super) fn suspended(suspend: bool) -> Value {
    json!({"spec": {"suspend": suspend}})
}

/// Sets `spec.suspend` of a CronJob.
pub(super) async fn suspend(
    acting: &mut Acting<'_>,
    workload: &ObjectId,
    to: bool,
) -> Result<String> {
    let Some(live) = read(acting.k8s, workload).await? else {
        return Ok("it is gone".to_owned());
    };
    if live.data["spec"]["suspend"].as_bool().unwrap_or(false) == to {
        return Ok("already there".to_owned());
    }
    patch_object(acting.k8s, workload, suspended(to)).await?;
    Ok(String::new())
}

/// Reads an object and refuses one that took the name of another.
async fn read(k8s: &K8s, id: &ObjectId) -> Result<Option<DynamicObject>> {
    let found = k8s
        .regular(&id.api_version, &id.kind)
        .get_opt(&id.name)
        .await
        .map_err(|e| Failure::from(e).context(format!("reading {id}")))?;
    match &found {
        Some(object) if object.metadata.uid.as_deref() != Some(&id.uid) => Err(Failure::new(
            Exit::Failed,
            format!("{id} was replaced by another object of that name"),
        )),
        _ => Ok(found),
    }
}

/// Gives a workload its replicas.
pub(super) async fn set_replicas(k8s: &K8s, id: &ObjectId, count: i32) -> Result<()> {
    patch_object(k8s, id, replicas(count)).await?;
    Ok(())
}

/// Merge-patches an object, if it is still the one that was meant.
async fn patch_object(k8s: &K8s, id: &ObjectId, patch: Value) -> Result<DynamicObject> {
    patch_uid(
        &k8s.regular(&id.api_version, &id.kind),
        &id.name,
        &id.uid,
        Patch::Merge(patch),
    )
    .await
    .map_err(|e| Failure::from(e).context(format!("changing {id}")))
}

/// Waits until no client session is left; says who still connects.
pub(super) async fn await_no_sessions(
    acting: &mut Acting<'_>,
    seconds: u64,
    except: &[String],
) -> Result<String> {
    let pod = acting
        .record
        .instance
        .pod
        .as_ref()
        .map(|p| p.name.clone())
        .unwrap_or_default();
    let container = acting.record.instance.container.clone();
    let started = Instant::now();
    loop {
        let sessions = crate::discover::sql::sessions(acting.k8s, &pod, &container)
            .await
            .map_err(|e| e.context("reading the sessions of the server"))?;
        let left: Vec<_> = sessions
            .iter()
            .filter(|s| !s.address.as_ref().is_none_or(|a| except.contains(a)))
            .collect();
        if left.is_empty() {
            return Ok(match sessions.len() {
                0 => String::new(),
                n => format!("{n} sessions of others stay"),
            });
        }
        let who: Vec<String> = left
            .iter()
            .take(5)
            .map(|s| {
                let address = s.address.as_deref().unwrap_or("local");
                format!(
                    "{address} as {} on {} ({})",
                    s.role,
                    s.database.as_deref().unwrap_or("?"),
                    s.application_name
                )
            })
            .collect();
        let text = format!("{} left: {}", left.len(), who.join("; "));
        if started.elapsed() >= Duration::from_secs(seconds) {
            return Err(Failure::new(
                Exit::Failed,
                format!("after {seconds} s clients are still connected: {text}"),
            )
            .hint("name their workloads with --apps, or end them, and run the command again"));
        }
        acting.note(&text);
        tokio::time::sleep(Duration::from_millis(250)).await;
    }
}
