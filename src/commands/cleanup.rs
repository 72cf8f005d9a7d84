//! `cleanup`: what earlier runs left, with sizes and ages; removed after confirmation.

use std::collections::BTreeMap;
use std::io::Write;
use std::time::Duration;

use clap::Args;
use jiff::Timestamp;
use kube::api::{DynamicObject, ListParams};
use serde_json::{Value, json};

use super::Session;
use super::report::API_VERSION;
use super::runs::{self, Run};
use crate::cli::options::{ActArgs, OutputArgs, TargetArgs};
use crate::discover::sql;
use crate::discover::target::Found;
use crate::error::{Exit, Failure, Result};
use crate::exec::Lease;
use crate::exec::store::{config_map_name, instance_label};
use crate::facts::instance::ObjectId;
use crate::k8s::labels;
use crate::output::{self, Report, TableSection, human_bytes, human_duration};
use crate::record::{Phase, Record, RunState};
use crate::steps::Step;

/// Show what is left of earlier runs, and remove it
///
/// Archived data directories, volume snapshots, dumps, pods, claims and records. It refuses to remove the only way back of an
/// upgrade that is younger than --min-age.
#[derive(Args, Debug)]
pub struct CleanupArgs {
    #[command(flatten)]
    target: TargetArgs,
    /// Keep what belongs to a run that ended more recently
    #[arg(long, value_name = "DURATION", default_value = "24h", value_parser = humantime::parse_duration)]
    min_age: Duration,
    /// Remove it although it is the only way back
    #[arg(long)]
    give_up_way_back: bool,
    /// Only show what is left
    #[arg(long)]
    list: bool,
    #[command(flatten)]
    act: ActArgs,
    #[command(flatten)]
    output: OutputArgs,
}

/// One thing that is left.
struct Leftover {
    what: String,
    run: String,
    bytes: Option<u64>,
    age: Duration,
    way_back: bool,
    object: Option<ObjectId>,
    /// What removes it, when it is a dump on a claim of the user's.
    dump: Option<Step>,
}

/// Lists, and removes after confirmation.
///
/// # Errors
/// Exit code 3 when the only way back would go.
pub async fn run(args: &CleanupArgs, session: &Session, out: &mut dyn Write) -> Result<Exit> {
    let (_, found) = session.instance(&args.target).await?;
    let workload = found.facts.workload.clone();
    let mut all = runs::of(session, &workload).await?;
    if let Some(id) = &args.target.run_id {
        all.retain(|r| r.record.run == *id);
    }
    let leftovers = leftovers(session, &found, &all).await?;
    output::print(out, &args.output.output, &LeftoverList(&leftovers))?;
    if leftovers.is_empty() {
        session
            .ui
            .say(format!("nothing is left of earlier runs of {workload}"));
        return Ok(Exit::Done);
    }
    if args.list {
        return Ok(Exit::Done);
    }
    let open: Vec<&str> = all
        .iter()
        .filter(|r| {
            matches!(r.record.state, RunState::Open | RunState::HalfWay)
                && r.record.has_plan()
                && !r.record.is_rehearsal()
                || !r.record.quiesced().is_empty()
        })
        .map(|r| r.record.run.as_str())
        .collect();
    if !open.is_empty() {
        return Err(
            Failure::refused(format!("run {} is not finished", open.join(", ")))
                .hint("nothing was removed; finish it with run, resume or restore first"),
        );
    }
    let now = session.k8s.now();
    let too_young: Vec<&Leftover> = leftovers
        .iter()
        .filter(|l| l.way_back && l.age < args.min_age)
        .collect();
    if let Some(young) = too_young.first()
        && !args.give_up_way_back
    {
        return Err(Failure::refused(format!(
            "{} is the only way back to the old version, and {} old",
            young.what,
            human_duration(young.age)
        ))
        .hint(format!(
            "nothing was removed; wait until it is {} old (--min-age), or say --give-up-way-back",
            human_duration(args.min_age)
        )));
    }
    let records: Vec<&Record> = all.iter().map(|run| &run.record).collect();
    let steps = steps(&leftovers, &records);
    if session
        .is_dry_run(&args.act, &found.facts, "cleanup", &steps)
        .await?
    {
        return Ok(Exit::Done);
    }
    session.confirm(
        &args.act,
        &format!("remove what is left of earlier runs of {workload}"),
        &steps,
    )?;
    let Some(mut run) = all.pop() else {
        return Ok(Exit::Done);
    };
    run.record.instance.pod.clone_from(&found.facts.pod);
    run.record.plan(Phase::Cleanup, steps);
    let lease = Lease::acquire(&session.k8s, &session.ui, &workload).await?;
    let outcome = runs::execute_under(session, &mut run, &lease).await;
    if outcome.is_ok() {
        run.record.state = RunState::Cleaned;
        run.record.finished_at.get_or_insert(now);
        run.store.save(&run.record).await?;
    }
    lease.release().await;
    outcome?;
    Ok(Exit::Done)
}

