//! Every table of a subscription is in step.

use super::{Check, Concerns, Finding, Live, Query, Run, Severity, name, rows_finding, text};
use crate::postgres::version::MajorVersion;

const QUERY: Query = Query::database(
    "subscription-tables",
    "SELECT s.subname AS name, 'table ' || r.srrelid::regclass::text || ' in state ' || r.srsubstate::text AS why FROM pg_subscription_rel r \
     JOIN pg_subscription s ON s.oid = r.srsubid WHERE r.srsubstate NOT IN ('i', 'r') \
     UNION ALL SELECT s.subname, 'no replication origin' FROM pg_subscription s JOIN pg_database d ON d.oid = s.subdbid AND d.datname = current_database() \
     WHERE NOT EXISTS (SELECT FROM pg_replication_origin o WHERE o.roname = 'pg_' || s.oid) ORDER BY 1, 2",
)
.since(MajorVersion::new(17))
.gated("EXISTS (SELECT FROM pg_subscription)");

/// Every table of a subscription is in step.
pub(super) const CHECK: Check = Check {
    id: "subscription-tables",
    title: "Every table of a subscription is copied, or not begun",
    why: "From 17 on subscriptions are carried over with their state, and pg_upgrade refuses those whose tables are being copied or whose replication origin is missing",
    mend: "Wait until the tables are copied, or drop the subscription",
    severity: Severity::Blocker,
    waivable: false,
    concerns: Concerns::Contents,
    queries: &[QUERY],
    run: Run::Live(run),
};

fn run(live: &Live<'_>) -> Vec<Finding> {
    let mut findings = rows_finding(
        live.server,
        &QUERY,
        Severity::Blocker,
        ("subscription state", "that pg_upgrade refuses"),
        |database, row| {
            let subscription = name(text(row, "name"));
            (
                format!("{subscription} in {}: {}", name(database), text(row, "why")),
                format!("DROP SUBSCRIPTION {subscription}"),
            )
        },
    );
    for finding in findings
        .iter_mut()
        .filter(|finding| !finding.fix.is_empty())
    {
        finding.fix = format!("wait until the tables are copied, or {}", finding.fix);
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::super::testing::{fires, live, silent};

    #[test]
    fn they_are_found_on_a_real_server() {
        silent("subscription-tables", &live("17-rich", 18));
        silent("subscription-tables", &live("15-troubled", 18));
        assert_eq!(
            fires("subscription-tables", &live("17-troubled", 18))[0].objects,
            ["sub in app: table public.subscribed in state d"]
        );
    }
}
