//! What the server holds, before the stop and after the upgrade, by a script in its own container.

use std::time::Duration;

use serde_json::Value;

use super::sql;
use crate::error::{Exit, Failure, Result};
use crate::k8s::K8s;

const OBSERVE: &str = concat!(
    include_str!("../scripts/unlisted.sh"),
    include_str!("../scripts/observe.sh")
);
const SCRATCH: &str = include_str!("../scripts/scratch.sh");
const PLACE: &str = include_str!("../scripts/place.sh");
/// Exact counts of large tables take their time.
const LIMIT: Duration = Duration::from_secs(6 * 3600);

/// Observes the old server; the details are written to `run_directory`, the summary is returned.
///
/// # Errors
/// When the container or the server cannot be reached.
pub async fn before(
    k8s: &K8s,
    pod: &str,
    container: &str,
    run_directory: &str,
    level: &str,
) -> Result<Value> {
    let script = format!("{PLACE}\n{OBSERVE}");
    let said = sql::run(
        k8s,
        pod,
        container,
        &script,
        &["before", run_directory, level],
        LIMIT,
    )
    .await?;
    last(&said, "observed")
}

/// Observes a server that nothing may be written to: the details go to memory and are forgotten.
///
/// # Errors
/// When the container or the server cannot be reached.
pub async fn look(k8s: &K8s, pod: &str, container: &str, run: &str) -> Result<Value> {
    let script = format!("{SCRATCH}\n{OBSERVE}");
    // Memory in every container, also where the root file system is read-only.
    let directory = format!("/dev/shm/pg-upgrade-{run}");
    let said = sql::run(
        k8s,
        pod,
        container,
        &script,
        &["before", &directory, "quick"],
        LIMIT,
    )
    .await?;
    last(&said, "observed")
}

/// What the new server is compared with, and how.
#[derive(Clone, Copy, Debug)]
pub struct Comparison<'a> {
    /// The run's directory in the server's container.
    pub run_directory: &'a str,
    /// `quick` or `counts`.
    pub level: &'a str,
    /// Somebody may have written since the observation.
    pub writers: bool,
    /// What [`before`] said of its file, so that no other file is compared with.
    pub sha256: &'a str,
    /// The observed server was cut off since, which empties what is unlogged.
    pub crashed: bool,
}

/// Observes the new server and compares: the verdict, and the first differences.
///
/// # Errors
/// When the container or the server cannot be reached.
pub async fn after(
    k8s: &K8s,
    pod: &str,
    container: &str,
    comparison: Comparison<'_>,
) -> Result<(Value, Vec<Value>)> {
    let writers = if comparison.writers {
        "writers=unknown"
    } else {
        "writers=no"
    };
    let said = sql::run(
        k8s,
        pod,
        container,
        OBSERVE,
        &[
            "after",
            comparison.run_directory,
            comparison.level,
            writers,
            comparison.sha256,
            if comparison.crashed { "1" } else { "0" },
        ],
        LIMIT,
    )
    .await?;
    let differences = events(&said)
        .filter(|event| event["event"] == "difference")
        .collect();
    Ok((last(&said, "verified")?, differences))
}

fn events(said: &str) -> impl Iterator<Item = Value> {
    said.lines()
        .filter_map(|line| serde_json::from_str(line).ok())
}

fn last(said: &str, name: &str) -> Result<Value> {
    events(said)
        .filter(|event: &Value| event["event"] == name)
        .last()
        .ok_or_else(|| {
            Failure::new(
                Exit::Failed,
                format!("the script ended without a verdict: {}", said.trim()),
            )
        })
}
