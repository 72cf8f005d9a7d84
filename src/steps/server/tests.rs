//! What is written to the server's workload.

use serde_json::{Map, Value};

use super::{Template, switched};
use crate::plan::crossing::tests::facts;
use crate::record::{StepState, TemplateChange};
use crate::steps::Step;
use crate::steps::clients::{replicas, suspended};

/// Names of the members of an object.
fn members(value: &Value) -> Vec<&str> {
    let members = value.as_object().map(Map::keys);
    members.into_iter().flatten().map(String::as_str).collect()
}

/// Of a StatefulSet the API server lets nobody change `selector`, `serviceName`, `podManagementPolicy` and
/// `volumeClaimTemplates`, so a plan that needed that would need the workload to be made anew.
#[test]
fn of_a_workload_only_the_replicas_and_the_spec_of_the_pod_template_are_changed() {
    let mut record = facts().record();
    let upgrade = record.upgrade.clone().unwrap();
    let source = crate::plan::restore::Source::Archive;
    let restored = crate::plan::restore::steps(&record, &upgrade, &record.instance, &source);
    for entry in &mut record.steps {
        entry.state = StepState::Done;
    }
    let planned = record.steps.iter().map(|entry| entry.step.clone());
    let back = crate::plan::back::after_failure(&record);
    let mut written: Vec<Value> = planned
        .chain(restored)
        .chain(back)
        .filter_map(|step| match step {
            Step::Switch {
                to,
                replicas,
                pgdata,
                template,
                ..
            } => {
                let change = Template {
                    pgdata: pgdata.as_deref(),
                    patch: template.as_ref(),
                };
                Some(switched("postgresql", &to, replicas, change))
            }
            _ => None,
        })
        .collect();
    assert_eq!(written.len(), 3);
    let place = TemplateChange::set_pgdata("postgresql", "/data/17", None).forward;
    let change = Template {
        pgdata: None,
        patch: Some(&place),
    };
    written.push(switched("postgresql", "postgres:17", 1, change));
    for patch in written {
        assert_eq!(members(&patch), ["spec"]);
        assert_eq!(members(&patch["spec"]), ["replicas", "template"]);
        assert_eq!(members(&patch["spec"]["template"]), ["spec"]);
    }
    assert_eq!(replicas(0), serde_json::json!({"spec": {"replicas": 0}}));
    assert_eq!(members(&suspended(true)["spec"]), ["suspend"]);
}
