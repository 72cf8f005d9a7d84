//! What a step writes to objects, sent to the API server as a dry run.

use k8s_openapi::api::core::v1::Service;
use kube::api::Patch;

use super::{Step, claim, clients, dump, server, service, snapshot};
use crate::discover::dry_run::{create, delete, patch};
use crate::error::Result;
use crate::facts::dry_run::DryRun;
use crate::facts::instance::InstanceFacts;
use crate::k8s::K8s;

impl Step {
    /// Asks the API server whether it would accept what this step writes; nothing is kept. `None` for a step that writes
    /// no object, and when the user has no right to write it.
    ///
    /// # Errors
    /// When the object cannot be built.
    pub(crate) async fn dry_run(
        &self,
        k8s: &K8s,
        instance: &InstanceFacts,
        run: &str,
    ) -> Result<Option<DryRun>> {
        let target = &instance.workload;
        Ok(match self {
            Self::Scale { workload, to, .. } => {
                patch(k8s, workload, Patch::Merge(clients::replicas(*to))).await
            }
            Self::Suspend { workload, to, .. } => {
                patch(k8s, workload, Patch::Merge(clients::suspended(*to))).await
            }
            Self::Stop { .. } | Self::Down => {
                patch(k8s, target, Patch::Merge(clients::replicas(0))).await
            }
            Self::Switch {
                to,
                replicas,
                pgdata,
                template,
                ..
            } => {
                let change = server::Template {
                    pgdata: pgdata.as_deref(),
                    patch: template.as_ref(),
                };
                let changed = server::switched(&instance.container, to, *replicas, change);
                patch(k8s, target, Patch::Strategic(changed)).await
            }
            Self::Snapshot { name, class, .. } => {
                create(k8s, &snapshot::object(instance, run, name, class)?).await
            }
            Self::CloneClaim { snapshot, claim } | Self::Adopt { snapshot, claim } => {
                let Some(like) = &instance.claim else {
                    return Ok(None);
                };
                let size = like.capacity_bytes.to_string();
                create(
                    k8s,
                    &claim::object(instance, run, claim, snapshot, like, &size)?,
                )
                .await
            }
            Self::EmptyClaim { claim } => {
                let Some(like) = &instance.claim else {
                    return Ok(None);
                };
                create(k8s, &claim::empty_object(instance, run, claim, like)?).await
            }
            Self::MoveService { service, to, .. } => {
                let api = k8s.api::<Service>();
                let Some(live) = api.get_opt(&service.name).await? else {
                    return Ok(None);
                };
                patch(k8s, service, Patch::Merge(service::patch(&live, to))).await
            }
            Self::DumpClaim { place, .. } => match dump::object(instance, run, place)? {
                Some(claim) => create(k8s, &claim).await,
                None => None,
            },
            Self::Delete { object } => delete(k8s, object).await,
            _ => None,
        })
    }
}
