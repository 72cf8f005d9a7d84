//! `--method side-by-side`: two servers that both run, one of which is loaded from the other.

use std::io::Write;

use k8s_openapi::api::core::v1::Container;
use serde_json::Value;

use super::runs::{self, Run};
use super::side_report::{PairReport, holdings, remarks};
use super::upgrade::{self, Wish};
use super::{Session, quiesce, side_dump};
use crate::cli::options::{OutputArgs, TargetArgs, UpgradeOptions};
use crate::cli::side::{SideArgs, split_namespace};
use crate::discover::target::{self, Found, TargetName};
use crate::discover::{Namespace, clients, sql};
use crate::error::{Exit, Failure, Result};
use crate::exec::Lease;
use crate::facts::clients::Clients;
use crate::facts::instance::Family;
use crate::k8s::names;
use crate::manifests::login::login;
use crate::manifests::side::port;
use crate::output;
use crate::plan;
use crate::plan::side::{Move, Pods};
use crate::postgres::version::ServerVersion;
use crate::record::{Asked, NewServer, RunState, Side, pod_name};
use crate::steps::Step;
use crate::steps::side::{Carrier, look};

/// Parallel jobs where none are asked for.
const JOBS: u32 = 2;

/// Both servers as they were found.
struct Pair {
    namespace: Namespace,
    old: Found,
    /// The workload that is loaded, where it is one.
    new: Option<Found>,
    clients: Clients,
    addresses: Vec<String>,
    side: Side,
    /// What the pod says of both.
    ready: Value,
}

/// Loads the other server, and leads the Services to it where that is asked for.
pub(super) async fn execute(
    wish: &Wish<'_>,
    side: &SideArgs,
    session: &Session,
    output: &OutputArgs,
    out: &mut dyn Write,
) -> Result<Exit> {
    let apps = wish.apps.ok_or_else(|| {
        Failure::usage("--method side-by-side is one of run and of preflight; nothing was changed")
    })?;
    let mut pair = find(session, wish.target, wish.options, side).await?;
    let moves = moves(&pair, side)?;
    examine(session, &mut pair, side.reset_target.is_some()).await?;
    reset_confirmed(session, &pair, side)?;
    let workload = pair.old.facts.workload.clone();
    let open = runs::current(session, &workload, wish.target.run_id.as_deref()).await?;
    let run = open.as_ref().map_or_else(
        || new_run(session, &workload.name),
        |open| open.record.run.clone(),
    );
    let (options, facts) = (wish.options, &pair.old.facts);
    pair.side.dump =
        side_dump::place(session, &pair.namespace, options, facts, pair.side.bytes).await?;
    let quiesce = if side.online {
        session.ui.warn("a trial: clients go on writing to the old server, and what they write from now on is not in the new one; nothing leads to it");
        Vec::new()
    } else {
        let chosen = quiesce::choose(session, apps, &pair.clients).await?;
        let mut except = plan::quiesce::strangers(&pair.clients);
        if chosen.len() != pair.clients.workloads.len() {
            except.extend(pair.addresses.iter().cloned());
        }
        plan::quiesce::steps(&chosen, apps.timeout.as_secs(), except)
    };
    let steps = plan::side::steps(
        &pod_name(&run),
        plan::side::room(&pair.side),
        quiesce,
        moves,
        wish.vacuum,
    );
    let shown: Vec<Step> = steps.iter().map(|(_, step)| step.clone()).collect();
    let title = format!(
        "load {} (PostgreSQL {}) from {workload} (PostgreSQL {}, {}), which is only read",
        pair.side.new,
        pair.side.to_version,
        pair.side.from_version,
        holdings(&pair.ready["source"]),
    );
    let facts = &pair.old.facts;
    if session.is_dry_run(wish.act, facts, &title, &shown).await? {
        return Ok(Exit::Done);
    }
    session.confirm(wish.act, &title, &shown)?;
    let lease = Lease::acquire(&session.k8s, &session.ui, &workload).await?;
    let begun = async {
        let mut run = match open {
            Some(run) => run,
            None => runs::start_named(session, &run, asked(wish, &pair), facts).await?,
        };
        run.record.asked = asked(wish, &pair);
        run.record.instance = facts.clone();
        run.record.side = Some(pair.side.clone());
        for (phase, step) in steps {
            run.record.plan(phase, [step]);
        }
        let outcome = upgrade::finish(session, &mut run, &lease).await;
        Ok::<_, Failure>((run, outcome))
    }
    .await;
    lease.release().await;
    let (run, outcome) = begun?;
    upgrade::report(wish, session, output, out, &run, outcome)
}

