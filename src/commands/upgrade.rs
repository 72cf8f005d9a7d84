//! `upgrade`: the data to the new major version, the workload to the new image.

use std::io::Write;

use clap::Args;

use super::bring_up::bring_up;
use super::permanent::PatchFileArgs;
use super::report::RunReport;
use super::runs::{self, Run};
use super::survey::{OPERATOR_OWNED, Probe, Survey, survey};
use super::{Session, preflight, side_by_side};
use crate::cli::options::{ActArgs, OutputArgs, TargetArgs, UpgradeOptions};
use crate::cli::side::SideArgs;
use crate::discover::target;
use crate::error::{Exit, Failure, Result};
use crate::exec::Lease;
use crate::output::{self, human_seconds};
use crate::plan;
use crate::record::{Asked, Phase, RunState, StepState, Upgrade};
use crate::steps::Step;

/// Move the data to the new major version and the workload to the new image
///
/// Clients are not stopped: quiesce does that, or run does it all. Everything that can be done beside the running server
/// is done before it is stopped. On a failure the old server comes back by itself.
#[derive(Args, Debug)]
pub struct UpgradeArgs {
    #[command(flatten)]
    target: TargetArgs,
    #[command(flatten)]
    options: UpgradeOptions,
    #[command(flatten)]
    patch_file: PatchFileArgs,
    #[command(flatten)]
    act: ActArgs,
    #[command(flatten)]
    output: OutputArgs,
}

/// Upgrades, or goes on with an upgrade that an earlier client began.
///
/// # Errors
/// As documented by the exit codes.
pub async fn run(args: &UpgradeArgs, session: &Session, out: &mut dyn Write) -> Result<Exit> {
    let wish = Wish {
        command: "upgrade",
        target: &args.target,
        options: &args.options,
        patch_file: &args.patch_file,
        act: &args.act,
        apps: None,
        vacuum: false,
        side: &SideArgs::default(),
    };
    execute(&wish, session, &args.output, out).await
}

/// The command of runs that load a dump, in the record.
pub(super) const LOAD_COMMAND: &str = "restore --from dump";

/// What `upgrade` and `run` have in common.
pub(super) struct Wish<'a> {
    pub(super) command: &'static str,
    pub(super) target: &'a TargetArgs,
    pub(super) options: &'a UpgradeOptions,
    pub(super) patch_file: &'a PatchFileArgs,
    pub(super) act: &'a ActArgs,
    /// Which clients are stopped; none at all for `upgrade`.
    pub(super) apps: Option<&'a crate::cli::options::AppsArgs>,
    pub(super) vacuum: bool,
    /// The other server of `--method side-by-side`.
    pub(super) side: &'a SideArgs,
}

