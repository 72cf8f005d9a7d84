//! The ways back: the archived directory, a volume snapshot; and what cleanup removes.

use std::collections::BTreeMap;
use std::time::Duration;

use k8s_openapi::api::core::v1::{PersistentVolumeClaim, Pod};
use serde_json::Value;

use super::pod;
use super::worker::{self, Worker};
use crate::error::{Exit, Failure, Result};
use crate::exec::Acting;
use crate::exec::store::instance_label;
use crate::facts::instance::ObjectId;
use crate::k8s::names;
use crate::k8s::snapshot::VolumeSnapshot;
use crate::k8s::write::{Deleted, create_or_adopt, delete_own, delete_uid};
use crate::manifests::claim;
use crate::manifests::pod::Blueprint;

/// A pod that moves data may take as long as the data is large.
const LIMIT: Duration = Duration::from_secs(24 * 3600);

/// What a pod made for one errand is told.
struct Errand<'a> {
    mode: &'a str,
    env: BTreeMap<String, String>,
    snapshot_claim: Option<&'a str>,
    node: Option<&'a str>,
}

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
    if !alive {
        let errand = Errand {
            mode: "back",
            env: BTreeMap::new(),
            snapshot_claim: None,
            node: None,
        };
        let result = run_errand(acting, &errand).await?;
        return expect_back(&result);
    }
    worker::attach(acting)?;
    let mut worker = acting
        .worker
        .take()
        .ok_or_else(|| Failure::new(Exit::Failed, "no upgrade pod"))?;
    let outcome = ask_back(acting, &mut worker).await;
    acting.worker = Some(worker);
    outcome
}

async fn ask_back(acting: &Acting<'_>, worker: &mut Worker) -> Result<String> {
    // What the worker said before is replayed first: it may have gone back by itself.
    drop(
        worker
            .wait_for(&["result"], Duration::from_secs(2), |_| {})
            .await,
    );
    if worker.last(&["result"]).is_some_and(|r| r["back"] == true) {
        return Ok("the pod had put it back by itself".to_owned());
    }
    worker.skip_seen();
    // The step before has seen the server's pods gone.
    worker.tell(&["go-back", "gone"]).await?;
    let event = worker
        .wait_for(&["result", "refused"], LIMIT, |event| {
            acting.note(worker::name_of(event));
        })
        .await?;
    expect_back(&event)
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
    let like = acting
        .record
        .instance
        .claim
        .clone()
        .ok_or_else(|| Failure::new(Exit::Failed, "the instance has no claim"))?;
    let found = acting
        .k8s
        .api::<VolumeSnapshot>()
        .get_opt(snapshot)
        .await?
        .ok_or_else(|| {
            Failure::new(
                Exit::HalfWay,
                format!("VolumeSnapshot {snapshot} does not exist any more"),
            )
        })?;
    let size = found.status.and_then(|s| s.restore_size).map_or_else(
        || like.capacity_bytes.to_string(),
        |size| larger(&size.0, like.capacity_bytes),
    );
    let run = names::fit(&acting.record.run);
    let object: PersistentVolumeClaim = serde_json::from_value(claim::from_snapshot(
        claim_name,
        snapshot,
        &like,
        &size,
        &run,
        &instance_label(acting.record.target()),
    ))?;
    let api = acting.k8s.api::<PersistentVolumeClaim>();
    create_or_adopt(&api, &object).await.map_err(|e| {
        Failure::from(e).context(format!(
            "creating PersistentVolumeClaim {claim_name} from {snapshot}"
        ))
    })?;
    let errand = Errand {
        mode: "adopt",
        env: BTreeMap::new(),
        snapshot_claim: Some(claim_name),
        node: None,
    };
    let result = run_errand(acting, &errand).await?;
    expect_back(&result)?;
    // The claim was made by this step alone and its content is on the data volume now.
    if let Err(error) = delete_own(&api, claim_name).await {
        acting.ui.warn(format!(
            "PersistentVolumeClaim {claim_name} is left behind: {error}"
        ));
    }
    Ok(String::new())
}

fn larger(size: &str, bytes: u64) -> String {
    match crate::k8s::quantity::whole(size) {
        Some(restore) if restore > bytes => size.to_owned(),
        _ => bytes.to_string(),
    }
}

/// Removes run directories from the volume by a pod beside the server.
pub(super) async fn remove_files(acting: &mut Acting<'_>, runs: &[String]) -> Result<String> {
    let node = acting.record.instance.pod.as_ref().map(|p| p.node.clone());
    let errand = Errand {
        mode: "remove",
        env: BTreeMap::from([("PGUP_REMOVE".to_owned(), runs.join(" "))]),
        snapshot_claim: None,
        node: node.as_deref(),
    };
    let result = run_errand(acting, &errand).await?;
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
    let plural = format!("{}s", object.kind.to_lowercase());
    let api = acting
        .k8s
        .dynamic(&object.api_version, &object.kind, &plural);
    match delete_uid(&api, &object.name, &object.uid).await {
        Ok(Deleted::Requested) => Ok(String::new()),
        Ok(Deleted::AlreadyGone) => Ok("it was gone".to_owned()),
        Err(error) => Err(Failure::from(error).context(format!("deleting {object}"))),
    }
}

/// Runs a pod for one errand on the data claim and returns its last word.
async fn run_errand(acting: &mut Acting<'_>, errand: &Errand<'_>) -> Result<Value> {
    let k8s = acting.k8s;
    let upgrade = acting
        .record
        .upgrade
        .clone()
        .ok_or_else(|| Failure::usage(format!("run {} upgraded nothing", acting.record.run)))?;
    let name = names::name(&["pg-upgrade", &acting.record.run, errand.mode]);
    let template = crate::discover::target::template(k8s, acting.record.target()).await?;
    let mut env = pod::worker_env(acting.record, &upgrade);
    env.insert("PGUP_MODE".to_owned(), errand.mode.to_owned());
    env.extend(errand.env.clone());
    let groups: Vec<i64> = acting.record.instance.fs_group.into_iter().collect();
    let claim = acting
        .record
        .instance
        .claim
        .as_ref()
        .map(|c| c.id.name.clone());
    let blueprint = Blueprint {
        name: &name,
        run: &names::fit(&acting.record.run),
        instance: &instance_label(acting.record.target()),
        part: "errand",
        script: "worker.sh",
        old_image: Some(&upgrade.old_image),
        image: &upgrade.new_image,
        node: errand.node,
        uid: upgrade.uid,
        gid: upgrade.gid,
        groups: &groups,
        claim: claim.as_deref(),
        snapshot_claim: errand.snapshot_claim,
        env: &env,
        restart: true,
        template: &template,
    };
    pod::create(k8s, &blueprint, &upgrade.worker_files).await?;
    pod::await_started(acting, &name).await?;
    let mut worker = Worker::attach(k8s, &name);
    let event = worker
        .wait_for(&["result", "removed", "refused", "usage"], LIMIT, |event| {
            acting.note(worker::name_of(event));
        })
        .await?;
    pod::remove(k8s, &name).await?;
    Ok(event)
}
