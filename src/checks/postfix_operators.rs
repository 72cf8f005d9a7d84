//! No operator follows its operand.

use super::{
    Check, Finding, Live, Query, Run, in_database, name, numbered, rows_of_databases, statements,
    text,
};
use crate::postgres::version::MajorVersion;

const QUERY: Query = Query::database(
    "postfix-operators",
    "SELECT n.nspname AS schema, o.oprname AS relation, format_type(o.oprleft, NULL) AS argument FROM pg_operator o \
     JOIN pg_namespace n ON n.oid = o.oprnamespace WHERE o.oprright = 0 AND o.oid >= 16384 ORDER BY 1, 2",
)
.until(MajorVersion::new(13));

/// No operator follows its operand.
pub(super) const CHECK: Check = Check {
    id: "postfix-operators",
    title: "No operator follows its operand",
    why: "Operators behind their operand went with 14; pg_upgrade refuses them",
    mend: "DROP OPERATOR, and make it again as a function or before its operand",
    waivable: false,
    queries: &[QUERY],
    run: Run::Live(run),
};

fn run(live: &Live<'_>) -> Vec<Finding> {
    if live.to < MajorVersion::new(14) {
        return Vec::new();
    }
    let found = match rows_of_databases(live.server, &QUERY) {
        Err(unknown) => return unknown,
        Ok(found) => found,
    };
    let (mut objects, mut fixes) = (Vec::new(), Vec::new());
    for (database, found) in &found {
        for row in &found.rows {
            objects.push(format!(
                "{}.{}.{} ({}, NONE)",
                name(&database.name),
                name(text(row, "schema")),
                text(row, "relation"),
                text(row, "argument")
            ));
            fixes.push(in_database(
                &database.name,
                &format!(
                    "DROP OPERATOR {}.{} ({}, NONE)",
                    name(text(row, "schema")),
                    text(row, "relation"),
                    text(row, "argument")
                ),
            ));
        }
    }
    let count: u64 = found.iter().map(|(_, found)| found.count).sum();
    if count == 0 {
        return Vec::new();
    }
    let count = numbered(usize::try_from(count).unwrap_or(usize::MAX), "operator");
    vec![
        Finding::blocker(format!("{count} behind the operand"))
            .objects(objects)
            .fix(statements(&fixes)),
    ]
}

#[cfg(test)]
mod tests {
    use super::super::testing::{fires, input, silent};

    #[test]
    fn they_are_found_on_a_real_server() {
        silent("postfix-operators", &input());
        let finding = fires("postfix-operators", &super::super::testing::troubled()).remove(0);
        assert_eq!(finding.objects, ["app.public.!!! (bigint, NONE)"]);
        assert_eq!(
            finding.fix,
            "in app: DROP OPERATOR public.!!! (bigint, NONE)"
        );
    }
}
