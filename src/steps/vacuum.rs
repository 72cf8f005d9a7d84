//! Statistics, extensions and indexes, by a process in the server's container that outlives this client.

use crate::error::{Exit, Failure, Result};
use crate::exec::Acting;

/// Starts it, or finds it, and follows it to its end.
pub(super) async fn vacuum(acting: &mut Acting<'_>, jobs: u32) -> Result<String> {
    let pod = acting
        .record
        .instance
        .pod
        .clone()
        .ok_or_else(|| Failure::new(Exit::Failed, "no server runs"))?;
    let upgrade = acting.record.upgrade.clone().ok_or_else(|| {
        Failure::usage("this run upgraded nothing, so there is nothing to vacuum")
    })?;
    let container = acting.record.instance.container.clone();
    let report =
        crate::discover::vacuum::run(acting.k8s, &pod.name, &container, &upgrade, jobs, |text| {
            acting.note(text);
        })
        .await
        .map_err(|e| e.context("statistics, extensions and indexes"))?;
    let sentence = report.sentence();
    for problem in report.problems() {
        acting.ui.warn(problem);
    }
    Ok(sentence)
}
