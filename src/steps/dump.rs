//! A claim that a dump lies on: made, given a directory, and cleared of it again.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::PersistentVolumeClaim;
use kube::ResourceExt;
use serde_json::Value;

use super::errand::LIMIT;
use super::pod;
use super::worker::{self, Worker};
use crate::error::{Exit, Failure, Result};
use crate::exec::Acting;
use crate::exec::store::instance_label;
use crate::facts::instance::InstanceFacts;
use crate::k8s::write::{create_or_adopt, delete_own};
use crate::k8s::{labels, names};
use crate::manifests::claim;
use crate::manifests::login::Login;
use crate::manifests::pod::{Blueprint, DUMPS, DumpMount};
use crate::output::human_bytes;
use crate::plan::upgrade::VOLUME;
use crate::record::{DumpEntry, DumpPlace};

const ROOM: &str = "dump-room";
const REMOVE: &str = "dump-remove";
/// The one mode that only reads.
pub(super) const HOLD: &str = "dump-hold";

/// The claim that the run makes; none where the dump goes to one of the user's.
///
/// # Errors
/// When it cannot be built.
pub(super) fn object(
    instance: &InstanceFacts,
    run: &str,
    place: &DumpPlace,
) -> Result<Option<PersistentVolumeClaim>> {
    let (Some(size), Some(like)) = (&place.size, &instance.claim) else {
        return Ok(None);
    };
    let label = instance_label(&instance.workload);
    let object = claim::for_dump(&place.claim, like, size, &names::fit(run), &label);
    Ok(Some(serde_json::from_value(object)?))
}

/// Tells whether an earlier run of this instance has made the claim.
async fn of_earlier(acting: &Acting<'_>, wanted: &PersistentVolumeClaim) -> Result<bool> {
    let claims = acting.k8s.api::<PersistentVolumeClaim>();
    let found = claims.get_opt(&wanted.name_any()).await?;
    let same = |found: &PersistentVolumeClaim| {
        let same = |key: &str| found.labels().get(key) == wanted.labels().get(key);
        same(labels::INSTANCE) && same(labels::PART)
    };
    Ok(found.is_some_and(|f| f.metadata.deletion_timestamp.is_none() && same(&f)))
}

/// Makes the claim, if it is the run's, and the dump's directory on it; both may exist already.
pub(super) async fn make_room(
    acting: &mut Acting<'_>,
    place: &DumpPlace,
    uid: i64,
    gid: i64,
) -> Result<String> {
    if !acting.record.dumps.iter().any(|d| d.place == *place) {
        acting.record.dumps.push(DumpEntry {
            place: place.clone(),
            at: acting.k8s.now(),
            bytes: None,
            sealed: false,
        });
        // Of a directory on the user's claim only the record tells.
        acting.store.save(acting.record).await?;
    }
    if let Some(object) = object(&acting.record.instance, &acting.record.run, place)?
        && !of_earlier(acting, &object).await?
    {
        let made = create_or_adopt(&acting.k8s.api(), &object).await;
        made.map_err(|e| {
            Failure::from(e).context(format!("creating PersistentVolumeClaim {}", place.claim))
        })?;
    }
    // The kubelet gives all files of a claim to its fsGroup, so only one without files gets any.
    let made = place.size.is_some();
    let mut said = errand(acting, ROOM, place, (uid, gid), made).await?;
    if !made && said["empty"] == true {
        said = errand(acting, ROOM, place, (uid, gid), true).await?;
    }
    if worker::name_of(&said) != "made" {
        return Err(Failure::new(
            Exit::Failed,
            format!(
                "the dump cannot be written to claim {}: {}",
                place.claim,
                worker::why(&said)
            ),
        )
        .hint("the server was not touched; make its root writable for that user, or have a claim made: --dump-claim 5Gi"));
    }
    let free = said["free"].as_u64().unwrap_or(0);
    if free < place.needed {
        return Err(Failure::new(
            Exit::Failed,
            format!(
                "claim {} has {} free, and the dump may take {}",
                place.claim,
                human_bytes(free),
                human_bytes(place.needed)
            ),
        )
        .hint("the server was not touched; grow the claim or name another"));
    }
    Ok(format!("{} free", human_bytes(free)))
}

