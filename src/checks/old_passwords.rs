//! No password is kept as an MD5 hash.

use super::{
    Check, Concerns, Finding, Live, Query, Run, Severity, name, numbered, server_rows, text,
};
use crate::postgres::version::MajorVersion;

const QUERY: Query = Query::server(
    "old-passwords",
    "SELECT rolname AS name FROM pg_authid WHERE rolpassword LIKE 'md5%' ORDER BY 1",
);

/// No password is kept as an MD5 hash.
pub(super) const CHECK: Check = Check {
    id: "old-passwords",
    title: "No password is kept as an MD5 hash",
    why: "MD5 passwords still work, but 18 announces their end and 19 warns at each login with one",
    mend: "Set password_encryption to scram-sha-256, then the passwords anew",
    severity: Severity::Info,
    waivable: true,
    concerns: Concerns::Contents,
    queries: &[QUERY],
    run: Run::Live(run),
};

fn run(live: &Live<'_>) -> Vec<Finding> {
    if live.to < MajorVersion::new(18) {
        return Vec::new();
    }
    match server_rows(live.server, &QUERY) {
        Err(unknown) => unknown,
        Ok([]) => Vec::new(),
        Ok(rows) => vec![
            Finding::info(format!(
                "{} with an MD5 password",
                numbered(rows.len(), "role")
            ))
            .objects(rows.iter().map(|row| name(text(row, "name"))))
            .fix("\\password for each, with password_encryption = scram-sha-256"),
        ],
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{fires, live, silent};

    #[test]
    fn they_are_found_on_a_real_server() {
        silent("old-passwords", &live("15-troubled", 17));
        silent("old-passwords", &live("15-rich", 18));
        assert_eq!(
            fires("old-passwords", &live("15-troubled", 18))[0].objects,
            ["old_fashioned"]
        );
    }
}
