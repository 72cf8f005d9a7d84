//! The role that initdb made is a superuser who can log in.

use super::{Check, Concerns, Finding, Live, Run, Severity, name};

/// The role that initdb made is a superuser who can log in.
pub(super) const CHECK: Check = Check {
    id: "install-user",
    title: "The role that initdb made is a superuser who can log in",
    why: "pg_upgrade connects to both servers as the role with oid 10 and makes the new cluster with its name",
    mend: "ALTER ROLE … SUPERUSER LOGIN; a name that begins with pg_ has to be changed",
    severity: Severity::Blocker,
    waivable: false,
    concerns: Concerns::Place,
    queries: &[],
    run: Run::Live(run),
};

fn run(live: &Live<'_>) -> Vec<Finding> {
    let role = &live.server.install_user;
    let quoted = name(&role.name);
    let mut findings = Vec::new();
    if !role.superuser || !role.login {
        findings.push(
            Finding::blocker(format!(
                "role {quoted}, which initdb made, is no superuser who can log in"
            ))
            .objects([quoted.clone()])
            .fix(format!("ALTER ROLE {quoted} SUPERUSER LOGIN")),
        );
    }
    if role.name.starts_with("pg_") {
        findings.push(
            Finding::blocker(format!(
                "initdb refuses the name of role {quoted}: names with pg_ are reserved"
            ))
            .objects([quoted.clone()])
            .fix(format!("ALTER ROLE {quoted} RENAME TO postgres")),
        );
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::super::testing::{fires, input, silent};

    #[test]
    fn an_install_user_that_cannot_be_used_is_named() {
        let mut input = input();
        silent("install-user", &input);
        input.server.as_mut().unwrap().install_user.login = false;
        assert_eq!(
            fires("install-user", &input)[0].fix,
            "ALTER ROLE postgres SUPERUSER LOGIN"
        );
        let role = &mut input.server.as_mut().unwrap().install_user;
        (role.login, role.name) = (true, "pg_admin".to_owned());
        fires("install-user", &input);
    }
}
