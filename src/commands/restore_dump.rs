//! `restore --from dump`: the data is replaced by what a dump holds, by the steps of an upgrade to the same version.

use std::io::Write;

use clap::Args;

use super::bring_up::bring_up;
use super::permanent::PatchFileArgs;
use super::survey::{self, Probe, Survey};
use super::upgrade::{LOAD_COMMAND, Wish, begin, begun, go_on, refuse_blocked, report};
use super::{Session, given, quiesce, runs};
use crate::cli::options::{ActArgs, AppsArgs, Method, OutputArgs, TargetArgs, UpgradeOptions};
use crate::cli::side::SideArgs;
use crate::cli::values;
use crate::discover::{Namespace, dump_claim, sql};
use crate::error::{Exit, Failure, Result};
use crate::exec::Lease;
use crate::output::human_seconds;
use crate::plan;
use crate::plan::dump::DumpClaim;
use crate::record::{Load, RunState};
use crate::steps::Step;

/// Which dump, and who is stopped meanwhile.
#[derive(Args, Debug)]
pub(super) struct DumpArgs {
    /// With --from dump: the claim that the dump lies on (default: the data claim, where this tool has left dumps)
    #[arg(long, value_name = "NAME", value_parser = values::object_name)]
    dump_claim: Option<String>,
    /// With --from dump: the file or directory below the claim's root, or on the data claim below the directory of runs (default: the newest dump on record)
    #[arg(long, value_name = "PATH")]
    path: Option<String>,
    /// With --from dump: the database for SQL text that does not name one
    #[arg(long, value_name = "NAME")]
    database: Option<String>,
    /// With --from dump: the image that the data was made with, where the server does not start with its present one
    #[arg(long, value_name = "REF", value_parser = values::image)]
    old_image: Option<String>,
    #[command(flatten)]
    apps: AppsArgs,
}

impl DumpArgs {
    /// Tells whether something was said that is about a dump.
    pub(super) fn is_said(&self) -> bool {
        let said = [
            &self.dump_claim,
            &self.path,
            &self.database,
            &self.old_image,
        ];
        said.iter().any(|value| value.is_some())
    }
}

