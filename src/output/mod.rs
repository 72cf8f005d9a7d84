//! What goes to stdout (one result, in the form asked for by `-o`) and to stderr (the story).
//!
//! A command hands over a [`Report`]; nothing here knows a command, a cluster or Kubernetes, and nothing
//! here reads the world besides template files named in `-o`.

mod color;
mod columns;
mod human;
mod jsonpath;
mod table;
mod ui;

use std::io::{self, Write};
use std::str::FromStr;

use serde_json::Value;

pub use color::ColorChoice;
pub use columns::Columns;
pub use human::{human_bytes, human_duration, human_seconds};
pub use jsonpath::{JsonPathError, Template};
pub use table::{Cell, Table, TableSection, Tone};
pub use ui::{NotATerminal, Step, Ui, UiBuilder};

/// Result of a command in every form in which it can be printed.
pub trait Report {
    /// The shape promised to scripts, kept apart from the internal types; lists have `items`.
    fn json(&self) -> Value;
    /// The same for people; `wide` asks for the columns that are left out by default.
    fn tables(&self, wide: bool) -> Vec<TableSection>;
    /// One `kind.group/name` for each object, as `-o name` prints them.
    fn names(&self) -> Vec<String>;
}

/// The form of the result, as chosen by `-o`.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum Format {
    /// Columns for people, the default.
    #[default]
    Table,
    /// Columns for people, all of them.
    Wide,
    /// One JSON document.
    Json,
    /// One YAML document.
    Yaml,
    /// One `kind.group/name` a line.
    Name,
    /// kubectl's JSONPath template; no line end of its own.
    JsonPath(Template),
    /// kubectl's JSONPath template, each result as an indented JSON array.
    JsonPathAsJson(Template),
    /// kubectl's custom columns, one row for each of `items`.
    CustomColumns(Columns),
}

/// Why the value of `-o` cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum FormatError {
    /// No such form.
    #[error("unknown output format {0:?}: allowed are {ALLOWED}")]
    Unknown(String),
    /// A form of kubectl that needs Go.
    #[error(
        "output format {0:?} is not supported: use jsonpath=, custom-columns= or json instead (allowed are {ALLOWED})"
    )]
    GoTemplate(String),
    /// A form that needs a value after `=`.
    #[error("output format {0} needs a value: {0}={1}")]
    NoValue(&'static str, &'static str),
    /// A form that takes no value.
    #[error("output format {0} takes no value")]
    Value(String),
    /// The template does not parse.
    #[error("parsing the JSONPath template {0:?}: {1}")]
    JsonPath(String, JsonPathError),
    /// The columns do not parse.
    #[error(transparent)]
    Columns(#[from] columns::ColumnsError),
    /// The template file cannot be read.
    #[error("reading the template file {0}: {1}")]
    File(String, io::Error),
}

/// Every form, as named in messages, help and completion.
const ALLOWED: &str = "table, wide, json, yaml, name, jsonpath=, jsonpath-file=, jsonpath-as-json=, custom-columns=, custom-columns-file=";

impl Format {
    /// Tells whether the result is for people, so that a command may add sentences to it on stderr.
    pub fn for_people(&self) -> bool {
        matches!(self, Self::Table | Self::Wide)
    }

    /// Values for shell completion of `-o`.
    pub fn candidates() -> impl Iterator<Item = &'static str> {
        ALLOWED.split(", ")
    }
}

impl FromStr for Format {
    type Err = FormatError;

