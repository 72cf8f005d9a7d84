//! The short-lived pod that reads a dump to its end before anything is changed.

use std::collections::BTreeMap;
use std::time::Duration;

use super::Session;
use super::survey::Survey;
use crate::discover::server::camel_case;
use crate::error::{Exit, Failure, Result};
use crate::exec::store::instance_label;
use crate::facts::given::Given;
use crate::k8s::names;
use crate::manifests::pod::{Blueprint, DumpMount};
use crate::plan::upgrade as plan;
use crate::record::{Load, Upgrade};
use crate::steps::pod as pods;
use crate::steps::worker::{Worker, name_of, why};

/// A dump may take as long to read as it is large.
const LIMIT: Duration = Duration::from_secs(24 * 3600);

/// Reads the dump at `path`; what it found replaces what the load says of it.
///
/// # Errors
/// Exit code 3 for a dump that is truncated, damaged, foreign, too new, unreadable or too large, with that reason.
pub(super) async fn look(
    session: &Session,
    survey: &Survey,
    upgrade: &Upgrade,
    load: &Load,
    path: &str,
) -> Result<Given> {
    let k8s = &session.k8s;
    let instance = &survey.found.facts;
    let step = session.ui.step(format!("read the dump {path:?}"));
    let suffix = format!(
        "{}-{}",
        k8s.now().as_millisecond() % 1_000_000,
        std::process::id()
    );
    let name = names::name(&["pg-upgrade-probe", &instance.workload.name, &suffix]);
    let mut env = BTreeMap::from([
        ("PGUP_MODE".to_owned(), "look".to_owned()),
        ("PGUP_TO".to_owned(), upgrade.to.to_string()),
        (
            "PGUP_DATA".to_owned(),
            upgrade.volume_data_directory.clone(),
        ),
        ("PGUP_WORK".to_owned(), "/tmp/none".to_owned()),
        ("PGUP_GIVEN".to_owned(), path.to_owned()),
    ]);
    if let Some(database) = &load.database {
        env.insert("PGUP_GIVEN_DATABASE".to_owned(), database.clone());
    }
    let shared = !plan::is_cold(instance);
    let claim = instance.claim.as_ref().filter(|_| shared);
    let pod = instance.pod.as_ref().filter(|_| shared);
    let groups: Vec<i64> = instance.fs_group.into_iter().collect();
    let blueprint = Blueprint {
        name: &name,
        run: "probe",
        instance: &instance_label(&instance.workload),
        part: "probe",
        script: "worker.sh",
        old_image: None,
        image: &upgrade.new_image,
        node: pod.map(|p| p.node.as_str()),
        spared: None,
        uid: upgrade.uid,
        gid: upgrade.gid,
        groups: &groups,
        claim: claim.map(|c| c.id.name.as_str()),
        mirror: None,
        snapshot_claim: None,
        live_claim: None,
        dump_claim: load.claim.as_deref().map(|claim| DumpMount {
            claim,
            read_only: true,
        }),
        login: None,
        empty_claim: false,
        env: &env,
        server: false,
        restart: false,
        container: &instance.container,
        template: &survey.found.workload.pod,
    };
    let outcome = async {
        pods::create(k8s, &blueprint, &BTreeMap::new()).await?;
        pods::wait_started(k8s, &name, |text| step.note(text)).await?;
        let mut worker = Worker::attach(k8s, &name);
        worker.wait_for(&["given", "refused"], LIMIT, |_| {}).await
    }
    .await;
    // The pod is taken away whatever came of it.
    let removed = pods::remove(k8s, &name).await;
    let said = outcome.map_err(|failure: Failure| match failure.exit {
        Exit::Failed => failure.with_exit(Exit::Refused).hint("nothing was changed"),
        _ => failure,
    })?;
    removed?;
    if name_of(&said) == "refused" {
        step.failed("it cannot be loaded");
        let why = why(&said);
        return Err(
            Failure::refused(format!("the dump cannot be loaded: {why}"))
                .hint("nothing was changed"),
        );
    }
    let given: Given = serde_json::from_value(camel_case(said))
        .map_err(|e| Failure::refused(format!("what the pod says of the dump: {e}")))?;
    step.done(format!("{} databases", given.databases.len()));
    Ok(given)
}
