//! What can be done to the world: one variant a kind, one file for what it does.
//!
//! A step is complete: executing it needs no choice. Every `apply` may be repeated after a crash.

mod back;
mod claim;
mod clients;
mod copy;
mod dry_run;
mod dump;
pub(crate) mod dump_access;
mod errand;
mod guest;
mod load;
mod place;
pub(crate) mod pod;
mod rehearse;
mod server;
mod service;
pub(crate) mod side;
mod snapshot;
mod take;
mod vacuum;
mod verify;
pub mod worker;

use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::exec::Acting;

use crate::facts::instance::ObjectId;
use crate::plan::side::Route;
use crate::record::DumpPlace;
pub use take::Source;

/// One named change to the outside world, complete enough to be replayed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "do", rename_all = "kebab-case", rename_all_fields = "camelCase")]
pub enum Step {
    /// Creates the upgrade pod beside the running server and waits until the new data directory is prepared.
    PreparePod {
        /// Name of the pod and of the ConfigMap with its scripts.
        name: String,
    },
    /// Makes a directory of its own for the new cluster, which no server can start in yet.
    NewDirectory {
        /// The directory in the server's container.
        directory: String,
    },
    /// Writes dirty pages while clients still run: CHECKPOINT and sync.
    Sync,
    /// Scales a client workload.
    Scale {
        /// The Deployment or StatefulSet.
        workload: ObjectId,
        /// Replicas it had when this was planned.
        from: i32,
        /// Replicas to give it.
        to: i32,
    },
    /// Suspends or unsuspends a CronJob.
    Suspend {
        /// The CronJob.
        workload: ObjectId,
        /// `spec.suspend` when this was planned.
        from: bool,
        /// `spec.suspend` to set.
        to: bool,
    },
    /// Waits until no session of a client workload is left on the server.
    AwaitNoSessions {
        /// Give up after so many seconds.
        seconds: u64,
        /// Sessions from these addresses are expected to stay (their pods have no controller that could be stopped).
        except: Vec<String>,
    },
    /// Reads what verification compares with.
    Observe {
        /// `auto`, `quick` or `counts`.
        level: String,
    },
    /// Arms the worker, stops the server, and waits until its data directory is behind the guard.
    Stop {
        /// Replicas before.
        from: i32,
    },
    /// Makes a volume snapshot of the data claim.
    Snapshot {
        /// Name of the VolumeSnapshot.
        name: String,
        /// VolumeSnapshotClass.
        class: String,
        /// Wait until it is ready to use, at most so many seconds; zero: wait later.
        wait_seconds: u64,
        /// The server is stopped when it is cut.
        stopped: bool,
    },
    /// Makes the directory for a dump on a claim of its own, and that claim where the run makes it.
    DumpClaim {
        /// Claim and directory.
        place: DumpPlace,
        /// Who writes there.
        uid: i64,
        /// The writer's group.
        gid: i64,
    },
    /// Dumps the running server to a claim.
    TakeDump {
        /// Claim and directory.
        place: DumpPlace,
        /// The server.
        source: Source,
    },
    /// Removes a dump from a claim of the user's.
    RemoveDump {
        /// Claim and directory.
        place: DumpPlace,
        /// Whose it is.
        uid: i64,
        /// The owner's group.
        gid: i64,
    },
    /// Waits for the worker's result.
    AwaitUpgrade {
        /// `pg_dump` and `pg_restore` carry the data.
        #[serde(default)]
        by_dump: bool,
    },
    /// Waits until the worker has loaded a dump and compared what it loaded with it.
    AwaitLoad,
    /// Waits until a volume snapshot is ready to use.
    AwaitSnapshot {
        /// Name of the VolumeSnapshot.
        name: String,
        /// Give up after so many seconds.
        seconds: u64,
    },
    /// Gives the workload an image and its replicas in one patch.
    Switch {
        /// Image before.
        from: String,
        /// Image to set.
        to: String,
        /// Replicas to set.
        replicas: i32,
        /// `PGDATA` to set; the value before is in the record's instance.
        pgdata: Option<String>,
        /// What else changes in the pod template's spec, as a strategic merge patch.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        template: Option<Value>,
    },
    /// Waits until the server is ready, is the version asked for, and its Service answers.
    AwaitServer {
        /// Major version that must answer.
        major: u32,
        /// Give up after so many seconds.
        seconds: u64,
    },
    /// Compares the server with what was observed before the stop.
    Verify {
        /// `quick` or `counts`.
        level: String,
    },
    /// Compares the server with what the worker has loaded.
    VerifyLoad,
    /// Lets the upgrade pod end and removes it.
    Release {
        /// Name of the pod.
        name: String,
    },
    /// Statistics, extension updates, indexes and collation versions.
    Vacuum {
        /// Parallel jobs.
        jobs: u32,
    },
    /// Scales the server to zero and waits until its pod is gone.
    Down,
    /// Puts the archived data directory of the old version back in its place.
    GoBack,
    /// Makes a claim from a volume snapshot and takes the old data directory from it.
    Adopt {
        /// Name of the VolumeSnapshot.
        snapshot: String,
        /// Name of the claim to make from it.
        claim: String,
    },
    /// Reads what the live server holds, for a rehearsal; nothing is written to its volume.
    Look,
    /// Makes a claim from a volume snapshot, to rehearse on.
    CloneClaim {
        /// Name of the VolumeSnapshot.
        snapshot: String,
        /// Name of the claim to make from it.
        claim: String,
    },
    /// Makes an empty claim like the data claim, to rehearse on.
    EmptyClaim {
        /// Name of the claim to make.
        claim: String,
    },
    /// Copies the running server's data directory to that claim, through an online backup.
    CopyServer {
        /// Name of the claim.
        claim: String,
        /// Bytes a second.
        rate: u64,
        /// The checkpoint at its begin is not spread.
        fast: bool,
    },
    /// Does the whole upgrade on a claim that nobody else uses.
    Rehearse {
        /// Name of the claim.
        claim: String,
        /// It was filled by [`Step::CopyServer`].
        #[serde(default)]
        copied: bool,
    },
    /// Deletes what a rehearsal made.
    DropClone {
        /// Name of the VolumeSnapshot, when there was one.
        snapshot: Option<String>,
        /// Name of the claim.
        claim: String,
        /// Where its dump lies, when it has a claim of its own.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        dump: Option<DumpPlace>,
    },
    /// Dumps the old server and loads another one, which runs already.
    Transfer {
        /// Name of the pod that does it.
        pod: String,
    },
    /// Compares the loaded server with the old one.
    Compare {
        /// Name of the pod that does it.
        pod: String,
    },
    /// Lets a Service lead to another server.
    MoveService {
        /// The Service.
        service: ObjectId,
        /// Where it leads.
        from: Route,
        /// Where it shall lead.
        to: Route,
    },
    /// Waits for the optimizer statistics of the loaded server.
    AwaitStatistics {
        /// Name of the pod that makes them.
        pod: String,
    },
    /// Removes what a run left on the volume.
    RemoveFiles {
        /// Names of run directories.
        runs: Vec<String>,
        /// One of the runs has an archive with tablespaces, which has directories in their locations, too.
        #[serde(default)]
        tablespaces: bool,
    },
    /// Deletes an object that this tool made.
    Delete {
        /// The object.
        object: ObjectId,
    },
}

