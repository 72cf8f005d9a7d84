//! Two servers side by side: the steps of the way over, which Services move, and the way back.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{Container, Service, ServicePort};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use serde::{Deserialize, Serialize};

use super::back::clients_back;
use crate::facts::instance::ObjectId;
use crate::record::{Phase, Record, Side, StepState};
use crate::steps::Step;

/// Seconds that clients may take to be gone once more before the Services move.
const LAST_LOOK_SECONDS: u64 = 10;

/// Where a Service leads.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Route {
    /// `spec.selector`.
    pub selector: BTreeMap<String, String>,
    /// `targetPort` of each of `spec.ports`, by the port's number; a name or a number.
    pub ports: BTreeMap<String, String>,
}

/// A Service that changes its way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Move {
    /// The Service.
    pub service: ObjectId,
    /// Where it leads.
    pub from: Route,
    /// Where it shall lead.
    pub to: Route,
}

/// The labels and the container of a server's pods.
#[derive(Clone, Copy, Debug)]
pub struct Pods<'a> {
    /// Labels of the pod template.
    pub labels: &'a BTreeMap<String, String>,
    /// The server's container.
    pub container: &'a Container,
    /// Its port.
    pub port: u16,
}

/// What becomes of the Services that lead to the old server; `selector` is that of the new server's workload.
///
/// # Errors
/// A sentence that says why they cannot be moved.
pub fn moves(
    services: &[Service],
    old: Pods,
    new: Pods,
    selector: &BTreeMap<String, String>,
) -> Result<Vec<Move>, String> {
    let holds = |labels: &BTreeMap<String, String>, selector: &BTreeMap<String, String>| {
        !selector.is_empty() && selector.iter().all(|(k, v)| labels.get(k) == Some(v))
    };
    if selector.is_empty() || holds(old.labels, selector) {
        return Err("the labels by which the new workload selects its pods are no others than the old server's pods have".to_owned());
    }
    let mut moves = Vec::new();
    for service in services {
        let Some(spec) = &service.spec else { continue };
        let from = spec.selector.clone().unwrap_or_default();
        if !holds(old.labels, &from) {
            continue;
        }
        let name = service.metadata.name.clone().unwrap_or_default();
        if holds(new.labels, &from) {
            return Err(format!(
                "Service {name} leads to both servers already; give their pods different labels first"
            ));
        }
        let ports = || spec.ports.iter().flatten();
        let before = ports()
            .map(|p| (p.port.to_string(), target_port(p)))
            .collect();
        let after = ports()
            .map(|p| (p.port.to_string(), moved_port(&target_port(p), old, new)))
            .collect();
        moves.push(Move {
            service: ObjectId {
                api_version: "v1".to_owned(),
                kind: "Service".to_owned(),
                namespace: service.metadata.namespace.clone().unwrap_or_default(),
                name,
                uid: service.metadata.uid.clone().unwrap_or_default(),
            },
            from: Route {
                selector: from,
                ports: before,
            },
            to: Route {
                selector: selector.clone(),
                ports: after,
            },
        });
    }
    if moves.is_empty() {
        return Err("no Service leads to the old server".to_owned());
    }
    Ok(moves)
}

/// `targetPort`, which is the port itself where nothing is said.
pub fn target_port(port: &ServicePort) -> String {
    match &port.target_port {
        None => port.port.to_string(),
        Some(IntOrString::Int(number)) => number.to_string(),
        Some(IntOrString::String(name)) => name.clone(),
    }
}

/// A `targetPort` that is the old server's becomes the new server's, unless it means that already.
fn moved_port(port: &str, old: Pods, new: Pods) -> String {
    let means = |pods: Pods| {
        let mut ports = pods.container.ports.iter().flatten();
        let named = ports
            .any(|p| p.name.as_deref() == Some(port) && p.container_port == i32::from(pods.port));
        named || port.parse() == Ok(pods.port)
    };
    if means(old) && !means(new) {
        new.port.to_string()
    } else {
        port.to_owned()
    }
}

/// The step that makes room for a dump that outlives the pod.
pub fn room(side: &Side) -> Option<Step> {
    side.dump.clone().map(|place| Step::DumpClaim {
        place,
        uid: side.uid,
        gid: side.uid,
    })
}