pub(super) async fn execute(
    wish: &Wish<'_>,
    session: &Session,
    output: &OutputArgs,
    out: &mut dyn Write,
) -> Result<Exit> {
    let by_side = is_consistent(wish)?;
    if let Some(run) = begun(wish, session).await? {
        return go_on(wish, session, run, output, out).await;
    }
    if by_side {
        return side_by_side::execute(wish, wish.side, session, output, out).await;
    }
    let mut survey = survey(session, wish.target, wish.options, Probe::Pod).await?;
    let raised;
    let wish = if survey.is_down() {
        let Some(options) = bring_up(session, &survey, wish.options, wish.act).await? else {
            return Ok(Exit::Done);
        };
        raised = options;
        survey = super::survey::survey(session, wish.target, &raised, Probe::Pod).await?;
        &Wish {
            options: &raised,
            ..*wish
        }
    } else {
        wish
    };
    if let Some(done) = already_there(wish, session, &survey) {
        return done;
    }
    refuse_blocked(session, &survey)?;
    let upgrade = survey.upgrade.clone().map_err(Failure::refused)?;
    within_budget(wish, upgrade.estimate_ms)?;
    let open = runs::current(
        session,
        &survey.found.facts.workload,
        wish.target.run_id.as_deref(),
    )
    .await?;
    if let Some(open) = &open {
        survey.request.run.clone_from(&open.record.run);
        survey.upgrade = plan::upgrade::decide(
            &survey.request,
            &survey.found.facts,
            survey
                .server
                .as_ref()
                .ok_or_else(|| Failure::refused("no server runs"))?,
            survey
                .target
                .as_ref()
                .ok_or_else(|| Failure::refused("the target is not known"))?,
            target::environment(&survey.found.container).contains_key("PGDATA"),
        )
        .map(|again| Upgrade {
            estimate_ms: upgrade.estimate_ms,
            rehearsed: upgrade.rehearsed,
            ..survey.crossed(again)
        });
    }
    let upgrade = survey.upgrade.clone().map_err(Failure::refused)?;
    let quiesce = match wish.apps {
        None => Vec::new(),
        Some(apps) => {
            let chosen = super::quiesce::choose(session, apps, &survey.clients).await?;
            let mut except = plan::quiesce::strangers(&survey.clients);
            except.extend(super::quiesce::left_alone(&chosen, &survey));
            plan::quiesce::steps(&chosen, apps.timeout.as_secs(), except)
        }
    };
    let mut steps = plan::upgrade::steps(&survey.request, &survey.found.facts, &upgrade, quiesce);
    if wish.vacuum {
        steps.push((Phase::Vacuum, Step::Vacuum { jobs: upgrade.jobs }));
    }
    let shown: Vec<Step> = steps.iter().map(|(_, step)| step.clone()).collect();
    let title = format!(
        "upgrade {} from PostgreSQL {} to {} ({}; transfer mode {}: {}; estimated outage {})",
        survey.found.facts.workload,
        upgrade.from_version,
        upgrade.to_version,
        upgrade.new_image,
        upgrade.transfer,
        upgrade.transfer_reason,
        human_seconds(std::time::Duration::from_millis(upgrade.estimate_ms)),
    );
    if session
        .is_dry_run(wish.act, &survey.found.facts, &title, &shown)
        .await?
    {
        return Ok(Exit::Done);
    }
    session.confirm(wish.act, &title, &shown)?;
    let lease = Lease::acquire(&session.k8s, &session.ui, &survey.found.facts.workload).await?;
    let outcome = begin(wish, session, &survey, open, steps, &lease).await;
    let (run, outcome) = match outcome {
        Ok(done) => done,
        Err(failure) => {
            lease.release().await;
            return Err(failure);
        }
    };
    lease.release().await;
    report(wish, session, output, out, &run, outcome)
}

/// Flags that contradict each other are refused. Returns whether another server is to be loaded.
fn is_consistent(wish: &Wish<'_>) -> Result<bool> {
    wish.patch_file.check()?;
    let by_side = wish.side.wanted(wish.options)?;
    if by_side && wish.patch_file.is_wanted() {
        return Err(Failure::usage(
            "--patch-file has no meaning with --method side-by-side, which changes no workload",
        ));
    }
    Ok(by_side)
}

/// Goes on where an earlier client stopped or was killed.
pub(super) async fn go_on(
    wish: &Wish<'_>,
    session: &Session,
    mut run: Run,
    output: &OutputArgs,
    out: &mut dyn Write,
) -> Result<Exit> {
    session.ui.say(format!(
        "going on with run {}, begun by {}",
        run.record.run, run.record.started_by
    ));
    let lease = Lease::acquire(&session.k8s, &session.ui, run.record.target()).await?;
    // Another client may have gone on in the meantime.
    if let Some(newer) =
        runs::current(session, &run.record.target().clone(), Some(&run.record.run)).await?
    {
        run = newer;
    }
    let outcome = finish(session, &mut run, &lease).await;
    lease.release().await;
    report(wish, session, output, out, &run, outcome)
}

