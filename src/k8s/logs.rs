//! Follows a container's log to its end, every line exactly once.
//!
//! A followed log ends for many reasons besides the container's end (idle limits of load balancers and
//! kubelet, log rotation, restarts of the API server), so the end is taken from the pod's status only.

use std::collections::{HashMap, VecDeque};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::pin::Pin;
use std::time::Duration;

use futures::future::BoxFuture;
use futures::{AsyncBufRead, AsyncBufReadExt};
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::{ContainerStatus, Pod};
use kube::api::{Api, LogParams};
use kube::core::Request;
use kube::{Resource, ResourceExt};
use tokio::time::Instant;

use super::{ApiError, K8s, Progress, WaitError, wait_for};

/// A log that is quiet for this long is opened anew, in case its connection is dead.
const IDLE: Duration = Duration::from_secs(60);
/// How far back a log is read again. The API rounds to seconds, and stdout and stderr are not in order.
const OVERLAP: SignedDuration = SignedDuration::from_secs(2);
/// Lines this much older than the newest cannot come again.
const REMEMBERED: SignedDuration = SignedDuration::from_secs(5);
/// Pause before a log that ended is opened again.
const PAUSE: Duration = Duration::from_millis(100);
/// How long to wait for news of the container before a log without new lines is opened again.
const NEWS: Duration = Duration::from_secs(5);
/// Longest wait for a container to start; the caller's own limit is shorter.
const START_LIMIT: Duration = Duration::from_secs(24 * 3600);

/// A log cannot be followed further.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// The pod was deleted, or another one has its name.
    #[error("pod {pod} is gone, and its log with it")]
    Gone {
        /// Name of the pod.
        pod: String,
    },
    /// The pod has no such container.
    #[error("pod {pod} has no container {container}")]
    NoContainer {
        /// Name of the pod.
        pod: String,
        /// Name of the container.
        container: String,
    },
    /// The API server refused or could not be reached for long.
    #[error("reading the log of {pod}/{container}: {source}")]
    Api {
        /// Name of the pod.
        pod: String,
        /// Name of the container.
        container: String,
        /// The last answer.
        source: ApiError,
    },
}

type Reader = Pin<Box<dyn AsyncBufRead + Send>>;
/// Kept while it is under way, so that a caller who stops waiting does not start it over.
type Opening = BoxFuture<'static, Result<Opened, LogError>>;

/// What an attempt to open the log came to.
struct Opened {
    /// `None`: not now.
    reader: Option<Reader>,
    /// It is the log of the instance before the last restart.
    previous: bool,
    /// The container had ended before.
    last: bool,
    uid: Option<String>,
    restarts: Option<i32>,
}

/// What a pod's status says about a container's log.
enum State {
    /// Not started yet.
    Ahead,
    /// Running, or between two restarts.
    Open,
    /// Ended for good.
    Over,
}

/// One container of one pod.
#[derive(Clone)]
struct Place {
    k8s: K8s,
    pod: String,
    container: String,
}

/// Reads one container's log line by line.
pub struct LogFollower {
    place: Place,
    uid: Option<String>,
    opening: Option<Opening>,
    reader: Option<Reader>,
    previous: bool,
    last: bool,
    finished: bool,
    restarts: Option<i32>,
    line: Vec<u8>,
    /// When something came last, or the log was opened.
    heard: Instant,
    newest: Option<Timestamp>,
    /// Lines given away lately, to know them when they come again.
    recent: VecDeque<(Timestamp, u64)>,
    /// Lines that come again in the open log.
    again: HashMap<(Timestamp, u64), u32>,
    /// How often the log was opened since the last new line.
    again_in_a_row: u32,
}

