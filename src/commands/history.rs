//! `history`: every run of an instance or of the namespace.

use std::io::Write;

use clap::Args;

use super::report::RunList;
use super::{Session, runs};
use crate::cli::options::{OutputArgs, TargetArgs};
use crate::discover::target;
use crate::error::{Exit, Result};
use crate::exec::Store;
use crate::output;
use crate::record::Record;

/// List the runs of an instance or of the namespace, oldest first
#[derive(Args, Debug)]
pub struct HistoryArgs {
    #[command(flatten)]
    target: TargetArgs,
    #[command(flatten)]
    output: OutputArgs,
}

/// Prints the list; an empty one is no error.
///
/// # Errors
/// When records cannot be read.
pub async fn run(args: &HistoryArgs, session: &Session, out: &mut dyn Write) -> Result<Exit> {
    let records: Vec<Record> = match &args.target.target {
        Some(name) => {
            let workload = target::named(&session.k8s, name).await?;
            runs::of(session, &workload)
                .await?
                .into_iter()
                .map(|r| r.record)
                .collect()
        }
        None => Store::list(&session.k8s, None)
            .await?
            .into_iter()
            .map(|(_, record)| record)
            .collect(),
    };
    if records.is_empty() {
        session.ui.say(format!(
            "No runs found in {} namespace.",
            session.k8s.namespace()
        ));
    }
    output::print(out, &args.output.output, &RunList(records.iter().collect()))?;
    Ok(Exit::Done)
}
