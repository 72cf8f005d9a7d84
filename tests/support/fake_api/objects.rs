//! Objects: reading and writing them, and who may.

use serde_json::{Value, json};

use super::FakeApi;
use super::request::{Asked, merge, not_found, split, status};

impl FakeApi {
    pub(super) fn denied(&self, request: &Asked) -> Option<Value> {
        let place = split(&request.path);
        let verb = match (request.method.as_str(), &place.name) {
            ("GET", _) if request.has("watch", "true") => "watch",
            ("GET", Some(_)) => "get",
            ("GET", None) => "list",
            ("POST", _) => "create",
            ("PUT", _) => "update",
            ("PATCH", _) => "patch",
            _ => "delete",
        };
        let resource = match &place.subresource {
            Some(sub) => format!("{}/{sub}", place.plural),
            None => place.plural.clone(),
        };
        let state = self.state();
        let denied = state
            .denied
            .iter()
            .any(|(v, r)| (v == verb || v == "*") && *r == resource);
        denied.then(|| {
            let message = format!(
                "{resource} is forbidden: User \"tester\" cannot {verb} resource \"{resource}\""
            );
            status(403, "Forbidden", &message)
        })
    }

    pub(super) fn carry_out(&self, request: &Asked) -> (u16, Value) {
        let path = request.path.as_str();
        if path == "/version" {
            return (
                200,
                json!({"major": "1", "minor": "34", "gitVersion": "v1.34.0",
                "gitCommit": "", "gitTreeState": "", "buildDate": "", "goVersion": "",
                "compiler": "", "platform": ""}),
            );
        }
        if request.method != "GET" {
            let body = String::from_utf8_lossy(&request.body).into_owned();
            self.state()
                .writes
                .push(format!("{} {} {body}", request.method, request.target));
        }
        if path.ends_with("/selfsubjectaccessreviews") {
            return (201, self.review(&request.json()));
        }
        if path.ends_with("/selfsubjectrulesreviews") {
            return (201, self.rules());
        }
        match request.method.as_str() {
            "GET" => self.read(request),
            "POST" => self.create(request),
            "PATCH" | "PUT" => self.update(request),
            "DELETE" => self.delete(request),
            _ => (405, status(405, "MethodNotAllowed", "not supported")),
        }
    }

    fn read(&self, request: &Asked) -> (u16, Value) {
        let place = split(&request.path);
        if place.name.is_some() {
            let path = request.path.trim_end_matches("/scale");
            return match self.object(path) {
                Some(object) => (200, object),
                None => (404, not_found(&place)),
            };
        }
        let state = self.state();
        let items: Vec<&Value> = state
            .objects
            .iter()
            .filter(|(path, object)| request.selects(&place, path, object))
            .map(|(_, object)| object)
            .collect();
        let version = state.version.to_string();
        // The token is the number of objects that were given already.
        let from = request.query("continue").parse::<usize>().unwrap_or(0);
        let limit = request
            .query("limit")
            .parse::<usize>()
            .unwrap_or(usize::MAX);
        let upto = items.len().min(from.saturating_add(limit));
        let mut metadata = json!({"resourceVersion": version});
        if upto < items.len() {
            metadata["continue"] = upto.to_string().into();
        }
        (
            200,
            json!({"kind": "List", "apiVersion": "v1",
                "metadata": metadata, "items": items[from.min(upto)..upto]}),
        )
    }

    fn create(&self, request: &Asked) -> (u16, Value) {
        let mut object = request.json();
        let place = split(&request.path);
        let version = self.state().version;
        if object["metadata"]["name"].is_null() {
            let stem = object["metadata"]["generateName"]
                .as_str()
                .unwrap_or("x-")
                .to_owned();
            object["metadata"]["name"] = format!("{stem}{version:05}").into();
        }
        let name = object["metadata"]["name"]
            .as_str()
            .unwrap_or_default()
            .to_owned();
        let path = format!("{}/{name}", request.path);
        if self.state().objects.contains_key(&path) {
            let message = format!("{} \"{name}\" already exists", place.plural);
            return (409, status(409, "AlreadyExists", &message));
        }
        object["metadata"]["uid"] = format!("uid-{name}-{version}").into();
        object["metadata"]["generation"] = 1.into();
        object["metadata"]["creationTimestamp"] = jiff::Timestamp::now()
            .strftime("%Y-%m-%dT%H:%M:%SZ")
            .to_string()
            .into();
        if let Some(namespace) = &place.namespace {
            object["metadata"]["namespace"] = namespace.as_str().into();
        }
        if request.has("dryRun", "All") {
            return (201, object);
        }
        (201, self.commit("ADDED", &path, object))
    }

