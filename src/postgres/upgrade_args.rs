//! What the worker in the upgrade pod is told about the two servers: environment, settings, removed names.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::in_force;
use super::initdb::{InitdbError, initdb_args};
use super::quote;
use super::settings;
use super::version::{MajorVersion, ServerVersion};
use crate::facts::server::ServerFacts;
use crate::facts::target::TargetFacts;

/// Everything about the two servers that the worker needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UpgradeArgs {
    /// Environment of the worker, `PGUP_…`.
    pub env: BTreeMap<&'static str, String>,
    /// Text of `settings.conf`: what is in force on the old server and known to the new one.
    pub settings_conf: String,
    /// Settings that the new server refuses to start with.
    pub removed: Vec<String>,
}

/// Settings that belong to the place where the old server runs, or to what the test start must not do.
const LEFT_OUT: &[&str] = &[
    "archive_cleanup_command",
    "archive_command",
    "archive_library",
    "archive_mode",
    "bonjour",
    "config_file",
    "data_directory",
    "event_source",
    "external_pid_file",
    "hba_file",
    "hot_standby",
    "huge_pages",
    "ident_file",
    "jit",
    "jit_provider",
    "listen_addresses",
    "log_destination",
    "log_directory",
    "log_file_mode",
    "log_filename",
    "logging_collector",
    "port",
    "primary_conninfo",
    "primary_slot_name",
    "promote_trigger_file",
    "recovery_end_command",
    "restore_command",
    "shared_preload_libraries",
    "stats_temp_directory",
    "synchronous_standby_names",
    "unix_socket_directories",
    "unix_socket_group",
    "unix_socket_permissions",
];

/// Derives what the worker is told. Values that a shell could misread are left out of the options, never quoted by hope.
pub fn upgrade_args(
    server: &ServerFacts,
    target: &TargetFacts,
) -> Result<UpgradeArgs, InitdbError> {
    let mut env = cluster_env(server)?;
    env.extend([
        ("PGUP_TO", target.version.major.to_string()),
        ("PGUP_OLD_OPTIONS", options(&old_options(server))),
        ("PGUP_NEW_OPTIONS", options(&new_options(server, target))),
    ]);
    Ok(UpgradeArgs {
        env,
        settings_conf: settings_conf(server, target),
        removed: settings::removed(
            server.version.major,
            target.version,
            target.settings.as_ref(),
        )
        .into_iter()
        .map(str::to_owned)
        .collect(),
    })
}

/// Everything that makes an empty cluster like the old one.
///
/// # Errors
/// When that cannot be derived.
pub fn cluster_env(server: &ServerFacts) -> Result<BTreeMap<&'static str, String>, InitdbError> {
    let initdb = initdb_args(server)?;
    let flag = |on: bool| if on { "1" } else { "0" }.to_owned();
    Ok(BTreeMap::from([
        ("PGUP_FROM", server.version.major.to_string()),
        ("PGUP_SUPERUSER", initdb.superuser),
        ("PGUP_ENCODING", initdb.encoding),
        ("PGUP_LC_COLLATE", initdb.collate),
        ("PGUP_LC_CTYPE", initdb.ctype),
        ("PGUP_LOCALE_PROVIDER", initdb.provider.as_str().to_owned()),
        ("PGUP_ICU_LOCALE", initdb.locale),
        ("PGUP_WALSEG_MB", initdb.wal_segment_mb.to_string()),
        ("PGUP_CHECKSUMS", flag(initdb.checksums)),
        ("PGUP_GROUP_ACCESS", flag(initdb.group_access)),
    ]))
}

/// Libraries that the old server preloads and the target image has too, in the old order.
pub fn preload_in_target(server: &ServerFacts, target: &TargetFacts) -> Vec<String> {
    server
        .shared_preload
        .iter()
        .filter(|library| {
            target
                .libraries
                .as_ref()
                .is_some_and(|have| have.contains(*library))
        })
        .cloned()
        .collect()
}

/// Locks that one session takes at most while the largest database is dumped or restored: one for each object.
fn locks(server: &ServerFacts) -> u64 {
    server
        .databases
        .iter()
        .filter_map(|database| database.contents.as_ref()?.relations)
        .map(|relations| relations.relations + relations.large_objects)
        .max()
        .unwrap_or(0)
}

/// `max_locks_per_transaction` that lets one session hold `locks` on a server with this many connections.
fn max_locks(locks: u64, connections: u32) -> u64 {
    (locks + locks / 4 + 1000)
        .div_ceil(u64::from(connections.max(1)))
        .max(64)
}

fn old_options(server: &ServerFacts) -> Vec<(&'static str, String)> {
    let mut list = Vec::new();
    if !server.shared_preload.is_empty() {
        list.push(("shared_preload_libraries", server.shared_preload.join(",")));
    }
    let present = server.max_locks_per_transaction();
    let needed = max_locks(locks(server), server.max_connections);
    if needed > present {
        list.push(("max_locks_per_transaction", needed.to_string()));
    }
    if server.version.major >= MajorVersion::new(11) {
        list.push(("jit", "off".to_owned()));
    }
    list
}

