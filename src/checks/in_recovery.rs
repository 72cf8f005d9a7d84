//! The server is a primary.

use super::{Check, Concerns, Finding, Live, Run, Severity};

/// The server is a primary.
pub(super) const CHECK: Check = Check {
    id: "in-recovery",
    title: "The server is a primary",
    why: "pg_upgrade needs a cluster that was shut down as a primary; a standby is made anew after the upgrade",
    mend: "Upgrade the primary, or promote this server first",
    severity: Severity::Blocker,
    waivable: false,
    concerns: Concerns::Place,
    queries: &[],
    run: Run::Live(run),
};

fn run(live: &Live<'_>) -> Vec<Finding> {
    if live.server.in_recovery {
        vec![
            Finding::blocker("the server is a standby or still recovering")
                .fix("name the workload of the primary; or SELECT pg_promote()"),
        ]
    } else {
        Vec::new()
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{fires, input, silent};

    #[test]
    fn a_standby_is_refused() {
        let mut input = input();
        silent("in-recovery", &input);
        input.server.as_mut().unwrap().in_recovery = true;
        fires("in-recovery", &input);
    }
}
