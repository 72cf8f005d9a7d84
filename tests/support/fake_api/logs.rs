//! What the logs of containers say, and how they break off.

use super::{FakeApi, Log, Logged};

impl FakeApi {
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
}
