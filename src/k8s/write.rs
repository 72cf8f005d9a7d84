//! Guarded writes: every one is safe to repeat, and none touches an object that is not the one meant.

use std::fmt::Debug;

use kube::api::{
    Api, DeleteParams, Patch, PatchParams, PostParams, Preconditions, PropagationPolicy,
};
use kube::{Resource, ResourceExt};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::{ApiError, labels};

/// How often a write is repeated whose answer got lost.
const ATTEMPTS: u32 = 4;

/// A write was not carried out as meant.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    /// An object of that name exists and belongs to someone else.
    #[error("{object} exists already and was not made by this run")]
    Taken {
        /// Type and name, as in `pods "db-0"`.
        object: String,
    },
    /// The object was changed since it was read.
    #[error("{object} was changed by someone else in the meantime")]
    Changed {
        /// Type and name.
        object: String,
    },
    /// Another object has that name now.
    #[error("{object} was replaced by another object of the same name")]
    Replaced {
        /// Type and name.
        object: String,
    },
    /// The object does not exist any more.
    #[error("{object} does not exist any more")]
    Gone {
        /// Type and name.
        object: String,
    },
    /// Anything else.
    #[error(transparent)]
    Api(#[from] ApiError),
}

/// What a deletion found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Deleted {
    /// It was asked for; finalizers may keep the object for a while.
    Requested,
    /// The object was gone already, or its name belongs to another one now.
    AlreadyGone,
}

/// Creates or updates an object of ours by server-side apply; conflicts are ours to win.
///
/// The object names itself; its type must be in it (`apiVersion`, `kind`).
pub async fn apply<K>(api: &Api<K>, object: &K) -> Result<K, WriteError>
where
    K: Resource + Clone + DeserializeOwned + Serialize + Debug,
{
    let params = PatchParams::apply(labels::MANAGER).force();
    let name = object.name_any();
    Ok(api
        .patch(&name, &params, &Patch::Apply(object))
        .await
        .map_err(ApiError::from)?)
}

/// Creates an object, or takes over the existing one when it carries the same run label.
///
/// A lost answer is resolved by reading, so that the object is made exactly once.
pub async fn create_or_adopt<K>(api: &Api<K>, object: &K) -> Result<K, WriteError>
where
    K: Resource + Clone + DeserializeOwned + Serialize + Debug,
{
    let params = PostParams {
        field_manager: Some(labels::MANAGER.to_owned()),
        ..PostParams::default()
    };
    let name = object.name_any();
    let run = object.labels().get(labels::RUN);
    let mut left = ATTEMPTS;
    loop {
        left -= 1;
        let error = match api.create(&params, object).await {
            Ok(made) => return Ok(made),
            Err(error) => ApiError::from(error),
        };
        let lost = error.may_have_happened();
        if !lost && !error.is_already_exists() {
            return Err(error.into());
        }
        match api.get_opt(&name).await.map_err(ApiError::from)? {
            Some(found) if run.is_some() && found.labels().get(labels::RUN) == run => {
                return Ok(found);
            }
            Some(_) => {
                return Err(WriteError::Taken {
                    object: describe(api, &name),
                });
            }
            None if left == 0 => return Err(error.into()),
            None => {}
        }
    }
}

/// Asks the API server what it would make of an object, admission included, without making it.
pub async fn dry_run_create<K>(api: &Api<K>, object: &K) -> Result<K, ApiError>
where
    K: Resource + Clone + DeserializeOwned + Serialize + Debug,
{
    let params = PostParams {
        dry_run: true,
        field_manager: Some(labels::MANAGER.to_owned()),
    };
    Ok(api.create(&params, object).await?)
}

/// Merges a patch into a foreign object, only if it is still that object and, with a version, unchanged.
///
/// `patch` is a JSON merge patch (RFC 7386). A lost answer is resolved by reading.
pub async fn merge_patch_at<K>(
    api: &Api<K>,
    name: &str,
    uid: &str,
    resource_version: Option<&str>,
    patch: &Value,
) -> Result<K, WriteError>
where
    K: Resource + Clone + DeserializeOwned + Serialize + Debug,
{
    let params = PatchParams {
        field_manager: Some(labels::MANAGER.to_owned()),
        ..PatchParams::default()
    };
    let mut pinned = patch.clone();
    pinned["metadata"]["uid"] = uid.into();
    if let Some(version) = resource_version {
        pinned["metadata"]["resourceVersion"] = version.into();
    }
    let mut left = ATTEMPTS;
    loop {
        left -= 1;
        let error = match api.patch(name, &params, &Patch::Merge(&pinned)).await {
            Ok(object) => return Ok(object),
            Err(error) => ApiError::from(error),
        };
        let object = || describe(api, name);
        if error.is_not_found() {
            return Err(WriteError::Gone { object: object() });
        }
        // A foreign UID in a merge patch is answered as an invalid change of that field.
        let refused = error.is_conflict() || error.reason() == "Invalid";
        if !refused && !error.may_have_happened() {
            return Err(error.into());
        }
        let Some(live) = api.get_opt(name).await.map_err(ApiError::from)? else {
            return Err(WriteError::Gone { object: object() });
        };
        if live.uid().as_deref() != Some(uid) {
            return Err(WriteError::Replaced { object: object() });
        }
        let value = serde_json::to_value(&live).unwrap_or_default();
        if error.may_have_happened() && contains(&value, patch) {
            return Ok(live);
        }
        let unchanged = resource_version
            .is_none_or(|version| live.resource_version().as_deref() == Some(version));
        if !unchanged {
            return Err(WriteError::Changed { object: object() });
        }
        if left == 0 || error.reason() == "Invalid" {
            return Err(error.into());
        }
    }
}

