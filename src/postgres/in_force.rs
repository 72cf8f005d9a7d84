//! The settings in force on the running server, by files, arguments and environment, and where each one is set.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::quote;
use crate::facts::server::ServerFacts;

/// A setting in force.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InForce {
    /// As written where a file sets it, else in the setting's own unit.
    pub value: String,
    /// File and line, or `command line`, or `environment variable`.
    pub place: String,
}

/// Settings that say where the server finds itself; they are true only in its own container.
const OF_THE_PLACE: &[&str] = &["config_file", "data_directory", "hba_file", "ident_file"];

/// Settings that change how a server talks about the ones behind them.
const OF_THE_LOG: &[&str] = &[
    "lc_messages",
    "log_destination",
    "log_error_verbosity",
    "log_line_prefix",
    "log_min_messages",
];

/// Every setting in force whose value is known, by its name in lower case. What may hold a secret is not among them.
pub fn settings(server: &ServerFacts) -> BTreeMap<String, InForce> {
    let mut all = BTreeMap::new();
    // Our own session masks a few settings in pg_settings; the files still show them.
    let applied = server.file_settings.iter().flatten().filter(|l| l.applied);
    for line in applied {
        if let (Some(name), Some(value)) = (&line.name, &line.value) {
            let file = line.file.as_deref().unwrap_or("a configuration file");
            let place = match line.line {
                Some(number) => format!("{file} line {number}"),
                None => file.to_owned(),
            };
            let value = value.clone();
            all.insert(name.to_ascii_lowercase(), InForce { value, place });
        }
    }
    for setting in &server.settings {
        let name = setting.name.to_ascii_lowercase();
        let in_file = setting.source == "configuration file";
        let outside = ["command line", "environment variable"].contains(&setting.source.as_str());
        let (true, Some(value)) = (outside || in_file, &setting.value) else {
            continue;
        };
        if in_file && all.contains_key(&name) {
            continue;
        }
        let place = match (&setting.file, setting.line) {
            (Some(file), Some(line)) => format!("{file} line {line}"),
            _ => setting.source.clone(),
        };
        let value = value.clone();
        all.insert(name, InForce { value, place });
    }
    all
}

/// All of them as a flat `postgresql.conf` for another server to judge, one a line.
pub fn conf(server: &ServerFacts) -> String {
    let settings = settings(server);
    let (last, first): (Vec<_>, Vec<_>) = settings
        .iter()
        .filter(|(name, set)| {
            !OF_THE_PLACE.contains(&name.as_str()) && !set.value.chars().any(char::is_control)
        })
        .partition(|(name, _)| OF_THE_LOG.contains(&name.as_str()));
    let mut text = String::new();
    for (name, set) in first.into_iter().chain(last) {
        let _ = writeln!(text, "{name} = {}", quote::conf_value(&set.value));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checks::testing::troubled;

    #[test]
    fn a_setting_is_said_with_the_place_that_sets_it() {
        let server = troubled().server.unwrap();
        let settings = settings(&server);
        assert_eq!(settings["max_prepared_transactions"].value, "5");
        let of_file = &settings["operator_precedence_warning"].place;
        assert!(
            of_file.starts_with('/') && of_file.contains(" line "),
            "{of_file}"
        );
        assert_eq!(
            settings["vacuum_cleanup_index_scale_factor"].place,
            "command line"
        );
    }

    #[test]
    fn what_the_file_says_is_kept_as_it_was_written() {
        let mut server = troubled().server.unwrap();
        let line = |name: &str, value: &str| crate::facts::server::FileSetting {
            name: Some(name.to_owned()),
            value: Some(value.to_owned()),
            file: Some("/etc/pg.conf".to_owned()),
            line: Some(3),
            applied: true,
            error: None,
        };
        server.settings = vec![crate::facts::server::Setting {
            name: "min_wal_size".to_owned(),
            value: Some("5".to_owned()),
            source: "configuration file".to_owned(),
            context: "sighup".to_owned(),
            vartype: "integer".to_owned(),
            unit: Some("16MB".to_owned()),
            file: Some("/etc/pg.conf".to_owned()),
            line: Some(3),
        }];
        server.file_settings = Some(vec![
            line("Min_WAL_Size", "80MB"),
            line("hba_file", "/x"),
            line("lc_messages", "de_DE"),
            line("work_mem", "4MB"),
        ]);
        assert_eq!(
            conf(&server),
            "min_wal_size = '80MB'\nwork_mem = '4MB'\nlc_messages = 'de_DE'\n"
        );
    }
}
