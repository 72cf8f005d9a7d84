//! The upgrade pod's main process, seen from outside: its events, and the words it is told.

use std::time::Duration;

use k8s_openapi::api::core::v1::Pod;
use serde_json::Value;

use crate::error::{Exit, Failure, Result};
use crate::exec::Acting;
use crate::k8s::K8s;
use crate::k8s::logs::{LogError, LogFollower};
use crate::record::{DUMP, LOAD, Record};

/// Name of the main container of a pod of ours.
pub const CONTAINER: &str = "worker";

/// Follows the events of one worker and remembers them all.
pub struct Worker {
    k8s: K8s,
    pod: String,
    follower: LogFollower,
    /// Every event so far.
    pub events: Vec<Value>,
    /// The same as they came.
    pub lines: Vec<String>,
    /// The newest line that is no event.
    last_words: String,
    /// How many of them a `wait_for` has looked at.
    seen: usize,
}

impl Worker {
    /// Follows a pod from its first line on.
    pub fn attach(k8s: &K8s, pod: &str) -> Self {
        Self {
            k8s: k8s.clone(),
            pod: pod.to_owned(),
            follower: LogFollower::new(k8s, pod, CONTAINER),
            events: Vec::new(),
            lines: Vec::new(),
            last_words: String::new(),
            seen: 0,
        }
    }

    /// Name of the pod.
    pub fn pod(&self) -> &str {
        &self.pod
    }

    /// Tells the worker something and waits until it has taken notice.
    ///
    /// # Errors
    /// When the worker refuses or cannot be reached.
    pub async fn tell(&self, words: &[&str]) -> Result<()> {
        let mut argv = vec!["sh", "/scripts/ctl.sh"];
        argv.extend(words);
        let output = self
            .k8s
            .exec(&self.pod, CONTAINER, &argv, None, Duration::from_secs(30))
            .await
            .map_err(|e| {
                Failure::from(e).context(format!("telling Pod {} to {}", self.pod, words.join(" ")))
            })?;
        if output.code == 0 {
            return Ok(());
        }
        let said = String::from_utf8_lossy(&output.stdout);
        Err(Failure::new(
            Exit::Failed,
            format!(
                "Pod {} refused to {}: {} {}",
                self.pod,
                words.join(" "),
                said.trim(),
                output.stderr.trim()
            ),
        ))
    }

    /// The newest event of one of these names, if there was one.
    pub fn last(&self, names: &[&str]) -> Option<&Value> {
        self.events
            .iter()
            .rev()
            .find(|e| names.contains(&name_of(e)))
    }

    /// An event was seen.
    pub fn has_spoken(&self) -> bool {
        !self.events.is_empty()
    }

    /// Lets the next `wait_for` see the newest event again.
    pub fn unsee(&mut self) {
        self.seen = self.seen.saturating_sub(1);
    }

    /// Lets the next `wait_for` see only events that come from now on.
    pub fn skip_seen(&mut self) {
        self.seen = self.events.len();
    }

    /// Waits for an event of one of these names; `on_event` is shown every event on the way.
    ///
    /// # Errors
    /// When the time is up, or the pod ended or is gone.
    pub async fn wait_for(
        &mut self,
        names: &[&str],
        limit: Duration,
        mut on_event: impl FnMut(&Value),
    ) -> Result<Value> {
        let deadline = tokio::time::Instant::now() + limit;
        loop {
            while let Some(event) = self.events.get(self.seen) {
                self.seen += 1;
                on_event(event);
                if names.contains(&name_of(event)) {
                    return Ok(event.clone());
                }
            }
            let line = tokio::time::timeout_at(deadline, self.follower.next_line())
                .await
                .map_err(|_| {
                    Failure::new(
                        Exit::Failed,
                        format!(
                            "Pod {} did not say {} within {} s",
                            self.pod,
                            names.join(" or "),
                            limit.as_secs()
                        ),
                    )
                })?;
            match line {
                Ok(Some(line)) => {
                    if let Ok(event) = serde_json::from_str::<Value>(&line)
                        && event.get("event").is_some()
                    {
                        self.events.push(event);
                        self.lines.push(line);
                    } else {
                        self.last_words = line;
                    }
                }
                Ok(None) => self.restarted_or_ended().await?,
                Err(LogError::Gone { .. }) => {
                    return Err(Failure::new(
                        Exit::Unfinished,
                        format!(
                            "Pod {} is gone; its journal on the volume tells how far it came",
                            self.pod
                        ),
                    ));
                }
                Err(error) => {
                    return Err(Failure::from(error)
                        .context(format!("following Pod {}", self.pod))
                        .with_exit(Exit::Unfinished));
                }
            }
        }
    }

    /// The container ended: the kubelet restarts it, or the pod is over.
    async fn restarted_or_ended(&mut self) -> Result<()> {
        let pod = self.k8s.api::<Pod>().get_opt(&self.pod).await?;
        let phase = pod
            .as_ref()
            .and_then(|p| p.status.as_ref())
            .and_then(|s| s.phase.clone())
            .unwrap_or_default();
        match phase.as_str() {
            "Running" | "Pending" => {
                tokio::time::sleep(Duration::from_millis(500)).await;
                self.follower = LogFollower::new(&self.k8s, &self.pod, CONTAINER);
                Ok(())
            }
            _ => {
                let last = if self.last_words.is_empty() {
                    self.lines.last().cloned().unwrap_or_default()
                } else {
                    self.last_words.clone()
                };
                Err(Failure::new(
                    Exit::Failed,
                    format!(
                        "Pod {} ended ({}): {last}",
                        self.pod,
                        if phase.is_empty() { "deleted" } else { &phase }
                    ),
                ))
            }
        }
    }
}

