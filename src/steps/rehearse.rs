//! The upgrade of a copy, and the end of that copy.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::PersistentVolumeClaim;
use serde_json::{Value, json};

use super::errand::Errand;
use super::{copy, dump, pod, worker};
use crate::error::{Exit, Failure, Result};
use crate::exec::Acting;
use crate::k8s::snapshot::VolumeSnapshot;
use crate::k8s::write::delete_own;
use crate::plan::rehearse::{predicted_ms, strayed};
use crate::record::DumpPlace;
use crate::verify;

const MODE: &str = "rehearse";

/// Upgrades the copy, compares it with itself and with the live server, and keeps the times in the record.
pub(super) async fn rehearse(acting: &mut Acting<'_>, claim: &str, copied: bool) -> Result<String> {
    let mut env = BTreeMap::new();
    if copied {
        env.extend(copy::directories());
        env.insert("PGUP_LABEL".to_owned(), "1".to_owned());
    }
    env.insert("PGUP_DISCARD".to_owned(), "1".to_owned());
    env.insert("PGUP_VERIFY".to_owned(), acting.record.asked.verify.clone());
    let upgrade = acting.record.upgrade.as_ref();
    let dump_claim = upgrade.and_then(|u| u.dump.as_ref().map(|place| place.claim.clone()));
    let errand = Errand {
        env,
        claim: Some(claim),
        dump_claim: dump_claim.as_deref(),
        ends: &["rehearsed", "refused", "exit"],
        ..Errand::new(MODE)
    };
    let said = errand.run(acting).await?;
    let find = |name: &str| {
        let mut events = said.events.iter().rev();
        events.find(|event| worker::name_of(event) == name)
    };
    if worker::name_of(&said.last) != "rehearsed" {
        return Err(broken(&said.last, find("result")));
    }
    let Some(verdict) = find("verified").cloned() else {
        let why = find("failed").map(worker::why).unwrap_or_default();
        return Err(Failure::new(
            Exit::Failed,
            format!("the upgraded copy could not be compared with what it was before: {why}"),
        ));
    };
    let mut result = said.last.clone();
    result["outcome"] = json!("rehearsed");
    result["predicted_outage_ms"] = json!(predicted_ms(&result));
    let differences: Vec<Value> = said
        .events
        .iter()
        .filter(|event| worker::name_of(event) == "difference")
        .cloned()
        .collect();
    let live = acting.record.observed.last().cloned().unwrap_or_default();
    let copy = find("observed").cloned().unwrap_or_default();
    for text in strayed(&live, &copy) {
        acting.ui.warn(text);
    }
    for text in [verify::doubts(&verdict), verify::warnings(&verdict)].concat() {
        acting.ui.warn(text);
    }
    acting.record.result = Some(result);
    acting.record.observed.push(verdict.clone());
    if differences.is_empty() && verdict["differences"] == 0 {
        return Ok(verify::sentence(&verdict));
    }
    let failure = Failure::new(
        Exit::Failed,
        "the upgraded copy differs from what it was before",
    );
    Err(differences
        .iter()
        .take(10)
        .fold(failure, |failure, d| failure.hint(verify::explain(d))))
}

/// Why the copy could not be upgraded: the refusal's words, else those of the worker's own result.
fn broken(last: &Value, result: Option<&Value>) -> Failure {
    let event = if worker::name_of(last) == "refused" {
        last
    } else {
        result.unwrap_or(last)
    };
    let why = worker::why(event);
    Failure::new(
        Exit::Failed,
        format!("the upgrade of the copy failed: {why}"),
    )
}

/// Deletes the pods, the claim and the volume snapshot of a rehearsal; none of them needs to exist.
pub(super) async fn drop_clone(
    acting: &mut Acting<'_>,
    snapshot: Option<&str>,
    claim: &str,
    dump: Option<&DumpPlace>,
) -> Result<String> {
    let k8s = acting.k8s;
    let copying: &[&str] = if snapshot.is_none() {
        &copy::MODES
    } else {
        &[]
    };
    for mode in copying.iter().chain(&[MODE]) {
        pod::remove(k8s, &Errand::new(mode).pod_name(&acting.record.run)).await?;
    }
    if let Some(place) = dump {
        dump::drop_rehearsed(acting, place).await?;
    }
    delete_own(&k8s.api::<PersistentVolumeClaim>(), claim)
        .await
        .map_err(|e| Failure::from(e).context(format!("deleting PersistentVolumeClaim {claim}")))?;
    if let Some(snapshot) = snapshot {
        delete_own(&k8s.api::<VolumeSnapshot>(), snapshot)
            .await
            .map_err(|e| Failure::from(e).context(format!("deleting VolumeSnapshot {snapshot}")))?;
        acting.record.snapshots.retain(|s| s.name != snapshot);
    }
    Ok(String::new())
}
