//! `version`.

use std::io::Write;

use clap::Args;
use serde_json::{Value, json};

use crate::cli::options::OutputArgs;
use crate::error::{Exit, Result};
use crate::output::{self, Report, TableSection};

/// Print the version
#[derive(Args, Debug)]
pub struct VersionArgs {
    #[command(flatten)]
    output: OutputArgs,
}

struct Version;

impl Report for Version {
    fn json(&self) -> Value {
        json!({
            "apiVersion": super::report::API_VERSION,
            "kind": "Version",
            "version": env!("CARGO_PKG_VERSION"),
        })
    }

    fn tables(&self, _wide: bool) -> Vec<TableSection> {
        let mut table = TableSection::new(["VERSION"]);
        table.row([env!("CARGO_PKG_VERSION")]);
        vec![table]
    }

    fn names(&self) -> Vec<String> {
        vec![env!("CARGO_PKG_VERSION").to_owned()]
    }
}

/// Prints it.
///
/// # Errors
/// When stdout cannot be written.
pub fn run(args: &VersionArgs, out: &mut dyn Write) -> Result<Exit> {
    output::print(out, &args.output.output, &Version)?;
    Ok(Exit::Done)
}
