//! One HTTP path to the API server for every request of the process.
//!
//! Counts requests, bounds their time, repeats those that may be repeated, keeps the credential of a
//! plugin fresh, learns the server's clock and passes on its warnings.

use std::collections::HashSet;
use std::error::Error as _;
use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::task::{Context, Poll};
use std::time::Duration;

use base64::Engine;
use futures::future::BoxFuture;
use http::header::{AUTHORIZATION, DATE, RETRY_AFTER, WARNING};
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode, Uri};
use hyper_util::client::legacy::Error as HttpError;
use jiff::{SignedDuration, Timestamp};
use kube::client::Body;
use kube::config::ExecConfig;
use kube::{Client, Config};
use tokio::time::Instant;
use tower::{BoxError, Service};

mod clock;
mod connect;
mod shape;

use clock::Clock;
use connect::connect;
use shape::{Shape, Stream, name};

use super::credential::{self, Credential};

/// Bound of one call when `--request-timeout` does not say otherwise; the API server's own is 60 s.
const CALL_LIMIT: Duration = Duration::from_secs(65);
/// How long a call that may be repeated is repeated.
const RETRY_WITHIN: Duration = Duration::from_secs(60);
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(3);

/// Something the user should hear about, which is not a result.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Notice {
    /// The API server sent a `Warning` header; told once per text.
    Warning(String),
    /// A call is being repeated.
    Retrying {
        /// Method and path.
        call: String,
        /// What went wrong last.
        why: String,
        /// Time since the first attempt.
        since: Duration,
    },
}

impl fmt::Display for Notice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Warning(text) => f.write_str(text),
            Self::Retrying { call, why, since } => {
                write!(f, "still trying after {}s: {call}: {why}", since.as_secs())
            }
        }
    }
}

/// No answer came back.
#[derive(Debug, thiserror::Error)]
#[error("{text}")]
pub(super) struct WireError {
    pub(super) trouble: Trouble,
    pub(super) text: String,
}

/// Why no answer came back, as far as callers decide by it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Trouble {
    /// No connection: the request was not sent.
    Unreachable,
    /// Connected, but not to something we trust or that trusts us: the request was not sent.
    Untrusted,
    /// The request was sent and the answer got lost or did not come in time.
    Lost,
}

/// Time limits; a value of its own so that tests need not wait.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    /// Bound of one call with all its repetitions; zero: none.
    pub(super) call: Duration,
    /// How long to repeat.
    pub(super) retry_within: Duration,
}

impl Limits {
    pub(super) fn new(request_timeout: Option<Duration>) -> Self {
        Self {
            call: request_timeout.unwrap_or(CALL_LIMIT),
            retry_within: RETRY_WITHIN,
        }
    }
}

/// What is needed to send: the HTTP client and the plugin's credential, renewed together.
#[derive(Clone)]
struct Line {
    client: Client,
    bearer: Option<HeaderValue>,
    expires: Option<Timestamp>,
    /// Number of times the plugin was run.
    generation: u64,
}

type Listener = Arc<dyn Fn(&Notice) + Send + Sync>;

/// State shared by all requests.
pub(super) struct Wire {
    config: Config,
    plugin: Option<ExecConfig>,
    limits: Limits,
    line: tokio::sync::Mutex<Option<Line>>,
    requests: AtomicU64,
    /// An answer came at least once, so a refused connection is more likely a restart than a mistake.
    reached: AtomicBool,
    clock: Mutex<Clock>,
    listener: RwLock<Option<Listener>>,
    warned: Mutex<HashSet<String>>,
}

impl Wire {
    pub(super) fn new(config: Config, plugin: Option<ExecConfig>, limits: Limits) -> Self {
        Self {
            config,
            plugin,
            limits,
            line: tokio::sync::Mutex::new(None),
            requests: AtomicU64::new(0),
            reached: AtomicBool::new(false),
            clock: Mutex::new(Clock::default()),
            listener: RwLock::new(None),
            warned: Mutex::new(HashSet::new()),
        }
    }

    pub(super) fn requests(&self) -> u64 {
        self.requests.load(Ordering::Relaxed)
    }

    pub(super) fn now(&self) -> Timestamp {
        let offset = self.clock().offset();
        Timestamp::now()
            .checked_add(offset)
            .unwrap_or(Timestamp::MAX)
    }

    pub(super) fn listen(&self, listener: Listener) {
        *self
            .listener
            .write()
            .unwrap_or_else(PoisonError::into_inner) = Some(listener);
    }

    pub(super) fn server(&self) -> &Uri {
        &self.config.cluster_url
    }

    fn clock(&self) -> std::sync::MutexGuard<'_, Clock> {
        self.clock.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn tell(&self, notice: &Notice) {
        tracing::debug!(%notice, "notice");
        let listener = self
            .listener
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        if let Some(listener) = listener {
            listener(notice);
        }
    }