/// Prints what both servers are and whether one can be loaded from the other.
pub(super) async fn preflight(
    session: &Session,
    target: &TargetArgs,
    options: &UpgradeOptions,
    side: &SideArgs,
    output: &OutputArgs,
    out: &mut dyn Write,
) -> Result<Exit> {
    let mut pair = find(session, target, options, side).await?;
    moves(&pair, side)?;
    examine(session, &mut pair, side.reset_target.is_some()).await?;
    let report = PairReport {
        old: &pair.old.facts.workload,
        side: &pair.side,
        ready: &pair.ready,
    };
    output::print(out, &output.output, &report)?;
    Ok(Exit::Done)
}

/// What to change by hand after a run that has led nobody to the loaded server.
pub(super) fn tell(session: &Session, run: &Run) {
    let (record, ui) = (&run.record, &session.ui);
    let Some(side) = &record.side else { return };
    let target = record.target();
    match (record.state, side.online) {
        (RunState::Upgraded, _) => {
            ui.say(format!("Clients reach {} by the same Services. Make it permanent: the selectors in the manifests or values of the Services, or the next deployment leads back.", side.new));
            ui.say(format!(
                "Back: kubectl pg-upgrade restore -n {} {}/{} --from service. {target} still runs, with what it held.",
                target.namespace,
                target.kind.to_lowercase(),
                target.name
            ));
        }
        (RunState::Loaded, false) => {
            let (switch, leads) = match &side.new {
                NewServer::Workload { workload, .. } if workload.namespace == target.namespace => {
                    ("--switch and ", " and leads the Services to it")
                }
                _ => ("", ""),
            };
            ui.say(format!(
                "{} holds everything that {target} held, whose clients are back on it: what they write from now on is only there. The same command with {switch}--reset-target={} loads it anew{leads}.",
                side.new,
                side.new.name()
            ));
        }
        (RunState::Loaded, true) => ui.say(format!(
            "That was a trial. For the real load: the same command without --online, with --reset-target={}.",
            side.new.name()
        )),
        _ => {}
    }
}

async fn find(
    session: &Session,
    args: &TargetArgs,
    options: &UpgradeOptions,
    side: &SideArgs,
) -> Result<Pair> {
    let step = session.ui.step("find both servers and the clients");
    let k8s = &session.k8s;
    let (namespace, old) = session.instance(args).await?;
    let facts = &old.facts;
    let pod = facts
        .pod
        .as_ref()
        .filter(|_| facts.down.is_none())
        .ok_or_else(|| {
            Failure::refused(format!(
                "no server runs in {}, so there is nothing to read",
                facts.workload
            ))
        })?;
    let old_login = login(
        facts.family,
        &old.container,
        &old.workload.pod,
        side.password_secret.as_ref(),
    )
    .map_err(|why| Failure::usage(format!("{}: {why}", facts.workload)))?;
    let sessions = sql::sessions(k8s, &pod.name, &facts.container).await?;
    let addresses: Vec<String> = sessions.into_iter().filter_map(|s| s.address).collect();
    let clients = clients::find(&namespace, facts, &addresses);
    let (new, server) = match (&side.new, &side.target_secret) {
        (Some(name), _) => {
            let (found, server) = find_new(session, &namespace, name).await?;
            (Some(found), server)
        }
        (None, Some(name)) => (None, NewServer::Secret { name: name.clone() }),
        (None, None) => return Err(Failure::usage("which server is loaded?")),
    };
    if let NewServer::Workload { workload, .. } = &server
        && workload.uid == facts.workload.uid
    {
        return Err(Failure::usage(format!(
            "{workload} cannot be loaded from itself"
        )));
    }
    step.done(format!("{}; {server}", facts.workload));
    let like = new.as_ref().unwrap_or(&old);
    let earlier = earlier(session, &facts.workload, &server).await?;
    let side = Side {
        new: server,
        old_login,
        old_port: port(&old.container),
        image: options
            .image
            .clone()
            .unwrap_or_else(|| like.facts.image.clone()),
        uid: user(like),
        to: options.to,
        from_version: String::new(),
        to_version: String::new(),
        bytes: 0,
        jobs: options.jobs.unwrap_or(JOBS),
        reset: side.reset_target.is_some(),
        online: side.online,
        role_maps: side.role_map.clone(),
        role_passwords: side.role_passwords.clone(),
        no_tablespaces: side.no_tablespaces,
        dump: None,
        earlier,
    };
    Ok(Pair {
        namespace,
        old,
        new,
        clients,
        addresses,
        side,
        ready: Value::Null,
    })
}

