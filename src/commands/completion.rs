//! `completion`: a shell script, and the way to kubectl's own completion.

use std::io::Write;

use clap::{Args, ValueEnum};

use crate::error::{Exit, Result};

/// Print a shell completion script
///
/// kubectl completes `kubectl pg-upgrade` itself once an executable named kubectl_complete-pg_upgrade is on the PATH.
#[derive(Args, Debug)]
pub struct CompletionArgs {
    /// Shell to complete in; `kubectl` prints the executable that kubectl calls
    #[arg(value_enum)]
    shell: Shell,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Shell {
    Kubectl,
}

const SHIM: &str = include_str!("../../completions/kubectl_complete-pg_upgrade");

/// Prints the script.
///
/// # Errors
/// When stdout cannot be written.
pub fn run(args: &CompletionArgs, out: &mut dyn Write) -> Result<Exit> {
    let Shell::Kubectl = args.shell;
    out.write_all(SHIM.as_bytes())?;
    Ok(Exit::Done)
}
