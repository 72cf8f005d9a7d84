//! The pod that carries the data from the old server into another one that runs already, and what it says.

use std::collections::BTreeMap;
use std::time::Duration;

use k8s_openapi::api::core::v1::{ConfigMap, Pod, PodSpec};
use serde_json::Value;

use super::worker::{self, Worker};
use super::{dump, errand, guest, pod};
use crate::discover::Namespace;
use crate::discover::target::{self, TargetName};
use crate::error::{Exit, Failure, Result};
use crate::exec::Acting;
use crate::exec::store::instance_label;
use crate::facts::instance::{ObjectId, PodFacts};
use crate::k8s::K8s;
use crate::k8s::names;
use crate::k8s::write::create_or_adopt;
use crate::manifests::login::literal;
use crate::manifests::pod::{Blueprint, DUMPS, DumpMount, config_map};
use crate::manifests::side::{Entries, Entry};
use crate::record::{NewServer, Side};

/// What ends the pod before it has done its work.
const ENDS: [&str; 2] = ["refused", "failed"];

/// What the pod may write beside the dump, which is hardly ever larger than the databases.
const MARGIN: u64 = 1 << 30;

/// A pod to make.
pub(crate) struct Carrier<'a> {
    /// Its name.
    pub(crate) name: &'a str,
    /// Run that it belongs to.
    pub(crate) run: &'a str,
    /// `look` or `move`.
    pub(crate) task: &'a str,
    /// The old server's workload.
    pub(crate) old: &'a ObjectId,
    /// Name of the old server's container.
    pub(crate) container: &'a str,
    /// The old server's node, where a claim for the dump is in reach.
    pub(crate) node: Option<&'a str>,
    /// Groups that may write to the claims of the old server.
    pub(crate) groups: &'a [i64],
    /// Both servers.
    pub(crate) side: &'a Side,
}

impl Carrier<'_> {
    /// Makes the pod and its ConfigMap; both may exist already.
    ///
    /// # Errors
    /// When a server has no pod, or the API server refuses.
    pub(crate) async fn create(&self, k8s: &K8s) -> Result<()> {
        let side = self.side;
        let mut env = BTreeMap::from(
            [
                ("PGUP_TASK", self.task.to_owned()),
                ("PGUP_RUN", self.run.to_owned()),
                ("PGUP_RUNS", side.earlier.join(" ")),
                ("PGUP_JOBS", side.jobs.to_string()),
                ("PGUP_TO", side.to.unwrap_or(0).to_string()),
                ("PGUP_RESET", flag(side.reset)),
                ("PGUP_ONLINE", flag(side.online)),
                ("PGUP_NO_TABLESPACES", flag(side.no_tablespaces)),
                (
                    "PGUP_OLD_HOST",
                    address(k8s, self.old, self.container).await?,
                ),
                ("PGUP_OLD_PORT", side.old_port.to_string()),
            ]
            .map(|(name, value)| (name.to_owned(), value)),
        );
        let maps = side.role_maps.iter();
        let maps: Vec<String> = maps.map(|m| format!("{}={}", m.old, m.new)).collect();
        env.insert("PGUP_MAPS".to_owned(), literal(&maps.join("=")));
        if let Some(place) = &side.dump {
            let directory = format!("{DUMPS}/{}", place.directory);
            env.insert("PGUP_DUMP".to_owned(), directory);
            env.insert("PGUP_DUMP_KEEP".to_owned(), "1".to_owned());
        }
        let mut entries = Entries::default();
        if let Some(secret) = &side.role_passwords {
            entries.add("roles", Entry::Secret(secret), &mut env);
        }
        entries.add("old", Entry::Login(&side.old_login), &mut env);
        let (entry, template) = match &side.new {
            NewServer::Secret { name } => {
                let template = target::template(k8s, self.old).await?;
                (Some(Entry::Secret(name)), template)
            }
            NewServer::Workload {
                workload,
                container,
                login,
                port,
            } => {
                let there = k8s.in_namespace(&workload.namespace);
                env.insert(
                    "PGUP_NEW_HOST".to_owned(),
                    address(&there, workload, container).await?,
                );
                env.insert("PGUP_NEW_PORT".to_owned(), port.to_string());
                // What its own image needs to be pulled, where that can be used.
                let template = if workload.namespace == k8s.namespace() {
                    target::template(k8s, workload).await?
                } else {
                    target::template(k8s, self.old).await?
                };
                (login.as_deref().map(Entry::Login), template)
            }
        };
        if let Some(entry) = entry {
            entries.add("new", entry, &mut env);
        } else {
            let role = guest::role(k8s.namespace(), self.name);
            env.insert("PGUP_NEW_GUEST".to_owned(), role);
        }
        self.write(k8s, &env, &entries, &template).await
    }

    async fn write(
        &self,
        k8s: &K8s,
        env: &BTreeMap<String, String>,
        entries: &Entries,
        template: &PodSpec,
    ) -> Result<()> {
        let dump = self.side.dump.as_ref();
        let blueprint = Blueprint {
            name: self.name,
            run: &names::fit(self.run),
            instance: &instance_label(self.old),
            part: "side",
            script: "side.sh",
            old_image: None,
            image: &self.side.image,
            node: self.node.filter(|_| dump.is_some()),
            spared: None,
            uid: self.side.uid,
            gid: self.side.uid,
            groups: if dump.is_some() { self.groups } else { &[] },
            claim: None,
            mirror: None,
            snapshot_claim: None,
            live_claim: None,
            dump_claim: dump.map(|place| DumpMount {
                claim: &place.claim,
                read_only: false,
            }),
            login: None,
            empty_claim: false,
            env,
            server: false,
            restart: true,
            container: self.container,
            template,
        };
        let room = if dump.is_some() {
            MARGIN
        } else {
            self.side.bytes + MARGIN
        };
        let (map, object) = (
            config_map(&blueprint, &BTreeMap::new())?,
            entries.pod(&blueprint, room)?,
        );
        let made = |what: &str| format!("creating {what} {}", self.name);
        create_or_adopt(&k8s.api::<ConfigMap>(), &map)
            .await
            .map_err(|e| Failure::from(e).context(made("ConfigMap")))?;
        create_or_adopt(&k8s.api::<Pod>(), &object)
            .await
            .map_err(|e| Failure::from(e).context(made("Pod")))?;
        Ok(())
    }
}

