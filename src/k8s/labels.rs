//! Labels and annotations this tool puts on objects; nothing else spells them.

use std::collections::BTreeMap;

/// Says which tool manages an object.
pub const MANAGED_BY: &str = "app.kubernetes.io/managed-by";
/// Value of [`MANAGED_BY`] on everything this tool makes; also its field manager.
pub const MANAGER: &str = "kubectl-pg-upgrade";
/// Identifier of the run that made an object.
pub const RUN: &str = "pg-upgrade.dev/run";
/// Name of the PostgreSQL instance an object was made for.
pub const INSTANCE: &str = "pg-upgrade.dev/instance";
/// What an object is for, such as `worker` or `snapshot`.
pub const PART: &str = "pg-upgrade.dev/part";

/// The labels of an object made by a run for an instance.
///
/// A value longer than a label takes (63) is cut by [`super::names::fit`].
pub fn of(run: &str, instance: &str, part: &str) -> BTreeMap<String, String> {
    [
        (MANAGED_BY, MANAGER),
        (RUN, run),
        (INSTANCE, instance),
        (PART, part),
    ]
    .into_iter()
    .map(|(key, value)| (key.to_owned(), super::names::fit(value)))
    .collect()
}

/// Selects everything one run made.
pub fn run_selector(run: &str) -> String {
    format!("{MANAGED_BY}={MANAGER},{RUN}={}", super::names::fit(run))
}

/// Selects everything made for one instance, by any run.
pub fn instance_selector(instance: &str) -> String {
    format!(
        "{MANAGED_BY}={MANAGER},{INSTANCE}={}",
        super::names::fit(instance)
    )
}

/// Selects everything this tool ever made.
pub fn selector() -> String {
    format!("{MANAGED_BY}={MANAGER}")
}
