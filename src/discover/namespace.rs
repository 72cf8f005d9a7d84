//! Everything of one namespace that matters, read at once: one paged list a kind.

use k8s_openapi::api::apps::v1::{Deployment, StatefulSet};
use k8s_openapi::api::autoscaling::v2::HorizontalPodAutoscaler;
use k8s_openapi::api::batch::v1::CronJob;
use k8s_openapi::api::core::v1::{ConfigMap, Pod, PodSpec, Service};
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, ObjectMeta};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use serde::de::DeserializeOwned;
use std::collections::BTreeMap;

use crate::error::{Failure, Result};
use crate::facts::instance::ObjectId;
use crate::k8s::{K8s, pages};

/// A Deployment or StatefulSet, reduced to what both have.
#[derive(Clone, Debug)]
pub struct Workload {
    /// The object.
    pub id: ObjectId,
    /// Its metadata.
    pub metadata: ObjectMeta,
    /// `spec.replicas`.
    pub replicas: i32,
    /// `spec.selector`.
    pub selector: LabelSelector,
    /// Labels of the pod template.
    pub labels: BTreeMap<String, String>,
    /// Annotations of the pod template.
    pub annotations: BTreeMap<String, String>,
    /// The pod template's spec.
    pub pod: PodSpec,
    /// `strategy.type` or `updateStrategy.type`.
    pub strategy: String,
    /// `RollingUpdate` of a Deployment starts the new pod before the old one has ended (`maxSurge` is not 0).
    pub surges: bool,
    /// `updateStrategy.rollingUpdate.partition`.
    pub partition: i32,
    /// `persistentVolumeClaimRetentionPolicy.whenScaled` is `Delete`.
    pub claim_deleted_when_scaled: bool,
    /// `persistentVolumeClaimRetentionPolicy.whenDeleted` is `Delete`.
    pub claim_deleted_when_deleted: bool,
    /// Names of `volumeClaimTemplates`.
    pub claim_templates: Vec<String>,
}

/// What a namespace holds.
#[derive(Clone, Debug, Default)]
pub struct Namespace {
    /// Deployments and StatefulSets.
    pub workloads: Vec<Workload>,
    /// Pods.
    pub pods: Vec<Pod>,
    /// Services.
    pub services: Vec<Service>,
    /// CronJobs.
    pub cron_jobs: Vec<CronJob>,
    /// HorizontalPodAutoscalers.
    pub autoscalers: Vec<HorizontalPodAutoscaler>,
    /// PodDisruptionBudgets.
    pub budgets: Vec<PodDisruptionBudget>,
    /// `ConfigMaps`.
    pub config_maps: Vec<ConfigMap>,
    /// Kinds that may not be listed, with the reason.
    pub unknown: Vec<String>,
}

impl Namespace {
    /// Reads it all, concurrently.
    ///
    /// # Errors
    /// When workloads or pods cannot be listed; the other kinds are noted as unknown instead.
    pub async fn read(k8s: &K8s) -> Result<Self> {
        let (deployments, sets, pods, services, cron_jobs, autoscalers, budgets, config_maps) = tokio::join!(
            list::<Deployment>(k8s),
            list::<StatefulSet>(k8s),
            list::<Pod>(k8s),
            list::<Service>(k8s),
            list::<CronJob>(k8s),
            list::<HorizontalPodAutoscaler>(k8s),
            list::<PodDisruptionBudget>(k8s),
            list::<ConfigMap>(k8s),
        );
        let need = |what: &str, error: kube::Error| {
            Failure::from(error).context(format!("listing {what} in namespace {}", k8s.namespace()))
        };
        let mut found = Self {
            pods: pods.map_err(|e| need("pods", e))?,
            ..Self::default()
        };
        found.workloads.extend(
            sets.map_err(|e| need("StatefulSets", e))?
                .into_iter()
                .filter_map(from_stateful_set),
        );
        found.workloads.extend(
            deployments
                .map_err(|e| need("Deployments", e))?
                .into_iter()
                .filter_map(from_deployment),
        );
        found.services = found.or_unknown("Services", services);
        found.cron_jobs = found.or_unknown("CronJobs", cron_jobs);
        found.autoscalers = found.or_unknown("HorizontalPodAutoscalers", autoscalers);
        found.budgets = found.or_unknown("PodDisruptionBudgets", budgets);
        found.config_maps = found.or_unknown("ConfigMaps", config_maps);
        Ok(found)
    }

    fn or_unknown<K>(&mut self, what: &str, answer: Result<Vec<K>, kube::Error>) -> Vec<K> {
        answer.unwrap_or_else(|error| {
            self.unknown.push(format!("{what}: {error}"));
            Vec::new()
        })
    }

    /// Pods that a workload controls: its selector matches and the pod is owned by it or its ReplicaSet.
    pub fn pods_of(&self, workload: &Workload) -> Vec<&Pod> {
        self.pods
            .iter()
            .filter(|pod| {
                let owner = pod
                    .metadata
                    .owner_references
                    .iter()
                    .flatten()
                    .find(|o| o.controller == Some(true));
                let controlled = owner.is_some_and(|o| match workload.id.kind.as_str() {
                    "StatefulSet" => o.uid == workload.id.uid,
                    _ => {
                        o.kind == "ReplicaSet"
                            && o.name.starts_with(&format!("{}-", workload.id.name))
                    }
                });
                controlled && selects(&workload.selector, pod.metadata.labels.as_ref())
            })
            .collect()
    }

