//! `rehearse`: the whole upgrade on a copy of the data; the server in use is not touched.

use std::io::Write;
use std::time::Duration;

use clap::{Args, ValueEnum};
use serde_json::{Value, json};

use super::report::{API_VERSION, warnings};
use super::runs::{self, Run};
use super::survey::{Probe, Survey, survey};
use super::{Session, upgrade};
use crate::checks::Severity;
use crate::cli::options::{ActArgs, OutputArgs, TargetArgs, UpgradeOptions};
use crate::cli::values;
use crate::error::{Exit, Failure, Result};
use crate::exec::Lease;
use crate::output::{self, Report, TableSection, human_seconds};
use crate::plan;
use crate::plan::rehearse::{Pace, Source};
use crate::record::{Asked, RunState};
use crate::steps::Step;

/// Do the whole upgrade on a copy of the data, and say how long it takes
///
/// A volume snapshot of the live claim becomes a claim of its own; there the old server recovers, is upgraded, compared,
/// started and analyzed. Then everything is deleted, also after a failure or Ctrl-C. The server in use sees one read of
/// its catalogs. Where the storage has no volume snapshots its data directory is copied through an online backup, which
/// costs the server a checkpoint, the reading, and a temporary replication slot. The time is the estimate of later runs.
#[derive(Args, Debug)]
pub struct RehearseArgs {
    #[command(flatten)]
    target: TargetArgs,
    #[command(flatten)]
    options: UpgradeOptions,
    /// Most that a copy without volume snapshots reads in a second, such as 20Mi
    #[arg(long, value_name = "BYTES", default_value = "64Mi", value_parser = values::rate)]
    copy_rate: u64,
    /// How the server writes the checkpoint that such a copy begins with: fast is one burst, spread takes minutes
    #[arg(long, value_enum, default_value_t)]
    checkpoint: Checkpoint,
    #[command(flatten)]
    act: ActArgs,
    #[command(flatten)]
    output: OutputArgs,
}

/// `--checkpoint`, as `pg_basebackup` has it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Checkpoint {
    /// Over the time that the server's settings give a checkpoint.
    #[default]
    Spread,
    /// At once.
    Fast,
}

/// Rehearses and prints what the upgrade will take.
///
/// # Errors
/// Exit code 3 when preflight refuses or there can be no copy, 1 when the copy could not be upgraded.
pub async fn run(args: &RehearseArgs, session: &Session, out: &mut dyn Write) -> Result<Exit> {
    let pace = Pace {
        rate: args.copy_rate,
        fast: args.checkpoint == Checkpoint::Fast,
    };
    let survey = survey(session, &args.target, &args.options, Probe::Copy(pace)).await?;
    upgrade::refuse_blocked(session, &survey)?;
    let upgrade = survey.upgrade.clone().map_err(Failure::refused)?;
    let source = source(&survey, pace)?;
    if let (Source::Server(_), Some(claim)) = (&source, &survey.found.facts.claim) {
        session.ui.say(format!(
            "no volume snapshot can be made ({}): the running server is copied",
            claim.no_snapshot_reason
        ));
    }
    let steps = plan::rehearse::steps(&survey.request.run, &source, &upgrade);
    let shown: Vec<Step> = steps.iter().map(|(_, step)| step.clone()).collect();
    let title = format!(
        "rehearse the upgrade of {} from PostgreSQL {} to {}",
        survey.found.facts.workload, upgrade.from_version, upgrade.to_version
    );
    if session
        .is_dry_run(&args.act, &survey.found.facts, &title, &shown)
        .await?
    {
        return Ok(Exit::Done);
    }
    session.show(&title, &shown);
    let lease = Lease::acquire(&session.k8s, &session.ui, &survey.found.facts.workload).await?;
    let outcome = under_lease(session, &survey, steps, &lease).await;
    lease.release().await;
    let run = outcome?;
    let report = RehearsalReport {
        run: &run,
        survey: &survey,
        requests: session.k8s.requests(),
    };
    output::print(out, &args.output.output, &report)?;
    Ok(Exit::Done)
}

async fn under_lease(
    session: &Session,
    survey: &Survey,
    steps: Vec<(crate::record::Phase, Step)>,
    lease: &Lease,
) -> Result<Run> {
    let workload = &survey.found.facts.workload;
    for mut run in runs::of(session, workload).await? {
        if run.record.is_rehearsal() && run.record.state == RunState::Open {
            session.ui.say(format!(
                "deleting what is left of rehearsal {}, begun by {}",
                run.record.run, run.record.started_by
            ));
            runs::drop_abandoned(session, &mut run, lease).await?;
        }
    }
    let asked = Asked {
        command: "rehearse".to_owned(),
        image: Some(survey.request.image.clone()),
        transfer: survey.request.transfer.clone(),
        verify: survey.request.verify.clone(),
        ..Asked::default()
    };
    let mut run =
        runs::start_named(session, &survey.request.run, asked, &survey.found.facts).await?;
    run.record.upgrade = survey.upgrade.clone().ok();
    for (phase, step) in steps {
        run.record.plan(phase, [step]);
    }
    runs::execute_and_drop(session, &mut run, lease).await?;
    Ok(run)
}

