//! The record in Kubernetes: one ConfigMap a run, each write guarded by the version that was read.

use std::sync::Mutex;

use k8s_openapi::api::core::v1::ConfigMap;
use kube::Api;
use kube::api::{ListParams, Patch, PatchParams};
use serde_json::json;

use crate::error::{Exit, Failure, Result};
use crate::facts::instance::ObjectId;
use crate::k8s::write::create_or_adopt;
use crate::k8s::{K8s, labels, names};
use crate::record::{FORMAT, Record};

const KEY: &str = "record.json";

/// Reads and writes one run's record.
pub struct Store {
    api: Api<ConfigMap>,
    name: String,
    version: Mutex<String>,
}

impl Store {
    /// Creates the ConfigMap of a new run.
    ///
    /// # Errors
    /// When it cannot be created.
    pub async fn create(k8s: &K8s, record: &Record) -> Result<Self> {
        let api: Api<ConfigMap> = k8s.api();
        let name = config_map_name(&record.run);
        let object: ConfigMap = serde_json::from_value(json!({
            "metadata": {"name": name, "labels": {
                labels::MANAGED_BY: labels::MANAGER,
                labels::RUN: names::fit(&record.run),
                labels::INSTANCE: instance_label(record.target()),
                labels::PART: "record",
            }},
            "data": {KEY: serde_json::to_string(record)?},
        }))?;
        let created = create_or_adopt(&api, &object).await.map_err(|e| {
            Failure::from(e).context(format!("creating ConfigMap {name}, the record of this run"))
        })?;
        Ok(Self {
            api,
            name,
            version: Mutex::new(created.metadata.resource_version.unwrap_or_default()),
        })
    }

    /// Writes the record.
    ///
    /// # Errors
    /// [`Exit::Locked`] when someone else wrote it since it was read.
    pub async fn save(&self, record: &Record) -> Result<()> {
        let expected = self.version.lock().map(|v| v.clone()).unwrap_or_default();
        let patch = json!({
            "metadata": {"resourceVersion": expected},
            "data": {KEY: serde_json::to_string(record)?},
        });
        let mut last = None;
        // The record may be written again and again: the same content under the same version.
        for pause in [0, 200, 1000, 3000, 8000] {
            tokio::time::sleep(std::time::Duration::from_millis(pause)).await;
            match self
                .api
                .patch(&self.name, &PatchParams::default(), &Patch::Merge(&patch))
                .await
            {
                Ok(saved) => {
                    if let Ok(mut version) = self.version.lock() {
                        *version = saved.metadata.resource_version.unwrap_or_default();
                    }
                    return Ok(());
                }
                Err(kube::Error::Api(status)) if status.code == 409 => {
                    if self.is_mine(record).await {
                        return Ok(());
                    }
                    return Err(Failure::new(
                        Exit::Locked,
                        format!(
                            "another client wrote the record of run {}, ConfigMap {}",
                            record.run, self.name
                        ),
                    )
                    .hint(format!(
                        "follow it with: kubectl pg-upgrade status {} -w",
                        record.target().name
                    )));
                }
                Err(kube::Error::Api(status)) if status.code == 404 => {
                    return Err(Failure::new(
                        Exit::Unfinished,
                        format!(
                            "ConfigMap {}, the record of run {}, was deleted",
                            self.name, record.run
                        ),
                    ));
                }
                Err(error) => last = Some(error),
            }
        }
        Err(last.map_or_else(
            || Failure::new(Exit::Unfinished, "the record could not be written"),
            |e| {
                Failure::from(e)
                    .context(format!(
                        "writing ConfigMap {}, the record of run {}",
                        self.name, record.run
                    ))
                    .with_exit(Exit::Unfinished)
            },
        ))
    }

    /// A write whose answer was lost leaves our own content under a newer version.
    async fn is_mine(&self, record: &Record) -> bool {
        let Ok(found) = self.api.get(&self.name).await else {
            return false;
        };
        let same = found
            .data
            .as_ref()
            .and_then(|d| d.get(KEY))
            .and_then(|t| serde_json::from_str::<Record>(t).ok())
            == Some(record.clone());
        if same && let Ok(mut version) = self.version.lock() {
            *version = found.metadata.resource_version.unwrap_or_default();
        }
        same
    }

    /// Every record of an instance, or of the namespace, oldest first.
    ///
    /// # Errors
    /// When `ConfigMaps` cannot be listed.
    pub async fn list(k8s: &K8s, instance: Option<&ObjectId>) -> Result<Vec<(Self, Record)>> {
        let api: Api<ConfigMap> = k8s.api();
        let mut selector = format!("{}=record", labels::PART);
        if let Some(instance) = instance {
            selector = format!(
                "{selector},{}={}",
                labels::INSTANCE,
                instance_label(instance)
            );
        }
        let found = api
            .list(&ListParams::default().labels(&selector))
            .await
            .map_err(|e| {
                Failure::from(e).context("listing the records of earlier runs (ConfigMaps)")
            })?;
        let mut records = Vec::new();
        for object in found {
            let name = object.metadata.name.clone().unwrap_or_default();
            if !object.data.as_ref().is_some_and(|d| d.contains_key(KEY)) {
                continue;
            }
            let record = parse(&object).map_err(|why| {
                Failure::refused(format!("ConfigMap {name}: {why}"))
                    .hint("use the version of kubectl pg-upgrade that wrote it")
            })?;
            let version = Mutex::new(object.metadata.resource_version.unwrap_or_default());
            records.push((
                Self {
                    api: api.clone(),
                    name,
                    version,
                },
                record,
            ));
        }
        records.sort_by_key(|(_, record)| record.started_at);
        Ok(records)
    }

    /// Name of the ConfigMap.
    pub fn name(&self) -> &str {
        &self.name
    }
}

/// The record in a ConfigMap.
///
/// # Errors
/// A sentence that says why this version cannot read it.
pub fn parse(object: &ConfigMap) -> Result<Record, String> {
    let text = object.data.as_ref().and_then(|d| d.get(KEY));
    let text = text.ok_or("it holds no record")?;
    let format = serde_json::from_str::<serde_json::Value>(text).ok();
    let format = format.and_then(|v| v["format"].as_u64()).unwrap_or(0);
    if format > u64::from(FORMAT) {
        return Err(format!(
            "the record was written by a newer kubectl pg-upgrade (format {format})"
        ));
    }
    serde_json::from_str(text).map_err(|e| format!("the record cannot be read: {e}"))
}

/// Name of the ConfigMap that holds a run's record.
pub fn config_map_name(run: &str) -> String {
    names::name(&["pg-upgrade", run])
}

/// Label value that finds everything of one instance: kind and name.
pub fn instance_label(workload: &ObjectId) -> String {
    names::fit(&format!(
        "{}.{}",
        workload.kind.to_lowercase(),
        workload.name
    ))
}
