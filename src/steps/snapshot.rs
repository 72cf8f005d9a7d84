//! Volume snapshots: asked for, waited for.

use std::time::Duration;

use crate::error::{Exit, Failure, Result};
use crate::exec::Acting;
use crate::exec::store::instance_label;
use crate::facts::instance::InstanceFacts;
use crate::k8s::names;
use crate::k8s::snapshot::VolumeSnapshot;
use crate::k8s::wait::{Progress, WaitError, wait_for};
use crate::k8s::write::create_or_adopt;
use crate::manifests::snapshot::volume_snapshot;
use crate::record::SnapshotEntry;

/// Creates a VolumeSnapshot of the data claim, and waits until it is ready when told so.
pub(super) async fn create(
    acting: &mut Acting<'_>,
    name: &str,
    class: &str,
    wait_seconds: u64,
    stopped: bool,
) -> Result<String> {
    let object = object(&acting.record.instance, &acting.record.run, name, class)?;
    create_or_adopt(&acting.k8s.api::<VolumeSnapshot>(), &object)
        .await
        .map_err(|e| Failure::from(e).context(format!("creating VolumeSnapshot {name}")))?;
    if !acting.record.snapshots.iter().any(|s| s.name == name) {
        let cut = if stopped { "stopped" } else { "running" };
        acting.record.snapshots.push(SnapshotEntry {
            name: name.to_owned(),
            at: acting.k8s.now(),
            cut: cut.to_owned(),
        });
    }
    if wait_seconds > 0 {
        return await_ready(acting, name, wait_seconds).await;
    }
    Ok(String::new())
}

/// The VolumeSnapshot of the data claim.
///
/// # Errors
/// When it cannot be built.
pub(super) fn object(
    instance: &InstanceFacts,
    run: &str,
    name: &str,
    class: &str,
) -> Result<VolumeSnapshot> {
    let claim = instance.claim.as_ref().map_or("", |c| c.id.name.as_str());
    let label = instance_label(&instance.workload);
    let object = volume_snapshot(name, class, claim, &names::fit(run), &label);
    Ok(serde_json::from_value(object)?)
}

/// Waits until a VolumeSnapshot is ready to use.
pub(super) async fn await_ready(
    acting: &mut Acting<'_>,
    name: &str,
    seconds: u64,
) -> Result<String> {
    wait_for(
        acting.k8s.api::<VolumeSnapshot>(),
        name,
        Duration::from_secs(seconds),
        |snapshot: Option<&VolumeSnapshot>| look(snapshot),
        |text| acting.note(text),
    )
    .await
    .map_err(|error| match error {
        WaitError::Failed(why) => {
            Failure::new(Exit::Failed, format!("VolumeSnapshot {name}: {why}"))
        }
        other => Failure::from(other).context(format!(
            "waiting for VolumeSnapshot {name} to be ready to use"
        )),
    })
}

fn look(snapshot: Option<&VolumeSnapshot>) -> Progress<String> {
    let Some(snapshot) = snapshot else {
        return Progress::Failed("it was deleted".to_owned());
    };
    let status = snapshot.status.clone().unwrap_or_default();
    if status.ready_to_use == Some(true) && status.bound_volume_snapshot_content_name.is_some() {
        return Progress::Done(status.restore_size.map(|s| s.0).unwrap_or_default());
    }
    // The controller retries after an error and clears it (external-snapshotter, types.go).
    match status.error.and_then(|e| e.message) {
        Some(message) => Progress::Waiting(format!("the storage says: {message}")),
        None if status.creation_time.is_some() => {
            Progress::Waiting("cut, being made ready".to_owned())
        }
        None => Progress::Waiting("being cut".to_owned()),
    }
}