async fn find_new(
    session: &Session,
    here: &Namespace,
    name: &TargetName,
) -> Result<(Found, NewServer)> {
    let k8s = &session.k8s;
    let known = here.workloads.iter().any(|w| w.id.name == name.name);
    let found = match split_namespace(name).filter(|_| !known) {
        None => target::find(k8s, here, Some(name), None).await?,
        Some((name, namespace)) => {
            let there = k8s.in_namespace(&namespace);
            let read = Namespace::read(&there).await?;
            target::find(&there, &read, Some(&name), None).await?
        }
    };
    let facts = &found.facts;
    // A pod mounts Secrets of its own namespace only.
    let known = login(facts.family, &found.container, &found.workload.pod, None);
    let login = known
        .ok()
        .filter(|login| facts.workload.namespace == k8s.namespace() || !login.needs_secret());
    if login.is_none() {
        session.ui.say(format!(
            "The login of {} is in no Secret that a pod of {} can mount, so the pod gets a role of its own there for as long as it exists.",
            facts.workload, k8s.namespace()
        ));
    }
    let server = NewServer::Workload {
        workload: Box::new(facts.workload.clone()),
        container: facts.container.clone(),
        login: login.map(Box::new),
        port: port(&found.container),
    };
    Ok((found, server))
}

/// Runs of the same pair that did not end well.
async fn earlier(
    session: &Session,
    workload: &crate::facts::instance::ObjectId,
    server: &NewServer,
) -> Result<Vec<String>> {
    let all = runs::of(session, workload).await?;
    let same = |run: &Run| {
        let side = run.record.side.as_ref();
        let ended = matches!(run.record.state, RunState::Failed | RunState::HalfWay);
        ended && side.is_some_and(|s| s.new.to_string() == server.to_string())
    };
    let runs = all.into_iter().filter(same);
    Ok(runs.map(|run| run.record.run).collect())
}

/// The user of the pod: the one that the server of that image runs as.
fn user(found: &Found) -> i64 {
    let of_container = |c: &Container| c.security_context.as_ref()?.run_as_user;
    let of_pod = || found.workload.pod.security_context.as_ref()?.run_as_user;
    let usual = match found.facts.family {
        Family::DockerLibrary => 999,
        Family::Bitnami => 1001,
    };
    of_container(&found.container)
        .or_else(of_pod)
        .filter(|uid| *uid != 0)
        .unwrap_or(usual)
}

/// The Services to lead to the new server; none where that was not asked for.
fn moves(pair: &Pair, side: &SideArgs) -> Result<Vec<Move>> {
    if !side.switch {
        return Ok(Vec::new());
    }
    let refused = |why: String| {
        Failure::refused(format!("the Services cannot be switched: {why}"))
            .hint("nothing was changed; without --switch the new server is loaded and clients are left where they are")
    };
    let old = &pair.old;
    let Some(new) = pair
        .new
        .as_ref()
        .filter(|new| new.facts.workload.namespace == old.facts.workload.namespace)
    else {
        return Err(refused(
            "a Service only leads to pods of its own namespace".to_owned(),
        ));
    };
    let pods = |found| pods(found);
    let selector = new.workload.selector.match_labels.clone();
    plan::side::moves(
        &pair.namespace.services,
        pods(old),
        pods(new),
        &selector.unwrap_or_default(),
    )
    .map_err(refused)
}

fn pods(found: &Found) -> Pods<'_> {
    Pods {
        labels: &found.workload.labels,
        container: &found.container,
        port: port(&found.container),
    }
}