impl LogFollower {
    /// Prepares to follow a container of the namespace; no request is made yet.
    pub fn new(k8s: &K8s, pod: &str, container: &str) -> Self {
        Self {
            place: Place {
                k8s: k8s.clone(),
                pod: pod.to_owned(),
                container: container.to_owned(),
            },
            uid: None,
            opening: None,
            reader: None,
            previous: false,
            last: false,
            finished: false,
            restarts: None,
            line: Vec::new(),
            heard: Instant::now(),
            newest: None,
            recent: VecDeque::new(),
            again: HashMap::new(),
            again_in_a_row: 0,
        }
    }

    /// Gives the next line, without its timestamp; `None` once the container has ended for good.
    ///
    /// Waits for the container to start, and follows it through restarts. Can be dropped while waiting
    /// (in `select!`) without losing a line.
    pub async fn next_line(&mut self) -> Result<Option<String>, LogError> {
        while !self.finished {
            if self.reader.is_none() {
                self.open().await?;
                continue;
            }
            match tokio::time::timeout_at(self.heard + IDLE, self.read()).await {
                Ok(Ok(true)) => {
                    let line = std::mem::take(&mut self.line);
                    if let Some(text) = self.take(&line) {
                        return Ok(Some(text));
                    }
                }
                Ok(Ok(false)) => {
                    self.finished = self.last;
                    if self.previous {
                        // The instance after it is waiting to be read.
                        self.again_in_a_row = 0;
                    }
                    let rest = std::mem::take(&mut self.line);
                    self.reader = None;
                    // The last line of a program need not end in a newline.
                    if (self.finished || self.previous)
                        && let Some(text) = self.take(&rest)
                    {
                        return Ok(Some(text));
                    }
                }
                Ok(Err(error)) => self.close(&error),
                Err(elapsed) => self.close(&elapsed),
            }
        }
        Ok(None)
    }

    fn close(&mut self, why: &dyn std::fmt::Display) {
        tracing::debug!(%why, pod = self.place.pod, "opening the log anew");
        self.reader = None;
        self.line.clear();
    }

    /// Reads until a line is complete (true) or the log ends (false); keeps a started line when dropped.
    async fn read(&mut self) -> std::io::Result<bool> {
        let Some(reader) = &mut self.reader else {
            return Ok(false);
        };
        loop {
            let bytes = reader.fill_buf().await?;
            if bytes.is_empty() {
                return Ok(false);
            }
            self.heard = Instant::now();
            let end = bytes.iter().position(|&byte| byte == b'\n');
            let taken = end.unwrap_or(bytes.len());
            self.line.extend_from_slice(&bytes[..taken]);
            reader.consume_unpin(end.map_or(taken, |end| end + 1));
            if end.is_some() {
                return Ok(true);
            }
        }
    }

    /// Splits off the timestamp and drops the line when it was given away before.
    fn take(&mut self, line: &[u8]) -> Option<String> {
        let text = String::from_utf8_lossy(line);
        let (stamp, text) = text.split_once(' ').unwrap_or((&text, ""));
        // Lines without one are the kubelet's own remarks.
        let at: Timestamp = stamp.parse().ok()?;
        let mut hasher = DefaultHasher::new();
        text.hash(&mut hasher);
        let key = (at, hasher.finish());
        if let Some(count) = self.again.get_mut(&key)
            && *count > 0
        {
            *count -= 1;
            return None;
        }
        // One: opening again right away would come before the kubelet knows of the end.
        self.again_in_a_row = 1;
        self.recent.push_back(key);
        let newest = self.newest.map_or(at, |newest| newest.max(at));
        self.newest = Some(newest);
        while let Some((old, _)) = self.recent.front()
            && newest.duration_since(*old) > REMEMBERED
        {
            self.recent.pop_front();
        }
        Some(text.trim_end_matches('\r').to_owned())
    }

