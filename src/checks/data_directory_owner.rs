//! The owner of the data directory is known and not root.

use super::{Check, Concerns, Finding, Live, Run, Severity};

/// The owner of the data directory is known and not root.
pub(super) const CHECK: Check = Check {
    id: "data-directory-owner",
    title: "The owner of the data directory is known and not root",
    why: "The upgrade pod runs as the owner of the data directory, and PostgreSQL refuses to run as root",
    mend: "chown the data directory to the user of the server",
    severity: Severity::Blocker,
    waivable: false,
    concerns: Concerns::Place,
    queries: &[],
    run: Run::Live(run),
};

fn run(live: &Live<'_>) -> Vec<Finding> {
    let directory = &live.server.data_directory;
    match live.server.container.dir_uid {
        Some(0) => vec![Finding::blocker(format!(
            "data directory {directory} belongs to root"
        ))],
        Some(_) => Vec::new(),
        None => vec![Finding::blocker(format!(
            "the owner of data directory {directory} could not be read in the server's container"
        ))],
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{fires, input, silent};

    #[test]
    fn an_owner_that_no_pod_can_run_as_is_refused() {
        let mut input = input();
        silent("data-directory-owner", &input);
        input.server.as_mut().unwrap().container.dir_uid = Some(0);
        fires("data-directory-owner", &input);
        input.server.as_mut().unwrap().container.dir_uid = None;
        fires("data-directory-owner", &input);
    }
}
