//! The server is read as a superuser.

use super::{Check, Concerns, Finding, Live, Run, Severity, name};

/// The server is read as a superuser.
pub(super) const CHECK: Check = Check {
    id: "superuser",
    title: "The server is read as a superuser",
    why: "Only a superuser sees everything that decides about the upgrade",
    mend: "Give the container the name and password of a superuser",
    severity: Severity::Blocker,
    waivable: false,
    concerns: Concerns::Place,
    queries: &[],
    run: Run::Live(run),
};

fn run(live: &Live<'_>) -> Vec<Finding> {
    let role = &live.server.connected_as;
    if role.superuser {
        Vec::new()
    } else {
        vec![
            Finding::blocker(format!(
                "role {} is no superuser, so parts of the server could not be seen",
                name(&role.name)
            ))
            .fix(format!("ALTER ROLE {} SUPERUSER", name(&role.name))),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{fires, input, silent};

    #[test]
    fn an_ordinary_role_does_not_see_enough() {
        let mut input = input();
        silent("superuser", &input);
        input.server.as_mut().unwrap().connected_as.superuser = false;
        fires("superuser", &input);
    }
}
