//! What was seen before the stop and what was found after it, and how that is said to a person.
//!
//! `src/scripts/observe.sh` prints one line of JSON for each event; names in it are ASCII (see [`unescape`]).

use serde::Deserialize;
use serde_json::{Map, Value};

use crate::output::human_bytes;

/// What the old server held; the details lie beside the journal on the volume.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Observed {
    /// `quick` or `counts`.
    pub level: String,
    /// `server_version_num`.
    pub version: u32,
    /// Databases, templates included.
    pub databases: u64,
    /// Roles, those that every server has left out.
    pub roles: u64,
    /// Tables, views, indexes, sequences and the like in the schemas of users.
    pub relations: u64,
    /// Sequences.
    pub sequences: u64,
    /// Large objects of all databases.
    pub large_objects: u64,
    /// Bytes of the main forks of all these relations and their TOAST tables.
    pub bytes: u64,
    /// Rows of all tables, when they were counted.
    #[serde(default)]
    pub rows: Option<u64>,
    /// SHA-256 of the details.
    #[serde(default)]
    pub sha256: Option<String>,
    /// Milliseconds that it took.
    pub ms: u64,
}

/// How much was compared.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Checked {
    /// Databases on both sides.
    pub databases: u64,
    /// Roles on both sides.
    pub roles: u64,
    /// Relations on both sides.
    pub relations: u64,
    /// Sequences whose values were compared.
    pub sequences: u64,
    /// Large objects.
    #[serde(default)]
    pub large_objects: u64,
    /// Bytes of the files whose sizes were compared.
    pub bytes: u64,
    /// Rows, when they were counted on both sides.
    #[serde(default)]
    pub rows: Option<u64>,
}

/// The verdict on the new server.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Verified {
    /// `quick` or `counts`.
    pub level: String,
    /// `no` when nobody could write since the observation, else `unknown`.
    pub writers: String,
    /// Whether the sizes at the moment of the stop were there to compare with.
    pub sizes: bool,
    /// Version text of the observed server.
    pub from: String,
    /// Version text of the server that answered.
    pub to: String,
    /// The system identifier is that of the observed server: no other server answered.
    pub same_system: bool,
    /// How much was compared.
    pub checked: Checked,
    /// Number of differences, of which at most 50 are told one by one.
    pub differences: u64,
    /// What PostgreSQL has emptied, when the old server was cut off in the outage.
    #[serde(default)]
    pub emptied: Option<Emptied>,
    /// Milliseconds that it took.
    pub ms: u64,
}

/// What recovery from a crash has emptied, which is what `UNLOGGED` means: no difference that an upgrade has made.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub struct Emptied {
    /// Unlogged tables that held something before.
    pub tables: u64,
    /// Unlogged sequences that went back.
    pub sequences: u64,
    /// The first 50 of them.
    pub first: Vec<Lost>,
}

/// An unlogged table or sequence that lost what it held.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Lost {
    /// `table` or `sequence`.
    pub kind: String,
    /// The database that it lies in.
    pub database: String,
    /// Its name, with its schema.
    pub object: String,
}

/// One thing that is not as it was.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Difference {
    /// `table`, `role`, `rows`, `sequence value` and so on.
    pub kind: String,
    /// `missing`, `appeared`, `changed`, `size`, `rows`, `sequence value`, `large objects`.
    pub what: String,
    /// The database, for what lies in one.
    #[serde(default)]
    pub database: Option<String>,
    /// Its name, with its schema.
    #[serde(default)]
    pub object: Option<String>,
    /// What differs, as it was.
    #[serde(default)]
    pub before: Value,
    /// What differs, as it is.
    #[serde(default)]
    pub after: Value,
}

/// One event of the script.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
pub enum Event {
    /// The end of an observation.
    Observed(Observed),
    /// One of the first 50 differences.
    Difference(Difference),
    /// The end of a comparison.
    Verified(Verified),
    /// The script could not tell.
    Failed {
        /// `observation`, `count`, `nothing-observed`, `incomplete`, `comparison` and so on.
        reason: String,
        /// What it saw.
        detail: String,
    },
}

impl Event {
    /// The event of a line; `None` for a line that is not one.
    pub fn parse(line: &str) -> Option<Self> {
        serde_json::from_str(line).ok()
    }
}

