//! `restore`: the old version back, data directory, image, replicas and clients; or the data of a dump.

use std::io::Write;

use clap::{Args, ValueEnum};

use super::report::RunReport;
use super::restore_dump::{self, DumpArgs};
use super::{Session, runs};
use crate::cli::options::{ActArgs, OutputArgs, TargetArgs};
use crate::error::{Exit, Failure, Result};
use crate::exec::Lease;
use crate::facts::instance::InstanceFacts;
use crate::output;
use crate::plan;
use crate::plan::restore::{Source, archive_is_whole, choose_snapshot, meant, steps};
use crate::record::{Phase, Record, RunState, Upgrade};
use crate::steps::Step;

/// Put the old version back, or replace the data by a dump
///
/// The server is stopped, the old data directory takes its place, image and replicas are as they were before the upgrade.
/// What was written to the new version since is not in the old one; the new data directory is kept until cleanup.
///
/// --from dump loads a dump of this tool, or one of the user's (`pg_dump -Fc`, `-Fd`, `-Ft`, SQL text of `pg_dump` or `pg_dumpall`, also
/// compressed), into a new data directory of the present version; --from archive goes back to the data before.
#[derive(Args, Debug)]
pub struct RestoreArgs {
    #[command(flatten)]
    target: TargetArgs,
    /// Where the data comes from: the archived data directory on the volume (all but transfer modes link and swap), a volume snapshot, a dump, or the old server of --method side-by-side, to which the Services lead again
    #[arg(long, value_enum)]
    from: From,
    /// Name of the VolumeSnapshot (default: the newest of the run that was cut with the server stopped)
    #[arg(long, value_name = "NAME")]
    snapshot: Option<String>,
    #[command(flatten)]
    dump: DumpArgs,
    #[command(flatten)]
    act: ActArgs,
    #[command(flatten)]
    output: OutputArgs,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum From {
    Archive,
    Snapshot,
    Service,
    Dump,
}

/// Restores.
///
/// # Errors
/// Exit code 3 where that way back does not exist; exit code 6 when it stopped half-way (run it again).
pub async fn run(args: &RestoreArgs, session: &Session, out: &mut dyn Write) -> Result<Exit> {
    if args.from == From::Dump {
        if args.snapshot.is_some() {
            return Err(Failure::usage("--snapshot goes with --from snapshot"));
        }
        let (target, act, output) = (&args.target, &args.act, &args.output);
        return restore_dump::run(&args.dump, target, act, output, session, out).await;
    }
    if args.dump.is_said() {
        return Err(Failure::usage(
            "--dump-claim, --path, --database and --old-image go with --from dump",
        ));
    }
    old_version(args, session, out).await
}

/// Puts the old version back.
async fn old_version(args: &RestoreArgs, session: &Session, out: &mut dyn Write) -> Result<Exit> {
    let (_, found) = session.instance(&args.target).await?;
    let workload = found.facts.workload.clone();
    let mut all = runs::of(session, &workload).await?;
    all.retain(|r| {
        r.record.has_plan() && r.record.state != RunState::Cleaned && !r.record.is_rehearsal()
    });
    if let Some(id) = &args.target.run_id {
        all.retain(|r| r.record.run == *id);
    }
    let states: Vec<RunState> = all.iter().map(|r| r.record.state).collect();
    let mut run = meant(&states)
        .map(|place| all.swap_remove(place))
        .ok_or_else(|| Failure::usage(format!("no upgrade of {workload} is on record")))?;
    if run.record.state == RunState::Restored {
        session
            .ui
            .say(format!("run {} was restored already", run.record.run));
        return Ok(Exit::Done);
    }
    let resuming = run.record.steps.iter().any(|e| {
        e.phase == Phase::Back
            && matches!(
                e.state,
                crate::record::StepState::Started | crate::record::StepState::Failed
            )
    });
    let steps = way_back(args, &run.record, &found.facts)?;
    let (from, to) = run.record.versions().unwrap_or_default();
    let title = format!(
        "put PostgreSQL {from} back for {workload}; what was written to {to} since {} is not in it",
        run.record.started_at.strftime("%Y-%m-%d %H:%M:%SZ")
    );
    if session
        .is_dry_run(&args.act, &found.facts, &title, &steps)
        .await?
    {
        return Ok(Exit::Done);
    }
    session.confirm(&args.act, &title, &steps)?;
    if resuming {
        session
            .ui
            .say("an earlier way back was not finished; it is done again from its start");
    }
    let lease = Lease::acquire(&session.k8s, &session.ui, &workload).await?;
    let mut acting_record = run.record.clone();
    for entry in &mut acting_record.steps {
        if matches!(
            entry.state,
            crate::record::StepState::Pending | crate::record::StepState::Started
        ) {
            entry.state = crate::record::StepState::Skipped;
        }
    }
    acting_record.state = RunState::Open;
    acting_record.plan(Phase::Back, steps);
    run.record = acting_record;
    let outcome = runs::execute_under(session, &mut run, &lease).await;
    run.record.state = if outcome.is_ok() {
        RunState::Restored
    } else {
        RunState::HalfWay
    };
    run.record.finished_at = Some(session.k8s.now());
    run.store.save(&run.record).await?;
    lease.release().await;
    let report = RunReport {
        record: &run.record,
        now: session.k8s.now(),
        requests: session.k8s.requests(),
    };
    output::print(out, &args.output.output, &report)?;
    outcome.map_err(|failure| {
        failure
            .with_exit(Exit::HalfWay)
            .hint("every step can be repeated: type the same command again")
    })?;
    Ok(Exit::Done)
}

/// The steps that lead back, or why there are none.
fn way_back(args: &RestoreArgs, record: &Record, now: &InstanceFacts) -> Result<Vec<Step>> {
    let usage =
        |what: &str| Failure::usage(format!("run {} {what}; nothing was changed", record.run));
    match (&record.upgrade, &record.side) {
        (Some(upgrade), _) if args.from != From::Service => {
            Ok(steps(record, upgrade, now, &source(args, record, upgrade)?))
        }
        (None, Some(_)) if args.from == From::Service => {
            if plan::side::services_back(record).is_empty() {
                return Err(usage("leads no Service to another server"));
            }
            Ok(plan::side::back(record))
        }
        (None, Some(_)) => Err(usage(
            "loaded another server: the way back is --from service",
        )),
        _ => Err(usage(
            "led no Service to another server: the way back is --from archive or --from snapshot",
        )),
    }
}

/// Where the old data is, or why it is not there.
fn source(args: &RestoreArgs, record: &Record, upgrade: &Upgrade) -> Result<Source> {
    Ok(match args.from {
        From::Archive => {
            let never_started = !record.steps.iter().any(|e| {
                matches!(e.step, crate::steps::Step::Switch { .. }) && e.started_at.is_some()
            });
            if !never_started {
                archive_is_whole(upgrade).map_err(|why| {
                    Failure::refused(why).hint("nothing was changed; use --from snapshot")
                })?;
            }
            Source::Archive
        }
        From::Snapshot if upgrade.tablespaces => {
            return Err(Failure::refused(
                "the data directory of a volume snapshot would lead to the present tablespaces, not to those of the snapshot",
            )
            .hint("nothing was changed; use --from archive"));
        }
        // Have been told apart before.
        From::Snapshot | From::Service | From::Dump => Source::Snapshot(
            choose_snapshot(record, args.snapshot.as_deref()).map_err(|why| {
                Failure::refused(why).hint("nothing was changed; use --from archive")
            })?,
        ),
    })
}
