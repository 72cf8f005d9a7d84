//! What stands around an instance in its namespace: meshes, probes, scalers, clients with programs of their own.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{Container, Namespace as NamespaceObject, PodSpec};
use kube::ResourceExt;
use kube::api::{DynamicObject, ListParams};
use serde_json::Value;

use super::namespace::Namespace;
use super::target::Found;
use crate::facts::clients::Clients;
use crate::facts::instance::ObjectId;
use crate::facts::surroundings::{Dumper, Liveness, Scaler, Surroundings};
use crate::k8s::{ApiError, K8s};
use crate::postgres::image;

/// Reads it all: three requests. What may not be read is noted.
pub async fn read(
    k8s: &K8s,
    namespace: &Namespace,
    found: &Found,
    clients: &Clients,
) -> Surroundings {
    let (labels, scaled, vertical) = tokio::join!(
        marks(k8s),
        list(k8s, "keda.sh/v1alpha1", "ScaledObject", "scaledobjects"),
        list(
            k8s,
            "autoscaling.k8s.io/v1",
            "VerticalPodAutoscaler",
            "verticalpodautoscalers"
        ),
    );
    let mut unread = Vec::new();
    let mut known = |answer: Result<Vec<DynamicObject>, String>| {
        answer.unwrap_or_else(|why| {
            unread.push(why);
            Vec::new()
        })
    };
    let (scaled, vertical) = (known(scaled), known(vertical));
    let workload = &found.facts.workload;
    Surroundings {
        mesh: mesh(&labels, &found.workload.labels, &found.workload.annotations),
        liveness: liveness(&found.container),
        surges: found.workload.surges,
        claim_deleted_when_deleted: found.workload.claim_deleted_when_deleted,
        scaled_objects: scaled
            .iter()
            .filter_map(scaled_object)
            .filter(|scaler| {
                scales(scaler, workload) || clients.workloads.iter().any(|c| scales(scaler, &c.id))
            })
            .collect(),
        vertical_scalers: vertical
            .iter()
            .filter_map(vertical_scaler)
            .filter(|scaler| scales(scaler, workload))
            .collect(),
        unread,
        dumpers: dumpers(namespace, found, clients),
        dump_claim: None,
    }
}

/// Labels and annotations of the namespace; none when it may not be read.
async fn marks(k8s: &K8s) -> BTreeMap<String, String> {
    let found = k8s
        .api_all::<NamespaceObject>()
        .get(k8s.namespace())
        .await
        .map(|namespace| namespace.metadata)
        .unwrap_or_default();
    let mut marks = found.labels.unwrap_or_default();
    marks.extend(found.annotations.unwrap_or_default());
    marks
}

/// Objects of a type that need not be installed.
async fn list(
    k8s: &K8s,
    api_version: &str,
    kind: &str,
    plural: &str,
) -> Result<Vec<DynamicObject>, String> {
    match k8s
        .dynamic(api_version, kind, plural)
        .list(&ListParams::default())
        .await
        .map_err(ApiError::from)
    {
        Ok(found) => Ok(found.items),
        Err(error) if error.is_not_found() => Ok(Vec::new()),
        Err(error) => Err(format!("{kind}s: {error}")),
    }
}

/// What a `ScaledObject` scales, unless it is paused.
fn scaled_object(object: &DynamicObject) -> Option<Scaler> {
    let annotations = object.annotations();
    let is_paused = annotations
        .get("autoscaling.keda.sh/paused")
        .is_some_and(|value| value == "true")
        || annotations.contains_key("autoscaling.keda.sh/paused-replicas");
    (!is_paused).then(|| scaler(object, &object.data["spec"]["scaleTargetRef"]))?
}

/// What a `VerticalPodAutoscaler` changes, when it does so to running pods: Auto is meant where nothing is said.
fn vertical_scaler(object: &DynamicObject) -> Option<Scaler> {
    let spec = &object.data["spec"];
    match spec["updatePolicy"]["updateMode"].as_str() {
        Some("Off" | "Initial") => None,
        _ => scaler(object, &spec["targetRef"]),
    }
}