fn flag(set: bool) -> String {
    if set { "1" } else { "" }.to_owned()
}

/// The address of the pod that a workload's server runs in now.
async fn address(k8s: &K8s, workload: &ObjectId, container: &str) -> Result<String> {
    let pod = server_pod(k8s, workload, container).await?;
    pod.map(|pod| pod.ip)
        .filter(|ip| !ip.is_empty())
        .ok_or_else(|| Failure::refused(format!("no server runs in {workload}")))
}

/// The pod that a workload's server runs in now.
pub(super) async fn server_pod(
    k8s: &K8s,
    workload: &ObjectId,
    container: &str,
) -> Result<Option<PodFacts>> {
    let namespace = Namespace::read(k8s).await?;
    let name = TargetName {
        kind: match workload.kind.as_str() {
            "Deployment" => Some("Deployment"),
            _ => Some("StatefulSet"),
        },
        name: workload.name.clone(),
    };
    let found = target::find(k8s, &namespace, Some(&name), Some(container)).await?;
    Ok(found.facts.pod.filter(|_| found.facts.down.is_none()))
}

/// Makes the pod, or finds it, and waits until the new server is loaded.
pub(super) async fn transfer(acting: &mut Acting<'_>, name: &str) -> Result<String> {
    carry(acting, name).await?;
    let loaded = follow(acting, "loaded").await?;
    dump::keep(acting, &loaded["dump"]);
    Ok(String::new())
}

async fn carry(acting: &mut Acting<'_>, name: &str) -> Result<()> {
    let record = &acting.record;
    let side = record.side.as_ref().ok_or_else(no_plan)?;
    if acting.k8s.api::<Pod>().get_opt(name).await?.is_none() {
        let instance = &record.instance;
        let groups: Vec<i64> = instance.fs_group.into_iter().collect();
        let carrier = Carrier {
            name,
            run: &record.run,
            task: "move",
            old: record.target(),
            container: &instance.container,
            node: instance.pod.as_ref().map(|pod| pod.node.as_str()),
            groups: &groups,
            side,
        };
        carrier.create(acting.k8s).await?;
    }
    pod::await_started(acting, name).await?;
    acting.worker = Some(Worker::attach(acting.k8s, name));
    Ok(())
}

fn no_plan() -> Failure {
    Failure::new(
        Exit::Failed,
        "the record does not say which server is loaded",
    )
}

