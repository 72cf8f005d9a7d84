//! `vacuum`: what is left to do on the new server while it serves.

use std::io::Write;

use clap::Args;

use super::report::RunReport;
use super::{Session, runs};
use crate::cli::options::{ActArgs, OutputArgs, TargetArgs};
use crate::error::{Exit, Failure, Result};
use crate::output;
use crate::record::{Phase, RunState};
use crate::steps::Step;

/// Optimizer statistics, extension updates, indexes of changed collations
///
/// Statistics in stages, partitioned parents too; ALTER EXTENSION UPDATE; REINDEX of only the indexes whose collation
/// version changed. It runs in the server's pod and goes on when this command is ended; typed again it follows.
#[derive(Args, Debug)]
pub struct VacuumArgs {
    #[command(flatten)]
    target: TargetArgs,
    /// Parallel jobs (default: as the upgrade)
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=64))]
    jobs: Option<u32>,
    #[command(flatten)]
    act: ActArgs,
    #[command(flatten)]
    output: OutputArgs,
}

/// Starts it, or follows the one that runs.
///
/// # Errors
/// Exit code 2 when no upgrade of the instance is on record.
pub async fn run(args: &VacuumArgs, session: &Session, out: &mut dyn Write) -> Result<Exit> {
    let (_, found) = session.instance(&args.target).await?;
    let mut all = runs::of(session, &found.facts.workload).await?;
    all.retain(|r| {
        matches!(r.record.state, RunState::Upgraded | RunState::Loaded)
            || (r.record.state == RunState::Open
                && r.record.upgrade.is_some()
                && !r.record.is_rehearsal())
    });
    if let Some(id) = &args.target.run_id {
        all.retain(|r| r.record.run == *id);
    }
    let mut run = all.pop().ok_or_else(|| {
        Failure::usage(format!(
            "no upgrade of {} is on record",
            found.facts.workload
        ))
    })?;
    let jobs = args
        .jobs
        .or(run.record.upgrade.as_ref().map(|u| u.jobs))
        .unwrap_or(2);
    let steps = vec![Step::Vacuum { jobs }];
    if session
        .is_dry_run(&args.act, &found.facts, "vacuum", &steps)
        .await?
    {
        return Ok(Exit::Done);
    }
    run.record.instance.pod = found.facts.pod;
    run.record.plan(Phase::Vacuum, steps);
    runs::execute(session, &mut run).await?;
    let report = RunReport {
        record: &run.record,
        now: session.k8s.now(),
        requests: session.k8s.requests(),
    };
    output::print(out, &args.output.output, &report)?;
    Ok(Exit::Done)
}