async fn leftovers(session: &Session, found: &Found, all: &[Run]) -> Result<Vec<Leftover>> {
    let now = session.k8s.now();
    let mut left = Vec::new();
    let sizes = directory_sizes(session, found, all).await;
    for run in all {
        let record = &run.record;
        let ended = record.finished_at.unwrap_or(record.started_at);
        let upgraded = matches!(record.state, RunState::Upgraded | RunState::Loaded);
        if let (Some(upgrade), Some(bytes)) = (&record.upgrade, sizes.get(&record.run)) {
            left.push(Leftover {
                what: format!("files in {}", upgrade.run_directory),
                run: record.run.clone(),
                bytes: *bytes,
                age: since(ended, now),
                way_back: upgraded && record.snapshots.is_empty(),
                object: None,
                dump: None,
            });
        }
        left.extend(dumps(record, now));
    }
    // A later run may have taken the dump of an earlier one, or its place.
    let mut places = Vec::new();
    left.retain(|l: &Leftover| {
        let again = l.dump.is_some() && places.contains(&l.what);
        places.push(l.what.clone());
        !again
    });
    let selector = format!(
        "{}={}",
        labels::INSTANCE,
        instance_label(&found.facts.workload)
    );
    let params = ListParams::default().labels(&selector);
    for (api_version, kind) in [
        ("v1", "Pod"),
        ("v1", "PersistentVolumeClaim"),
        ("snapshot.storage.k8s.io/v1", "VolumeSnapshot"),
        ("v1", "ConfigMap"),
    ] {
        let Ok(list) = session.k8s.regular(api_version, kind).list(&params).await else {
            continue;
        };
        for object in list.items {
            left.extend(leftover_object(api_version, kind, &object, all, now));
        }
    }
    Ok(left)
}

fn leftover_object(
    api_version: &str,
    kind: &str,
    object: &DynamicObject,
    all: &[Run],
    now: Timestamp,
) -> Option<Leftover> {
    let name = object.metadata.name.clone()?;
    let owner = object
        .metadata
        .labels
        .as_ref()
        .and_then(|l| l.get(labels::RUN))
        .cloned()
        .unwrap_or_default();
    let is_record = all
        .iter()
        .any(|r| config_map_name(&r.record.run) == name && kind == "ConfigMap");
    let newest = all
        .last()
        .is_some_and(|r| config_map_name(&r.record.run) == name);
    if is_record && newest {
        // The newest record stays: it tells what happened, and cleanup itself writes into it.
        return None;
    }
    let created = object
        .metadata
        .creation_timestamp
        .as_ref()
        .map_or(now, |t| t.0);
    let way_back = kind == "VolumeSnapshot"
        && all.iter().any(|r| {
            r.record.state == RunState::Upgraded
                && r.record.snapshots.iter().any(|s| s.name == name)
                && r.record
                    .upgrade
                    .as_ref()
                    .is_some_and(|u| matches!(u.transfer.as_str(), "link" | "swap"))
        });
    let mut dumps = all.iter().flat_map(|r| &r.record.dumps);
    let dump = dumps.find(|d| kind == "PersistentVolumeClaim" && d.place.claim == name);
    let is = if dump.is_some() { ", a dump" } else { "" };
    Some(Leftover {
        what: format!("{kind} {name}{is}"),
        run: owner,
        bytes: object.data["status"]["restoreSize"]
            .as_str()
            .and_then(crate::k8s::quantity::whole)
            .or_else(|| dump?.bytes),
        age: since(created, now),
        way_back,
        object: Some(ObjectId {
            api_version: api_version.to_owned(),
            kind: kind.to_owned(),
            namespace: object.metadata.namespace.clone().unwrap_or_default(),
            name,
            uid: object.metadata.uid.clone().unwrap_or_default(),
        }),
        dump: None,
    })
}

/// A run's dumps on claims of the user's; a claim of the run's own is an object like others.
fn dumps(record: &Record, now: Timestamp) -> Vec<Leftover> {
    if record.state == RunState::Cleaned {
        return Vec::new();
    }
    let made = record.steps.iter().map(|entry| &entry.step);
    let made = made.filter_map(|step| match step {
        Step::DumpClaim { place, uid, gid } if place.size.is_none() => Some((place, *uid, *gid)),
        _ => None,
    });
    made.filter_map(|(place, uid, gid)| {
        let entry = record.dumps.iter().find(|d| d.place == *place)?;
        Some(Leftover {
            what: format!("dump {place}"),
            run: record.run.clone(),
            bytes: entry.bytes,
            age: since(entry.at, now),
            way_back: false,
            object: None,
            dump: Some(Step::RemoveDump {
                place: place.clone(),
                uid,
                gid,
            }),
        })
    })
    .collect()
}