    /// Opens the log that comes next, after what the pod's status says.
    async fn open(&mut self) -> Result<(), LogError> {
        let opening = self.opening.get_or_insert_with(|| {
            let place = self.place.clone();
            let (uid, restarts) = (self.uid.clone(), self.restarts);
            let since = self
                .newest
                .and_then(|newest| newest.checked_sub(OVERLAP).ok());
            let again = self.again_in_a_row;
            Box::pin(async move {
                match again {
                    0 => {}
                    1 => tokio::time::sleep(PAUSE).await,
                    _ => place.changed(restarts).await,
                }
                place.open(uid, restarts, since).await
            })
        });
        let result = opening.await;
        self.opening = None;
        self.again_in_a_row += 1;
        let opened = result?;
        self.uid = opened.uid;
        self.restarts = opened.restarts;
        self.previous = opened.previous;
        self.last = opened.last;
        self.reader = opened.reader;
        if self.restarts.is_none() {
            // The container has just started.
            self.again_in_a_row = 0;
        }
        self.heard = Instant::now();
        self.again.clear();
        for key in &self.recent {
            *self.again.entry(*key).or_default() += 1;
        }
        Ok(())
    }
}

impl Place {
    async fn open(
        self,
        uid: Option<String>,
        known: Option<i32>,
        since: Option<Timestamp>,
    ) -> Result<Opened, LogError> {
        let pod = match self.k8s.api::<Pod>().get_opt(&self.pod).await {
            Ok(Some(pod)) if uid.is_none() || uid == pod.uid() => pod,
            Ok(_) => return Err(self.gone()),
            Err(error) => return Err(self.api(error.into())),
        };
        if !has_container(&pod, &self.container) {
            return Err(LogError::NoContainer {
                pod: self.pod.clone(),
                container: self.container.clone(),
            });
        }
        let mut opened = Opened {
            reader: None,
            previous: false,
            last: false,
            uid: pod.uid(),
            restarts: known,
        };
        let state = state(&pod, &self.container);
        if matches!(state, State::Ahead) {
            self.started(opened.uid.as_deref()).await?;
            return Ok(opened);
        }
        let restarts = status_of(&pod, &self.container).map_or(0, |status| status.restart_count);
        opened.previous = known.is_some_and(|known| restarts > known);
        opened.last = matches!(state, State::Over) && !opened.previous;
        let follow = !opened.last && !opened.previous;
        match self.request(opened.previous, follow, since).await {
            Ok(reader) => opened.reader = Some(reader),
            // The runtime keeps the instance before for a while only.
            Err(error) if opened.previous && matches!(error.status(), Some(400 | 404)) => {}
            Err(error) if error.is_not_found() => return Err(self.gone()),
            // The container is not quite there yet, or the kubelet is away while its pods run on.
            Err(error)
                if error.may_have_happened()
                    || error
                        .status()
                        .is_some_and(|code| code == 400 || code >= 500) =>
            {
                tracing::debug!(%error, pod = self.pod, "log is not served");
                // Looked at again after a pause, which the first attempt does not make.
                opened.restarts = known.or(Some(restarts));
                return Ok(opened);
            }
            Err(error) => return Err(self.api(error)),
        }
        opened.restarts = Some(restarts);
        Ok(opened)
    }

    async fn request(
        &self,
        previous: bool,
        follow: bool,
        since: Option<Timestamp>,
    ) -> Result<Reader, ApiError> {
        let params = LogParams {
            container: Some(self.container.clone()),
            follow,
            previous,
            timestamps: true,
            since_time: since,
            ..LogParams::default()
        };
        let request = Request::new(Pod::url_path(&(), Some(self.k8s.namespace())))
            .logs(&self.pod, &params)
            .map_err(kube::Error::BuildRequest)?;
        let client = self.k8s.client();
        // A quiet container's log has no head before its first line.
        match tokio::time::timeout(IDLE, client.request_stream(request)).await {
            Ok(stream) => Ok(Box::pin(stream?)),
            Err(_) => Ok(Box::pin(futures::io::Cursor::new(Vec::new()))),
        }
    }