/// Where the copy comes from.
fn source(survey: &Survey, pace: Pace) -> Result<Source> {
    let server = survey.server.as_ref();
    let server = server.ok_or_else(|| Failure::refused("no server runs that could be copied"))?;
    plan::rehearse::source(&survey.request, &survey.found.facts, server, pace).map_err(|why| {
        Failure::refused(format!("there is no copy to rehearse on: {why}"))
            .hint("nothing was made; preflight checks what can be checked without a copy")
    })
}

struct RehearsalReport<'a> {
    run: &'a Run,
    survey: &'a Survey,
    requests: u64,
}

impl RehearsalReport<'_> {
    fn times(&self) -> &Value {
        self.run.record.result.as_ref().unwrap_or(&Value::Null)
    }

    /// What preflight found that is to be done after the upgrade or can be done before.
    fn to_do(&self) -> Vec<&str> {
        let findings = self.survey.findings.iter();
        findings
            .filter(|f| f.severity == Severity::Warning)
            .map(|f| f.fix.as_str())
            .filter(|fix| !fix.is_empty())
            .collect()
    }
}

fn seconds(value: &Value) -> String {
    human_seconds(Duration::from_millis(value.as_u64().unwrap_or(0)))
}

impl Report for RehearsalReport<'_> {
    fn json(&self) -> Value {
        let record = &self.run.record;
        let times = self.times();
        json!({
            "apiVersion": API_VERSION,
            "kind": "RehearsalReport",
            "run": record.run,
            "instance": record.instance.workload,
            "from": record.upgrade.as_ref().map(|u| &u.from_version),
            "to": record.upgrade.as_ref().map(|u| &u.to_version),
            "transfer": record.upgrade.as_ref().map(|u| &u.transfer),
            "predictedOutageMs": times["predicted_outage_ms"],
            "pgUpgradeMs": times["pg_upgrade_ms"],
            "dumpMs": times["dump_ms"],
            "loadMs": times["load_ms"],
            "startMs": times["start_ms"],
            "verifyMs": times["verify_ms"],
            "firstAnalyzeMs": times["analyze_ms"],
            "recoveryMs": times["recovery_ms"],
            "verified": record.observed.iter().find(|o| o["event"] == "verified"),
            "warnings": warnings(record),
            "toDo": self.to_do(),
            "apiRequests": self.requests,
        })
    }

    fn tables(&self, _wide: bool) -> Vec<TableSection> {
        let record = &self.run.record;
        let times = self.times();
        let mut head = TableSection::fields();
        head.field("Instance", record.target().to_string());
        if let Some(upgrade) = &record.upgrade {
            head.field(
                "Versions",
                format!("{} -> {}", upgrade.from_version, upgrade.to_version),
            );
            head.field("Transfer", upgrade.transfer.as_str());
        }
        for verdict in record.observed.iter().filter(|o| o["event"] == "verified") {
            head.field("Verified", crate::verify::sentence(verdict));
        }
        for text in warnings(record) {
            head.field("Warning", text);
        }
        let mut table = TableSection::new(["PART", "TIME"]).titled("The outage will be");
        for (part, key) in [
            ("pg_upgrade", "pg_upgrade_ms"),
            ("dump", "dump_ms"),
            ("load", "load_ms"),
            ("start of the new server", "start_ms"),
            ("verification", "verify_ms"),
        ] {
            if !times[key].is_null() {
                table.row([part.to_owned(), seconds(&times[key])]);
            }
        }
        table.note(format!(
            "Your upgrade takes {} of outage, the pod's end and start included.",
            seconds(&times["predicted_outage_ms"])
        ));
        table.note(format!(
            "First statistics after it: {}. Clients that quiesce stops take their own time to end and to start.",
            seconds(&times["analyze_ms"])
        ));
        let to_do = self.to_do();
        if !to_do.is_empty() {
            table.note(format!("Things to do: {}", to_do.join("; ")));
        }
        vec![head, table]
    }

    fn names(&self) -> Vec<String> {
        vec![format!("run.pg-upgrade.dev/{}", self.run.record.run)]
    }
}
