//! Reads the claim that a dump goes to.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{
    Node, NodeSelectorRequirement, PersistentVolume, PersistentVolumeClaim,
};

use super::namespace::Namespace;
use super::storage::pods_on_claim;
use crate::error::{Failure, Result};
use crate::facts::dump_claim::DumpClaimFacts;
use crate::k8s::{K8s, quantity};
use crate::plan::dump::DumpClaim;

/// Reads it; of one that the run makes only the size is known. `node` is where the server runs.
///
/// # Errors
/// When the claim may not be read.
pub async fn read(
    k8s: &K8s,
    namespace: &Namespace,
    claim: &DumpClaim,
    node: Option<&str>,
) -> Result<DumpClaimFacts> {
    let name = match claim {
        DumpClaim::Existing(name) => name,
        DumpClaim::New(size) => {
            return Ok(DumpClaimFacts {
                exists: true,
                bytes: quantity::whole(size).unwrap_or(0),
                ..DumpClaimFacts::default()
            });
        }
    };
    let mut facts = DumpClaimFacts {
        name: Some(name.clone()),
        ..DumpClaimFacts::default()
    };
    let found = k8s.api::<PersistentVolumeClaim>().get_opt(name).await;
    let found = found
        .map_err(|e| Failure::from(e).context(format!("reading PersistentVolumeClaim {name}")))?;
    let Some(found) = found else {
        return Ok(facts);
    };
    let spec = found.spec.unwrap_or_default();
    facts.exists = true;
    facts.unfit = if found.metadata.deletion_timestamp.is_some() {
        Some("is being deleted".to_owned())
    } else if spec.volume_mode.as_deref() == Some("Block") {
        Some("is a block device (volumeMode Block)".to_owned())
    } else {
        None
    };
    facts.access_modes = spec.access_modes.unwrap_or_default();
    facts.bytes = found
        .status
        .and_then(|s| quantity::whole(&s.capacity?.get("storage")?.0))
        .unwrap_or(0);
    facts.used_by = pods_on_claim(namespace, name)
        .into_iter()
        .map(|pod| (pod.clone(), node_of(namespace, &pod)))
        .collect();
    if let (Some(volume), Some(node)) = (&spec.volume_name, node) {
        facts.out_of_reach = out_of_reach(k8s, volume, node).await;
    }
    Ok(facts)
}

fn node_of(namespace: &Namespace, name: &str) -> String {
    let named = |pod: &&k8s_openapi::api::core::v1::Pod| pod.metadata.name.as_deref() == Some(name);
    let pod = namespace.pods.iter().find(named);
    pod.and_then(|pod| pod.spec.as_ref()?.node_name.clone())
        .unwrap_or_default()
}

/// Tells whether a volume is bound to other nodes; what may not be read is within reach.
async fn out_of_reach(k8s: &K8s, volume: &str, node: &str) -> bool {
    let volume = k8s.api_all::<PersistentVolume>().get(volume).await;
    let Some(terms) = volume
        .ok()
        .and_then(|v| Some(v.spec?.node_affinity?.required?.node_selector_terms))
    else {
        return false;
    };
    let Ok(node) = k8s.api_all::<Node>().get(node).await else {
        return false;
    };
    let labels = node.metadata.labels.unwrap_or_default();
    !terms.iter().any(|term| {
        let wanted = term.match_expressions.iter().flatten();
        wanted.into_iter().all(|wanted| matches(wanted, &labels))
    })
}

/// One requirement of a node selector; those that volumes do not use are taken as met.
fn matches(wanted: &NodeSelectorRequirement, labels: &BTreeMap<String, String>) -> bool {
    let value = labels.get(&wanted.key);
    let listed = || {
        let mut values = wanted.values.iter().flatten();
        value.is_some_and(|value| values.any(|v| v == value))
    };
    match wanted.operator.as_str() {
        "In" => listed(),
        "NotIn" => !listed(),
        "Exists" => value.is_some(),
        "DoesNotExist" => value.is_none(),
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_volume_of_another_node_does_not_match() {
        let labels = BTreeMap::from([("kubernetes.io/hostname".to_owned(), "node-1".to_owned())]);
        let wanted = |operator: &str, value: &str| NodeSelectorRequirement {
            key: "kubernetes.io/hostname".to_owned(),
            operator: operator.to_owned(),
            values: Some(vec![value.to_owned()]),
        };
        assert!(matches(&wanted("In", "node-1"), &labels));
        assert!(!matches(&wanted("In", "node-2"), &labels));
        assert!(matches(&wanted("NotIn", "node-2"), &labels));
    }
}
