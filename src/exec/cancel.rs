//! Ctrl-C, SIGTERM and SIGHUP: the first asks to stop at the next safe place, the second ends the process.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::Notify;

use crate::error::Exit;
use crate::output::Ui;

/// Remembers that the user asked to stop.
#[derive(Debug, Default)]
pub struct Cancel {
    requested: AtomicBool,
    told: Notify,
}

impl Cancel {
    /// Listens for the signals until the process ends.
    ///
    /// # Errors
    /// When the handlers cannot be installed.
    pub fn listen(ui: &Ui) -> std::io::Result<Arc<Self>> {
        let cancel = Arc::new(Self::default());
        for kind in [
            SignalKind::interrupt(),
            SignalKind::terminate(),
            SignalKind::hangup(),
        ] {
            let mut signals = signal(kind)?;
            let (cancel, ui) = (cancel.clone(), ui.clone());
            tokio::spawn(async move {
                while signals.recv().await.is_some() {
                    if cancel.requested.swap(true, Ordering::Relaxed) {
                        end_process();
                    }
                    cancel.told.notify_one();
                    ui.warn(
                        "interrupted: stopping at the next safe place; during the outage that is its end. \
                         Once more ends this client only: the pod goes on, and the same command follows it.",
                    );
                }
            });
        }
        Ok(cancel)
    }

    /// Waits until the user asks to stop.
    pub async fn wait(&self) {
        while !self.requested() {
            self.told.notified().await;
        }
    }

    /// The user asked to stop.
    pub fn requested(&self) -> bool {
        self.requested.load(Ordering::Relaxed)
    }
}

#[expect(
    clippy::exit,
    reason = "the second signal means now; the state is in Kubernetes"
)]
fn end_process() {
    std::process::exit(Exit::Interrupted as i32);
}
