//! What is done on a new server while it serves, as `src/scripts/vacuum.sh` tells it, and how that is said to a person.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::verify::unescape;

/// One line of the script.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
pub enum Event {
    /// The work was started; its lines begin at `offset` of the file.
    Started {
        /// Lines to pass over when following.
        offset: u64,
    },
    /// It was running already; its lines begin at `offset`.
    Attached {
        /// Lines to pass over when following.
        offset: u64,
    },
    /// The first line of the work.
    Begun {
        /// `server_version_num`.
        version: u32,
        /// Parallel jobs.
        jobs: u32,
        /// Databases that take connections.
        databases: u64,
    },
    /// A stage of one database begins: `extensions`, `minimal`, `medium`, `full`, `parents` or `indexes`.
    Stage {
        /// Name of the stage.
        stage: String,
        /// The database.
        database: String,
        /// Objects to do.
        objects: u64,
    },
    /// How many objects one worker has done of a stage.
    Progress {
        /// Name of the stage.
        stage: String,
        /// The database.
        database: String,
        /// Number of the worker.
        #[serde(default)]
        worker: u32,
        /// Objects done by it.
        done: u64,
    },
    /// A stage of one database has ended.
    Finished {
        /// Name of the stage.
        stage: String,
        /// The database.
        database: String,
        /// Objects done.
        done: u64,
        /// Objects that could not be done.
        failed: u64,
        /// Milliseconds that it took.
        ms: u64,
    },
    /// An extension was updated.
    Extension {
        /// The database.
        database: String,
        /// Name of the extension.
        object: String,
        /// Version before.
        from: String,
        /// Version now.
        to: String,
    },
    /// An index of a changed collation was rebuilt.
    Reindexed {
        /// The database.
        database: String,
        /// Schema and name of the index.
        object: String,
    },
    /// The new version of a collation, or of a database when there is no `object`, was written down.
    Refreshed {
        /// The database.
        database: String,
        /// Schema and name of the collation.
        #[serde(default)]
        object: Option<String>,
        /// Version before.
        #[serde(default)]
        from: Option<String>,
        /// Version now.
        #[serde(default)]
        to: Option<String>,
    },
    /// Something is left for a person.
    Problem(Problem),
    /// Nothing new; keeps the connection open.
    Alive {
        /// Lines told so far.
        offset: u64,
    },
    /// The work is over.
    Done(Totals),
    /// The work ended before it was over.
    Gone {
        /// What to do.
        detail: String,
    },
    /// The script could not begin.
    Failed {
        /// `lock`, `no-directory`, `usage` and so on.
        reason: String,
        /// What it saw.
        detail: String,
    },
    /// Whether it works: `none`, `working`, `done` or `gone`.
    Status {
        /// The state.
        state: String,
        /// Lines of the file.
        offset: u64,
    },
}

impl Event {
    /// The event of a line; `None` for a line that is not one.
    pub fn parse(line: &str) -> Option<Self> {
        serde_json::from_str(line).ok()
    }
}

/// Something that is left for a person.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Problem {
    /// `extension`, `table`, `index`, `exclusion`, `partition`, `check`, `collation`, `leftover` or `database`.
    pub kind: String,
    /// The database.
    pub database: String,
    /// The object.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub object: Option<String>,
    /// The constraint, for a `check`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub constraint: Option<String>,
    /// What happened, in PostgreSQL's words where it spoke.
    pub detail: String,
    /// What to do.
    pub advice: String,
}

impl Problem {
    /// The problem as a sentence.
    pub fn sentence(&self) -> String {
        let mut name = match self.kind.as_str() {
            "exclusion" => "index".to_owned(),
            "partition" => "partitioned table".to_owned(),
            "check" => "constraint".to_owned(),
            "leftover" => "invalid index".to_owned(),
            kind => kind.to_owned(),
        };
        if let Some(constraint) = &self.constraint {
            name = format!("{name} {} of table", unescape(constraint));
        }
        if let Some(object) = &self.object {
            name = format!("{name} {}", unescape(object));
        }
        let place = if self.kind == "database" {
            ""
        } else {
            " in database"
        };
        let database = unescape(&self.database);
        let sentence = format!(
            "{name}{place} {database}: {} ({})",
            self.detail, self.advice
        );
        // Names and messages can hold line breaks and control characters.
        sentence
            .chars()
            .map(|c| if c.is_control() { ' ' } else { c })
            .collect()
    }
}

