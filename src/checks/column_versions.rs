//! No column carries an option that the new version does not know.

use super::{
    Check, Concerns, Finding, Query, Run, Severity, Target, dotted, numbered, rows_of_databases,
    text,
};
use crate::postgres::version::MajorVersion;

const QUERY: Query = Query {
    limit: Some(20),
    ..Query::database(
        "column-versions",
        "SELECT n.nspname AS schema, c.relname AS relation FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace \
         WHERE c.oid >= '16384' AND c.relkind IN ('r', 'p', 'm', 'v', 'c', 'f') AND EXISTS (SELECT FROM pg_attribute WHERE attrelid = c.oid \
         AND attnum > 0 AND attoptions::text LIKE '%pg_attver=%' OFFSET 0) ORDER BY 1, 2",
    )
}
.since(MajorVersion::new(14))
.gated("EXISTS (SELECT FROM pg_attribute WHERE attrelid >= '16384' AND attoptions IS NOT NULL)");

/// No column carries an option that the new version does not know.
pub(super) const CHECK: Check = Check {
    id: "column-versions",
    title: "No column carries an option that the new version does not know",
    why: "The column option pg_attver, written by minor releases from November 2026 on, stops the restore of the schema in older releases of newer majors, after the outage began",
    mend: "Take a newer minor release of the new version",
    severity: Severity::Blocker,
    waivable: false,
    concerns: Concerns::Contents,
    queries: &[QUERY],
    run: Run::Target(run),
};

fn run(target: &Target<'_>) -> Vec<Finding> {
    let to = target.target.version;
    if to.writes_attver() {
        return Vec::new();
    }
    let found = match rows_of_databases(target.server, &QUERY) {
        Err(unknown) => return unknown,
        Ok(found) => found,
    };
    let count: u64 = found.iter().map(|(_, found)| found.count).sum();
    if count == 0 {
        return Vec::new();
    }
    let objects = found.iter().flat_map(|(database, found)| {
        found
            .rows
            .iter()
            .map(|row| dotted(&[&database.name, text(row, "schema"), text(row, "relation")]))
    });
    vec![
        Finding::blocker(format!(
            "{} with columns that have the option pg_attver, which PostgreSQL {to} does not know",
            numbered(usize::try_from(count).unwrap_or(usize::MAX), "relation")
        ))
        .objects(objects)
        .fix(format!(
            "take a newer minor release of {} with --image",
            to.major
        )),
    ]
}

#[cfg(test)]
mod tests {
    use super::super::testing::{fires, silent};

    use super::super::testing;
    use crate::postgres::version::ServerVersion;

    #[test]
    fn columns_of_a_newer_round_are_found_on_a_real_server() {
        let mut input = testing::recorded("15-security", "17");
        fires("column-versions", &input);
        input.target.as_mut().unwrap().version = ServerVersion::new(17, 12);
        silent("column-versions", &input);
        silent("column-versions", &testing::input());
    }
}
