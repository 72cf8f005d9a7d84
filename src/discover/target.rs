//! From what the user typed to one PostgreSQL: its workload, container, pod, mount and claim.

use std::collections::BTreeMap;

use k8s_openapi::api::apps::v1::{Deployment, StatefulSet};
use k8s_openapi::api::core::v1::{Container, Pod, PodSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use kube::api::Patch;
use serde_json::Value;

use super::namespace::{Namespace, Workload, selects};
pub use super::target_name::TargetName;
use super::{down, managed, owners, storage};
use crate::error::{Exit, Failure, Result};
use crate::facts::instance::{Family, InstanceFacts, ObjectId, PodFacts};
use crate::k8s::K8s;
use crate::k8s::write::patch_uid;
use crate::postgres::image;

/// One PostgreSQL found in a namespace: facts, and the objects they were read from.
#[derive(Clone, Debug)]
pub struct Found {
    /// The facts.
    pub facts: InstanceFacts,
    /// The workload.
    pub workload: Workload,
    /// The server's container in the template.
    pub container: Container,
}

/// Finds the PostgreSQL that TARGET names, or the only one there is.
///
/// # Errors
/// Exit code 2 when there is none, or several and none was named; exit code 3 when it is an operator's.
pub async fn find(
    k8s: &K8s,
    namespace: &Namespace,
    target: Option<&TargetName>,
    container: Option<&str>,
) -> Result<Found> {
    managed::refuse(namespace, target, k8s.namespace(), None)?;
    let (workload, server) = choose(namespace, target, container, k8s.namespace())?;
    let pod = server_pod(namespace, &workload);
    let (claim_name, mount_path, sub_path) = data_mount(&claims_by_volume(&workload, pod), &server);
    let claim = match &claim_name {
        Some(name) => Some(storage::read_claim(k8s, namespace, name).await?),
        None => None,
    };
    let level = storage::pod_security(k8s).await;
    let facts = InstanceFacts {
        workload: workload.id.clone(),
        replicas: workload.replicas,
        container: server.name.clone(),
        image: server.image.clone().unwrap_or_default(),
        family: family(&server),
        command: server.command.clone().unwrap_or_default(),
        args: server.args.clone().unwrap_or_default(),
        partition: workload.partition,
        strategy: workload.strategy.clone(),
        claim_deleted_when_scaled: workload.claim_deleted_when_scaled,
        grace_seconds: workload.pod.termination_grace_period_seconds.unwrap_or(30),
        fs_group: workload
            .pod
            .security_context
            .as_ref()
            .and_then(|s| s.fs_group),
        down: down::read(k8s, &workload, &server.name, pod).await,
        pod: pod.map(|pod| pod_facts(pod, &server.name)),
        claim,
        mount_path,
        sub_path,
        services: namespace.services_for(&workload.labels),
        owners: owners::owners(&workload.metadata),
        disruption_budgets: namespace
            .budgets
            .iter()
            .filter(|b| {
                b.spec
                    .as_ref()
                    .and_then(|s| s.selector.as_ref())
                    .is_some_and(|s| selects(s, Some(&workload.labels)))
            })
            .filter_map(|b| b.metadata.name.clone())
            .collect(),
        autoscalers: namespace
            .autoscalers
            .iter()
            .filter(|h| {
                h.spec.scale_target_ref.kind == workload.id.kind
                    && h.spec.scale_target_ref.name == workload.id.name
            })
            .filter_map(|h| h.metadata.name.clone())
            .collect(),
        pod_security: level,
    };
    Ok(Found {
        facts,
        workload,
        container: server,
    })
}

fn choose(
    namespace: &Namespace,
    target: Option<&TargetName>,
    container: Option<&str>,
    name: &str,
) -> Result<(Workload, Container)> {
    if let Some(target) = target {
        let hits: Vec<&Workload> = namespace
            .workloads
            .iter()
            .filter(|w| w.id.name == target.name && target.kind.is_none_or(|k| k == w.id.kind))
            .collect();
        return match hits.as_slice() {
            [] => Err(Failure::usage(format!(
                "no {} named {} in namespace {name}",
                target.kind.unwrap_or("StatefulSet or Deployment"),
                target.name
            ))
            .hint(candidates_hint(namespace))),
            [one] => Ok(((*one).clone(), server_container(one, container)?)),
            _ => Err(Failure::usage(format!(
                "{} names both a StatefulSet and a Deployment",
                target.name
            ))
            .hint(format!(
                "say which: statefulset/{0} or deployment/{0}",
                target.name
            ))),
        };
    }
    let mut candidates = candidates(namespace);
    match candidates.len() {
        1 => {
            let workload = candidates.remove(0);
            let server = server_container(&workload, container)?;
            Ok((workload, server))
        }
        0 if managed::targets(namespace).is_empty() => Err(Failure::usage(format!("no PostgreSQL found in namespace {name}"))
            .hint("name the workload: kubectl pg-upgrade COMMAND statefulset/NAME; another namespace: -n NAMESPACE")),
        0 => Err(Failure::usage(format!("every PostgreSQL in namespace {name} belongs to an operator; name one for its procedure"))
            .hint(candidates_hint(namespace))),
        n => Err(Failure::usage(format!("namespace {name} holds {n} PostgreSQL servers; name one"))
            .hint(candidates_hint(namespace))),
    }
}

/// Workloads with a container that looks like a PostgreSQL server with a claim.
pub(super) fn candidates(namespace: &Namespace) -> Vec<Workload> {
    namespace
        .workloads
        .iter()
        .filter(|w| has_claim(w) && w.pod.containers.iter().any(looks_like_server))
        .cloned()
        .collect()
}

fn candidates_hint(namespace: &Namespace) -> String {
    let mut names: Vec<String> = candidates(namespace)
        .iter()
        .map(|w| format!("{}/{}", w.id.kind.to_lowercase(), w.id.name))
        .collect();
    names.extend(managed::targets(namespace));
    if names.is_empty() {
        "no workload here looks like a PostgreSQL server".to_owned()
    } else {
        format!("PostgreSQL servers here: {}", names.join(", "))
    }
}

/// Whether anything of a workload's pod is on a claim.
pub(super) fn has_claim(workload: &Workload) -> bool {
    !workload.claim_templates.is_empty()
        || workload
            .pod
            .volumes
            .iter()
            .flatten()
            .any(|v| v.persistent_volume_claim.is_some())
}

/// Whether a container looks like a PostgreSQL server, by its image, mounts and variables.
pub(super) fn looks_like_server(container: &Container) -> bool {
    let family = image::family(container.image.as_deref().unwrap_or_default(), [], []);
    let variables = |name: &str| container.env.iter().flatten().any(|e| e.name == name);
    family.is_some()
        && (container.volume_mounts.iter().flatten().any(|m| {
            m.mount_path.starts_with("/var/lib/postgresql")
                || m.mount_path.starts_with("/bitnami/postgresql")
        }) || variables("PGDATA"))
        || variables("PGDATA") && variables("POSTGRES_PASSWORD")
}

fn server_container(workload: &Workload, wanted: Option<&str>) -> Result<Container> {
    let containers = &workload.pod.containers;
    let names = || {
        containers
            .iter()
            .map(|c| c.name.as_str())
            .collect::<Vec<_>>()
            .join(", ")
    };
    if let Some(wanted) = wanted {
        return containers
            .iter()
            .find(|c| c.name == wanted)
            .cloned()
            .ok_or_else(|| {
                Failure::usage(format!("{} has no container {wanted}", workload.id))
                    .hint(format!("containers: {}", names()))
            });
    }
    let hits: Vec<&Container> = containers.iter().filter(|c| looks_like_server(c)).collect();
    match (hits.as_slice(), containers.as_slice()) {
        ([one], _) => Ok((*one).clone()),
        ([], [one]) => Ok(one.clone()),
        ([], _) => Err(Failure::usage(format!(
            "no container of {} looks like a PostgreSQL server",
            workload.id
        ))
        .hint(format!(
            "say which with --container; containers: {}",
            names()
        ))),
        _ => Err(Failure::usage(format!(
            "several containers of {} look like PostgreSQL servers",
            workload.id
        ))
        .hint(format!(
            "say which with --container; containers: {}",
            names()
        ))),
    }
}

fn family(container: &Container) -> Family {
    image::family(
        container.image.as_deref().unwrap_or_default(),
        container.env.iter().flatten().map(|e| e.name.as_str()),
        container
            .volume_mounts
            .iter()
            .flatten()
            .map(|m| m.mount_path.as_str()),
    )
    .unwrap_or(Family::DockerLibrary)
}

/// The pod to talk to: running before anything else, youngest last.
fn server_pod<'a>(namespace: &'a Namespace, workload: &Workload) -> Option<&'a Pod> {
    let mut pods = namespace.pods_of(workload);
    pods.retain(|pod| pod.metadata.deletion_timestamp.is_none());
    pods.sort_by_key(|pod| {
        let running = pod.status.as_ref().and_then(|s| s.phase.as_deref()) == Some("Running");
        (!running, pod.metadata.name.clone())
    });
    pods.into_iter().next()
}

