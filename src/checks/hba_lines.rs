//! The new server understands every line of `pg_hba.conf`.

use super::{Check, Concerns, Finding, Live, Query, Run, Severity, numbered, server_rows};
use crate::postgres::version::MajorVersion;

/// Older servers read no file outside the data directory. Only numbers: lines may hold passwords.
const CLIENTCERT: Query = Query::server(
    "hba-clientcert",
    "SELECT line FROM regexp_split_to_table(pg_read_file(current_setting('hba_file')), E'\\n') WITH ORDINALITY t (words, line) \
     WHERE words ~* '^[^#]*\\mclientcert\\s*=\\s*\"?(0|1|no-verify)\\M'",
)
.since(MajorVersion::new(11))
.until(MajorVersion::new(13));

const RADIUS: Query = Query::server(
    "hba-radius",
    "SELECT line_number AS line FROM pg_hba_file_rules WHERE auth_method = 'radius'",
)
.since(MajorVersion::new(10))
.until(MajorVersion::new(18));

/// The new server understands every line of `pg_hba.conf`.
pub(super) const CHECK: Check = Check {
    id: "hba-lines",
    title: "The new server understands every line of pg_hba.conf",
    why: "A server does not start on a pg_hba.conf with a word that it does not know: clientcert=0 and clientcert=1 went with 14, radius with 19",
    mend: "Change the lines; the old version takes the new words too",
    severity: Severity::Blocker,
    waivable: false,
    concerns: Concerns::Contents,
    queries: &[CLIENTCERT, RADIUS],
    run: Run::Live(run),
};

fn run(live: &Live<'_>) -> Vec<Finding> {
    let file = &live.server.hba_file;
    let mut findings = Vec::new();
    for (query, since, word, fix) in [
        (
            &CLIENTCERT,
            14,
            "clientcert=0 or clientcert=1",
            "write clientcert=verify-ca instead of 1, and nothing instead of 0",
        ),
        (&RADIUS, 19, "radius", "take another authentication method"),
    ] {
        if live.to < MajorVersion::new(since) {
            continue;
        }
        match server_rows(live.server, query) {
            Err(unknown) => findings.extend(unknown),
            Ok([]) => {}
            Ok(rows) => findings.push(
                Finding::blocker(format!(
                    "{} of pg_hba.conf with {word}, which PostgreSQL {} does not know",
                    numbered(rows.len(), "line"),
                    live.to
                ))
                .objects(
                    rows.iter()
                        .filter_map(|row| Some(format!("{file} line {}", row.get("line")?))),
                )
                .fix(format!("{fix}, in {file}, and SELECT pg_reload_conf()")),
            ),
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::super::testing::{fires, live, silent};

    #[test]
    fn they_are_found_on_a_real_server() {
        silent("hba-lines", &live("13-rich", 17));
        silent("hba-lines", &live("13-troubled", 13));
        let finding = fires("hba-lines", &live("13-troubled", 17)).remove(0);
        assert!(
            finding
                .message
                .starts_with("2 lines of pg_hba.conf with clientcert"),
            "{finding:?}"
        );
        silent("hba-lines", &live("18-troubled", 18));
        let finding = fires("hba-lines", &live("18-troubled", 19)).remove(0);
        assert!(
            finding
                .message
                .starts_with("1 line of pg_hba.conf with radius"),
            "{finding:?}"
        );
    }
}
