//! Nobody relies on CREATEROLE as it was.

use super::{
    Check, Concerns, Finding, Live, Query, Run, Severity, name, numbered, server_rows, text,
};
use crate::postgres::version::MajorVersion;

const QUERY: Query = Query::server(
    "role-makers",
    "SELECT rolname AS name FROM pg_roles WHERE rolcreaterole AND NOT rolsuper ORDER BY 1",
)
.until(MajorVersion::new(15));

/// Nobody relies on CREATEROLE as it was.
pub(super) const CHECK: Check = Check {
    id: "role-makers",
    title: "No ordinary role has CREATEROLE",
    why: "Since 16 such a role may change only roles for which it has ADMIN OPTION: programs that manage roles with it may be refused",
    mend: "GRANT the roles that it manages to it WITH ADMIN OPTION, after the upgrade",
    severity: Severity::Info,
    waivable: true,
    concerns: Concerns::Contents,
    queries: &[QUERY],
    run: Run::Change(16, run),
};

fn run(live: &Live<'_>) -> Vec<Finding> {
    match server_rows(live.server, &QUERY) {
        Err(unknown) => unknown,
        Ok([]) => Vec::new(),
        Ok(rows) => vec![
            Finding::info(format!(
                "{} with CREATEROLE, which means less since 16",
                numbered(rows.len(), "role")
            ))
            .objects(rows.iter().map(|row| name(text(row, "name")))),
        ],
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{fires, live, silent};

    #[test]
    fn they_are_found_on_a_real_server() {
        silent("role-makers", &live("13-troubled", 15));
        silent("role-makers", &live("13-rich", 17));
        assert_eq!(
            fires("role-makers", &live("13-troubled", 17))[0].objects,
            ["maker"]
        );
    }
}
