//! Waiting for objects to reach a state, told by the API server through watches.
//!
//! A wait survives restarts of the API server, expired watches and cut connections; it ends by the
//! caller's look, by its time limit or by missing permission.

use std::fmt::Debug;
use std::time::Duration;

use futures::StreamExt;
use kube::api::{Api, ListParams};
use kube::runtime::watcher::{self, Event};
use kube::{Resource, ResourceExt};
use serde::de::DeserializeOwned;
use tokio::time::Instant;

use super::ApiError;

/// Length of one watch request, seconds; a connection that died silently is noticed after it.
const WATCH_SECONDS: u32 = 60;
/// After this long without an event the objects are read once, in case the watch is dead.
const QUIET: Duration = Duration::from_secs(20);
/// How often to look again without news, for looks that depend on time.
const TICK: Duration = Duration::from_secs(2);
const FIRST_PAUSE: Duration = Duration::from_millis(250);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// Pause between reads when watching is not permitted.
const POLL: Duration = Duration::from_secs(1);
/// Least time granted for the first look, so that a limit of zero means "look once".
const FIRST_LOOK: Duration = Duration::from_secs(15);

/// What one look at the objects says about a wait.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Progress<T = ()> {
    /// Reached.
    Done(T),
    /// Not there yet; the text is what the user reads while waiting.
    Waiting(String),
    /// It will never get there, and why.
    Failed(String),
}

/// A wait ended without what it was for.
#[derive(Debug, thiserror::Error)]
pub enum WaitError {
    /// The time was up.
    #[error("gave up after {}s: {last}", after.as_secs())]
    TimedOut {
        /// The limit.
        after: Duration,
        /// What the last look said.
        last: String,
    },
    /// The look said that it will never get there.
    #[error("{0}")]
    Failed(String),
    /// The objects may not be read, or their type does not exist.
    #[error(transparent)]
    Denied(ApiError),
}

/// Waits until `look` is satisfied with the object of that name.
///
/// `look` gets `None` while the object does not exist. It is called for every change and every two
/// seconds; `on_waiting` is called when the text of [`Progress::Waiting`] changes. With a `limit` of
/// zero there is exactly one look. Falls back to reading every second when only `get` is permitted.
pub async fn wait_for<K, T>(
    api: Api<K>,
    name: &str,
    limit: Duration,
    mut look: impl FnMut(Option<&K>) -> Progress<T>,
    on_waiting: impl FnMut(&str),
) -> Result<T, WaitError>
where
    K: Resource + Clone + DeserializeOwned + Debug + Send + 'static,
{
    let scope = Scope::Name(name);
    run(
        api,
        scope,
        limit,
        |objects| look(objects.first()),
        on_waiting,
    )
    .await
}

/// Waits until `look` is satisfied with all objects that a label selector finds.
///
/// Otherwise as [`wait_for`]; needs `list`, and `watch` unless reading every second is good enough.
pub async fn wait_list<K, T>(
    api: Api<K>,
    selector: &str,
    limit: Duration,
    look: impl FnMut(&[K]) -> Progress<T>,
    on_waiting: impl FnMut(&str),
) -> Result<T, WaitError>
where
    K: Resource + Clone + DeserializeOwned + Debug + Send + 'static,
{
    run(api, Scope::Labels(selector), limit, look, on_waiting).await
}

/// Which objects a wait is about.
#[derive(Clone, Copy)]
enum Scope<'a> {
    Name(&'a str),
    Labels(&'a str),
}

impl Scope<'_> {
    fn watch(self) -> watcher::Config {
        let config = watcher::Config::default().timeout(WATCH_SECONDS);
        match self {
            Self::Name(name) => config.fields(&format!("metadata.name={name}")),
            Self::Labels(selector) => config.labels(selector),
        }
    }

    async fn read<K>(self, api: &Api<K>) -> Result<Vec<K>, ApiError>
    where
        K: Clone + DeserializeOwned + Debug,
    {
        match self {
            Self::Name(name) => Ok(api.get_opt(name).await?.into_iter().collect()),
            Self::Labels(selector) => Ok(api
                .list(&ListParams::default().labels(selector))
                .await?
                .items),
        }
    }
}

/// What a look decided, with the last text kept for the end.
struct Looker<L, W> {
    look: L,
    on_waiting: W,
    last: Option<String>,
}

impl<L, W: FnMut(&str)> Looker<L, W> {
    fn at<K, T>(&mut self, objects: &[K]) -> Option<Result<T, WaitError>>
    where
        L: FnMut(&[K]) -> Progress<T>,
    {
        match (self.look)(objects) {
            Progress::Done(value) => Some(Ok(value)),
            Progress::Failed(why) => Some(Err(WaitError::Failed(why))),
            Progress::Waiting(why) => {
                if self.last.as_ref() != Some(&why) {
                    (self.on_waiting)(&why);
                    self.last = Some(why);
                }
                None
            }
        }
    }

    fn timed_out(self, after: Duration, trouble: Option<ApiError>) -> WaitError {
        let last = match (self.last, trouble) {
            (Some(last), Some(trouble)) => format!("{last} ({trouble})"),
            (Some(last), None) => last,
            (None, Some(trouble)) => trouble.to_string(),
            (None, None) => "no answer from the API server".to_owned(),
        };
        WaitError::TimedOut { after, last }
    }
}