fn pod_facts(pod: &Pod, container: &str) -> PodFacts {
    let status = pod.status.clone().unwrap_or_default();
    PodFacts {
        name: pod.metadata.name.clone().unwrap_or_default(),
        uid: pod.metadata.uid.clone().unwrap_or_default(),
        node: pod
            .spec
            .as_ref()
            .and_then(|s| s.node_name.clone())
            .unwrap_or_default(),
        ip: status.pod_ip.unwrap_or_default(),
        ready: status
            .conditions
            .iter()
            .flatten()
            .any(|c| c.type_ == "Ready" && c.status == "True"),
        image_id: status
            .container_statuses
            .iter()
            .flatten()
            .find(|c| c.name == container)
            .map(|c| c.image_id.clone())
            .unwrap_or_default(),
    }
}

/// The claim behind the data directory's mount: the deepest mount that holds `PGDATA`, else the family's usual place.
///
/// `claims` has the name of the claim of each volume that is one.
pub(super) fn data_mount(
    claims: &BTreeMap<String, String>,
    server: &Container,
) -> (Option<String>, String, String) {
    let pgdata = environment(server).remove("PGDATA").unwrap_or_default();
    let mut mounts: Vec<_> = server
        .volume_mounts
        .iter()
        .flatten()
        .filter(|m| claims.contains_key(&m.name))
        .collect();
    mounts.sort_by_key(|m| {
        let holds = !pgdata.is_empty()
            && format!("{pgdata}/")
                .starts_with(&format!("{}/", m.mount_path.trim_end_matches('/')));
        let usual = m.mount_path.contains("postgresql");
        (!holds, !usual, std::cmp::Reverse(m.mount_path.len()))
    });
    mounts
        .first()
        .map_or((None, String::new(), String::new()), |m| {
            (
                claims.get(&m.name).cloned(),
                m.mount_path.trim_end_matches('/').to_owned(),
                m.sub_path.clone().unwrap_or_default(),
            )
        })
}

