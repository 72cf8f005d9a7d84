//! Reads the target image and the volume from the events of the probe pod.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::server::camel_case;
use crate::facts::container::Libc;
use crate::facts::target::{
    OldPrograms, SchemaFacts, SchemaPart, TablespaceLink, TargetExtension, TargetFacts, VolumeFacts,
};
use crate::postgres::version::ServerVersion;

/// Why the events of the probe pod cannot be used.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum ProbeError {
    /// The image does not hold the server that was asked for.
    #[error("{detail}")]
    Refused {
        /// `new_programs`.
        reason: String,
        /// What was seen.
        detail: String,
        /// Version of the server that the image holds instead; empty when it holds none.
        found: String,
    },
    /// The pod ended, or its log did, before everything was said.
    #[error("the probe pod did not say everything: event {0:?} is missing")]
    Missing(&'static str),
    /// An event is not what it should be.
    #[error("unexpected event of the probe pod: {0}")]
    Event(String),
}

/// Turns the lines of the probe pod's log into facts. Lines that are no event are skipped.
pub fn parse<'a>(lines: impl IntoIterator<Item = &'a str>) -> Result<TargetFacts, ProbeError> {
    let mut events: BTreeMap<String, Value> = BTreeMap::new();
    let mut parts: Vec<SchemaPart> = Vec::new();
    for line in lines {
        let Ok(value @ Value::Object(_)) = serde_json::from_str::<Value>(line) else {
            continue;
        };
        match value.get("event").and_then(Value::as_str) {
            Some("schema") => parts.push(
                serde_json::from_value(camel_case(value))
                    .map_err(|error| ProbeError::Event(format!("schema: {error}")))?,
            ),
            Some(name) => {
                events.insert(name.to_owned(), value);
            }
            None => {}
        }
    }
    let text = |value: &Value, key: &str| {
        value
            .get(key)
            .and_then(Value::as_str)
            .unwrap_or_default()
            .to_owned()
    };
    if let Some(refused) = events.get("refused") {
        return Err(ProbeError::Refused {
            reason: text(refused, "reason"),
            detail: text(refused, "detail"),
            found: text(refused, "found"),
        });
    }
    if !events.contains_key("done") {
        return Err(ProbeError::Missing("done"));
    }
    let target = events.get("target").ok_or(ProbeError::Missing("target"))?;
    let bad = |event: &str| ProbeError::Event(event.to_owned());
    let version = target
        .get("version_num")
        .and_then(Value::as_u64)
        .and_then(|num| ServerVersion::from_num(u32::try_from(num).ok()?))
        .ok_or_else(|| bad("target without version_num"))?;
    let some = |key: &str| Some(text(target, key)).filter(|text| !text.is_empty());
    let names = |event: &str| -> Result<Option<BTreeSet<String>>, ProbeError> {
        let Some(value) = events.get(event).and_then(|value| value.get("names")) else {
            return Ok(None);
        };
        let names: BTreeSet<String> =
            serde_json::from_value(value.clone()).map_err(|_| bad(event))?;
        // A program that is missing in the image prints nothing: that is not knowing, not an empty list.
        Ok(Some(names).filter(|names| !names.is_empty()))
    };
    let extensions = match events
        .get("extensions")
        .and_then(|value| value.get("extensions"))
    {
        None => None,
        Some(Value::Object(members)) => Some(
            members
                .iter()
                .map(|(name, value)| {
                    serde_json::from_value::<TargetExtension>(camel_case(value.clone()))
                        .map(|extension| (name.clone(), extension))
                        .map_err(|_| bad("extensions"))
                })
                .collect::<Result<BTreeMap<_, _>, _>>()?,
        ),
        Some(_) => return Err(bad("extensions")),
    };
    Ok(TargetFacts {
        version,
        libc: Libc::parse(&format!(
            "{} {}",
            text(target, "libc"),
            text(target, "libc_version")
        )),
        family: target
            .get("family")
            .and_then(|family| serde_json::from_value(family.clone()).ok()),
        os: text(target, "os"),
        machine: some("arch"),
        bindir: some("bindir"),
        uid_exists: target.get("uid_exists").and_then(Value::as_bool),
        icu: some("icu"),
        locales: names("locales")?,
        extensions,
        libraries: names("libraries")?,
        settings: names("settings")?,
        configuration: events
            .get("configuration")
            .map(|event| serde_json::from_value(event["said"].clone()))
            .transpose()
            .map_err(|_| bad("configuration"))?,
        old_programs: old_programs(&events)?,
        schema: events.get("schema_end").map(|event| SchemaFacts {
            parts,
            complete: event["complete"].as_bool().unwrap_or(false),
            refused: text(event, "detail"),
            not_read: None,
        }),
        volume: events.get("volume").map(volume).transpose()?,
    })
}

fn old_programs(events: &BTreeMap<String, Value>) -> Result<Option<OldPrograms>, ProbeError> {
    let Some(event) = events.get("old_programs") else {
        return Ok(None);
    };
    serde_json::from_value(event.clone())
        .map(Some)
        .map_err(|error| ProbeError::Event(format!("old_programs: {error}")))
}

