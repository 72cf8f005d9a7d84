//! Nobody archives the write-ahead log.

use super::{Check, Concerns, Finding, Live, Run, Severity};

/// Nobody archives the write-ahead log.
pub(super) const CHECK: Check = Check {
    id: "wal-archive",
    title: "Write-ahead log is not archived",
    why: "The new cluster has another system identifier: its log does not continue the archive, and no backup from before can be rolled forward past the upgrade",
    mend: "Archive to another place from the upgrade on, and take a base backup at once",
    severity: Severity::Warning,
    waivable: true,
    concerns: Concerns::Place,
    queries: &[],
    run: Run::Live(run),
};

fn run(live: &Live<'_>) -> Vec<Finding> {
    match live.server.value_of("archive_mode") {
        None | Some("off") => Vec::new(),
        Some(mode) => vec![
            Finding::warning(format!("write-ahead log is archived (archive_mode = {mode})"))
                .fix("after the upgrade change the place in archive_command or archive_library, then take a base backup"),
        ],
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{fires, input, silent, troubled};

    #[test]
    fn an_archive_is_found_on_a_real_server() {
        silent("wal-archive", &input());
        assert_eq!(
            fires("wal-archive", &troubled())[0].message,
            "write-ahead log is archived (archive_mode = on)"
        );
    }
}
