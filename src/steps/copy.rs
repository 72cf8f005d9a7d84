//! The running server's data directory, copied to a claim of its own through an online backup.
//!
//! Two pods see claims and one session sees the server: a pod makes the directories on the empty claim, another copies, and
//! the backup is held open in the server's container. The client stands between them; without it all of them end.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::Value;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use super::errand::{Errand, LIMIT};
use super::worker::{self, CONTAINER, Worker};
use super::{pod, verify};
use crate::discover::sql;
use crate::error::{Exit, Failure, Result};
use crate::exec::Acting;
use crate::k8s::K8s;
use crate::k8s::exec::{ExecError, ExecOutput};
use crate::manifests::pod::LIVE;
use crate::output::human_bytes;
use crate::plan::rehearse::slot_trouble;
use crate::plan::upgrade::{VOLUME, WORK_DIRECTORY};

const ROOM: &str = "room";
const COPY: &str = "copy";
/// The modes of the pods that a copy takes.
pub(super) const MODES: [&str; 2] = [ROOM, COPY];
const BACKUP: &str = include_str!("../scripts/backup.sh");
/// Time between two words to the session; the server ends it after 60 s without one.
const BEAT: Duration = Duration::from_secs(5);
/// Time for the last word and the end after it.
const FAREWELL: Duration = Duration::from_secs(10);

/// Where the data is on a claim that a copy has filled: its root stays root's, so no data directory can be there.
pub(super) fn directories() -> BTreeMap<String, String> {
    BTreeMap::from([
        ("PGUP_DATA".to_owned(), format!("{VOLUME}/data")),
        ("PGUP_WORK".to_owned(), format!("{VOLUME}/{WORK_DIRECTORY}")),
    ])
}

/// Copies the data directory at `rate` bytes a second; `fast` does not spread the checkpoint before it.
pub(super) async fn server(
    acting: &mut Acting<'_>,
    claim: &str,
    rate: u64,
    fast: bool,
) -> Result<String> {
    let outcome = copy(acting, claim, rate, fast).await;
    // Half a copy cannot be gone on with: what was made is deleted.
    outcome.map_err(|failure| match failure.exit {
        Exit::Unfinished => failure.with_exit(Exit::Failed),
        _ => failure,
    })
}

async fn copy(acting: &mut Acting<'_>, claim: &str, rate: u64, fast: bool) -> Result<String> {
    let (pod, container, upgrade) = verify::place(acting)?;
    let instance = &acting.record.instance;
    // The live claim can be mounted beside its server only.
    let node = instance.pod.as_ref().map(|p| p.node.clone());
    let live = instance.claim.as_ref().map(|c| c.id.name.clone());
    let errand = |mode: &'static str| Errand {
        env: directories(),
        claim: Some(claim),
        node: node.as_deref(),
        old_programs: false,
        ..Errand::new(mode)
    };
    let room = Errand {
        empty_claim: true,
        ends: &["made", "refused", "exit"],
        ..errand(ROOM)
    };
    expect(&room.run(acting).await?.last, "made")?;
    let mut errand = errand(COPY);
    let below = upgrade.volume_data_directory.strip_prefix(VOLUME);
    let below = below.unwrap_or_default();
    errand.live_claim = live.as_deref();
    errand.env.extend([
        ("PGUP_LIVE".to_owned(), format!("{LIVE}{below}")),
        ("PGUP_RATE".to_owned(), rate.to_string()),
    ]);
    let mut worker = errand.start(acting).await?;
    wait(&mut worker, acting, "waiting").await?;

    let (say, words) = unbounded_channel();
    let (heard, hear) = unbounded_channel();
    let mut backup = Backup {
        say,
        hear,
        refused: None,
    };
    let argv = sql::held(&[if fast { "fast" } else { "spread" }]);
    let script = sql::held_script(BACKUP);
    let session = acting
        .k8s
        .exec_talk(&pod, &container, &argv, script, words, |line| {
            if let Ok(answer) = serde_json::from_str::<Value>(line) {
                drop(heard.send(answer));
            }
        });
    let mut session = std::pin::pin!(session);
    let copied = tokio::select! {
        copied = through(&mut backup, &mut worker, acting) => Ok(copied?),
        ended = &mut session => Err(ended),
    };
    let copied = copied.map_err(|ended| backup.broken(ended))?;
    backup.tell("end");
    // The server ends it by itself when this word is lost.
    drop(tokio::time::timeout(FAREWELL, session).await);
    pod::remove(acting.k8s, worker.pod()).await?;
    let ms = Duration::from_millis(copied["ms"].as_u64().unwrap_or(0));
    Ok(format!(
        "{} in {}",
        human_bytes(copied["bytes"].as_u64().unwrap_or(0)),
        crate::output::human_seconds(ms)
    ))
}

