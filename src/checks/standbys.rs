//! No standby follows the server.

use super::{Check, Concerns, Finding, Live, Run, Severity, numbered, unknown};

/// No standby follows the server.
pub(super) const CHECK: Check = Check {
    id: "standbys",
    title: "No standby follows the server",
    why: "A standby cannot follow the new cluster: it has to be made anew from a base backup",
    mend: "Make the standbys anew after the upgrade",
    severity: Severity::Warning,
    waivable: true,
    concerns: Concerns::Place,
    queries: &[],
    run: Run::Live(run),
};

fn run(live: &Live<'_>) -> Vec<Finding> {
    let Some(standbys) = &live.server.standbys else {
        return vec![unknown("connected standbys", live.server)];
    };
    if standbys.is_empty() {
        return Vec::new();
    }
    let shown = standbys.iter().map(|standby| {
        format!(
            "{} at {}",
            standby.application_name.as_deref().unwrap_or("?"),
            standby.address.as_deref().unwrap_or("the local socket")
        )
    });
    vec![
        Finding::warning(format!(
            "{} of write-ahead log connected; standbys must be made anew after the upgrade",
            numbered(standbys.len(), "receiver")
        ))
        .objects(shown)
        .fix("pg_basebackup from the new server, for each"),
    ]
}

#[cfg(test)]
mod tests {
    use super::super::testing::{fires, input, silent};

    use crate::facts::server::Standby;

    #[test]
    fn a_standby_is_named() {
        let mut input = input();
        silent("standbys", &input);
        input.server.as_mut().unwrap().standbys = Some(vec![Standby {
            pid: 7,
            application_name: Some("walreceiver".to_owned()),
            address: Some("10.0.0.7".to_owned()),
            state: Some("streaming".to_owned()),
            sync_state: Some("async".to_owned()),
        }]);
        assert_eq!(
            fires("standbys", &input)[0].objects,
            ["walreceiver at 10.0.0.7"]
        );
        input.server.as_mut().unwrap().standbys = None;
        fires("standbys", &input);
    }
}
