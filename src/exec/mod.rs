//! The only place that runs steps: the intention is saved before each act, the result after it.

mod cancel;
pub mod lease;
pub mod store;

use std::sync::Arc;

use jiff::Timestamp;

pub use cancel::Cancel;
pub use lease::Lease;
pub use store::Store;

use crate::error::{Exit, Failure, Result};
use crate::k8s::K8s;
use crate::output::{self, Ui};
use crate::record::{Phase, Record, StepState};
use crate::steps::Step;
use crate::steps::worker::Worker;

/// Everything a step may use.
pub struct Acting<'a> {
    /// The wire.
    pub k8s: &'a K8s,
    /// The story, on stderr.
    pub ui: &'a Ui,
    /// The account of the run; steps add what they observed.
    pub record: &'a mut Record,
    /// Where the record is kept.
    pub store: &'a Store,
    /// The upgrade pod, once a step has met it.
    pub worker: Option<Worker>,
    /// The line of the step that is being done.
    line: Option<output::Step>,
}

impl<'a> Acting<'a> {
    /// Ties together what steps need.
    pub fn new(k8s: &'a K8s, ui: &'a Ui, store: &'a Store, record: &'a mut Record) -> Self {
        Self {
            k8s,
            ui,
            record,
            store,
            worker: None,
            line: None,
        }
    }

    /// Shows what the current step waits for.
    pub fn note(&self, text: &str) {
        if let Some(line) = &self.line {
            line.note(text);
        }
    }

    /// Runs the pending and interrupted steps of the record in their order.
    ///
    /// # Errors
    /// The failed step's failure, after it was written into the record. [`Exit::Interrupted`] when
    /// the user asked to stop at a step that may be stopped at.
    pub async fn run(&mut self, lease: &Lease, cancel: &Arc<Cancel>) -> Result<()> {
        while let Some(index) = self.next() {
            lease.check()?;
            // The way back is never left half-way: it is what an interruption asks for.
            let going_back = self.record.steps[index].phase == Phase::Back;
            if cancel.requested() && !going_back && !self.in_outage() {
                return Err(Failure::new(
                    Exit::Interrupted,
                    "interrupted before the outage; nothing of the server was changed",
                ));
            }
            self.run_one(index).await?;
        }
        self.store.save(self.record).await
    }

    fn next(&self) -> Option<usize> {
        self.record
            .steps
            .iter()
            .position(|entry| matches!(entry.state, StepState::Pending | StepState::Started))
    }

    /// The server or its clients are off and not yet back.
    fn in_outage(&self) -> bool {
        let begun = self.record.in_force().any(|e| e.step.begins_outage());
        begun && self.record.has_open_steps()
    }

    async fn run_one(&mut self, index: usize) -> Result<()> {
        let step = self.record.steps[index].step.clone();
        let entry = &mut self.record.steps[index];
        entry.state = StepState::Started;
        entry.started_at.get_or_insert(self.k8s.now());
        self.store.save(self.record).await?;
        self.line = Some(self.ui.step(step.to_string()));
        let outcome = step.apply(self).await;
        let now = self.k8s.now();
        let line = self.line.take();
        match outcome {
            Ok(note) => {
                self.finish(index, StepState::Done, &note, now);
                if let Some(line) = line {
                    line.done(&note);
                }
                Ok(())
            }
            Err(failure) => {
                self.finish(index, StepState::Failed, &failure.error.to_string(), now);
                if let Some(line) = line {
                    line.failed(failure.error.to_string());
                }
                self.store.save(self.record).await?;
                Err(failure)
            }
        }
    }

    fn finish(&mut self, index: usize, state: StepState, note: &str, at: Timestamp) {
        let entry = &mut self.record.steps[index];
        entry.state = state;
        note.clone_into(&mut entry.note);
        entry.finished_at = Some(at);
    }

    /// Gives up the step that was being done; whether it took effect is not known.
    pub fn give_up(&mut self, why: &str) {
        let now = self.k8s.now();
        if let Some(index) = self
            .record
            .steps
            .iter()
            .position(|entry| entry.state == StepState::Started)
        {
            self.finish(index, StepState::Failed, why, now);
        }
        if let Some(line) = self.line.take() {
            line.failed(why);
        }
    }

    /// Gives up what is still pending and plans `steps` as the way back.
    pub fn turn_back(&mut self, steps: Vec<Step>) {
        for entry in &mut self.record.steps {
            if entry.state == StepState::Pending {
                entry.state = StepState::Skipped;
            }
        }
        self.record.plan(Phase::Back, steps);
    }
}
