//! Claims for copies of the data.

use k8s_openapi::api::core::v1::PersistentVolumeClaim;

use crate::error::{Exit, Failure, Result};
use crate::exec::Acting;
use crate::exec::store::instance_label;
use crate::facts::instance::ClaimFacts;
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
    let object: PersistentVolumeClaim = serde_json::from_value(claim::from_snapshot(
        claim_name,
        snapshot,
        &like,
        &size,
        &names::fit(&acting.record.run),
        &instance_label(acting.record.target()),
    ))?;
    create_or_adopt(&acting.k8s.api(), &object)
        .await
        .map_err(|e| {
            Failure::from(e).context(format!(
                "creating PersistentVolumeClaim {claim_name} from {snapshot}"
            ))
        })?;
    Ok(())
}

/// Creates an empty claim like the data claim; it may exist already.
pub(super) async fn empty(acting: &Acting<'_>, claim_name: &str) -> Result<()> {
    let like = like(acting)?;
    let object: PersistentVolumeClaim = serde_json::from_value(claim::empty(
        claim_name,
        &like,
        &like.capacity_bytes.to_string(),
        &names::fit(&acting.record.run),
        &instance_label(acting.record.target()),
    ))?;
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