impl Observed {
    /// What was seen, in a few words.
    pub fn sentence(&self) -> String {
        let checked = Checked {
            databases: self.databases,
            roles: self.roles,
            relations: self.relations,
            sequences: self.sequences,
            large_objects: self.large_objects,
            bytes: self.bytes,
            rows: self.rows,
        };
        checked.sentence()
    }
}

impl Checked {
    fn sentence(&self) -> String {
        let mut parts = vec![
            counted(self.databases, "database"),
            counted(self.roles, "role"),
            format!(
                "{} of {}",
                counted(self.relations, "relation"),
                human_bytes(self.bytes)
            ),
            counted(self.sequences, "sequence"),
        ];
        if self.large_objects > 0 {
            parts.push(counted(self.large_objects, "large object"));
        }
        if let Some(rows) = self.rows {
            parts.push(counted(rows, "row"));
        }
        parts.join(", ")
    }
}

impl Verified {
    /// The verdict in a few words.
    pub fn sentence(&self) -> String {
        let lost = self.emptied.as_ref().map_or(0, |e| e.tables + e.sequences);
        match self.differences {
            0 if lost > 0 => format!(
                "equal but for {} emptied by a crash: {}",
                counted(lost, "unlogged relation"),
                self.checked.sentence()
            ),
            0 => format!("equal: {}", self.checked.sentence()),
            n => format!(
                "{} in {}",
                counted(n, "difference"),
                self.checked.sentence()
            ),
        }
    }

    /// Why this verdict proves less than it should, one sentence each; empty when it is whole.
    pub fn doubts(&self) -> Vec<String> {
        let mut doubts = Vec::new();
        if self.same_system {
            doubts.push(
                "the server that answered is the old one itself: nothing was upgraded".to_owned(),
            );
        }
        if !self.sizes {
            doubts.push(
                "the sizes of the files at the moment of the stop are missing, so they were not compared"
                    .to_owned(),
            );
        }
        if self.checked.databases == 0 {
            doubts.push("no database was compared".to_owned());
        }
        doubts
    }
}

impl Emptied {
    /// What was lost, one sentence for each kind; empty when nothing was.
    pub fn sentences(&self) -> Vec<String> {
        let mut sentences = Vec::new();
        for (kind, n, what) in [
            ("table", self.tables, "tables were emptied"),
            ("sequence", self.sequences, "sequences were reset"),
        ] {
            let first = self.first.iter().filter(|lost| lost.kind == kind);
            let mut names: Vec<String> = first.map(Lost::name).collect();
            let more = n.saturating_sub(names.len() as u64);
            if more > 0 {
                names.push(format!("{more} more"));
            }
            if n > 0 {
                sentences.push(format!(
                    "unlogged {what}, as PostgreSQL does after a crash: {}",
                    names.join(", ")
                ));
            }
        }
        sentences
    }
}

impl Lost {
    fn name(&self) -> String {
        let [object, database] = [&self.object, &self.database].map(|name| quoted(&unescape(name)));
        format!("{object} in database {database}")
    }
}

impl Difference {
    /// The difference as a sentence.
    pub fn sentence(&self) -> String {
        let name = self.name();
        let number = |side: &Value, key: &str| side[key].as_u64();
        match self.what.as_str() {
            "missing" if self.kind == "rows" => format!("the rows of {name} were not counted"),
            "missing" => format!("{name} is missing"),
            "appeared" => format!("{name} was not there before"),
            "size" => match (number(&self.before, "bytes"), number(&self.after, "bytes")) {
                (Some(before), Some(after)) => {
                    format!("{name} has {after} bytes, and had {before} when the server stopped")
                }
                (None, _) => format!("the file of {name} was not there when the server stopped"),
                (_, None) => format!("the file of {name} is missing"),
            },
            _ => format!("{name}: {}", self.changes()),
        }
    }

    fn name(&self) -> String {
        let object = self.object.as_deref().map(unescape);
        let kind = match self.kind.as_str() {
            "rows" => "table",
            "sequence value" => "sequence",
            "toast" => "TOAST table of",
            "toast index" => "TOAST index of",
            kind => kind,
        };
        let mut name = match object {
            Some(object) => format!("{kind} {}", quoted(&object)),
            None => kind.to_owned(),
        };
        if let Some(database) = &self.database {
            name.push_str(" in database ");
            name.push_str(&quoted(&unescape(database)));
        }
        name
    }