    fn update(&self, request: &Asked) -> (u16, Value) {
        let mut wanted_fields = request.json();
        let place = split(&request.path);
        let path = request
            .path
            .trim_end_matches("/scale")
            .trim_end_matches("/status")
            .to_owned();
        let applied = request
            .header("content-type")
            .starts_with("application/apply-patch");
        let Some(live) = self.object(&path) else {
            if applied {
                let collection = path.rsplit_once('/').map(|(head, _)| head.to_owned());
                let create = Asked {
                    path: collection.unwrap_or_default(),
                    ..request.clone()
                };
                return self.create(&create);
            }
            return (404, not_found(&place));
        };
        for key in ["uid", "resourceVersion"] {
            let wanted = &wanted_fields["metadata"][key];
            if !wanted.is_null() && *wanted != live["metadata"][key] {
                if key == "uid" {
                    let message = "metadata.uid: Invalid value: field is immutable";
                    return (422, status(422, "Invalid", message));
                }
                let name = place.name.unwrap_or_default();
                let message = format!(
                    "Operation cannot be fulfilled on {} \"{name}\": the object has been modified",
                    place.plural
                );
                return (409, status(409, "Conflict", &message));
            }
        }
        if let Some(metadata) = wanted_fields
            .get_mut("metadata")
            .and_then(Value::as_object_mut)
        {
            metadata.remove("resourceVersion");
        }
        let mut object = live.clone();
        if request.method == "PUT" {
            object = wanted_fields;
            object["metadata"]["uid"] = live["metadata"]["uid"].clone();
        } else {
            merge(&mut object, &wanted_fields);
        }
        if object == live || request.has("dryRun", "All") {
            return (200, object);
        }
        if object["spec"] != live["spec"] {
            let generation = live["metadata"]["generation"].as_i64().unwrap_or(1);
            object["metadata"]["generation"] = (generation + 1).into();
        }
        (200, self.commit("MODIFIED", &path, object))
    }

    fn delete(&self, request: &Asked) -> (u16, Value) {
        let place = split(&request.path);
        let Some(live) = self.object(&request.path) else {
            return (404, not_found(&place));
        };
        let wanted = &request.json()["preconditions"]["uid"];
        if !wanted.is_null() && *wanted != live["metadata"]["uid"] {
            return (
                409,
                status(409, "Conflict", "Precondition failed: UID in precondition"),
            );
        }
        self.commit("DELETED", &request.path, live);
        (
            200,
            json!({"kind": "Status", "apiVersion": "v1", "status": "Success", "code": 200}),
        )
    }

    fn review(&self, review: &Value) -> Value {
        let wanted = &review["spec"]["resourceAttributes"];
        let mut resource = wanted["resource"].as_str().unwrap_or_default().to_owned();
        if let Some(sub) = wanted["subresource"].as_str() {
            resource = format!("{resource}/{sub}");
        }
        let verb = wanted["verb"].as_str().unwrap_or_default();
        let denied = self
            .state()
            .denied
            .iter()
            .any(|(v, r)| (v == verb || v == "*") && *r == resource);
        let mut review = review.clone();
        review["status"] = json!({"allowed": !denied, "reason": "by the test"});
        review
    }

    fn rules(&self) -> Value {
        let open = self.state().denied.is_empty();
        let rules = json!([{"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"]}]);
        json!({"kind": "SelfSubjectRulesReview", "apiVersion": "authorization.k8s.io/v1",
            "metadata": {}, "spec": {},
            "status": {"resourceRules": if open { rules } else { json!([]) },
                "nonResourceRules": [], "incomplete": !open}})
    }
}
