//! `status`: where an upgrade stands, read from the record, from any machine.

use std::io::Write;
use std::time::Duration;

use clap::Args;
use k8s_openapi::api::core::v1::ConfigMap;

use super::report::RunReport;
use super::{Session, runs};
use crate::cli::options::{OutputArgs, TargetArgs};
use crate::discover::target;
use crate::error::{Exit, Failure, Result};
use crate::exec::Store;
use crate::exec::store::{self, config_map_name};
use crate::k8s::{Progress, wait_for};
use crate::output;
use crate::record::{Record, RunState};

/// Show where an upgrade stands, step by step
#[derive(Args, Debug)]
pub struct StatusArgs {
    #[command(flatten)]
    target: TargetArgs,
    /// Follow it until it ends
    #[arg(short = 'w', long)]
    watch: bool,
    #[command(flatten)]
    output: OutputArgs,
}

/// Prints the newest run of the instance, or the one that is named.
///
/// # Errors
/// Exit code 2 when there is none.
pub async fn run(args: &StatusArgs, session: &Session, out: &mut dyn Write) -> Result<Exit> {
    let mut record = newest(args, session).await?;
    loop {
        let report = RunReport {
            record: &record,
            now: session.k8s.now(),
            requests: session.k8s.requests(),
        };
        output::print(out, &args.output.output, &report)?;
        let going_on = record.state == RunState::Open && record.has_open_steps();
        if !args.watch || !going_on {
            return Ok(exit_of(&record));
        }
        record = next(session, &record).await?;
        writeln!(out)?;
    }
}

/// Waits until the record is another than the one that was shown.
async fn next(session: &Session, shown: &Record) -> Result<Record> {
    let name = config_map_name(&shown.run);
    wait_for(
        session.k8s.api::<ConfigMap>(),
        &name,
        Duration::from_secs(24 * 3600),
        |map: Option<&ConfigMap>| match map.map(store::parse) {
            None => Progress::Failed(format!("ConfigMap {name}, the record, was deleted")),
            Some(Err(why)) => Progress::Failed(why),
            Some(Ok(record)) if record == *shown => Progress::Waiting("no change".to_owned()),
            Some(Ok(record)) => Progress::Done(record),
        },
        |_| {},
    )
    .await
    .map_err(|e| Failure::from(e).context(format!("following run {}", shown.run)))
}

fn exit_of(record: &Record) -> Exit {
    match record.state {
        RunState::Open if record.has_open_steps() => Exit::Unfinished,
        RunState::HalfWay => Exit::HalfWay,
        RunState::Failed => Exit::Failed,
        _ => Exit::Done,
    }
}

async fn newest(args: &StatusArgs, session: &Session) -> Result<Record> {
    let mut records: Vec<Record> = match &args.target.target {
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
    if let Some(id) = &args.target.run_id {
        records.retain(|r| r.run == *id);
    }
    records.pop().ok_or_else(|| {
        Failure::usage(format!(
            "no run found in namespace {}",
            session.k8s.namespace()
        ))
        .hint("start one with: kubectl pg-upgrade run TARGET --to MAJOR")
    })
}
