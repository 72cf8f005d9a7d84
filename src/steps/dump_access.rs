//! A pod through which a dump on a claim can be read; it ends by itself when nobody uses it.

use std::collections::BTreeMap;
use std::time::Duration;

use super::dump::{HOLD, Task, start};
use super::{pod, worker};
use crate::error::{Exit, Failure, Result};
use crate::exec::Acting;
use crate::manifests::pod::DUMPS;
use crate::record::DumpPlace;

/// Where the pod sees the dump.
pub(crate) fn directory(place: &DumpPlace) -> String {
    format!("{DUMPS}/{}", place.directory)
}

/// Makes the pod, or finds the one of an earlier client; its name.
///
/// # Errors
/// When it does not start.
pub(crate) async fn open(
    acting: &Acting<'_>,
    place: &DumpPlace,
    owner: (i64, i64),
) -> Result<String> {
    let task = Task {
        script: "worker.sh",
        mode: HOLD,
        place,
        owner,
        empty: false,
        env: BTreeMap::new(),
        login: None,
    };
    let mut worker = start(acting, &task).await?;
    let said = worker
        .wait_for(&["holding", "refused"], Duration::from_secs(120), |_| {})
        .await?;
    if worker::name_of(&said) != "holding" {
        let why = worker::why(&said);
        return Err(Failure::new(
            Exit::Failed,
            format!("dump {place} cannot be read: {why}"),
        ));
    }
    Ok(worker.pod().to_owned())
}

/// Removes the pod.
///
/// # Errors
/// When it cannot be deleted.
pub(crate) async fn close(acting: &Acting<'_>, name: &str) -> Result<()> {
    pod::remove(acting.k8s, name).await
}
