//! There are no tablespaces.

use super::{Check, Concerns, Finding, Live, Run, Severity, name, numbered, statements, unknown};

/// There are no tablespaces.
pub(super) const CHECK: Check = Check {
    id: "tablespaces",
    title: "There are no tablespaces besides those of initdb",
    why: "Tablespaces lie outside the data directory, where the way back does not reach; they are not supported yet",
    mend: "Move the tables and indexes to pg_default and DROP TABLESPACE",
    severity: Severity::Blocker,
    waivable: false,
    concerns: Concerns::Place,
    queries: &[],
    run: Run::Live(run),
};

fn run(live: &Live<'_>) -> Vec<Finding> {
    let Some(tablespaces) = &live.server.tablespaces else {
        return vec![unknown("tablespaces", live.server)];
    };
    if tablespaces.is_empty() {
        return Vec::new();
    }
    let mut fixes = Vec::new();
    for tablespace in tablespaces {
        let quoted = name(&tablespace.name);
        fixes.push(format!(
            "in each database: ALTER TABLE ALL IN TABLESPACE {quoted} SET TABLESPACE pg_default"
        ));
        fixes.push(format!(
            "ALTER INDEX ALL IN TABLESPACE {quoted} SET TABLESPACE pg_default"
        ));
        fixes.push(format!("DROP TABLESPACE {quoted}"));
    }
    vec![
        Finding::blocker(format!(
            "{}, which is not supported",
            numbered(tablespaces.len(), "tablespace")
        ))
        .objects(
            tablespaces
                .iter()
                .map(|t| format!("{} at {}", name(&t.name), t.location)),
        )
        .fix(statements(&fixes)),
    ]
}

#[cfg(test)]
mod tests {
    use super::super::testing::{fires, input, silent};

    #[test]
    fn a_tablespace_is_refused() {
        let mut input = input();
        silent("tablespaces", &input);
        assert!(
            fires("tablespaces", &super::super::testing::troubled())[0].objects[0]
                .starts_with("fast at ")
        );
        input.server.as_mut().unwrap().tablespaces = None;
        fires("tablespaces", &input);
    }
}