/// Waits for an event of the pod; one that ends it otherwise is a failure.
async fn follow(acting: &mut Acting<'_>, wanted: &str) -> Result<Value> {
    worker::attach(acting)?;
    let mut worker = acting.worker.take().ok_or_else(no_plan)?;
    let ends = [&[wanted, guest::ASKS][..], &ENDS].concat();
    let event = loop {
        let event = worker
            .wait_for(&ends, errand::LIMIT, |event| {
                if let ("phase", Some(name)) = (worker::name_of(event), event["name"].as_str()) {
                    acting.note(name);
                }
            })
            .await;
        match (event, &acting.record.side) {
            (Ok(asks), Some(side)) if worker::name_of(&asks) == guest::ASKS => {
                guest::admit(acting.k8s, &side.new, &asks).await?;
            }
            (event, _) => break event,
        }
    };
    acting.worker = Some(worker);
    let event = event.map_err(|failure| {
        if failure.exit == Exit::Unfinished {
            failure.hint("the old server is only read, and the pod goes on without this client; the same command typed again follows it")
        } else {
            failure
        }
    })?;
    if worker::name_of(&event) == wanted {
        return Ok(event);
    }
    let why = worker::why(&event);
    Err(Failure::new(
        Exit::Failed,
        format!("the new server was not loaded: {why}"),
    ))
}

/// Waits for the verdict of the pod; any difference fails, but where clients went on writing.
pub(super) async fn compare(acting: &mut Acting<'_>, name: &str) -> Result<String> {
    if acting.k8s.api::<Pod>().get_opt(name).await?.is_none() {
        carry(acting, name).await?;
    }
    let verdict = follow(acting, "verified").await?;
    let worker = acting.worker.as_ref().ok_or_else(no_plan)?;
    // An interrupted attempt may have told of others.
    let since = worker
        .events
        .iter()
        .rposition(|e| worker::name_of(e) == "loaded");
    let differences: Vec<Value> = worker.events[since.unwrap_or(0)..]
        .iter()
        .filter(|e| worker::name_of(e) == "difference")
        .cloned()
        .collect();
    let online = acting.record.side.as_ref().is_some_and(|s| s.online);
    acting.record.observed.retain(|o| o["event"] != "verified");
    acting.record.observed.push(verdict.clone());
    if verdict["sameSystem"] == true {
        return Err(Failure::new(
            Exit::Failed,
            "the server that was compared is the old one itself",
        ));
    }
    let written = |d: &Value| {
        // ALTER SEQUENCE is more than that.
        d["what"] != "changed"
            && matches!(
                d["kind"].as_str(),
                Some("rows" | "sequence value" | "large objects")
            )
    };
    if online && differences.iter().all(written) {
        for difference in &differences {
            acting.ui.warn(format!(
                "written meanwhile: {}",
                crate::verify::explain(difference)
            ));
        }
        return Ok(crate::verify::sentence(&verdict));
    }
    if verdict["differences"] == 0 {
        return Ok(crate::verify::sentence(&verdict));
    }
    let failure = Failure::new(
        Exit::Failed,
        format!(
            "the new server differs from the old one in {} places, so nothing leads to it; the next run may load it again",
            verdict["differences"]
        ),
    );
    Err(differences.iter().take(10).fold(failure, |failure, d| {
        failure.hint(crate::verify::explain(d))
    }))
}

/// Waits until the pod has made the statistics.
pub(super) async fn await_statistics(acting: &mut Acting<'_>) -> Result<String> {
    let event = follow(acting, "analyzed").await?;
    if event["analyzed"] != true {
        acting
            .ui
            .warn("not every table could be analyzed; run vacuumdb --all --analyze-only on the new server");
    }
    Ok(String::new())
}

/// Runs a pod that only looks, and gives all of its events; the last one is the verdict.
///
/// # Errors
/// When the pod cannot be made or does not come to an end.
pub(crate) async fn look(
    k8s: &K8s,
    carrier: &Carrier<'_>,
    mut on_waiting: impl FnMut(&str),
) -> Result<Vec<Value>> {
    const PATIENCE: Duration = Duration::from_secs(600);
    carrier.create(k8s).await?;
    let followed = async {
        pod::wait_started(k8s, carrier.name, &mut on_waiting).await?;
        let mut worker = Worker::attach(k8s, carrier.name);
        let ends = ["ready", guest::ASKS, ENDS[0], ENDS[1]];
        loop {
            let event = worker.wait_for(&ends, PATIENCE, |_| {}).await?;
            if worker::name_of(&event) != guest::ASKS {
                return Ok(worker.events);
            }
            guest::admit(k8s, &carrier.side.new, &event).await?;
        }
    };
    let events: Result<Vec<Value>> = followed.await;
    pod::remove(k8s, carrier.name).await?;
    let dismissed = guest::dismiss(k8s, &carrier.side.new, carrier.name).await;
    let events = events.map_err(|failure| match dismissed {
        Ok(()) => failure.hint("nothing was changed"),
        Err(_) => failure,
    })?;
    dismissed.map(|()| events)
}
