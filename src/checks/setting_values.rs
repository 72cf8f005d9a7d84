//! The new server takes every setting in force.

use super::{Check, Concerns, Finding, Run, Severity, Target, numbered};
use crate::postgres::{in_force, settings};

/// The new server takes every setting in force.
pub(super) const CHECK: Check = Check {
    id: "setting-values",
    title: "The new server takes every setting that is in force, with its value",
    why: "A server refuses to start on a value that it does not take; the limits and words of settings change between versions",
    mend: "Give the setting a value that both versions take, or remove it",
    severity: Severity::Blocker,
    waivable: true,
    concerns: Concerns::Contents,
    queries: &[],
    run: Run::Target(run),
};

fn run(target: &Target<'_>) -> Vec<Finding> {
    let Some(said) = &target.target.configuration else {
        return vec![Finding::info(
            "the new server was not asked about the settings in force",
        )];
    };
    let settings = in_force::settings(target.server);
    let (mut objects, mut fixes): (Vec<String>, Vec<String>) = (Vec::new(), Vec::new());
    let mut taken = false;
    for message in said {
        if let Some(hint) = message.strip_prefix("HINT: ") {
            if let (true, Some(last)) = (taken, objects.last_mut()) {
                *last = format!("{last} ({})", hint.trim_end_matches('.'));
            }
            continue;
        }
        let name = parameter(message);
        // Where it is unknown and what then happens to it is said by removed-settings and server-arguments.
        let known = target.target.settings.as_ref();
        taken = !name.is_some_and(|name| settings::stops(name, target.target.version, known));
        if !taken {
            continue;
        }
        match name.and_then(|name| Some((name, settings.get(&name.to_ascii_lowercase())?))) {
            Some((name, set)) => {
                objects.push(format!("{name} = {} ({}): {message}", set.value, set.place));
                fixes.push(format!("change {name} ({})", set.place));
            }
            None => objects.push(message.clone()),
        }
    }
    if objects.is_empty() {
        return Vec::new();
    }
    vec![
        Finding::blocker(format!(
            "PostgreSQL {} does not take {} as set",
            target.target.version.major,
            numbered(objects.len(), "setting")
        ))
        .objects(objects)
        .fix(fixes.join("; ")),
    ]
}

/// The name in `… parameter "work_mem" …`.
fn parameter(message: &str) -> Option<&str> {
    let (_, rest) = message.split_once("parameter \"")?;
    rest.split_once('"').map(|(name, _)| name)
}

#[cfg(test)]
mod tests {
    use super::super::testing::{fires, input, silent, troubled};
    use super::super::{CheckInput, Severity};
    use crate::facts::server::FileSetting;

    /// As 17 says of a file with these lines in it.
    fn said(input: &mut CheckInput, lines: &[&str]) {
        let lines = lines.iter().map(|line| (*line).to_owned()).collect();
        input.target.as_mut().unwrap().configuration = Some(lines);
    }

    #[test]
    fn a_value_that_is_not_taken_is_said_with_its_place_and_the_servers_words() {
        let mut input = input();
        silent("setting-values", &input);
        input.server.as_mut().unwrap().file_settings = Some(vec![FileSetting {
            name: Some("Vacuum_Buffer_Usage_Limit".to_owned()),
            value: Some("1".to_owned()),
            file: Some("/etc/pg.conf".to_owned()),
            line: Some(7),
            applied: true,
            error: None,
        }]);
        said(
            &mut input,
            &[
                r#"1 kB is outside the valid range for parameter "vacuum_buffer_usage_limit" (0 kB .. 16777216 kB)"#,
                r#"invalid value for parameter "elsewhere": "x""#,
                "HINT: Available values: a, b.",
            ],
        );
        let finding = fires("setting-values", &input).remove(0);
        assert_eq!(finding.severity, Severity::Blocker);
        assert_eq!(
            finding.objects,
            [
                r#"vacuum_buffer_usage_limit = 1 (/etc/pg.conf line 7): 1 kB is outside the valid range for parameter "vacuum_buffer_usage_limit" (0 kB .. 16777216 kB)"#,
                r#"invalid value for parameter "elsewhere": "x" (Available values: a, b)"#
            ]
        );
        assert_eq!(
            finding.fix,
            "change vacuum_buffer_usage_limit (/etc/pg.conf line 7)"
        );
    }

    #[test]
    fn what_the_upgrade_comments_out_by_itself_is_no_blocker() {
        let mut input = troubled();
        said(
            &mut input,
            &[
                r#"unrecognized configuration parameter "operator_precedence_warning" in file "/tmp/conf/postgresql.conf" line 3"#,
                "HINT: of that one",
            ],
        );
        silent("setting-values", &input);
        input.target.as_mut().unwrap().configuration = None;
        assert_eq!(fires("setting-values", &input)[0].severity, Severity::Info);
    }
}
