//! The command line: grammar, shared groups of flags, and how a parsed line is run.

pub mod complete;
pub mod options;
pub mod side;
pub(crate) mod values;

use std::io::Write;

use clap::{CommandFactory, Parser, Subcommand};

use crate::commands::{self, Session};
use crate::error::{Exit, Failure, Result};
use crate::k8s::ConnectOptions;
use crate::output::{ColorChoice, Ui};

/// Take a PostgreSQL on Kubernetes to a new major version
///
/// Works on a StatefulSet or Deployment that no operator owns. Before the outage everything is prepared beside the
/// running server; during it `pg_upgrade` runs behind a guard; afterwards everything is verified, and there is a way
/// back at every moment.
#[derive(Parser, Debug)]
#[command(
    name = "kubectl-pg_upgrade",
    bin_name = "kubectl pg-upgrade",
    version,
    disable_help_subcommand = true,
    subcommand_required = true,
    arg_required_else_help = true,
    after_help = "Examples:
  # What is there, how old is it, and what would upgrade it?
  kubectl pg-upgrade list -A

  # Is it safe? Nothing is changed
  kubectl pg-upgrade preflight statefulset/pg --to 17

  # Does it work on my data, and how long does it take? On a copy
  kubectl pg-upgrade rehearse statefulset/pg --to 17

  # The whole upgrade with one confirmation
  kubectl pg-upgrade run statefulset/pg --to 17

  # The same in steps
  kubectl pg-upgrade quiesce sts/pg && kubectl pg-upgrade upgrade sts/pg --to 17 -y && kubectl pg-upgrade resume sts/pg

  # Where does it stand? From any machine
  kubectl pg-upgrade status sts/pg -w

  # Back to the old version
  kubectl pg-upgrade restore sts/pg --from archive

Exit codes: 0 done, 1 failed and the service is back on the old version, 2 bad usage, 3 refused, 4 someone else is at
work, 5 still going on (run again to follow), 6 stopped half-way, 130 interrupted."
)]
pub struct Cli {
    /// How to reach the API server.
    #[command(flatten)]
    pub connect: ConnectOptions,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// The subcommands.
#[derive(Subcommand, Debug)]
pub enum Command {
    /// List every PostgreSQL in the namespace, or in all of them
    List(commands::list::ListArgs),
    /// Read every fact, run every check, print the plan and the estimated outage
    Preflight(commands::preflight::PreflightArgs),
    /// Do the whole upgrade on a copy of the data, and say how long it takes
    Rehearse(commands::rehearse::RehearseArgs),
    /// Do the whole upgrade: preflight, quiesce, snapshot, upgrade, verify, resume, vacuum
    Run(commands::run::RunArgs),
    /// Stop everything that connects to the server, and remember it
    Quiesce(commands::quiesce::QuiesceArgs),
    /// Make a volume snapshot of the data claim
    Snapshot(commands::snapshot::SnapshotArgs),
    /// Move the data to the new major version and the workload to the new image
    Upgrade(commands::upgrade::UpgradeArgs),
    /// Put the old version back
    Restore(commands::restore::RestoreArgs),
    /// Bring back exactly what quiesce stopped
    Resume(commands::resume::ResumeArgs),
    /// Optimizer statistics, extension updates, indexes of changed collations
    Vacuum(commands::vacuum::VacuumArgs),
    /// Show what is left of earlier runs, and remove it
    Cleanup(commands::cleanup::CleanupArgs),
    /// Show where an upgrade stands, step by step
    Status(commands::status::StatusArgs),
    /// List the runs of an instance or of the namespace
    History(commands::history::HistoryArgs),
    /// Print the Role that each command needs
    Rbac(commands::rbac::RbacArgs),
    /// Print a shell completion script
    Completion(commands::completion::CompletionArgs),
    /// Print the version
    Version(commands::version::VersionArgs),
    /// Answer kubectl's question for completions
    #[command(name = "__complete", hide = true)]
    Complete(complete::CompleteArgs),
}

/// Parses and runs a command line; returns the exit code.
pub async fn run(cli: Cli, out: &mut dyn Write) -> Exit {
    let ui = Ui::stderr(ColorChoice::Auto);
    match dispatch(cli, &ui, out).await {
        Ok(exit) => exit,
        Err(failure) => {
            let (message, causes) = failure.sentences();
            ui.error(message);
            for cause in causes {
                ui.say(format!("  caused by: {cause}"));
            }
            for hint in &failure.hints {
                ui.hint(hint);
            }
            failure.exit
        }
    }
}

async fn dispatch(cli: Cli, ui: &Ui, out: &mut dyn Write) -> Result<Exit> {
    match &cli.command {
        Command::Version(args) => return commands::version::run(args, out),
        Command::Completion(args) => return commands::completion::run(args, out),
        Command::Rbac(args) => return commands::rbac::run(args, out),
        Command::Complete(args) => return complete::run(args, out),
        Command::Preflight(args) if args.list_checks => {
            return commands::preflight::list_checks(args, out);
        }
        _ => {}
    }
    let session = Session::open(&cli.connect, ui.clone()).await?;
    match &cli.command {
        Command::List(args) => commands::list::run(args, &session, out).await,
        Command::Preflight(args) => commands::preflight::run(args, &session, out).await,
        Command::Rehearse(args) => commands::rehearse::run(args, &session, out).await,
        Command::Run(args) => commands::run::run(args, &session, out).await,
        Command::Quiesce(args) => commands::quiesce::run(args, &session, out).await,
        Command::Snapshot(args) => commands::snapshot::run(args, &session, out)
            .await
            .map_err(|failure| match cli.connect.as_user.as_deref() {
                Some("dump") => failure.hint("--as names a user to impersonate, as with kubectl; a dump is made by --method dump"),
                _ => failure,
            }),
        Command::Upgrade(args) => commands::upgrade::run(args, &session, out).await,
        Command::Restore(args) => commands::restore::run(args, &session, out).await,
        Command::Resume(args) => commands::resume::run(args, &session, out).await,
        Command::Vacuum(args) => commands::vacuum::run(args, &session, out).await,
        Command::Cleanup(args) => commands::cleanup::run(args, &session, out).await,
        Command::Status(args) => commands::status::run(args, &session, out).await,
        Command::History(args) => commands::history::run(args, &session, out).await,
        _ => Err(Failure::usage("unknown command")),
    }
}

/// The clap command, for completions and documents.
pub fn command() -> clap::Command {
    Cli::command()
}

/// `user@host` of this machine, for records and leases.
pub fn user_at_host() -> String {
    let user = std::env::var("USER")
        .or_else(|_| std::env::var("LOGNAME"))
        .or_else(|_| std::env::var("USERNAME"))
        .unwrap_or_else(|_| "unknown".to_owned());
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname")
        .map(|h| h.trim().to_owned())
        .ok()
        .or_else(|| std::env::var("HOSTNAME").ok())
        .or_else(|| std::env::var("COMPUTERNAME").ok())
        .unwrap_or_else(|| "unknown".to_owned());
    format!("{user}@{host}")
}