impl Step {
    /// The step that takes this one back, if it changed something that a step can take back.
    pub fn undo(&self) -> Option<Self> {
        match self {
            Self::Scale { workload, from, to } => Some(Self::Scale {
                workload: workload.clone(),
                from: *to,
                to: *from,
            }),
            Self::Suspend { workload, from, to } => Some(Self::Suspend {
                workload: workload.clone(),
                from: *to,
                to: *from,
            }),
            Self::PreparePod { name } | Self::Transfer { pod: name } => {
                Some(Self::Release { name: name.clone() })
            }
            Self::MoveService { service, from, to } => Some(Self::MoveService {
                service: service.clone(),
                from: to.clone(),
                to: from.clone(),
            }),
            _ => None,
        }
    }

    /// Takes something away from users.
    pub fn begins_outage(&self) -> bool {
        matches!(self, Self::Stop { .. } | Self::Down)
            || matches!(self, Self::Scale { from, to, .. } if to < from)
    }

    /// Gives it back to them.
    pub fn ends_outage(&self) -> bool {
        matches!(
            self,
            Self::AwaitServer { .. } | Self::Verify { .. } | Self::VerifyLoad
        ) || matches!(self, Self::Scale { from, to, .. } if to > from)
    }

    /// Does it, or finds it done. Returns a few words on what came of it.
    ///
    /// # Errors
    /// Says what happened to which object; the caller knows the way back.
    pub(crate) async fn apply(&self, acting: &mut Acting<'_>) -> crate::error::Result<String> {
        match self {
            Self::PreparePod { name } => pod::prepare(acting, name).await,
            Self::Release { name } => pod::release(acting, name).await,
            Self::NewDirectory { directory } => place::make(acting, directory).await,
            Self::Sync => server::sync(acting).await,
            Self::Scale { workload, from, to } => {
                clients::scale(acting, workload, *from, *to).await
            }
            Self::Suspend { workload, to, .. } => clients::suspend(acting, workload, *to).await,
            Self::AwaitNoSessions { seconds, except } => {
                clients::await_no_sessions(acting, *seconds, except).await
            }
            Self::Observe { level } => verify::observe(acting, level).await,
            Self::Stop { from } => server::stop(acting, *from).await,
            Self::AwaitUpgrade { .. } => worker::await_result(acting).await,
            Self::Snapshot {
                name,
                class,
                wait_seconds,
                stopped,
            } => snapshot::create(acting, name, class, *wait_seconds, *stopped).await,
            Self::AwaitSnapshot { name, seconds } => {
                snapshot::await_ready(acting, name, *seconds).await
            }
            Self::Switch {
                from,
                to,
                replicas,
                pgdata,
                template,
            } => {
                let change = server::Template {
                    pgdata: pgdata.as_deref(),
                    patch: template.as_ref(),
                };
                server::switch(acting, from, to, *replicas, change).await
            }
            Self::AwaitServer { major, seconds } => {
                server::await_server(acting, *major, *seconds).await
            }
            Self::Verify { level } => verify::verify(acting, level).await,
            Self::AwaitLoad => load::await_load(acting).await,
            Self::VerifyLoad => load::verify(acting).await,
            Self::Vacuum { jobs } => vacuum::vacuum(acting, *jobs).await,
            Self::Down => server::down(acting).await,
            Self::GoBack => back::from_archive(acting).await,
            Self::Adopt { snapshot, claim } => back::from_snapshot(acting, snapshot, claim).await,
            Self::Look => verify::look(acting).await,
            Self::CloneClaim { snapshot, claim } => {
                claim::from_snapshot(acting, snapshot, claim).await?;
                Ok(String::new())
            }
            Self::EmptyClaim { claim } => {
                claim::empty(acting, claim).await?;
                Ok(String::new())
            }
            Self::CopyServer { claim, rate, fast } => {
                copy::server(acting, claim, *rate, *fast).await
            }
            Self::Rehearse { claim, copied } => rehearse::rehearse(acting, claim, *copied).await,
            Self::Transfer { pod } => side::transfer(acting, pod).await,
            Self::Compare { pod } => side::compare(acting, pod).await,
            Self::MoveService { service, from, to } => {
                service::lead(acting, service, from, to).await
            }
            Self::AwaitStatistics { .. } => side::await_statistics(acting).await,
            Self::DropClone {
                snapshot,
                claim,
                dump,
            } => rehearse::drop_clone(acting, snapshot.as_deref(), claim, dump.as_ref()).await,
            Self::DumpClaim { place, uid, gid } => dump::make_room(acting, place, *uid, *gid).await,
            Self::TakeDump { place, source } => take::dump(acting, place, source).await,
            Self::RemoveDump { place, uid, gid } => dump::remove(acting, place, *uid, *gid).await,
            Self::RemoveFiles { runs, tablespaces } => {
                back::remove_files(acting, runs, *tablespaces).await
            }
            Self::Delete { object } => back::delete(acting, object).await,
        }
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::PreparePod { .. } => {
                f.write_str("prepare the new data directory beside the running server")
            }
            Self::NewDirectory { directory } => {
                write!(f, "make {directory}, where the new cluster will be")
            }
            Self::Sync => f.write_str("write dirty pages to the volume"),
            Self::Scale { workload, from, to } => write!(f, "scale {workload} from {from} to {to}"),
            Self::Suspend {
                workload, to: true, ..
            } => write!(f, "suspend {workload}"),
            Self::Suspend {
                workload,
                to: false,
                ..
            } => write!(f, "unsuspend {workload}"),
            Self::AwaitNoSessions { .. } => f.write_str("wait until no client session is left"),
            Self::Observe { .. } => f.write_str("record what verification compares with"),
            Self::Stop { .. } => f.write_str("stop the old server"),
            Self::Snapshot { name, .. } => write!(f, "snapshot the data claim as {name}"),
            Self::DumpClaim { place, .. } => match &place.size {
                Some(size) => write!(f, "make claim {} of {size} for the dump", place.claim),
                None => write!(f, "make room for the dump on claim {}", place.claim),
            },
            Self::TakeDump { place, .. } => write!(f, "dump the running server to {place}"),
            Self::RemoveDump { place, .. } => write!(f, "remove dump {place}"),
            Self::AwaitUpgrade { by_dump: false } => f.write_str("run pg_upgrade behind the guard"),
            Self::AwaitUpgrade { by_dump: true } => {
                f.write_str("dump the old cluster and load the new one behind the guard")
            }
            Self::AwaitSnapshot { name, .. } => {
                write!(f, "wait until volume snapshot {name} is ready to use")
            }
            Self::Switch { to, template, .. } => {
                let more = if template.is_some() {
                    ", change the pod template"
                } else {
                    ""
                };
                write!(f, "switch the image to {to}{more} and start the server")
            }
            Self::AwaitServer { major, .. } => write!(f, "wait until PostgreSQL {major} answers"),
            Self::Verify { .. } => f.write_str("verify that nothing is missing"),
            Self::AwaitLoad => {
                f.write_str("load the dump behind the guard and compare what was loaded with it")
            }
            Self::VerifyLoad => f.write_str("verify that the server holds what was loaded"),
            Self::Release { .. } => f.write_str("remove the upgrade pod"),
            Self::Vacuum { .. } => f.write_str("statistics, extensions, indexes"),
            Self::Down => f.write_str("stop the server"),
            Self::GoBack => f.write_str("put the archived data directory back"),
            Self::Adopt { snapshot, .. } => write!(
                f,
                "take the data directory back from volume snapshot {snapshot}"
            ),
            Self::Look => f.write_str("read what the server holds"),
            Self::CloneClaim { snapshot, .. } => {
                write!(f, "make a claim from volume snapshot {snapshot}")
            }
            Self::EmptyClaim { .. } => f.write_str("make a claim like the data claim"),
            Self::CopyServer { rate, fast, .. } => write!(
                f,
                "copy the running server at {} a second, through an online backup: a {} checkpoint, and a replication slot until it ends",
                crate::output::human_bytes(*rate),
                if *fast { "fast" } else { "spread" }
            ),
            Self::Rehearse { .. } => f.write_str("rehearse the upgrade on the clone"),
            Self::DropClone { .. } => f.write_str("delete the clone"),
            Self::Transfer { .. } => f.write_str("dump the old server and load the new one"),
            Self::Compare { .. } => f.write_str("compare the new server with the old one"),
            Self::MoveService { service, to, .. } => {
                write!(f, "let {service} lead to {}", service::words(&to.selector))
            }
            Self::AwaitStatistics { .. } => f.write_str("optimizer statistics of the new server"),
            Self::RemoveFiles { runs, .. } => {
                write!(f, "remove the files of {} from the volume", runs.join(", "))
            }
            Self::Delete { object } => write!(f, "delete {object}"),
        }
    }
}
