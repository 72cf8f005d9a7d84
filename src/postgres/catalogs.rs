//! What went from the system views: measured on 9.6 to 13, 15, and 17 to 19.

use super::version::MajorVersion;

/// System view, column, and the first major version without it.
const GONE: &[(&str, &str, u16)] = &[
    ("pg_backend_memory_contexts", "parent", 18),
    ("pg_stat_bgwriter", "buffers_backend", 17),
    ("pg_stat_bgwriter", "buffers_backend_fsync", 17),
    ("pg_stat_bgwriter", "buffers_checkpoint", 17),
    ("pg_stat_bgwriter", "checkpoint_sync_time", 17),
    ("pg_stat_bgwriter", "checkpoint_write_time", 17),
    ("pg_stat_bgwriter", "checkpoints_req", 17),
    ("pg_stat_bgwriter", "checkpoints_timed", 17),
    ("pg_stat_io", "op_bytes", 18),
    ("pg_stat_progress_vacuum", "max_dead_tuples", 17),
    ("pg_stat_progress_vacuum", "num_dead_tuples", 17),
    ("pg_stat_replication", "flush_location", 10),
    ("pg_stat_replication", "replay_location", 10),
    ("pg_stat_replication", "sent_location", 10),
    ("pg_stat_replication", "write_location", 10),
    ("pg_stat_ssl", "clientdn", 12),
    ("pg_stat_ssl", "compression", 14),
    ("pg_stat_subscription_stats", "sync_error_count", 19),
    ("pg_stat_wal", "wal_sync", 18),
    ("pg_stat_wal", "wal_sync_time", 18),
    ("pg_stat_wal", "wal_write", 18),
    ("pg_stat_wal", "wal_write_time", 18),
    ("pg_stat_wal_receiver", "received_lsn", 13),
];

/// Whether a version lacks a column that the system view had before.
pub fn column_went(view: &str, column: &str, to: MajorVersion) -> bool {
    GONE.iter()
        .any(|(has, had, since)| (*has, *had) == (view, column) && to >= MajorVersion::new(*since))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_column_goes_with_a_version() {
        let went = |to| column_went("pg_stat_bgwriter", "buffers_backend", MajorVersion::new(to));
        assert!(!went(16) && went(17) && went(19));
        assert!(!column_went(
            "pg_stat_bgwriter",
            "buffers_clean",
            MajorVersion::new(19)
        ));
    }
}