/// What was done in all databases.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Totals {
    /// Things left for a person.
    pub problems: u64,
    /// Extensions updated.
    pub extensions: u64,
    /// Tables analyzed to the full target, those of the system included.
    pub analyzed: u64,
    /// Indexes rebuilt.
    pub reindexed: u64,
    /// Collation versions written down.
    pub refreshed: u64,
    /// Milliseconds that it took.
    pub ms: u64,
}

/// What came of it; grows with every line that is read.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Report {
    /// The totals, when the work is over.
    pub totals: Option<Totals>,
    /// What is left for a person.
    pub left: Vec<Problem>,
    /// How often the work ended before it was over.
    pub restarts: u32,
    #[serde(skip)]
    now: Option<Now>,
}

/// The stage that is at work.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Now {
    stage: String,
    database: String,
    objects: u64,
    done: BTreeMap<u32, u64>,
}

impl Report {
    /// Takes in one event and returns the text for a person who waits, when it changes.
    pub fn add(&mut self, event: Event) -> Option<String> {
        match event {
            // A work that is started again tells its problems again.
            Event::Begun { .. } => self.left.clear(),
            Event::Stage {
                stage,
                database,
                objects,
            } => {
                self.now = Some(Now {
                    stage,
                    database,
                    objects,
                    done: BTreeMap::new(),
                });
                return self.text();
            }
            Event::Progress {
                stage,
                database,
                worker,
                done,
            } => {
                let now = self.now.as_mut()?;
                // The small parts of the last stage have counts of their own.
                if now.stage == stage && now.database == database {
                    now.done.insert(worker, done);
                    return self.text();
                }
            }
            Event::Finished { .. } => self.now = None,
            Event::Problem(problem) => self.left.push(problem),
            Event::Done(totals) => self.totals = Some(totals),
            _ => {}
        }
        None
    }

    /// What is at work: `statistics of app: 12 of 340 tables`.
    fn text(&self) -> Option<String> {
        let now = self.now.as_ref()?;
        let done: u64 = now.done.values().sum();
        let (what, unit) = match now.stage.as_str() {
            "extensions" => ("extensions", "extensions"),
            "minimal" => ("first rough statistics", "tables"),
            "medium" => ("better statistics", "tables"),
            "full" => ("full statistics", "tables"),
            "parents" => ("statistics of partitioned tables", "tables"),
            "indexes" => ("indexes of changed collations", "indexes"),
            other => (other, "objects"),
        };
        Some(format!(
            "{what} of database {}: {done} of {} {unit}",
            unescape(&now.database),
            now.objects
        ))
    }

    /// The whole in a few words.
    pub fn sentence(&self) -> String {
        let Some(totals) = &self.totals else {
            return "not finished".to_owned();
        };
        let counted = |n: u64, one: &str, many: &str| match n {
            1 => format!("1 {one}"),
            n => format!("{n} {many}"),
        };
        let mut parts = Vec::new();
        if totals.extensions > 0 {
            parts.push(counted(
                totals.extensions,
                "extension updated",
                "extensions updated",
            ));
        }
        if totals.analyzed > 0 {
            parts.push(counted(
                totals.analyzed,
                "table analyzed",
                "tables analyzed",
            ));
        }
        if totals.reindexed > 0 {
            parts.push(counted(
                totals.reindexed,
                "index rebuilt",
                "indexes rebuilt",
            ));
        }
        if parts.is_empty() {
            parts.push("nothing was left to do".to_owned());
        }
        if !self.left.is_empty() {
            parts.push(counted(
                self.left.len() as u64,
                "thing left to you",
                "things left to you",
            ));
        }
        parts.join(", ")
    }

    /// What is left for a person, one sentence each.
    pub fn problems(&self) -> Vec<String> {
        self.left.iter().map(Problem::sentence).collect()
    }

