//! Which requests may be repeated, and which answers go on.

use http::header::{CONTENT_TYPE, UPGRADE};
use http::{Method, Request};
use kube::client::Body;

/// What a request asks for, as far as limits and repetition depend on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Shape {
    /// How long its answer goes on.
    pub(super) stream: Stream,
    /// Asked twice it does no more than asked once.
    pub(super) repeatable: bool,
}

/// How long an answer goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stream {
    /// One answer.
    None,
    /// The head comes at once, the rest over time.
    Watch,
    /// A followed log or an upgraded connection.
    Endless,
}

impl Shape {
    pub(super) fn of(request: &Request<Body>) -> Self {
        let query = request.uri().query().unwrap_or_default();
        let has = |wanted: &str| query.split('&').any(|pair| pair == wanted);
        let upgrade = request.headers().contains_key(UPGRADE);
        let stream = if upgrade || has("follow=true") {
            Stream::Endless
        } else if has("watch=true") || has("watch=1") {
            Stream::Watch
        } else {
            Stream::None
        };
        let path = request.uri().path();
        let applies = request
            .headers()
            .get(CONTENT_TYPE)
            .is_some_and(|value| value.as_bytes().starts_with(b"application/apply-patch"));
        let repeatable = match *request.method() {
            // Running a command is a GET in name only.
            Method::GET | Method::HEAD => !upgrade,
            // Applying the same object twice changes nothing.
            Method::PATCH => applies,
            Method::POST => {
                path.starts_with("/apis/authorization.k8s.io/")
                    || path.starts_with("/apis/authentication.k8s.io/")
                    || has("dryRun=All")
            }
            _ => false,
        };
        Self { stream, repeatable }
    }
}

/// `GET /api/v1/pods`, for messages.
pub(super) fn name(request: &Request<Body>) -> String {
    format!("{} {}", request.method(), request.uri().path())
}