/// Notes what the worker says of the dump that it has kept.
pub(super) fn keep(acting: &mut Acting<'_>, said: &Value) {
    let record = &acting.record;
    let of_upgrade = record.upgrade.as_ref().and_then(|u| u.dump.clone());
    let of_side = || record.side.as_ref().and_then(|s| s.dump.clone());
    let Some(place) = of_upgrade.or_else(of_side) else {
        return;
    };
    let mut dumps = acting.record.dumps.iter_mut();
    let Some(entry) = dumps.find(|dump| dump.place == place) else {
        return;
    };
    entry.bytes = said["bytes"].as_u64();
    entry.sealed = said["sealed"] == true;
}

/// Removes a dump from the user's claim; it may be gone already.
pub(super) async fn remove(
    acting: &mut Acting<'_>,
    place: &DumpPlace,
    uid: i64,
    gid: i64,
) -> Result<String> {
    let said = errand(acting, REMOVE, place, (uid, gid), false).await?;
    if worker::name_of(&said) != "removed" {
        return Err(Failure::new(
            Exit::Failed,
            format!("dump {place} was not removed: {}", worker::why(&said)),
        ));
    }
    acting.record.dumps.retain(|d| d.place != *place);
    Ok(format!(
        "{} freed",
        human_bytes(said["bytes"].as_u64().unwrap_or(0))
    ))
}

/// Takes away what a rehearsal has dumped: its claim, or its directory on the user's.
pub(super) async fn drop_rehearsed(acting: &mut Acting<'_>, place: &DumpPlace) -> Result<()> {
    let k8s = acting.k8s;
    pod::remove(k8s, &pod_name(&acting.record.run, ROOM)).await?;
    if place.size.is_some() {
        let deleted = delete_own(&k8s.api::<PersistentVolumeClaim>(), &place.claim).await;
        deleted.map_err(|e| {
            Failure::from(e).context(format!("deleting PersistentVolumeClaim {}", place.claim))
        })?;
        acting.record.dumps.clear();
    } else if let (Some(upgrade), false) = (&acting.record.upgrade, acting.record.dumps.is_empty())
    {
        let (uid, gid) = (upgrade.uid, upgrade.gid);
        remove(acting, place, uid, gid).await?;
    }
    Ok(())
}

fn pod_name(run: &str, mode: &str) -> String {
    names::name(&["pg-upgrade", run, mode])
}

/// What a pod does that mounts nothing but the dump's claim.
pub(super) struct Task<'a> {
    /// Its script.
    pub(super) script: &'a str,
    /// `PGUP_MODE`, and the end of the pod's name.
    pub(super) mode: &'a str,
    /// Claim and directory.
    pub(super) place: &'a DumpPlace,
    /// User and group of the pod.
    pub(super) owner: (i64, i64),
    /// The claim holds no files, so all of it may be given to the group.
    pub(super) empty: bool,
    /// More environment.
    pub(super) env: BTreeMap<String, String>,
    /// The login of the running server.
    pub(super) login: Option<&'a Login>,
}

/// Runs an errand to its end; its last event.
async fn errand(
    acting: &Acting<'_>,
    mode: &str,
    place: &DumpPlace,
    owner: (i64, i64),
    empty: bool,
) -> Result<Value> {
    let task = Task {
        script: "worker.sh",
        mode,
        place,
        owner,
        empty,
        env: BTreeMap::new(),
        login: None,
    };
    // One that a killed client has left may have another group.
    pod::remove(acting.k8s, &pod_name(&acting.record.run, mode)).await?;
    let mut worker = start(acting, &task).await?;
    let said = worker
        .wait_for(&["made", "removed", "refused"], LIMIT, |event| {
            acting.note(worker::name_of(event));
        })
        .await?;
    pod::remove(acting.k8s, worker.pod()).await?;
    Ok(said)
}

/// The dump's claim as the pod's own to write to, or as one that is only read; and where it is mounted.
fn mounted<'a>(task: &Task<'a>) -> (Option<&'a str>, Option<DumpMount<'a>>, &'static str) {
    let claim = task.place.claim.as_str();
    let read_only = task.mode == HOLD;
    if read_only {
        (None, Some(DumpMount { claim, read_only }), DUMPS)
    } else {
        (Some(claim), None, VOLUME)
    }
}

