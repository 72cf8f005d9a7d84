//! The in-place upgrade: which transfer mode, which directories, which steps in which order.

use std::collections::BTreeMap;

use super::dump::{self, DumpClaim};
use super::tablespaces;
use crate::facts::instance::{Family, InstanceFacts};
use crate::facts::server::ServerFacts;
use crate::facts::target::TargetFacts;
use crate::k8s::names;
use crate::postgres::initdb::Wish;
use crate::postgres::upgrade_args;
use crate::record::{self, DUMP, DumpPlace, LOAD, Phase, Place, Upgrade};
use crate::steps::Step;

/// Seconds that the new server may take to be ready.
const READY_SECONDS: u64 = 600;
/// Seconds that a volume snapshot may take to be ready before the old version is put back.
const SNAPSHOT_SECONDS: u64 = 1800;
/// Where pods of ours mount the claim.
pub const VOLUME: &str = "/vol";
/// Directory on the volume that holds the directories of runs.
pub const WORK_DIRECTORY: &str = ".pg-upgrade";

/// What was asked for, completed by defaults.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// Name of the run.
    pub run: String,
    /// Image to go to.
    pub image: String,
    /// `auto`, `clone`, `link`, `copy` or `swap`; or [`DUMP`] or [`LOAD`].
    pub transfer: String,
    /// What the new cluster is made with, where it shall not be as the old one; only with [`DUMP`].
    pub wish: Wish,
    /// `--jobs`.
    pub jobs: Option<u32>,
    /// `auto`, `none` or a VolumeSnapshotClass.
    pub snapshot: String,
    /// `auto`, `quick` or `counts`.
    pub verify: String,
    /// `--dump-claim`.
    pub dump_claim: Option<DumpClaim>,
    /// Where the new cluster goes, when that is not the old one's directory.
    pub place: Option<Place>,
}

/// Chooses the transfer mode.
///
/// # Errors
/// A sentence that says why the mode asked for, or any mode, is not possible.
pub fn transfer(
    request: &Request,
    instance: &InstanceFacts,
    server: &ServerFacts,
    target: &TargetFacts,
) -> Result<(String, String), String> {
    let volume = target.volume.clone().unwrap_or_default();
    let class = snapshot_class(request, instance);
    let data = data_bytes(server, target);
    let free = volume
        .free_bytes
        .or(server.container.free_kib.map(|k| k * 1024));
    let fits = matches!((data, free), (Some(data), Some(free)) if free > data + data / 10 + MARGIN);
    let choice = |mode: &str, why: &str| Ok((mode.to_owned(), why.to_owned()));
    match request.transfer.as_str() {
        "clone" if volume.reflink == Some(false) => {
            Err("transfer mode clone needs a file system with reflinks, which this volume has not; use link or copy".to_owned())
        }
        "link" | "swap" if class.is_none() && request.snapshot != "none" => Err(format!(
            "transfer mode {} leaves no way back without a volume snapshot, and none can be made: {}; \
             use copy, or accept that with --snapshot none",
            request.transfer,
            no_snapshot_reason(instance)
        )),
        "swap" if target.version.major.number() < 18 => Err("transfer mode swap needs PostgreSQL 18".to_owned()),
        "swap" if server.version.major.number() < 10 => Err("transfer mode swap needs a cluster of PostgreSQL 10 or newer".to_owned()),
        "auto" if volume.reflink == Some(true) => choice("clone", "the file system has reflinks"),
        "auto" if class.is_some() => choice("link", "the file system has no reflinks, and a volume snapshot is the way back"),
        "auto" if fits => choice("copy", "no reflinks and no volume snapshots, and a copy fits"),
        "auto" => Err(format!(
            "no transfer mode is possible: the file system has no reflinks, no volume snapshot can be made ({}), \
             and a copy does not fit; grow the claim, or accept --transfer link --snapshot none",
            no_snapshot_reason(instance)
        )),
        DUMP if request.wish.is_empty() => choice(DUMP, "pg_dump and pg_restore, as asked for"),
        DUMP => choice(
            DUMP,
            &format!("pg_dump and pg_restore, as asked for, into a cluster with {}", request.wish),
        ),
        LOAD => choice(LOAD, "the data comes from a dump"),
        mode => choice(mode, "as asked for"),
    }
}

