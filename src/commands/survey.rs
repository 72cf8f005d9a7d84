//! Everything that preflight, run and upgrade look at before they decide.

use serde_json::Value;

use crate::checks::{self, CheckInput, Finding};
use crate::cli::options::{Method, TargetArgs, UpgradeOptions};
use crate::commands::{dry_run, flags, image_probe, rbac};
use crate::discover::clients;
use crate::discover::image_files;
use crate::discover::managed;
use crate::discover::target::{self, Found};
use crate::discover::{self, Namespace};
use crate::error::{Failure, Result};
use crate::exec::Store;
use crate::facts::clients::Clients;
use crate::facts::dump_claim::DumpClaimFacts;
use crate::facts::instance::{Family, InstanceFacts, OwnerKind};
use crate::facts::server::ServerFacts;
use crate::facts::surroundings::Surroundings;
use crate::facts::target::TargetFacts;
use crate::k8s::K8s;
use crate::k8s::access::Access;
use crate::k8s::names;
use crate::plan::crossing::{self, Crossing};
use crate::plan::place::{self, Placement};
use crate::plan::rehearse as rehearsal;
use crate::plan::upgrade::{self as plan, Request};
use crate::postgres::image;
use crate::postgres::version::{MajorVersion, UnsupportedPair, supported_pair};
use crate::record::{DUMP, LOAD, Upgrade};
use crate::steps::Step;

use super::Session;

/// The check that stands for all others where an operator owns the instance.
pub(super) const OPERATOR_OWNED: &str = "operator-owned";

/// How much a survey may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Probe {
    /// A short-lived pod of the new image looks at the image and the volume.
    Pod,
    /// The same, with the old programs beside it and an attempt to make the schema.
    Schema,
    /// The same, for an upgrade of a copy, which is made at this pace where it is not a volume snapshot.
    Copy(rehearsal::Pace),
    /// No object at all is made.
    Nothing,
}

/// What was found and what follows from it.
pub(super) struct Survey {
    pub(super) found: Found,
    pub(super) clients: Clients,
    pub(super) server: Option<ServerFacts>,
    pub(super) target: Option<TargetFacts>,
    pub(super) request: Request,
    pub(super) findings: Vec<Finding>,
    /// What changes with the family of the image, when it does.
    pub(super) crossing: Option<Crossing>,
    /// The decided upgrade, or why there is none.
    pub(super) upgrade: Result<Upgrade, String>,
}

impl Survey {
    /// An upgrade with what changes with the family of the image.
    pub(super) fn crossed(&self, upgrade: Upgrade) -> Upgrade {
        with_crossing(self.crossing.as_ref(), upgrade)
    }

    /// No server runs, and it is ours to bring one up.
    pub(super) fn is_down(&self) -> bool {
        let operators = self.findings.iter().any(|f| f.check == OPERATOR_OWNED);
        self.server.is_none() && self.found.facts.down.is_some() && !operators
    }
}