/// Name of the claim of each volume of a workload's pod that is one.
pub(super) fn claims_by_volume(workload: &Workload, pod: Option<&Pod>) -> BTreeMap<String, String> {
    let mut claims: BTreeMap<String, String> = workload
        .claim_templates
        .iter()
        .map(|template| {
            (
                template.clone(),
                format!("{template}-{}-0", workload.id.name),
            )
        })
        .collect();
    let volumes = pod
        .and_then(|p| p.spec.as_ref())
        .and_then(|s| s.volumes.as_ref())
        .or(workload.pod.volumes.as_ref());
    for volume in volumes.into_iter().flatten() {
        if let Some(claim) = &volume.persistent_volume_claim {
            claims.insert(volume.name.clone(), claim.claim_name.clone());
        }
    }
    claims
}

/// Plain values of a container's environment (no references).
pub fn environment(container: &Container) -> BTreeMap<String, String> {
    container
        .env
        .iter()
        .flatten()
        .filter_map(|e| Some((e.name.clone(), e.value.clone()?)))
        .collect()
}

/// The object that a typed name means.
///
/// # Errors
/// Exit code 2 when there is none, or it could be either kind; exit code 3 when it is an operator's.
pub async fn named(k8s: &K8s, name: &TargetName) -> Result<ObjectId> {
    let mut found = Vec::new();
    for kind in ["StatefulSet", "Deployment"] {
        if name.kind.is_none_or(|k| k == kind)
            && let Some(object) = k8s.regular("apps/v1", kind).get_opt(&name.name).await?
        {
            found.push(ObjectId {
                api_version: "apps/v1".to_owned(),
                kind: kind.to_owned(),
                namespace: k8s.namespace().to_owned(),
                name: name.name.clone(),
                uid: object.metadata.uid.unwrap_or_default(),
            });
        }
    }
    if found.len() > 1 {
        return Err(Failure::usage(format!(
            "{} names both a StatefulSet and a Deployment",
            name.name
        ))
        .hint(format!(
            "say which: statefulset/{0} or deployment/{0}",
            name.name
        )));
    }
    if let Some(found) = found.pop() {
        return Ok(found);
    }
    // Whoever names an operator's PostgreSQL is told so; without the right to look, that it is not there.
    if let Ok(namespace) = Namespace::read(k8s).await {
        managed::refuse(&namespace, Some(name), k8s.namespace(), None)?;
    }
    let kind = name.kind.unwrap_or("StatefulSet or Deployment");
    Err(Failure::usage(format!(
        "no {kind} named {} in namespace {}",
        name.name,
        k8s.namespace()
    )))
}

