//! An API server in this process, over plain HTTP on a port of its own, with faults on demand.
//!
//! Objects are stored by path; get, list, watch, create, patch, delete, exec and logs behave as callers
//! rely on. Not there: validation, defaulting, field ownership, finalizers, garbage collection.
//! Used by tests of the library (`k8s::fake`) and of the binary, so it names nothing of the crate.

use std::collections::{BTreeMap, HashMap};
use std::fmt::Write as _;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures::{FutureExt, SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::Role;

/// What goes wrong with a request.
#[derive(Clone, Debug)]
pub enum Fault {
    /// This status instead of carrying it out, with these headers.
    Status(u16, Vec<(String, String)>),
    /// The connection is reset before anything is done.
    Reset,
    /// The request is carried out and the connection is reset instead of an answer.
    LoseAnswer,
    /// Half of the answer, then the end of the connection.
    HalfAnswer,
    /// No answer, for ever.
    Hang,
    /// The answer comes this much later.
    Slow(Duration),
}

/// One command that a client runs in a pod.
#[derive(Clone, Debug)]
pub struct ExecCall {
    /// Namespace of the pod.
    pub namespace: String,
    /// Name of the pod.
    pub pod: String,
    /// Name of the container; empty when not given.
    pub container: String,
    /// The command.
    pub argv: Vec<String>,
    /// All of stdin, when there is one and the server reads it.
    pub stdin: Option<Vec<u8>>,
}

/// What a command does, in order.
#[derive(Clone, Debug)]
pub enum ExecStep {
    /// Bytes to stdout.
    Stdout(Vec<u8>),
    /// Bytes to stderr.
    Stderr(Vec<u8>),
    /// Nothing, for this long.
    Sleep(Duration),
    /// Ends with this exit code.
    Exit(i32),
    /// The runtime fails with this message.
    Fail(String),
    /// The websocket is closed in good order, without a result.
    Close,
    /// The TCP connection is reset.
    Reset,
    /// Nothing more is read or sent, and the connection stays open.
    Silence,
}

/// A write that was carried out, for those who play controller.
#[derive(Clone, Debug)]
pub struct Change {
    /// `ADDED`, `MODIFIED` or `DELETED`.
    pub kind: &'static str,
    /// Path of the object.
    pub path: String,
    /// The object after the change, or before the deletion.
    pub object: Value,
}

type ExecHandler = Arc<dyn Fn(&ExecCall) -> Vec<ExecStep> + Send + Sync>;
type Reaction = Arc<dyn Fn(&FakeApi, &Change) + Send + Sync>;

#[derive(Clone)]
struct Logged {
    at: String,
    text: String,
}

#[derive(Default)]
struct Log {
    lines: Vec<Logged>,
    previous: Vec<Logged>,
    /// The container has ended: a followed log ends with its last line.
    ended: bool,
    /// Cut the next followed log after so many bytes.
    cut: Option<usize>,
}

struct Planned {
    pattern: String,
    left: usize,
    fault: Fault,
}

#[derive(Default)]
struct State {
    objects: BTreeMap<String, Value>,
    version: u64,
    changes: Vec<(u64, Change)>,
    /// Versions up to this one are forgotten: watches from before get 410.
    compacted: u64,
    faults: Vec<Planned>,
    requests: Vec<String>,
    writes: Vec<String>,
    heads: Vec<HashMap<String, String>>,
    denied: Vec<(String, String)>,
    exec: Option<ExecHandler>,
    exec_ignores_stdin: bool,
    stdin_until: Option<&'static str>,
    exec_calls: Vec<ExecCall>,
    v4: bool,
    reaction: Option<Reaction>,
    logs: HashMap<String, Log>,
    clock_ahead: i64,
    warnings: Vec<String>,
    connections: usize,
    /// Connections of an older generation end.
    generation: u64,
}

/// The server; it ends with the value.
#[derive(Clone)]
pub struct FakeApi {
    address: SocketAddr,
    state: Arc<Mutex<State>>,
    /// Woken at every change of the state.
    bell: Arc<watch::Sender<u64>>,
    listening: Arc<Mutex<Option<tokio::task::AbortHandle>>>,
}

impl FakeApi {
    /// Starts a server on a free port of this machine.
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let api = Self {
            address: listener.local_addr().expect("an address"),
            state: Arc::default(),
            bell: Arc::new(watch::Sender::new(0)),
            listening: Arc::default(),
        };
        api.accept(listener);
        api
    }

    fn accept(&self, listener: TcpListener) {
        let task = tokio::spawn(self.clone().listen(listener));
        let mut listening = self
            .listening
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        *listening = Some(task.abort_handle());
    }

    /// Stops answering: connections end, new ones are refused.
    pub fn stop(&self) {
        let mut listening = self
            .listening
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if let Some(task) = listening.take() {
            task.abort();
        }
        drop(listening);
        self.drop_connections();
    }

    /// Answers again after [`FakeApi::stop`], on the same port.
    pub async fn start_again(&self) {
        let listener = loop {
            match TcpListener::bind(self.address).await {
                Ok(listener) => break listener,
                Err(_) => tokio::time::sleep(Duration::from_millis(10)).await,
            }
        };
        self.accept(listener);
    }

    /// `http://127.0.0.1:PORT`.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// A kubeconfig for it: context `fake`, user `tester`, namespace `shop`.
    pub fn kubeconfig(&self) -> String {
        json!({
            "apiVersion": "v1", "kind": "Config", "current-context": "fake",
            "clusters": [{"name": "fake", "cluster": {"server": self.url()}}],
            "users": [{"name": "tester", "user": {"token": "t0ken"}}],
            "contexts": [{"name": "fake",
                "context": {"cluster": "fake", "user": "tester", "namespace": "shop"}}],
        })
        .to_string()
    }

    /// Stores an object, as another client's write; its path includes its name.
    pub fn put(&self, path: &str, object: Value) {
        let mut object = object;
        let name = path.rsplit('/').next().unwrap_or_default();
        object["metadata"]["name"] = name.into();
        if let Some(namespace) = split(path).namespace {
            object["metadata"]["namespace"] = namespace.into();
        }
        let kind = if self.state().objects.contains_key(path) {
            "MODIFIED"
        } else {
            "ADDED"
        };
        if object["metadata"]["uid"].is_null() {
            let old = self
                .state()
                .objects
                .get(path)
                .map(|old| old["metadata"]["uid"].clone());
            object["metadata"]["uid"] = old.unwrap_or_else(|| format!("uid-{name}").into());
        }
        self.commit(kind, path, object);
    }

    /// The object at a path.
    pub fn object(&self, path: &str) -> Option<Value> {
        self.state().objects.get(path).cloned()
    }

    /// Removes an object, as another client's deletion.
    pub fn remove(&self, path: &str) {
        let object = self.state().objects.get(path).cloned();
        if let Some(object) = object {
            self.commit("DELETED", path, object);
        }
    }

    /// The next `times` requests whose `METHOD /path?query` contains `pattern` meet a fault.
    pub fn fault(&self, pattern: &str, times: usize, fault: Fault) {
        self.state().faults.push(Planned {
            pattern: pattern.to_owned(),
            left: times,
            fault,
        });
    }

    /// The user may not do this from now on; `resource` is `pods` or `pods/exec`.
    pub fn deny(&self, verb: &str, resource: &str) {
        self.state()
            .denied
            .push((verb.to_owned(), resource.to_owned()));
    }

    /// All requests so far, as `METHOD /path?query`.
    pub fn requests(&self) -> Vec<String> {
        self.state().requests.clone()
    }

    /// All writes so far, as `METHOD /path body`.
    pub fn writes(&self) -> Vec<String> {
        self.state().writes.clone()
    }

    /// Headers of all requests so far; names in lower case.
    pub fn heads(&self) -> Vec<HashMap<String, String>> {
        self.state().heads.clone()
    }

    /// Number of TCP connections so far.
    pub fn connections(&self) -> usize {
        self.state().connections
    }

    /// Names who answers commands.
    pub fn on_exec(&self, handler: impl Fn(&ExecCall) -> Vec<ExecStep> + Send + Sync + 'static) {
        self.state().exec = Some(Arc::new(handler));
    }

    /// Commands read their stdin up to this word and not to its end, which is never told.
    pub fn stdin_until(&self, word: &'static str) {
        self.state().stdin_until = Some(word);
    }

    /// Commands do not read their stdin.
    pub fn ignore_stdin(&self) {
        self.state().exec_ignores_stdin = true;
    }

    /// All commands so far.
    pub fn exec_calls(&self) -> Vec<ExecCall> {
        self.state().exec_calls.clone()
    }

    /// Speaks the subprotocol of before Kubernetes 1.30 only.
    pub fn speak_v4(&self) {
        self.state().v4 = true;
    }

    /// Names who plays controller: called after every write, outside of the lock.
    pub fn react(&self, reaction: impl Fn(&Self, &Change) + Send + Sync + 'static) {
        self.state().reaction = Some(Arc::new(reaction));
    }

    /// Adds a line to a container's log; `at` is its RFC 3339 time.
    pub fn log(&self, pod: &str, container: &str, at: &str, text: &str) {
        self.with_log(pod, container, |log| {
            log.lines.push(Logged {
                at: at.to_owned(),
                text: text.to_owned(),
            });
        });
    }

    /// Followed logs of the container end after their last line.
    pub fn end_log(&self, pod: &str, container: &str) {
        self.with_log(pod, container, |log| log.ended = true);
    }

    /// The container is started again: its log becomes the previous one.
    pub fn restart_log(&self, pod: &str, container: &str) {
        self.with_log(pod, container, |log| {
            log.previous = std::mem::take(&mut log.lines);
            log.ended = false;
        });
    }

    /// The next followed log of the container is cut after so many bytes.
    pub fn cut_log(&self, pod: &str, container: &str, bytes: usize) {
        self.with_log(pod, container, |log| log.cut = Some(bytes));
    }

    fn with_log(&self, pod: &str, container: &str, act: impl FnOnce(&mut Log)) {
        act(self
            .state()
            .logs
            .entry(format!("{pod}/{container}"))
            .or_default());
        self.ring();
    }

    /// Forgets all changes so far: a watch from before them gets 410.
    pub fn compact(&self) {
        let mut state = self.state();
        state.compacted = state.version;
        state.changes.clear();
    }

    /// Ends every connection, as a restart does.
    pub fn drop_connections(&self) {
        self.state().generation += 1;
        self.ring();
    }

    /// The server's clock is so many seconds ahead of the real one.
    pub fn set_clock_ahead(&self, seconds: i64) {
        self.state().clock_ahead = seconds;
    }

    /// Every answer carries this warning.
    pub fn warn(&self, text: &str) {
        self.state().warnings.push(text.to_owned());
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn ring(&self) {
        self.bell.send_modify(|count| *count += 1);
    }

    fn commit(&self, kind: &'static str, path: &str, mut object: Value) -> Value {
        let (change, reaction) = {
            let mut state = self.state();
            state.version += 1;
            let version = state.version;
            object["metadata"]["resourceVersion"] = version.to_string().into();
            if kind == "DELETED" {
                state.objects.remove(path);
            } else {
                state.objects.insert(path.to_owned(), object.clone());
            }
            let change = Change {
                kind,
                path: path.to_owned(),
                object: object.clone(),
            };
            state.changes.push((version, change.clone()));
            (change, state.reaction.clone())
        };
        self.ring();
        if let Some(reaction) = reaction {
            reaction(self, &change);
        }
        object
    }

    async fn listen(self, listener: TcpListener) {
        while let Ok((socket, _)) = listener.accept().await {
            self.state().connections += 1;
            let api = self.clone();
            tokio::spawn(async move {
                let generation = api.state().generation;
                let mut bell = api.bell.subscribe();
                let ended = async {
                    while api.state().generation == generation {
                        if bell.changed().await.is_err() {
                            break;
                        }
                    }
                };
                tokio::select! {
                    () = api.serve(socket) => {}
                    () = ended => {}
                }
            });
        }
    }

    async fn serve(&self, mut socket: TcpStream) {
        while let Some(request) = read_request(&mut socket).await {
            let fault = {
                let mut state = self.state();
                let line = format!("{} {}", request.method, request.target);
                state.requests.push(line.clone());
                state.heads.push(request.headers.clone());
                let planned = state
                    .faults
                    .iter_mut()
                    .find(|planned| planned.left > 0 && line.contains(&planned.pattern));
                planned.map(|planned| {
                    planned.left -= 1;
                    planned.fault.clone()
                })
            };
            match &fault {
                Some(Fault::Reset) => return reset(socket),
                Some(Fault::Hang) => return std::future::pending().await,
                Some(Fault::Slow(time)) => tokio::time::sleep(*time).await,
                Some(Fault::Status(code, headers)) => {
                    let reason = if *code == 422 { "Invalid" } else { "Injected" };
                    let body = status(*code, reason, "injected by the test");
                    if self
                        .answer(&mut socket, *code, &body, headers)
                        .await
                        .is_err()
                    {
                        return;
                    }
                    continue;
                }
                _ => {}
            }
            if let Some(denied) = self.denied(&request) {
                if self.answer(&mut socket, 403, &denied, &[]).await.is_err() {
                    return;
                }
                continue;
            }
            if request.headers.contains_key("upgrade") {
                return self.exec(socket, &request).await;
            }
            if request.path.ends_with("/log") {
                return self.serve_log(socket, &request).await;
            }
            if request.has("watch", "true") {
                return self.serve_watch(socket, &request).await;
            }
            let (code, body) = self.carry_out(&request);
            let sent = match fault {
                Some(Fault::LoseAnswer) => return reset(socket),
                Some(Fault::HalfAnswer) => {
                    let text = body.to_string();
                    let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", text.len());
                    drop(socket.write_all(head.as_bytes()).await);
                    drop(socket.write_all(&text.as_bytes()[..text.len() / 2]).await);
                    return;
                }
                _ => self.answer(&mut socket, code, &body, &[]).await,
            };
            if sent.is_err() {
                return;
            }
        }
    }

    async fn answer(
        &self,
        socket: &mut TcpStream,
        code: u16,
        body: &Value,
        headers: &[(String, String)],
    ) -> std::io::Result<()> {
        let text = body.to_string();
        let mut head = format!(
            "HTTP/1.1 {code} Status\r\nContent-Type: application/json\r\nContent-Length: {}\r\n",
            text.len()
        );
        for (name, value) in headers {
            write!(head, "{name}: {value}\r\n").expect("memory");
        }
        head.push_str(&self.common_headers());
        head.push_str("\r\n");
        socket.write_all((head + &text).as_bytes()).await
    }

    fn common_headers(&self) -> String {
        let state = self.state();
        let now = jiff::Timestamp::now() + jiff::SignedDuration::from_secs(state.clock_ahead);
        let date = now.strftime("%a, %d %b %Y %H:%M:%S GMT");
        let mut head = format!("Date: {date}\r\n");
        for text in &state.warnings {
            let text = text.replace('"', "\\\"");
            write!(head, "Warning: 299 - \"{text}\"\r\n").expect("memory");
        }
        head
    }

    fn denied(&self, request: &Asked) -> Option<Value> {
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

    fn carry_out(&self, request: &Asked) -> (u16, Value) {
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

    async fn serve_watch(&self, mut socket: TcpStream, request: &Asked) {
        let place = split(&request.path);
        let mut from: u64 = request.query("resourceVersion").parse().unwrap_or(0);
        let mut bell = self.bell.subscribe();
        let head = format!(
            "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n{}\r\n",
            self.common_headers()
        );
        if socket.write_all(head.as_bytes()).await.is_err() {
            return;
        }
        loop {
            let mut text = String::new();
            let expired = {
                let state = self.state();
                let since = from;
                for (version, change) in
                    state.changes.iter().filter(|(version, _)| *version > since)
                {
                    if request.selects(&place, &change.path, &change.object) {
                        let event = json!({"type": change.kind, "object": change.object});
                        writeln!(text, "{event}").expect("memory");
                    }
                    from = *version;
                }
                from < state.compacted
            };
            if expired {
                let gone = status(410, "Expired", "too old resource version");
                writeln!(text, "{}", json!({"type": "ERROR", "object": gone})).expect("memory");
            }
            if !text.is_empty()
                && socket
                    .write_all(chunk(text.as_bytes()).as_slice())
                    .await
                    .is_err()
            {
                return;
            }
            if expired {
                drop(socket.write_all(b"0\r\n\r\n").await);
                return;
            }
            let mut byte = [0];
            tokio::select! {
                changed = bell.changed() => if changed.is_err() { return },
                _ = socket.read(&mut byte) => return,
            }
        }
    }

    async fn serve_log(&self, mut socket: TcpStream, request: &Asked) {
        let place = split(&request.path);
        let key = format!(
            "{}/{}",
            place.name.clone().unwrap_or_default(),
            request.query("container")
        );
        let previous = request.has("previous", "true");
        let follow = request.has("follow", "true");
        let object = request.path.trim_end_matches("/log").to_owned();
        if self.object(&object).is_none() {
            drop(self.answer(&mut socket, 404, &not_found(&place), &[]).await);
            return;
        }
        let since: Option<jiff::Timestamp> = request.query("sinceTime").parse().ok();
        let mut bell = self.bell.subscribe();
        let head =
            "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nTransfer-Encoding: chunked\r\n\r\n";
        if socket.write_all(head.as_bytes()).await.is_err() {
            return;
        }
        let mut sent = 0;
        loop {
            let (text, ended, cut) = {
                let mut state = self.state();
                let log = state.logs.entry(key.clone()).or_default();
                let lines = if previous { &log.previous } else { &log.lines };
                let mut text = String::new();
                for line in lines.iter().skip(sent) {
                    let at: jiff::Timestamp = line.at.parse().expect("a time");
                    if since.is_none_or(|since| at.as_second() >= since.as_second()) {
                        writeln!(text, "{} {}", line.at, line.text).expect("memory");
                    }
                }
                sent = lines.len();
                (
                    text,
                    log.ended || !follow,
                    if follow { log.cut.take() } else { None },
                )
            };
            if let Some(cut) = cut {
                let cut = cut.min(text.len());
                drop(socket.write_all(&chunk(&text.as_bytes()[..cut])).await);
                return;
            }
            if !text.is_empty() && socket.write_all(&chunk(text.as_bytes())).await.is_err() {
                return;
            }
            if ended {
                drop(socket.write_all(b"0\r\n\r\n").await);
                return;
            }
            let mut byte = [0];
            tokio::select! {
                changed = bell.changed() => if changed.is_err() { return },
                _ = socket.read(&mut byte) => return,
            }
        }
    }

    async fn exec(&self, mut socket: TcpStream, request: &Asked) {
        let place = split(&request.path);
        let object = request.path.trim_end_matches("/exec").to_owned();
        if self.object(&object).is_none() {
            drop(self.answer(&mut socket, 404, &not_found(&place), &[]).await);
            return;
        }
        let (v4, ignores, until, handler) = {
            let state = self.state();
            let ignores = state.exec_ignores_stdin;
            (state.v4, ignores, state.stdin_until, state.exec.clone())
        };
        let version = if v4 { "v4" } else { "v5" };
        let key = derive_accept_key(request.header("sec-websocket-key").as_bytes());
        let head = format!(
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Accept: {key}\r\nSec-WebSocket-Protocol: {version}.channel.k8s.io\r\n\r\n"
        );
        if socket.write_all(head.as_bytes()).await.is_err() {
            return;
        }
        let mut websocket = WebSocketStream::from_raw_socket(socket, Role::Server, None).await;
        let argv: Vec<String> = request.queries("command");
        let stdin = if request.has("stdin", "true") && !ignores {
            let counted = (argv.get(2).map(String::as_str) == Some(COUNTED))
                .then(|| argv.get(4)?.parse().ok())
                .flatten();
            match read_stdin(&mut websocket, counted, until).await {
                Some(stdin) => Some(stdin),
                None => return,
            }
        } else {
            None
        };
        let call = ExecCall {
            namespace: place.namespace.unwrap_or_default(),
            pod: place.name.unwrap_or_default(),
            container: request.query("container"),
            argv,
            stdin,
        };
        self.state().exec_calls.push(call.clone());
        let steps = handler.map_or_else(|| vec![ExecStep::Exit(0)], |handler| handler(&call));
        play(websocket, steps).await;
    }
}

/// The script with which clients count stdin for servers that cannot close it.
const COUNTED: &str = r#"n=$1; shift; head -c "$n" | "$@""#;

async fn read_stdin(
    websocket: &mut WebSocketStream<TcpStream>,
    counted: Option<usize>,
    until: Option<&str>,
) -> Option<Vec<u8>> {
    let mut stdin = Vec::new();
    let ended = |stdin: &[u8]| until.is_some_and(|word| stdin.ends_with(word.as_bytes()));
    while counted.is_none_or(|count| stdin.len() < count) && !ended(&stdin) {
        match websocket.next().await {
            Some(Ok(Message::Binary(data))) => match data.split_first() {
                Some((0, rest)) => stdin.extend_from_slice(rest),
                Some((255, _)) => return until.is_none().then_some(stdin),
                _ => {}
            },
            Some(Ok(_)) => {}
            _ => return None,
        }
    }
    Some(stdin)
}

async fn play(mut websocket: WebSocketStream<TcpStream>, steps: Vec<ExecStep>) {
    let frame = |channel: u8, data: &[u8]| {
        let mut frame = vec![channel];
        frame.extend_from_slice(data);
        Message::Binary(frame.into())
    };
    for step in steps {
        let sent = match step {
            ExecStep::Stdout(data) => websocket.send(frame(1, &data)).await,
            ExecStep::Stderr(data) => websocket.send(frame(2, &data)).await,
            ExecStep::Sleep(time) => {
                // Pings are answered meanwhile.
                drop(tokio::time::timeout(time, websocket.next()).await);
                Ok(())
            }
            ExecStep::Exit(0) => {
                let done = json!({"metadata": {}, "status": "Success"});
                websocket.send(frame(3, done.to_string().as_bytes())).await
            }
            ExecStep::Exit(code) => {
                let done = json!({"metadata": {}, "status": "Failure", "reason": "NonZeroExitCode",
                    "message": format!("command terminated with non-zero exit code: {code}"),
                    "details": {"causes": [{"reason": "ExitCode", "message": code.to_string()}]}});
                websocket.send(frame(3, done.to_string().as_bytes())).await
            }
            ExecStep::Fail(message) => {
                let done = json!({"metadata": {}, "status": "Failure", "reason": "InternalError",
                    "message": message, "code": 500});
                websocket.send(frame(3, done.to_string().as_bytes())).await
            }
            ExecStep::Close => break,
            ExecStep::Reset => return reset(websocket.into_inner()),
            ExecStep::Silence => return std::future::pending().await,
        };
        if sent.is_err() {
            return;
        }
    }
    drop(websocket.close(None).await);
    // The close handshake wants the client's answer read, for a moment.
    let answer = async {
        while websocket
            .next()
            .await
            .is_some_and(|message| message.is_ok())
        {}
    };
    drop(tokio::time::timeout(Duration::from_secs(1), answer.boxed()).await);
}

/// One request as read from the connection.
#[derive(Clone)]
struct Asked {
    method: String,
    target: String,
    path: String,
    query: Vec<(String, String)>,
    headers: HashMap<String, String>,
    body: Vec<u8>,
}

impl Asked {
    fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", String::as_str)
    }

    fn query(&self, key: &str) -> String {
        self.queries(key).into_iter().next().unwrap_or_default()
    }

    fn queries(&self, key: &str) -> Vec<String> {
        let matching = self.query.iter().filter(|(name, _)| name == key);
        matching.map(|(_, value)| value.clone()).collect()
    }

    fn has(&self, key: &str, value: &str) -> bool {
        self.query.iter().any(|(k, v)| k == key && v == value)
    }

    fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }

    /// Tells whether an object is in the asked collection and matches the selectors.
    fn selects(&self, wanted: &Place, path: &str, object: &Value) -> bool {
        let place = split(path);
        if place.group != wanted.group || place.plural != wanted.plural {
            return false;
        }
        if wanted.namespace.is_some() && place.namespace != wanted.namespace {
            return false;
        }
        let labels = &object["metadata"]["labels"];
        let by_label =
            self.query("labelSelector")
                .split(',')
                .all(|term| match term.split_once('=') {
                    _ if term.is_empty() => true,
                    Some((key, value)) => {
                        labels[key.trim_end_matches('=')] == value.trim_start_matches('=')
                    }
                    None => !labels[term].is_null(),
                });
        let by_field = self.query("fieldSelector").split(',').all(|term| {
            term.split_once('=').is_none_or(|(field, value)| {
                let pointer = format!("/{}", field.replace('.', "/"));
                object
                    .pointer(&pointer)
                    .and_then(Value::as_str)
                    .unwrap_or_default()
                    == value
            })
        });
        by_label && by_field
    }
}

/// What a path names.
#[derive(Clone)]
struct Place {
    group: String,
    namespace: Option<String>,
    plural: String,
    name: Option<String>,
    subresource: Option<String>,
}

fn split(path: &str) -> Place {
    let mut parts = path.trim_matches('/').split('/').map(str::to_owned);
    let root = parts.next().unwrap_or_default();
    let mut group = parts.next().unwrap_or_default();
    if root == "apis" {
        group = format!("{group}/{}", parts.next().unwrap_or_default());
    }
    let mut rest: Vec<String> = parts.collect();
    let mut namespace = None;
    if rest.first().is_some_and(|part| part == "namespaces") && rest.len() > 2 {
        namespace = Some(rest.remove(1));
        rest.remove(0);
    }
    let mut rest = rest.into_iter();
    Place {
        group,
        namespace,
        plural: rest.next().unwrap_or_default(),
        name: rest.next(),
        subresource: rest.next(),
    }
}

fn not_found(place: &Place) -> Value {
    let name = place.name.clone().unwrap_or_default();
    status(
        404,
        "NotFound",
        &format!("{} \"{name}\" not found", place.plural),
    )
}

fn status(code: u16, reason: &str, message: &str) -> Value {
    json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
        "message": message, "reason": reason, "code": code})
}