fn volume(event: &Value) -> Result<VolumeFacts, ProbeError> {
    let bad = |error: serde_json::Error| ProbeError::Event(format!("volume: {error}"));
    let Value::Object(mut members) = event.clone() else {
        return Err(ProbeError::Event("volume".to_owned()));
    };
    // The keys inside are pg_controldata's words, so only the outer names are ours.
    let control = members.remove("control").unwrap_or(Value::Null);
    let tablespaces = members
        .remove("tablespaces")
        .unwrap_or(Value::Array(Vec::new()));
    let mut volume: VolumeFacts =
        serde_json::from_value(camel_case(Value::Object(members))).map_err(bad)?;
    volume.control = serde_json::from_value(control).map_err(bad)?;
    volume.tablespaces = serde_json::from_value::<Vec<TablespaceLink>>(tablespaces).map_err(bad)?;
    Ok(volume)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::facts::instance::Family;

    const EVENTS: &str = r#"
{"at":1,"event":"target","version":"17.11","major":"17","version_num":170011,"libc":"glibc","libc_version":"2.41","glibc":"2.41","uid":999,"gid":999,"uid_exists":true,"family":"docker-library","bindir":"/usr/lib/postgresql/17/bin","arch":"x86_64","icu":"76","os":"Debian GNU/Linux 13 (trixie)"}
some noise
{"at":2,"event":"locales","names":["C","C.utf8","POSIX","en_US.utf8"]}
{"at":3,"event":"extensions","extensions":{"hstore":{"default_version":"1.8","versions":["1.4"],"updates":["1.4--1.5"]}}}
{"at":4,"event":"libraries","names":["hstore"]}
{"at":5,"event":"settings","names":[]}
{"at":6,"event":"volume","data":"/vol/pgdata","exists":true,"owner":true,"uid":999,"gid":999,"mode":"700","writable_parent":false,"writable_data":true,"reflink":null,"exchange":null,"fstype":"ext4","free_bytes":5,"total_bytes":9,"free_inodes":3,"total_inodes":4,"data_bytes":2,"data_files":1,"pg_version":"13","old_version":"","postmaster_pid":true,"state":6,"wal_link":null,"wal_here":true,"tablespaces":[{"oid":"16400","path":"/x","mounted":false}],"entries":["PG_VERSION"],"control":{"Database cluster state":"in production"}}
{"at":7,"event":"configuration","said":["invalid value for parameter \"wal_level\": \"x\"","HINT: Available values: minimal"]}
{"at":8,"event":"old_programs","version":"postgres (PostgreSQL) 13.16","failed":""}
{"at":9,"event":"schema","database":"","errors":[],"error_count":0,"untried":[],"untried_count":0,"ms":200}
{"at":9,"event":"schema","database":"app","errors":[{"object":"VIEW \"public.v\"","message":"column x does not exist"}],"error_count":1,"untried":[],"untried_count":0,"ms":410}
{"at":9,"event":"schema","database":"big","unproved":"time is up"}
{"at":9,"event":"schema_end","complete":true,"detail":"","ms":1350}
{"at":10,"event":"done"}
"#;

    #[test]
    fn the_events_become_facts() {
        let facts = parse(EVENTS.lines()).unwrap();
        assert_eq!(facts.version, ServerVersion::new(17, 11));
        assert_eq!(facts.libc.to_string(), "glibc 2.41");
        assert_eq!(facts.family, Some(Family::DockerLibrary));
        assert_eq!(facts.settings, None, "an empty list is not knowing");
        assert_eq!(facts.extensions.unwrap()["hstore"].updates, ["1.4--1.5"]);
        let volume = facts.volume.unwrap();
        assert_eq!(
            (volume.writable_parent, volume.reflink),
            (Some(false), None)
        );
        assert_eq!(
            volume.control.unwrap()["Database cluster state"],
            "in production"
        );
        assert_eq!(volume.tablespaces[0].oid, "16400");
        assert_eq!(facts.configuration.unwrap().len(), 2);
        assert_eq!(facts.old_programs.unwrap().failed, "");
        let schema = facts.schema.unwrap();
        assert!(schema.complete);
        let [roles, app, big] = schema.parts.as_slice() else {
            panic!("{:?}", schema.parts)
        };
        assert_eq!((roles.error_count, app.error_count), (0, 1));
        assert_eq!(app.errors[0].message, "column x does not exist");
        assert_eq!(big.unproved.as_deref(), Some("time is up"));
    }

    #[test]
    fn a_log_that_ends_early_is_not_an_answer() {
        let cut = EVENTS.lines().filter(|line| !line.contains("done"));
        assert_eq!(parse(cut), Err(ProbeError::Missing("done")));
        assert_eq!(parse([]), Err(ProbeError::Missing("done")));
    }

    #[test]
    fn an_image_with_another_server_is_named() {
        let line = r#"{"at":1,"event":"refused","reason":"new_programs","found":"13.16","detail":"no pg_upgrade of PostgreSQL 17 in this image; it holds 13.16"}"#;
        let error = parse([line]).unwrap_err();
        assert!(matches!(error, ProbeError::Refused { ref found, .. } if found == "13.16"));
    }
}
