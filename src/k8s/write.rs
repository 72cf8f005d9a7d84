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

/// Asks whether an object would be created (`dryRun=All`): admission is run, nothing is kept. Gives it as it would be.
///
/// # Errors
/// The refusal in the API server's words; or that no answer came, after some attempts.
pub async fn dry_run_create<K>(api: &Api<K>, object: &K) -> Result<K, ApiError>
where
    K: Resource + Clone + DeserializeOwned + Serialize + Debug,
{
    let params = PostParams {
        dry_run: true,
        field_manager: Some(labels::MANAGER.to_owned()),
    };
    repeated(|| api.create(&params, object)).await
}

/// Asks whether a patch of the object with that UID would be accepted (`dryRun=All`); nothing is kept.
///
/// # Errors
/// The refusal in the API server's words; or that no answer came, after some attempts.
pub async fn dry_run_patch<K>(
    api: &Api<K>,
    name: &str,
    uid: &str,
    patch: Patch<Value>,
) -> Result<K, ApiError>
where
    K: Resource + Clone + DeserializeOwned + Debug,
{
    let params = PatchParams {
        dry_run: true,
        field_manager: Some(labels::MANAGER.to_owned()),
        ..PatchParams::default()
    };
    let patch = pinned(patch, uid);
    repeated(|| api.patch(name, &params, &patch)).await
}

/// Asks whether the object with that UID would be deleted (`dryRun=All`); nothing is kept.
///
/// # Errors
/// The refusal in the API server's words; or that no answer came, after some attempts.
pub async fn dry_run_delete<K>(api: &Api<K>, name: &str, uid: &str) -> Result<(), ApiError>
where
    K: Resource + Clone + DeserializeOwned + Debug,
{
    let params = DeleteParams {
        dry_run: true,
        ..deleting(uid)
    };
    repeated(|| api.delete(name, &params)).await.map(drop)
}

/// Calls again while answers get lost, which is safe for what keeps nothing.
async fn repeated<T, F>(call: impl Fn() -> F) -> Result<T, ApiError>
where
    F: Future<Output = kube::Result<T>>,
{
    let mut left = ATTEMPTS;
    loop {
        left -= 1;
        match call().await.map_err(ApiError::from) {
            Ok(answer) => return Ok(answer),
            Err(error) if left > 0 && error.may_have_happened() => {}
            Err(error) => return Err(error),
        }
    }
}

/// A patch that fits only the object with that UID.
fn pinned(mut patch: Patch<Value>, uid: &str) -> Patch<Value> {
    if let Patch::Merge(value) | Patch::Strategic(value) = &mut patch {
        value["metadata"]["uid"] = uid.into();
    }
    patch
}

/// A deletion of only the object with that UID, with what it owns.
fn deleting(uid: &str) -> DeleteParams {
    DeleteParams {
        propagation_policy: Some(PropagationPolicy::Background),
        preconditions: Some(Preconditions {
            uid: Some(uid.to_owned()),
            resource_version: None,
        }),
        ..DeleteParams::default()
    }
}

/// Patches a foreign object, only if it is still the one with that UID.
///
/// The patch must come to the same when it is sent twice: a lost answer is resolved by sending it again.
pub async fn patch_uid<K>(
    api: &Api<K>,
    name: &str,
    uid: &str,
    patch: Patch<Value>,
) -> Result<K, WriteError>
where
    K: Resource + Clone + DeserializeOwned + Debug,
{
    let params = PatchParams {
        field_manager: Some(labels::MANAGER.to_owned()),
        ..PatchParams::default()
    };
    let patch = pinned(patch, uid);
    let object = || describe(api, name);
    let mut left = ATTEMPTS;
    loop {
        left -= 1;
        let error = match api.patch(name, &params, &patch).await {
            Ok(object) => return Ok(object),
            Err(error) => ApiError::from(error),
        };
        if error.is_not_found() {
            return Err(WriteError::Gone { object: object() });
        }
        // A foreign UID in a patch is answered as an invalid change of that field.
        let refused = error.is_conflict() || error.reason() == "Invalid";
        if !refused && !error.may_have_happened() {
            return Err(error.into());
        }
        let Some(live) = api.get_opt(name).await.map_err(ApiError::from)? else {
            return Err(WriteError::Gone { object: object() });
        };
        if live.meta().uid.as_deref() != Some(uid) {
            return Err(WriteError::Replaced { object: object() });
        }
        if left == 0 || error.reason() == "Invalid" {
            return Err(error.into());
        }
    }
}

