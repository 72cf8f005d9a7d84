//! Which settings each major version knows: a data file made from `pg_settings` of 12 to 19.

use std::collections::BTreeSet;

use super::version::{MajorVersion, ServerVersion};

const DATA: &str = include_str!("data/settings.txt");

/// Settings that took the place of removed ones.
const RENAMED: &[(&str, &str)] = &[
    ("force_parallel_mode", "debug_parallel_query"),
    ("io_workers", "io_min_workers and io_max_workers"),
    ("min_parallel_relation_size", "min_parallel_table_scan_size"),
    ("ssl_ecdh_curve", "ssl_groups"),
    ("wal_keep_segments", "wal_keep_size"),
];

/// Old names that newer servers silently take as the new one.
const STILL_TAKEN: &[&str] = &["ssl_ecdh_curve"];

/// Came with the minors of August 2026, in all majors that were supported then.
const OUTPUT_PLUGIN_LIBRARIES: &str = "output_plugin_libraries";

struct Known {
    name: &'static str,
    first: u16,
    last: u16,
}

fn table() -> impl Iterator<Item = Known> {
    DATA.lines()
        .filter(|line| !line.starts_with('#') && !line.is_empty())
        .map(|line| {
            let (name, range) = line.split_once(' ').unwrap_or((line, "-"));
            let (first, last) = range.split_once('-').unwrap_or((range, range));
            Known {
                name,
                first: first.parse().unwrap_or(0),
                last: last.parse().unwrap_or(u16::MAX),
            }
        })
}

/// Whether a server of this version knows the setting; `None` for names that no version has (those of extensions).
pub fn known(name: &str, version: ServerVersion) -> Option<bool> {
    let name = name.to_ascii_lowercase();
    let setting = table().find(|known| known.name == name)?;
    if name == OUTPUT_PLUGIN_LIBRARIES {
        let came = ServerVersion::new(18, 6).round();
        return Some(version.round() >= came);
    }
    let major = version.major.number();
    Some((setting.first..=setting.last).contains(&major))
}

/// Whether the setting stops a server of version `to`: some version knows it, that one does not.
///
/// `to_names` is what the target image itself says it knows; it wins over the table.
pub fn stops(name: &str, to: ServerVersion, to_names: Option<&BTreeSet<String>>) -> bool {
    let lower = name.to_ascii_lowercase();
    if lower.contains('.') {
        return to.major >= MajorVersion::new(14) && !is_custom(&lower);
    }
    if STILL_TAKEN.contains(&lower.as_str()) {
        return false;
    }
    // Some settings are real but not listed by pg_settings (role, seed …): only what the table has can be missing.
    match known(&lower, to) {
        None | Some(true) => false,
        Some(false) => to_names.is_none_or(|names| !names.contains(&lower)),
    }
}

/// Whether a name with dots is one that servers take for a setting of an extension since 14: identifiers between dots.
fn is_custom(name: &str) -> bool {
    name.split('.').all(|part| {
        part.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_' || !c.is_ascii())
            && part
                .chars()
                .all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '$') || !c.is_ascii())
    })
}

/// What to use instead of a removed setting.
pub fn renamed(name: &str) -> Option<&'static str> {
    let name = name.to_ascii_lowercase();
    RENAMED
        .iter()
        .find(|(old, _)| *old == name)
        .map(|(_, new)| *new)
}

/// All settings that a server of version `from` may have in its files and one of version `to` refuses to start with.
pub fn removed(
    from: MajorVersion,
    to: ServerVersion,
    to_names: Option<&BTreeSet<String>>,
) -> Vec<&'static str> {
    table()
        .filter(|setting| setting.first <= from.number())
        .map(|setting| setting.name)
        .filter(|name| stops(name, to, to_names))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_setting_that_went_stops_the_new_server() {
        let to = ServerVersion::new(17, 11);
        assert!(stops("wal_keep_segments", to, None));
        assert!(stops("Force_Parallel_Mode", to, None));
        assert!(stops("vacuum_cleanup_index_scale_factor", to, None));
        assert!(!stops("work_mem", to, None));
        assert!(!stops("wal_keep_size", to, None));
        assert!(!stops("role", to, None));
        assert!(!stops("myapp.tenant", to, None));
        assert!(stops("my-app.tenant", to, None));
        assert!(!stops("my-app.tenant", ServerVersion::new(13, 1), None));
        assert!(!stops("ssl_ecdh_curve", ServerVersion::new(18, 6), None));
        assert_eq!(renamed("wal_keep_segments"), Some("wal_keep_size"));
    }

    #[test]
    fn what_the_image_itself_knows_wins() {
        let names = BTreeSet::from(["wal_keep_segments".to_owned()]);
        assert!(!stops(
            "wal_keep_segments",
            ServerVersion::new(17, 0),
            Some(&names)
        ));
    }

    #[test]
    fn a_setting_that_came_with_a_minor_is_told_by_the_minor() {
        assert!(stops(
            "output_plugin_libraries",
            ServerVersion::new(17, 10),
            None
        ));
        assert!(!stops(
            "output_plugin_libraries",
            ServerVersion::new(17, 11),
            None
        ));
        assert_eq!(
            known("output_plugin_libraries", ServerVersion::new(15, 18)),
            Some(false)
        );
    }

    #[test]
    fn the_removed_ones_of_thirteen_to_seventeen() {
        assert_eq!(
            removed(MajorVersion::new(13), ServerVersion::new(17, 11), None),
            [
                "db_user_namespace",
                "force_parallel_mode",
                "lc_collate",
                "lc_ctype",
                "min_parallel_relation_size",
                "old_snapshot_threshold",
                "operator_precedence_warning",
                "promote_trigger_file",
                "replacement_sort_tuples",
                "sql_inheritance",
                "stats_temp_directory",
                "trace_recovery_messages",
                "vacuum_cleanup_index_scale_factor",
                "vacuum_defer_cleanup_age",
                "wal_keep_segments",
            ]
        );
        assert!(table().all(|setting| setting.first <= setting.last));
        assert!(table().count() > 430);
    }
}
