//! `preflight`: every fact, every check, the plan and the estimated outage; nothing is changed.

use std::io::Write;

use clap::Args;
use serde_json::{Value, json};

use super::report::API_VERSION;
use super::survey::{Probe, Survey, survey};
use super::template_lines;
use super::{Session, side_by_side};
use crate::checks::{self, Finding, Severity};
use crate::cli::options::{OutputArgs, TargetArgs, UpgradeOptions};
use crate::cli::side::SideArgs;
use crate::error::{Exit, Failure, Result};
use crate::output::{self, Cell, Report, TableSection, Tone, human_seconds};
use crate::plan;
use crate::record::Phase;
use crate::steps::Step;

/// Read every fact, run every check, print the plan and the estimated outage
///
/// Makes a short-lived pod of the new image beside the server, and nothing at all with --read-only.
/// Ends with 3 when something would make the upgrade fail.
#[derive(Args, Debug)]
pub struct PreflightArgs {
    #[command(flatten)]
    target: TargetArgs,
    #[command(flatten)]
    options: UpgradeOptions,
    #[command(flatten)]
    side: SideArgs,
    /// Make no object; what only the target image can tell stays unknown
    #[arg(long)]
    read_only: bool,
    /// Do not make the schema anew in a scratch server; the running one is not asked for a dump of it
    #[arg(long)]
    no_schema_restore: bool,
    /// Print every check and whether it may be ignored; asks no API server
    #[arg(long)]
    pub list_checks: bool,
    #[command(flatten)]
    output: OutputArgs,
}

/// Prints the report.
///
/// # Errors
/// When the instance cannot be found or read.
pub async fn run(args: &PreflightArgs, session: &Session, out: &mut dyn Write) -> Result<Exit> {
    if args.side.wanted(&args.options)? {
        if args.read_only {
            return Err(Failure::usage(
                "--method side-by-side looks at the servers from a pod, which --read-only does not make",
            ));
        }
        let (target, options, side) = (&args.target, &args.options, &args.side);
        return side_by_side::preflight(session, target, options, side, &args.output, out).await;
    }
    let probe = match (args.read_only, args.no_schema_restore) {
        (true, _) => Probe::Nothing,
        (false, true) => Probe::Pod,
        (false, false) => Probe::Schema,
    };
    let survey = survey(session, &args.target, &args.options, probe).await?;
    let report = PreflightReport {
        survey: &survey,
        requests: session.k8s.requests(),
        read_only: args.read_only,
    };
    output::print(out, &args.output.output, &report)?;
    Ok(if report.blocked() {
        Exit::Refused
    } else {
        Exit::Done
    })
}

/// Prints every check; needs no API server.
///
/// # Errors
/// When stdout cannot be written.
pub fn list_checks(args: &PreflightArgs, out: &mut dyn Write) -> Result<Exit> {
    output::print(out, &args.output.output, &CheckList)?;
    Ok(Exit::Done)
}

/// Every check, printable.
struct CheckList;

impl Report for CheckList {
    fn json(&self) -> Value {
        json!({"apiVersion": API_VERSION, "kind": "CheckList", "items": checks::report::list()})
    }

    fn tables(&self, wide: bool) -> Vec<TableSection> {
        let mut headers = vec!["CHECK", "LOOKS AT", "SEVERITY", "IGNORABLE", "TITLE"];
        if wide {
            headers.extend(["WHY", "WHAT TO DO"]);
        }
        let mut table = TableSection::new(headers);
        for check in checks::report::list() {
            let ignorable = if check.waivable { "yes" } else { "no" };
            let severity = check.severity.as_str();
            let mut row = vec![check.id, check.layer, severity, ignorable, check.title];
            if wide {
                row.extend([check.why, check.mend]);
            }
            table.row(row);
        }
        vec![table]
    }

    fn names(&self) -> Vec<String> {
        let ids = checks::report::list().into_iter().map(|check| check.id);
        ids.map(|id| format!("check.pg-upgrade.dev/{id}")).collect()
    }
}