/// Catalogs and WAL of a new data directory, bytes.
const MARGIN: u64 = 200 << 20;

fn no_snapshot_reason(instance: &InstanceFacts) -> String {
    instance
        .claim
        .as_ref()
        .map_or_else(|| "no claim".to_owned(), |c| c.no_snapshot_reason.clone())
}

fn data_bytes(server: &ServerFacts, target: &TargetFacts) -> Option<u64> {
    let spaces = server.tablespaces.iter().flatten().filter_map(|t| t.bytes);
    let volume = target.volume.as_ref();
    let seen = volume
        .and_then(|v| v.data_bytes)
        .map(|b| b + spaces.sum::<u64>());
    seen.or_else(|| server.data_kib().map(|k| k * 1024))
}

/// The class to snapshot with, when there is one and it is wanted.
pub fn snapshot_class(request: &Request, instance: &InstanceFacts) -> Option<String> {
    match request.snapshot.as_str() {
        "none" => None,
        "auto" => instance
            .claim
            .as_ref()
            .and_then(|c| c.snapshot_class.clone()),
        class => Some(class.to_owned()),
    }
}

/// Everything the steps need to know, decided.
///
/// # Errors
/// A sentence that says why it is not possible.
pub fn decide(
    request: &Request,
    instance: &InstanceFacts,
    server: &ServerFacts,
    target: &TargetFacts,
    pgdata_is_set: bool,
) -> Result<Upgrade, String> {
    let (mode, reason) = transfer(request, instance, server, target)?;
    let data = server.data_directory.trim_end_matches('/');
    let volume_data = volume_path(instance, data)?;
    // Beside the data directory when that is possible, so that base backups do not copy the archive.
    // An image with another C library has another user, to whom its entrypoint gives the data directory and all in it (70 of
    // docker-library's Alpine, 999 of its Debian): the archive must be in it to change hands with it.
    // With a directory of its own for the new cluster, both are made by the server's container.
    let beside = data != instance.mount_path
        && server.container.libc().is_musl() == target.libc.is_musl()
        && (request.place.is_some()
            || target
                .volume
                .as_ref()
                .is_some_and(|v| v.writable_parent == Some(true)));
    let parent = |path: &str| {
        path.rsplit_once('/')
            .map(|(parent, _)| parent.to_owned())
            .unwrap_or_default()
    };
    let (work, volume_work) = if beside {
        (parent(data), parent(&volume_data))
    } else {
        (data.to_owned(), volume_data.clone())
    };
    let owner = |id: Option<u32>, what: &str| {
        id.map(i64::from)
            .ok_or_else(|| format!("the {what} of the data directory could not be read"))
    };
    let (uid, gid) = (
        owner(server.container.dir_uid, "owner")?,
        owner(server.container.dir_gid, "group")?,
    );
    let jobs = request.jobs.unwrap_or(2);
    let args = upgrade_args::upgrade_args(server, target).map_err(|e| e.to_string())?;
    let to = u32::from(target.version.major.number());
    Ok(Upgrade {
        from: u32::from(server.version.major.number()),
        to,
        from_version: server.version.to_string(),
        to_version: target.version.to_string(),
        old_image: instance.image.clone(),
        new_image: request.image.clone(),
        estimate_ms: estimate_ms(&mode, server, target),
        rehearsed: false,
        transfer: mode,
        transfer_reason: reason,
        data_directory: data.to_owned(),
        run_directory: format!("{work}/{WORK_DIRECTORY}/{}", request.run),
        volume_run_directory: format!("{volume_work}/{WORK_DIRECTORY}/{}", request.run),
        volume_data_directory: volume_data,
        // The official image looks in /var/lib/postgresql/18/docker from 18 on (docker-library/postgres Dockerfile).
        set_pgdata: (instance.family == Family::DockerLibrary
            && to >= 18
            && !pgdata_is_set
            && request.place.is_none())
        .then(|| data.to_owned()),
        place: request.place.clone(),
        template: None,
        uid,
        gid,
        old_libc: server.container.libc().to_string(),
        new_libc: target.libc.to_string(),
        jobs,
        worker_env: args
            .env
            .into_iter()
            .chain(request.wish.env(server))
            .map(|(name, value)| (name.to_owned(), value))
            .collect(),
        worker_files: BTreeMap::from([
            ("settings.conf".to_owned(), args.settings_conf),
            ("removed".to_owned(), args.removed.join("\n") + "\n"),
        ]),
        dump: request.dump_claim.as_ref().map(|claim| {
            let name = names::name(&["pg-upgrade", &request.run, "dump"]);
            dump::place(name, claim, data_bytes(server, target).unwrap_or(0))
        }),
        load: None,
        tablespaces: tablespaces::any(server),
    })
}