    /// Services whose selector matches these labels; headless ones come last.
    pub fn services_for(&self, labels: &BTreeMap<String, String>) -> Vec<String> {
        let mut found: Vec<(bool, String)> = self
            .services
            .iter()
            .filter(|service| {
                service
                    .spec
                    .as_ref()
                    .and_then(|s| s.selector.as_ref())
                    .is_some_and(|selector| {
                        !selector.is_empty()
                            && selector.iter().all(|(k, v)| labels.get(k) == Some(v))
                    })
            })
            .map(|service| {
                let headless =
                    service.spec.as_ref().and_then(|s| s.cluster_ip.as_deref()) == Some("None");
                (headless, service.metadata.name.clone().unwrap_or_default())
            })
            .collect();
        found.sort();
        found.into_iter().map(|(_, name)| name).collect()
    }
}

async fn list<K>(k8s: &K8s) -> Result<Vec<K>, kube::Error>
where
    K: Clone
        + std::fmt::Debug
        + DeserializeOwned
        + kube::Resource<DynamicType = (), Scope = kube::core::NamespaceResourceScope>,
{
    pages::all(&k8s.api::<K>(), Some).await
}

/// Tells whether a label selector matches; an empty one matches nothing here.
pub fn selects(selector: &LabelSelector, labels: Option<&BTreeMap<String, String>>) -> bool {
    let empty = BTreeMap::new();
    let labels = labels.unwrap_or(&empty);
    let exact = selector
        .match_labels
        .iter()
        .flatten()
        .all(|(k, v)| labels.get(k) == Some(v));
    let expressions = selector.match_expressions.iter().flatten().all(|e| {
        let value = labels.get(&e.key);
        let listed = value.is_some_and(|v| e.values.iter().flatten().any(|x| x == v));
        match e.operator.as_str() {
            "In" => listed,
            "NotIn" => !listed,
            "Exists" => value.is_some(),
            "DoesNotExist" => value.is_none(),
            _ => false,
        }
    });
    let some = selector
        .match_labels
        .as_ref()
        .is_some_and(|m| !m.is_empty())
        || selector
            .match_expressions
            .as_ref()
            .is_some_and(|m| !m.is_empty());
    some && exact && expressions
}

fn id(kind: &str, metadata: &ObjectMeta) -> ObjectId {
    ObjectId {
        api_version: "apps/v1".to_owned(),
        kind: kind.to_owned(),
        namespace: metadata.namespace.clone().unwrap_or_default(),
        name: metadata.name.clone().unwrap_or_default(),
        uid: metadata.uid.clone().unwrap_or_default(),
    }
}

pub(super) fn from_stateful_set(set: StatefulSet) -> Option<Workload> {
    let spec = set.spec;
    let update = spec.update_strategy.unwrap_or_default();
    let template = spec.template.metadata.unwrap_or_default();
    let retention = spec
        .persistent_volume_claim_retention_policy
        .unwrap_or_default();
    Some(Workload {
        id: id("StatefulSet", &set.metadata),
        metadata: set.metadata,
        replicas: spec.replicas.unwrap_or(1),
        selector: spec.selector,
        labels: template.labels.unwrap_or_default(),
        annotations: template.annotations.unwrap_or_default(),
        pod: spec.template.spec?,
        surges: false,
        strategy: update.type_.unwrap_or_else(|| "RollingUpdate".to_owned()),
        partition: update.rolling_update.and_then(|r| r.partition).unwrap_or(0),
        claim_deleted_when_scaled: retention.when_scaled.as_deref() == Some("Delete"),
        claim_deleted_when_deleted: retention.when_deleted.as_deref() == Some("Delete"),
        claim_templates: spec
            .volume_claim_templates
            .unwrap_or_default()
            .into_iter()
            .filter_map(|c| c.metadata.name)
            .collect(),
    })
}

pub(super) fn from_deployment(deployment: Deployment) -> Option<Workload> {
    let spec = deployment.spec;
    let template = spec.template.metadata.unwrap_or_default();
    let strategy = spec.strategy.unwrap_or_default();
    let name = strategy.type_.unwrap_or_else(|| "RollingUpdate".to_owned());
    let surge = strategy.rolling_update.and_then(|r| r.max_surge);
    Some(Workload {
        id: id("Deployment", &deployment.metadata),
        metadata: deployment.metadata,
        replicas: spec.replicas.unwrap_or(1),
        selector: spec.selector,
        labels: template.labels.unwrap_or_default(),
        annotations: template.annotations.unwrap_or_default(),
        pod: spec.template.spec?,
        // One pod is added where nothing is said: 25 %, rounded up.
        surges: name == "RollingUpdate"
            && !matches!(&surge, Some(IntOrString::Int(0)))
            && !matches!(&surge, Some(IntOrString::String(text)) if text == "0%"),
        strategy: name,
        partition: 0,
        claim_deleted_when_scaled: false,
        claim_deleted_when_deleted: false,
        claim_templates: Vec::new(),
    })
}
