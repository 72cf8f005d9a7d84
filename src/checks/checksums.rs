//! Data checksums stay as they are.

use super::{Check, Concerns, Finding, Live, Run, Severity};

/// Data checksums stay as they are.
pub(super) const CHECK: Check = Check {
    id: "checksums",
    title: "Data checksums are on",
    why: "pg_upgrade keeps checksums as they are: without them damage on disk goes unnoticed, also after the upgrade",
    mend: "Turn them on with pg_checksums while the server is down",
    severity: Severity::Info,
    waivable: true,
    concerns: Concerns::Contents,
    queries: &[],
    run: Run::Live(run),
};

fn run(live: &Live<'_>) -> Vec<Finding> {
    if live.server.control.checksums {
        Vec::new()
    } else {
        vec![Finding::info("data checksums are off, and stay off")]
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{fires, input, silent};

    #[test]
    fn a_cluster_without_checksums_is_worth_a_word() {
        let mut input = input();
        fires("checksums", &input);
        input.server.as_mut().unwrap().control.checksums = true;
        silent("checksums", &input);
    }
}