pub(super) async fn begin(
    wish: &Wish<'_>,
    session: &Session,
    survey: &Survey,
    open: Option<Run>,
    steps: Vec<(Phase, Step)>,
    lease: &Lease,
) -> Result<(Run, Result<()>)> {
    unchanged(session, survey).await?;
    let asked = Asked {
        command: wish.command.to_owned(),
        to: wish.options.to,
        image: Some(survey.request.image.clone()),
        transfer: survey.request.transfer.clone(),
        snapshot: survey.request.snapshot.clone(),
        apps: wish.apps.map(|a| a.apps.clone()).unwrap_or_default(),
        verify: survey.request.verify.clone(),
        outage_budget_ms: wish
            .options
            .outage_budget
            .map(|b| u64::try_from(b.as_millis()).unwrap_or(u64::MAX)),
    };
    let mut run = if let Some(run) = open {
        run
    } else {
        let facts = &survey.found.facts;
        runs::start_named(session, &survey.request.run, asked.clone(), facts).await?
    };
    // A run that quiesce began was asked for less: the budget and the rest are this command's.
    run.record.asked = asked;
    run.record.instance = survey.found.facts.clone();
    run.record.upgrade = survey.upgrade.clone().ok();
    for (phase, step) in steps {
        run.record.plan(phase, [step]);
    }
    let outcome = finish(session, &mut run, lease).await;
    Ok((run, outcome))
}

/// Does what is left to do, and gives the run its final state.
pub(super) async fn finish(session: &Session, run: &mut Run, lease: &Lease) -> Result<()> {
    runs::execute_or_back(session, run, lease).await?;
    let back = run.record.steps.iter().any(|e| e.phase == Phase::Back);
    let loaded = run.record.is_load()
        || run.record.upgrade.is_none()
            && !run
                .record
                .in_force()
                .any(|e| matches!(e.step, Step::MoveService { .. }));
    run.record.state = match (back, loaded) {
        (true, _) => RunState::Failed,
        (false, true) => RunState::Loaded,
        (false, false) => RunState::Upgraded,
    };
    run.record.finished_at = Some(session.k8s.now());
    run.store.save(&run.record).await
}

/// A run of this instance that was begun and not finished.
pub(super) async fn begun(wish: &Wish<'_>, session: &Session) -> Result<Option<Run>> {
    let named = if let Some(name) = &wish.target.target {
        target::named(&session.k8s, name).await
    } else {
        let found = session.instance(wish.target).await;
        found.map(|(_, found)| found.facts.workload)
    };
    let id = match named {
        Ok(id) => id,
        // An operator's instance has no run; the survey refuses it with the version that is asked for.
        Err(failure) if failure.exit == Exit::Refused => return Ok(None),
        Err(failure) => return Err(failure),
    };
    let run = runs::current(session, &id, wish.target.run_id.as_deref()).await?;
    if let Some(run) = run.as_ref().filter(|r| r.record.state == RunState::HalfWay) {
        return Err(
            Failure::refused(format!("run {} of {id} stopped half-way", run.record.run)).hint(
                format!(
                    "next: kubectl pg-upgrade restore -n {} {}/{} --from archive (or --from snapshot)",
                    id.namespace,
                    id.kind.to_lowercase(),
                    id.name
                ),
            ),
        );
    }
    let run = run.filter(|r| {
        r.record.state == RunState::Open
            && r.record.has_plan()
            && r.record
                .steps
                .iter()
                .any(|e| matches!(e.state, StepState::Pending | StepState::Started))
    });
    match run {
        Some(run) if run.record.is_load() != (wish.command == LOAD_COMMAND) => {
            let began = &run.record.asked.command;
            Err(Failure::refused(format!(
                "run {} of {id}, begun by {began}, is not finished",
                run.record.run
            ))
            .hint("nothing was changed; finish it first by the same command again"))
        }
        run => Ok(run),
    }
}

