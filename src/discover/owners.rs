//! Who manages an object besides the user: operators, Helm, `GitOps`, other controllers.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use crate::facts::instance::{Owner, OwnerKind};
use crate::operators::{self, Managed};

/// The operator whose object this is, and its custom resource.
pub fn managed(metadata: &ObjectMeta) -> Option<Managed> {
    operators::recognise(
        metadata.owner_references.as_deref().unwrap_or_default(),
        metadata.labels.as_ref().unwrap_or(&BTreeMap::new()),
        metadata.name.as_deref().unwrap_or_default(),
    )
}

/// Everybody who manages it, as its owner references, labels and annotations tell.
pub fn owners(metadata: &ObjectMeta) -> Vec<Owner> {
    let empty = BTreeMap::new();
    let labels = metadata.labels.as_ref().unwrap_or(&empty);
    let annotations = metadata.annotations.as_ref().unwrap_or(&empty);
    let mut owners = Vec::new();
    let mut add = |kind, name: &str, object: &str| {
        let owner = Owner {
            kind,
            name: name.to_owned(),
            object: object.to_owned(),
        };
        if !owners.contains(&owner) {
            owners.push(owner);
        }
    };
    let managed = managed(metadata);
    if let Some(managed) = &managed {
        add(OwnerKind::Operator, managed.operator, &managed.cluster);
    }
    for reference in metadata.owner_references.iter().flatten() {
        if !operators::ALL.iter().any(|o| o.owns(reference)) {
            let name = format!("{} {}", reference.kind, reference.name);
            add(OwnerKind::Other, &name, "");
        }
    }
    if let Some(release) = annotations.get("meta.helm.sh/release-name") {
        add(OwnerKind::Helm, release, "");
    } else if labels
        .get("app.kubernetes.io/managed-by")
        .is_some_and(|m| m == "Helm")
    {
        let release = labels
            .get("app.kubernetes.io/instance")
            .map_or("unknown", String::as_str);
        add(OwnerKind::Helm, release, "");
    }
    if let Some(tracking) = annotations.get("argocd.argoproj.io/tracking-id") {
        let application = tracking.split(':').next().unwrap_or_default();
        add(OwnerKind::ArgoCd, application, "");
    } else if let Some(application) = labels.get("argocd.argoproj.io/instance") {
        add(OwnerKind::ArgoCd, application, "");
    }
    for key in [
        "kustomize.toolkit.fluxcd.io/name",
        "helm.toolkit.fluxcd.io/name",
    ] {
        if let Some(name) = labels.get(key) {
            add(OwnerKind::Flux, name, "");
        }
    }
    owners
}
