//! `run`: the whole chain with one confirmation.

use std::io::Write;

use clap::Args;

use super::Session;
use super::permanent::PatchFileArgs;
use super::upgrade::{Wish, execute};
use crate::cli::options::{ActArgs, AppsArgs, OutputArgs, TargetArgs, UpgradeOptions};
use crate::cli::side::SideArgs;
use crate::error::{Exit, Result};

/// Do the whole upgrade: preflight, quiesce, snapshot, upgrade, verify, resume, vacuum
///
/// On a failure before the new server has run on linked files the old server and its clients come back by themselves.
/// Kill this command anywhere: the pod goes on, and the same command typed again, on another machine too, picks it up.
#[derive(Args, Debug)]
pub struct RunArgs {
    #[command(flatten)]
    target: TargetArgs,
    #[command(flatten)]
    options: UpgradeOptions,
    #[command(flatten)]
    patch_file: PatchFileArgs,
    #[command(flatten)]
    side: SideArgs,
    #[command(flatten)]
    apps: AppsArgs,
    /// Leave out statistics, extension updates and indexes at the end
    #[arg(long)]
    skip_vacuum: bool,
    #[command(flatten)]
    act: ActArgs,
    #[command(flatten)]
    output: OutputArgs,
}

/// Runs it, or goes on with a run that an earlier client began.
///
/// # Errors
/// As documented by the exit codes.
pub async fn run(args: &RunArgs, session: &Session, out: &mut dyn Write) -> Result<Exit> {
    let wish = Wish {
        command: "run",
        target: &args.target,
        options: &args.options,
        patch_file: &args.patch_file,
        act: &args.act,
        apps: Some(&args.apps),
        vacuum: !args.skip_vacuum,
        side: &args.side,
    };
    execute(&wish, session, &args.output, out).await
}
