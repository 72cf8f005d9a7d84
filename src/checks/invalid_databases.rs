//! No database is half dropped.

use super::{Check, Concerns, Finding, Live, Run, Severity, name, numbered, statements};

/// No database is half dropped.
pub(super) const CHECK: Check = Check {
    id: "invalid-databases",
    title: "No database is left half dropped",
    why: "A DROP DATABASE that was interrupted leaves a database that nothing can connect to; pg_upgrade refuses it",
    mend: "DROP DATABASE …",
    severity: Severity::Blocker,
    waivable: false,
    concerns: Concerns::Contents,
    queries: &[],
    run: Run::Live(run),
};

fn run(live: &Live<'_>) -> Vec<Finding> {
    let invalid: Vec<String> = live
        .server
        .databases
        .iter()
        .filter(|d| d.connection_limit == -2)
        .map(|d| name(&d.name))
        .collect();
    if invalid.is_empty() {
        return Vec::new();
    }
    let fixes: Vec<String> = invalid
        .iter()
        .map(|d| format!("DROP DATABASE {d}"))
        .collect();
    vec![
        Finding::blocker(format!(
            "{} left by an interrupted DROP DATABASE",
            numbered(invalid.len(), "database")
        ))
        .objects(invalid)
        .fix(statements(&fixes)),
    ]
}

#[cfg(test)]
mod tests {
    use super::super::testing::{fires, input, silent};

    #[test]
    fn a_half_dropped_database_is_named() {
        let mut input = input();
        silent("invalid-databases", &input);
        input.server.as_mut().unwrap().databases[0].connection_limit = -2;
        assert_eq!(
            fires("invalid-databases", &input)[0].fix,
            "DROP DATABASE template1"
        );
        assert_eq!(
            fires("invalid-databases", &super::super::testing::troubled())[0].objects,
            ["halfdropped"]
        );
    }
}
