//! Children have the NOT NULL of their parents.

use super::{
    Check, Concerns, Finding, Live, Query, Run, Severity, dotted, in_database, name, numbered,
    rows_of_databases, statements, text,
};
use crate::postgres::version::MajorVersion;

const QUERY: Query = Query::database(
    "not-null-inheritance",
    "SELECT n.nspname AS schema, c.relname AS relation, ac.attname AS \"column\" FROM pg_inherits i \
     CROSS JOIN LATERAL (SELECT attname FROM pg_attribute WHERE attrelid = i.inhparent AND attnum > 0 AND attnotnull OFFSET 0) ap \
     JOIN pg_attribute ac ON ac.attrelid = i.inhrelid AND ac.attname = ap.attname JOIN pg_class c ON c.oid = ac.attrelid \
     JOIN pg_namespace n ON n.oid = c.relnamespace WHERE NOT ac.attnotnull ORDER BY 1, 2, 3",
)
.until(MajorVersion::new(18))
.gated("EXISTS (SELECT FROM pg_inherits)");

/// Children have the NOT NULL of their parents.
pub(super) const CHECK: Check = Check {
    id: "not-null-inheritance",
    title: "Children of inheritance have the NOT NULL constraints of their parents",
    why: "A child column without the NOT NULL of its parent cannot be restored; pg_upgrade fails in the middle",
    mend: "ALTER TABLE … ALTER COLUMN … SET NOT NULL",
    severity: Severity::Blocker,
    waivable: false,
    concerns: Concerns::Contents,
    queries: &[QUERY],
    run: Run::Live(run),
};

fn run(live: &Live<'_>) -> Vec<Finding> {
    let found = match rows_of_databases(live.server, &QUERY) {
        Err(unknown) => return unknown,
        Ok(found) => found,
    };
    let (mut objects, mut fixes) = (Vec::new(), Vec::new());
    for (database, found) in &found {
        for row in &found.rows {
            objects.push(dotted(&[
                &database.name,
                text(row, "schema"),
                text(row, "relation"),
                text(row, "column"),
            ]));
            fixes.push(in_database(
                &database.name,
                &format!(
                    "ALTER TABLE {} ALTER COLUMN {} SET NOT NULL",
                    dotted(&[text(row, "schema"), text(row, "relation")]),
                    name(text(row, "column"))
                ),
            ));
        }
    }
    let count: u64 = found.iter().map(|(_, found)| found.count).sum();
    if count == 0 {
        return Vec::new();
    }
    let count = numbered(usize::try_from(count).unwrap_or(usize::MAX), "column");
    vec![
        Finding::blocker(format!(
            "{count} of children without the NOT NULL of the parent"
        ))
        .objects(objects)
        .fix(statements(&fixes)),
    ]
}

#[cfg(test)]
mod tests {
    use super::super::testing::{fires, input, silent};

    #[test]
    fn they_are_found_on_a_real_server() {
        silent("not-null-inheritance", &input());
        let finding = fires("not-null-inheritance", &super::super::testing::troubled()).remove(0);
        assert_eq!(finding.objects, ["app.public.child.a"]);
    }
}