    /// The report for the record.
    ///
    /// # Errors
    /// Never in practice: every member is plain JSON.
    pub fn json(&self) -> serde_json::Result<Value> {
        serde_json::to_value(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn add(report: &mut Report, line: &str) -> Option<String> {
        report.add(Event::parse(line).unwrap_or_else(|| panic!("not an event: {line}")))
    }

    // Recorded from vacuum.sh on a real 17 that came from 13.
    const LINES: [&str; 12] = [
        r#"{"at":1795188204592,"event":"started","pid":62,"offset":0}"#,
        r#"{"at":1795188204643,"event":"begun","version":170011,"jobs":2,"databases":2}"#,
        r#"{"at":1795188204650,"event":"stage","stage":"extensions","database":"app","objects":2}"#,
        r#"{"at":1795188204651,"event":"extension","database":"app","object" : "hstore", "from" : "1.7", "to" : "1.8"}"#,
        r#"{"at":1795188204652,"event":"problem","kind":"extension","database":"app","object" : "nopath", "from" : "1.0", "to" : "2.0","detail":"there is no way","advice":"DROP EXTENSION nopath"}"#,
        r#"{"at":1795188204653,"event":"finished","stage":"extensions","database":"app","done":1,"failed":1,"ms":20}"#,
        r#"{"at":1795188205007,"event":"stage","stage":"full","database":"app","objects":31}"#,
        r#"{"at":1795188205043,"event":"progress","stage":"full","database":"app","worker":1,"done":4}"#,
        r#"{"at":1795188205108,"event":"progress","stage":"full","database":"app","worker":0,"done":8}"#,
        r#"{"at":1795188205109,"event":"reindexed","database":"app","object" : "public.i"}"#,
        r#"{"at":1795188205110,"event":"refreshed","database":"app","from" : "2.41", "to" : "2.43"}"#,
        r#"{"at":1795188205111,"event":"done","problems":1,"extensions":1,"analyzed":31,"reindexed":1,"refreshed":1,"ms":500}"#,
    ];

    #[test]
    fn the_lines_of_a_whole_run_become_a_report() {
        let mut report = Report::default();
        let said: Vec<String> = LINES
            .iter()
            .filter_map(|line| add(&mut report, line))
            .collect();
        assert_eq!(
            said,
            [
                "extensions of database app: 0 of 2 extensions",
                "full statistics of database app: 0 of 31 tables",
                "full statistics of database app: 4 of 31 tables",
                "full statistics of database app: 12 of 31 tables",
            ]
        );
        assert_eq!(
            report.sentence(),
            "1 extension updated, 31 tables analyzed, 1 index rebuilt, 1 thing left to you"
        );
        assert_eq!(
            report.problems(),
            ["extension nopath in database app: there is no way (DROP EXTENSION nopath)"]
        );
        assert_eq!(report.totals.as_ref().map(|t| t.ms), Some(500));
    }

    #[test]
    fn a_second_start_tells_its_problems_anew() {
        let mut report = Report::default();
        for line in [LINES[4], LINES[1], LINES[4]] {
            add(&mut report, line);
        }
        assert_eq!(report.left.len(), 1);
        assert_eq!(report.sentence(), "not finished");
    }

    #[test]
    fn nothing_to_do_is_said() {
        let mut report = Report::default();
        add(
            &mut report,
            r#"{"event":"done","problems":0,"extensions":0,"analyzed":0,"reindexed":0,"refreshed":0,"ms":5}"#,
        );
        assert_eq!(report.sentence(), "nothing was left to do");
    }

    #[test]
    fn names_in_problems_cannot_break_the_line() {
        let problem = Problem {
            kind: "check".to_owned(),
            database: "d\\303\\244".to_owned(),
            object: Some("s.new\nline".to_owned()),
            constraint: Some("c".to_owned()),
            detail: "x".to_owned(),
            advice: "y".to_owned(),
        };
        assert_eq!(
            problem.sentence(),
            "constraint c of table s.new line in database dä: x (y)"
        );
    }

    #[test]
    fn a_line_that_is_no_event_is_passed_over() {
        assert_eq!(Event::parse("WARNING: something"), None);
        assert_eq!(Event::parse(r#"{"event":"unheard-of"}"#), None);
    }
}
