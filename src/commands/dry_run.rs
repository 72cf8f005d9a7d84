//! What a plan makes and changes, sent to the API server as a dry run before anything is made.

use std::collections::BTreeMap;

use futures::future::try_join_all;

use super::Session;
use crate::discover::dry_run::create;
use crate::discover::target::Found;
use crate::error::{Failure, Result};
use crate::exec::store::instance_label;
use crate::facts::dry_run::{Answer, DryRun};
use crate::facts::instance::InstanceFacts;
use crate::facts::server::ServerFacts;
use crate::k8s::K8s;
use crate::manifests::pod::{Blueprint, config_map, pod};
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
        spared: None,
        uid: owner(server.container.dir_uid),
        gid: owner(server.container.dir_gid),
        groups: &groups,
        claim: instance.claim.as_ref().map(|claim| claim.id.name.as_str()),
        mirror: None,
        snapshot_claim: None,
        live_claim: None,
        dump_claim: None,
        login: None,
        empty_claim: false,
        env: &env,
        server: true,
        restart: true,
        container: &instance.container,
        template: &found.workload.pod,
    };
    let (map, pod) = (config_map(&blueprint, &BTreeMap::new())?, pod(&blueprint)?);
    let (map, pod) = tokio::join!(create(k8s, &map), create(k8s, &pod));
    Ok(map.into_iter().chain(pod).collect())
}

/// Tries what these steps write to objects.
///
/// # Errors
/// When an object cannot be built.
pub(super) async fn writes(
    k8s: &K8s,
    instance: &InstanceFacts,
    run: &str,
    steps: &[Step],
) -> Result<Vec<DryRun>> {
    let tried: Vec<Option<DryRun>> =
        try_join_all(steps.iter().map(|step| step.dry_run(k8s, instance, run))).await?;
    Ok(tried.into_iter().flatten().collect())
}

/// Asks the API server about what these steps write, and says what it answers.
///
/// # Errors
/// Exit code 3 when it would refuse something.
pub(super) async fn ask(session: &Session, instance: &InstanceFacts, steps: &[Step]) -> Result<()> {
    let tried = writes(&session.k8s, instance, "dry-run", steps).await?;
    for DryRun { object, answer, .. } in &tried {
        session.ui.say(match answer {
            Answer::Accepted => format!("the API server would accept {object}"),
            Answer::Refused(words) => format!("the API server would refuse {object}: {words}"),
            Answer::Untried(words) => format!("{object} could not be tried: {words}"),
        });
    }
    if is_refused(&tried) {
        return Err(Failure::refused("the API server would refuse these steps")
            .hint("nothing was done (dry run)"));
    }
    Ok(())
}

/// Tells whether something would be refused.
pub(super) fn is_refused(tried: &[DryRun]) -> bool {
    tried
        .iter()
        .any(|tried| matches!(tried.answer, Answer::Refused(_)))
}