/// The blockers of a survey, and the reason when no plan is possible.
pub(super) fn blockers(survey: &Survey) -> Vec<String> {
    let mut blockers: Vec<String> = survey
        .findings
        .iter()
        .filter(|f| f.severity == Severity::Blocker)
        .map(|f| format!("{}: {}{}", f.check, f.message, about(&f.objects)))
        .collect();
    if let Err(reason) = &survey.upgrade
        && blockers.is_empty()
    {
        blockers.push(reason.clone());
    }
    blockers
}

/// The first few objects of a finding, in parentheses.
fn about(objects: &[String]) -> String {
    const SHOWN: usize = 5;
    match objects.len() {
        0 => String::new(),
        1..=SHOWN => format!(" ({})", objects.join(", ")),
        n => format!(" ({}, and {} more)", objects[..SHOWN].join(", "), n - SHOWN),
    }
}

/// What preflight found, printable.
pub(super) struct PreflightReport<'a> {
    pub(super) survey: &'a Survey,
    pub(super) requests: u64,
    pub(super) read_only: bool,
}

impl PreflightReport<'_> {
    fn blocked(&self) -> bool {
        let by_check = self
            .survey
            .findings
            .iter()
            .any(|f| f.severity == Severity::Blocker);
        by_check || (self.survey.upgrade.is_err() && !self.read_only)
    }

    fn steps(&self) -> Vec<(Phase, Step)> {
        let Ok(upgrade) = &self.survey.upgrade else {
            return Vec::new();
        };
        let quiesce = plan::quiesce::steps(
            &self.survey.clients.workloads,
            60,
            plan::quiesce::strangers(&self.survey.clients),
        );
        plan::upgrade::steps(
            &self.survey.request,
            &self.survey.found.facts,
            upgrade,
            quiesce,
        )
    }
}

