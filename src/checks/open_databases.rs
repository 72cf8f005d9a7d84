//! Every database takes connections.

use super::{Check, Concerns, Finding, Live, Run, Severity, name, numbered, statements};

/// Every database takes connections.
pub(super) const CHECK: Check = Check {
    id: "open-databases",
    title: "Every database but template0 takes connections",
    why: "pg_upgrade connects to every database and refuses a cluster with a closed one",
    mend: "ALTER DATABASE … ALLOW_CONNECTIONS true",
    severity: Severity::Blocker,
    waivable: false,
    concerns: Concerns::Contents,
    queries: &[],
    run: Run::Live(run),
};

fn run(live: &Live<'_>) -> Vec<Finding> {
    let closed: Vec<String> = live
        .server
        .databases
        .iter()
        .filter(|d| !d.allows_connections && d.connection_limit != -2 && d.name != "template0")
        .map(|d| name(&d.name))
        .collect();
    if closed.is_empty() {
        return Vec::new();
    }
    let fixes: Vec<String> = closed
        .iter()
        .map(|d| format!("ALTER DATABASE {d} ALLOW_CONNECTIONS true"))
        .collect();
    vec![
        Finding::blocker(format!(
            "{} no connections",
            if closed.len() == 1 {
                "1 database takes".to_owned()
            } else {
                format!("{} take", numbered(closed.len(), "database"))
            }
        ))
        .objects(closed)
        .fix(statements(&fixes)),
    ]
}

#[cfg(test)]
mod tests {
    use super::super::testing::{fires, input, silent};

    #[test]
    fn a_closed_database_is_named() {
        let mut input = input();
        silent("open-databases", &input);
        let database = &mut input.server.as_mut().unwrap().databases[0];
        (database.allows_connections, database.name) = (false, "Old App".to_owned());
        let finding = fires("open-databases", &input).remove(0);
        assert_eq!(finding.message, "1 database takes no connections");
        assert_eq!(
            finding.fix,
            r#"ALTER DATABASE "Old App" ALLOW_CONNECTIONS true"#
        );
    }

    #[test]
    fn a_closed_database_is_found_on_a_real_server() {
        assert_eq!(
            fires("open-databases", &super::super::testing::troubled())[0].objects,
            ["closed"]
        );
    }
}