/// Loads the dump, or goes on with a load that an earlier client began.
///
/// # Errors
/// Exit code 3 for a dump that cannot be loaded, with nothing changed; otherwise as an upgrade.
pub(super) async fn run(
    args: &DumpArgs,
    target: &TargetArgs,
    act: &ActArgs,
    output: &OutputArgs,
    session: &Session,
    out: &mut dyn Write,
) -> Result<Exit> {
    let asked = UpgradeOptions {
        method: Method::Load,
        snapshot: "none".to_owned(),
        old_image: args.old_image.clone(),
        ..UpgradeOptions::default()
    };
    let wish = Wish {
        command: LOAD_COMMAND,
        target,
        options: &asked,
        patch_file: &PatchFileArgs::default(),
        side: &SideArgs::default(),
        act,
        apps: Some(&args.apps),
        vacuum: true,
    };
    if let Some(run) = begun(&wish, session).await? {
        return go_on(&wish, session, run, output, out).await;
    }
    let mut options = with_present_image(session, target, &asked).await?;
    let mut survey = survey::survey(session, target, &options, Probe::Pod).await?;
    if survey.is_down() {
        // The data that the dump replaces stays as the way back, so it has to be whole.
        let up = bring_up(session, &survey, &options, act).await;
        let up = up.map_err(|failure| {
            failure.hint("the data that a dump takes the place of has to start once; where it never will, load the dump into a new instance of the same version: restore NEW --from dump --dump-claim NAME --path PATH")
        })?;
        if up.is_none() {
            return Ok(Exit::Done);
        }
        options = with_present_image(session, target, &asked).await?;
        survey = survey::survey(session, target, &options, Probe::Pod).await?;
    }
    let workload = survey.found.facts.workload.clone();
    refuse_blocked(session, &survey)?;
    let open = runs::current(session, &workload, target.run_id.as_deref()).await?;
    if let Some(open) = &open {
        if open.record.upgrade.is_some() {
            return Err(Failure::refused(format!(
                "run {} of {workload} is {}, with something left to bring back",
                open.record.run, open.record.state
            ))
            .hint("nothing was changed; finish it first, or bring its clients back with resume"));
        }
        survey.request.run.clone_from(&open.record.run);
    }
    let load = find(session, &survey, args).await?;
    let upgrade = survey.upgrade.clone().map_err(Failure::refused)?;
    let upgrade = plan::load::decided(renamed(upgrade, &survey.request.run), load);
    survey.upgrade = Ok(upgrade.clone());
    let chosen = quiesce::choose(session, &args.apps, &survey.clients).await?;
    let mut except = plan::quiesce::strangers(&survey.clients);
    except.extend(quiesce::left_alone(&chosen, &survey));
    let quiesce = plan::quiesce::steps(&chosen, args.apps.timeout.as_secs(), except);
    let steps = plan::load::steps(&survey.request, &survey.found.facts, &upgrade, quiesce);
    let shown: Vec<Step> = steps.iter().map(|(_, step)| step.clone()).collect();
    let title = title(session, &survey)?;
    if session
        .is_dry_run(act, &survey.found.facts, &title, &shown)
        .await?
    {
        return Ok(Exit::Done);
    }
    session.confirm(act, &title, &shown)?;
    let wish = Wish {
        options: &options,
        ..wish
    };
    let lease = Lease::acquire(&session.k8s, &session.ui, &workload).await?;
    let outcome = begin(&wish, session, &survey, open, steps, &lease).await;
    lease.release().await;
    let (run, outcome) = outcome?;
    report(&wish, session, output, out, &run, outcome)
}

/// What is asked for, with the image that the server has now, which it keeps.
async fn with_present_image(
    session: &Session,
    args: &TargetArgs,
    asked: &UpgradeOptions,
) -> Result<UpgradeOptions> {
    let (_, found) = session.instance(args).await?;
    Ok(UpgradeOptions {
        image: Some(found.facts.image),
        ..asked.clone()
    })
}

/// The plan under the name of a run that quiesce has begun.
fn renamed(mut upgrade: crate::record::Upgrade, run: &str) -> crate::record::Upgrade {
    for directory in [
        &mut upgrade.run_directory,
        &mut upgrade.volume_run_directory,
    ] {
        if let Some((runs, _)) = directory.rsplit_once('/') {
            *directory = format!("{runs}/{run}");
        }
    }
    upgrade
}

/// The dump that is asked for, read to its end.
async fn find(session: &Session, survey: &Survey, args: &DumpArgs) -> Result<Load> {
    let k8s = &session.k8s;
    let upgrade = survey.upgrade.clone().map_err(Failure::refused)?;
    let instance = &survey.found.facts;
    let (claim, path) = match (&args.dump_claim, &args.path) {
        (claim, Some(path)) => (claim.clone(), path.clone()),
        (claim, None) => newest(session, instance, claim.as_deref()).await?,
    };
    if let Some(claim) = &claim {
        let named = DumpClaim::Existing(claim.clone());
        let namespace = Namespace::read(k8s).await?;
        let node = instance.pod.as_ref().map(|pod| pod.node.as_str());
        let facts = dump_claim::read(k8s, &namespace, &named, node).await?;
        let unfit = match facts.unfit {
            _ if !facts.exists => Some("does not exist".to_owned()),
            None if facts.out_of_reach => {
                Some("cannot be mounted on the node of the server".to_owned())
            }
            None => facts.in_the_way(node).map(|(pod, place)| {
                format!(
                    "is in use by pod {pod} on node {place}, and its access mode ({}) keeps other pods out",
                    facts.access_modes.join(", ")
                )
            }),
            unfit => unfit,
        };
        if let Some(why) = unfit {
            return Err(
                Failure::refused(format!("PersistentVolumeClaim {claim} {why}"))
                    .hint("nothing was changed"),
            );
        }
    } else if plan::upgrade::is_cold(instance) {
        return Err(Failure::refused(
            "a dump on the data claim cannot be read before the server is stopped: only one pod may mount that claim",
        )
        .hint("nothing was changed; copy the dump to a claim of its own and say --dump-claim"));
    }
    let directory = &upgrade.volume_run_directory;
    let path = plan::load::path(claim.as_deref(), &path, directory).map_err(Failure::usage)?;
    let mut load = Load {
        claim,
        database: args.database.clone(),
        ..Load::default()
    };
    load.given = given::look(session, survey, &upgrade, &load, &path).await?;
    if !load.given.globals {
        owners_exist(session, survey, &load).await?;
    }
    Ok(load)
}

