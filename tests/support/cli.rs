//! The built binary, as a user types it.

use std::process::Command;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::process::{Done, Running};
use super::{LIMIT, context};

/// One call of the binary that runs.
pub(crate) struct Cli {
    running: Running,
    outputs: Arc<Mutex<Vec<Done>>>,
}

impl Cli {
    /// Starts it in a namespace. Words of `line` are separated by spaces.
    pub(crate) fn start(
        namespace: &str,
        words: &[&str],
        envs: &[(&str, &str)],
        outputs: &Arc<Mutex<Vec<Done>>>,
    ) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_kubectl-pg_upgrade"));
        command.args(words).args(["-n", namespace]);
        command.args(["--context", &context()]);
        command.envs(envs.iter().copied());
        Self {
            running: Running::start(command, None),
            outputs: Arc::clone(outputs),
        }
    }

    /// Waits until it has said a text on standard error.
    #[track_caller]
    pub(crate) fn wait_for(&mut self, text: &str) {
        self.running.wait_for(text, LIMIT);
    }

    /// Kills it with SIGKILL.
    pub(crate) fn kill(self) -> Done {
        let done = self.running.kill();
        self.outputs.lock().unwrap().push(done.clone());
        done
    }

    /// Sends SIGINT, as Ctrl-C does.
    pub(crate) fn interrupt(&self) {
        self.running.interrupt();
    }

    /// Waits until it has ended.
    #[track_caller]
    pub(crate) fn finish(self) -> Done {
        self.finish_in(LIMIT)
    }

    /// Waits until it has ended, no longer than this.
    #[track_caller]
    pub(crate) fn finish_in(self, limit: Duration) -> Done {
        let done = self.running.finish(limit);
        self.outputs.lock().unwrap().push(done.clone());
        done
    }
}
