//! What `run` and `upgrade` do first where no server runs: the old version is brought up, in a run of its own.

use super::survey::Survey;
use super::{Session, runs};
use crate::cli::options::{ActArgs, UpgradeOptions};
use crate::error::{Exit, Failure, Result};
use crate::plan;
use crate::postgres::image;
use crate::record::{Asked, Phase, RunState};

/// Brings the old version up, and returns what the upgrade is to be asked for then; `None` after a dry run.
///
/// # Errors
/// Exit code 3 when it is not known how; 1 when the server does not start with the old image either.
pub(super) async fn bring_up(
    session: &Session,
    survey: &Survey,
    options: &UpgradeOptions,
    act: &ActArgs,
) -> Result<Option<UpgradeOptions>> {
    let instance = &survey.found.facts;
    let down = instance
        .down
        .as_ref()
        .ok_or_else(|| Failure::refused("no server runs"))?;
    let plan = plan::bring_up::decide(instance, down, options.old_image.as_deref())
        .map_err(|why| Failure::refused(why).hint("nothing was changed"))?;
    if session
        .is_dry_run(act, instance, &plan.why, &plan.steps)
        .await?
    {
        return Ok(None);
    }
    session.confirm(act, &plan.why, &plan.steps)?;
    let asked = Asked {
        command: "bring-up".to_owned(),
        image: Some(plan.image.clone()),
        ..Asked::default()
    };
    let mut run = runs::start(session, asked, instance).await?;
    run.record.plan(Phase::Prepare, plan.steps);
    let outcome = runs::execute(session, &mut run).await;
    run.record.state = match &outcome {
        Ok(()) => RunState::Restored,
        Err(_) => RunState::Failed,
    };
    run.record.finished_at = Some(session.k8s.now());
    run.store.save(&run.record).await?;
    outcome.map_err(|failure| {
        failure.with_exit(Exit::Failed).hint(format!(
            "{} has image {} now and still does not start; its data was not touched",
            instance.workload, plan.image
        ))
    })?;
    let mut options = options.clone();
    // The image that was set already is the one to go to, unless another one is asked for.
    let same = options.to.is_none_or(|to| {
        image::major(&instance.image).is_some_and(|m| u32::from(m.number()) == to)
    });
    if options.image.is_none() && same && plan.image != instance.image {
        options.image = Some(instance.image.clone());
    }
    Ok(Some(options))
}
