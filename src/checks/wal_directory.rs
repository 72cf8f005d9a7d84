//! Write-ahead log lies in the data directory.

use super::{Check, Concerns, Finding, Live, Run, Severity, probed_volume};

/// Write-ahead log lies in the data directory.
pub(super) const CHECK: Check = Check {
    id: "wal-directory",
    title: "Write-ahead log lies in the data directory",
    why: "A pg_wal that is a link leads to a place that the upgrade pod does not have; it is not supported yet",
    mend: "Move pg_wal back into the data directory while the server is down",
    severity: Severity::Blocker,
    waivable: false,
    concerns: Concerns::Place,
    queries: &[],
    run: Run::Live(run),
};

fn run(live: &Live<'_>) -> Vec<Finding> {
    let volume = probed_volume(live);
    let link = live
        .server
        .container
        .wal_link
        .as_ref()
        .or_else(|| volume?.wal_link.as_ref());
    match link {
        Some(to) => vec![
            Finding::blocker(format!("pg_wal is a link to {to}, which is not supported"))
                .objects([to.clone()]),
        ],
        None if live.server.container.directories.is_none() && volume.is_none() => {
            vec![Finding::warning(
                "the data directory could not be looked into, so it is not known whether pg_wal is a link",
            )]
        }
        None => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{fires, input, silent};

    #[test]
    fn a_linked_pg_wal_is_refused() {
        let mut input = input();
        silent("wal-directory", &input);
        input.server.as_mut().unwrap().container.wal_link = Some("/wal".to_owned());
        fires("wal-directory", &input);
    }
}
