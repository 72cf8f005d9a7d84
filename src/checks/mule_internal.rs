//! No database has the encoding `MULE_INTERNAL`.

use super::{Check, Concerns, Finding, Live, Run, Severity, name, numbered};

/// No database has the encoding `MULE_INTERNAL`.
pub(super) const CHECK: Check = Check {
    id: "mule-internal",
    title: "No database has the encoding MULE_INTERNAL",
    why: "The encoding went with 19, and pg_upgrade refuses its databases",
    mend: "Dump the database, and restore it into one with encoding UTF8",
    severity: Severity::Blocker,
    waivable: false,
    concerns: Concerns::Contents,
    queries: &[],
    run: Run::Change(19, run),
};

fn run(live: &Live<'_>) -> Vec<Finding> {
    let databases: Vec<String> = live
        .server
        .databases
        .iter()
        .filter(|database| database.encoding == "MULE_INTERNAL")
        .map(|database| name(&database.name))
        .collect();
    if databases.is_empty() {
        return Vec::new();
    }
    vec![
        Finding::blocker(format!(
            "{} with the encoding MULE_INTERNAL",
            numbered(databases.len(), "database")
        ))
        .objects(databases),
    ]
}

#[cfg(test)]
mod tests {
    use super::super::testing::{fires, live, silent};

    #[test]
    fn they_are_found_on_a_real_server() {
        silent("mule-internal", &live("18-troubled", 18));
        silent("mule-internal", &live("18", 19));
        assert_eq!(
            fires("mule-internal", &live("18-troubled", 19))[0].objects,
            ["mule"]
        );
    }
}
