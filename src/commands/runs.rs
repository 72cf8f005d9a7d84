//! The open run of an instance, or a new one; and running what it still has to do.

use std::sync::Arc;

use crate::cli;
use crate::error::{Exit, Failure, Result};
use crate::exec::{Acting, Cancel, Lease, Store};
use crate::facts::instance::{InstanceFacts, ObjectId};
use crate::k8s::names;
use crate::plan;
use crate::record::{Asked, Record, RunState};
use crate::steps::worker;

use super::Session;

/// A run and where it is kept.
pub(super) struct Run {
    pub(super) store: Store,
    pub(super) record: Record,
}

/// Every run of an instance, oldest first.
pub(super) async fn of(session: &Session, workload: &ObjectId) -> Result<Vec<Run>> {
    Ok(Store::list(&session.k8s, Some(workload))
        .await?
        .into_iter()
        .map(|(store, record)| Run { store, record })
        .collect())
}

/// The run that is named, or the newest that still has something to do or to take back.
pub(super) async fn current(
    session: &Session,
    workload: &ObjectId,
    id: Option<&str>,
) -> Result<Option<Run>> {
    let mut runs = of(session, workload).await?;
    if let Some(id) = id {
        let Some(index) = runs.iter().position(|r| r.record.run == id) else {
            let known: Vec<&str> = runs.iter().map(|r| r.record.run.as_str()).collect();
            return Err(Failure::usage(format!("{workload} has no run {id}"))
                .hint(format!("runs: {}", known.join(", "))));
        };
        return Ok(Some(runs.swap_remove(index)));
    }
    let open = |record: &Record| {
        !record.is_rehearsal()
            && !record.is_bring_up()
            && (matches!(record.state, RunState::Open | RunState::HalfWay)
                || !record.quiesced().is_empty())
    };
    let index = runs.iter().rposition(|r| open(&r.record));
    Ok(index.map(|i| runs.swap_remove(i)))
}

/// Opens a new run.
pub(super) async fn start(
    session: &Session,
    asked: Asked,
    instance: &InstanceFacts,
) -> Result<Run> {
    let now = session.k8s.now();
    let run = names::name(&[
        &instance.workload.name,
        &now.strftime("%y%m%d-%H%M%S").to_string(),
    ]);
    start_named(session, &run, asked, instance).await
}

/// Opens a new run under a name that was planned.
pub(super) async fn start_named(
    session: &Session,
    run: &str,
    asked: Asked,
    instance: &InstanceFacts,
) -> Result<Run> {
    let record = Record::new(
        run.to_owned(),
        asked,
        cli::user_at_host(),
        session.k8s.now(),
        instance.clone(),
    );
    let store = Store::create(&session.k8s, &record).await?;
    Ok(Run { store, record })
}

/// Executes what the record still has to do, under the lease.
pub(super) async fn execute(session: &Session, run: &mut Run) -> Result<()> {
    let lease = Lease::acquire(&session.k8s, &session.ui, run.record.target()).await?;
    let outcome = execute_under(session, run, &lease).await;
    lease.release().await;
    outcome
}

/// As [`execute`], with a lease that is already held.
pub(super) async fn execute_under(session: &Session, run: &mut Run, lease: &Lease) -> Result<()> {
    let cancel = Cancel::listen(&session.ui)?;
    let mut acting = Acting::new(&session.k8s, &session.ui, &run.store, &mut run.record);
    acting.run(lease, &cancel).await
}

