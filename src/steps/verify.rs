//! What is seen before the stop, and what must be there after it.

use super::worker;
use crate::discover::observe::{self, Comparison};
use crate::error::{Exit, Failure, Result};
use crate::exec::Acting;

/// Observes the old server; the details stay on the volume, the summary goes into the record.
pub(super) async fn observe(acting: &mut Acting<'_>, level: &str) -> Result<String> {
    let (pod, container, upgrade) = place(acting)?;
    let seen = observe::before(acting.k8s, &pod, &container, &upgrade.run_directory, level)
        .await
        .map_err(|e| e.context("observing the old server before it is stopped"))?;
    let note = crate::verify::sentence(&seen);
    acting.record.observed.retain(|o| o["event"] != "observed");
    acting.record.observed.push(seen);
    Ok(note)
}

/// Reads what the live server holds, in numbers; nothing is written to its volume.
pub(super) async fn look(acting: &mut Acting<'_>) -> Result<String> {
    let (pod, container, _) = place(acting)?;
    let seen = observe::look(acting.k8s, &pod, &container, &acting.record.run)
        .await
        .map_err(|e| e.context("reading what the live server holds"))?;
    let note = crate::verify::sentence(&seen);
    acting.record.observed.retain(|o| o["event"] != "observed");
    acting.record.observed.push(seen);
    Ok(note)
}

/// Compares the new server with what was observed; any difference fails.
pub(super) async fn verify(acting: &mut Acting<'_>, _level: &str) -> Result<String> {
    let Some(seen) = acting
        .record
        .observed
        .iter()
        .find(|o| o["event"] == "observed")
        .cloned()
    else {
        return Ok("nothing was observed before, because no server ran".to_owned());
    };
    let level = seen["level"].as_str().unwrap_or("quick").to_owned();
    // A wait that leaves sessions alone proves nothing about who wrote after the look.
    let writers = !acting.record.steps.iter().any(
        |e| matches!(&e.step, super::Step::AwaitNoSessions { except, .. } if except.is_empty()),
    );
    let (pod, container, upgrade) = place(acting)?;
    let (verdict, differences) = observe::after(
        acting.k8s,
        &pod,
        &container,
        Comparison {
            run_directory: &upgrade.run_directory,
            level: &level,
            writers,
            sha256: seen["sha256"].as_str().unwrap_or_default(),
            crashed: worker::crashed(acting.record),
        },
    )
    .await
    .map_err(|e| e.context("comparing the new server with what was observed"))?;
    acting.record.observed.retain(|o| o["event"] != "verified");
    acting.record.observed.push(verdict.clone());
    // Equal to itself proves nothing.
    if verdict["sameSystem"] == true {
        return Err(Failure::new(
            Exit::Failed,
            "the server that answers is the old one, not an upgraded copy of it",
        ));
    }
    for text in [
        crate::verify::doubts(&verdict),
        crate::verify::warnings(&verdict),
    ]
    .concat()
    {
        acting.ui.warn(text);
    }
    if differences.is_empty() {
        return Ok(crate::verify::sentence(&verdict));
    }
    let mut failure = Failure::new(
        Exit::Failed,
        format!(
            "the new server differs from the old one in {} places",
            verdict["differences"]
        ),
    );
    for difference in differences.iter().take(10) {
        failure = failure.hint(crate::verify::explain(difference));
    }
    Err(failure)
}

/// Pod and container of the running server, and the plan.
pub(super) fn place(acting: &Acting<'_>) -> Result<(String, String, crate::record::Upgrade)> {
    let pod = acting
        .record
        .instance
        .pod
        .as_ref()
        .ok_or_else(|| Failure::new(Exit::Failed, "no server runs"))?;
    let upgrade = acting
        .record
        .upgrade
        .clone()
        .ok_or_else(|| Failure::new(Exit::Failed, "the record has no plan"))?;
    Ok((
        pod.name.clone(),
        acting.record.instance.container.clone(),
        upgrade,
    ))
}