fn scaler(object: &DynamicObject, target: &Value) -> Option<Scaler> {
    Some(Scaler {
        name: object.name_any(),
        // KEDA means a Deployment where nothing is said.
        kind: target["kind"].as_str().unwrap_or("Deployment").to_owned(),
        target: target["name"].as_str()?.to_owned(),
    })
}

fn scales(scaler: &Scaler, id: &ObjectId) -> bool {
    scaler.kind == id.kind && scaler.target == id.name
}

/// Labels and annotations that put a sidecar into a pod: of its namespace, and of the pod where they say more.
fn mesh(
    namespace: &BTreeMap<String, String>,
    labels: &BTreeMap<String, String>,
    annotations: &BTreeMap<String, String>,
) -> Vec<String> {
    let pod = |key: &str| labels.get(key).or_else(|| annotations.get(key));
    let mut found = Vec::new();
    for (mesh, of_namespace, of_pod) in [
        (
            "Istio",
            &["istio-injection=enabled", "istio.io/rev=*"][..],
            "sidecar.istio.io/inject",
        ),
        (
            "Linkerd",
            &["linkerd.io/inject=enabled", "linkerd.io/inject=ingress"],
            "linkerd.io/inject",
        ),
    ] {
        match pod(of_pod).map(String::as_str) {
            Some("false" | "disabled") => continue,
            Some(value) => {
                found.push(format!("{mesh}: pod {of_pod}={value}"));
                continue;
            }
            None => {}
        }
        for mark in of_namespace {
            let Some((key, wanted)) = mark.split_once('=') else {
                continue;
            };
            if let Some(value) = namespace.get(key).filter(|v| wanted == "*" || *v == wanted) {
                found.push(format!("{mesh}: namespace {key}={value}"));
            }
        }
    }
    found
}

fn liveness(container: &Container) -> Option<Liveness> {
    if container.startup_probe.is_some() {
        return None;
    }
    let probe = container.liveness_probe.as_ref()?;
    // The API server fills these in; the numbers are its own defaults.
    Some(Liveness {
        delay: probe.initial_delay_seconds.unwrap_or(0),
        period: probe.period_seconds.unwrap_or(10),
        threshold: probe.failure_threshold.unwrap_or(3),
    })
}

/// CronJobs, and workloads that are clients, with a container of PostgreSQL's client programs; so are sidecars of the server.
fn dumpers(namespace: &Namespace, found: &Found, clients: &Clients) -> Vec<Dumper> {
    let server = &found.facts.workload;
    let mut all = Vec::new();
    for job in &namespace.cron_jobs {
        let template = job.spec.job_template.spec.as_ref().map(|s| &s.template);
        if let Some(pod) = template.and_then(|t| t.spec.as_ref()) {
            all.extend(with_programs("CronJob", &job.name_any(), pod));
        }
    }
    for workload in &namespace.workloads {
        let is_client = clients
            .workloads
            .iter()
            .any(|c| c.id.uid == workload.id.uid);
        if is_client || workload.id.uid == server.uid {
            let found_here = with_programs(&workload.id.kind, &workload.id.name, &workload.pod);
            all.extend(
                found_here.filter(|d| {
                    workload.id.uid != server.uid || d.container != found.facts.container
                }),
            );
        }
    }
    all
}

fn with_programs<'a>(
    kind: &'a str,
    name: &'a str,
    pod: &'a PodSpec,
) -> impl Iterator<Item = Dumper> + use<'a> {
    pod.containers
        .iter()
        .filter(|container| !is_server(container))
        .filter_map(move |container| {
            let image = container.image.clone()?;
            image::has_client_programs(&image).then(|| Dumper {
                kind: kind.to_owned(),
                name: name.to_owned(),
                container: container.name.clone(),
                image,
            })
        })
}

