//! A change of a workload's pod template, with what takes it back.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::Upgrade;

/// Two strategic merge patches of a pod template's spec, each the exact inverse of the other.
///
/// No value of an environment variable that was there before is in either, but that of `PGDATA`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TemplateChange {
    /// What is changed.
    pub forward: Value,
    /// What takes it back: added things are removed, replaced ones get their old value.
    pub back: Value,
}

impl TemplateChange {
    /// The variable `PGDATA` of a container that has this value, or none.
    pub fn set_pgdata(container: &str, directory: &str, before: Option<&str>) -> Self {
        let variable =
            |variable: Value| json!({"containers": [{"name": container, "env": [variable]}]});
        Self {
            forward: variable(json!({"name": "PGDATA", "value": directory})),
            back: variable(match before {
                Some(before) => json!({"name": "PGDATA", "value": before}),
                None => json!({"name": "PGDATA", "$patch": "delete"}),
            }),
        }
    }

    /// Tells whether a pod's spec is as it was before the change, or as it is after it.
    pub fn fits(&self, spec: &Value) -> bool {
        holds(spec, &self.back) || holds(spec, &self.forward)
    }
}

impl Upgrade {
    /// What changes in the pod template besides the image.
    pub fn change(&self, container: &str) -> Option<TemplateChange> {
        let before = self
            .place
            .as_ref()
            .and_then(|place| place.pgdata.as_deref());
        let pgdata = self.new_pgdata();
        let pgdata = pgdata.map(|new| TemplateChange::set_pgdata(container, new, before));
        self.template.clone().or(pgdata)
    }

    /// `PGDATA` as the template has it afterwards, where that changes.
    pub fn new_pgdata(&self) -> Option<&str> {
        let place = self.place.as_ref().map(|place| place.directory.as_str());
        place.or(self.set_pgdata.as_deref())
    }
}

/// The patch of a pod's spec that gives a container its image, with a change of the template.
pub fn with_image(change: Option<&Value>, container: &str, image: &str) -> Value {
    let mut spec = change
        .cloned()
        .unwrap_or_else(|| json!({"containers": [{"name": container}]}));
    spec["containers"][0]["image"] = json!(image);
    spec
}

/// The keys by which the API server merges the lists that a change has.
const KEYS: [&str; 2] = ["mountPath", "name"];

/// Tells whether a strategic merge patch would change nothing.
fn holds(live: &Value, patch: &Value) -> bool {
    match (live, patch) {
        (_, Value::Object(wanted)) => holds_members(live, wanted),
        (_, Value::Array(wanted)) if key(wanted).is_some() => wanted
            .iter()
            .all(|item| holds_item(live, item, key(wanted).unwrap_or_default())),
        _ => live == patch,
    }
}

fn holds_members(live: &Value, wanted: &Map<String, Value>) -> bool {
    wanted
        .iter()
        .filter(|(name, _)| !name.starts_with('$'))
        .all(|(name, value)| holds(&live[name.as_str()], value))
}

fn holds_item(live: &Value, item: &Value, key: &str) -> bool {
    let found = live
        .as_array()
        .into_iter()
        .flatten()
        .find(|candidate| candidate[key] == item[key]);
    match (found, item["$patch"].as_str()) {
        (found, Some("delete")) => found.is_none(),
        (Some(found), _) => holds(found, item),
        (None, _) => false,
    }
}

/// The key that all items of a list are merged by; none for a list that is replaced as a whole.
fn key(items: &[Value]) -> Option<&'static str> {
    KEYS.into_iter()
        .find(|key| !items.is_empty() && items.iter().all(|item| item[*key].is_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_template_fits_before_and_after_and_not_in_between() {
        let change = TemplateChange {
            forward: json!({"containers": [{
                "name": "db", "$setElementOrder/env": [{"name": "A"}, {"name": "PGDATA"}],
                "env": [{"name": "PGDATA", "value": "/data"}],
                "args": null,
                "livenessProbe": {"exec": {"command": ["pg_isready"]}},
                "volumeMounts": [{"name": "run", "mountPath": "/run"}],
            }], "volumes": [{"name": "run", "emptyDir": {}}]}),
            back: json!({"containers": [{
                "name": "db", "env": [{"name": "PGDATA", "$patch": "delete"}],
                "args": ["run.sh"],
                "livenessProbe": {"exec": {"command": ["old", "probe"]}},
                "volumeMounts": [{"mountPath": "/run", "$patch": "delete"}],
            }], "volumes": [{"name": "run", "$patch": "delete"}]}),
        };
        let before = json!({"containers": [{"name": "side"}, {
            "name": "db", "env": [{"name": "A", "value": "1"}], "args": ["run.sh"],
            "livenessProbe": {"exec": {"command": ["old", "probe"]}, "periodSeconds": 3},
        }]});
        assert!(change.fits(&before));
        let mut after = before.clone();
        after["containers"][1] = json!({
            "name": "db",
            "env": [{"name": "A", "value": "1"}, {"name": "PGDATA", "value": "/data"}],
            "livenessProbe": {"exec": {"command": ["pg_isready"]}, "periodSeconds": 3},
            "volumeMounts": [{"name": "run", "mountPath": "/run"}],
        });
        after["volumes"] = json!([{"name": "run", "emptyDir": {}}]);
        assert!(change.fits(&after));
        let mut mixed = before.clone();
        mixed["containers"][1]["env"] = json!([{"name": "PGDATA", "value": "/elsewhere"}]);
        assert!(!change.fits(&mixed));
        mixed = before;
        mixed["containers"][1]["livenessProbe"]["exec"]["command"] = json!(["another"]);
        assert!(!change.fits(&mixed));
    }
}
