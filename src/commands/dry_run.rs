//! The objects that a plan makes, sent to the API server as a dry run before anything is made.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::PersistentVolumeClaim;

use crate::discover::dry_run::create;
use crate::discover::target::Found;
use crate::error::Result;
use crate::exec::store::instance_label;
use crate::facts::dry_run::{Answer, DryRun};
use crate::facts::server::ServerFacts;
use crate::k8s::K8s;
use crate::k8s::snapshot::VolumeSnapshot;
use crate::manifests::pod::{Blueprint, config_map, pod};
use crate::manifests::{claim, snapshot};
use crate::plan::upgrade::{Request, is_cold};
use crate::record;
use crate::steps::Step;

/// Tries the upgrade pod and its ConfigMap. The worker's own settings are left out: nothing that admits pods looks at them.
///
/// # Errors
/// When the objects cannot be built.
pub(super) async fn upgrade_pod(
    k8s: &K8s,
    found: &Found,
    server: &ServerFacts,
    request: &Request,
) -> Result<Vec<DryRun>> {
    let instance = &found.facts;
    let owner = |id: Option<u32>| id.map_or(999, i64::from);
    let groups: Vec<i64> = instance.fs_group.into_iter().collect();
    let node = instance.pod.as_ref().filter(|_| !is_cold(instance));
    let env = BTreeMap::new();
    let blueprint = Blueprint {
        name: &record::pod_name(&request.run),
        run: &request.run,
        instance: &instance_label(&instance.workload),
        part: "upgrade",
        script: "worker.sh",
        old_image: Some(&instance.image),
        image: &request.image,
        node: node.map(|pod| pod.node.as_str()),
        uid: owner(server.container.dir_uid),
        gid: owner(server.container.dir_gid),
        groups: &groups,
        claim: instance.claim.as_ref().map(|claim| claim.id.name.as_str()),
        snapshot_claim: None,
        live_claim: None,
        empty_claim: false,
        env: &env,
        restart: true,
        container: &instance.container,
        template: &found.workload.pod,
    };
    let (map, pod) = (config_map(&blueprint, &BTreeMap::new())?, pod(&blueprint)?);
    let (map, pod) = tokio::join!(create(k8s, &map), create(k8s, &pod));
    Ok(map.into_iter().chain(pod).collect())
}

/// Tries the volume snapshots and claims that these steps make.
///
/// # Errors
/// When the objects cannot be built.
pub(super) async fn copies(
    k8s: &K8s,
    found: &Found,
    request: &Request,
    steps: &[Step],
) -> Result<Vec<DryRun>> {
    let Some(like) = &found.facts.claim else {
        return Ok(Vec::new());
    };
    let instance = instance_label(&found.facts.workload);
    let mut tried = Vec::new();
    for step in steps {
        tried.extend(match step {
            Step::Snapshot { name, class, .. } => {
                let object: VolumeSnapshot = serde_json::from_value(snapshot::volume_snapshot(
                    name,
                    class,
                    &like.id.name,
                    &request.run,
                    &instance,
                ))?;
                create(k8s, &object).await
            }
            Step::CloneClaim { snapshot, claim } => {
                let size = like.capacity_bytes.to_string();
                let object: PersistentVolumeClaim = serde_json::from_value(claim::from_snapshot(
                    claim,
                    snapshot,
                    like,
                    &size,
                    &request.run,
                    &instance,
                ))?;
                create(k8s, &object).await
            }
            Step::EmptyClaim { claim } => {
                let size = like.capacity_bytes.to_string();
                let object: PersistentVolumeClaim = serde_json::from_value(claim::empty(
                    claim,
                    like,
                    &size,
                    &request.run,
                    &instance,
                ))?;
                create(k8s, &object).await
            }
            _ => None,
        });
    }
    Ok(tried)
}

/// Tells whether something would be refused.
pub(super) fn is_refused(tried: &[DryRun]) -> bool {
    tried
        .iter()
        .any(|tried| matches!(tried.answer, Answer::Refused(_)))
}