/// Lets a pod look at both servers; refuses what must not be.
async fn examine(session: &Session, pair: &mut Pair, reset: bool) -> Result<()> {
    let step = session.ui.step("look at both servers from a pod");
    let facts = &pair.old.facts;
    let suffix = format!(
        "{}-{}",
        session.k8s.now().as_millisecond() % 1_000_000,
        std::process::id()
    );
    let name = names::name(&["pg-upgrade-look", &facts.workload.name, &suffix]);
    let carrier = Carrier {
        name: &name,
        run: &name,
        task: "look",
        old: &facts.workload,
        container: &facts.container,
        node: None,
        groups: &[],
        side: &pair.side,
    };
    let events = look(&session.k8s, &carrier, |text| step.note(text)).await?;
    let find = |name: &str| events.iter().rev().find(|e| e["event"] == name);
    let Some(ready) = find("ready") else {
        let why = find("refused").or_else(|| find("failed"));
        let detail = why.map_or("it said nothing", |e| {
            e["detail"].as_str().unwrap_or_default()
        });
        let mut failure = Failure::refused(format!(
            "{} cannot be loaded from {}: {detail}",
            pair.side.new, facts.workload
        ))
        .hint("nothing was changed");
        if let Some(holds) = find("holds").filter(|_| !reset) {
            failure = failure
                .hint(format!("it holds {}", holdings(&holds["databases"])))
                .hint(format!(
                    "to throw that away: --reset-target={}",
                    pair.side.new.name()
                ));
        }
        return Err(failure);
    };
    let version = |side: &str| {
        ready[side]["version"]
            .as_str()
            .unwrap_or_default()
            .to_owned()
    };
    pair.side.from_version = version("old");
    pair.side.to_version = version("new");
    step.done(format!(
        "PostgreSQL {} and {}",
        pair.side.from_version, pair.side.to_version
    ));
    let number = |version: &str| version.parse::<ServerVersion>().ok();
    let (from, to) = (
        number(&pair.side.from_version),
        number(&pair.side.to_version),
    );
    if from.zip(to).is_some_and(|(from, to)| from.outruns(to)) {
        return Err(Failure::refused(format!(
            "{} cannot be loaded from {}: PostgreSQL {} was released before {} and does not know the column option pg_attver that the latter writes",
            pair.side.new, facts.workload, pair.side.to_version, pair.side.from_version
        ))
        .hint(format!("nothing was changed; take a newer minor release of {} first", pair.side.new)));
    }
    let sizes = ready["source"].as_array().into_iter().flatten();
    pair.side.bytes = sizes.filter_map(|d| d["bytes"].as_u64()).sum();
    pair.ready = ready.clone();
    for text in remarks(&pair.ready) {
        session.ui.warn(text);
    }
    Ok(())
}

/// What is lost is shown, and the name typed.
fn reset_confirmed(session: &Session, pair: &Pair, side: &SideArgs) -> Result<()> {
    let Some(typed) = &side.reset_target else {
        return Ok(());
    };
    let name = pair.side.new.name();
    let lost = holdings(&pair.ready["lost"]);
    session
        .ui
        .warn(format!("{} loses what it holds: {lost}", pair.side.new));
    if typed == name {
        return Ok(());
    }
    if !typed.is_empty() {
        return Err(Failure::usage(format!(
            "--reset-target={typed} does not name the server that is loaded, {name}; nothing was changed"
        )));
    }
    match session.ui.confirm_typed(name) {
        Ok(true) => Ok(()),
        Ok(false) => Err(Failure::new(
            Exit::Interrupted,
            "not confirmed; nothing was changed",
        )),
        Err(_) => Err(Failure::usage(
            "there is no terminal to type the name on; nothing was changed",
        )
        .hint(format!("say --reset-target={name}"))),
    }
}

fn new_run(session: &Session, workload: &str) -> String {
    names::name(&[
        workload,
        &session.k8s.now().strftime("%y%m%d-%H%M%S").to_string(),
    ])
}

fn asked(wish: &Wish<'_>, pair: &Pair) -> Asked {
    Asked {
        command: wish.command.to_owned(),
        to: wish.options.to,
        image: Some(pair.side.image.clone()),
        transfer: "side-by-side".to_owned(),
        snapshot: "none".to_owned(),
        apps: wish.apps.map(|a| a.apps.clone()).unwrap_or_default(),
        verify: "counts".to_owned(),
        outage_budget_ms: None,
    }
}