/// A PostgreSQL of its own needs no programs of the new version.
fn is_server(container: &Container) -> bool {
    container.command.is_none()
        && container.env.iter().flatten().any(|variable| {
            variable.name == "PGDATA"
                || variable.name.starts_with("POSTGRES_PASSWORD")
                || variable.name.starts_with("POSTGRESQL_PASSWORD")
        })
        && !container
            .image
            .as_deref()
            .is_some_and(|image| image.contains("backup") || image.contains("dump"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::k8s::fake::{FakeApi, Fault};
    use crate::k8s::to_fake;

    fn marks(all: &[(&str, &str)]) -> BTreeMap<String, String> {
        all.iter()
            .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
            .collect()
    }

    #[test]
    fn the_pods_own_word_about_a_mesh_counts_more_than_the_namespaces() {
        let none = marks(&[]);
        let istio = marks(&[("istio-injection", "enabled")]);
        assert_eq!(
            mesh(&istio, &none, &none),
            ["Istio: namespace istio-injection=enabled"]
        );
        let out = marks(&[("sidecar.istio.io/inject", "false")]);
        assert_eq!(mesh(&istio, &out, &none), [""; 0]);
        let linkerd = marks(&[("linkerd.io/inject", "enabled")]);
        assert_eq!(
            mesh(&none, &none, &linkerd),
            ["Linkerd: pod linkerd.io/inject=enabled"]
        );
        let ambient = marks(&[("istio.io/dataplane-mode", "ambient")]);
        assert_eq!(mesh(&ambient, &none, &none), [""; 0]);
    }

    fn object(annotations: &Value, spec: &Value) -> DynamicObject {
        serde_json::from_value(json!({
            "metadata": {"name": "x", "annotations": annotations}, "spec": spec,
        }))
        .unwrap()
    }

    #[test]
    fn what_is_paused_or_only_recommends_scales_nothing() {
        let spec = json!({"scaleTargetRef": {"name": "app"}});
        let of = |annotations| scaled_object(&object(&annotations, &spec)).map(|s| s.kind);
        assert_eq!(of(json!({})).as_deref(), Some("Deployment"));
        assert_eq!(of(json!({"autoscaling.keda.sh/paused": "true"})), None);
        assert_eq!(
            of(json!({"autoscaling.keda.sh/paused-replicas": "0"})),
            None
        );
        let mode = |policy: Value| {
            let target = json!({"kind": "StatefulSet", "name": "pg"});
            let spec = json!({"targetRef": target, "updatePolicy": policy});
            vertical_scaler(&object(&json!({}), &spec)).is_some()
        };
        assert!(mode(Value::Null) && mode(json!({"updateMode": "Recreate"})));
        assert!(!mode(json!({"updateMode": "Off"})) && !mode(json!({"updateMode": "Initial"})));
    }

    #[tokio::test]
    async fn types_that_are_not_installed_are_none_and_a_refusal_is_told() {
        let fake = FakeApi::start().await;
        let k8s = to_fake(&fake);
        let ask = || list(&k8s, "keda.sh/v1alpha1", "ScaledObject", "scaledobjects");
        fake.fault("GET", 1, Fault::Status(404, Vec::new()));
        assert_eq!(ask().await.unwrap().len(), 0);
        fake.deny("list", "scaledobjects");
        assert!(ask().await.unwrap_err().starts_with("ScaledObjects: "));
    }

    #[test]
    fn a_startup_probe_holds_the_liveness_probe_back() {
        let mut container: Container = serde_json::from_value(
            json!({"name": "c", "livenessProbe": {"initialDelaySeconds": 5, "periodSeconds": 2}}),
        )
        .unwrap();
        assert_eq!(liveness(&container).unwrap().patience(), 11);
        container.startup_probe = container.liveness_probe.clone();
        assert_eq!(liveness(&container), None);
    }

    #[test]
    fn programs_are_known_by_the_image_and_servers_are_left_out() {
        let pod: PodSpec = serde_json::from_value(json!({"containers": [
            {"name": "dump", "image": "postgres:13", "command": ["pg_dump"], "env": [{"name": "POSTGRES_PASSWORD"}]},
            {"name": "server", "image": "postgres:13", "env": [{"name": "POSTGRES_PASSWORD"}]},
            {"name": "s3", "image": "eeshugerman/postgres-backup-s3:15", "env": [{"name": "POSTGRES_PASSWORD"}]},
            {"name": "app", "image": "shop:13"},
        ]}))
        .unwrap();
        let names: Vec<String> = with_programs("CronJob", "x", &pod)
            .map(|dumper| dumper.container)
            .collect();
        assert_eq!(names, ["dump", "s3"]);
    }
}