/// Finds the instance and reads everything about it, its clients, the target image and the volume.
pub(super) async fn survey(
    session: &Session,
    target_args: &TargetArgs,
    options: &UpgradeOptions,
    probe: Probe,
) -> Result<Survey> {
    flags::only_known_checks(options)?;
    flags::suits_method(options)?;
    let k8s = &session.k8s;
    let step = session.ui.step("find the instance and its clients");
    let (namespace, found) = find(k8s, target_args, options.to).await?;
    if found
        .facts
        .owners
        .iter()
        .any(|o| o.kind == OwnerKind::Operator)
    {
        step.done(found.facts.workload.to_string());
        return Ok(left_alone(found, options));
    }
    let image = target_image(&found.facts, options)?;
    step.done(found.facts.workload.to_string());

    let step = session.ui.step("read the running server");
    let (server, access) = tokio::join!(read_server(session, &found), read_access(session));
    let server = server?;
    match &server {
        Some(server) => step.done(format!("PostgreSQL {}", server.version)),
        None => step.skipped("no server runs"),
    }
    let clients = clients::find(&namespace, &found.facts, &addresses(server.as_ref()));
    let mut surroundings = discover::surroundings::read(k8s, &namespace, &found, &clients).await;
    surroundings.dump_claim = dump_claim(k8s, &namespace, &found, options).await?;
    let run = names::name(&[
        &found.facts.workload.name,
        &k8s.now().strftime("%y%m%d-%H%M%S").to_string(),
    ]);
    let mut request = request(run, image.clone(), options);
    let mut tried = match (&server, probe) {
        (None, _) | (_, Probe::Nothing) => Vec::new(),
        (Some(server), _) => dry_run::upgrade_pod(k8s, &found, server, &request).await?,
    };
    let refused = dry_run::is_refused(&tried);
    let unsupported = unsupported_pair(server.as_ref(), options.to);
    let target = match (&server, probe) {
        (None, _) | (_, Probe::Nothing) => None,
        // No image is worth the wait.
        _ if unsupported.is_some() => None,
        // What refuses the upgrade pod refuses the probe: the finding says more than the probe's failure.
        _ if refused => None,
        (server, probe) => {
            Some(image_probe::look(session, &found, server.as_ref(), &image, options, probe).await?)
        }
    };
    let placement = placement(&found, server.as_ref(), target.as_ref(), &image, options);
    let place = placement.as_ref().and_then(|found| found.place.clone());
    // On a copy another name makes no difference, and nobody there could make the directory.
    request.place = place.filter(|_| !matches!(probe, Probe::Copy(_)));
    let pgdata_is_set = target::environment(&found.container).contains_key("PGDATA");
    let upgrade = match (&server, &target) {
        (Some(server), Some(target)) => {
            plan::decide(&request, &found.facts, server, target, pgdata_is_set)
        }
        (server, _) => Err(undecided(server.is_some(), unsupported, refused)),
    };
    let crossing = read_crossing(k8s, &found, server.as_ref(), target.as_ref(), &image).await?;
    let upgrade = match upgrade {
        Ok(upgrade) => {
            let crossed = with_crossing(crossing.as_ref(), upgrade);
            Ok(estimated(session, &found.facts, crossed).await)
        }
        refused => refused,
    };
    if let (Ok(upgrade), Some(server)) = (&upgrade, &server) {
        let steps = steps_with_copies(&request, &found.facts, server, upgrade, probe);
        tried.extend(dry_run::writes(k8s, &found.facts, &request.run, &steps).await?);
    }
    let input = CheckInput {
        instance: found.facts.clone(),
        server: server.clone(),
        target: target.clone(),
        access,
        surroundings,
        dry_run: tried,
        crossing: crossing.clone(),
        placement,
        request: checks::Request {
            to: options.to,
            image: image.clone(),
            transfer: upgrade
                .as_ref()
                .map_or_else(|_| request.transfer.clone(), |u| u.transfer.clone()),
            snapshot: request.snapshot.clone(),
            wish: request.wish.clone(),
        },
    };
    let findings = checks::run_all(&input, &options.ignore_checks);
    Ok(Survey {
        found,
        clients,
        server,
        target,
        request,
        findings,
        crossing,
        upgrade,
    })
}

/// Why there is no plan, where not both sides are known.
fn undecided(server_runs: bool, unsupported: Option<String>, refused: bool) -> String {
    let why = if !server_runs {
        "no server runs, so nothing is known about its databases"
    } else if let Some(why) = unsupported {
        return why;
    } else if refused {
        "the API server would refuse the upgrade pod"
    } else {
        "the target image was not looked into (--read-only)"
    };
    why.to_owned()
}

fn with_crossing(crossing: Option<&Crossing>, upgrade: Upgrade) -> Upgrade {
    match crossing {
        Some(crossing) => crossing.on(upgrade),
        None => upgrade,
    }
}

