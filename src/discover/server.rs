//! Reads everything about a running server in one exec of its own container.

mod answer;
mod script;

pub(crate) use answer::camel_case;
pub use answer::parse;
pub use script::script;

use super::sql;
use crate::facts::server::ServerFacts;
use crate::k8s::K8s;

/// Why the answer of the script cannot be used.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum ParseError {
    /// The script says that it cannot go on.
    #[error("{}", refusal(.reason, .detail))]
    Refused {
        /// `no-psql`, `no-login`, `no-version`.
        reason: String,
        /// What it saw.
        detail: String,
    },
    /// The answer ends too early or lines are missing.
    #[error("the answer of the server's container is cut off ({0})")]
    Cut(String),
    /// A line is not what it should be.
    #[error("unexpected answer from the server's container: {0}")]
    Line(String),
    /// A section without which nothing can be decided is missing.
    #[error("the server did not tell its {section}: {why}")]
    Missing {
        /// The section.
        section: String,
        /// What the server said.
        why: String,
    },
}

fn refusal(reason: &str, detail: &str) -> String {
    match reason {
        "no-psql" => {
            "the server's container has no psql; name the right one with --container".to_owned()
        }
        "no-login" => format!("no superuser login to the server inside its container: {detail}"),
        _ => detail.to_owned(),
    }
}

/// Fifty databases take less than a second; an overloaded node takes longer.
const LIMIT: std::time::Duration = std::time::Duration::from_secs(300);

/// Reads everything in one exec in the server's container.
///
///
/// # Errors
/// When the container cannot be reached, or the answer is not whole.
pub async fn read(k8s: &K8s, pod: &str, container: &str) -> anyhow::Result<ServerFacts> {
    let argv = sql::FROM_STDIN;
    let script = script();
    let output = k8s
        .exec(
            pod,
            container,
            &argv,
            Some(script.clone().into_bytes()),
            LIMIT,
        )
        .await?;
    match parse(&output.text(), &output.stderr) {
        // psql ends at the first database that it cannot connect to: once more, with a psql for each.
        Err(ParseError::Cut(_)) => {
            let script = format!("PGUP_EACH=1\n{script}");
            let output = k8s
                .exec(pod, container, &argv, Some(script.into_bytes()), LIMIT)
                .await?;
            Ok(parse(&output.text(), &output.stderr)?)
        }
        facts => Ok(facts?),
    }
}

#[cfg(test)]
mod tests;
