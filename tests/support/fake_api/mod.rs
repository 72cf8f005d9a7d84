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

use serde_json::{Value, json};
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

mod logs;
mod objects;
mod request;
mod streams;

use request::{read_request, reset, split, status};

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
}
