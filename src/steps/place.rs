//! A directory of its own for the new cluster, made before the stop.

use std::time::Duration;

use serde_json::Value;

use super::verify;
use crate::discover::sql;
use crate::error::{Exit, Failure, Result};
use crate::exec::Acting;

const SCRIPT: &str = include_str!("../scripts/new-directory.sh");
const LIMIT: Duration = Duration::from_secs(60);

/// Makes the directory with its guard, and that of runs, as the user of the server's container.
pub(super) async fn make(acting: &mut Acting<'_>, directory: &str) -> Result<String> {
    let (pod, container, upgrade) = verify::place(acting)?;
    let runs = upgrade.run_directory.rsplit_once('/');
    let arguments = [
        upgrade.data_directory.as_str(),
        directory,
        &upgrade.to.to_string(),
        runs.map_or("", |(runs, _)| runs),
    ];
    let said = sql::run(acting.k8s, &pod, &container, SCRIPT, &arguments, LIMIT)
        .await
        .map_err(|e| e.context(format!("making {directory}")))?;
    let event = said
        .lines()
        .find_map(|line| serde_json::from_str::<Value>(line).ok());
    let event = event.unwrap_or_default();
    if event["event"] == "made" {
        return Ok(String::new());
    }
    let why = event["detail"]
        .as_str()
        .unwrap_or("the container gave no answer");
    Err(Failure::new(
        Exit::Failed,
        format!("{directory} is not the new cluster's: {why}"),
    )
    .hint("the old server was not touched; name another directory with --data-directory, or leave it away"))
}