    /// Waits a few seconds for the container's end or restart, which ends of logs come before.
    async fn changed(&self, known: Option<i32>) {
        let look = |pod: Option<&Pod>| {
            let Some(pod) = pod else {
                return Progress::Done(());
            };
            let restarts = status_of(pod, &self.container).map(|status| status.restart_count);
            match state(pod, &self.container) {
                State::Over => Progress::Done(()),
                _ if restarts > known => Progress::Done(()),
                _ => Progress::Waiting(String::new()),
            }
        };
        let api: Api<Pod> = self.k8s.api();
        // Without news, or without permission to watch, the log is opened again all the same.
        if let Err(error) = wait_for(api, &self.pod, NEWS, look, |_| {}).await {
            tracing::debug!(%error, pod = self.pod, "no news of the container");
            if matches!(error, WaitError::Denied(_)) {
                tokio::time::sleep(NEWS).await;
            }
        }
    }

    /// Waits until the container has started.
    async fn started(&self, uid: Option<&str>) -> Result<(), LogError> {
        let look = |pod: Option<&Pod>| match pod {
            // A pod that is gone is told by the next attempt to open.
            None => Progress::Done(()),
            Some(pod) if pod.uid().as_deref() != uid => Progress::Done(()),
            Some(pod) => match state(pod, &self.container) {
                State::Ahead => Progress::Waiting("the container has not started".to_owned()),
                State::Open | State::Over => Progress::Done(()),
            },
        };
        let api: Api<Pod> = self.k8s.api();
        match wait_for(api, &self.pod, START_LIMIT, look, |_| {}).await {
            Err(WaitError::Denied(error)) => Err(self.api(error)),
            _ => Ok(()),
        }
    }

    fn gone(&self) -> LogError {
        LogError::Gone {
            pod: self.pod.clone(),
        }
    }

    fn api(&self, source: ApiError) -> LogError {
        LogError::Api {
            pod: self.pod.clone(),
            container: self.container.clone(),
            source,
        }
    }
}

fn has_container(pod: &Pod, name: &str) -> bool {
    pod.spec.as_ref().is_some_and(|spec| {
        let init = spec.init_containers.iter().flatten();
        spec.containers
            .iter()
            .chain(init)
            .any(|container| container.name == name)
    })
}

fn status_of<'a>(pod: &'a Pod, name: &str) -> Option<&'a ContainerStatus> {
    let status = pod.status.as_ref()?;
    let init = status.init_container_statuses.iter().flatten();
    status
        .container_statuses
        .iter()
        .flatten()
        .chain(init)
        .find(|status| status.name == name)
}

fn state(pod: &Pod, name: &str) -> State {
    let phase = pod
        .status
        .as_ref()
        .and_then(|status| status.phase.as_deref())
        .unwrap_or_default();
    let over = matches!(phase, "Succeeded" | "Failed");
    let Some(status) = status_of(pod, name) else {
        return if over { State::Over } else { State::Ahead };
    };
    let now = status.state.as_ref();
    if let Some(ended) = now.and_then(|now| now.terminated.as_ref()) {
        let policy = pod
            .spec
            .as_ref()
            .and_then(|spec| spec.restart_policy.as_deref())
            .unwrap_or("Always");
        let init = pod
            .status
            .iter()
            .flat_map(|status| status.init_container_statuses.iter().flatten())
            .any(|status| status.name == name);
        let restarts = match policy {
            "Never" => false,
            "OnFailure" => ended.exit_code != 0,
            // An init container that succeeded is not started again.
            _ => !init || ended.exit_code != 0,
        };
        return if over || !restarts {
            State::Over
        } else {
            State::Open
        };
    }
    if over {
        return State::Over;
    }
    if now.is_some_and(|now| now.running.is_some()) || status.restart_count > 0 {
        State::Open
    } else {
        State::Ahead
    }
}

#[cfg(test)]
mod tests;