/// The copy, from the backup's begin until its last segment of write-ahead log.
async fn through(backup: &mut Backup, worker: &mut Worker, acting: &Acting<'_>) -> Result<Value> {
    let starting = backup.answer("starting").await;
    if let Some(seconds @ 1..) = starting["seconds"].as_u64() {
        acting.note(&format!(
            "the server's spread checkpoint, {seconds} s at most"
        ));
    }
    let started = backup.answer("started").await;
    hand(acting.k8s, worker.pod(), "go", "").await?;
    beside(backup, worker, acting, "data_copied").await?;
    backup.tell("stop");
    let stopped = backup.answer("stopped").await;
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let label = format!(
        "{} {}\n{}",
        text(&started["wal"]),
        text(&stopped["wal"]),
        text(&stopped["label"])
    );
    hand(acting.k8s, worker.pod(), "stop", &label).await?;
    beside(backup, worker, acting, "copied").await
}

/// Waits for an event of the pod that copies, while the backup is watched.
async fn beside(
    backup: &mut Backup,
    worker: &mut Worker,
    acting: &Acting<'_>,
    name: &str,
) -> Result<Value> {
    tokio::select! {
        event = wait(worker, acting, name) => event,
        failure = backup.watch() => Err(failure),
    }
}

/// Waits for an event of the pod that copies.
async fn wait(worker: &mut Worker, acting: &Acting<'_>, name: &str) -> Result<Value> {
    let event = worker
        .wait_for(&[name, "refused", "exit"], LIMIT, |event| {
            if let (Some(bytes), Some(total)) = (event["bytes"].as_u64(), event["total"].as_u64()) {
                acting.note(&format!("{} of {}", human_bytes(bytes), human_bytes(total)));
            }
        })
        .await?;
    expect(&event, name)?;
    Ok(event)
}

fn expect(event: &Value, name: &str) -> Result<()> {
    if worker::name_of(event) == name {
        return Ok(());
    }
    Err(Failure::new(
        Exit::Failed,
        format!(
            "the running server could not be copied: {}",
            worker::why(event)
        ),
    ))
}

/// Gives the pod that copies a file that it waits for.
async fn hand(k8s: &K8s, pod: &str, name: &str, content: &str) -> Result<()> {
    let argv = [
        "sh",
        "-c",
        r#"cd && cat >"$1.part" && mv "$1.part" "$1""#,
        "sh",
        name,
    ];
    let stdin = Some(content.as_bytes().to_vec());
    let output = k8s.exec(pod, CONTAINER, &argv, stdin, FAREWELL).await;
    let output =
        output.map_err(|e| Failure::from(e).context(format!("telling Pod {pod} to {name}")))?;
    if output.code == 0 {
        return Ok(());
    }
    Err(Failure::new(
        Exit::Failed,
        format!("Pod {pod} cannot be told to {name}: {}", output.stderr),
    ))
}

/// The session in the server's container that holds the backup open.
struct Backup {
    say: UnboundedSender<String>,
    hear: UnboundedReceiver<Value>,
    /// Why the script found no way to the server.
    refused: Option<String>,
}

impl Backup {
    /// A session that has ended tells why by itself.
    fn tell(&self, word: &str) {
        drop(self.say.send(format!("{word}\n")));
    }

    /// Waits for the answer of this name, for ever when the session ends before it.
    async fn answer(&mut self, name: &str) -> Value {
        loop {
            match self.hear.recv().await {
                Some(answer) if answer["event"] == name => return answer,
                Some(other) => self.note_refusal(&other),
                None => std::future::pending().await,
            }
        }
    }

    /// Keeps the session alive; ends only when the slot has become a danger.
    async fn watch(&mut self) -> Failure {
        loop {
            self.tell("alive");
            let kept = self.answer("kept").await;
            if let Some(trouble) = slot_trouble(&kept) {
                return Failure::new(Exit::Failed, format!("the copy was given up: {trouble}"));
            }
            tokio::time::sleep(BEAT).await;
        }
    }

    fn note_refusal(&mut self, answer: &Value) {
        let detail = answer["detail"].as_str().map(str::to_owned);
        self.refused = detail.or_else(|| self.refused.take());
    }

    /// Why the session ended before the copy.
    fn broken(&mut self, ended: std::result::Result<ExecOutput, ExecError>) -> Failure {
        while let Ok(answer) = self.hear.try_recv() {
            self.note_refusal(&answer);
        }
        let context = "the online backup ended before the copy";
        match ended {
            Err(error) => Failure::from(error).context(context),
            Ok(output) => {
                let refused = self.refused.take();
                let why = refused.unwrap_or_else(|| output.stderr.trim().to_owned());
                Failure::new(Exit::Failed, format!("{context}: {why}"))
            }
        }
    }
}