/// The steps, `room` before anybody is stopped; without `moves` the Services stay as they are.
pub fn steps(
    pod: &str,
    room: Option<Step>,
    quiesce: Vec<Step>,
    moves: Vec<Move>,
    statistics: bool,
) -> Vec<(Phase, Step)> {
    let resume: Vec<Step> = quiesce.iter().rev().filter_map(Step::undo).collect();
    // Whoever has come in between has written to the old server, or would.
    let last_look = quiesce.iter().find_map(|step| match step {
        Step::AwaitNoSessions { except, .. } if !moves.is_empty() => Some(Step::AwaitNoSessions {
            seconds: LAST_LOOK_SECONDS,
            except: except.clone(),
        }),
        _ => None,
    });
    let pod = || pod.to_owned();
    let mut steps: Vec<(Phase, Step)> = room.into_iter().map(|s| (Phase::Prepare, s)).collect();
    steps.extend(quiesce.into_iter().map(|s| (Phase::Quiesce, s)));
    steps.push((Phase::Upgrade, Step::Transfer { pod: pod() }));
    steps.push((Phase::Upgrade, Step::Compare { pod: pod() }));
    steps.extend(last_look.map(|s| (Phase::Upgrade, s)));
    steps.extend(moves.into_iter().map(|m| (Phase::Upgrade, m.step())));
    steps.extend(resume.into_iter().map(|s| (Phase::Resume, s)));
    if statistics {
        steps.push((Phase::Vacuum, Step::AwaitStatistics { pod: pod() }));
    }
    steps.push((Phase::Vacuum, Step::Release { name: pod() }));
    steps
}

impl Move {
    /// The step that does it.
    pub fn step(self) -> Step {
        Step::MoveService {
            service: self.service,
            from: self.from,
            to: self.to,
        }
    }
}

/// Services that lead to the new server by this run's doing, the last first.
pub fn services_back(record: &Record) -> Vec<Step> {
    let mut moved: Vec<&Step> = Vec::new();
    for entry in record.in_force() {
        if !matches!(entry.step, Step::MoveService { .. }) {
            continue;
        }
        if entry.phase != Phase::Back {
            moved.push(&entry.step);
        } else if entry.state == StepState::Done {
            moved.retain(|step| step.undo().as_ref() != Some(&entry.step));
        }
    }
    moved.into_iter().rev().filter_map(Step::undo).collect()
}

