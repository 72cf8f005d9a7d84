//! A run as a result: for people, for scripts.

use jiff::Timestamp;
use serde_json::{Value, json};

use crate::output::{Cell, Report, TableSection, Tone, human_bytes, human_seconds};
use crate::record::{Entry, Record, RunState, StepState};
use crate::steps::worker;

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
            document.insert("warnings".to_owned(), json!(warnings(self.record)));
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
        if let Some(side) = &record.side {
            head.field(
                "Versions",
                format!("{} -> {}", side.from_version, side.to_version),
            );
            head.field("Loaded", side.new.to_string());
        }
        head.field(
            "State",
            Cell::new(record.state.to_string(), state_tone(record.state)),
        );
        if let Some(ms) = record.outage_ms() {
            head.field("Outage", seconds(ms));
        }
        for dump in &record.dumps {
            let size = dump.bytes.map(human_bytes);
            let whole = if dump.sealed {
                "sealed"
            } else {
                "not finished"
            };
            let said = [size, Some(whole.to_owned())];
            let said: Vec<String> = said.into_iter().flatten().collect();
            head.field("Dump", format!("{} ({})", dump.place, said.join(", ")));
        }
        for observed in record.observed.iter().filter(|o| o["event"] == "verified") {
            head.field("Verified", crate::verify::sentence(observed));
        }
        for text in warnings(record) {
            head.field("Warning", Cell::new(text, Tone::Warn));
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
                    "from": record.versions().map(|v| v.0),
                    "to": record.versions().map(|v| v.1),
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
            let versions = record.versions();
            let target = record.target();
            let mut row = vec![
                Cell::from(record.run.as_str()),
                Cell::from(format!("{}/{}", target.kind.to_lowercase(), target.name)),
                Cell::from(versions.map(|v| v.0.to_owned())),
                Cell::from(versions.map(|v| v.1.to_owned())),
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

/// What came of the run besides its end; the same for people and for scripts.
pub(super) fn warnings(record: &Record) -> Vec<String> {
    let verdicts = record.observed.iter().filter(|o| o["event"] == "verified");
    let mut warnings: Vec<String> = verdicts.clone().flat_map(crate::verify::warnings).collect();
    // On the way back nothing is compared.
    if worker::crashed(record) && verdicts.count() == 0 {
        warnings.push(worker::CRASHED.to_owned());
    }
    warnings
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
        RunState::Upgraded | RunState::Restored | RunState::Rehearsed | RunState::Loaded => {
            Tone::Good
        }
        RunState::Open => Tone::Warn,
        RunState::Failed | RunState::HalfWay => Tone::Bad,
        RunState::Cleaned | RunState::Resumed => Tone::Dim,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checks::testing;
    use crate::record::Asked;

    #[test]
    fn a_crash_is_told_by_what_it_emptied_and_on_the_way_back_by_itself() {
        let instance = testing::input().instance;
        let at = Timestamp::UNIX_EPOCH;
        let mut record = Record::new("r".into(), Asked::default(), "me".into(), at, instance);
        record.result = Some(json!({"outcome": "failed", "back": true}));
        assert_eq!(warnings(&record), [""; 0]);
        record.result = Some(json!({"outcome": "failed", "back": true, "crashed": true}));
        assert_eq!(warnings(&record), [worker::CRASHED]);
        let verdict = |emptied: Value| {
            json!({"event": "verified", "level": "quick", "writers": "no", "sizes": true, "from": "13", "to": "17", "sameSystem": false,
                "checked": {"databases": 1, "roles": 1, "relations": 1, "sequences": 0, "bytes": 0}, "differences": 0, "emptied": emptied, "ms": 1})
        };
        // A server without unlogged tables has lost nothing.
        record.observed = vec![verdict(json!({"tables": 0, "sequences": 0, "first": []}))];
        assert_eq!(warnings(&record), [""; 0]);
        let lost = json!([{"kind": "table", "database": "app", "object": "public.scratch"}]);
        record.observed = vec![verdict(json!({"tables": 1, "sequences": 0, "first": lost}))];
        let report = RunReport {
            record: &record,
            now: at,
            requests: 0,
        };
        let told = "unlogged tables were emptied, as PostgreSQL does after a crash: public.scratch in database app";
        assert_eq!(report.json()["warnings"], json!([told]));
        assert_eq!(
            report.json()["observed"][0]["emptied"]["first"][0]["object"],
            "public.scratch"
        );
        assert!(format!("{:?}", report.tables(false)).contains(told));
    }
}
