//! `quiesce`: everything that connects is stopped, and remembered.

use std::io::Write;

use clap::Args;
use kube::api::ListParams;

use super::report::RunReport;
use super::survey::Survey;
use super::{Session, runs};
use crate::cli::options::{ActArgs, AppsArgs, OutputArgs, TargetArgs};
use crate::discover::clients;
use crate::discover::sql;
use crate::error::{Exit, Failure, Result};
use crate::facts::clients::{Client, Clients};
use crate::output;
use crate::plan::quiesce::{Apps, steps};
use crate::record::{Asked, Phase};

/// Stop everything that connects to the server, and remember it
///
/// Deployments and StatefulSets are scaled to zero, CronJobs suspended; autoscalers pause by themselves at zero.
/// Then it waits until no client session is left. resume brings back exactly what was stopped.
#[derive(Args, Debug)]
pub struct QuiesceArgs {
    #[command(flatten)]
    target: TargetArgs,
    #[command(flatten)]
    apps: AppsArgs,
    #[command(flatten)]
    act: ActArgs,
    #[command(flatten)]
    output: OutputArgs,
}

/// Stops the clients.
///
/// # Errors
/// When clients are still connected after `--timeout`; what was stopped stays stopped.
pub async fn run(args: &QuiesceArgs, session: &Session, out: &mut dyn Write) -> Result<Exit> {
    let (namespace, found) = session.instance(&args.target).await?;
    let workload = found.facts.workload.clone();
    let addresses = match &found.facts.pod {
        None => Vec::new(),
        Some(pod) => {
            let sessions = sql::sessions(&session.k8s, &pod.name, &found.facts.container).await?;
            sessions.into_iter().filter_map(|s| s.address).collect()
        }
    };
    let seen = clients::find(&namespace, &found.facts, &addresses);
    let chosen = choose(session, &args.apps, &seen).await?;
    for client in &chosen {
        let scaler = client.autoscaler.as_ref().map_or_else(String::new, |h| {
            format!("; HorizontalPodAutoscaler {h} pauses by itself at zero")
        });
        session
            .ui
            .say(format!("{}: {}{scaler}", client.id, client.reason));
    }
    for stranger in &seen.strangers {
        session.ui.warn(format!(
            "{} ({}) cannot be stopped by scaling something here",
            stranger.address, stranger.who
        ));
    }
    let steps = steps(&chosen, args.apps.timeout.as_secs(), Vec::new());
    if steps.is_empty() {
        session.ui.say(format!("nothing that uses {workload} runs"));
        return Ok(Exit::Done);
    }
    if session
        .is_dry_run(&args.act, &found.facts, "quiesce", &steps)
        .await?
    {
        return Ok(Exit::Done);
    }
    session.confirm(
        &args.act,
        &format!("quiesce the clients of {workload}"),
        &steps,
    )?;
    let mut run = if let Some(run) =
        runs::current(session, &workload, args.target.run_id.as_deref()).await?
    {
        run
    } else {
        let asked = Asked {
            command: "quiesce".to_owned(),
            apps: args.apps.apps.clone(),
            ..Asked::default()
        };
        runs::start(session, asked, &found.facts).await?
    };
    run.record.plan(Phase::Quiesce, steps);
    let outcome = runs::execute(session, &mut run).await;
    let report = RunReport {
        record: &run.record,
        now: session.k8s.now(),
        requests: session.k8s.requests(),
    };
    output::print(out, &args.output.output, &report)?;
    outcome.map_err(|failure| {
        failure.hint(format!(
            "what was stopped stays stopped; bring it back with: kubectl pg-upgrade resume {}/{}",
            workload.kind.to_lowercase(),
            workload.name
        ))
    })?;
    Ok(Exit::Done)
}

/// The clients that `--apps` or `-l` choose.
pub(super) async fn choose(
    session: &Session,
    args: &AppsArgs,
    seen: &Clients,
) -> Result<Vec<Client>> {
    if let Some(selector) = &args.selector {
        return by_selector(session, selector).await;
    }
    match Apps::parse(&args.apps).map_err(Failure::usage)? {
        Apps::None => Ok(Vec::new()),
        Apps::Auto => Ok(seen.workloads.clone()),
        Apps::Named(names) => {
            let mut chosen = Vec::new();
            for name in names {
                let known = seen
                    .workloads
                    .iter()
                    .find(|c| format!("{}/{}", c.id.kind, c.id.name) == name);
                match known {
                    Some(client) => chosen.push(client.clone()),
                    None => chosen.push(read_client(session, &name).await?),
                }
            }
            Ok(chosen)
        }
    }
}

async fn by_selector(session: &Session, selector: &str) -> Result<Vec<Client>> {
    let params = ListParams::default().labels(selector);
    let mut chosen = Vec::new();
    for kind in ["Deployment", "StatefulSet", "CronJob"] {
        let list = session
            .k8s
            .regular(api_version_of(kind), kind)
            .list(&params)
            .await
            .map_err(|e| {
                Failure::from(e)
                    .context(format!("listing {kind}s by {selector}"))
                    .with_exit(Exit::Usage)
            })?;
        chosen.extend(
            list.items
                .into_iter()
                .map(|object| client_of(kind, object, &format!("matches {selector}"))),
        );
    }
    if chosen.is_empty() {
        return Err(Failure::usage(format!(
            "nothing matches the label selector {selector:?}"
        )));
    }
    Ok(chosen)
}

async fn read_client(session: &Session, name: &str) -> Result<Client> {
    let (kind, name) = name.split_once('/').unwrap_or(("Deployment", name));
    let object = session
        .k8s
        .regular(api_version_of(kind), kind)
        .get_opt(name)
        .await?
        .ok_or_else(|| {
            Failure::usage(format!(
                "no {kind} named {name} in namespace {}",
                session.k8s.namespace()
            ))
        })?;
    Ok(client_of(kind, object, "named by --apps"))
}

fn api_version_of(kind: &str) -> &'static str {
    if kind == "CronJob" {
        "batch/v1"
    } else {
        "apps/v1"
    }
}

fn client_of(kind: &str, object: kube::api::DynamicObject, reason: &str) -> Client {
    let spec = &object.data["spec"];
    let replicas = if kind == "CronJob" {
        i32::from(spec["suspend"] != true)
    } else {
        i32::try_from(spec["replicas"].as_i64().unwrap_or(1)).unwrap_or(i32::MAX)
    };
    Client {
        id: crate::facts::instance::ObjectId {
            api_version: api_version_of(kind).to_owned(),
            kind: kind.to_owned(),
            namespace: object.metadata.namespace.unwrap_or_default(),
            name: object.metadata.name.unwrap_or_default(),
            uid: object.metadata.uid.unwrap_or_default(),
        },
        replicas,
        reason: reason.to_owned(),
        autoscaler: None,
    }
}

/// Addresses of sessions whose workloads are known but were not chosen: nobody waits for them.
pub(super) fn left_alone(chosen: &[Client], survey: &Survey) -> Vec<String> {
    if chosen.len() == survey.clients.workloads.len() {
        return Vec::new();
    }
    survey
        .server
        .iter()
        .flat_map(|s| s.sessions.iter().flatten())
        .filter_map(|s| s.address.clone())
        .collect()
}
