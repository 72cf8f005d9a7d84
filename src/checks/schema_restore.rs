//! The new server can make every object of the running one.

use super::{Check, Concerns, Finding, Run, Severity, Target, name, numbered};
use crate::facts::target::{SchemaError, SchemaPart};

/// The new server can make every object of the running one.
pub(super) const CHECK: Check = Check {
    id: "schema-restore",
    title: "The new server makes every object of the running one",
    why: "pg_upgrade makes all objects anew from their definitions and ends at the first one that the new version does not take, such as a view of a column that a system catalog no longer has",
    mend: "Change or drop the object before the upgrade, and make it anew afterwards",
    severity: Severity::Blocker,
    waivable: true,
    concerns: Concerns::Contents,
    queries: &[],
    run: Run::Target(run),
};

/// Words of a `pg_dump` that fails for the moment, or by the bounds that it is given.
const PASSING: &[&str] = &[
    "canceling",
    "connection",
    "memory",
    "mapping",
    "shutting down",
    "starting up",
    "terminating",
    "timeout",
    "too many",
];

/// Whether `pg_upgrade`'s own dump of it would fail, too.
fn is_unreadable(why: &str) -> bool {
    why.starts_with("pg_dump: pg_dump")
        && why.contains(" error: ")
        && !PASSING.iter().any(|word| why.contains(word))
}

/// The one reason that another check gives for each library.
const NO_LIBRARY: &str = "could not access file \"";

fn run(target: &Target<'_>) -> Vec<Finding> {
    let Some(schema) = &target.target.schema else {
        return Vec::new();
    };
    let major = target.target.version.major;
    let mut findings = Vec::new();
    if !schema.refused.is_empty() {
        findings.push(Finding::blocker(format!(
            "PostgreSQL {major} does not start on an empty cluster like this one: {}",
            schema.refused.trim().trim_end_matches('.')
        )));
    }
    let missing = |part: &SchemaPart| {
        let library = |error: &&SchemaError| error.message.starts_with(NO_LIBRARY);
        part.errors.iter().filter(library).count() as u64
    };
    let errors: u64 = schema
        .parts
        .iter()
        .map(|part| part.error_count - missing(part).min(part.error_count))
        .sum();
    if errors > 0 {
        let objects = schema
            .parts
            .iter()
            .flat_map(|part| shown(part, &part.errors));
        findings.push(
            Finding::blocker(format!(
                "PostgreSQL {major} cannot make {}",
                counted(errors)
            ))
            .objects(objects)
            .fix("change or drop the first of them, and look again: others may only depend on it"),
        );
    }
    let untried: u64 = schema.parts.iter().map(|part| part.untried_count).sum();
    if untried > 0 {
        let objects = schema
            .parts
            .iter()
            .flat_map(|part| shown(part, &part.untried));
        findings.push(
            Finding::info(format!(
                "{} could not be tried: a scratch server of the old version does not make them either",
                counted(untried)
            ))
            .objects(objects),
        );
    }
    let (mut unreadable, mut open) = (Vec::new(), Vec::new());
    for part in &schema.parts {
        if let Some(why) = &part.unproved {
            let kind = if is_unreadable(why) {
                &mut unreadable
            } else {
                &mut open
            };
            kind.push(format!("{}: {why}", whole(part)));
        }
    }
    if !unreadable.is_empty() {
        findings.push(
            Finding::blocker(format!("pg_dump cannot read {}", numbered(unreadable.len(), "database")))
                .objects(unreadable)
                .fix("pg_dump --schema-only in the server's container says the same; mend the catalog, or restore the database from a backup that was made by pg_dump"),
        );
    }
    open.extend(schema.not_read.clone());
    if open.is_empty() && findings.is_empty() && !schema.complete {
        open.push("the probe pod did not come to its end".to_owned());
    }
    if !open.is_empty() {
        findings.push(
            Finding::info("it is not proved that the new server can make every object")
                .objects(open)
                .fix("kubectl pg-upgrade rehearse proves it on a copy of the data"),
        );
    }
    findings
}

fn counted(objects: u64) -> String {
    numbered(usize::try_from(objects).unwrap_or(usize::MAX), "object")
}

fn whole(part: &SchemaPart) -> String {
    if part.database.is_empty() {
        "roles".to_owned()
    } else {
        name(&part.database)
    }
}

fn shown<'a>(
    part: &'a SchemaPart,
    errors: &'a [SchemaError],
) -> impl Iterator<Item = String> + use<'a> {
    errors
        .iter()
        .filter(|error| !error.message.starts_with(NO_LIBRARY))
        .map(move |error| format!("{}: {}: {}", whole(part), error.object, error.message))
}

