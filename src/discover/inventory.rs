//! From lists of workloads, pods and claims to one row for each PostgreSQL: grouping, without asking anybody.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{Container, Pod};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};

use super::namespace::Workload;
use super::owners;
use super::target::{claims_by_volume, data_mount, environment, looks_like_server};
use crate::facts::instance::{Owner, OwnerKind};
use crate::facts::listed::{Listed, PodState, RunsAs};
use crate::k8s::labels;
use crate::k8s::selector::Selector;
use crate::operators::{self, Managed};
use crate::postgres::image;

/// Restarts after which a server that is not ready counts as one that ends again and again.
const MANY_RESTARTS: i32 = 3;

/// What could be listed, reduced to PostgreSQL servers.
#[derive(Clone, Debug, Default)]
pub struct Inventory {
    /// StatefulSets and Deployments with a server's container.
    pub workloads: Vec<Workload>,
    /// Pods with a server's container; `None` when pods may not be listed.
    pub pods: Option<Vec<Pod>>,
    /// Capacity in bytes by namespace and name of the claim; `None` when claims may not be listed.
    pub claims: Option<BTreeMap<(String, String), u64>>,
    /// Kinds that may not be listed, with the API server's words.
    pub unknown: Vec<String>,
}

/// The server's container of a pod; an operator's pods have one of a known name.
pub fn server_container<'a>(
    containers: &'a [Container],
    managed: Option<&Managed>,
) -> Option<&'a Container> {
    let by_name =
        managed.and_then(|m| containers.iter().find(|c| c.name == m.operator().container));
    by_name.or_else(|| containers.iter().find(|c| looks_like_server(c)))
}

/// Whether a workload runs a PostgreSQL server.
pub(super) fn is_server(workload: &Workload) -> bool {
    let managed = owners::managed(&workload.metadata);
    server_container(&workload.pod.containers, managed.as_ref()).is_some()
}

/// Whether a pod runs a PostgreSQL server: not one that has ended, not a Job's, not one of ours.
pub(super) fn is_servers_pod(pod: &Pod) -> bool {
    let metadata = &pod.metadata;
    let phase = pod.status.as_ref().and_then(|s| s.phase.as_deref());
    let ended = matches!(phase, Some("Succeeded" | "Failed"));
    let of_job = controller(metadata).is_some_and(|owner| owner.kind == "Job");
    let ours = metadata
        .labels
        .as_ref()
        .and_then(|l| l.get(labels::MANAGED_BY))
        .is_some_and(|manager| manager == labels::MANAGER);
    let containers: &[Container] = pod.spec.as_ref().map_or(&[], |s| &s.containers);
    !ended
        && !of_job
        && !ours
        && server_container(containers, owners::managed(metadata).as_ref()).is_some()
}

/// The owner that controls an object.
fn controller(metadata: &ObjectMeta) -> Option<&OwnerReference> {
    metadata
        .owner_references
        .iter()
        .flatten()
        .find(|owner| owner.controller == Some(true))
}

/// What a row is sorted and named by: namespace, name, and the name with its kind.
type Key = (String, String, String);

/// Everything that belongs to one PostgreSQL.
struct Group<'a> {
    runs_as: RunsAs,
    managed: Option<Managed>,
    workloads: Vec<&'a Workload>,
    pods: Vec<&'a Pod>,
}

