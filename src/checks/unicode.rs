//! No database follows PostgreSQL's own Unicode tables.

use super::{Check, Concerns, Finding, Live, Run, Severity, name, numbered};
use crate::facts::server::LocaleProvider;

/// No database follows PostgreSQL's own Unicode tables.
pub(super) const CHECK: Check = Check {
    id: "unicode",
    title: "No database takes upper and lower case from PostgreSQL's own Unicode tables",
    why: "The tables are of Unicode 15.1 in 17 and of 16.0 in 18: an index or a constraint on lower(), upper() or a regular expression may differ for a few new characters",
    mend: "REINDEX such indexes after the upgrade",
    severity: Severity::Info,
    waivable: true,
    concerns: Concerns::StoredForm,
    queries: &[],
    run: Run::Change(18, run),
};

fn run(live: &Live<'_>) -> Vec<Finding> {
    let databases: Vec<String> = live
        .server
        .databases
        .iter()
        .filter(|database| {
            database.provider == LocaleProvider::Builtin && database.locale.as_deref() != Some("C")
        })
        .map(|database| name(&database.name))
        .collect();
    if databases.is_empty() {
        return Vec::new();
    }
    vec![
        Finding::info(format!(
            "{} with the builtin locale provider, whose Unicode tables are newer in {}",
            numbered(databases.len(), "database"),
            live.to
        ))
        .objects(databases),
    ]
}

#[cfg(test)]
mod tests {
    use super::super::testing::{fires, live, silent};

    #[test]
    fn they_are_found_on_a_real_server() {
        silent("unicode", &live("17-rich", 18));
        silent("unicode", &live("18-troubled", 19));
        assert_eq!(
            fires("unicode", &live("17-troubled", 18))[0].objects,
            ["builtin"]
        );
    }
}
