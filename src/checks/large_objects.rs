//! Large objects are few.

use super::{Check, Concerns, Finding, Live, Run, Severity, name, read_databases, unknown};
use crate::postgres::version::MajorVersion;

/// Large objects are few.
pub(super) const CHECK: Check = Check {
    id: "large-objects",
    title: "No database has very many large objects",
    why: "Up to 16 pg_upgrade restores the entries of all large objects of a database in one transaction: time and memory grow with them",
    mend: "Remove orphans with vacuumlo, or go to 17 or newer",
    severity: Severity::Warning,
    waivable: true,
    concerns: Concerns::StoredForm,
    queries: &[],
    run: Run::Live(run),
};

const MANY: u64 = 1_000_000;

fn run(live: &Live<'_>) -> Vec<Finding> {
    if live.to > MajorVersion::new(16) {
        return Vec::new();
    }
    let mut findings = Vec::new();
    for (database, contents) in read_databases(live.server) {
        match contents.relations {
            None => findings.push(unknown(
                &format!("the relations of database {}", name(&database.name)),
                live.server,
            )),
            Some(relations) if relations.large_objects > MANY => findings.push(
                Finding::warning(format!(
                    "database {} has {} large objects",
                    name(&database.name),
                    relations.large_objects
                ))
                .objects([name(&database.name)])
                .fix(format!(
                    "vacuumlo {}, or upgrade to 17 or newer",
                    name(&database.name)
                )),
            ),
            Some(_) => {}
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::super::testing::{fires, input, silent};

    #[test]
    fn a_million_large_objects_are_a_warning_up_to_sixteen() {
        let mut input = input();
        let database = input
            .server
            .as_mut()
            .unwrap()
            .databases
            .iter_mut()
            .find(|d| d.name == "postgres")
            .unwrap();
        database
            .contents
            .as_mut()
            .unwrap()
            .relations
            .as_mut()
            .unwrap()
            .large_objects = 2_000_000;
        silent("large-objects", &input);
        input.target.as_mut().unwrap().version =
            crate::postgres::version::ServerVersion::new(16, 15);
        fires("large-objects", &input);
    }
}