/// A path of the server's container as a pod of ours sees it, which mounts the whole claim at `/vol`.
///
/// # Errors
/// When the path is not on the claim.
pub fn volume_path(instance: &InstanceFacts, path: &str) -> Result<String, String> {
    let path = path.trim_end_matches('/');
    let below = path
        .strip_prefix(instance.mount_path.as_str())
        .filter(|rest| rest.is_empty() || rest.starts_with('/'))
        .ok_or_else(|| {
            format!(
                "the data directory {path} is not below {}, where the claim is mounted",
                instance.mount_path
            )
        })?;
    let sub_path = instance.sub_path.trim_matches('/');
    Ok(if sub_path.is_empty() {
        format!("{VOLUME}{below}")
    } else {
        format!("{VOLUME}/{sub_path}{below}")
    })
}

/// `pg_upgrade`'s time from what it depends on, and what Kubernetes adds (research: 2 s and 1.1 ms a table, 0.14 ms a file).
fn estimate_ms(mode: &str, server: &ServerFacts, target: &TargetFacts) -> u64 {
    let relations = server
        .databases
        .iter()
        .filter_map(|d| d.contents.as_ref()?.relations);
    let tables: u64 = relations
        .map(|r| r.tables + r.partitioned_tables + r.views)
        .sum();
    let files = target
        .volume
        .as_ref()
        .and_then(|v| v.data_files)
        .or(server.container.files)
        .unwrap_or(1000);
    let databases = u64::try_from(server.databases.len()).unwrap_or(3);
    let data = data_bytes(server, target).unwrap_or(0);
    let copied = match mode {
        "copy" => data / 100_000,
        // 1.5 GB take a minute on two processors (research: performance-reliability.md 1.3).
        DUMP => data / 25_000,
        _ => 0,
    };
    2000 + 1100 * tables / 1000 + 140 * files / 1000 + 150 * databases + copied + 3000
}