/// The `event` of an event.
pub fn name_of(event: &Value) -> &str {
    event["event"].as_str().unwrap_or_default()
}

/// Why a worker refused or failed, in its words.
pub fn why(event: &Value) -> String {
    let words = ["reason", "detail", "log_tail"].iter();
    let words = words.filter_map(|key| event[key].as_str());
    let words: Vec<&str> = words.filter(|text| !text.trim().is_empty()).collect();
    words.join(": ")
}

/// Attaches to the upgrade pod of this run unless that was done already.
///
/// # Errors
/// When the run has no upgrade pod.
pub fn attach<'b>(acting: &'b mut Acting<'_>) -> Result<&'b mut Worker> {
    if acting.worker.is_none() {
        let name = acting.record.pod_name();
        acting.worker = Some(Worker::attach(acting.k8s, &name));
    }
    acting
        .worker
        .as_mut()
        .ok_or_else(|| Failure::new(Exit::Failed, "no upgrade pod"))
}

/// Without a budget `pg_upgrade` may take as long as the data is large.
const LIMIT: Duration = Duration::from_secs(24 * 3600);
/// Time to start the server, which is part of the outage too.
const START: Duration = Duration::from_secs(3);
/// Times that a lost upgrade pod is made again; its journal tells the new one where to go on.
const PODS: usize = 3;

/// Waits for the worker's result and keeps it in the record.
///
/// # Errors
/// When the worker failed and went back, needs the snapshot, or the outage budget is used up.
pub async fn await_result(acting: &mut Acting<'_>) -> Result<String> {
    let result = follow_to_result(acting).await.map_err(|failure| {
        if failure.exit == Exit::Unfinished {
            failure.hint(
                "the pod goes on without this client; the same command typed again follows it",
            )
        } else {
            failure
        }
    })?;
    acting.record.result = Some(result.clone());
    super::dump::keep(acting, &result["dump"]);
    let transfer = acting.record.upgrade.as_ref().map(|u| u.transfer.as_str());
    let means = match transfer {
        Some(DUMP) => "dump and load",
        Some(LOAD) => "load",
        _ => "pg_upgrade",
    };
    if result["outcome"] == "upgraded" {
        return Ok(format!(
            "{means} {}",
            crate::output::human_seconds(Duration::from_millis(moved_ms(&result)))
        ));
    }
    let reason = result["reason"].as_str().unwrap_or("unknown");
    let mut failure = Failure::new(Exit::Failed, format!("{means} failed: {reason}"));
    let detail = result["log_tail"].as_str().or(result["detail"].as_str());
    if let Some(detail) = detail.filter(|d| !d.is_empty()) {
        failure = failure.hint(format!("its log ended with:\n{detail}"));
    }
    Err(failure)
}

/// The worker's journal tells that the old server was cut off in the outage.
pub fn crashed(record: &Record) -> bool {
    record
        .result
        .as_ref()
        .is_some_and(|result| result["crashed"] == true)
}

/// What is said once the old server was cut off: it comes before the comparison, and there is none on the way back.
pub const CRASHED: &str = "the old server was cut off in the outage: PostgreSQL recovers it and empties its unlogged tables, as after any crash";

/// Milliseconds that moving the data took, whatever has moved it: a result has the members of its own way.
fn moved_ms(result: &Value) -> u64 {
    let parts = ["pg_upgrade_ms", "dump_ms", "load_ms"];
    parts.iter().filter_map(|part| result[*part].as_u64()).sum()
}

async fn follow_to_result(acting: &mut Acting<'_>) -> Result<Value> {
    let mut pods = 1;
    loop {
        let left = acting.record.budget_left(acting.k8s.now());
        let limit = left.map_or(LIMIT, |left| left.saturating_sub(START));
        attach(acting)?;
        let mut worker = acting
            .worker
            .take()
            .ok_or_else(|| Failure::new(Exit::Failed, "no upgrade pod"))?;
        let outcome = worker
            .wait_for(&["result"], limit, |event| {
                match (name_of(event), event["name"].as_str()) {
                    ("phase", Some(name)) => acting.note(name),
                    ("recovering", _) => acting.ui.warn(CRASHED),
                    _ => {}
                }
            })
            .await;
        let name = worker.pod().to_owned();
        let gone = acting
            .k8s
            .api::<Pod>()
            .get_opt(&name)
            .await
            .is_ok_and(|pod| pod.is_none());
        if !gone {
            acting.worker = Some(worker);
        }
        match outcome {
            Err(_) if gone && pods < PODS => {
                pods += 1;
                acting
                    .ui
                    .warn(format!("Pod {name} was lost; making it again"));
                super::pod::prepare(acting, &name).await?;
                // The journal on the volume lets the new pod finish at once: then there is nothing to wait for.
                let said = acting.worker.as_ref().and_then(|w| w.last(&["result"]));
                if let Some(result) = said {
                    return Ok(result.clone());
                }
            }
            Err(failure)
                if acting
                    .record
                    .budget_left(acting.k8s.now())
                    .is_some_and(|left| left <= START) =>
            {
                return Err(failure.context("the outage budget is used up"));
            }
            other => return other,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_way_tells_its_time_by_members_of_its_own() {
        let ms = |result| moved_ms(&result);
        assert_eq!(
            ms(serde_json::json!({"pg_upgrade_ms": 7, "place_ms": 1})),
            7
        );
        assert_eq!(ms(serde_json::json!({"dump_ms": 5, "load_ms": 6})), 11);
        assert_eq!(ms(serde_json::json!({"load_ms": 6})), 6);
    }
}