fn new_options(server: &ServerFacts, target: &TargetFacts) -> Vec<(&'static str, String)> {
    let mut list = Vec::new();
    let preload = preload_in_target(server, target);
    if preload
        .iter()
        .any(|library| library.starts_with("timescaledb"))
    {
        list.push(("timescaledb.restoring", "on".to_owned()));
    }
    if !preload.is_empty() {
        list.push(("shared_preload_libraries", preload.join(",")));
    }
    // The server made by initdb allows 100 connections.
    let needed = max_locks(locks(server), 100);
    if needed > 64 {
        list.push(("max_locks_per_transaction", needed.to_string()));
    }
    let seventeen = MajorVersion::new(17);
    if target.version.major >= seventeen {
        // 17.0 to 17.5 refuse to start for pg_upgrade otherwise (fixed in 17.6).
        list.push(("max_slot_wal_keep_size", "-1".to_owned()));
    }
    if target.version.major >= MajorVersion::new(18) {
        list.push(("idle_replication_slot_timeout", "0".to_owned()));
    }
    let slots: Vec<_> = server
        .slots
        .iter()
        .flatten()
        .filter(|slot| {
            slot.kind == "logical"
                && server.version.major >= seventeen
                && target.version.major >= seventeen
        })
        .collect();
    if !slots.is_empty() {
        list.push(("wal_level", "logical".to_owned()));
        let subscriptions = server.subscriptions.as_ref().map_or(0, Vec::len);
        list.push((
            "max_replication_slots",
            (slots.len() + subscriptions).max(10).to_string(),
        ));
        if settings::known("output_plugin_libraries", target.version) == Some(true) {
            let mut plugins = vec!["pgoutput", "test_decoding"];
            plugins.extend(slots.iter().filter_map(|slot| slot.plugin.as_deref()));
            plugins.sort_unstable();
            plugins.dedup();
            list.push(("output_plugin_libraries", plugins.join(",")));
        }
    }
    list
}

/// `-c NAME=VALUE …`, only of values that mean the same to `pg_upgrade`, two shells and the server.
fn options(list: &[(&str, String)]) -> String {
    let plain = |value: &str| {
        !value.is_empty()
            && value
                .chars()
                .all(|c| c.is_ascii_alphanumeric() || "_.,/+:-".contains(c))
    };
    let mut text = String::new();
    for (name, value) in list.iter().filter(|(_, value)| plain(value)) {
        let space = if text.is_empty() { "" } else { " " };
        let _ = write!(text, "{space}-c {name}={value}");
    }
    text
}

/// Whether a setting of the old server is tried on the new one at the test start.
fn carried(name: &str, to: ServerVersion, target: &TargetFacts) -> bool {
    !LEFT_OUT.contains(&name)
        && !name.starts_with("ssl")
        && !name.starts_with("recovery_target")
        && !name.starts_with("krb_")
        && !settings::stops(name, to, target.settings.as_ref())
}