    fn changes(&self) -> String {
        let empty = Map::new();
        let before = self.before.as_object().unwrap_or(&empty);
        let after = self.after.as_object().unwrap_or(&empty);
        let mut keys: Vec<&str> = before
            .keys()
            .chain(after.keys())
            .map(String::as_str)
            .collect();
        keys.sort_unstable();
        keys.dedup();
        let changes: Vec<String> = keys
            .into_iter()
            .map(|key| match key {
                "digest" => "columns, names or types changed".to_owned(),
                "triggers" | "rules" | "labels" => format!("{key} changed"),
                _ => format!(
                    "{} was {}, is {}",
                    words(key),
                    text(before.get(key)),
                    text(after.get(key))
                ),
            })
            .collect();
        changes.join("; ")
    }
}

/// What an observation or a verdict says, for the record's and the report's lines.
pub fn sentence(event: &Value) -> String {
    match serde_json::from_value(event.clone()) {
        Ok(Event::Observed(observed)) => observed.sentence(),
        Ok(Event::Verified(verified)) => verified.sentence(),
        Ok(Event::Difference(difference)) => difference.sentence(),
        Ok(Event::Failed { detail, .. }) => detail,
        Err(_) => event.to_string(),
    }
}

/// A difference as a sentence.
pub fn explain(difference: &Value) -> String {
    sentence(difference)
}

/// Why a verdict proves less than it should; see [`Verified::doubts`].
pub fn doubts(verdict: &Value) -> Vec<String> {
    match serde_json::from_value(verdict.clone()) {
        Ok(Event::Verified(verified)) => verified.doubts(),
        _ => vec!["the comparison ended without a verdict".to_owned()],
    }
}

/// What the upgraded server lost without being different; see [`Emptied::sentences`].
pub fn warnings(verdict: &Value) -> Vec<String> {
    match serde_json::from_value(verdict.clone()) {
        Ok(Event::Verified(verified)) => verified.emptied.unwrap_or_default().sentences(),
        _ => Vec::new(),
    }
}

/// Undoes PostgreSQL's `escape` encoding of bytes: `\303\244` is `ä`, `\\` is a backslash.
///
/// Bytes that are no UTF-8, which a database without an encoding can hold, stay visible as replacement characters.
pub fn unescape(name: &str) -> String {
    let mut bytes = Vec::with_capacity(name.len());
    let mut rest = name.as_bytes();
    while let Some((&first, after)) = rest.split_first() {
        rest = after;
        match (first, after) {
            (b'\\', [b'\\', after @ ..]) => {
                bytes.push(b'\\');
                rest = after;
            }
            (
                b'\\',
                [
                    a @ b'0'..=b'3',
                    b @ b'0'..=b'7',
                    c @ b'0'..=b'7',
                    after @ ..,
                ],
            ) => {
                bytes.push((a - b'0') * 64 + (b - b'0') * 8 + (c - b'0'));
                rest = after;
            }
            _ => bytes.push(first),
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// A name for a sentence: as it is when it is plain, else in quotes with control characters escaped.
fn quoted(name: &str) -> String {
    let plain = |c: char| c.is_alphanumeric() || "_.-$".contains(c);
    if !name.is_empty() && name.chars().all(plain) {
        name.to_owned()
    } else {
        format!("{name:?}")
    }
}

/// A number of things, such as `2 rows`.
pub(crate) fn counted(n: u64, noun: &str) -> String {
    format!("{n} {noun}{}", if n == 1 { "" } else { "s" })
}

/// `connectionLimit` as `connection limit`.
fn words(key: &str) -> String {
    let mut words = String::new();
    for c in key.chars() {
        if c.is_ascii_uppercase() {
            words.push(' ');
        }
        words.push(c.to_ascii_lowercase());
    }
    words
}

fn text(value: Option<&Value>) -> String {
    match value {
        None | Some(Value::Null) => "nothing".to_owned(),
        Some(Value::String(text)) => quoted(&unescape(text)),
        Some(other) => other.to_string(),
    }
}

#[cfg(test)]
mod tests;
