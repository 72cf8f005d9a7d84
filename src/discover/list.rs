//! Every PostgreSQL in sight: one paged list for each of four kinds, then each server's own word about its version.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures::{StreamExt as _, stream};
use k8s_openapi::api::apps::v1::{Deployment, StatefulSet};
use k8s_openapi::api::core::v1::{PersistentVolumeClaim, Pod};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::core::NamespaceResourceScope;
use serde::de::DeserializeOwned;

use super::inventory::{self, Inventory};
use super::namespace::{from_deployment, from_stateful_set};
use super::sql;
use crate::error::{Failure, Result};
use crate::facts::instance::OwnerKind;
use crate::facts::listed::{Listed, PodState};
use crate::k8s::{ExecError, K8s, pages, quantity};
use crate::postgres::version::ServerVersion;

/// Servers that are asked at once.
const AT_ONCE: usize = 8;
/// Longest time for one server's answer.
const PATIENCE: Duration = Duration::from_secs(5);

/// Lists what may be listed, in the namespace to work in or in all of them.
///
/// # Errors
/// When neither workloads nor pods may be listed, and when the API server cannot be reached.
pub async fn read(k8s: &K8s, all_namespaces: bool) -> Result<Inventory> {
    let (sets, deployments, pods, claims) = tokio::join!(
        list::<StatefulSet, _>(k8s, all_namespaces, |set| {
            from_stateful_set(set).filter(inventory::is_server)
        }),
        list::<Deployment, _>(k8s, all_namespaces, |deployment| {
            from_deployment(deployment).filter(inventory::is_server)
        }),
        list::<Pod, _>(k8s, all_namespaces, |pod| inventory::is_servers_pod(&pod)
            .then_some(pod)),
        list::<PersistentVolumeClaim, _>(k8s, all_namespaces, capacity),
    );
    let place = if all_namespaces {
        "in all namespaces".to_owned()
    } else {
        format!("in namespace {}", k8s.namespace())
    };
    let mut unknown = Vec::new();
    let sets = allowed(sets, "StatefulSets", &place, &mut unknown)?;
    let deployments = allowed(deployments, "Deployments", &place, &mut unknown)?;
    let pods = allowed(pods, "Pods", &place, &mut unknown)?;
    let claims = allowed(claims, "PersistentVolumeClaims", &place, &mut unknown)?;
    if sets.is_none() && deployments.is_none() && pods.is_none() {
        let mut failure = Failure::new(
            crate::error::Exit::Failed,
            format!(
                "neither workloads nor pods may be listed {place}: {}",
                unknown.join("; ")
            ),
        );
        if all_namespaces {
            failure =
                failure.hint("with rights in one namespace only, name it instead: -n NAMESPACE");
        }
        let more = if all_namespaces {
            " --cluster-role"
        } else {
            ""
        };
        return Err(failure.hint(format!(
            "kubectl pg-upgrade rbac --read-only{more} prints what is needed"
        )));
    }
    Ok(Inventory {
        workloads: sets.into_iter().chain(deployments).flatten().collect(),
        pods,
        claims: claims.map(|claims| claims.into_iter().collect()),
        unknown,
    })
}

/// A kind that may not be listed is unknown; any other failure is one.
fn allowed<T>(
    answer: Result<Vec<T>, kube::Error>,
    what: &str,
    place: &str,
    unknown: &mut Vec<String>,
) -> Result<Option<Vec<T>>> {
    match answer {
        Ok(found) => Ok(Some(found)),
        Err(error @ kube::Error::Api(_)) if is_denied(&error) => {
            unknown.push(format!("{what}: {}", crate::k8s::sentence(&error)));
            Ok(None)
        }
        Err(error) => Err(Failure::from(error).context(format!("listing {what} {place}"))),
    }
}

fn is_denied(error: &kube::Error) -> bool {
    matches!(error, kube::Error::Api(status) if matches!(status.code, 401 | 403))
}

async fn list<K, T>(
    k8s: &K8s,
    all_namespaces: bool,
    keep: impl FnMut(K) -> Option<T>,
) -> Result<Vec<T>, kube::Error>
where
    K: Clone
        + std::fmt::Debug
        + DeserializeOwned
        + kube::Resource<DynamicType = (), Scope = NamespaceResourceScope>,
{
    if all_namespaces {
        pages::all(&k8s.api_all::<K>(), keep).await
    } else {
        pages::all(&k8s.api::<K>(), keep).await
    }
}

fn capacity(claim: PersistentVolumeClaim) -> Option<((String, String), u64)> {
    let ObjectMeta {
        namespace, name, ..
    } = claim.metadata;
    let bytes = claim
        .status
        .and_then(|s| s.capacity)
        .and_then(|c| c.get("storage").and_then(|q| quantity::whole(&q.0)))?;
    Some(((namespace.unwrap_or_default(), name?), bytes))
}

/// What came of asking the servers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Asked {
    /// Running commands in pods is not allowed, in the API server's words; nobody else was asked after that.
    pub denied: Option<String>,
    /// Servers that did not answer, and why.
    pub silent: Vec<(String, String)>,
}

/// Asks every server that runs for its version, several at once, each for a few seconds at most.
///
/// An operator's pod is left alone where the version is claimed elsewhere. Gives up with the first refusal.
pub async fn ask_versions(k8s: &K8s, listed: &mut [Listed]) -> Asked {
    let stop = AtomicBool::new(false);
    let wanted: Vec<(usize, K8s, String, String)> = listed
        .iter()
        .enumerate()
        .filter(|(_, one)| one.state == PodState::Running && !one.pod.is_empty())
        .filter(|(_, one)| {
            let operator = one.owners.iter().any(|o| o.kind == OwnerKind::Operator);
            !(operator && one.claimed.is_some())
        })
        .map(|(i, one)| {
            let place = k8s.in_namespace(&one.namespace);
            (i, place, one.pod.clone(), one.container.clone())
        })
        .collect();
    let stop = &stop;
    let answers: Vec<(usize, Result<ServerVersion>)> = stream::iter(wanted)
        .map(|(i, place, pod, container)| async move {
            if stop.load(Ordering::Relaxed) {
                return None;
            }
            let answer = sql::version_within(&place, &pod, &container, PATIENCE).await;
            if answer.as_ref().is_err_and(|e| refusal(e).is_some()) {
                stop.store(true, Ordering::Relaxed);
            }
            Some((i, answer))
        })
        .buffer_unordered(AT_ONCE)
        .filter_map(std::future::ready)
        .collect()
        .await;
    let mut asked = Asked::default();
    for (i, answer) in answers {
        match answer {
            Ok(version) => listed[i].version = Some(version),
            Err(failure) => match refusal(&failure) {
                Some(words) => asked.denied = Some(words),
                None => asked.silent.push((
                    format!("{}/{}", listed[i].namespace, listed[i].pod),
                    why(&failure),
                )),
            },
        }
    }
    asked.silent.sort();
    asked
}

/// The API server's words when it does not allow to run commands.
fn refusal(failure: &Failure) -> Option<String> {
    failure
        .error
        .chain()
        .find_map(|cause| match cause.downcast_ref::<ExecError>() {
            Some(ExecError::Refused { source, .. }) if source.is_denied() => {
                Some(source.to_string())
            }
            _ => None,
        })
}

/// The innermost reason.
fn why(failure: &Failure) -> String {
    let (message, causes) = failure.sentences();
    causes.into_iter().last().unwrap_or(message)
}
