//! What a command can end with: an exit code, a cause chain and ways forward.

use std::fmt;

/// Exit codes promised to callers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Exit {
    /// Done, or nothing to do.
    Done = 0,
    /// Failed; the service is as it was before, or back on the old version.
    Failed = 1,
    /// Bad usage or input; nothing was touched.
    Usage = 2,
    /// Preflight or the plan refuses.
    Refused = 3,
    /// Someone else holds the lease.
    Locked = 4,
    /// Not finished and still going on in Kubernetes; run again to follow.
    Unfinished = 5,
    /// Stopped half-way; the service is down and the message names the next command.
    HalfWay = 6,
    /// Interrupted from the keyboard or by a signal.
    Interrupted = 130,
}

/// Error meant for the user: an exit code, a cause chain and the next commands to type.
#[derive(Debug)]
pub struct Failure {
    /// The process ends with this code.
    pub exit: Exit,
    /// What happened, to which object.
    pub error: anyhow::Error,
    /// State of everything now and what to type next, one sentence each.
    pub hints: Vec<String>,
}

/// Result of everything a command calls.
pub type Result<T, E = Failure> = std::result::Result<T, E>;

impl Failure {
    /// A failure with a code of its own and no hints yet.
    pub fn new(exit: Exit, message: impl fmt::Display) -> Self {
        Self {
            exit,
            error: anyhow::anyhow!("{message}"),
            hints: Vec::new(),
        }
    }

    /// Bad usage or input: exit code 2, nothing was touched.
    pub fn usage(message: impl fmt::Display) -> Self {
        Self::new(Exit::Usage, message)
    }

    /// The plan or preflight refuses: exit code 3, nothing was touched.
    pub fn refused(message: impl fmt::Display) -> Self {
        Self::new(Exit::Refused, message)
    }

    /// Adds a sentence that tells the state of everything or the next command.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hints.push(hint.into());
        self
    }

    /// Replaces the exit code.
    #[must_use]
    pub fn with_exit(mut self, exit: Exit) -> Self {
        self.exit = exit;
        self
    }

    /// Puts a sentence in front of the cause chain and keeps code and hints.
    #[must_use]
    pub fn context(mut self, message: impl fmt::Display + Send + Sync + 'static) -> Self {
        self.error = self.error.context(message);
        self
    }
}

impl Failure {
    /// What happened, and its causes; a cause that says again what was said is left out.
    pub fn sentences(&self) -> (String, Vec<String>) {
        let mut said: Vec<String> = Vec::new();
        for cause in self.error.chain() {
            let text = crate::k8s::sentence(cause);
            if !said.last().is_some_and(|last| last.contains(&text)) {
                said.push(text);
            }
        }
        let causes = said.split_off(said.len().min(1));
        (said.pop().unwrap_or_default(), causes)
    }
}

impl<E: Into<anyhow::Error>> From<E> for Failure {
    fn from(error: E) -> Self {
        Self {
            exit: Exit::Failed,
            error: error.into(),
            hints: Vec::new(),
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (message, causes) = self.sentences();
        write!(f, "error: {message}")?;
        for cause in causes {
            write!(f, "\n  caused by: {cause}")?;
        }
        for hint in &self.hints {
            write!(f, "\nhint: {hint}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_of_the_api_server_is_told_once_and_in_its_words() {
        let status = kube::core::Status::failure("pods \"db-0\" not found", "NotFound");
        let error = kube::Error::Api(status.with_code(404).boxed());
        let failure = Failure::from(error).context("reading Pod shop/db-0");
        assert_eq!(
            failure.to_string(),
            "error: reading Pod shop/db-0\n  caused by: pods \"db-0\" not found"
        );
    }
}