/// What changes with the family of the image, when it goes from Bitnami's to docker-library's.
async fn read_crossing(
    k8s: &K8s,
    found: &Found,
    server: Option<&ServerFacts>,
    target: Option<&TargetFacts>,
    image: &str,
) -> Result<Option<Crossing>> {
    let (instance, pod) = (&found.facts, &found.workload.pod);
    let (Some(server), Some(target), Some(running)) = (server, target, &instance.pod) else {
        return Ok(None);
    };
    let families = crossing::families(instance, Some(server), image, Some(target));
    if families != (Family::Bitnami, Some(Family::DockerLibrary)) {
        return Ok(None);
    }
    let given = crossing::given_directory(pod, &instance.container);
    let files = image_files::read(k8s, &running.name, &instance.container, server, &given).await?;
    Ok(Some(crossing::decide(
        pod, instance, server, target, &files,
    )))
}

/// The directory that the new cluster shall have, when it shall not be the old one's.
fn placement(
    found: &Found,
    server: Option<&ServerFacts>,
    target: Option<&TargetFacts>,
    image: &str,
    options: &UpgradeOptions,
) -> Option<Placement> {
    let directory = options.data_directory.as_deref()?;
    place::decide(
        directory,
        &found.workload.pod,
        &found.facts,
        server?,
        (image, target),
    )
}

/// Where the sessions of clients come from.
fn addresses(server: Option<&ServerFacts>) -> Vec<String> {
    let sessions = server.into_iter().flat_map(|s| s.sessions.iter().flatten());
    sessions.filter_map(|s| s.address.clone()).collect()
}

/// The claim that the dump goes to, when it is not the data claim.
async fn dump_claim(
    k8s: &K8s,
    namespace: &Namespace,
    found: &Found,
    options: &UpgradeOptions,
) -> Result<Option<DumpClaimFacts>> {
    let Some(claim) = &options.dump_claim else {
        return Ok(None);
    };
    let node = found.facts.pod.as_ref().map(|pod| pod.node.as_str());
    let facts = discover::dump_claim::read(k8s, namespace, claim, node).await?;
    Ok(Some(facts))
}

/// Why no image of the major version that was asked for can be the target, whatever it holds.
fn unsupported_pair(server: Option<&ServerFacts>, to: Option<u32>) -> Option<String> {
    let to = MajorVersion::new(u16::try_from(to?).ok()?);
    match supported_pair(server?.version.major, to) {
        // That is a success, of which the caller tells more.
        Ok(()) | Err(UnsupportedPair::Same(_)) => None,
        Err(why) => Some(why.to_string()),
    }
}

/// The instance, and the namespace that it was found in; what only an operator knows is refused with its procedure.
async fn find(k8s: &K8s, args: &TargetArgs, to: Option<u32>) -> Result<(Namespace, Found)> {
    let namespace = Namespace::read(k8s).await?;
    let to = to.and_then(|to| u16::try_from(to).ok());
    let to = to.map(MajorVersion::new);
    managed::refuse(&namespace, args.target.as_ref(), k8s.namespace(), to)?;
    let found = target::find(
        k8s,
        &namespace,
        args.target.as_ref(),
        args.container.as_deref(),
    );
    let found = found.await?;
    Ok((namespace, found))
}

/// The steps of the plan, of which some make copies of the data.
fn steps_with_copies(
    request: &Request,
    instance: &InstanceFacts,
    server: &ServerFacts,
    upgrade: &Upgrade,
    probe: Probe,
) -> Vec<Step> {
    let steps = match probe {
        Probe::Copy(pace) => rehearsal::source(request, instance, server, pace)
            .map(|source| rehearsal::steps(&request.run, &source, upgrade))
            .unwrap_or_default(),
        _ => plan::steps(request, instance, upgrade, Vec::new()),
    };
    steps.into_iter().map(|(_, step)| step).collect()
}

/// The same upgrade with the time that a rehearsal of it took, where there was one.
async fn estimated(session: &Session, instance: &InstanceFacts, mut upgrade: Upgrade) -> Upgrade {
    // Records that cannot be read cost only the better estimate.
    let known = Store::list(&session.k8s, Some(&instance.workload))
        .await
        .unwrap_or_default();
    let records = known.iter().map(|(_, record)| record);
    if let Some(ms) = rehearsal::estimate(records, upgrade.to, &upgrade.transfer) {
        upgrade.estimate_ms = ms;
        upgrade.rehearsed = true;
    }
    upgrade
}

