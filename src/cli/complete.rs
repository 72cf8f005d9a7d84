//! Answers `kubectl_complete-pg_upgrade`: one candidate a line, then kubectl's directive.

use std::ffi::OsString;
use std::io::Write;

use clap::Args;

use crate::error::{Exit, Result};

/// Words of the line so far; the last one is being typed.
#[derive(Args, Debug)]
pub struct CompleteArgs {
    /// The words.
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    words: Vec<OsString>,
}

/// Prints the candidates; `:4` tells kubectl not to offer files (kubectl `plugin_completion.go`).
pub(super) fn run(args: &CompleteArgs, out: &mut dyn Write) -> Result<Exit> {
    let mut line = vec![OsString::from("kubectl-pg_upgrade")];
    line.extend(args.words.iter().cloned());
    if args.words.is_empty() {
        line.push(OsString::new());
    }
    let index = line.len() - 1;
    let mut command = super::command();
    let candidates =
        clap_complete::engine::complete(&mut command, line, index, None).unwrap_or_default();
    for candidate in candidates {
        let value = candidate.get_value().to_string_lossy().into_owned();
        match candidate.get_help() {
            Some(help) => writeln!(out, "{value}\t{help}")?,
            None => writeln!(out, "{value}")?,
        }
    }
    writeln!(out, ":4")?;
    Ok(Exit::Done)
}
