//! Reads everything about a running server in one exec of its own container.

mod answer;

use std::collections::BTreeMap;
use std::fmt::Write as _;

pub(crate) use answer::camel_case;
pub use answer::parse;

use super::{queries, sql};
use crate::checks;
use crate::facts::server::ServerFacts;
use crate::k8s::K8s;
use crate::postgres::query::{Query, Scope};
use crate::postgres::version::{MajorVersion, ServerVersion};

const SQL_SH: &str = include_str!("../scripts/sql.sh");
const GATHER_SH: &str = include_str!("../scripts/gather.sh");

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

/// The shell script that gathers the facts, complete: `sh` runs it in the server's container.
pub fn script() -> String {
    let queries: Vec<&Query> = queries::ALL
        .iter()
        .chain(checks::ALL.iter().flat_map(|check| check.queries))
        .collect();
    let of = |scope: Scope| {
        queries
            .iter()
            .copied()
            .filter(move |query| query.scope == scope)
    };
    let mut script = SQL_SH.to_owned();
    add_function(&mut script, "server_queries", of(Scope::Server));
    add_function(
        &mut script,
        "database_queries",
        of(Scope::Database).chain([&queries::END]),
    );
    script.push_str(GATHER_SH);
    script
}

/// A shell function that prints the statements that suit the server's version.
///
/// Statements with the same versions share one `cat`: processes cost more than queries.
fn add_function<'a>(script: &mut String, name: &str, queries: impl Iterator<Item = &'a Query>) {
    let mut groups: BTreeMap<(MajorVersion, MajorVersion), Vec<&Query>> = BTreeMap::new();
    let mut last = Vec::new();
    for query in queries {
        if query.section == queries::END.section {
            last.push(query);
        } else {
            groups
                .entry((query.since, query.until))
                .or_default()
                .push(query);
        }
    }
    let _ = writeln!(script, "{name}() {{");
    let ends = ((MajorVersion::OLDEST_SOURCE, MajorVersion::NEWEST), last);
    for ((since, until), queries) in groups.into_iter().chain([ends]) {
        if queries.is_empty() {
            script.push_str(":\n");
            continue;
        }
        let (since, until) = (
            (since > MajorVersion::OLDEST_SOURCE).then(|| version_num(since)),
            (until < MajorVersion::NEWEST).then(|| version_num(until)),
        );
        let mut tests = Vec::new();
        if let Some(since) = since {
            tests.push(format!("[ \"$PGUP_VERSION\" -ge {since} ]"));
        }
        if let Some(until) = until {
            let next = if until >= 100_000 {
                until + 10_000
            } else {
                until + 100
            };
            tests.push(format!("[ \"$PGUP_VERSION\" -lt {next} ]"));
        }
        if !tests.is_empty() {
            let _ = writeln!(script, "if {}; then", tests.join(" && "));
        }
        script.push_str("cat <<'PGUP_SQL'\n");
        for query in queries {
            let _ = writeln!(script, "{}", query.statement());
        }
        script.push_str("PGUP_SQL\n");
        if !tests.is_empty() {
            script.push_str("fi\n");
        }
    }
    script.push_str("}\n");
}

fn version_num(major: MajorVersion) -> u32 {
    ServerVersion { major, minor: 0 }.num()
}

/// Fifty databases take a second; an overloaded node takes longer.
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