/// Makes the pod of a task beside the server, or finds it, and follows it.
pub(super) async fn start(acting: &Acting<'_>, task: &Task<'_>) -> Result<Worker> {
    let (k8s, instance) = (acting.k8s, &acting.record.instance);
    let name = pod_name(&acting.record.run, task.mode);
    let template = crate::discover::target::template(k8s, acting.record.target()).await?;
    // The server's own image is on its node already.
    let image = template
        .containers
        .iter()
        .find(|c| c.name == instance.container)
        .and_then(|c| c.image.clone())
        .unwrap_or_else(|| instance.image.clone());
    let (claim, dump_claim, root) = mounted(task);
    let mut env = task.env.clone();
    env.extend(
        [
            ("PGUP_MODE", task.mode.to_owned()),
            ("PGUP_WORK", VOLUME.to_owned()),
            ("PGUP_DUMP", format!("{root}/{}", task.place.directory)),
        ]
        .map(|(name, value)| (name.to_owned(), value)),
    );
    let groups: Vec<i64> = instance.fs_group.into_iter().collect();
    let node = instance.pod.as_ref().map(|pod| pod.node.as_str());
    let blueprint = Blueprint {
        name: &name,
        run: &names::fit(&acting.record.run),
        instance: &instance_label(&instance.workload),
        part: "errand",
        script: task.script,
        old_image: None,
        image: &image,
        node,
        spared: node,
        uid: task.owner.0,
        gid: task.owner.1,
        groups: &groups,
        claim,
        mirror: None,
        snapshot_claim: None,
        live_claim: None,
        dump_claim,
        login: task.login,
        empty_claim: task.empty,
        env: &env,
        server: false,
        restart: true,
        container: &instance.container,
        template: &template,
    };
    pod::await_no_ending(acting, &name).await?;
    pod::create(k8s, &blueprint, &BTreeMap::new()).await?;
    pod::await_started(acting, &name).await?;
    Ok(Worker::attach(k8s, &name))
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::core::v1::ConfigMap;

    use super::*;
    use crate::exec::{Store, store};
    use crate::k8s::fake::FakeApi;
    use crate::k8s::to_fake;
    use crate::output::Ui;
    use crate::record::{Asked, Record};

    #[test]
    fn who_brings_a_dump_to_the_user_only_reads_it() {
        let place = DumpPlace {
            claim: "backups".into(),
            size: None,
            directory: "pg-upgrade-pg-1-dump".into(),
            needed: 0,
        };
        let mut task = Task {
            script: "worker.sh",
            mode: HOLD,
            place: &place,
            owner: (999, 999),
            empty: false,
            env: BTreeMap::new(),
            login: None,
        };
        let only_read = DumpMount {
            claim: "backups",
            read_only: true,
        };
        assert_eq!(mounted(&task), (None, Some(only_read), DUMPS));
        task.mode = REMOVE;
        assert_eq!(mounted(&task), (Some("backups"), None, VOLUME));
    }

    #[tokio::test]
    async fn a_dump_on_a_claim_of_the_users_is_on_record_before_its_directory_is_made() {
        let fake = FakeApi::start().await;
        let k8s = to_fake(&fake);
        let mut record = Record::new(
            "pg-1".into(),
            Asked::default(),
            "me@here".into(),
            jiff::Timestamp::UNIX_EPOCH,
            crate::checks::testing::input().instance,
        );
        let store = Store::create(&k8s, &record).await.unwrap();
        let place = DumpPlace {
            claim: "backups".into(),
            size: None,
            directory: "pg-upgrade-pg-1-dump".into(),
            needed: 0,
        };
        let ui = Ui::silent();
        let mut acting = Acting::new(&k8s, &ui, &store, &mut record);
        // The fake has no workload, so the errand does not come to making its pod: the client may as well have died.
        make_room(&mut acting, &place, 999, 999).await.unwrap_err();
        let kept: ConfigMap = k8s
            .api()
            .get(&store::config_map_name("pg-1"))
            .await
            .unwrap();
        assert_eq!(store::parse(&kept).unwrap().dumps[0].place, place);
    }
}