/// Deletes an object if it is still the one with that UID; one that is gone is fine.
pub async fn delete_uid<K>(api: &Api<K>, name: &str, uid: &str) -> Result<Deleted, WriteError>
where
    K: Resource + Clone + DeserializeOwned + Debug,
{
    delete_with(api, name, uid, PropagationPolicy::Background).await
}

/// The same with a choice of what becomes of dependents; `Orphan` keeps a StatefulSet's pods.
pub async fn delete_with<K>(
    api: &Api<K>,
    name: &str,
    uid: &str,
    dependents: PropagationPolicy,
) -> Result<Deleted, WriteError>
where
    K: Resource + Clone + DeserializeOwned + Debug,
{
    let params = DeleteParams {
        propagation_policy: Some(dependents),
        preconditions: Some(Preconditions {
            uid: Some(uid.to_owned()),
            resource_version: None,
        }),
        ..DeleteParams::default()
    };
    let mut left = ATTEMPTS;
    loop {
        left -= 1;
        let error = match api.delete(name, &params).await {
            Ok(_) => return Ok(Deleted::Requested),
            Err(error) => ApiError::from(error),
        };
        if error.is_not_found() {
            return Ok(Deleted::AlreadyGone);
        }
        if error.is_conflict() {
            let live = api.get_opt(name).await.map_err(ApiError::from)?;
            if live.is_none_or(|live| live.uid().as_deref() != Some(uid)) {
                return Ok(Deleted::AlreadyGone);
            }
        } else if !error.may_have_happened() {
            return Err(error.into());
        }
        // Safe to repeat because the UID pins the object.
        if left == 0 {
            return Err(error.into());
        }
    }
}

/// `pods "db-0"`, the way the API server names objects.
fn describe<K: Resource>(api: &Api<K>, name: &str) -> String {
    let plural = api.resource_url().rsplit('/').next().unwrap_or_default();
    format!("{plural} \"{name}\"")
}

