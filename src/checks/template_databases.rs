//! The template databases are as initdb made them.

use super::{Check, Concerns, Finding, Live, Run, Severity};

/// The template databases are as initdb made them.
pub(super) const CHECK: Check = Check {
    id: "template-databases",
    title: "template0 and template1 are there, and template0 takes no connections",
    why: "pg_upgrade connects to template1, takes the locale from template0 and refuses a template0 that takes connections",
    mend: "ALTER DATABASE template0 ALLOW_CONNECTIONS false; CREATE DATABASE template1 TEMPLATE template0 IS_TEMPLATE true",
    severity: Severity::Blocker,
    waivable: false,
    concerns: Concerns::Contents,
    queries: &[],
    run: Run::Live(run),
};

fn run(live: &Live<'_>) -> Vec<Finding> {
    let mut findings = Vec::new();
    match live.server.database("template0") {
        None => findings.push(Finding::blocker("there is no database template0").fix(
            "CREATE DATABASE template0 TEMPLATE template1 ALLOW_CONNECTIONS false IS_TEMPLATE true",
        )),
        Some(database) if database.allows_connections => findings.push(
            Finding::blocker("database template0 takes connections")
                .objects(["template0"])
                .fix("ALTER DATABASE template0 ALLOW_CONNECTIONS false"),
        ),
        Some(_) => {}
    }
    if live.server.database("template1").is_none() {
        findings.push(
            Finding::blocker("there is no database template1")
                .fix("CREATE DATABASE template1 TEMPLATE template0 IS_TEMPLATE true"),
        );
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::super::testing::{fires, input, silent};

    #[test]
    fn templates_must_be_there_and_closed() {
        let mut input = input();
        silent("template-databases", &input);
        let databases = &mut input.server.as_mut().unwrap().databases;
        databases
            .iter_mut()
            .find(|d| d.name == "template0")
            .unwrap()
            .allows_connections = true;
        fires("template-databases", &input);
        input
            .server
            .as_mut()
            .unwrap()
            .databases
            .retain(|d| !d.name.starts_with("template"));
        assert_eq!(fires("template-databases", &input).len(), 2);
    }
}
