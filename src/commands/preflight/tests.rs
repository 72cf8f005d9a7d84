//! The JSON of a report and its published schema describe each other; the list of checks needs no API server.

use std::collections::{BTreeMap, BTreeSet};

use clap::Parser as _;
use k8s_openapi::api::core::v1::{Container, PodSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, ObjectMeta};

use super::*;
use crate::checks::testing;
use crate::checks::{CheckInput, run_all};
use crate::discover::namespace::Workload;
use crate::discover::target::Found;
use crate::facts::clients::{Client, Clients, Stranger};
use crate::facts::instance::{Down, Owner, OwnerKind};
use crate::plan::upgrade::Request;
use crate::postgres::version::MajorVersion;

/// What a survey of these facts would have come to.
fn survey(mut input: CheckInput, clients: Clients) -> Survey {
    let request = Request {
        place: None,
        run: "pg-1".to_owned(),
        image: input.request.image.clone(),
        transfer: "auto".to_owned(),
        wish: crate::postgres::initdb::Wish::default(),
        jobs: None,
        snapshot: "auto".to_owned(),
        dump_claim: None,
        verify: "auto".to_owned(),
    };
    input.instance.owners = vec![Owner {
        kind: OwnerKind::Helm,
        name: "shop".to_owned(),
        object: String::new(),
    }];
    let upgrade = match (&input.server, &input.target) {
        (Some(server), Some(target)) => {
            plan::upgrade::decide(&request, &input.instance, server, target, true)
        }
        _ => Err("no server runs".to_owned()),
    };
    let findings = run_all(&input, &["partition".to_owned()]);
    Survey {
        crossing: None,
        found: Found {
            workload: Workload {
                id: input.instance.workload.clone(),
                metadata: ObjectMeta::default(),
                replicas: 1,
                selector: LabelSelector::default(),
                labels: BTreeMap::default(),
                annotations: BTreeMap::default(),
                pod: PodSpec::default(),
                strategy: String::new(),
                surges: false,
                partition: 0,
                claim_deleted_when_scaled: false,
                claim_deleted_when_deleted: false,
                claim_templates: Vec::new(),
            },
            facts: input.instance,
            container: Container::default(),
        },
        clients,
        server: input.server,
        target: input.target,
        request,
        findings,
        upgrade,
    }
}

fn json_of(survey: &Survey) -> Value {
    PreflightReport {
        survey,
        requests: 20,
        read_only: false,
    }
    .json()
}

/// A report with a plan, one without a server, and one in which everything was found.
fn reports() -> [Value; 3] {
    let ready = survey(testing::input(), Clients::default());
    let mut down = testing::input();
    (down.server, down.target, down.instance.pod) = (None, None, None);
    down.instance.claim = None;
    down.instance.down = Some(Down {
        scaled_to_zero: false,
        said: "FATAL".to_owned(),
        data_major: Some(MajorVersion::new(13)),
        earlier_images: vec!["postgres:13".to_owned()],
    });
    let down = survey(down, Clients::default());
    let clients = Clients {
        workloads: vec![Client {
            id: ready.found.facts.workload.clone(),
            replicas: 2,
            reason: "it names the Service".to_owned(),
            autoscaler: Some("app".to_owned()),
        }],
        strangers: vec![Stranger {
            address: "10.0.0.9".to_owned(),
            who: "no pod of this namespace".to_owned(),
        }],
    };
    let troubled = survey(testing::troubled(), clients);
    [json_of(&ready), json_of(&down), json_of(&troubled)]
}

fn schema() -> Value {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/preflight.schema.json");
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

/// Compares values with the part of JSON Schema that the published one uses.
struct Comparison<'a> {
    root: &'a Value,
    /// Properties of the schema that a value had, as `path.name`.
    seen: BTreeSet<String>,
    wrong: Vec<String>,
}

