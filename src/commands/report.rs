//! A run as a result: for people, for scripts.

use jiff::Timestamp;
use serde_json::{Value, json};

use crate::output::{Cell, Report, TableSection, Tone, human_seconds};
use crate::record::{Entry, Record, RunState, StepState};

/// Version of every JSON document this tool prints.
pub const API_VERSION: &str = "pg-upgrade.dev/v1alpha1";

/// One run.
pub struct RunReport<'a> {
    /// Its record.
    pub record: &'a Record,
    /// Server time now, for steps that are still going on.
    pub now: Timestamp,
    /// Requests that this command sent to the API server.
    pub requests: u64,
}

impl Report for RunReport<'_> {
    fn json(&self) -> Value {
        let mut document = json!({"apiVersion": API_VERSION, "kind": "UpgradeRun"});
        if let (Value::Object(document), Ok(Value::Object(record))) =
            (&mut document, serde_json::to_value(self.record))
        {
            document.extend(record);
            document.insert("outageMs".to_owned(), json!(self.record.outage_ms()));
            document.insert("apiRequests".to_owned(), json!(self.requests));
        }
        document
    }

    fn tables(&self, wide: bool) -> Vec<TableSection> {
        let record = self.record;
        let mut head = TableSection::fields();
        head.field("Run", record.run.as_str());
        head.field("Instance", record.target().to_string());
        if let Some(upgrade) = &record.upgrade {
            head.field(
                "Versions",
                format!("{} -> {}", upgrade.from_version, upgrade.to_version),
            );
            head.field(
                "Images",
                format!("{} -> {}", upgrade.old_image, upgrade.new_image),
            );
            head.field(
                "Transfer",
                format!("{} ({})", upgrade.transfer, upgrade.transfer_reason),
            );
        }
        head.field(
            "State",
            Cell::new(record.state.to_string(), state_tone(record.state)),
        );
        if let Some(ms) = record.outage_ms() {
            head.field("Outage", seconds(ms));
        }
        for observed in record.observed.iter().filter(|o| o["event"] == "verified") {
            head.field("Verified", crate::verify::sentence(observed));
        }
        let mut headers = vec!["STEP", "STATE", "TIME"];
        if wide {
            headers.push("STARTED");
        }
        headers.push("NOTE");
        let mut steps = TableSection::new(headers);
        for entry in &record.steps {
            let mut row = vec![
                Cell::from(entry.step.to_string()),
                Cell::new(state_word(entry.state), step_tone(entry.state)),
                Cell::from(duration(entry, self.now)),
            ];
            if wide {
                row.push(Cell::from(
                    entry
                        .started_at
                        .map(|t| t.strftime("%H:%M:%S%.3fZ").to_string()),
                ));
            }
            row.push(Cell::from(entry.note.as_str()));
            steps.row(row);
        }
        vec![head, steps]
    }

    fn names(&self) -> Vec<String> {
        vec![format!("run.pg-upgrade.dev/{}", self.record.run)]
    }
}

/// Several runs.
pub struct RunList<'a>(pub Vec<&'a Record>);

impl Report for RunList<'_> {
    fn json(&self) -> Value {
        let items: Vec<Value> = self
            .0
            .iter()
            .map(|record| {
                json!({
                    "run": record.run,
                    "instance": record.instance.workload,
                    "from": record.upgrade.as_ref().map(|u| &u.from_version),
                    "to": record.upgrade.as_ref().map(|u| &u.to_version),
                    "state": record.state,
                    "startedAt": record.started_at,
                    "finishedAt": record.finished_at,
                    "startedBy": record.started_by,
                    "outageMs": record.outage_ms(),
                })
            })
            .collect();
        json!({"apiVersion": API_VERSION, "kind": "UpgradeRunList", "items": items})
    }

    fn tables(&self, wide: bool) -> Vec<TableSection> {
        let mut headers = vec![
            "RUN", "INSTANCE", "FROM", "TO", "STATE", "OUTAGE", "STARTED",
        ];
        if wide {
            headers.push("BY");
        }
        let mut table = TableSection::new(headers);
        for record in &self.0 {
            let upgrade = record.upgrade.as_ref();
            let target = record.target();
            let mut row = vec![
                Cell::from(record.run.as_str()),
                Cell::from(format!("{}/{}", target.kind.to_lowercase(), target.name)),
                Cell::from(upgrade.map(|u| u.from_version.clone())),
                Cell::from(upgrade.map(|u| u.to_version.clone())),
                Cell::new(record.state.to_string(), state_tone(record.state)),
                Cell::from(record.outage_ms().map(seconds)),
                Cell::from(record.started_at.strftime("%Y-%m-%d %H:%M:%SZ").to_string()),
            ];
            if wide {
                row.push(Cell::from(record.started_by.as_str()));
            }
            table.row(row);
        }
        vec![table]
    }

    fn names(&self) -> Vec<String> {
        self.0
            .iter()
            .map(|r| format!("run.pg-upgrade.dev/{}", r.run))
            .collect()
    }
}

fn duration(entry: &Entry, now: Timestamp) -> String {
    let Some(start) = entry.started_at else {
        return String::new();
    };
    let end = entry.finished_at.unwrap_or(now);
    seconds(end.as_millisecond() - start.as_millisecond())
}

fn seconds(ms: i64) -> String {
    human_seconds(std::time::Duration::from_millis(
        u64::try_from(ms).unwrap_or(0),
    ))
}

fn state_word(state: StepState) -> &'static str {
    match state {
        StepState::Pending => "pending",
        StepState::Started => "running",
        StepState::Done => "done",
        StepState::Failed => "failed",
        StepState::Skipped => "skipped",
        StepState::Undone => "undone",
    }
}

fn step_tone(state: StepState) -> Tone {
    match state {
        StepState::Done => Tone::Good,
        StepState::Failed => Tone::Bad,
        StepState::Started => Tone::Warn,
        _ => Tone::Dim,
    }
}

fn state_tone(state: RunState) -> Tone {
    match state {
        RunState::Upgraded | RunState::Loaded | RunState::Restored | RunState::Rehearsed => {
            Tone::Good
        }
        RunState::Open => Tone::Warn,
        RunState::Failed | RunState::HalfWay => Tone::Bad,
        RunState::Cleaned | RunState::Resumed => Tone::Dim,
    }
}
