//! The ways back: the archived directory, a volume snapshot; and what cleanup removes.

use std::collections::BTreeMap;
use std::time::Duration;

use k8s_openapi::api::core::v1::{PersistentVolumeClaim, Pod};
use serde_json::Value;

use super::claim;
use super::errand::{Errand, LIMIT};
use super::pod;
use super::worker::{self, Worker};
use crate::error::{Exit, Failure, Result};
use crate::exec::Acting;
use crate::facts::instance::ObjectId;
use crate::k8s::write::{Deleted, delete_own, delete_uid};

/// Puts the archived data directory of the old version back: by the worker that is still there, else by a new pod.
pub(super) async fn from_archive(acting: &mut Acting<'_>) -> Result<String> {
    let name = acting.record.pod_name();
    let alive = acting
        .k8s
        .api::<Pod>()
        .get_opt(&name)
        .await?
        .is_some_and(|p| {
            p.metadata.deletion_timestamp.is_none()
                && p.status.as_ref().and_then(|s| s.phase.as_deref()) == Some("Running")
        });
    if alive {
        worker::attach(acting)?;
        let mut worker = acting
            .worker
            .take()
            .ok_or_else(|| Failure::new(Exit::Failed, "no upgrade pod"))?;
        let event = ask_back(acting, &mut worker).await;
        acting.worker = Some(worker);
        let event = event?;
        if event["reason"] != "not_owner" {
            keep_crash(acting, &event);
            return expect_back(&event);
        }
        // It holds the volume's lock.
        pod::release(acting, &name).await?;
    }
    let result = Errand::new("back").run(acting).await?.last;
    keep_crash(acting, &result);
    expect_back(&result)
}

/// An upgrade that was broken off has left no result that tells of a crash; the way back finds it.
fn keep_crash(acting: &mut Acting<'_>, event: &Value) {
    if event["crashed"] != true || worker::crashed(acting.record) {
        return;
    }
    acting.ui.warn(worker::CRASHED);
    let result = acting.record.result.get_or_insert_with(|| event.clone());
    result["crashed"] = true.into();
}

/// The worker's last word about going back.
async fn ask_back(acting: &Acting<'_>, worker: &mut Worker) -> Result<Value> {
    // What the worker said before is replayed first: it may have gone back by itself.
    drop(
        worker
            .wait_for(&["result"], Duration::from_secs(2), |_| {})
            .await,
    );
    if let Some(result) = worker.last(&["result"]).filter(|r| r["back"] == true) {
        return Ok(result.clone());
    }
    worker.skip_seen();
    // The step before has seen the server's pods gone.
    if let Err(failure) = worker.tell(&["go-back", "gone"]).await {
        let refused = worker.wait_for(&["refused"], Duration::from_secs(2), |_| {});
        return match refused.await {
            Ok(event) if event["reason"] == "not_owner" => Ok(event),
            _ => Err(failure),
        };
    }
    worker
        .wait_for(&["result", "refused"], LIMIT, |event| {
            acting.note(worker::name_of(event));
        })
        .await
}

fn expect_back(event: &Value) -> Result<String> {
    if worker::name_of(event) == "result" && event["back"] == true {
        return Ok(String::new());
    }
    let why = [&event["reason"], &event["detail"]]
        .iter()
        .filter_map(|v| v.as_str())
        .collect::<Vec<_>>()
        .join(": ");
    Err(Failure::new(
        Exit::HalfWay,
        format!("the archived data directory cannot be put back: {why}"),
    ))
}

/// Takes the old data directory from a volume snapshot: a claim is made from it, tried, and copied over.
pub(super) async fn from_snapshot(
    acting: &mut Acting<'_>,
    snapshot: &str,
    claim_name: &str,
) -> Result<String> {
    claim::from_snapshot(acting, snapshot, claim_name)
        .await
        .map_err(|e| e.with_exit(Exit::HalfWay))?;
    let errand = Errand {
        snapshot_claim: Some(claim_name),
        ..Errand::new("adopt")
    };
    let result = errand.run(acting).await?.last;
    expect_back(&result)?;
    let mut note = String::new();
    if result["crashed"] == true {
        "its unlogged tables are empty".clone_into(&mut note);
        acting.ui.warn(format!("VolumeSnapshot {snapshot} is of a moment at which a server ran on the data: PostgreSQL has recovered them and emptied the unlogged tables, as after any crash"));
    }
    // The claim was made by this step alone and its content is on the data volume now.
    let api = acting.k8s.api::<PersistentVolumeClaim>();
    if let Err(error) = delete_own(&api, claim_name).await {
        acting.ui.warn(format!(
            "PersistentVolumeClaim {claim_name} is left behind: {error}"
        ));
    }
    Ok(note)
}

/// Removes run directories from the volume by a pod beside the server.
pub(super) async fn remove_files(
    acting: &mut Acting<'_>,
    runs: &[String],
    tablespaces: bool,
) -> Result<String> {
    let node = acting.record.instance.pod.as_ref().map(|p| p.node.clone());
    let errand = Errand {
        env: BTreeMap::from([("PGUP_REMOVE".to_owned(), runs.join(" "))]),
        node: node.as_deref(),
        tablespaces,
        ..Errand::new("remove")
    };
    let result = errand.run(acting).await?.last;
    match result["freed_bytes"]
        .as_u64()
        .or_else(|| result["bytes"].as_u64())
    {
        Some(bytes) => Ok(format!("{} freed", crate::output::human_bytes(bytes))),
        None if worker::name_of(&result) == "refused" => Err(Failure::new(
            Exit::Failed,
            format!("the files were not removed: {result}"),
        )),
        None => Ok(String::new()),
    }
}

/// Deletes one object, if it still is the one that was planned.
pub(super) async fn delete(acting: &mut Acting<'_>, object: &ObjectId) -> Result<String> {
    let api = acting.k8s.regular(&object.api_version, &object.kind);
    match delete_uid(&api, &object.name, &object.uid).await {
        Ok(Deleted::Requested) => Ok(String::new()),
        Ok(Deleted::AlreadyGone) => Ok("it was gone".to_owned()),
        Err(error) => Err(Failure::from(error).context(format!("deleting {object}"))),
    }
}