/// The steps of an upgrade, each with the phase it belongs to.
///
/// `quiesce` comes after everything that can be done beside the running server, so that the outage begins late.
pub fn steps(
    request: &Request,
    instance: &InstanceFacts,
    upgrade: &Upgrade,
    quiesce: Vec<Step>,
) -> Vec<(Phase, Step)> {
    let pod = record::pod_name(&request.run);
    let resume: Vec<Step> = quiesce.iter().rev().filter_map(Step::undo).collect();
    let prepare = (Phase::Prepare, Step::PreparePod { name: pod.clone() });
    let by_dump = upgrade.transfer == DUMP;
    // Files say nothing about rows that were loaded.
    let level = match request.verify.as_str() {
        "auto" if by_dump => "counts",
        level => level,
    };
    let observe = (
        Phase::Upgrade,
        Step::Observe {
            level: level.to_owned(),
        },
    );
    let mut steps = rooms(upgrade);
    if is_cold(instance) {
        steps.extend(quiesce.into_iter().map(|s| (Phase::Quiesce, s)));
        if instance.pod.is_some() {
            steps.push(observe);
            steps.push((Phase::Upgrade, Step::Down));
        }
        steps.push(prepare);
        steps.push((Phase::Upgrade, Step::Stop { from: 0 }));
    } else {
        steps.push(prepare);
        steps.push((Phase::Prepare, Step::Sync));
        steps.extend(quiesce.into_iter().map(|s| (Phase::Quiesce, s)));
        steps.push(observe);
        steps.push((
            Phase::Upgrade,
            Step::Stop {
                from: instance.replicas,
            },
        ));
    }
    let snapshot = wants_snapshot(request, upgrade)
        .then(|| snapshot_class(request, instance))
        .flatten();
    let name = names::name(&["pg-upgrade", &request.run, "stopped"]);
    if let Some(class) = &snapshot {
        // Cut while pg_upgrade works: a volume at any moment of it can be taken back by the journal on it.
        steps.push((
            Phase::Upgrade,
            Step::Snapshot {
                name: name.clone(),
                class: class.clone(),
                wait_seconds: 0,
                stopped: true,
            },
        ));
    }
    steps.push((Phase::Upgrade, Step::AwaitUpgrade { by_dump }));
    if snapshot.is_some() {
        steps.push((
            Phase::Upgrade,
            Step::AwaitSnapshot {
                name,
                seconds: SNAPSHOT_SECONDS,
            },
        ));
    }
    // A claim that only one pod may mount is given free for the server's.
    let exclusive = is_exclusive(instance);
    if exclusive {
        steps.push((Phase::Upgrade, Step::Release { name: pod.clone() }));
    }
    steps.push((
        Phase::Upgrade,
        Step::Switch {
            from: upgrade.old_image.clone(),
            to: upgrade.new_image.clone(),
            replicas: instance.replicas.max(1),
            pgdata: None,
            template: upgrade
                .change(&instance.container)
                .map(|change| change.forward),
        },
    ));
    steps.push((
        Phase::Upgrade,
        Step::AwaitServer {
            major: upgrade.to,
            seconds: READY_SECONDS,
        },
    ));
    steps.push((
        Phase::Upgrade,
        Step::Verify {
            level: level.to_owned(),
        },
    ));
    steps.extend(resume.into_iter().map(|s| (Phase::Resume, s)));
    if !exclusive {
        steps.push((Phase::Upgrade, Step::Release { name: pod }));
    }
    steps
}

/// Room beside what the server uses, for what shall not lie in its data directory.
fn rooms(upgrade: &Upgrade) -> Vec<(Phase, Step)> {
    let directory = upgrade.place.as_ref().map(|place| Step::NewDirectory {
        directory: place.directory.clone(),
    });
    let dump = upgrade.dump.as_ref();
    let claim = dump.map(|place| dump_claim(place, upgrade));
    let steps = directory.into_iter().chain(claim);
    steps.map(|step| (Phase::Prepare, step)).collect()
}

/// Makes the dump's own claim usable.
pub fn dump_claim(place: &DumpPlace, upgrade: &Upgrade) -> Step {
    Step::DumpClaim {
        place: place.clone(),
        uid: upgrade.uid,
        gid: upgrade.gid,
    }
}

/// The claim cannot be shared with the running server, or no server runs: the pod is made after the stop.
pub fn is_cold(instance: &InstanceFacts) -> bool {
    instance.pod.is_none() || is_exclusive(instance)
}

fn is_exclusive(instance: &InstanceFacts) -> bool {
    instance
        .claim
        .as_ref()
        .is_some_and(|c| c.access_modes.iter().any(|m| m == "ReadWriteOncePod"))
}

/// Linked files are no way back once the new server ran; clone and copy keep the old directory whole.
fn wants_snapshot(request: &Request, upgrade: &Upgrade) -> bool {
    matches!(upgrade.transfer.as_str(), "link" | "swap")
        || !matches!(request.snapshot.as_str(), "auto" | "none")
}

#[cfg(test)]
pub(crate) mod tests;
