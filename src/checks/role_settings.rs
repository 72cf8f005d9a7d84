//! No role or database has a setting that is gone.

use super::{
    Check, Concerns, Finding, Live, Run, Severity, dotted, name, numbered, statements, to_version,
    unknown,
};
use crate::facts::server::RoleSetting;
use crate::postgres::settings::stops;

/// No role or database has a setting that is gone.
pub(super) const CHECK: Check = Check {
    id: "role-settings",
    title: "No role or database sets what the new version does not know",
    why: "pg_upgrade --check passes, and then the restore of roles and databases fails in the middle of the outage",
    mend: "ALTER ROLE … RESET, ALTER DATABASE … RESET",
    severity: Severity::Blocker,
    waivable: false,
    concerns: Concerns::Contents,
    queries: &[],
    run: Run::Live(run),
};

fn run(live: &Live<'_>) -> Vec<Finding> {
    let Some(settings) = &live.server.role_settings else {
        return vec![unknown("the settings of roles and databases", live.server)];
    };
    let to = to_version(live);
    let known = live
        .input
        .target
        .as_ref()
        .and_then(|target| target.settings.as_ref());
    let removed: Vec<_> = settings
        .iter()
        .filter(|setting| stops(&setting.name, to, known))
        .collect();
    if removed.is_empty() {
        return Vec::new();
    }
    let target = |setting: &RoleSetting| match (&setting.role, &setting.database) {
        (Some(role), Some(database)) => {
            format!("ROLE {} IN DATABASE {}", name(role), name(database))
        }
        (Some(role), None) => format!("ROLE {}", name(role)),
        (None, Some(database)) => format!("DATABASE {}", name(database)),
        (None, None) => "ROLE ALL".to_owned(),
    };
    let fixes: Vec<String> = removed
        .iter()
        .map(|setting| {
            let parts: Vec<&str> = setting.name.split('.').collect();
            format!("ALTER {} RESET {}", target(setting), dotted(&parts))
        })
        .collect();
    vec![
        Finding::blocker(format!(
            "{} of roles and databases that PostgreSQL {} does not know",
            numbered(removed.len(), "setting"),
            to.major
        ))
        .objects(
            removed
                .iter()
                .map(|setting| format!("{} of {}", setting.name, target(setting))),
        )
        .fix(statements(&fixes)),
    ]
}

#[cfg(test)]
mod tests {
    use super::super::testing::{fires, input, silent};

    #[test]
    fn they_are_found_on_a_real_server() {
        let mut input = input();
        silent("role-settings", &input);
        let finding = fires("role-settings", &super::super::testing::troubled()).remove(0);
        assert_eq!(
            finding.fix,
            "ALTER ROLE \"Odd Role\" IN DATABASE app RESET force_parallel_mode; ALTER DATABASE app RESET operator_precedence_warning; \
             ALTER ROLE maker RESET \"my-app\".tenant"
        );
        input.server.as_mut().unwrap().role_settings = None;
        fires("role-settings", &input);
    }
}