impl Report for PreflightReport<'_> {
    fn json(&self) -> Value {
        let survey = self.survey;
        let upgrade = survey.upgrade.as_ref().ok();
        json!({
            "apiVersion": API_VERSION,
            "kind": "PreflightReport",
            "ready": !self.blocked(),
            "instance": survey.found.facts,
            "from": survey.server.as_ref().map(|s| s.version.to_string()),
            "to": survey.target.as_ref().map(|t| t.version.to_string()),
            "image": survey.request.image,
            "findings": survey.findings,
            "clients": survey.clients,
            "plan": upgrade.map(|u| json!({
                "transfer": u.transfer,
                "transferReason": u.transfer_reason,
                "estimatedOutageMs": u.estimate_ms,
                "rehearsed": u.rehearsed,
                "runDirectory": u.run_directory,
                "steps": self.steps().iter().map(|(phase, step)| {
                    json!({"phase": phase, "step": step, "text": step.to_string()})
                }).collect::<Vec<_>>(),
            })),
            "refusal": survey.upgrade.as_ref().err(),
            "apiRequests": self.requests,
        })
    }

    fn tables(&self, wide: bool) -> Vec<TableSection> {
        let survey = self.survey;
        let mut head = TableSection::fields();
        head.field("Instance", survey.found.facts.workload.to_string());
        head.field(
            "From",
            survey
                .server
                .as_ref()
                .map(|s| format!("PostgreSQL {}", s.version)),
        );
        head.field(
            "To",
            survey.target.as_ref().map_or_else(
                || survey.request.image.clone(),
                |t| format!("PostgreSQL {} ({})", t.version, survey.request.image),
            ),
        );
        if let Some(claim) = &survey.found.facts.claim {
            head.field(
                "Claim",
                format!("{} ({})", claim.id.name, claim.storage_class),
            );
        }
        let mut sections = vec![head, findings_table(&survey.findings, wide)];
        for finding in survey.findings.iter().filter(|f| f.fix.contains('\n')) {
            let mut whole = TableSection::fields().titled(format!("To do for {}", finding.check));
            for line in finding.fix.lines() {
                whole.note(line);
            }
            sections.push(whole);
        }
        if !survey.clients.workloads.is_empty() || !survey.clients.strangers.is_empty() {
            let mut table = TableSection::new(["CLIENT", "REPLICAS", "WHY"]).titled("Clients");
            for client in &survey.clients.workloads {
                let name = format!("{}/{}", client.id.kind.to_lowercase(), client.id.name);
                table.row([name, client.replicas.to_string(), client.reason.clone()]);
            }
            for stranger in &survey.clients.strangers {
                table.row([
                    stranger.address.clone(),
                    String::new(),
                    format!("{}; it is not stopped", stranger.who),
                ]);
            }
            sections.push(table);
        }
        if let Ok(upgrade) = &survey.upgrade {
            let mut table = TableSection::new(["STEP", "DOES"]).titled("Plan");
            for (number, (_, step)) in self.steps().iter().enumerate() {
                table.row([(number + 1).to_string(), step.to_string()]);
            }
            table.note(format!(
                "Transfer mode {}: {}.",
                upgrade.transfer, upgrade.transfer_reason
            ));
            table.note(format!(
                "Estimated outage: {}{}.",
                human_seconds(std::time::Duration::from_millis(upgrade.estimate_ms)),
                if upgrade.rehearsed {
                    ", as a rehearsal of it took"
                } else {
                    ", by the size and the number of tables; rehearse measures it on a copy"
                }
            ));
            sections.push(table);
            let steps = self.steps();
            let mut change = TableSection::fields();
            for line in steps.iter().flat_map(|(_, step)| template_lines(step)) {
                change.note(line);
            }
            if upgrade.template.is_some() {
                sections.push(change);
            }
        }
        let mut verdict = TableSection::fields();
        let blockers = blockers(survey).len();
        if self.blocked() {
            verdict.note(format!(
                "Not ready: {blockers} blocker{}.",
                if blockers == 1 { "" } else { "s" }
            ));
            if let Err(reason) = &survey.upgrade {
                verdict.note(format!("No plan: {reason}."));
            }
        } else if self.read_only {
            verdict.note(
                "Nothing in the way so far; the target image was not looked into (--read-only).",
            );
        } else {
            verdict.note("Ready.");
        }
        sections.push(verdict);
        sections
    }

    fn names(&self) -> Vec<String> {
        let id = &self.survey.found.facts.workload;
        vec![format!("{}.apps/{}", id.kind.to_lowercase(), id.name)]
    }
}

fn findings_table(findings: &[Finding], wide: bool) -> TableSection {
    let mut table = TableSection::new(["SEVERITY", "CHECK", "FOUND", "TO DO"]);
    for finding in findings
        .iter()
        .filter(|f| wide || f.severity != Severity::Info)
    {
        let tone = match finding.severity {
            Severity::Blocker => Tone::Bad,
            Severity::Warning => Tone::Warn,
            Severity::Info => Tone::Plain,
        };
        let mut found = finding.message.clone();
        if !finding.objects.is_empty() {
            let shown: Vec<&str> = finding.objects.iter().take(5).map(String::as_str).collect();
            let more = finding.objects.len().saturating_sub(shown.len());
            found = format!(
                "{found}: {}{}",
                shown.join(", "),
                if more > 0 {
                    format!(" and {more} more")
                } else {
                    String::new()
                }
            );
        }
        table.row([
            Cell::new(format!("{:?}", finding.severity).to_lowercase(), tone),
            Cell::from(finding.check.to_string()),
            Cell::from(found),
            // What takes several lines has a section of its own.
            Cell::from(if finding.fix.contains('\n') {
                "see below"
            } else {
                finding.fix.as_str()
            }),
        ]);
    }
    if table.rows.is_empty() {
        table.note("No findings.");
    }
    table
}

#[cfg(test)]
mod tests;