/// Executes an upgrade; on a failure that has a way back, takes it. The record's state tells how it ended.
pub(super) async fn execute_or_back(session: &Session, run: &mut Run, lease: &Lease) -> Result<()> {
    let cancel = Cancel::listen(&session.ui)?;
    let mut acting = Acting::new(&session.k8s, &session.ui, &run.store, &mut run.record);
    let Err(failure) = acting.run(lease, &cancel).await else {
        return Ok(());
    };
    if matches!(failure.exit, Exit::Unfinished | Exit::Locked) {
        return Err(failure);
    }
    if plan::back::past_no_return(acting.record) {
        acting.record.state = RunState::HalfWay;
        acting.store.save(acting.record).await?;
        return Err(past_no_return(failure, acting.record));
    }
    let steps = plan::back::after_failure(acting.record);
    if steps.is_empty() {
        acting.turn_back(steps);
        acting.record.state = RunState::Failed;
        acting.record.finished_at = Some(session.k8s.now());
        acting.store.save(acting.record).await?;
        return Err(failure);
    }
    session
        .ui
        .warn(format!("{}; going back to the old version", failure.error));
    acting.turn_back(steps);
    match acting.run(lease, &cancel).await {
        Ok(()) => {
            acting.record.state = RunState::Failed;
            acting.record.finished_at = Some(session.k8s.now());
            acting.store.save(acting.record).await?;
            let safe = match &acting.record.side {
                Some(side) => {
                    format!(
                        "{} was only read, and what was stopped is back",
                        acting.record.target()
                    ) + if side.online { "" } else { " on it" }
                }
                None => format!(
                    "the old server (PostgreSQL {}) is running again with all of its data{}, and what was stopped is back",
                    acting.record.upgrade.as_ref().map_or(0, |u| u.from),
                    if worker::crashed(acting.record) {
                        " but that of unlogged tables"
                    } else {
                        ""
                    }
                ),
            };
            let exit = if failure.exit == Exit::Interrupted {
                Exit::Interrupted
            } else {
                Exit::Failed
            };
            Err(failure.with_exit(exit).hint(safe))
        }
        Err(back) => {
            acting.record.state = RunState::HalfWay;
            acting.store.save(acting.record).await?;
            let target = acting.record.target();
            let from = if acting.record.side.is_some() {
                "service"
            } else if acting.record.snapshots.is_empty() {
                "archive"
            } else {
                "snapshot"
            };
            Err(back.with_exit(Exit::HalfWay).context(format!("going back after: {}", failure.error)).hint(format!(
                "the service is down; next: kubectl pg-upgrade restore -n {} {}/{} --from {from}",
                target.namespace,
                target.kind.to_lowercase(),
                target.name
            )))
        }
    }
}

/// Executes a rehearsal; whatever comes of it, and also when it is interrupted, nothing of it is left.
pub(super) async fn execute_and_drop(
    session: &Session,
    run: &mut Run,
    lease: &Lease,
) -> Result<()> {
    let cancel = Cancel::listen(&session.ui)?;
    let mut acting = Acting::new(&session.k8s, &session.ui, &run.store, &mut run.record);
    let outcome = tokio::select! {
        outcome = acting.run(lease, &cancel) => outcome,
        () = cancel.wait() => Err(Failure::new(Exit::Interrupted, "the rehearsal was interrupted")),
    };
    match outcome {
        Ok(()) => acting.record.state = RunState::Rehearsed,
        Err(failure) if matches!(failure.exit, Exit::Unfinished | Exit::Locked) => {
            return Err(failure);
        }
        Err(failure) => {
            drop_rest(&mut acting, lease, &cancel).await.map_err(|e| {
                e.context(format!("deleting the copy after: {}", failure.error))
                    .hint("the server in use was not touched; delete the copy with: kubectl pg-upgrade cleanup")
            })?;
            return Err(failure.hint(
                "the server in use was not touched, and what the rehearsal made is deleted",
            ));
        }
    }
    acting.record.finished_at = Some(session.k8s.now());
    acting.store.save(acting.record).await
}

/// Ends a rehearsal whose client is gone.
pub(super) async fn drop_abandoned(session: &Session, run: &mut Run, lease: &Lease) -> Result<()> {
    let cancel = Arc::new(Cancel::default());
    let mut acting = Acting::new(&session.k8s, &session.ui, &run.store, &mut run.record);
    drop_rest(&mut acting, lease, &cancel).await
}

async fn drop_rest(acting: &mut Acting<'_>, lease: &Lease, cancel: &Arc<Cancel>) -> Result<()> {
    acting.give_up("interrupted");
    let rest = plan::rehearse::rest(acting.record);
    acting.turn_back(rest);
    acting.run(lease, cancel).await?;
    acting.record.state = RunState::Failed;
    acting.record.finished_at = Some(acting.k8s.now());
    acting.store.save(acting.record).await
}

/// The new server runs, but the run did not end well: the user decides.
fn past_no_return(failure: Failure, record: &Record) -> Failure {
    let target = record.target();
    let name = format!(
        "-n {} {}/{}",
        target.namespace,
        target.kind.to_lowercase(),
        target.name
    );
    let stopped = if record.quiesced().is_empty() {
        ""
    } else {
        ", and its clients are still stopped"
    };
    failure
        .with_exit(Exit::HalfWay)
        .hint(format!(
            "the new server is running{stopped}; it shares its files with the old data directory"
        ))
        .hint(format!(
            "back to the old version: kubectl pg-upgrade restore {name} --from snapshot"
        ))
        .hint(format!(
            "or accept it as it is: kubectl pg-upgrade resume {name}"
        ))
}