/// Tells whether a merge patch would change nothing in an object.
fn contains(object: &Value, patch: &Value) -> bool {
    match patch {
        Value::Object(fields) => fields.iter().all(|(key, wanted)| match object.get(key) {
            None => wanted.is_null(),
            Some(found) => contains(found, wanted),
        }),
        other => object == other,
    }
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::apps::v1::StatefulSet;
    use k8s_openapi::api::core::v1::ConfigMap;
    use serde_json::json;

    use super::*;
    use crate::k8s::fake::{FakeApi, Fault};
    use crate::k8s::to_fake;

    const MAP: &str = "/api/v1/namespaces/shop/configmaps/plan";
    const SET: &str = "/apis/apps/v1/namespaces/shop/statefulsets/db";

    fn map(run: &str) -> ConfigMap {
        serde_json::from_value(json!({
            "apiVersion": "v1", "kind": "ConfigMap",
            "metadata": {"name": "plan", "labels": {(labels::RUN): run}},
            "data": {"a": "1"},
        }))
        .unwrap()
    }

    async fn maps() -> (FakeApi, Api<ConfigMap>) {
        let fake = FakeApi::start().await;
        let api = to_fake(&fake).api();
        (fake, api)
    }

    async fn sets() -> (FakeApi, Api<StatefulSet>) {
        let fake = FakeApi::start().await;
        fake.put(
            SET,
            json!({"spec": {"replicas": 3, "serviceName": "db",
            "selector": {}, "template": {}}}),
        );
        let api = to_fake(&fake).api();
        (fake, api)
    }

    #[tokio::test]
    async fn an_object_of_the_same_run_is_adopted() {
        let (_fake, api) = maps().await;
        let first = create_or_adopt(&api, &map("r1")).await.unwrap();
        let second = create_or_adopt(&api, &map("r1")).await.unwrap();
        assert_eq!(first.uid(), second.uid());
        let error = create_or_adopt(&api, &map("r2")).await.unwrap_err();
        assert!(matches!(error, WriteError::Taken { .. }), "{error}");
    }

    #[tokio::test]
    async fn a_lost_answer_makes_exactly_one_object() {
        let (fake, api) = maps().await;
        fake.fault("POST", 1, Fault::LoseAnswer);
        create_or_adopt(&api, &map("r1")).await.unwrap();
        fake.remove(MAP);
        fake.fault("POST", 1, Fault::Reset);
        create_or_adopt(&api, &map("r1")).await.unwrap();
        assert!(fake.object(MAP).is_some());
        assert_eq!(fake.writes().len(), 2, "{:?}", fake.writes());
    }

    #[tokio::test]
    async fn apply_makes_and_updates() {
        let (fake, api) = maps().await;
        apply(&api, &map("r1")).await.unwrap();
        let mut changed = map("r1");
        changed.data = Some([("a".to_owned(), "2".to_owned())].into());
        fake.fault("PATCH", 1, Fault::LoseAnswer);
        apply(&api, &changed).await.unwrap();
        assert_eq!(fake.object(MAP).unwrap()["data"]["a"], "2");
        let request = fake.requests().remove(0);
        assert!(
            request.contains("fieldManager=kubectl-pg-upgrade"),
            "{request}"
        );
        assert!(request.contains("force=true"), "{request}");
    }

    #[tokio::test]
    async fn a_dry_run_makes_nothing() {
        let (fake, api) = maps().await;
        dry_run_create(&api, &map("r1")).await.unwrap();
        assert!(fake.object(MAP).is_none());
    }

    #[tokio::test]
    async fn a_patch_names_uid_and_version() {
        let (fake, api) = sets().await;
        let patch = json!({"spec": {"replicas": 0}});
        merge_patch_at(&api, "db", "uid-db", Some("1"), &patch)
            .await
            .unwrap();
        let write = fake.writes().remove(0);
        assert!(
            write.ends_with(
                r#"{"spec":{"replicas":0},"metadata":{"uid":"uid-db","resourceVersion":"1"}}"#
            ),
            "{write}"
        );
        assert_eq!(fake.object(SET).unwrap()["spec"]["replicas"], 0);
    }

    #[tokio::test]
    async fn a_changed_or_replaced_object_is_left_alone() {
        let (fake, api) = sets().await;
        let patch = json!({"spec": {"replicas": 0}});
        let error = merge_patch_at(&api, "db", "uid-db", Some("0"), &patch)
            .await
            .unwrap_err();
        assert!(matches!(error, WriteError::Changed { .. }), "{error}");
        assert_eq!(
            error.to_string(),
            "statefulsets \"db\" was changed by someone else in the meantime"
        );
        let error = merge_patch_at(&api, "db", "another", None, &patch)
            .await
            .unwrap_err();
        assert!(matches!(error, WriteError::Replaced { .. }), "{error}");
        fake.remove(SET);
        let error = merge_patch_at(&api, "db", "uid-db", None, &patch)
            .await
            .unwrap_err();
        assert!(matches!(error, WriteError::Gone { .. }), "{error}");
    }

    #[tokio::test]
    async fn an_invalid_patch_is_told_in_the_servers_words() {
        let (fake, api) = sets().await;
        let invalid = Fault::Status(422, Vec::new());
        fake.fault("PATCH", 9, invalid);
        let patch = json!({"spec": {"replicas": -1}});
        let error = merge_patch_at(&api, "db", "uid-db", None, &patch)
            .await
            .unwrap_err();
        assert!(matches!(error, WriteError::Api(_)), "{error}");
        assert_eq!(fake.requests().len(), 2);
    }

    #[tokio::test]
    async fn a_patch_whose_answer_is_lost_counts_when_it_took_effect() {
        let (fake, api) = sets().await;
        let patch = json!({"spec": {"replicas": 0}, "metadata": {"annotations": {"x": null}}});
        fake.fault("PATCH", 1, Fault::LoseAnswer);
        merge_patch_at(&api, "db", "uid-db", Some("1"), &patch)
            .await
            .unwrap();
        assert_eq!(fake.writes().len(), 1);
    }

    #[tokio::test]
    async fn a_patch_that_did_not_arrive_is_sent_again() {
        let (fake, api) = sets().await;
        let patch = json!({"spec": {"replicas": 0}});
        fake.fault("PATCH", 1, Fault::Reset);
        merge_patch_at(&api, "db", "uid-db", Some("1"), &patch)
            .await
            .unwrap();
        assert_eq!(fake.object(SET).unwrap()["spec"]["replicas"], 0);
    }

    #[tokio::test]
    async fn only_the_object_that_is_meant_is_deleted() {
        let (fake, api) = sets().await;
        let gone = delete_uid(&api, "db", "another").await.unwrap();
        assert_eq!(gone, Deleted::AlreadyGone);
        assert!(fake.object(SET).is_some());
        fake.fault("DELETE", 1, Fault::LoseAnswer);
        delete_uid(&api, "db", "uid-db").await.unwrap();
        assert!(fake.object(SET).is_none());
        let gone = delete_uid(&api, "db", "uid-db").await.unwrap();
        assert_eq!(gone, Deleted::AlreadyGone);
    }
}
