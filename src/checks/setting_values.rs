//! No setting has a value that is gone.

use super::{Check, Finding, Live, Run, Severity, numbered, unknown};
use crate::postgres::settings::value_went;

/// No setting has a value that is gone.
pub(super) const CHECK: Check = Check {
    id: "setting-values",
    title: "No configuration file gives a setting a value that the new version does not take",
    why: "A server does not start with such a value",
    mend: "Change the value; the old version takes the new one too",
    severity: Severity::Blocker,
    waivable: false,
    queries: &[],
    run: Run::Live(run),
};

fn run(live: &Live<'_>) -> Vec<Finding> {
    let Some(lines) = &live.server.file_settings else {
        return vec![unknown("the configuration files", live.server)];
    };
    let from = live.server.version.major;
    let (mut objects, mut fixes) = (Vec::new(), Vec::new());
    for line in lines {
        let (Some(name), Some(value), Some(file)) = (&line.name, &line.value, &line.file) else {
            continue;
        };
        if let Some(better) = value_went(name, value, from, live.to) {
            objects.push(format!(
                "{name} = {value} ({file} line {})",
                line.line.unwrap_or(0)
            ));
            fixes.push(format!("set {name} = {better} in {file}"));
        }
    }
    if objects.is_empty() {
        return Vec::new();
    }
    vec![
        Finding::blocker(format!(
            "{} with a value that PostgreSQL {} does not take",
            numbered(objects.len(), "setting"),
            live.to
        ))
        .objects(objects)
        .fix(fixes.join("; ")),
    ]
}

#[cfg(test)]
mod tests {
    use super::super::testing::{fires, live, silent};

    #[test]
    fn they_are_found_on_a_real_server() {
        silent("setting-values", &live("13-rich", 17));
        silent("setting-values", &live("13-troubled", 13));
        let finding = fires("setting-values", &live("13-troubled", 17)).remove(0);
        assert!(
            finding.objects[0].starts_with("password_encryption = on ("),
            "{finding:?}"
        );
        silent("setting-values", &live("18-troubled", 18));
        assert!(
            fires("setting-values", &live("18-troubled", 19))[0]
                .fix
                .starts_with("set standard_conforming_strings = on in ")
        );
    }
}