/// The way back: whoever came to the new server over the Services is stopped while they are turned round.
pub fn back(record: &Record) -> Vec<Step> {
    let services = services_back(record);
    if services.is_empty() {
        return clients_back(record);
    }
    let stopped: Vec<Step> = record
        .steps
        .iter()
        .filter(|e| e.phase == Phase::Quiesce && e.started_at.is_some())
        .filter(|e| matches!(e.step, Step::Scale { .. } | Step::Suspend { .. }))
        .map(|e| e.step.clone())
        .collect();
    let resumed: Vec<Step> = stopped.iter().rev().filter_map(Step::undo).collect();
    stopped.into_iter().chain(services).chain(resumed).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::plan::testing::quiesce;
    use crate::record::Asked;

    fn labels(name: &str) -> BTreeMap<String, String> {
        BTreeMap::from([
            ("app".to_owned(), name.to_owned()),
            ("tier".to_owned(), "db".to_owned()),
        ])
    }

    fn container(port: &str, number: i32) -> Container {
        serde_json::from_value(
            json!({"name": "postgres", "ports": [{"name": port, "containerPort": number}]}),
        )
        .unwrap()
    }

    fn service(name: &str, selector: &Value, target: &Value) -> Service {
        serde_json::from_value(json!({
            "metadata": {"name": name, "namespace": "shop", "uid": "u"},
            "spec": {"selector": selector, "ports": [{"port": 5432, "targetPort": target}, {"port": 9187, "targetPort": "metrics"}]},
        }))
        .unwrap()
    }

    fn moved(
        services: &[Service],
        selector: &BTreeMap<String, String>,
    ) -> Result<Vec<Move>, String> {
        let (old, new) = (labels("old"), labels("new"));
        let (of_old, of_new) = (
            container("postgresql", 5432),
            container("tcp-postgresql", 5433),
        );
        let pods = |labels, container, port| Pods {
            labels,
            container,
            port,
        };
        moves(
            services,
            pods(&old, &of_old, 5432),
            pods(&new, &of_new, 5433),
            selector,
        )
    }

    #[test]
    fn services_of_the_old_server_lead_to_the_new_one_and_to_its_port() {
        let selector = BTreeMap::from([("app".to_owned(), "new".to_owned())]);
        let services = [
            service("pg", &json!({"app": "old"}), &json!("postgresql")),
            service("other", &json!({"app": "web"}), &json!(5432)),
        ];
        let moves = moved(&services, &selector).unwrap();
        assert_eq!(moves.len(), 1);
        assert_eq!(moves[0].from.ports["5432"], "postgresql");
        assert_eq!(moves[0].to.ports["5432"], "5433");
        assert_eq!(moves[0].to.ports["9187"], "metrics");
        assert_eq!(moves[0].to.selector, selector);
        let step = moves[0].clone().step();
        assert_eq!(step.undo().unwrap().undo().unwrap(), step);
        let text = serde_json::to_string(&step).unwrap();
        assert_eq!(serde_json::from_str::<Step>(&text).unwrap(), step);
    }

    #[test]
    fn pods_that_labels_do_not_tell_apart_are_not_switched() {
        let both = [service("pg", &json!({"tier": "db"}), &json!(5432))];
        let new = BTreeMap::from([("app".to_owned(), "new".to_owned())]);
        assert!(moved(&both, &new).unwrap_err().contains("both servers"));
        let own = [service("pg", &json!({"app": "old"}), &json!(5432))];
        let same = BTreeMap::from([("tier".to_owned(), "db".to_owned())]);
        assert!(moved(&own, &same).is_err());
        assert!(moved(&[], &new).unwrap_err().contains("no Service"));
    }

    fn plan(switch: bool) -> Record {
        let selector = BTreeMap::from([("app".to_owned(), "new".to_owned())]);
        let services = [service("pg", &json!({"app": "old"}), &json!("postgresql"))];
        let moves = if switch {
            moved(&services, &selector).unwrap()
        } else {
            Vec::new()
        };
        let instance = crate::checks::testing::input().instance;
        let mut record = Record::new(
            "pg-1".into(),
            Asked::default(),
            "me@here".into(),
            jiff::Timestamp::UNIX_EPOCH,
            instance,
        );
        for (phase, step) in steps("pod", None, quiesce(), moves, true) {
            record.plan(phase, [step]);
        }
        record
    }

    fn words(steps: &[Step]) -> Vec<String> {
        steps.iter().map(ToString::to_string).collect()
    }

    fn done(record: &mut Record, until: fn(&Step) -> bool) {
        for entry in &mut record.steps {
            entry.state = StepState::Done;
            entry.started_at = Some(jiff::Timestamp::UNIX_EPOCH);
            if until(&entry.step) {
                entry.state = StepState::Failed;
                break;
            }
        }
    }

    #[test]
    fn clients_come_back_after_the_switch_and_statistics_follow() {
        let steps: Vec<Step> = plan(true).steps.into_iter().map(|e| e.step).collect();
        assert_eq!(
            words(&steps),
            [
                "scale Deployment shop/api from 3 to 0",
                "wait until no client session is left",
                "dump the old server and load the new one",
                "compare the new server with the old one",
                "wait until no client session is left",
                "let Service shop/pg lead to app=new",
                "scale Deployment shop/api from 0 to 3",
                "optimizer statistics of the new server",
                "remove the upgrade pod",
            ]
        );
    }

    #[test]
    fn a_load_that_differs_brings_the_clients_back_and_a_switch_is_turned_round() {
        let mut record = plan(false);
        done(&mut record, |s| matches!(s, Step::Compare { .. }));
        assert_eq!(
            words(&crate::plan::back::after_failure(&record)),
            [
                "scale Deployment shop/api from 0 to 3",
                "remove the upgrade pod"
            ]
        );
        let mut record = plan(true);
        done(&mut record, |_| false);
        assert_eq!(
            words(&back(&record)),
            [
                "scale Deployment shop/api from 3 to 0",
                "let Service shop/pg lead to app=old",
                "scale Deployment shop/api from 0 to 3",
            ]
        );
        done(&mut record, |s| matches!(s, Step::MoveService { .. }));
        assert_eq!(
            words(&crate::plan::back::after_failure(&record))[0],
            "let Service shop/pg lead to app=old"
        );
    }
}