/// The server already is what was asked for: nothing to do, exit code 0.
fn already_there(wish: &Wish<'_>, session: &Session, survey: &Survey) -> Option<Result<Exit>> {
    let server = survey.server.as_ref()?;
    let to = survey.target.as_ref().map(|t| t.version.major)?;
    let same_image = survey.found.facts.image == survey.request.image;
    let asked = wish
        .options
        .to
        .is_some_and(|m| m == u32::from(server.version.major.number()));
    (server.version.major == to && (same_image || asked)).then(|| {
        session.ui.say(format!(
            "{} already runs PostgreSQL {}",
            survey.found.facts.workload, server.version
        ));
        Ok(Exit::Done)
    })
}

pub(super) fn refuse_blocked(session: &Session, survey: &Survey) -> Result<()> {
    let blockers = preflight::blockers(survey);
    if blockers.is_empty() {
        for finding in survey
            .findings
            .iter()
            .filter(|f| f.severity == crate::checks::Severity::Warning)
        {
            session
                .ui
                .warn(format!("{}: {}", finding.check, finding.message));
        }
        return Ok(());
    }
    if let Some(finding) = survey.findings.iter().find(|f| f.check == OPERATOR_OWNED) {
        let what = format!(
            "{}, which upgrades it itself; nothing was changed",
            finding.message
        );
        return Err(Failure::refused(what).hint(format!("its own procedure:\n{}", finding.fix)));
    }
    let mut failure = Failure::refused(format!(
        "{} thing{} in the way of upgrading {}; nothing was changed",
        blockers.len(),
        if blockers.len() == 1 { " is" } else { "s are" },
        survey.found.facts.workload
    ));
    for blocker in blockers {
        failure = failure.hint(blocker);
    }
    Err(failure.hint("everything about them: kubectl pg-upgrade preflight with the same arguments; waive one with --ignore-checks ID"))
}

fn within_budget(wish: &Wish<'_>, estimate_ms: u64) -> Result<()> {
    match wish.options.outage_budget {
        Some(budget) if u128::from(estimate_ms) > budget.as_millis() => {
            Err(Failure::refused(format!(
                "the estimated outage of {} is longer than the budget of {}",
                human_seconds(std::time::Duration::from_millis(estimate_ms)),
                human_seconds(budget)
            )))
        }
        _ => Ok(()),
    }
}

/// The prompt and the lease aged the facts: what the plan rests on must still be so.
async fn unchanged(session: &Session, survey: &Survey) -> Result<()> {
    let before = &survey.found.facts;
    let now = target::read_workload(&session.k8s, &before.workload).await?;
    let image = now
        .pod
        .containers
        .iter()
        .find(|c| c.name == before.container)
        .and_then(|c| c.image.clone());
    let planned = survey.upgrade.as_ref().ok();
    let change = planned.and_then(|upgrade| upgrade.change(&before.container));
    let spec = serde_json::to_value(&now.pod)?;
    if now.replicas != before.replicas
        || image.as_deref() != Some(before.image.as_str())
        || change.is_some_and(|change| !change.fits(&spec))
    {
        return Err(Failure::refused(format!(
            "{} was changed while this command looked at it",
            before.workload
        ))
        .hint("nothing was changed by this command; run it again"));
    }
    Ok(())
}

pub(super) fn report(
    wish: &Wish<'_>,
    session: &Session,
    output: &OutputArgs,
    out: &mut dyn Write,
    run: &Run,
    outcome: Result<()>,
) -> Result<Exit> {
    let report = RunReport {
        record: &run.record,
        now: session.k8s.now(),
        requests: session.k8s.requests(),
    };
    output::print(out, &output.output, &report)?;
    outcome?;
    super::permanent::tell(session, &run.record);
    wish.patch_file.write(session, &run.record);
    side_by_side::tell(session, run);
    Ok(Exit::Done)
}