fn since(then: Timestamp, now: Timestamp) -> Duration {
    Duration::from_millis(u64::try_from(now.as_millisecond() - then.as_millisecond()).unwrap_or(0))
}

/// Bytes of each run's directory that still exists, seen through the server's container; unknown without a server.
async fn directory_sizes(
    session: &Session,
    found: &Found,
    all: &[Run],
) -> BTreeMap<String, Option<u64>> {
    let mut sizes = BTreeMap::new();
    for run in all {
        let Some(upgrade) = run
            .record
            .upgrade
            .as_ref()
            .filter(|_| run.record.state != RunState::Cleaned)
        else {
            continue;
        };
        let Some(pod) = &found.facts.pod else {
            sizes.insert(run.record.run.clone(), None);
            continue;
        };
        let answer = sql::directory_bytes(
            &session.k8s,
            &pod.name,
            &found.facts.container,
            &upgrade.run_directory,
        )
        .await;
        match answer {
            Ok(Some(bytes)) => drop(sizes.insert(run.record.run.clone(), Some(bytes))),
            Ok(None) => {}
            Err(_) => drop(sizes.insert(run.record.run.clone(), None)),
        }
    }
    sizes
}

fn steps(leftovers: &[Leftover], records: &[&Record]) -> Vec<Step> {
    let files: Vec<String> = leftovers
        .iter()
        .filter(|l| l.object.is_none() && l.dump.is_none())
        .map(|l| l.run.clone())
        .collect();
    let mut steps = Vec::new();
    if !files.is_empty() && !records.is_empty() {
        let tablespaces = records.iter().any(|record| {
            files.contains(&record.run) && record.upgrade.as_ref().is_some_and(|u| u.tablespaces)
        });
        steps.push(Step::RemoveFiles {
            runs: files,
            tablespaces,
        });
    }
    steps.extend(leftovers.iter().filter_map(|l| l.dump.clone()));
    steps.extend(
        leftovers
            .iter()
            .filter_map(|l| l.object.clone())
            .map(|object| Step::Delete { object }),
    );
    steps
}

struct LeftoverList<'a>(&'a [Leftover]);

impl Report for LeftoverList<'_> {
    fn json(&self) -> Value {
        let items: Vec<Value> = self
            .0
            .iter()
            .map(|l| {
                json!({
                    "what": l.what, "run": l.run, "bytes": l.bytes, "ageSeconds": l.age.as_secs(), "onlyWayBack": l.way_back,
                    "object": l.object,
                })
            })
            .collect();
        json!({"apiVersion": API_VERSION, "kind": "LeftoverList", "items": items})
    }

    fn tables(&self, _wide: bool) -> Vec<TableSection> {
        let mut table = TableSection::new(["WHAT", "RUN", "SIZE", "AGE", "ONLY WAY BACK"]);
        for left in self.0 {
            table.row([
                left.what.clone(),
                left.run.clone(),
                left.bytes.map(human_bytes).unwrap_or_default(),
                human_duration(left.age),
                if left.way_back {
                    "yes".to_owned()
                } else {
                    "no".to_owned()
                },
            ]);
        }
        vec![table]
    }

    fn names(&self) -> Vec<String> {
        self.0
            .iter()
            .filter_map(|l| l.object.as_ref())
            .map(|o| format!("{}/{}", o.kind.to_lowercase(), o.name))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::upgrade::{decide, tests as sample};

    #[test]
    fn tablespaces_of_an_older_run_are_reached_by_the_pod_of_the_newest() {
        let (instance, server, target) = sample::facts(false, true, true);
        let upgrade = decide(&sample::request(), &instance, &server, &target, true).unwrap();
        let record = |run: &str, tablespaces| {
            let mut record = Record::new(
                run.into(),
                crate::record::Asked::default(),
                "me@here".into(),
                Timestamp::UNIX_EPOCH,
                instance.clone(),
            );
            record.upgrade = Some(crate::record::Upgrade {
                tablespaces,
                ..upgrade.clone()
            });
            record
        };
        let files_of = |run: &str| Leftover {
            what: "files".into(),
            run: run.into(),
            bytes: None,
            age: Duration::ZERO,
            way_back: false,
            object: None,
            dump: None,
        };
        let (older, newer) = (record("pg-1", true), record("pg-2", false));
        let needed = |runs: &[&str]| {
            let leftovers: Vec<Leftover> = runs.iter().map(|run| files_of(run)).collect();
            match steps(&leftovers, &[&older, &newer]).remove(0) {
                Step::RemoveFiles { tablespaces, .. } => tablespaces,
                other => panic!("{other}"),
            }
        };
        assert!(needed(&["pg-1", "pg-2"]));
        assert!(!needed(&["pg-2"]));
    }
}