    /// Sends one call, repeating it when that is safe.
    async fn call(&self, request: Request<Body>) -> Result<Response<Body>, BoxError> {
        let shape = Shape::of(&request);
        let limit = match shape.stream {
            // A quiet container's log has no head until its first line.
            Stream::Endless => Duration::ZERO,
            Stream::None | Stream::Watch => self.limits.call,
        };
        if limit.is_zero() {
            return self.repeat(request, shape).await;
        }
        let call = name(&request);
        match tokio::time::timeout(limit, self.repeat(request, shape)).await {
            Ok(result) => result,
            Err(_) => Err(WireError {
                trouble: Trouble::Lost,
                text: format!(
                    "no answer from the API server within {}s: {call}",
                    limit.as_secs()
                ),
            }
            .into()),
        }
    }

    async fn repeat(
        &self,
        request: Request<Body>,
        shape: Shape,
    ) -> Result<Response<Body>, BoxError> {
        let call = name(&request);
        let (parts, body) = request.into_parts();
        let started = Instant::now();
        let mut pause = FIRST_PAUSE;
        let mut told: Option<Instant> = None;
        let mut renewed = false;
        let mut body = Some(body);
        loop {
            let copy = match body.as_ref().and_then(Body::try_clone) {
                Some(copy) => copy,
                None => body.take().unwrap_or_else(Body::empty),
            };
            let again = Request::from_parts(parts.clone(), copy);
            let line = self.line().await?;
            let generation = line.generation;
            let result = self.attempt(line, again, shape).await;

            if let Ok(response) = &result
                && response.status() == StatusCode::UNAUTHORIZED
                && self.plugin.is_some()
                && !renewed
                && body.is_some()
            {
                // Refused before anything was done, so repeating is safe for every verb.
                self.expire(generation).await;
                renewed = true;
                continue;
            }
            let Some((why, least)) = self.worth_repeating(&result, shape) else {
                return result.map_err(Into::into);
            };
            let wait = pause.max(least);
            if body.is_none() || started.elapsed() + wait > self.limits.retry_within {
                return result.map_err(Into::into);
            }
            let due = told.map_or(started.elapsed() + wait >= Duration::from_secs(1), |at| {
                at.elapsed() >= Duration::from_secs(5)
            });
            if due {
                told = Some(Instant::now());
                self.tell(&Notice::Retrying {
                    call: call.clone(),
                    why,
                    since: started.elapsed(),
                });
            }
            tokio::time::sleep(wait).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    /// Tells why an outcome may go away by trying again, and the least time to wait before.
    fn worth_repeating(
        &self,
        result: &Result<Response<Body>, WireError>,
        shape: Shape,
    ) -> Option<(String, Duration)> {
        match result {
            Ok(response) if shape.repeatable => {
                let status = response.status();
                let after = response
                    .headers()
                    .get(RETRY_AFTER)
                    .and_then(|value| value.to_str().ok()?.parse().ok())
                    .map(Duration::from_secs);
                let passing = matches!(status.as_u16(), 429 | 502 | 503 | 504)
                    || (status == StatusCode::INTERNAL_SERVER_ERROR && after.is_some());
                passing.then(|| (format!("{status}"), after.unwrap_or_default()))
            }
            Ok(_) => None,
            Err(error) => {
                let passing = match error.trouble {
                    // Nothing was sent, so every verb may be sent again.
                    Trouble::Unreachable => self.reached.load(Ordering::Relaxed),
                    Trouble::Untrusted => false,
                    Trouble::Lost => shape.repeatable,
                };
                passing.then(|| (error.text.clone(), Duration::ZERO))
            }
        }
    }

    async fn attempt(
        &self,
        line: Line,
        mut request: Request<Body>,
        shape: Shape,
    ) -> Result<Response<Body>, WireError> {
        if let Some(bearer) = line.bearer {
            request.headers_mut().insert(AUTHORIZATION, bearer);
        }
        self.requests.fetch_add(1, Ordering::Relaxed);
        let call = name(&request);
        tracing::debug!(call, "request");
        let sent = Timestamp::now();
        let response = line
            .client
            .send(request)
            .await
            .map_err(|error| self.classify(&error))?;
        self.reached.store(true, Ordering::Relaxed);
        self.learn(response.headers(), sent);
        tracing::debug!(call, status = response.status().as_u16(), "answer");
        let open = shape.stream != Stream::None && response.status().as_u16() < 300;
        if open || response.status() == StatusCode::SWITCHING_PROTOCOLS {
            return Ok(response);
        }
        // Read here, so that a cut answer counts as no answer and the limit covers all of it.
        let (parts, body) = response.into_parts();
        let bytes = body
            .collect_bytes()
            .await
            .map_err(|error| self.classify(&error))?;
        Ok(Response::from_parts(parts, Body::from(bytes)))
    }

    fn learn(&self, headers: &HeaderMap, sent: Timestamp) {
        if let Some(date) = headers.get(DATE).and_then(|value| value.to_str().ok())
            && let Ok(date) = jiff::fmt::rfc2822::DateTimeParser::new().parse_timestamp(date)
        {
            self.clock().observe(sent, Timestamp::now(), date);
        }
        for value in headers.get_all(WARNING) {
            let Some(text) = value.to_str().ok().and_then(warning_text) else {
                continue;
            };
            let new = self
                .warned
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .insert(text.clone());
            if new {
                self.tell(&Notice::Warning(text));
            }
        }
    }

    fn classify(&self, error: &kube::Error) -> WireError {
        let text = causes(error);
        let connecting =
            std::iter::successors(error.source(), |error| (*error).source()).any(|error| {
                error
                    .downcast_ref::<HttpError>()
                    .is_some_and(HttpError::is_connect)
            });
        let (trouble, text) = if text.to_lowercase().contains("certificate") {
            (
                Trouble::Untrusted,
                format!("no trusted connection to {}: {text}", self.server()),
            )
        } else if connecting {
            (
                Trouble::Unreachable,
                format!("cannot reach the API server {}: {text}", self.server()),
            )
        } else {
            (
                Trouble::Lost,
                format!("the connection to the API server was lost: {text}"),
            )
        };
        WireError { trouble, text }
    }

    /// Gives the means to send, first building or renewing them when needed.
    async fn line(&self) -> Result<Line, BoxError> {
        let mut slot = self.line.lock().await;
        let soon = Timestamp::now() + SignedDuration::from_secs(60);
        if let Some(line) = slot.as_ref()
            && line.expires.is_none_or(|at| at > soon)
        {
            return Ok(line.clone());
        }
        let old = slot.take();
        let line = self.build(old).await.map_err(|error| {
            let text = causes(error.as_ref());
            WireError {
                trouble: Trouble::Untrusted,
                text,
            }
        })?;
        *slot = Some(line.clone());
        Ok(line)
    }

    async fn build(&self, old: Option<Line>) -> Result<Line, BoxError> {
        let credential = match &self.plugin {
            None => Credential {
                bearer: None,
                identity: None,
                expires: None,
            },
            Some(plugin) => {
                let plugin = plugin.clone();
                tokio::task::spawn_blocking(move || credential::run(&plugin)).await??
            }
        };
        let generation = old.as_ref().map_or(0, |line| line.generation) + 1;
        let client = match (old, credential.identity) {
            (Some(line), None) => line.client,
            (None, None) => connect(&self.config)?,
            (_, Some((certificate, key))) => {
                let encode = |pem: String| base64::engine::general_purpose::STANDARD.encode(pem);
                let mut config = self.config.clone();
                config.auth_info.client_certificate = None;
                config.auth_info.client_certificate_data = Some(encode(certificate));
                config.auth_info.client_key = None;
                config.auth_info.client_key_data = Some(encode(key).into());
                connect(&config)?
            }
        };
        Ok(Line {
            client,
            bearer: credential.bearer,
            expires: credential.expires,
            generation,
        })
    }

    /// Makes the next call ask the plugin again, unless someone already did.
    async fn expire(&self, generation: u64) {
        if let Some(line) = self.line.lock().await.as_mut()
            && line.generation == generation
        {
            line.expires = Some(Timestamp::UNIX_EPOCH);
        }
    }
}

/// The service behind the [`kube::Client`] that callers get.
#[derive(Clone)]
pub(super) struct Entry(pub(super) Arc<Wire>);

impl Service<Request<Body>> for Entry {
    type Response = Response<Body>;
    type Error = BoxError;
    type Future = BoxFuture<'static, Result<Response<Body>, BoxError>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let wire = Arc::clone(&self.0);
        Box::pin(async move { wire.call(request).await })
    }
}

/// The texts of an error and its causes, each said once.
pub(super) fn causes(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = String::new();
    for cause in std::iter::successors(Some(error), |error| (*error).source()) {
        let part = match cause.downcast_ref::<kube::Error>() {
            // Only a wrapper, whose text holds the next one's.
            Some(kube::Error::Service(_) | kube::Error::HyperError(_)) => continue,
            _ => cause.to_string(),
        };
        if text.contains(&part) {
            continue;
        }
        if !text.is_empty() {
            text.push_str(": ");
        }
        text.push_str(&part);
    }
    text
}

/// Takes the text out of a `Warning` header (RFC 7234 5.5): `299 - "text"`.
fn warning_text(header: &str) -> Option<String> {
    let quoted = header.get(header.find('"')? + 1..)?;
    let mut text = String::new();
    let mut chars = quoted.chars();
    loop {
        match chars.next()? {
            '"' => return Some(text),
            '\\' => text.push(chars.next()?),
            other => text.push(other),
        }
    }
}

#[cfg(test)]
mod tests;
