//! Claims for copies of the data.

use k8s_openapi::api::core::v1::PersistentVolumeClaim;

use crate::error::{Exit, Failure, Result};
use crate::exec::Acting;
use crate::exec::store::instance_label;
use crate::facts::instance::{ClaimFacts, InstanceFacts};
use crate::k8s::names;
use crate::k8s::snapshot::VolumeSnapshot;
use crate::k8s::write::create_or_adopt;
use crate::manifests::claim;

/// Creates a claim like the data claim, filled from a volume snapshot; it may exist already.
pub(super) async fn from_snapshot(
    acting: &Acting<'_>,
    snapshot: &str,
    claim_name: &str,
) -> Result<()> {
    let like = like(acting)?;
    let found = acting
        .k8s
        .api::<VolumeSnapshot>()
        .get_opt(snapshot)
        .await?
        .ok_or_else(|| {
            Failure::new(
                Exit::Failed,
                format!("VolumeSnapshot {snapshot} does not exist any more"),
            )
        })?;
    let size = found.status.and_then(|s| s.restore_size).map_or_else(
        || like.capacity_bytes.to_string(),
        |size| larger(&size.0, like.capacity_bytes),
    );
    let (instance, run) = (&acting.record.instance, &acting.record.run);
    let object = object(instance, run, claim_name, snapshot, &like, &size)?;
    create_or_adopt(&acting.k8s.api(), &object)
        .await
        .map_err(|e| {
            Failure::from(e).context(format!(
                "creating PersistentVolumeClaim {claim_name} from {snapshot}"
            ))
        })?;
    Ok(())
}

/// The claim from a volume snapshot; `size` is a quantity.
///
/// # Errors
/// When it cannot be built.
pub(super) fn object(
    instance: &InstanceFacts,
    run: &str,
    name: &str,
    snapshot: &str,
    like: &ClaimFacts,
    size: &str,
) -> Result<PersistentVolumeClaim> {
    let label = instance_label(&instance.workload);
    let object = claim::from_snapshot(name, snapshot, like, size, &names::fit(run), &label);
    Ok(serde_json::from_value(object)?)
}

/// The empty claim.
///
/// # Errors
/// When it cannot be built.
pub(super) fn empty_object(
    instance: &InstanceFacts,
    run: &str,
    name: &str,
    like: &ClaimFacts,
) -> Result<PersistentVolumeClaim> {
    let (size, label) = (
        like.capacity_bytes.to_string(),
        instance_label(&instance.workload),
    );
    let object = claim::empty(name, like, &size, &names::fit(run), &label);
    Ok(serde_json::from_value(object)?)
}

/// Creates an empty claim like the data claim; it may exist already.
pub(super) async fn empty(acting: &Acting<'_>, claim_name: &str) -> Result<()> {
    let (instance, run) = (&acting.record.instance, &acting.record.run);
    let object = empty_object(instance, run, claim_name, &like(acting)?)?;
    let made = create_or_adopt(&acting.k8s.api(), &object).await;
    made.map(drop).map_err(|e| {
        Failure::from(e).context(format!("creating PersistentVolumeClaim {claim_name}"))
    })
}

fn like(acting: &Acting<'_>) -> Result<ClaimFacts> {
    let claim = acting.record.instance.claim.clone();
    claim.ok_or_else(|| Failure::new(Exit::Failed, "the instance has no claim"))
}

fn larger(size: &str, bytes: u64) -> String {
    match crate::k8s::quantity::whole(size) {
        Some(restore) if restore > bytes => size.to_owned(),
        _ => bytes.to_string(),
    }
}
