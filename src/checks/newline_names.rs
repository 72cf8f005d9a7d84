//! No name has a line break.

use super::{
    Check, Concerns, Finding, Live, Query, Run, Severity, name, numbered, server_rows, statements,
    text,
};
use crate::postgres::quote::identifier;
use crate::postgres::version::MajorVersion;

const QUERY: Query = Query::server(
    "newline-names",
    "SELECT 'database' AS kind, datname AS name FROM pg_database WHERE datname ~ '[\\n\\r]' UNION ALL SELECT 'role', rolname FROM pg_roles WHERE rolname ~ '[\\n\\r]' \
     UNION ALL SELECT 'tablespace', spcname FROM pg_tablespace WHERE spcname ~ '[\\n\\r]' ORDER BY 1, 2",
)
.until(MajorVersion::new(18));

/// No name has a line break.
pub(super) const CHECK: Check = Check {
    id: "newline-names",
    title: "No database, role or tablespace has a line break in its name",
    why: "Since 19 such names are not allowed, and pg_upgrade refuses them",
    mend: "ALTER DATABASE … RENAME TO, ALTER ROLE … RENAME TO",
    severity: Severity::Blocker,
    waivable: false,
    concerns: Concerns::Contents,
    queries: &[QUERY],
    run: Run::Change(19, run),
};

fn run(live: &Live<'_>) -> Vec<Finding> {
    let rows = match server_rows(live.server, &QUERY) {
        Err(unknown) => return unknown,
        Ok([]) => return Vec::new(),
        Ok(rows) => rows,
    };
    let fixes: Vec<String> = rows
        .iter()
        .map(|row| {
            let old = text(row, "name");
            format!(
                "ALTER {} U&{} RENAME TO {}",
                text(row, "kind").to_uppercase(),
                identifier(
                    &old.replace('\\', "\\\\")
                        .replace('\n', "\\000a")
                        .replace('\r', "\\000d")
                ),
                identifier(&old.replace(['\n', '\r'], "_"))
            )
        })
        .collect();
    vec![
        Finding::blocker(format!(
            "{} with a line break, which PostgreSQL {} refuses",
            numbered(rows.len(), "name"),
            live.to
        ))
        .objects(
            rows.iter()
                .map(|row| format!("{} {}", text(row, "kind"), name(text(row, "name")))),
        )
        .fix(statements(&fixes)),
    ]
}

#[cfg(test)]
mod tests {
    use super::super::testing::{fires, live, silent};

    #[test]
    fn they_are_found_on_a_real_server() {
        silent("newline-names", &live("18", 19));
        silent("newline-names", &live("17-rich", 18));
        let finding = fires("newline-names", &live("17-rich", 19)).remove(0);
        assert_eq!(finding.objects, ["database \"new\\nline\""]);
        assert_eq!(
            finding.fix,
            r#"ALTER DATABASE U&"new\000aline" RENAME TO "new_line""#
        );
    }
}