/// JSON merge patch (RFC 7386).
fn merge(target: &mut Value, patch: &Value) {
    let Value::Object(fields) = patch else {
        *target = patch.clone();
        return;
    };
    if !target.is_object() {
        *target = json!({});
    }
    for (key, value) in fields {
        if value.is_null() {
            target.as_object_mut().map(|object| object.remove(key));
        } else {
            merge(&mut target[key], value);
        }
    }
}

fn chunk(data: &[u8]) -> Vec<u8> {
    let mut chunk = format!("{:x}\r\n", data.len()).into_bytes();
    chunk.extend_from_slice(data);
    chunk.extend_from_slice(b"\r\n");
    chunk
}

fn reset(socket: TcpStream) {
    drop(socket.set_zero_linger());
    drop(socket);
}

async fn read_request(socket: &mut TcpStream) -> Option<Asked> {
    let mut data = Vec::new();
    let end = loop {
        if let Some(end) = data.windows(4).position(|window| window == b"\r\n\r\n") {
            break end + 4;
        }
        if socket.read_buf(&mut data).await.ok()? == 0 {
            return None;
        }
    };
    let head = String::from_utf8_lossy(&data[..end]).into_owned();
    let mut lines = head.lines();
    let mut first = lines.next()?.split(' ');
    let method = first.next()?.to_owned();
    let target = first.next()?.to_owned();
    let headers: HashMap<String, String> = lines
        .filter_map(|line| line.split_once(':'))
        .map(|(name, value)| (name.to_lowercase(), value.trim().to_owned()))
        .collect();
    let length: usize = headers
        .get("content-length")
        .and_then(|text| text.parse().ok())
        .unwrap_or(0);
    while data.len() < end + length {
        if socket.read_buf(&mut data).await.ok()? == 0 {
            return None;
        }
    }
    let body = data[end..end + length].to_vec();
    let (path, query) = target.split_once('?').unwrap_or((&target, ""));
    let query = query
        .split('&')
        .filter_map(|pair| pair.split_once('='))
        .map(|(key, value)| (decode(key), decode(value)))
        .collect();
    Some(Asked {
        method,
        path: path.to_owned(),
        query,
        headers,
        body,
        target,
    })
}

/// Undoes the encoding of query strings.
fn decode(text: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'+' => b' ',
            b'%' => {
                let hex: Vec<u8> = rest.by_ref().take(2).collect();
                let hex = String::from_utf8_lossy(&hex).into_owned();
                u8::from_str_radix(&hex, 16).unwrap_or(b'%')
            }
            other => other,
        });
    }
    String::from_utf8_lossy(&bytes).into_owned()
}
