//! Asks the API server whether it would make an object: quota, limits, webhooks and Pod Security answer, nothing is kept.

use std::fmt::Debug;

use kube::api::Patch;
use kube::{Resource, ResourceExt};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::facts::dry_run::{Answer, DryRun};
use crate::facts::instance::ObjectId;
use crate::k8s::write::{dry_run_create, dry_run_delete, dry_run_patch};
use crate::k8s::{ApiError, K8s};

/// The words of the API server for a webhook that says in its configuration that it has side effects (apiserver,
/// pkg/admission/plugin/webhook/errors).
const NO_DRY_RUN: &str = "does not support dry run";

/// Sends one object. `None` when the user has no right to make it, which the check `permissions` tells.
pub async fn create<K>(k8s: &K8s, object: &K) -> Option<DryRun>
where
    K: Resource<DynamicType = (), Scope = k8s_openapi::NamespaceResourceScope>
        + Clone
        + DeserializeOwned
        + Serialize
        + Debug,
{
    let outcome = dry_run_create(&k8s.api::<K>(), object).await;
    let added = outcome.as_ref().map_or_else(
        |_| Vec::new(),
        |made| {
            let sent = containers(object);
            let made = containers(made).into_iter();
            made.filter(|name| !sent.contains(name)).collect()
        },
    );
    Some(DryRun {
        object: format!("{} {}", K::kind(&()), object.name_any()),
        answer: answer(outcome)?,
        added,
    })
}

/// Sends a change of one object. `None` when the user has no right to change it.
pub async fn patch(k8s: &K8s, id: &ObjectId, patch: Patch<Value>) -> Option<DryRun> {
    let outcome = dry_run_patch(
        &k8s.regular(&id.api_version, &id.kind),
        &id.name,
        &id.uid,
        patch,
    )
    .await;
    tried("the change of", id, outcome)
}

/// Sends a deletion of one object. `None` when the user has no right to delete it.
pub async fn delete(k8s: &K8s, id: &ObjectId) -> Option<DryRun> {
    let outcome = dry_run_delete(&k8s.regular(&id.api_version, &id.kind), &id.name, &id.uid).await;
    tried("the deletion of", id, outcome)
}

fn tried<T>(what: &str, id: &ObjectId, outcome: Result<T, ApiError>) -> Option<DryRun> {
    Some(DryRun {
        object: format!("{what} {id}"),
        answer: answer(outcome)?,
        added: Vec::new(),
    })
}

/// `None` when the user has no right to do this.
fn answer<T>(outcome: Result<T, ApiError>) -> Option<Answer> {
    match outcome {
        Ok(_) => Some(Answer::Accepted),
        Err(error) if error.is_missing_right() => None,
        Err(error) if error.status().is_none() || error.to_string().contains(NO_DRY_RUN) => {
            Some(Answer::Untried(error.to_string()))
        }
        Err(error) => Some(Answer::Refused(error.to_string())),
    }
}

/// Names of all containers of a pod; none of anything else.
fn containers<K: Serialize>(object: &K) -> Vec<String> {
    let spec = serde_json::to_value(object).unwrap_or_default()["spec"].take();
    ["initContainers", "containers"]
        .iter()
        .filter_map(|list| spec[list].as_array())
        .flatten()
        .filter_map(|container| container["name"].as_str().map(str::to_owned))
        .collect()
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::core::v1::ConfigMap;

    use super::*;
    use crate::k8s::fake::{FakeApi, Fault};
    use crate::k8s::to_fake;

    fn map() -> ConfigMap {
        let mut map = ConfigMap::default();
        map.metadata.name = Some("plan".to_owned());
        map
    }

    #[tokio::test]
    async fn a_refusal_is_an_answer_and_a_missing_right_is_not() {
        let fake = FakeApi::start().await;
        let k8s = to_fake(&fake);
        let tried = create(&k8s, &map()).await.unwrap();
        assert_eq!(
            (tried.object.as_str(), &tried.answer),
            ("ConfigMap plan", &Answer::Accepted)
        );
        assert!(fake.requests()[0].contains("dryRun=All"));
        assert!(
            fake.object("/api/v1/namespaces/shop/configmaps/plan")
                .is_none()
        );
        fake.fault("POST", 1, Fault::Status(403, Vec::new()));
        let refused = create(&k8s, &map()).await.unwrap();
        assert_eq!(
            refused.answer,
            Answer::Refused("injected by the test".to_owned())
        );
        fake.deny("create", "configmaps");
        assert_eq!(create(&k8s, &map()).await, None);
    }
}
