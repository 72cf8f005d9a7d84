//! `resume`: exactly what quiesce stopped comes back.

use std::io::Write;

use clap::Args;

use super::report::RunReport;
use super::{Session, runs};
use crate::cli::options::{ActArgs, OutputArgs, TargetArgs};
use crate::error::{Exit, Result};
use crate::output;
use crate::plan::back::clients_back;
use crate::record::{Phase, RunState};

/// Bring back exactly what quiesce stopped
///
/// Every workload gets the replicas it had, every CronJob its schedule. What someone changed in between is left alone.
#[derive(Args, Debug)]
pub struct ResumeArgs {
    #[command(flatten)]
    target: TargetArgs,
    #[command(flatten)]
    act: ActArgs,
    #[command(flatten)]
    output: OutputArgs,
}

/// Brings the clients back.
///
/// # Errors
/// When a workload cannot be changed; the others are tried by running it again.
pub async fn run(args: &ResumeArgs, session: &Session, out: &mut dyn Write) -> Result<Exit> {
    let (_, found) = session.instance(&args.target).await?;
    let workload = &found.facts.workload;
    let Some(mut run) = runs::current(session, workload, args.target.run_id.as_deref()).await?
    else {
        session.ui.say(format!("nothing of {workload} is quiesced"));
        return Ok(Exit::Done);
    };
    let steps = clients_back(&run.record);
    if steps.is_empty() {
        session.ui.say(format!("nothing of {workload} is quiesced"));
        return Ok(Exit::Done);
    }
    if session
        .is_dry_run(&args.act, &found.facts, "resume", &steps)
        .await?
    {
        return Ok(Exit::Done);
    }
    // Bringing back what was stopped needs no question.
    session.show("resume", &steps);
    run.record.plan(Phase::Resume, steps);
    runs::execute(session, &mut run).await?;
    if run.record.state == RunState::Open && !run.record.has_plan() {
        run.record.state = RunState::Resumed;
        run.record.finished_at = Some(session.k8s.now());
        run.store.save(&run.record).await?;
    }
    output::print(
        out,
        &args.output.output,
        &RunReport {
            record: &run.record,
            now: session.k8s.now(),
            requests: session.k8s.requests(),
        },
    )?;
    Ok(Exit::Done)
}
