//! A dump of the running server, made by a pod of its own image beside it.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::Pod;
use serde::{Deserialize, Serialize};

use super::dump::{Task, start};
use super::errand::LIMIT;
use super::{pod, worker};
use crate::error::{Exit, Failure, Result};
use crate::exec::Acting;
use crate::manifests::login::Login;
use crate::output::human_bytes;
use crate::record::DumpPlace;

/// What the pod must know of the server.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Source {
    /// Who writes the dump.
    pub uid: i64,
    /// The writer's group.
    pub gid: i64,
    /// Major version of the server.
    pub major: String,
    /// Its port.
    pub port: u16,
    /// Its superuser: references only.
    pub login: Login,
    /// Parallel jobs of `pg_dump`.
    pub jobs: u32,
}

/// Dumps the server, or follows the pod that an earlier client has left doing that.
pub(super) async fn dump(
    acting: &mut Acting<'_>,
    place: &DumpPlace,
    source: &Source,
) -> Result<String> {
    let server = acting.record.instance.pod.as_ref();
    let server = server.ok_or_else(|| Failure::refused("no server runs that could be dumped"))?;
    let name = server.name.clone();
    let found = acting.k8s.api::<Pod>().get(&name).await;
    let host = found
        .map_err(|e| Failure::from(e).context(format!("reading Pod {name}")))?
        .status
        .and_then(|status| status.pod_ip)
        .ok_or_else(|| Failure::new(Exit::Failed, format!("Pod {name} has no address")))?;
    let env = BTreeMap::from(
        [
            ("PGUP_FROM", source.major.clone()),
            ("PGUP_HOST", host),
            ("PGUP_PORT", source.port.to_string()),
            ("PGUP_JOBS", source.jobs.to_string()),
        ]
        .map(|(name, value)| (name.to_owned(), value)),
    );
    let task = Task {
        script: "take.sh",
        mode: "take-dump",
        place,
        owner: (source.uid, source.gid),
        empty: false,
        env,
        login: Some(&source.login),
    };
    let mut worker = start(acting, &task).await?;
    let last = worker
        .wait_for(&["taken", "failed"], LIMIT, |event| {
            acting.note(event["name"].as_str().unwrap_or(worker::name_of(event)));
        })
        .await?;
    pod::remove(acting.k8s, worker.pod()).await?;
    if worker::name_of(&last) != "taken" {
        return Err(Failure::new(
            Exit::Failed,
            format!("the server could not be dumped: {}", worker::why(&last)),
        )
        .hint("the server was only read; the same command typed again starts over"));
    }
    let bytes = last["bytes"].as_u64();
    let mut dumps = acting.record.dumps.iter_mut();
    if let Some(entry) = dumps.find(|dump| dump.place == *place) {
        entry.bytes = bytes;
        entry.sealed = true;
    }
    Ok(format!("{}, sealed", human_bytes(bytes.unwrap_or(0))))
}