/// One row for each PostgreSQL, sorted by namespace and name; with a selector, those with such labels.
///
/// An operator's StatefulSets and pods are one row, named by the custom resource.
pub fn rows(inventory: &Inventory, selector: Option<&Selector>) -> Vec<Listed> {
    let mut groups: BTreeMap<Key, Group<'_>> = BTreeMap::new();
    for workload in &inventory.workloads {
        let managed = owners::managed(&workload.metadata);
        let (name, target, runs_as) = match &managed {
            Some(managed) => (managed.cluster.clone(), managed.target(), RunsAs::Operator),
            None => (
                workload.id.name.clone(),
                format!("{}/{}", workload.id.kind.to_lowercase(), workload.id.name),
                RunsAs::Workload,
            ),
        };
        let key = (workload.id.namespace.clone(), name, target);
        group(&mut groups, key, runs_as, managed)
            .workloads
            .push(workload);
    }
    for pod in inventory.pods.iter().flatten() {
        let managed = owners::managed(&pod.metadata);
        let (name, target, runs_as) = place(pod, managed.as_ref());
        let namespace = pod.metadata.namespace.clone().unwrap_or_default();
        group(&mut groups, (namespace, name, target), runs_as, managed)
            .pods
            .push(pod);
    }
    groups
        .into_iter()
        .filter(|(_, group)| selector.is_none_or(|selector| group.is_selected(selector)))
        .filter_map(|((namespace, _, target), group)| group.row(inventory, namespace, target))
        .collect()
}

fn group<'m, 'a>(
    groups: &'m mut BTreeMap<Key, Group<'a>>,
    key: Key,
    runs_as: RunsAs,
    managed: Option<Managed>,
) -> &'m mut Group<'a> {
    groups.entry(key).or_insert_with(|| Group {
        runs_as,
        managed,
        workloads: Vec::new(),
        pods: Vec::new(),
    })
}

/// What a pod belongs to: name, name with kind, and what runs it.
fn place(pod: &Pod, managed: Option<&Managed>) -> (String, String, RunsAs) {
    if let Some(managed) = managed {
        let target = managed.target();
        return (managed.cluster.clone(), target, RunsAs::Operator);
    }
    let Some(owner) = controller(&pod.metadata) else {
        let name = pod.metadata.name.clone().unwrap_or_default();
        let target = format!("pod/{name}");
        return (name, target, RunsAs::BarePod);
    };
    let hash = pod
        .metadata
        .labels
        .as_ref()
        .and_then(|labels| labels.get("pod-template-hash"));
    match (owner.kind.as_str(), hash) {
        ("StatefulSet", _) if owner.api_version == "apps/v1" => (
            owner.name.clone(),
            format!("statefulset/{}", owner.name),
            RunsAs::Workload,
        ),
        // A ReplicaSet is named after its Deployment and the hash of the template.
        ("ReplicaSet", Some(hash)) if owner.name.ends_with(&format!("-{hash}")) => {
            let name = owner.name[..owner.name.len() - hash.len() - 1].to_owned();
            let target = format!("deployment/{name}");
            (name, target, RunsAs::Workload)
        }
        (kind, _) => {
            let group = owner.api_version.rsplit_once('/').map_or("", |(g, _)| g);
            let dot = if group.is_empty() { "" } else { "." };
            let target = format!("{}{dot}{group}/{}", kind.to_lowercase(), owner.name);
            (owner.name.clone(), target, RunsAs::Other)
        }
    }
}

