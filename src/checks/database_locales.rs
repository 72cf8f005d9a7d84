//! The databases of initdb have one locale.

use super::{Check, Concerns, Finding, Live, Run, Severity, name};
use crate::facts::server::Database;
use crate::postgres::version::MajorVersion;

/// The databases of initdb have one locale.
pub(super) const CHECK: Check = Check {
    id: "database-locales",
    title: "postgres and template1 have the encoding and locale of template0",
    why: "Up to 15 pg_upgrade compares these databases with those of the new cluster and refuses others",
    mend: "Make the database again from template0",
    severity: Severity::Blocker,
    waivable: false,
    concerns: Concerns::StoredForm,
    queries: &[],
    run: Run::Live(run),
};

fn run(live: &Live<'_>) -> Vec<Finding> {
    if live.to > MajorVersion::new(15) {
        return Vec::new();
    }
    let Some(template) = live.server.database("template0") else {
        return Vec::new();
    };
    let locale = |d: &Database| {
        (
            d.encoding.clone(),
            d.provider,
            d.collate.clone(),
            d.ctype.clone(),
            d.locale.clone(),
        )
    };
    ["postgres", "template1"]
        .iter()
        .filter_map(|wanted| live.server.database(wanted))
        .filter(|database| locale(database) != locale(template))
        .map(|database| {
            Finding::blocker(format!(
                "database {} has {} {} {}, template0 {} {} {}",
                name(&database.name),
                database.encoding,
                database.collate,
                database.ctype,
                template.encoding,
                template.collate,
                template.ctype
            ))
            .objects([name(&database.name)])
            .fix(format!(
                "empty it, then DROP DATABASE {0} and CREATE DATABASE {0} TEMPLATE template0",
                name(&database.name)
            ))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::super::testing::{fires, input, silent};

    #[test]
    fn another_locale_of_postgres_is_refused_up_to_fifteen() {
        let mut input = input();
        let server = input.server.as_mut().unwrap();
        server
            .databases
            .iter_mut()
            .find(|d| d.name == "postgres")
            .unwrap()
            .collate = "C".to_owned();
        silent("database-locales", &input);
        input.target.as_mut().unwrap().version =
            crate::postgres::version::ServerVersion::new(15, 18);
        assert_eq!(fires("database-locales", &input)[0].objects, ["postgres"]);
    }
}