#[cfg(test)]
mod tests {
    use super::super::Severity;
    use super::super::testing::{fires, input, silent};
    use crate::facts::target::{SchemaError, SchemaFacts, SchemaPart};

    fn error(object: &str, message: &str) -> SchemaError {
        SchemaError {
            object: object.to_owned(),
            message: message.to_owned(),
        }
    }

    fn part(database: &str, errors: Vec<SchemaError>) -> SchemaPart {
        SchemaPart {
            database: database.to_owned(),
            error_count: errors.len() as u64,
            errors,
            ..SchemaPart::default()
        }
    }

    #[test]
    fn an_object_that_cannot_be_made_is_a_blocker_with_the_servers_words() {
        let mut input = input();
        silent("schema-restore", &input);
        let mut schema = SchemaFacts {
            complete: true,
            parts: vec![part("", Vec::new())],
            ..SchemaFacts::default()
        };
        input.target.as_mut().unwrap().schema = Some(schema.clone());
        silent("schema-restore", &input);
        schema.parts.push(part(
            "My App",
            vec![
                error("VIEW \"public.gone\"", "column x does not exist"),
                error(
                    "FUNCTION \"public.f()\"",
                    "could not access file \"x\": No such file or directory",
                ),
            ],
        ));
        schema.parts[1].error_count = 30;
        input.target.as_mut().unwrap().schema = Some(schema.clone());
        let finding = fires("schema-restore", &input).remove(0);
        assert_eq!(finding.severity, Severity::Blocker);
        assert_eq!(finding.message, "PostgreSQL 17 cannot make 29 objects");
        assert_eq!(
            finding.objects,
            ["\"My App\": VIEW \"public.gone\": column x does not exist"]
        );
        // A missing library alone is said by the check of libraries.
        schema.parts[1].errors.remove(0);
        schema.parts[1].error_count = 1;
        input.target.as_mut().unwrap().schema = Some(schema.clone());
        silent("schema-restore", &input);
        schema.refused = "initdb: error: invalid locale name\n".to_owned();
        input.target.as_mut().unwrap().schema = Some(schema);
        assert_eq!(
            fires("schema-restore", &input)[0].severity,
            Severity::Blocker
        );
    }

    #[test]
    fn what_is_not_proved_is_said_and_no_blocker() {
        let mut input = input();
        let mut say = |schema: SchemaFacts| {
            input.target.as_mut().unwrap().schema = Some(schema);
            let findings = fires("schema-restore", &input);
            assert!(findings.iter().all(|f| f.severity == Severity::Info));
            findings
                .iter()
                .flat_map(|f| f.objects.clone())
                .collect::<Vec<_>>()
        };
        assert_eq!(
            say(SchemaFacts {
                parts: vec![SchemaPart::unproved("big", "time is up".to_owned())],
                not_read: Some("no pg_dump".to_owned()),
                ..SchemaFacts::default()
            }),
            ["big: time is up", "no pg_dump"]
        );
        let mut carried = part("app", Vec::new());
        carried.untried = vec![error("TABLE \"t\"", "no")];
        carried.untried_count = 1;
        assert_eq!(
            say(SchemaFacts {
                parts: vec![carried],
                complete: true,
                ..SchemaFacts::default()
            }),
            ["app: TABLE \"t\": no"]
        );
        let locked = "pg_dump: pg_dump: error: query failed: ERROR:  canceling statement due to lock timeout";
        assert_eq!(
            say(SchemaFacts {
                parts: vec![SchemaPart::unproved("busy", locked.to_owned())],
                complete: true,
                ..SchemaFacts::default()
            }),
            [format!("busy: {locked}")]
        );
        assert_eq!(say(SchemaFacts::default()).len(), 1);
    }

    #[test]
    fn a_catalog_that_pg_dump_cannot_read_is_a_blocker() {
        let mut input = input();
        let broken = "pg_dump: pg_dump: error: schema with OID 16384 does not exist";
        input.target.as_mut().unwrap().schema = Some(SchemaFacts {
            parts: vec![SchemaPart::unproved("app", broken.to_owned())],
            complete: true,
            ..SchemaFacts::default()
        });
        let finding = fires("schema-restore", &input).remove(0);
        assert_eq!(finding.severity, Severity::Blocker);
        assert_eq!(finding.objects, [format!("app: {broken}")]);
    }
}