/// The survey of an operator's instance: no command is run in its pods and none is made beside them.
fn left_alone(found: Found, options: &UpgradeOptions) -> Survey {
    let image = target_image(&found.facts, options).unwrap_or_default();
    let input = CheckInput {
        instance: found.facts.clone(),
        server: None,
        target: None,
        access: None,
        surroundings: Surroundings::default(),
        dry_run: Vec::new(),
        crossing: None,
        placement: None,
        request: checks::Request {
            to: options.to,
            image: image.clone(),
            transfer: options.transfer.as_str().to_owned(),
            snapshot: options.snapshot.clone(),
            wish: options.made_with.wish(),
        },
    };
    let mut findings = checks::run_all(&input, &[]);
    findings.retain(|finding| finding.check == OPERATOR_OWNED);
    Survey {
        found,
        clients: Clients::default(),
        server: None,
        target: None,
        request: request(String::new(), image, options),
        findings,
        crossing: None,
        upgrade: Err("its operator upgrades it".to_owned()),
    }
}

fn request(run: String, image: String, options: &UpgradeOptions) -> Request {
    Request {
        run,
        image,
        transfer: match options.method {
            Method::PgUpgrade => options.transfer.as_str(),
            // The other server has plans of its own.
            Method::Dump | Method::SideBySide => DUMP,
            Method::Load => LOAD,
        }
        .to_owned(),
        wish: options.made_with.wish(),
        jobs: options.jobs,
        snapshot: options.snapshot.clone(),
        verify: options.verify.as_str().to_owned(),
        dump_claim: options.dump_claim.clone(),
        place: None,
    }
}

fn target_image(instance: &InstanceFacts, options: &UpgradeOptions) -> Result<String> {
    match (&options.image, options.to) {
        (Some(image), _) => Ok(image.clone()),
        (None, Some(major)) => image::for_major(
            &instance.image,
            MajorVersion::new(u16::try_from(major).unwrap_or(u16::MAX)),
        )
        .map_err(|e| Failure::usage(e.to_string()).hint("say the new image in full with --image")),
        // Somebody has set the new image already.
        (None, None) if instance.down.as_ref().is_some_and(|d| !d.scaled_to_zero) => {
            Ok(instance.image.clone())
        }
        (None, None) => Err(Failure::usage(
            "which version? say --to MAJOR, or --image REF",
        )),
    }
}

async fn read_server(session: &Session, found: &Found) -> Result<Option<ServerFacts>> {
    let Some(pod) = found
        .facts
        .pod
        .as_ref()
        .filter(|_| found.facts.down.is_none())
    else {
        return Ok(None);
    };
    discover::server::read(&session.k8s, &pod.name, &found.facts.container)
        .await
        .map(Some)
        .map_err(|e| {
            Failure::refused(format!(
                "the server in Pod {} could not be read: {e:#}",
                pod.name
            ))
            .hint("nothing was changed")
        })
}

/// What the plan needs and whether it is allowed.
async fn read_access(session: &Session) -> Option<Vec<(String, bool)>> {
    let rules = rbac::rules(false);
    let mut wanted = Vec::new();
    for rule in &rules {
        let group = rule["apiGroups"][0].as_str().unwrap_or_default();
        for resource in rule["resources"]
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(Value::as_str)
        {
            for verb in rule["verbs"]
                .as_array()
                .into_iter()
                .flatten()
                .filter_map(Value::as_str)
            {
                let resource = if group.is_empty() {
                    resource.to_owned()
                } else {
                    format!("{resource}.{group}")
                };
                wanted.push(Access::new(verb, &resource, session.k8s.namespace()));
            }
        }
    }
    let answers = session.k8s.permissions(&wanted).await.ok()?;
    Some(
        answers
            .into_iter()
            .map(|(access, allowed, _)| (access.to_string(), allowed))
            .collect(),
    )
}