async fn run<K, T>(
    api: Api<K>,
    scope: Scope<'_>,
    limit: Duration,
    look: impl FnMut(&[K]) -> Progress<T>,
    on_waiting: impl FnMut(&str),
) -> Result<T, WaitError>
where
    K: Resource + Clone + DeserializeOwned + Debug + Send + 'static,
{
    let start = Instant::now();
    let mut looker = Looker {
        look,
        on_waiting,
        last: None,
    };
    let mut seen: Option<Vec<K>> = None;
    let mut incoming = Vec::new();
    let mut trouble = None;
    let mut heard = start;
    let mut pause = FIRST_PAUSE;
    let mut stream = Box::pin(watcher::watcher(api.clone(), scope.watch()));
    loop {
        let deadline = start
            + if seen.is_none() {
                limit.max(FIRST_LOOK)
            } else {
                limit
            };
        let wake = deadline.min(Instant::now() + TICK);
        let event = match tokio::time::timeout_at(wake, stream.next()).await {
            Ok(event) => event,
            Err(_) if Instant::now() >= deadline => break,
            Err(_) if heard.elapsed() >= QUIET && seen.is_some() => {
                heard = Instant::now();
                let bound = deadline.min(heard + Duration::from_secs(5));
                if let Ok(Ok(objects)) = tokio::time::timeout_at(bound, scope.read(&api)).await
                    && seen.as_ref().is_none_or(|old| differ(old, &objects))
                {
                    // The watch is dead; kept, it could still bring states from before this one.
                    stream = Box::pin(watcher::watcher(api.clone(), scope.watch()));
                    seen = Some(objects);
                }
                None
            }
            Err(_) => None,
        };
        match event {
            None => {}
            Some(Ok(event)) => {
                heard = Instant::now();
                pause = FIRST_PAUSE;
                trouble = None;
                match event {
                    Event::Init => {
                        incoming.clear();
                        continue;
                    }
                    Event::InitApply(object) => {
                        incoming.push(object);
                        continue;
                    }
                    Event::InitDone => seen = Some(std::mem::take(&mut incoming)),
                    Event::Apply(object) => put(seen.get_or_insert_default(), object),
                    Event::Delete(object) => {
                        seen.get_or_insert_default()
                            .retain(|other| !same(other, &object));
                    }
                }
            }
            Some(Err(error)) => {
                let error = ApiError::from(into_kube(error)?);
                tracing::debug!(%error, "watch");
                if error.is_denied() {
                    drop(stream);
                    return poll(&api, scope, (start, limit), looker).await;
                }
                if error.is_not_found() {
                    return Err(WaitError::Denied(error));
                }
                let expired = error.status() == Some(410);
                trouble = (!expired).then_some(error);
                if !expired {
                    let until = deadline.min(Instant::now() + pause);
                    tokio::time::sleep_until(until).await;
                    pause = (pause * 2).min(LONGEST_PAUSE);
                }
            }
        }
        if let Some(objects) = &seen
            && let Some(end) = looker.at(objects)
        {
            return end;
        }
    }
    // One read, in case the watch missed the last change.
    let grace = Instant::now() + Duration::from_secs(5);
    if !limit.is_zero()
        && let Ok(Ok(objects)) = tokio::time::timeout_at(grace, scope.read(&api)).await
        && let Some(end) = looker.at(&objects)
    {
        return end;
    }
    Err(looker.timed_out(limit, trouble))
}

/// Reads again and again, for users who may not watch.
async fn poll<K, T, L, W>(
    api: &Api<K>,
    scope: Scope<'_>,
    (start, limit): (Instant, Duration),
    mut looker: Looker<L, W>,
) -> Result<T, WaitError>
where
    K: Clone + DeserializeOwned + Debug,
    L: FnMut(&[K]) -> Progress<T>,
    W: FnMut(&str),
{
    let deadline = start + limit;
    loop {
        let bound = deadline.max(Instant::now() + FIRST_LOOK);
        let trouble = match tokio::time::timeout_at(bound, scope.read(api)).await {
            Ok(Ok(objects)) => {
                if let Some(end) = looker.at(&objects) {
                    return end;
                }
                None
            }
            Ok(Err(error)) if error.is_denied() || error.is_not_found() => {
                return Err(WaitError::Denied(error));
            }
            Ok(Err(error)) => Some(error),
            Err(_) => None,
        };
        if Instant::now() >= deadline {
            return Err(looker.timed_out(limit, trouble));
        }
        tokio::time::sleep_until(deadline.min(Instant::now() + POLL)).await;
    }
}

fn put<K: Resource>(objects: &mut Vec<K>, object: K) {
    match objects.iter_mut().find(|other| same(*other, &object)) {
        Some(old) => *old = object,
        None => objects.push(object),
    }
}

/// Tells whether two readings saw different objects or states.
fn differ<K: Resource>(one: &[K], other: &[K]) -> bool {
    let state = |object: &K| (object.uid(), object.resource_version());
    one.len() != other.len()
        || one
            .iter()
            .any(|object| !other.iter().any(|o| state(o) == state(object)))
}

fn same<K: Resource>(one: &K, other: &K) -> bool {
    one.name_any() == other.name_any() && one.namespace() == other.namespace()
}

/// Takes the cause out of a watcher's error.
fn into_kube(error: watcher::Error) -> Result<kube::Error, WaitError> {
    match error {
        watcher::Error::InitialListFailed(error)
        | watcher::Error::WatchStartFailed(error)
        | watcher::Error::WatchFailed(error) => Ok(error),
        watcher::Error::WatchError(status) => Ok(kube::Error::Api(status)),
        watcher::Error::NoResourceVersion => Err(WaitError::Failed(
            "the API server does not support watching this type".to_owned(),
        )),
    }
}

#[cfg(test)]
mod tests;