/// The settings in force on the old server that the new one knows, as a flat `postgresql.conf`.
fn settings_conf(server: &ServerFacts, target: &TargetFacts) -> String {
    let mut text = String::new();
    let preload = preload_in_target(server, target);
    if !preload.is_empty() {
        let _ = writeln!(
            text,
            "shared_preload_libraries = {}",
            quote::conf_value(&preload.join(","))
        );
    }
    for (name, set) in &in_force::settings(server) {
        if carried(name, target.version, target) && !set.value.chars().any(char::is_control) {
            let _ = writeln!(text, "{name} = {}", quote::conf_value(&set.value));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checks::testing::{input, troubled};
    use crate::facts::server::{FileSetting, Setting, Slot};

    fn args(change: impl FnOnce(&mut ServerFacts, &mut TargetFacts)) -> UpgradeArgs {
        let input = input();
        let (mut server, mut target) = (input.server.unwrap(), input.target.unwrap());
        change(&mut server, &mut target);
        upgrade_args(&server, &target).unwrap()
    }

    fn setting(name: &str, value: &str, source: &str) -> Setting {
        Setting {
            name: name.to_owned(),
            value: Some(value.to_owned()),
            source: source.to_owned(),
            context: "sighup".to_owned(),
            vartype: "string".to_owned(),
            unit: None,
            file: None,
            line: None,
        }
    }

    #[test]
    fn a_plain_server_gives_plain_arguments() {
        let env = args(|_, _| {}).env;
        for (name, value) in [
            ("PGUP_FROM", "13"),
            ("PGUP_TO", "17"),
            ("PGUP_SUPERUSER", "postgres"),
            ("PGUP_ENCODING", "UTF8"),
            ("PGUP_LC_COLLATE", "en_US.utf8"),
            ("PGUP_LOCALE_PROVIDER", "libc"),
            ("PGUP_ICU_LOCALE", ""),
            ("PGUP_WALSEG_MB", "16"),
            ("PGUP_CHECKSUMS", "0"),
            ("PGUP_GROUP_ACCESS", "0"),
            ("PGUP_OLD_OPTIONS", "-c jit=off"),
            ("PGUP_NEW_OPTIONS", "-c max_slot_wal_keep_size=-1"),
        ] {
            assert_eq!(env[name], value, "{name}");
        }
    }

    #[test]
    fn preloads_that_the_target_has_go_along_in_order() {
        let args = args(|server, _| {
            server.shared_preload = ["pg_stat_statements", "pg_cron", "auto_explain"]
                .map(str::to_owned)
                .to_vec();
        });
        assert!(
            args.env["PGUP_OLD_OPTIONS"]
                .starts_with("-c shared_preload_libraries=pg_stat_statements,pg_cron,auto_explain")
        );
        assert!(
            args.env["PGUP_NEW_OPTIONS"]
                .starts_with("-c shared_preload_libraries=pg_stat_statements,auto_explain")
        );
        assert!(
            args.settings_conf
                .starts_with("shared_preload_libraries = 'pg_stat_statements,auto_explain'\n")
        );
    }

    #[test]
    fn many_objects_raise_the_limit_of_locks() {
        let args = args(|server, _| {
            let database = server
                .databases
                .iter_mut()
                .find(|d| d.name == "postgres")
                .unwrap();
            database
                .contents
                .as_mut()
                .unwrap()
                .relations
                .as_mut()
                .unwrap()
                .relations = 20_000;
        });
        assert!(
            args.env["PGUP_NEW_OPTIONS"].contains("-c max_locks_per_transaction=260"),
            "{}",
            args.env["PGUP_NEW_OPTIONS"]
        );
        assert!(args.env["PGUP_OLD_OPTIONS"].contains("-c max_locks_per_transaction=260"));
    }

    #[test]
    fn a_value_that_a_shell_could_read_never_gets_into_the_options() {
        let args = args(|server, target| {
            let evil = "x';touch /tmp/owned;'".to_owned();
            server.shared_preload = vec![evil.clone()];
            target.libraries.as_mut().unwrap().insert(evil);
        });
        assert_eq!(args.env["PGUP_OLD_OPTIONS"], "-c jit=off");
        assert_eq!(args.env["PGUP_NEW_OPTIONS"], "-c max_slot_wal_keep_size=-1");
    }

    #[test]
    fn logical_slots_need_room_and_plugins_from_seventeen_on() {
        let args = args(|server, target| {
            server.version = ServerVersion::new(17, 11);
            target.version = ServerVersion::new(18, 6);
            server.slots = Some(vec![Slot {
                name: "cdc".to_owned(),
                kind: "logical".to_owned(),
                plugin: Some("wal2json".to_owned()),
                database: Some("app".to_owned()),
                active: false,
                temporary: false,
                invalidated: None,
                wal_status: None,
                confirmed_flush: None,
            }]);
        });
        let options = &args.env["PGUP_NEW_OPTIONS"];
        for part in [
            "wal_level=logical",
            "max_replication_slots=10",
            "output_plugin_libraries=pgoutput,test_decoding,wal2json",
            "idle_replication_slot_timeout=0",
        ] {
            assert!(options.contains(part), "{part} in {options}");
        }
    }

    #[test]
    fn settings_in_force_are_carried_and_those_of_the_place_are_not() {
        let args = args(|server, _| {
            server.settings = vec![
                setting("work_mem", "8192", "configuration file"),
                setting("search_path", "it's C:\\x", "command line"),
                setting("wal_keep_segments", "8", "configuration file"),
                setting("listen_addresses", "*", "command line"),
                setting("ssl", "on", "configuration file"),
                setting("statement_timeout", "1", "user"),
                setting("log_line_prefix", "a\nb", "configuration file"),
                Setting {
                    value: None,
                    ..setting("primary_conninfo", "", "configuration file")
                },
            ];
            server.file_settings = Some(vec![FileSetting {
                name: Some("Statement_Timeout".to_owned()),
                value: Some("1min".to_owned()),
                file: None,
                line: None,
                applied: true,
                error: None,
            }]);
        });
        assert_eq!(
            args.settings_conf,
            "search_path = 'it''s C:\\\\x'\nstatement_timeout = '1min'\nwork_mem = '8192'\n"
        );
    }

    #[test]
    fn settings_that_stop_the_new_server_are_named_and_left_out() {
        let input = troubled();
        let args = upgrade_args(
            input.server.as_ref().unwrap(),
            input.target.as_ref().unwrap(),
        )
        .unwrap();
        assert!(
            args.removed
                .iter()
                .any(|name| name == "operator_precedence_warning")
        );
        for name in [
            "operator_precedence_warning",
            "vacuum_cleanup_index_scale_factor",
        ] {
            assert!(!args.settings_conf.contains(name));
        }
        assert!(
            args.settings_conf
                .contains("max_prepared_transactions = '5'\n")
        );
    }

    #[test]
    fn without_template0_nothing_is_guessed() {
        let input = input();
        let mut server = input.server.unwrap();
        server.databases.retain(|d| d.name != "template0");
        assert_eq!(
            upgrade_args(&server, &input.target.unwrap()),
            Err(InitdbError::NoTemplate0)
        );
    }
}