impl Group<'_> {
    fn is_selected(&self, selector: &Selector) -> bool {
        let empty = BTreeMap::new();
        let matches =
            |metadata: &ObjectMeta| selector.matches(metadata.labels.as_ref().unwrap_or(&empty));
        // A workload speaks for its pods, as it does in `kubectl get -l`.
        if self.workloads.is_empty() {
            self.pods.iter().any(|pod| matches(&pod.metadata))
        } else {
            self.workloads.iter().any(|w| matches(&w.metadata))
        }
    }

    fn row(&self, inventory: &Inventory, namespace: String, target: String) -> Option<Listed> {
        let workload = self.workloads.first().copied();
        let pod = self.server_pod();
        let spec = workload
            .map(|w| &w.pod)
            .or_else(|| pod.and_then(|p| p.spec.as_ref()))?;
        let server = server_container(&spec.containers, self.managed.as_ref())?;
        let volumes = match workload {
            Some(workload) => claims_by_volume(workload, pod),
            None => claims_of_pod(pod?),
        };
        let (claim, _, _) = data_mount(&volumes, server);
        let env = environment(server);
        let image = server.image.clone().unwrap_or_default();
        let claimed = match self.managed {
            Some(_) => operators::claimed_major(&image, &env),
            None => image::major(&image),
        };
        let replicas = match (self.runs_as, workload) {
            (RunsAs::Workload, workload) => workload.map(|w| w.replicas),
            _ => i32::try_from(self.pods.len()).ok(),
        };
        let claim = claim.unwrap_or_default();
        let capacity_bytes = inventory
            .claims
            .as_ref()
            .and_then(|claims| claims.get(&(namespace.clone(), claim.clone())).copied());
        Some(Listed {
            target,
            runs_as: self.runs_as,
            container: server.name.clone(),
            replicas,
            partition: workload.map_or(0, |w| w.partition),
            claim_deleted_when_scaled: workload.is_some_and(|w| w.claim_deleted_when_scaled),
            pod: pod
                .and_then(|p| p.metadata.name.clone())
                .unwrap_or_default(),
            state: match (inventory.pods.is_some(), pod) {
                (false, _) => PodState::Unknown,
                (true, None) => PodState::NotRunning,
                (true, Some(pod)) => state(pod, &server.name),
            },
            has_claim: !claim.is_empty(),
            claim,
            capacity_bytes,
            owners: self.owners(),
            version: None,
            claimed,
            image,
            namespace,
        })
    }

    /// The pod to look at: running before anything else, one that is being deleted last.
    fn server_pod(&self) -> Option<&Pod> {
        self.pods.iter().copied().min_by_key(|pod| {
            let running = pod.status.as_ref().and_then(|s| s.phase.as_deref()) == Some("Running");
            let leaving = pod.metadata.deletion_timestamp.is_some();
            (leaving, !running, pod.metadata.name.clone())
        })
    }

    /// Who manages it; of an operator's objects the operator only.
    fn owners(&self) -> Vec<Owner> {
        if let Some(managed) = &self.managed {
            return vec![Owner {
                kind: OwnerKind::Operator,
                name: managed.operator.to_owned(),
                object: managed.cluster.clone(),
            }];
        }
        let metadata = self
            .workloads
            .first()
            .map(|w| &w.metadata)
            .or_else(|| Some(&self.pods.first()?.metadata));
        let mut owners = metadata.map(owners::owners).unwrap_or_default();
        // The StatefulSet or ReplicaSet of a pod is its place, not another manager.
        if self.workloads.is_empty() && self.runs_as == RunsAs::Workload {
            owners.retain(|owner| owner.kind != OwnerKind::Other);
        }
        owners
    }
}

fn claims_of_pod(pod: &Pod) -> BTreeMap<String, String> {
    pod.spec
        .iter()
        .flat_map(|spec| spec.volumes.iter().flatten())
        .filter_map(|volume| {
            let claim = volume.persistent_volume_claim.as_ref()?;
            Some((volume.name.clone(), claim.claim_name.clone()))
        })
        .collect()
}

fn state(pod: &Pod, container: &str) -> PodState {
    let Some(status) = pod
        .status
        .iter()
        .flat_map(|s| s.container_statuses.iter().flatten())
        .find(|s| s.name == container)
    else {
        return PodState::NotRunning;
    };
    let now = status.state.clone().unwrap_or_default();
    let waits_for = now.waiting.and_then(|w| w.reason).unwrap_or_default();
    match waits_for.as_str() {
        "CrashLoopBackOff" => PodState::CrashLoop,
        "ErrImagePull" | "ImagePullBackOff" | "InvalidImageName" => PodState::ImagePull,
        _ if now.terminated.is_some() && status.restart_count > 0 => PodState::CrashLoop,
        _ if now.running.is_none() => PodState::NotRunning,
        // Between two crashes it runs for a moment.
        _ if !status.ready && status.restart_count >= MANY_RESTARTS => PodState::CrashLoop,
        _ => PodState::Running,
    }
}
