//! The short-lived pod that looks at the target image and the volume, and tries the schema there.

use std::collections::BTreeMap;
use std::time::Duration;

use k8s_openapi::api::core::v1::PodSpec;
use serde_json::Value;

use super::Session;
use super::survey::Probe;
use crate::cli::options::UpgradeOptions;
use crate::discover::schema::{self, Wanted};
use crate::discover::target::Found;
use crate::discover::target_image;
use crate::error::{Exit, Failure, Result};
use crate::exec::store::instance_label;
use crate::facts::instance::InstanceFacts;
use crate::facts::server::ServerFacts;
use crate::facts::target::{SchemaFacts, TargetFacts};
use crate::k8s::{K8s, names};
use crate::manifests::pod::Blueprint;
use crate::plan::upgrade as plan;
use crate::postgres::{image, in_force, upgrade_args};
use crate::steps::pod as pods;
use crate::steps::worker::{CONTAINER, Worker, name_of};

/// Seconds that the probe pod may take to make the schema.
const SCHEMA_SECONDS: u64 = 60;

/// Looks into the new image; where no major was asked for, the image's own is found out.
pub(super) async fn look(
    session: &Session,
    found: &Found,
    server: Option<&ServerFacts>,
    image: &str,
    options: &UpgradeOptions,
    probe: Probe,
) -> Result<TargetFacts> {
    let to = options.to;
    let expected = to
        .or_else(|| Some(u32::from(image::major(image)?.number())))
        .unwrap_or(0);
    let place = options.data_directory.as_deref();
    let wanted = Asked {
        image,
        schema: probe == Probe::Schema,
        place: place.and_then(|place| plan::volume_path(&found.facts, place).ok()),
    };
    let refused = match run(session, found, server, &wanted, expected).await? {
        Ok(facts) => return Ok(facts),
        Err(refused) => refused,
    };
    let holds = refused["found"].as_str().unwrap_or_default();
    let major = holds.split('.').next().and_then(|m| m.parse::<u32>().ok());
    if let (None, Some(major)) = (to, major)
        && let Ok(facts) = run(session, found, server, &wanted, major).await?
    {
        return Ok(facts);
    }
    let what = if holds.is_empty() {
        refused["detail"]
            .as_str()
            .unwrap_or("it holds no PostgreSQL server")
            .to_owned()
    } else {
        format!("it holds PostgreSQL {holds}, not {expected}")
    };
    Err(
        Failure::refused(format!("image {image} cannot be the target: {what}"))
            .hint("nothing was changed; name another image with --image"),
    )
}

/// What the pod is to look into.
struct Asked<'a> {
    image: &'a str,
    /// The schema is tried in a scratch server.
    schema: bool,
    /// Where the new cluster shall be, on the volume, when not in the old one's place.
    place: Option<String>,
}

/// What the pod is told, and what is dumped for it.
struct Task {
    env: BTreeMap<String, String>,
    files: BTreeMap<String, String>,
    /// The schema to try; none when it is not wanted, or no cluster like the old one can be made.
    wanted: Option<Wanted>,
}

fn task(name: &str, server: Option<&ServerFacts>, to: u32, schema: bool) -> Task {
    let mut task = Task {
        env: BTreeMap::from([("PGUP_TO".to_owned(), to.to_string())]),
        files: BTreeMap::new(),
        wanted: None,
    };
    let Some(server) = server else {
        return task;
    };
    task.files
        .insert("in-force.conf".to_owned(), in_force::conf(server));
    // What cannot be derived has findings of its own.
    let Some(cluster) = upgrade_args::cluster_env(server).ok().filter(|_| schema) else {
        return task;
    };
    let own = |(name, value): (&str, String)| (name.to_owned(), value);
    task.env.extend(cluster.into_iter().map(own));
    task.env.extend(
        [
            ("PGUP_TRY", "1".to_owned()),
            ("PGUP_SCHEMA", SCHEMA_SECONDS.to_string()),
            ("PGUP_MARK", name.to_owned()),
            ("PGUP_PRELOAD", server.shared_preload.join(",")),
        ]
        .map(own),
    );
    task.wanted = Some(schema::wanted(server));
    task
}

/// Where the volume has what the pod looks at.
fn on_volume(
    instance: &InstanceFacts,
    server: &ServerFacts,
    asked: &Asked<'_>,
) -> Result<BTreeMap<String, String>> {
    let data = plan::volume_path(instance, &server.data_directory).map_err(Failure::refused)?;
    let place = asked.place.clone();
    let place = place.map(|place| ("PGUP_PLACE".to_owned(), place));
    Ok(place
        .into_iter()
        .chain([("PGUP_DATA".to_owned(), data)])
        .collect())
}

