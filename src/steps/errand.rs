//! A pod made for one errand on a volume: it does that and ends.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::Value;

use super::pod;
use super::worker::{self, Worker};
use crate::error::{Failure, Result};
use crate::exec::Acting;
use crate::exec::store::instance_label;
use crate::k8s::names;
use crate::manifests::pod::{Blueprint, DumpMount};

/// A pod that moves data may take as long as the data is large.
pub(super) const LIMIT: Duration = Duration::from_secs(24 * 3600);

/// The modes that may start the old server on data that is kept; a rehearsal throws its copy away.
const SERVERS: [&str; 2] = ["back", "adopt"];

/// What the pod is told.
pub(super) struct Errand<'a> {
    /// `PGUP_MODE` of the worker.
    pub(super) mode: &'a str,
    /// More environment.
    pub(super) env: BTreeMap<String, String>,
    /// The claim to work on; the instance's own when none is named.
    pub(super) claim: Option<&'a str>,
    /// A claim that was made from a snapshot, mounted beside it.
    pub(super) snapshot_claim: Option<&'a str>,
    /// The claim of the running server, mounted read-only beside it.
    pub(super) live_claim: Option<&'a str>,
    /// The claim that a dump lies on, mounted beside it.
    pub(super) dump_claim: Option<&'a str>,
    /// The claim to work on is new and empty.
    pub(super) empty_claim: bool,
    /// Tablespaces are needed that the run itself may not have.
    pub(super) tablespaces: bool,
    /// The old server's programs are needed.
    pub(super) old_programs: bool,
    /// The node to run on, where the volume is in use.
    pub(super) node: Option<&'a str>,
    /// User and group of the pod, where they are not those that the data directory had before the upgrade.
    pub(super) owner: Option<(i64, i64)>,
    /// The events that end the errand.
    pub(super) ends: &'a [&'a str],
}

/// What the pod said.
pub(super) struct Said {
    /// The event that ended it.
    pub(super) last: Value,
    /// Every event.
    pub(super) events: Vec<Value>,
}

impl<'a> Errand<'a> {
    /// An errand on the instance's own claim.
    pub(super) fn new(mode: &'a str) -> Self {
        Self {
            mode,
            env: BTreeMap::new(),
            claim: None,
            snapshot_claim: None,
            live_claim: None,
            dump_claim: None,
            empty_claim: false,
            tablespaces: false,
            old_programs: true,
            node: None,
            owner: None,
            ends: &["result", "removed", "refused", "usage"],
        }
    }

    /// Name of its pod.
    pub(super) fn pod_name(&self, run: &str) -> String {
        names::name(&["pg-upgrade", run, self.mode])
    }

    /// Runs the pod to its end and removes it; once more as the user to whom the new image has given the data directory.
    pub(super) async fn run(&self, acting: &mut Acting<'_>) -> Result<Said> {
        let said = self.run_once(acting).await?;
        match owner(&said.last) {
            Some(owner) if self.owner.is_none() => {
                let again = Self {
                    env: self.env.clone(),
                    owner: Some(owner),
                    ..*self
                };
                again.run_once(acting).await
            }
            _ => Ok(said),
        }
    }

    async fn run_once(&self, acting: &mut Acting<'_>) -> Result<Said> {
        let mut worker = self.start(acting).await?;
        let last = worker
            .wait_for(self.ends, LIMIT, |event| {
                acting.note(worker::name_of(event));
            })
            .await?;
        pod::remove(acting.k8s, worker.pod()).await?;
        Ok(Said {
            last,
            events: worker.events,
        })
    }

    /// Makes the pod and follows it.
    pub(super) async fn start(&self, acting: &Acting<'_>) -> Result<Worker> {
        let k8s = acting.k8s;
        let upgrade =
            acting.record.upgrade.clone().ok_or_else(|| {
                Failure::usage(format!("run {} upgraded nothing", acting.record.run))
            })?;
        let name = self.pod_name(&acting.record.run);
        let template = crate::discover::target::template(k8s, acting.record.target()).await?;
        let mut env = pod::worker_env(acting.record, &upgrade);
        env.insert("PGUP_MODE".to_owned(), self.mode.to_owned());
        env.extend(self.env.clone());
        let groups: Vec<i64> = acting.record.instance.fs_group.into_iter().collect();
        let own = acting.record.instance.claim.as_ref();
        // What has a claim of its own works while the server is in use.
        let in_use = acting.record.instance.pod.as_ref();
        let in_use = in_use.filter(|_| self.claim.is_some());
        let blueprint = Blueprint {
            name: &name,
            run: &names::fit(&acting.record.run),
            instance: &instance_label(acting.record.target()),
            part: if self.live_claim.is_some() {
                "copy"
            } else {
                "errand"
            },
            script: "worker.sh",
            old_image: self.old_programs.then_some(upgrade.old_image.as_str()),
            image: &upgrade.new_image,
            node: self.node,
            spared: in_use.map(|pod| pod.node.as_str()),
            uid: self.owner.map_or(upgrade.uid, |(uid, _)| uid),
            gid: self.owner.map_or(upgrade.gid, |(_, gid)| gid),
            groups: &groups,
            claim: self.claim.or(own.map(|c| c.id.name.as_str())),
            mirror: pod::mirror(acting.record, self.tablespaces),
            snapshot_claim: self.snapshot_claim,
            live_claim: self.live_claim,
            dump_claim: self.dump_claim.map(|claim| DumpMount {
                claim,
                read_only: false,
            }),
            login: None,
            empty_claim: self.empty_claim,
            env: &env,
            server: SERVERS.contains(&self.mode),
            restart: true,
            container: &acting.record.instance.container,
            template: &template,
        };
        pod::await_no_ending(acting, &name).await?;
        pod::create(k8s, &blueprint, &upgrade.worker_files).await?;
        pod::await_started(acting, &name).await?;
        Ok(Worker::attach(k8s, &name))
    }
}

/// Who owns the data directory, when the pod was refused because it does not; root is nobody whom a pod of ours may be.
fn owner(refused: &Value) -> Option<(i64, i64)> {
    let is_it = worker::name_of(refused) == "refused" && refused["reason"] == "not_owner";
    let (uid, gid) = (refused["owner"].as_i64()?, refused["group"].as_i64()?);
    (is_it && uid != 0).then_some((uid, gid))
}
