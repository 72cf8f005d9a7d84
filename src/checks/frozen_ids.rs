//! No database is older than the oldest transaction.

use super::{
    Check, Concerns, Finding, Live, Query, Run, Severity, in_database, name, numbered, server_rows,
    statements, text,
};
use crate::postgres::version::MajorVersion;

const QUERY: Query = Query::server(
    "frozen-ids",
    "SELECT d.datname AS database FROM pg_database d, pg_control_checkpoint() c WHERE d.datallowconn \
     AND (age(d.datfrozenxid) > age(c.oldest_xid) OR mxid_age(d.datminmxid) > mxid_age(c.oldest_multi_xid)) ORDER BY 1",
)
.until(MajorVersion::new(18));

/// No database is older than the oldest transaction.
pub(super) const CHECK: Check = Check {
    id: "frozen-ids",
    title: "No database has an older frozen transaction than the cluster itself",
    why: "Such a cluster has lost transaction states that its rows may still need; pg_upgrade to 19 refuses it",
    mend: "VACUUM FREEZE in the database, and look for damage",
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
        .map(|row| in_database(text(row, "database"), "VACUUM FREEZE"))
        .collect();
    vec![
        Finding::blocker(format!(
            "{} with an older datfrozenxid or datminmxid than the control file",
            numbered(rows.len(), "database")
        ))
        .objects(rows.iter().map(|row| name(text(row, "database"))))
        .fix(statements(&fixes)),
    ]
}

#[cfg(test)]
mod tests {
    use super::super::testing::{fires, live, silent};

    #[test]
    fn they_are_found_on_a_real_server() {
        silent("frozen-ids", &live("18-rich", 19));
        silent("frozen-ids", &live("18-troubled", 18));
        assert_eq!(
            fires("frozen-ids", &live("18-troubled", 19))[0].fix,
            "in app: VACUUM FREEZE"
        );
    }
}
