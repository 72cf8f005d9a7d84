//! A namespace of a test's own.

use std::fmt::Write as _;
use std::path::Path;
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use serde_json::Value;

use super::process::{Done, run};
use super::server::{Instance, Server, base64};
use super::{Cli, LIMIT, kubectl, unique};

/// A namespace that is deleted when the test ends, however it ends.
pub(crate) struct Space {
    /// Its name.
    pub(crate) name: String,
    /// The superuser's password in it, with characters that shells and YAML trip over.
    pub(crate) password: String,
    outputs: Arc<Mutex<Vec<Done>>>,
}

impl Space {
    /// Creates one; pods in it may do everything.
    pub(crate) fn new(purpose: &str) -> Self {
        Self::with_level(purpose, "privileged")
    }

    /// Creates one under Pod Security "restricted".
    pub(crate) fn restricted(purpose: &str) -> Self {
        Self::with_level(purpose, "restricted")
    }

    fn with_level(purpose: &str, level: &str) -> Self {
        let id = unique();
        let space = Self {
            name: format!("e2e-{purpose}-{id}"),
            password: format!("canary-{id}'\"$&\\"),
            outputs: Arc::default(),
        };
        space.apply(&format!(
            "{{apiVersion: v1, kind: Namespace, metadata: {{name: {}, \
             labels: {{pod-security.kubernetes.io/enforce: {level}}}}}}}",
            space.name
        ));
        space
    }

    /// kubectl in this namespace, whatever comes of it.
    #[track_caller]
    pub(crate) fn try_kubectl(&self, words: &[&str], input: Option<&str>) -> Done {
        let mut command = kubectl();
        command.args(["-n", &self.name]).args(words);
        run(command, input, LIMIT)
    }

    /// kubectl in this namespace; it must succeed. Words of `line` are separated by spaces. Returns its output.
    #[track_caller]
    pub(crate) fn kubectl(&self, line: &str) -> String {
        let words: Vec<&str> = line.split(' ').collect();
        self.try_kubectl(&words, None)
            .exits(0)
            .out
            .trim_end()
            .to_owned()
    }

    /// One object as JSON, or several.
    #[track_caller]
    pub(crate) fn get(&self, what: &str) -> serde_json::Value {
        serde_json::from_str(&self.kubectl(&format!("get {what} -o json"))).unwrap()
    }

    /// Applies manifests.
    #[track_caller]
    pub(crate) fn apply(&self, manifests: &str) {
        // Without a line of its own in front, YAML that begins with a brace is taken for JSON.
        let manifests = format!("---\n{manifests}");
        self.try_kubectl(&["apply", "-f", "-"], Some(&manifests))
            .exits(0);
    }

