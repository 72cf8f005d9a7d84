//! No column has a type that is gone.

use super::{Check, Concerns, Finding, Live, Run, Severity, columns_finding};

/// No column has a type that is gone.
pub(super) const CHECK: Check = Check {
    id: "removed-types",
    title: "No column has a type that the new version no longer has",
    why: "The types abstime, reltime and tinterval went with 12",
    mend: "ALTER TABLE … ALTER COLUMN … TYPE timestamptz, interval or text",
    severity: Severity::Blocker,
    waivable: false,
    concerns: Concerns::Contents,
    queries: &[],
    run: Run::Change(12, run),
};

fn run(live: &Live<'_>) -> Vec<Finding> {
    // A tinterval has no cast to anything but text.
    let mut findings: Vec<Finding> = [
        ("abstime", "TYPE timestamptz"),
        ("reltime", "TYPE interval"),
        ("tinterval", "TYPE text"),
    ]
    .into_iter()
    .flat_map(|(gone, action)| {
        columns_finding(live.server, &[gone], "of a type that went with 12", action)
    })
    .collect();
    // What could not be read is said once.
    findings.dedup();
    findings
}

#[cfg(test)]
mod tests {
    use super::super::testing::{fires, recorded, silent};

    #[test]
    fn such_columns_of_an_old_server_are_found() {
        silent("removed-types", &recorded("11", "17"));
        for from in ["9.6-troubled", "10-troubled", "11-troubled"] {
            let fixes: Vec<String> = fires("removed-types", &recorded(from, "17"))
                .into_iter()
                .map(|finding| finding.fix)
                .collect();
            assert_eq!(
                fixes,
                [
                    "in app: DROP MATERIALIZED VIEW public.\"Happened\"; in app: DROP INDEX public.by_end; in app: ALTER TABLE public.dated ALTER COLUMN happened TYPE timestamptz",
                    "in app: ALTER TABLE public.dated ALTER COLUMN took TYPE interval",
                    "in app: ALTER TABLE public.dated ALTER COLUMN lasted TYPE text",
                ]
            );
        }
    }

    #[test]
    fn what_was_not_read_is_said_once() {
        let mut input = recorded("11", "17");
        for database in &mut input.server.as_mut().unwrap().databases {
            if let Some(contents) = &mut database.contents {
                contents.found.remove("data-types");
            }
        }
        assert_eq!(fires("removed-types", &input).len(), 1);
    }
}