impl Comparison<'_> {
    fn compare(&mut self, value: &Value, schema: &Value, at: &str) {
        let schema = match schema["$ref"].as_str() {
            Some(reference) => {
                let found = self.root.pointer(reference.trim_start_matches('#'));
                found.unwrap_or_else(|| panic!("{reference} is nowhere"))
            }
            None => schema,
        };
        if !schema["const"].is_null() && schema["const"] != *value
            || schema["enum"]
                .as_array()
                .is_some_and(|all| !all.contains(value))
            || !is_of_type(value, &schema["type"])
        {
            self.wrong.push(format!("{at} is {value}"));
        }
        if let Value::Object(fields) = value {
            for name in schema["required"].as_array().into_iter().flatten() {
                if !fields.contains_key(name.as_str().unwrap()) {
                    self.wrong.push(format!("{at} has no {name}"));
                }
            }
            for (name, field) in fields {
                let known = &schema["properties"][name];
                if !known.is_null() {
                    self.seen.insert(format!("{at}.{name}"));
                    self.compare(field, known, &format!("{at}.{name}"));
                } else if schema["additionalProperties"] != true {
                    self.wrong.push(format!("{at}.{name} is not in the schema"));
                }
            }
        }
        for item in value.as_array().into_iter().flatten() {
            self.compare(item, &schema["items"], &format!("{at}[]"));
        }
    }

    /// Every property that the schema promises below a place.
    fn promised(&self, schema: &Value, at: &str, all: &mut BTreeSet<String>) {
        if let Some(reference) = schema["$ref"].as_str() {
            let found = self.root.pointer(reference.trim_start_matches('#'));
            return self.promised(found.unwrap(), at, all);
        }
        for (name, property) in schema["properties"].as_object().into_iter().flatten() {
            all.insert(format!("{at}.{name}"));
            self.promised(property, &format!("{at}.{name}"), all);
        }
        if schema["items"].is_object() {
            self.promised(&schema["items"], &format!("{at}[]"), all);
        }
    }
}

/// A type of JSON Schema, or several; without one anything is right.
fn is_of_type(value: &Value, types: &Value) -> bool {
    let is = |name: &str| match name {
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string(),
        "integer" => value.is_i64() || value.is_u64(),
        "boolean" => value.is_boolean(),
        "null" => value.is_null(),
        other => panic!("type {other} is unknown to the test"),
    };
    match types {
        Value::Null => true,
        Value::Array(names) => names.iter().filter_map(Value::as_str).any(is),
        name => is(name.as_str().unwrap()),
    }
}

#[test]
fn reports_and_their_schema_describe_each_other() {
    let root = schema();
    let mut comparison = Comparison {
        root: &root,
        seen: BTreeSet::new(),
        wrong: Vec::new(),
    };
    let reports = reports();
    for report in &reports {
        comparison.compare(report, &root, "");
    }
    assert_eq!(comparison.wrong, [""; 0]);
    let mut promised = BTreeSet::new();
    comparison.promised(&root, "", &mut promised);
    let never: Vec<&String> = promised.difference(&comparison.seen).collect();
    assert_eq!(never, [""; 0], "promised and in no report");
    assert!(reports[0]["plan"].is_object() && reports[1]["plan"].is_null());
}

#[test]
fn a_report_that_is_not_as_promised_is_noticed() {
    let root = schema();
    for (path, value) in [
        ("/ready", json!("yes")),
        ("/apiVersion", json!("pg-upgrade.dev/v2")),
        ("/findings", json!([{"check": "x"}])),
        ("/instance/family", json!("other")),
        ("/plan", json!({"more": 1})),
    ] {
        let mut report = reports()[0].clone();
        *report.pointer_mut(path).unwrap() = value;
        let mut comparison = Comparison {
            root: &root,
            seen: BTreeSet::new(),
            wrong: Vec::new(),
        };
        comparison.compare(&report, &root, "");
        assert!(!comparison.wrong.is_empty(), "{path}");
    }
}

#[test]
fn the_schema_is_the_one_of_the_version_that_is_printed() {
    let root = schema();
    assert_eq!(root["properties"]["apiVersion"]["const"], API_VERSION);
    let version = API_VERSION.replace('/', ":");
    assert_eq!(root["$id"], format!("urn:{version}:PreflightReport"));
}

#[tokio::test]
async fn checks_are_listed_without_any_connection() {
    let printed = async |more: &[&str]| {
        let line = [
            "x",
            "preflight",
            "--list-checks",
            "--kubeconfig",
            "/nonexistent",
        ];
        let cli = crate::cli::Cli::try_parse_from(line.iter().chain(more)).unwrap();
        let mut out = Vec::new();
        assert_eq!(crate::cli::run(cli, &mut out).await, Exit::Done);
        String::from_utf8(out).unwrap()
    };
    let table = printed(&[]).await;
    assert_eq!(table.lines().count(), checks::ALL.len() + 1);
    let json: Value = serde_json::from_str(&printed(&["-o", "json"]).await).unwrap();
    assert_eq!(json["kind"], "CheckList");
    let ids = json["items"].as_array().unwrap().iter().map(|c| &c["id"]);
    assert!(ids.eq(checks::ALL.iter().map(|check| check.id)));
    let names = printed(&["-o", "name"]).await;
    assert!(names.contains("check.pg-upgrade.dev/dry-run\n"), "{names}");
}
