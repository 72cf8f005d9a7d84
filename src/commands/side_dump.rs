//! `--dump-claim` with `--method side-by-side`: where the dump lies and is kept.

use super::Session;
use super::runs::{self, Run};
use super::snapshot::dump::fits;
use crate::cli::options::UpgradeOptions;
use crate::discover::{self, Namespace};
use crate::error::{Failure, Result};
use crate::facts::instance::InstanceFacts;
use crate::k8s::names;
use crate::plan::dump::{self as plan, DumpClaim};
use crate::record::{DumpPlace, RunState};

/// The place of the dump, where one was asked for: that of an earlier run of this instance, whose dump may still hold all, else
/// one of its own. `bytes` is the size of the old server's databases.
///
/// # Errors
/// Exit code 3 when the claim cannot take it.
pub(super) async fn place(
    session: &Session,
    namespace: &Namespace,
    options: &UpgradeOptions,
    old: &InstanceFacts,
    bytes: u64,
) -> Result<Option<DumpPlace>> {
    let (Some(claim), Some(pod)) = (&options.dump_claim, &old.pod) else {
        return Ok(None);
    };
    let step = session.ui.step("look at the claim for the dump");
    let k8s = &session.k8s;
    let (server, on_claim, runs) = tokio::join!(
        discover::server::read(k8s, &pod.name, &old.container),
        discover::dump_claim::read(k8s, namespace, claim, Some(&pod.node)),
        runs::of(session, &old.workload),
    );
    let server = server.map_err(|e| {
        Failure::refused(format!(
            "the server in Pod {} could not be read: {e:#}",
            pod.name
        ))
        .hint("nothing was changed")
    })?;
    fits(session, old, server, on_claim?)?;
    let at = k8s.now().strftime("%y%m%d-%H%M%S").to_string();
    let name = names::name(&["pg-upgrade", &old.workload.name, &at, "side"]);
    let place = earlier(&runs?, claim).unwrap_or_else(|| plan::place(name, claim, bytes));
    step.done(place.to_string());
    Ok(Some(place))
}

/// The newest place of a run by this method on the same claim, or on one of the same size.
fn earlier(runs: &[Run], claim: &DumpClaim) -> Option<DumpPlace> {
    let fits = |place: &&DumpPlace| match claim {
        DumpClaim::Existing(name) => place.claim == *name,
        DumpClaim::New(size) => place.size.as_ref() == Some(size),
    };
    runs.iter()
        .rev()
        .filter(|run| run.record.state != RunState::Cleaned)
        .filter_map(|run| run.record.side.as_ref()?.dump.as_ref())
        .find(fits)
        .cloned()
}
