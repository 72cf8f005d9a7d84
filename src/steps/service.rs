//! A Service that leads from one server to another.

use std::collections::BTreeMap;
use std::time::Duration;

use k8s_openapi::api::core::v1::Service;
use kube::api::Patch;
use serde_json::{Value, json};

use crate::error::{Exit, Failure, Result};
use crate::exec::Acting;
use crate::facts::instance::ObjectId;
use crate::k8s::write::patch_uid;
use crate::plan::side::{Route, target_port};

/// Until nodes send new connections the new way: mostly 1 s, sometimes 3 (measured).
const SPREAD: Duration = Duration::from_secs(3);

/// Changes where a Service leads, if it still leads where it did when that was planned.
pub(super) async fn lead(
    acting: &mut Acting<'_>,
    id: &ObjectId,
    from: &Route,
    to: &Route,
) -> Result<String> {
    let api = acting.k8s.api::<Service>();
    let read = || async {
        let found = api.get_opt(&id.name).await;
        let found = found.map_err(|e| Failure::from(e).context(format!("reading {id}")))?;
        found
            .filter(|s| s.metadata.uid.as_deref() == Some(&id.uid))
            .ok_or_else(|| {
                Failure::new(
                    Exit::Failed,
                    format!("{id} is gone, or another has its name"),
                )
            })
    };
    let live = read().await?;
    let found = route(&live);
    if found == *to {
        // A client that was killed may have changed it just now.
        tokio::time::sleep(SPREAD).await;
        return Ok("already so".to_owned());
    }
    if found != *from {
        return Err(Failure::new(
            Exit::Failed,
            format!(
                "{id} leads to {} now, and not to {} as when this was planned; it was left so",
                words(&found.selector),
                words(&from.selector)
            ),
        ));
    }
    let patched = patch_uid(&api, &id.name, &id.uid, Patch::Merge(patch(&live, to))).await;
    // A second sending of the same patch finds another version of the object.
    if let Err(error) = patched
        && route(&read().await?) != *to
    {
        return Err(Failure::from(error).context(format!("changing {id}")));
    }
    tokio::time::sleep(SPREAD).await;
    Ok(String::new())
}

/// Where a Service leads.
fn route(service: &Service) -> Route {
    let spec = service.spec.clone().unwrap_or_default();
    Route {
        selector: spec.selector.unwrap_or_default(),
        ports: spec
            .ports
            .iter()
            .flatten()
            .map(|port| (port.port.to_string(), target_port(port)))
            .collect(),
    }
}

/// The merge patch for exactly this version of the Service.
pub(super) fn patch(live: &Service, to: &Route) -> Value {
    let spec = live.spec.clone().unwrap_or_default();
    let mut selector: BTreeMap<String, Value> = spec
        .selector
        .into_iter()
        .flatten()
        .map(|(key, _)| (key, Value::Null))
        .collect();
    selector.extend(to.selector.iter().map(|(k, v)| (k.clone(), json!(v))));
    let ports: Vec<Value> = spec
        .ports
        .iter()
        .flatten()
        .map(|port| {
            let mut value = json!(port);
            if let Some(target) = to.ports.get(&port.port.to_string()) {
                value["targetPort"] = target.parse::<i32>().map_or(json!(target), |n| json!(n));
            }
            value
        })
        .collect();
    json!({
        "metadata": {"resourceVersion": live.metadata.resource_version},
        "spec": {"selector": selector, "ports": ports},
    })
}

/// A selector as kubectl writes it.
pub(super) fn words(selector: &BTreeMap<String, String>) -> String {
    let pairs: Vec<String> = selector.iter().map(|(k, v)| format!("{k}={v}")).collect();
    pairs.join(",")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_of_the_old_server_go_and_only_the_target_port_changes() {
        let live: Service = serde_json::from_value(json!({
            "metadata": {"name": "pg", "resourceVersion": "7"},
            "spec": {"selector": {"app": "old", "tier": "db"},
                "ports": [{"name": "sql", "port": 5432, "targetPort": "postgresql", "nodePort": 30000}]},
        }))
        .unwrap();
        let to = Route {
            selector: BTreeMap::from([("app".into(), "new".into())]),
            ports: BTreeMap::from([("5432".into(), "5433".into())]),
        };
        assert_eq!(
            patch(&live, &to),
            json!({"metadata": {"resourceVersion": "7"}, "spec": {
                "selector": {"app": "new", "tier": null},
                "ports": [{"name": "sql", "port": 5432, "targetPort": 5433, "nodePort": 30000}]}})
        );
        assert_eq!(route(&live).ports["5432"], "postgresql");
    }
}