/// Reads a workload again.
///
/// # Errors
/// When it is gone or was replaced.
pub async fn read_workload(k8s: &K8s, id: &ObjectId) -> Result<Workload> {
    let found = match id.kind.as_str() {
        "StatefulSet" => k8s
            .api::<StatefulSet>()
            .get(&id.name)
            .await
            .map(super::namespace::from_stateful_set),
        _ => k8s
            .api::<Deployment>()
            .get(&id.name)
            .await
            .map(super::namespace::from_deployment),
    };
    let workload = found
        .map_err(|e| Failure::from(e).context(format!("reading {id}")))?
        .ok_or_else(|| Failure::new(Exit::Failed, format!("{id} has no pod template")))?;
    if workload.id.uid != id.uid {
        return Err(Failure::new(
            Exit::Failed,
            format!("{id} was replaced by another object of that name"),
        ));
    }
    Ok(workload)
}

/// The pod template of a workload.
///
/// # Errors
/// When it cannot be read.
pub async fn template(k8s: &K8s, id: &ObjectId) -> Result<PodSpec> {
    Ok(read_workload(k8s, id).await?.pod)
}

/// Patches replicas and pod template; containers and variables merge by name.
///
/// # Errors
/// When the API server refuses.
pub async fn patch_template(k8s: &K8s, id: &ObjectId, patch: Value) -> Result<()> {
    let (name, uid, patch) = (&id.name, &id.uid, Patch::Strategic(patch));
    let outcome = match id.kind.as_str() {
        "StatefulSet" => patch_uid(&k8s.api::<StatefulSet>(), name, uid, patch)
            .await
            .map(drop),
        _ => patch_uid(&k8s.api::<Deployment>(), name, uid, patch)
            .await
            .map(drop),
    };
    outcome.map_err(|e| Failure::from(e).context(format!("changing {id}")))
}

/// A label selector as the API takes it in a query.
pub fn selector_text(selector: &LabelSelector) -> String {
    let exact = selector
        .match_labels
        .iter()
        .flatten()
        .map(|(k, v)| format!("{k}={v}"));
    let others = selector.match_expressions.iter().flatten().map(|e| {
        let values = e.values.clone().unwrap_or_default().join(",");
        match e.operator.as_str() {
            "In" => format!("{} in ({values})", e.key),
            "NotIn" => format!("{} notin ({values})", e.key),
            "DoesNotExist" => format!("!{}", e.key),
            _ => e.key.clone(),
        }
    });
    exact.chain(others).collect::<Vec<_>>().join(",")
}