    /// Applies an instance of tests/instances without waiting for it.
    #[track_caller]
    pub(crate) fn place(&self, instance: &Instance) -> Server<'_> {
        self.apply(&instance.manifest(&self.name, &self.password));
        Server::new(self, instance)
    }

    /// Applies an instance of tests/instances and waits until it is ready.
    #[track_caller]
    pub(crate) fn install(&self, instance: &Instance) -> Server<'_> {
        let server = self.place(instance);
        server.wait_ready();
        server
    }

    /// Starts the binary. Words of `line` are separated by spaces.
    pub(crate) fn start(&self, line: &str) -> Cli {
        let words: Vec<&str> = line.split(' ').collect();
        Cli::start(&self.name, &words, &[], &self.outputs)
    }

    /// Runs the binary to its end.
    #[track_caller]
    pub(crate) fn plugin(&self, line: &str) -> Done {
        self.start(line).finish()
    }

    /// Runs the binary with words that may hold spaces, and with environment variables.
    #[track_caller]
    pub(crate) fn plugin_with(&self, words: &[&str], envs: &[(&str, &str)]) -> Done {
        Cli::start(&self.name, words, envs, &self.outputs).finish()
    }

    /// What this tool has made in the namespace and not asked to remove: kind/name, the records aside.
    pub(crate) fn leftovers(&self) -> Vec<String> {
        self.ours("pods,jobs,configmaps,persistentvolumeclaims,leases")
    }

    /// Objects of these kinds that this tool has made and not asked to remove: kind/name, the records aside.
    pub(crate) fn ours(&self, kinds: &str) -> Vec<String> {
        let selector =
            "app.kubernetes.io/managed-by=kubectl-pg-upgrade,pg-upgrade.dev/part!=record";
        let found: Value = self
            .kubectl(&format!("get {kinds} -l {selector} -o json"))
            .parse()
            .unwrap();
        let items = found["items"].as_array().unwrap().iter();
        items
            .map(|object| (&object["kind"], &object["metadata"]))
            .filter(|(_, metadata)| metadata["deletionTimestamp"].is_null())
            .map(|(kind, metadata)| format!("{kind}/{}", metadata["name"]))
            .collect()
    }

    /// Searches every object but the user's own Secrets, every log of every pod, and all that the binary has printed here.
    #[track_caller]
    pub(crate) fn assert_password_is_nowhere(&self) {
        let mut text = self.kubectl(&format!(
            "get {} -o json --ignore-not-found",
            kinds_but_secrets()
        ));
        let pods = self.kubectl("get pods -o name");
        for pod in pods.lines() {
            let words = [
                "logs",
                pod,
                "--all-containers",
                "--ignore-errors",
                "--tail=-1",
            ];
            text.push_str(&self.try_kubectl(&words, None).out);
        }
        for done in self.outputs.lock().unwrap().iter() {
            let _ = write!(text, "{done}");
        }
        self.assert_no_password_in(&text);
    }

    /// Searches a text for the password, plain up to its first special character, and in base64.
    #[track_caller]
    pub(crate) fn assert_no_password_in(&self, text: &str) {
        let plain = self.password.split('\'').next().unwrap();
        // base64 of a multiple of three bytes does not depend on what follows.
        let encoded = base64(&plain.as_bytes()[..plain.len() / 3 * 3]);
        for canary in [plain, &encoded] {
            if let Some(at) = text.find(canary) {
                let from = text[..at].char_indices().rev().nth(200).map_or(0, |c| c.0);
                panic!("the password shows up: …{}", &text[from..at + canary.len()]);
            }
        }
    }

    /// What somebody who looks for the cause of a failure wants to see.
    fn describe(&self) -> String {
        let mut text = String::new();
        let mut add = |title: &str, words: &[&str]| {
            let done = self.try_kubectl(words, None);
            let _ = writeln!(text, "=== {title}\n{}{}", done.out, done.err);
        };
        add(
            "objects",
            &[
                "get",
                "pods,sts,deploy,pvc,volumesnapshots,cm,leases",
                "-o",
                "wide",
            ],
        );
        add("events", &["get", "events", "--sort-by=.lastTimestamp"]);
        let pods = self.try_kubectl(&["get", "pods", "-o", "name"], None).out;
        for pod in pods.lines() {
            add(
                pod,
                &["logs", pod, "--all-containers", "--prefix", "--tail=40"],
            );
        }
        let records = "jsonpath={.items[*].data.record\\.json}";
        add(
            "records",
            &[
                "get",
                "cm",
                "-l",
                "pg-upgrade.dev/part=record",
                "-o",
                records,
            ],
        );
        for done in self.outputs.lock().unwrap().iter() {
            let _ = writeln!(text, "=== {done}");
        }
        text
    }
}

impl Drop for Space {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{}.log", self.name));
            std::fs::write(&path, self.describe()).ok();
            eprintln!(
                "namespace {}: everything that is known is in {}",
                self.name,
                path.display()
            );
            if std::env::var_os("PG_UPGRADE_TEST_KEEP").is_some() {
                return;
            }
        }
        let mut command = kubectl();
        command.args(["delete", "namespace", &self.name, "--wait=false"]);
        run(command, None, Duration::from_secs(30));
    }
}

/// All kinds of namespaced objects that can be listed, comma-separated.
fn kinds_but_secrets() -> &'static str {
    static KINDS: OnceLock<String> = OnceLock::new();
    KINDS.get_or_init(|| {
        let mut command = kubectl();
        command.args([
            "api-resources",
            "--namespaced",
            "--verbs=list",
            "--output=name",
        ]);
        let done = run(command, None, LIMIT).exits(0);
        let kinds: Vec<&str> = done.out.lines().filter(|k| *k != "secrets").collect();
        kinds.join(",")
    })
}
