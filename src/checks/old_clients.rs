//! Backups go on after the upgrade.

use super::{Check, CheckInput, Concerns, Finding, Run, Severity};
use crate::postgres::image;

/// Backups go on after the upgrade.
pub(super) const CHECK: Check = Check {
    id: "old-clients",
    title: "No client dumps with programs of an older version",
    why: "pg_dump refuses a server that is newer than itself, so backups fail from the upgrade on; a newer pg_dump reads older servers, too",
    mend: "Give the clients an image of the new version before the upgrade",
    severity: Severity::Warning,
    waivable: true,
    concerns: Concerns::Contents,
    queries: &[],
    run: Run::Kubernetes(run),
};

fn run(input: &CheckInput) -> Vec<Finding> {
    let Some(to) = input.to() else {
        return Vec::new();
    };
    let namespace = &input.instance.workload.namespace;
    input
        .surroundings
        .dumpers
        .iter()
        .filter(|client| image::major(&client.image).is_some_and(|major| major < to))
        .map(|client| {
            let new = image::for_major(&client.image, to)
                .unwrap_or_else(|_| format!("an image with pg_dump {to}"));
            let kind = client.kind.to_lowercase();
            Finding::warning(format!(
                "{} {namespace}/{} has image {}, whose pg_dump refuses a server of version {to}",
                client.kind, client.name, client.image
            ))
            .objects([format!("{kind}/{}", client.name)])
            .fix(format!(
                "kubectl -n {namespace} set image {kind}/{} {}={new}",
                client.name, client.container
            ))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::super::Severity;
    use super::super::testing::{fires, input, silent};
    use crate::facts::surroundings::Dumper;

    #[test]
    fn an_older_pg_dump_is_named_with_its_new_image() {
        let mut input = input();
        let mut client = Dumper {
            kind: "CronJob".to_owned(),
            name: "dump".to_owned(),
            container: "dump".to_owned(),
            image: "postgres:17".to_owned(),
        };
        input.surroundings.dumpers = vec![client.clone()];
        silent("old-clients", &input);
        client.image = "postgres:13".to_owned();
        input.surroundings.dumpers = vec![client];
        let finding = fires("old-clients", &input).remove(0);
        assert_eq!(finding.severity, Severity::Warning);
        assert_eq!(
            finding.fix,
            "kubectl -n shop set image cronjob/dump dump=postgres:17"
        );
    }
}
