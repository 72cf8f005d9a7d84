//! A failed call to the API server, in words for people.

use kube::core::Status;

use super::wire::{Trouble, WireError, causes};

/// A call to the API server failed.
///
/// Displays as the server's own sentence, such as `pods "db-0" not found`, without kube's decoration.
#[derive(Debug)]
pub struct ApiError {
    source: Box<kube::Error>,
}

impl ApiError {
    /// HTTP status of the answer; `None` when no answer came.
    pub fn status(&self) -> Option<u16> {
        match &*self.source {
            kube::Error::Api(status) => Some(status.code),
            _ => None,
        }
    }

    /// Machine-readable reason of the answer, such as `NotFound`; empty when there is none.
    pub fn reason(&self) -> &str {
        match &*self.source {
            kube::Error::Api(status) => &status.reason,
            _ => "",
        }
    }

    /// The object, or its whole type, is not there.
    pub fn is_not_found(&self) -> bool {
        self.status() == Some(404)
    }

    /// The user may not do this (403) or is not known (401).
    pub fn is_denied(&self) -> bool {
        matches!(self.status(), Some(401 | 403))
    }

    /// The user lacks the right; an admission plugin that refuses the object answers 403 too, in other words.
    pub fn is_missing_right(&self) -> bool {
        self.status() == Some(401)
            || (self.status() == Some(403) && {
                let text = self.to_string();
                text.contains("User \"") && text.contains("\" cannot ")
            })
    }

    /// The type itself is not there: a definition is not installed, or the server is too old.
    pub fn is_unknown_type(&self) -> bool {
        matches!(&*self.source, kube::Error::Api(status) if unknown_type(status))
    }

    /// An object of that name exists already.
    pub fn is_already_exists(&self) -> bool {
        self.reason() == "AlreadyExists"
    }

    /// The object changed in between, or is not the one that was meant.
    pub fn is_conflict(&self) -> bool {
        self.status() == Some(409) && !self.is_already_exists()
    }

    /// No connection could be made; the request was not sent.
    pub fn is_unreachable(&self) -> bool {
        matches!(
            self.trouble(),
            Some(Trouble::Unreachable | Trouble::Untrusted)
        )
    }

    /// The request was sent and no answer came: it may have been carried out.
    pub fn may_have_happened(&self) -> bool {
        match &*self.source {
            kube::Error::Api(status) => matches!(status.code, 502 | 504),
            _ => matches!(self.trouble(), Some(Trouble::Lost)),
        }
    }

    /// A sentence that helps with a connection that is refused for trust, if this is one.
    pub fn hint(&self) -> Option<&'static str> {
        (self.trouble() == Some(Trouble::Untrusted)
            && self.to_string().contains("certificate"))
        .then_some(
            "the certificate of the API server is not accepted: --certificate-authority names the authority, \
             --tls-server-name the expected name, --insecure-skip-tls-verify accepts any",
        )
    }

    fn trouble(&self) -> Option<Trouble> {
        match &*self.source {
            kube::Error::Service(error) => error.downcast_ref::<WireError>().map(|e| e.trouble),
            kube::Error::HyperError(_) | kube::Error::ReadEvents(_) => Some(Trouble::Lost),
            _ => None,
        }
    }
}

impl From<kube::Error> for ApiError {
    fn from(error: kube::Error) -> Self {
        Self {
            source: Box::new(error),
        }
    }
}

impl std::fmt::Display for ApiError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&plain_text(&self.source))
    }
}

/// One error of a chain in words for people: kube's own prints the whole answer for debugging.
pub fn sentence(error: &(dyn std::error::Error + 'static)) -> String {
    if let Some(error) = error.downcast_ref::<kube::Error>() {
        plain_text(error)
    } else if let Some(status) = error.downcast_ref::<Box<Status>>() {
        status.message.trim().to_owned()
    } else {
        error.to_string()
    }
}

fn plain_text(error: &kube::Error) -> String {
    match error {
        // The answer of a server without the type, such as when its definition is not installed.
        kube::Error::Api(status) if unknown_type(status) => {
            "the API server does not know this type of object".to_owned()
        }
        kube::Error::Api(status) if !status.message.is_empty() => status.message.trim().to_owned(),
        kube::Error::Api(status) => format!("the API server answered {}", status.code),
        kube::Error::SerdeError(error) => {
            format!("the API server's answer is not understood: {error}")
        }
        other => causes(other),
    }
}

fn unknown_type(status: &Status) -> bool {
    status.code == 404 && status.message.trim() == "404 page not found"
}

// No `source`: the text already holds it, and a chain would print it twice.
impl std::error::Error for ApiError {}

/// Turns kube's errors into [`ApiError`] where a call is made.
pub trait Plain<T> {
    /// The same result with the error in words for people.
    fn plain(self) -> Result<T, ApiError>;
}

impl<T> Plain<T> for Result<T, kube::Error> {
    fn plain(self) -> Result<T, ApiError> {
        self.map_err(ApiError::from)
    }
}
