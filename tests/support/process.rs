//! A process with a time limit whose output is captured while it runs.

use std::io::{Read, Write};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// What a process left.
#[derive(Clone, Debug)]
pub(crate) struct Done {
    /// The command line.
    pub(crate) line: String,
    /// Its exit code; -1 when a signal ended it.
    pub(crate) code: i32,
    /// Standard output.
    pub(crate) out: String,
    /// Standard error.
    pub(crate) err: String,
    /// How long it took.
    pub(crate) took: Duration,
}

impl Done {
    /// Panics with everything that was printed when the exit code is another.
    #[track_caller]
    pub(crate) fn exits(self, code: i32) -> Self {
        assert!(self.code == code, "wanted exit code {code}\n{self}");
        self
    }

    /// The standard error holds this text.
    #[track_caller]
    pub(crate) fn says(self, text: &str) -> Self {
        assert!(
            self.err.contains(text) || self.out.contains(text),
            "{text:?} is not said\n{self}"
        );
        self
    }

    /// Standard output as JSON.
    #[track_caller]
    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.out).unwrap_or_else(|e| panic!("not JSON: {e}\n{self}"))
    }
}

impl std::fmt::Display for Done {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "$ {}\nexit code {} after {:.1} s\n--- stdout\n{}\n--- stderr\n{}",
            self.line,
            self.code,
            self.took.as_secs_f32(),
            self.out,
            self.err
        )
    }
}

/// A process that runs.
pub(crate) struct Running {
    child: Child,
    line: String,
    start: Instant,
    out: Arc<Mutex<String>>,
    err: Arc<Mutex<String>>,
    readers: Vec<JoinHandle<()>>,
}

impl Running {
    /// Starts it; what is given is its standard input.
    pub(crate) fn start(mut command: Command, input: Option<&str>) -> Self {
        let line = format!("{command:?}").replace('"', "");
        command
            .stdin(if input.is_some() {
                Stdio::piped()
            } else {
                Stdio::null()
            })
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = command
            .spawn()
            .unwrap_or_else(|e| panic!("cannot start {line}: {e}"));
        let (out, err) = (Arc::default(), Arc::default());
        let mut readers = vec![
            collect(child.stdout.take().unwrap(), &out),
            collect(child.stderr.take().unwrap(), &err),
        ];
        if let Some(input) = input {
            let (mut pipe, input) = (child.stdin.take().unwrap(), input.to_owned());
            // A process that ends without reading its input is judged by its exit code.
            readers.push(std::thread::spawn(move || {
                pipe.write_all(input.as_bytes()).ok();
            }));
        }
        Self {
            child,
            line,
            start: Instant::now(),
            out,
            err,
            readers,
        }
    }

    /// What it has said on standard error until now.
    pub(crate) fn err(&self) -> String {
        self.err.lock().unwrap().clone()
    }

    /// Waits until standard error holds a text.
    #[track_caller]
    pub(crate) fn wait_for(&mut self, text: &str, limit: Duration) {
        let start = Instant::now();
        while !self.err().contains(text) {
            let ended = self.child.try_wait().unwrap();
            assert!(
                ended.is_none() || self.err().contains(text),
                "it ended ({ended:?}) before it said {text:?}\n$ {}\n{}",
                self.line,
                self.err()
            );
            assert!(
                start.elapsed() < limit,
                "{text:?} is not said after {} s\n$ {}\n{}",
                limit.as_secs(),
                self.line,
                self.err()
            );
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Ends it as the kernel would.
    pub(crate) fn kill(mut self) -> Done {
        self.child.kill().unwrap();
        self.finish(Duration::from_secs(5))
    }

    /// Sends the signal that a Ctrl-C sends.
    pub(crate) fn interrupt(&self) {
        let pid = self.child.id().to_string();
        Command::new("kill")
            .args(["-INT", &pid])
            .status()
            .expect("kill runs");
    }

    /// Waits until it has ended.
    #[track_caller]
    pub(crate) fn finish(mut self, limit: Duration) -> Done {
        let start = Instant::now();
        let status = loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                break status;
            }
            if start.elapsed() > limit {
                self.child.kill().ok();
                panic!(
                    "still running after {} s\n$ {}\n--- stdout\n{}\n--- stderr\n{}",
                    limit.as_secs(),
                    self.line,
                    self.out.lock().unwrap(),
                    self.err()
                );
            }
            std::thread::sleep(Duration::from_millis(10));
        };
        let took = self.start.elapsed();
        for reader in self.readers.drain(..) {
            reader.join().ok();
        }
        Done {
            line: self.line.clone(),
            code: status.code().unwrap_or(-1),
            out: self.out.lock().unwrap().clone(),
            err: self.err(),
            took,
        }
    }
}

/// Runs a command to its end.
#[track_caller]
pub(crate) fn run(command: Command, input: Option<&str>, limit: Duration) -> Done {
    Running::start(command, input).finish(limit)
}

fn collect(mut from: impl Read + Send + 'static, into: &Arc<Mutex<String>>) -> JoinHandle<()> {
    let into = Arc::clone(into);
    std::thread::spawn(move || {
        let mut buffer = [0; 8192];
        while let Ok(n @ 1..) = from.read(&mut buffer) {
            into.lock()
                .unwrap()
                .push_str(&String::from_utf8_lossy(&buffer[..n]));
        }
    })
}
