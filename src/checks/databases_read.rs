//! Every open database was read.

use super::{Check, Concerns, Finding, Live, Run, Severity, name, numbered};

/// Every open database was read.
pub(super) const CHECK: Check = Check {
    id: "databases-read",
    title: "Every database that takes connections was read",
    why: "What is in a database that was not read may stop the upgrade",
    mend: "Let the superuser connect to it over the local socket (pg_hba.conf), then run preflight again",
    severity: Severity::Blocker,
    waivable: false,
    concerns: Concerns::Contents,
    queries: &[],
    run: Run::Live(run),
};

fn run(live: &Live<'_>) -> Vec<Finding> {
    let unread: Vec<String> = live
        .server
        .open_databases()
        .filter(|d| d.contents.is_none())
        .map(|d| name(&d.name))
        .collect();
    if unread.is_empty() {
        return Vec::new();
    }
    let said = live
        .server
        .complaints
        .first()
        .map(|line| format!(": {line}"))
        .unwrap_or_default();
    vec![
        Finding::blocker(format!(
            "{} could not be read{said}",
            numbered(unread.len(), "database")
        ))
        .objects(unread),
    ]
}

#[cfg(test)]
mod tests {
    use super::super::testing::{fires, input, silent};

    #[test]
    fn a_database_that_was_not_read_is_a_blocker() {
        let mut input = input();
        silent("databases-read", &input);
        let server = input.server.as_mut().unwrap();
        server
            .databases
            .iter_mut()
            .find(|d| d.name == "postgres")
            .unwrap()
            .contents = None;
        server.complaints = vec!["FATAL:  pg_hba.conf rejects connection".to_owned()];
        let finding = fires("databases-read", &input).remove(0);
        assert_eq!(
            finding.message,
            "1 database could not be read: FATAL:  pg_hba.conf rejects connection"
        );
    }
}
