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
mod tests {
    use serde_json::json;

    use super::*;

    // Recorded from observe.sh against a real 13 to 17 upgrade.
    const OBSERVED: &str = r#"{"event":"observed","level":"counts","version":130016,"databases":7,"roles":5,"relations":139,"sequences":20,"largeObjects":50,"bytes":6840320,"rows":17376,"sha256":"3bc0b4ff","ms":390}"#;
    const VERIFIED: &str = r#"{"event":"verified","level" : "quick", "writers" : "no", "sizes" : true, "from" : "13.16 (Debian 13.16-0+deb11u1)", "to" : "17.11 (Debian 17.11-0+deb13u1)", "sameSystem" : false, "checked" : {"databases" : 7, "roles" : 5, "relations" : 138, "sequences" : 20, "largeObjects" : 50, "bytes" : 6840320, "rows" : null}, "differences" : 0,"ms":300}"#;

    fn said(line: &str) -> String {
        match Event::parse(line).unwrap() {
            Event::Difference(difference) => difference.sentence(),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn an_observation_is_told_with_its_rows() {
        let value: Value = serde_json::from_str(OBSERVED).unwrap();
        assert_eq!(
            sentence(&value),
            "7 databases, 5 roles, 139 relations of 6.5 MiB, 20 sequences, 50 large objects, 17376 rows"
        );
    }

    #[test]
    fn a_verdict_without_differences_says_equal() {
        let Some(Event::Verified(verified)) = Event::parse(VERIFIED) else {
            panic!("not a verdict")
        };
        assert_eq!(
            verified.sentence(),
            "equal: 7 databases, 5 roles, 138 relations of 6.5 MiB, 20 sequences, 50 large objects"
        );
        assert_eq!(verified.doubts(), Vec::<String>::new());
    }

    #[test]
    fn a_verdict_of_the_old_server_itself_or_without_sizes_is_doubted() {
        let mut value: Value = serde_json::from_str(VERIFIED).unwrap();
        value["sameSystem"] = json!(true);
        value["sizes"] = json!(false);
        assert_eq!(doubts(&value).len(), 2);
        assert_eq!(doubts(&json!({"event": "observed"})).len(), 1);
    }

    #[test]
    fn what_a_crash_emptied_is_named_and_is_no_difference() {
        let mut value: Value = serde_json::from_str(VERIFIED).unwrap();
        assert_eq!(warnings(&value), [""; 0]);
        // Recorded from observe.sh behind a server that was killed.
        value["emptied"] = json!({"tables": 3, "sequences": 1, "first": [
            {"kind": "table", "database": "app", "object": "public.scratch"},
            {"kind": "table", "database": "we ird", "object": "shop.gr\\303\\266\\303\\237e"},
            {"kind": "sequence", "database": "app", "object": "public.ticket"}]});
        assert_eq!(
            warnings(&value),
            [
                "unlogged tables were emptied, as PostgreSQL does after a crash: public.scratch in database app, shop.größe in database \"we ird\", 1 more",
                "unlogged sequences were reset, as PostgreSQL does after a crash: public.ticket in database app",
            ]
        );
        assert!(
            sentence(&value)
                .starts_with("equal but for 4 unlogged relations emptied by a crash: 7")
        );
        value["differences"] = json!(2);
        assert!(sentence(&value).starts_with("2 differences in 7"));
    }

    #[test]
    fn differences_are_sentences() {
        for (line, sentence) in [
            (
                r#"{"event":"difference","kind":"table","what":"missing","database":"app","object":"shop.cache","before":{"owner":"postgres"},"after":null}"#,
                "table shop.cache in database app is missing",
            ),
            (
                r#"{"event":"difference","kind":"role","what":"appeared","database":null,"object":"intruder","before":null,"after":{}}"#,
                "role intruder was not there before",
            ),
            (
                r#"{"event":"difference","kind":"rows","what":"rows","database":"app","object":"shop.customer","before":{"rows":2000},"after":{"rows":1999}}"#,
                "table shop.customer in database app: rows was 2000, is 1999",
            ),
            (
                r#"{"event":"difference","kind":"sequence value","what":"sequence value","database":"app","object":"shop.moved","before":{"last":8},"after":{"last":5}}"#,
                "sequence shop.moved in database app: last was 8, is 5",
            ),
            (
                r#"{"event":"difference","kind":"table","what":"size","database":"app","object":"t","before":{"bytes":16384},"after":{"bytes":8192}}"#,
                "table t in database app has 8192 bytes, and had 16384 when the server stopped",
            ),
            (
                r#"{"event":"difference","kind":"index","what":"size","database":"app","object":"i","before":null,"after":{"bytes":8192}}"#,
                "the file of index i in database app was not there when the server stopped",
            ),
            (
                r#"{"event":"difference","kind":"role","what":"changed","object":"r","before":{"connectionLimit":3,"password":"scram"},"after":{"connectionLimit":-1,"password":"none"}}"#,
                "role r: connection limit was 3, is -1; password was scram, is none",
            ),
            (
                r#"{"event":"difference","kind":"table","what":"changed","database":"d","object":"t","before":{"digest":"a"},"after":{"digest":"b"}}"#,
                "table t in database d: columns, names or types changed",
            ),
            (
                r#"{"event":"difference","kind":"large objects","what":"large objects","database":"d","object":null,"before":{"count":25},"after":{"count":24}}"#,
                "large objects in database d: count was 25, is 24",
            ),
        ] {
            assert_eq!(said(line), sentence);
        }
    }

    #[test]
    fn hostile_names_are_shown_whole_on_one_line() {
        let line = json!({"event": "difference", "kind": "table", "what": "missing", "database": "we ird=db 'x' \"q\" \\\\ $(id)",
            "object": "s.gr\\303\\266\\303\\237e\n\u{1b}[31m", "before": null, "after": null});
        assert_eq!(
            explain(&line),
            r#"table "s.größe\n\u{1b}[31m" in database "we ird=db 'x' \"q\" \\ $(id)" is missing"#
        );
    }

    #[test]
    fn bytes_that_are_no_text_stay_visible() {
        assert_eq!(unescape(r"\344\377\\x\"), "\u{fffd}\u{fffd}\\x\\");
        assert_eq!(unescape(r"\9\400"), r"\9\400");
    }

    #[test]
    fn a_failure_says_why() {
        let value = json!({"event": "failed", "reason": "incomplete", "detail": "observed-before has no end"});
        assert_eq!(sentence(&value), "observed-before has no end");
    }
}
