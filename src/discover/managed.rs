//! PostgreSQL servers of operators: found by the name of their custom resource, and answered with the operator's procedure.

use std::collections::BTreeMap;

use super::inventory::{self, Inventory};
use super::namespace::Namespace;
use super::target::{TargetName, candidates};
use crate::error::Failure;
use crate::facts::listed::{Listed, RunsAs};
use crate::operators::procedure::{Names, procedure};
use crate::operators::{self, Operator};
use crate::postgres::version::MajorVersion;

/// Refuses when TARGET names an operator's PostgreSQL and no workload, or when nothing else is in the namespace.
///
/// # Errors
/// Exit code 3 with that operator's own procedure, for the version asked for.
pub fn refuse(
    namespace: &Namespace,
    target: Option<&TargetName>,
    name: &str,
    to: Option<MajorVersion>,
) -> Result<(), Failure> {
    let names_workload = |target: &TargetName| {
        namespace
            .workloads
            .iter()
            .any(|w| w.id.name == target.name && target.kind.is_none_or(|kind| kind == w.id.kind))
    };
    // A workload that can be looked at gets the whole report.
    let is_workload = target.map_or_else(|| !candidates(namespace).is_empty(), names_workload);
    if is_workload {
        return Ok(());
    }
    let all = instances(namespace);
    let mut hits: Vec<&Listed> = match target {
        Some(target) => all.iter().filter(|one| is_named(one, target)).collect(),
        None => all.iter().collect(),
    };
    let alone = hits.len() == 1;
    hits.retain(|one| one.runs_as == RunsAs::Operator);
    match hits.as_slice() {
        [one] if alone => Err(refusal(one, name, to)),
        _ => Ok(()),
    }
}

/// Every PostgreSQL of the namespace, as `list` has it.
fn instances(namespace: &Namespace) -> Vec<Listed> {
    let inventory = Inventory {
        workloads: namespace
            .workloads
            .iter()
            .filter(|w| inventory::is_server(w))
            .cloned()
            .collect(),
        pods: Some(
            namespace
                .pods
                .iter()
                .filter(|pod| inventory::is_servers_pod(pod))
                .cloned()
                .collect(),
        ),
        claims: Some(BTreeMap::new()),
        unknown: Vec::new(),
    };
    inventory::rows(&inventory, None)
}

/// Names of operators' PostgreSQL servers, as they can be typed.
pub(super) fn targets(namespace: &Namespace) -> Vec<String> {
    instances(namespace)
        .into_iter()
        .filter(|one| one.runs_as == RunsAs::Operator)
        .map(|one| one.target)
        .collect()
}

fn is_named(one: &Listed, target: &TargetName) -> bool {
    let Some((resource, name)) = one.target.split_once('/') else {
        return false;
    };
    one.runs_as == RunsAs::Operator
        && name == target.name
        && target.kind.is_none_or(|kind| kind == resource)
}

fn refusal(one: &Listed, namespace: &str, to: Option<MajorVersion>) -> Failure {
    let owner = one.owners.first();
    let operator: &Operator = owner
        .and_then(|owner| operators::by_name(&owner.name))
        .unwrap_or(&operators::ALL[0]);
    let names = Names {
        namespace,
        cluster: owner.map_or("", |owner| &owner.object),
        image: &one.image,
        from: one.major(),
        to,
        members: one.replicas,
    };
    Failure::refused(format!(
        "{} in namespace {namespace} belongs to the operator {}, which upgrades it itself; nothing was changed",
        one.target, operator.name
    ))
    .hint(format!(
        "its own procedure:\n{}",
        procedure(operator, &names).join("\n")
    ))
}