/// Deletes an object of ours by its name; one that somebody else made is an error.
pub async fn delete_own<K>(api: &Api<K>, name: &str) -> Result<Deleted, WriteError>
where
    K: Resource + Clone + DeserializeOwned + Debug,
{
    let Some(found) = api.get_opt(name).await.map_err(ApiError::from)? else {
        return Ok(Deleted::AlreadyGone);
    };
    let manager = found.labels().get(labels::MANAGED_BY);
    match (&found.meta().uid, manager.map(String::as_str)) {
        (Some(uid), Some(labels::MANAGER)) => delete_uid(api, name, uid).await,
        _ => Err(WriteError::Taken {
            object: describe(api, name),
        }),
    }
}

/// Deletes an object if it is still the one with that UID; one that is gone is fine.
pub async fn delete_uid<K>(api: &Api<K>, name: &str, uid: &str) -> Result<Deleted, WriteError>
where
    K: Resource + Clone + DeserializeOwned + Debug,
{
    let params = deleting(uid);
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
            if live.is_none_or(|live| live.meta().uid.as_deref() != Some(uid)) {
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
    async fn a_dry_run_keeps_nothing_and_is_repeated_when_its_answer_is_lost() {
        let (fake, api) = maps().await;
        fake.fault("POST", 1, Fault::LoseAnswer);
        dry_run_create(&api, &map("r1")).await.unwrap();
        assert!(fake.object(MAP).is_none());
        assert_eq!(fake.requests().len(), 2);
    }

    fn none_left() -> Patch<Value> {
        Patch::Merge(json!({"spec": {"replicas": 0}}))
    }

    #[tokio::test]
    async fn a_patch_names_the_uid() {
        let (fake, api) = sets().await;
        patch_uid(&api, "db", "uid-db", none_left()).await.unwrap();
        let write = fake.writes().remove(0);
        assert!(
            write.ends_with(r#"{"spec":{"replicas":0},"metadata":{"uid":"uid-db"}}"#),
            "{write}"
        );
        assert_eq!(fake.object(SET).unwrap()["spec"]["replicas"], 0);
    }

    #[tokio::test]
    async fn a_replaced_object_is_left_alone() {
        let (fake, api) = sets().await;
        let error = patch_uid(&api, "db", "another", none_left())
            .await
            .unwrap_err();
        assert_eq!(
            error.to_string(),
            "statefulsets \"db\" was replaced by another object of the same name"
        );
        fake.remove(SET);
        let error = patch_uid(&api, "db", "uid-db", none_left())
            .await
            .unwrap_err();
        assert!(matches!(error, WriteError::Gone { .. }), "{error}");
    }

    #[tokio::test]
    async fn an_invalid_patch_is_told_in_the_servers_words() {
        let (fake, api) = sets().await;
        let invalid = Fault::Status(422, Vec::new());
        fake.fault("PATCH", 9, invalid);
        let patch = Patch::Merge(json!({"spec": {"replicas": -1}}));
        let error = patch_uid(&api, "db", "uid-db", patch).await.unwrap_err();
        assert!(matches!(error, WriteError::Api(_)), "{error}");
        assert_eq!(fake.requests().len(), 2);
    }

    #[tokio::test]
    async fn a_patch_is_sent_again_whose_answer_was_lost_or_that_did_not_arrive() {
        for fault in [Fault::LoseAnswer, Fault::Reset] {
            let (fake, api) = sets().await;
            fake.fault("PATCH", 1, fault);
            patch_uid(&api, "db", "uid-db", none_left()).await.unwrap();
            assert_eq!(fake.object(SET).unwrap()["spec"]["replicas"], 0);
        }
    }

    #[tokio::test]
    async fn only_what_is_ours_is_deleted_by_name() {
        let (fake, api) = maps().await;
        assert_eq!(
            delete_own(&api, "plan").await.unwrap(),
            Deleted::AlreadyGone
        );
        create_or_adopt(&api, &map("r1")).await.unwrap();
        let error = delete_own(&api, "plan").await.unwrap_err();
        assert!(matches!(error, WriteError::Taken { .. }), "{error}");
        assert!(fake.object(MAP).is_some());
        fake.remove(MAP);
        let mut own = map("r1");
        own.labels_mut()
            .insert(labels::MANAGED_BY.to_owned(), labels::MANAGER.to_owned());
        create_or_adopt(&api, &own).await.unwrap();
        delete_own(&api, "plan").await.unwrap();
        assert!(fake.object(MAP).is_none());
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