    /// Reads the value of `-o`; templates are parsed (and their files read) here, before anything is done.
    fn from_str(text: &str) -> Result<Self, FormatError> {
        let (name, value) = match text.split_once('=') {
            Some((name, value)) => (name, Some(value)),
            None => (text, None),
        };
        let template = |text: &str| {
            Template::parse(text).map_err(|error| FormatError::JsonPath(text.to_owned(), error))
        };
        let read = |path: &str| {
            std::fs::read_to_string(path).map_err(|error| FormatError::File(path.to_owned(), error))
        };
        let wants = |name, example| {
            value
                .filter(|value| !value.is_empty())
                .ok_or(FormatError::NoValue(name, example))
        };
        let plain = |format| match value {
            None => Ok(format),
            Some(_) => Err(FormatError::Value(name.to_owned())),
        };
        match name {
            "table" => plain(Self::Table),
            "wide" => plain(Self::Wide),
            "json" => plain(Self::Json),
            "yaml" => plain(Self::Yaml),
            "name" => plain(Self::Name),
            "jsonpath" => Ok(Self::JsonPath(template(wants("jsonpath", "'{.kind}'")?)?)),
            "jsonpath-as-json" => Ok(Self::JsonPathAsJson(template(wants(
                "jsonpath-as-json",
                "'{.items[*]}'",
            )?)?)),
            "jsonpath-file" => Ok(Self::JsonPath(template(&read(wants(
                "jsonpath-file",
                "FILE",
            )?)?)?)),
            "custom-columns" => Ok(Self::CustomColumns(Columns::parse(wants(
                "custom-columns",
                "NAME:.metadata.name,KIND:.kind",
            )?)?)),
            "custom-columns-file" => Ok(Self::CustomColumns(Columns::parse_file(&read(wants(
                "custom-columns-file",
                "FILE",
            )?)?)?)),
            "go-template" | "go-template-file" | "template" | "templatefile" => {
                Err(FormatError::GoTemplate(name.to_owned()))
            }
            _ => Err(FormatError::Unknown(name.to_owned())),
        }
    }
}

/// How a table looks beyond its content.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Look {
    /// Print the header line; `--no-headers` clears it.
    pub headers: bool,
    /// Colour the cells that have a tone.
    pub color: bool,
}

impl Default for Look {
    fn default() -> Self {
        Self {
            headers: true,
            color: false,
        }
    }
}

/// Prints a result with headers and without colour.
///
/// # Errors
/// As [`print_with`].
pub fn print(out: &mut dyn Write, format: &Format, report: &dyn Report) -> io::Result<()> {
    print_with(out, format, report, Look::default())
}

/// Prints a result to the writer, which is stdout in the program.
///
/// # Errors
/// What the writer says, except that a closed pipe (`| head`) is a success: the reader has what it wanted
/// and the command goes on. A JSONPath that does not fit the result is an error of kind `InvalidInput`.
pub fn print_with(
    out: &mut dyn Write,
    format: &Format,
    report: &dyn Report,
    look: Look,
) -> io::Result<()> {
    let text = render(format, report, look)?;
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        other => other,
    }
}

/// The whole result as text, so that an error leaves nothing half-printed.
fn render(format: &Format, report: &dyn Report, look: Look) -> io::Result<String> {
    let invalid = |error: JsonPathError| io::Error::new(io::ErrorKind::InvalidInput, error);
    Ok(match format {
        Format::Table => table::render(&report.tables(false), look),
        Format::Wide => table::render(&report.tables(true), look),
        Format::Json => serde_json::to_string_pretty(&report.json())? + "\n",
        Format::Yaml => yaml(&report.json())?,
        Format::Name => report.names().iter().fold(String::new(), |text, name| {
            text + &table::printable(name) + "\n"
        }),
        Format::JsonPath(template) => template.render(&report.json()).map_err(invalid)?,
        Format::JsonPathAsJson(template) => {
            template.render_as_json(&report.json()).map_err(invalid)?
        }
        Format::CustomColumns(columns) => columns.render(&report.json(), look).map_err(invalid)?,
    })
}

/// One YAML document in kubectl's layout; strings that YAML 1.1 would read as something else are quoted.
///
/// # Errors
/// When the value cannot be expressed, which JSON values always can.
pub fn yaml(value: &Value) -> io::Result<String> {
    let options = serde_saphyr::ser_options! {
        compact_list_indent: true,
        empty_as_braces: true,
        folded_wrap_chars: usize::MAX,
    };
    let mut text =
        serde_saphyr::to_string_with_options(value, options).map_err(io::Error::other)?;
    if !text.ends_with('\n') {
        text.push('\n');
    }
    Ok(text)
}

#[cfg(test)]
mod tests;
