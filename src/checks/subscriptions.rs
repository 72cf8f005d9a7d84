//! No subscription loses its place.

use super::{
    Check, Concerns, Finding, Live, Run, Severity, in_database, name, numbered, statements, unknown,
};
use crate::facts::server::Subscription;
use crate::postgres::version::MajorVersion;

/// No subscription loses its place.
pub(super) const CHECK: Check = Check {
    id: "subscriptions",
    title: "No subscription loses its place",
    why: "Up to 16 a subscription is carried over without its state: it is disabled and would copy or miss rows",
    mend: "ALTER SUBSCRIPTION … DISABLE before, and refresh it after the upgrade with copy_data = false",
    severity: Severity::Warning,
    waivable: true,
    concerns: Concerns::Contents,
    queries: &[],
    run: Run::Live(run),
};

fn run(live: &Live<'_>) -> Vec<Finding> {
    let Some(subscriptions) = &live.server.subscriptions else {
        return vec![unknown("subscriptions", live.server)];
    };
    if subscriptions.is_empty() {
        return Vec::new();
    }
    let database = |subscription: &Subscription| subscription.database.clone().unwrap_or_default();
    let objects = subscriptions
        .iter()
        .map(|s| format!("{} in {}", name(&s.name), name(&database(s))));
    let fixes: Vec<String> = subscriptions
        .iter()
        .map(|s| {
            in_database(
                &database(s),
                &format!("ALTER SUBSCRIPTION {} DISABLE", name(&s.name)),
            )
        })
        .collect();
    let message = if live.server.version.major < MajorVersion::new(17) {
        "without their state: they come back disabled and have to be refreshed"
    } else {
        "with their state, if every table is in state ready"
    };
    vec![
        Finding::warning(format!(
            "{} carried over {message}",
            numbered(subscriptions.len(), "subscription")
        ))
        .objects(objects)
        .fix(statements(&fixes)),
    ]
}

#[cfg(test)]
mod tests {
    use super::super::testing::{fires, input, silent};
    use super::*;

    #[test]
    fn a_subscription_is_named() {
        let mut input = input();
        silent("subscriptions", &input);
        input.server.as_mut().unwrap().subscriptions = Some(vec![Subscription {
            name: "s".to_owned(),
            database: Some("app".to_owned()),
            enabled: true,
        }]);
        assert_eq!(
            fires("subscriptions", &input)[0].fix,
            "in app: ALTER SUBSCRIPTION s DISABLE"
        );
        input.server.as_mut().unwrap().subscriptions = None;
        fires("subscriptions", &input);
    }
}