/// Runs the pod beside the server; gives its facts, or the event in which it refused.
async fn run(
    session: &Session,
    found: &Found,
    server: Option<&ServerFacts>,
    asked: &Asked<'_>,
    to: u32,
) -> Result<Result<TargetFacts, Value>> {
    let image = asked.image;
    let k8s = &session.k8s;
    let instance = &found.facts;
    let step = session.ui.step(format!("look into {image} and the volume"));
    let suffix = format!(
        "{}-{}",
        k8s.now().as_millisecond() % 1_000_000,
        std::process::id()
    );
    let name = names::name(&["pg-upgrade-probe", &instance.workload.name, &suffix]);
    let owner = server.map(|s| &s.container);
    let uid = owner.and_then(|c| c.dir_uid).map_or(999, i64::from);
    let gid = owner.and_then(|c| c.dir_gid).map_or(999, i64::from);
    let shared = !plan::is_cold(instance);
    let mut task = task(&name, server, to, asked.schema);
    if let Some(server) = server.filter(|_| shared) {
        task.env.extend(on_volume(instance, server, asked)?);
    }
    let groups: Vec<i64> = instance.fs_group.into_iter().collect();
    let claim = instance
        .claim
        .as_ref()
        .filter(|_| shared)
        .map(|c| c.id.name.clone());
    let template: &PodSpec = &found.workload.pod;
    let pod = instance.pod.as_ref().filter(|_| shared);
    let node = pod.map(|p| p.node.as_str());
    let blueprint = Blueprint {
        name: &name,
        run: "probe",
        instance: &instance_label(&instance.workload),
        part: "probe",
        script: "probe.sh",
        old_image: task.wanted.as_ref().map(|_| instance.image.as_str()),
        image,
        node,
        spared: node,
        uid,
        gid,
        groups: &groups,
        claim: claim.as_deref(),
        mirror: None,
        snapshot_claim: None,
        live_claim: None,
        dump_claim: None,
        login: None,
        empty_claim: false,
        env: &task.env,
        server: false,
        restart: false,
        container: &instance.container,
        template,
    };
    let outcome = async {
        let started = async {
            pods::create(k8s, &blueprint, &task.files).await?;
            pods::wait_started(k8s, &name, |text| step.note(text)).await
        };
        let (started, dumped) =
            tokio::join!(started, dump(k8s, found, task.wanted.as_ref(), &name));
        started?;
        let handed = hand_over(k8s, &name, dumped).await;
        let mut worker = Worker::attach(k8s, &name);
        let last = worker
            .wait_for(&["done", "refused"], Duration::from_secs(300), |event| {
                step.note(name_of(event));
            })
            .await?;
        if name_of(&last) == "refused" {
            return Ok(Err(last));
        }
        let mut facts =
            target_image::parse(worker.lines.iter().map(String::as_str)).map_err(|e| {
                Failure::refused(format!(
                    "{image} is not an image that this command can work with: {e}"
                ))
            })?;
        if let Some(wanted) = &task.wanted {
            let schema = facts.schema.get_or_insert_with(SchemaFacts::default);
            schema.parts.extend(wanted.left_out.clone());
            schema.not_read = handed.err();
        }
        Ok(Ok(facts))
    }
    .await;
    // The probe is taken away whatever came of it.
    let removed = pods::remove(k8s, &name).await;
    let answer = outcome.map_err(|failure: Failure| match failure.exit {
        Exit::Failed => failure.with_exit(Exit::Refused).hint("nothing was changed"),
        _ => failure,
    })?;
    removed?;
    match &answer {
        Ok(facts) => step.done(format!("PostgreSQL {}", facts.version)),
        Err(_) => step.failed("not what was asked for"),
    }
    Ok(answer)
}

/// The dump for the pod, or why there is none; `None` when none is wanted.
async fn dump(
    k8s: &K8s,
    found: &Found,
    wanted: Option<&Wanted>,
    mark: &str,
) -> Option<Result<Vec<u8>, String>> {
    let (wanted, pod) = (wanted?, found.facts.pod.as_ref()?);
    let container = &found.facts.container;
    Some(schema::dump(k8s, &pod.name, container, &wanted.databases, mark).await)
}

/// Gives the pod the dump, or an empty one so that it does not wait.
async fn hand_over(
    k8s: &K8s,
    name: &str,
    dumped: Option<Result<Vec<u8>, String>>,
) -> Result<(), String> {
    const TAKE: &str = "cd && cat >schema.part && mv schema.part schema";
    let (bytes, why) = match dumped {
        None => return Ok(()),
        Some(Ok(bytes)) => (bytes, Ok(())),
        Some(Err(why)) => (Vec::new(), Err(why)),
    };
    let limit = Duration::from_secs(60);
    let argv = ["sh", "-c", TAKE];
    match k8s.exec(name, CONTAINER, &argv, Some(bytes), limit).await {
        Ok(output) if output.code == 0 => why,
        Ok(output) => why.and(Err(output.stderr)),
        Err(error) => why.and(Err(error.to_string())),
    }
}