/// Roles that the dump names must be there: it would fail in the middle of the outage.
async fn owners_exist(session: &Session, survey: &Survey, load: &Load) -> Result<()> {
    let Some(pod) = &survey.found.facts.pod else {
        return Ok(());
    };
    let container = &survey.found.facts.container;
    let asked = "SELECT coalesce(json_agg(rolname::text), '[]') FROM pg_catalog.pg_roles";
    let said = sql::ask(&session.k8s, &pod.name, container, asked).await?;
    let roles: Vec<String> = serde_json::from_str(said.trim())
        .map_err(|e| Failure::refused(format!("the server's roles could not be read: {e}")))?;
    let missing = plan::load::missing_owners(&load.given, &roles);
    if missing.is_empty() {
        return Ok(());
    }
    Err(Failure::refused(format!(
        "the dump names roles that do not exist here: {}",
        plan::load::quoted(&missing)
    ))
    .hint("nothing was changed; make them first with CREATE ROLE"))
}

/// The newest dump that a run has left and sealed, on this claim or on any.
async fn newest(
    session: &Session,
    instance: &crate::facts::instance::InstanceFacts,
    claim: Option<&str>,
) -> Result<(Option<String>, String)> {
    let all = runs::of(session, &instance.workload).await?;
    let dumps = all
        .iter()
        .filter(|r| r.record.state != RunState::Cleaned)
        .flat_map(|r| &r.record.dumps);
    let newest = dumps
        .filter(|d| d.sealed && claim.is_none_or(|claim| claim == d.place.claim))
        .max_by_key(|d| d.at);
    newest
        .map(|d| (Some(d.place.claim.clone()), d.place.directory.clone()))
        .ok_or_else(|| {
            Failure::usage(format!("no dump of {} is on record", instance.workload))
                .hint("say which file or directory: --dump-claim NAME --path PATH")
        })
}

/// What is loaded, and what would not be there afterwards.
fn title(session: &Session, survey: &Survey) -> Result<String> {
    let upgrade = survey.upgrade.clone().map_err(Failure::refused)?;
    let load = upgrade
        .load
        .as_ref()
        .ok_or_else(|| Failure::refused("no dump was found"))?;
    let lost = survey
        .server
        .iter()
        .flat_map(|server| plan::load::lost(server, &load.given))
        .collect::<Vec<_>>();
    let gone = if lost.is_empty() {
        String::new()
    } else {
        format!(
            "; databases that the dump does not hold and that are not there afterwards: {}",
            plan::load::quoted(&lost)
        )
    };
    Ok(format!(
        "replace the data of {} (PostgreSQL {}) by the dump {}{gone}; the present data is kept in the archive; estimated outage {}",
        survey.found.facts.workload,
        upgrade.from_version,
        plan::load::describe(load, session.k8s.now()),
        human_seconds(std::time::Duration::from_millis(upgrade.estimate_ms)),
    ))
}
