//! `snapshot`: a volume snapshot of the data claim, waited for; or a dump of the running server.

mod download;
pub(super) mod dump;
mod part;
mod tar;

use std::io::Write;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, ValueEnum};

use super::report::RunReport;
use super::{Session, runs};
use crate::cli::options::{ActArgs, OutputArgs, TargetArgs};
use crate::cli::values;
use crate::error::{Exit, Failure, Result};
use crate::k8s::names;
use crate::manifests::login::SecretKey;
use crate::output;
use crate::plan::dump::DumpClaim;
use crate::record::{Asked, Phase};
use crate::steps::Step;

/// Make a volume snapshot of the data claim, or a dump of the running server
///
/// A volume snapshot is crash-consistent while the server runs, and complete when it is stopped. After quiesce nothing is
/// written any more. A dump is made by a pod of the server's own image, database by database, each consistent in itself; it is
/// proven whole, sealed with checksums, and kept on the claim of --dump-claim until cleanup.
#[derive(Args, Debug)]
pub struct SnapshotArgs {
    #[command(flatten)]
    target: TargetArgs,
    /// What to make
    #[arg(long, value_enum, default_value_t)]
    method: Method,
    /// Where a dump lies and is kept: a claim of this name, or one of this size that is made
    #[arg(long, value_name = "NAME|SIZE", value_parser = values::dump_claim)]
    dump_claim: Option<DumpClaim>,
    /// Parallel jobs of a dump (default: 2)
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=64))]
    jobs: Option<u32>,
    /// Bring the dump here as a tar: the one that is made, or without --dump-claim the newest that there is
    #[arg(long, value_name = "FILE")]
    download: Option<PathBuf>,
    /// Secret with the superuser's password, where the server's container does not have it from one
    #[arg(long, value_name = "NAME[/KEY]")]
    password_secret: Option<SecretKey>,
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

/// `--method`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
enum Method {
    /// A VolumeSnapshot.
    #[default]
    Volume,
    /// A dump by `pg_dump`.
    Dump,
}

/// Makes it and waits until it is ready to use.
///
/// # Errors
/// Exit code 3 where the storage has no snapshots.
pub async fn run(args: &SnapshotArgs, session: &Session, out: &mut dyn Write) -> Result<Exit> {
    if args.method == Method::Dump {
        return dump::run(args, session, out).await;
    }
    if args.dump_claim.is_some()
        || args.jobs.is_some()
        || args.password_secret.is_some()
        || args.download.is_some()
    {
        return Err(Failure::usage(
            "--dump-claim, --jobs, --password-secret and --download are of a dump: say --method dump too",
        )
        .hint("nothing was changed"));
    }
    let (_, found) = session.instance(&args.target).await?;
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
