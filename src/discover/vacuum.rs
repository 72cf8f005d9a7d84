//! Starts the work on statistics, extensions and indexes in the server's own container, and follows it to its end.

use std::time::Duration;

use super::sql;
use crate::error::{Exit, Failure, Result};
use crate::k8s::K8s;
use crate::record::Upgrade;
use crate::vacuum::{Event, Report};

const VACUUM: &str = concat!(
    include_str!("../scripts/collations.sh"),
    include_str!("../scripts/vacuum.sh")
);
/// The script says that it is alive about every ten seconds, so one connection need not last for the whole work.
const FOLLOW_LIMIT: Duration = Duration::from_secs(1800);
/// A connection that breaks is made again this often without a new line between.
const ATTEMPTS: u32 = 10;
/// The work itself is started again when it ended early, by a restart of the server's container for example.
const RESTARTS: u32 = 3;

/// Starts it, or finds the one at work, and returns what came of it; `on_text` gets what a waiting person reads.
///
/// It goes on without us: called again it attaches to what runs, and what is done is not done again.
///
/// # Errors
/// When the container or the server cannot be reached, or the work ends early again and again.
pub async fn run(
    k8s: &K8s,
    pod: &str,
    container: &str,
    upgrade: &Upgrade,
    jobs: u32,
    mut on_text: impl FnMut(&str),
) -> Result<Report> {
    let mut report = Report::default();
    loop {
        let mut offset = start(k8s, pod, container, upgrade, jobs).await?;
        let mut idle = 0;
        let ended = loop {
            let from = offset;
            match follow(
                k8s,
                pod,
                container,
                upgrade,
                &mut offset,
                &mut report,
                &mut on_text,
            )
            .await
            {
                Ok(true) => break report.totals.is_some(),
                Err(error) if idle >= ATTEMPTS => return Err(error),
                Ok(false) if idle >= ATTEMPTS => return Err(endless()),
                Ok(false) | Err(_) => tokio::time::sleep(Duration::from_secs(2)).await,
            }
            idle = if offset > from { 0 } else { idle + 1 };
        };
        if ended {
            return Ok(report);
        }
        report.restarts += 1;
        if report.restarts > RESTARTS {
            return Err(endless());
        }
    }
}

fn endless() -> Failure {
    Failure::new(
        Exit::Unfinished,
        "the work in the server's container ends before it is done, again and again",
    )
}

/// The number of lines before those of the work.
async fn start(k8s: &K8s, pod: &str, container: &str, upgrade: &Upgrade, jobs: u32) -> Result<u64> {
    let said = sql::run(
        k8s,
        pod,
        container,
        VACUUM,
        &[
            "start",
            &upgrade.run_directory,
            &jobs.to_string(),
            &upgrade.from.to_string(),
            &upgrade.old_libc,
            &upgrade.new_libc,
        ],
        Duration::from_secs(120),
    )
    .await?;
    said.lines()
        .filter_map(Event::parse)
        .find_map(|event| match event {
            Event::Started { offset } | Event::Attached { offset } => Some(offset),
            _ => None,
        })
        .ok_or_else(|| {
            Failure::new(
                Exit::Failed,
                format!("the work did not start: {}", said.trim()),
            )
        })
}

/// Reads lines until the work is over (`true`) or the connection ends (`false`); moves `offset` past what was read.
async fn follow(
    k8s: &K8s,
    pod: &str,
    container: &str,
    upgrade: &Upgrade,
    offset: &mut u64,
    report: &mut Report,
    on_text: &mut impl FnMut(&str),
) -> Result<bool> {
    let script = sql::with_prelude(VACUUM);
    let from = offset.to_string();
    let words = ["follow", upgrade.run_directory.as_str(), from.as_str()];
    let argv = [sql::FROM_STDIN.as_slice(), &words].concat();
    let mut over = false;
    let outcome = k8s
        .exec_lines(pod, container, &argv, Some(script), FOLLOW_LIMIT, |line| {
            match Event::parse(line) {
                // These two are of the one who follows, not of the file.
                Some(Event::Alive { .. }) => return,
                Some(Event::Gone { .. }) => {
                    over = true;
                    return;
                }
                // Cut off with the connection; it comes again.
                None if !line.ends_with('}') => return,
                None => {}
                Some(event) => {
                    over |= matches!(event, Event::Done(_));
                    if let Some(text) = report.add(event) {
                        on_text(&text);
                    }
                }
            }
            *offset += 1;
        })
        .await;
    match outcome {
        _ if over => Ok(true),
        Ok(_) => Ok(false),
        Err(error) => Err(Failure::from(error).context(format!("following the work in Pod {pod}"))),
    }
}
