//! `snapshot`: a volume snapshot of the data claim, waited for.

use std::io::Write;
use std::time::Duration;

use clap::Args;

use super::report::RunReport;
use super::{Session, runs};
use crate::cli::options::{ActArgs, OutputArgs, TargetArgs};
use crate::discover::{Namespace, target};
use crate::error::{Exit, Failure, Result};
use crate::k8s::names;
use crate::output;
use crate::record::{Asked, Phase};
use crate::steps::Step;

/// Make a volume snapshot of the data claim
///
/// It is crash-consistent while the server runs, and complete when it is stopped. After quiesce nothing is written any more.
#[derive(Args, Debug)]
pub struct SnapshotArgs {
    #[command(flatten)]
    target: TargetArgs,
    /// VolumeSnapshotClass (default: the one that fits the driver)
    #[arg(long, value_name = "CLASS")]
    class: Option<String>,
    /// Give up when it is not ready to use after this time
    #[arg(long, value_name = "DURATION", default_value = "10m", value_parser = humantime::parse_duration)]
    timeout: Duration,
    #[command(flatten)]
    act: ActArgs,
    #[command(flatten)]
    output: OutputArgs,
}

/// Makes it and waits until it is ready to use.
///
/// # Errors
/// Exit code 3 where the storage has no snapshots.
pub async fn run(args: &SnapshotArgs, session: &Session, out: &mut dyn Write) -> Result<Exit> {
    let namespace = Namespace::read(&session.k8s).await?;
    let found = target::find(
        &session.k8s,
        &namespace,
        args.target.target.as_ref(),
        args.target.container.as_deref(),
    )
    .await?;
    let claim = found.facts.claim.as_ref().ok_or_else(|| {
        Failure::refused(format!("{} has no claim to snapshot", found.facts.workload))
    })?;
    let class = match (&args.class, &claim.snapshot_class) {
        (Some(class), _) | (None, Some(class)) => class.clone(),
        (None, None) => {
            return Err(Failure::refused(format!(
                "{} cannot be snapshotted: {}",
                claim.id, claim.no_snapshot_reason
            ))
            .hint(
                "nothing was changed; transfer modes clone and copy need no snapshot to go back",
            ));
        }
    };
    let existing = runs::current(
        session,
        &found.facts.workload,
        args.target.run_id.as_deref(),
    )
    .await?;
    let name = names::name(&[
        "pg-upgrade",
        &found.facts.workload.name,
        &session.k8s.now().strftime("%y%m%d-%H%M%S").to_string(),
    ]);
    let stopped = found.facts.pod.is_none();
    let steps = vec![Step::Snapshot {
        name,
        class,
        wait_seconds: args.timeout.as_secs().max(1),
        stopped,
    }];
    if session
        .is_dry_run(&args.act, &found.facts, "snapshot", &steps)
        .await?
    {
        return Ok(Exit::Done);
    }
    session.show("snapshot", &steps);
    let mut run = if let Some(run) = existing {
        run
    } else {
        let asked = Asked {
            command: "snapshot".to_owned(),
            ..Asked::default()
        };
        runs::start(session, asked, &found.facts).await?
    };
    run.record.plan(Phase::Snapshot, steps);
    runs::execute(session, &mut run).await?;
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
