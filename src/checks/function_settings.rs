//! No function has a setting that is gone.

use super::{
    Check, Concerns, Finding, Live, Run, Severity, in_database, name, numbered, read_databases,
    statements, to_version, unknown,
};
use crate::postgres::settings::stops;

/// No function has a setting that is gone.
pub(super) const CHECK: Check = Check {
    id: "function-settings",
    title: "No function sets what the new version does not know",
    why: "pg_upgrade --check passes, and then the restore of the schema fails in the middle of the outage",
    mend: "ALTER FUNCTION … RESET",
    severity: Severity::Blocker,
    waivable: false,
    concerns: Concerns::Contents,
    queries: &[],
    run: Run::Live(run),
};

fn run(live: &Live<'_>) -> Vec<Finding> {
    let to = to_version(live);
    let known = live
        .input
        .target
        .as_ref()
        .and_then(|target| target.settings.as_ref());
    let mut findings = Vec::new();
    let (mut objects, mut fixes) = (Vec::new(), Vec::new());
    for (database, contents) in read_databases(live.server) {
        let Some(settings) = &contents.function_settings else {
            findings.push(unknown(
                &format!(
                    "the settings of functions in database {}",
                    name(&database.name)
                ),
                live.server,
            ));
            continue;
        };
        for setting in settings
            .iter()
            .filter(|setting| stops(&setting.name, to, known))
        {
            objects.push(format!(
                "{} of {} in {}",
                setting.name,
                setting.function,
                name(&database.name)
            ));
            fixes.push(in_database(
                &database.name,
                &format!("ALTER FUNCTION {} RESET {}", setting.function, setting.name),
            ));
        }
    }
    if !objects.is_empty() {
        findings.push(
            Finding::blocker(format!(
                "{} of functions that PostgreSQL {} does not know",
                numbered(objects.len(), "setting"),
                to.major
            ))
            .objects(objects)
            .fix(statements(&fixes)),
        );
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::super::testing::{fires, input, silent};

    #[test]
    fn they_are_found_on_a_real_server() {
        silent("function-settings", &input());
        let finding = fires("function-settings", &super::super::testing::troubled()).remove(0);
        assert_eq!(
            finding.fix,
            "in app: ALTER FUNCTION public.\"Odd f\"(integer) RESET force_parallel_mode"
        );
    }
}
