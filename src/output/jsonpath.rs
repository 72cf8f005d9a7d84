//! kubectl's JSONPath templates: literal text with paths in braces.
//!
//! The dialect is that of client-go, not RFC 9535: no `$` needed, `\.` inside names, `[..]` unions of paths,
//! `{range}`…`{end}`, one comparison in a filter, missing keys print nothing. Paths are rewritten to queries of
//! RFC 9535, which `jsonpath-rust` evaluates; what the RFC has no error or no word for is a step between two
//! queries. What client-go does with a template was recorded from kubectl itself (`testdata/jsonpath.json`).
//! These differences are meant: maps keep the order of the document and their `<`, `>` and `&`; numbers are
//! compared as fractions; a `{range}` without `{end}`, an unknown word or a `..` without a name is refused when
//! the template is read instead of printing something odd or failing after the work is done.

mod rewrite;
#[cfg(test)]
mod tests;

use std::mem;

use jsonpath_rust::parser::model::JpQuery;
use jsonpath_rust::query::js_path_process;
use serde::Serialize as _;
use serde_json::{Value, json};

/// A template that has been read.
#[derive(Clone, Debug, PartialEq)]
pub struct Template {
    blocks: Vec<Block>,
}

/// Why a template cannot be read, or does not fit the document.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct JsonPathError(String);

/// Top-level piece of a template.
#[derive(Clone, Debug, PartialEq)]
enum Block {
    Path(Path),
    Range(Path, Vec<Self>),
}

/// Steps from many values to many values.
type Path = Vec<Step>;

#[derive(Clone, Debug, PartialEq)]
enum Step {
    /// What the query finds in each value.
    Query(JpQuery),
    /// The same values, which have to be arrays with these places; the RFC finds nothing where client-go fails.
    Slice { start: i64, end: Option<i64> },
    /// What each of the paths finds.
    Union(Vec<Path>),
    /// The elements for which the path finds something, or compares so with the other one.
    Filter(Path, Option<(String, Path)>),
    /// Text, a number or a boolean: one value, whatever came in.
    Constant(Value),
}

type Parsed<T> = Result<T, JsonPathError>;

fn error<T>(message: impl Into<String>) -> Parsed<T> {
    Err(JsonPathError(message.into()))
}

impl Template {
    /// Reads a template such as `{range .items[*]}{.metadata.name}{"\n"}{end}`.
    ///
    /// # Errors
    /// What is wrong with it, in kubectl's words where kubectl has any.
    pub fn parse(text: &str) -> Parsed<Self> {
        let mut blocks = Vec::new();
        let mut open = Vec::new();
        let mut rest = text;
        while !rest.is_empty() {
            let (literal, action) = rest.split_at(rest.find('{').unwrap_or(rest.len()));
            if !literal.is_empty() {
                blocks.push(Block::Path(vec![Step::Constant(literal.into())]));
            }
            let Some(action) = action.strip_prefix('{') else {
                break;
            };
            let (word, path, behind) = rewrite::action(action)?;
            match word {
                "range" => open.push((path, mem::take(&mut blocks))),
                "end" => {
                    let Some((path, outer)) = open.pop() else {
                        return error("not in range, nothing to end");
                    };
                    let body = mem::replace(&mut blocks, outer);
                    blocks.push(Block::Range(path, body));
                }
                _ => blocks.push(Block::Path(path)),
            }
            rest = behind;
        }
        if open.is_empty() {
            Ok(Self { blocks })
        } else {
            error("range is not closed by {end}")
        }
    }

    /// Reads the relaxed form of one path, as custom columns take it: `metadata.name`, `.metadata.name`,
    /// `{.metadata.name}` and `{metadata.name}` are the same.
    ///
    /// # Errors
    /// As [`Template::parse`].
    pub fn parse_relaxed(text: &str) -> Parsed<Self> {
        let inside = text
            .strip_prefix('{')
            .and_then(|text| text.strip_suffix('}'))
            .unwrap_or(text);
        if inside.is_empty() || inside.contains(['{', '}']) {
            return error(format!(
                "unexpected path string, expected a 'name1.name2' or '.name1.name2' or '{{name1.name2}}' or '{{.name1.name2}}': {text}"
            ));
        }
        let path = inside.strip_prefix('.').unwrap_or(inside);
        let dot = if path.starts_with(['@', '$', '[']) {
            ""
        } else {
            "."
        };
        Self::parse(&format!("{{{dot}{path}}}"))
    }

    /// Prints the document through the template: results of a path with a space between, no line end.
    ///
    /// # Errors
    /// A path that does not fit the document, such as an index out of bounds.
    pub fn render(&self, document: &Value) -> Parsed<String> {
        let pieces = run(&self.blocks, document)?.into_iter().map(|results| {
            let texts: Vec<String> = results.into_iter().map(text_of).collect();
            texts.join(" ")
        });
        Ok(pieces.collect())
    }

    /// As [`Template::render`], with the results of each piece as an indented JSON array.
    ///
    /// # Errors
    /// As [`Template::render`].
    pub fn render_as_json(&self, document: &Value) -> Parsed<String> {
        let mut out = Vec::new();
        for results in run(&self.blocks, document)? {
            let indent = serde_json::ser::PrettyFormatter::with_indent(b"    ");
            let mut json = serde_json::Serializer::with_formatter(&mut out, indent);
            results
                .serialize(&mut json)
                .map_err(|error| JsonPathError(error.to_string()))?;
            out.push(b'\n');
        }
        String::from_utf8(out).map_err(|error| JsonPathError(error.to_string()))
    }

    /// Every value that the template's paths find, in order.
    ///
    /// # Errors
    /// As [`Template::render`].
    pub fn find<'a>(&'a self, document: &'a Value) -> Parsed<Vec<&'a Value>> {
        Ok(run(&self.blocks, document)?.into_iter().flatten().collect())
    }
}

/// A value as kubectl prints it: text bare, containers as compact JSON.
pub(super) fn text_of(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// Runs blocks on the current value; one entry of results for each text and path.
fn run<'a>(blocks: &'a [Block], current: &'a Value) -> Parsed<Vec<Vec<&'a Value>>> {
    let mut out = Vec::new();
    for block in blocks {
        match block {
            Block::Path(path) => out.push(walk(path, vec![current])?),
            Block::Range(path, body) => {
                for value in walk(path, vec![current])? {
                    out.extend(run(body, value)?);
                }
            }
        }
    }
    Ok(out)
}

fn walk<'a>(path: &'a [Step], mut values: Vec<&'a Value>) -> Parsed<Vec<&'a Value>> {
    for step in path {
        let mut found = Vec::new();
        match step {
            Step::Query(query) => {
                for value in values {
                    found.extend(select(query, value)?);
                }
            }
            Step::Slice { start, end } => {
                for value in values {
                    within(value, *start, *end)?;
                    found.push(value);
                }
            }
            Step::Union(parts) => {
                for part in parts {
                    found.extend(walk(part, values.clone())?);
                }
            }
            Step::Filter(left, comparison) => {
                for value in values {
                    for element in elements(value, " and cannot be filtered")? {
                        let left = walk(left, vec![element]);
                        let wanted = match comparison {
                            None => left.is_ok_and(|found| !found.is_empty()),
                            Some((operator, right)) => {
                                holds(&left?, operator, &walk(right, vec![element])?)?
                            }
                        };
                        if wanted {
                            found.push(element);
                        }
                    }
                }
            }
            Step::Constant(constant) => found.push(constant),
        }
        values = found;
    }
    Ok(values)
}

fn select<'a>(query: &JpQuery, value: &'a Value) -> Parsed<Vec<&'a Value>> {
    match js_path_process(query, value) {
        Ok(found) => Ok(found.into_iter().map(|node| node.val).collect()),
        Err(failed) => error(failed.to_string()),
    }
}

fn elements<'a>(value: &'a Value, what: &str) -> Parsed<&'a [Value]> {
    let kind = match value {
        Value::Array(array) => return Ok(array),
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Object(_) => "a map",
    };
    error(format!("{kind} is not array or slice{what}"))
}

/// kubectl's rule for slices: places outside the array are errors, an empty slice never is.
fn within(value: &Value, start: i64, end: Option<i64>) -> Parsed<()> {
    if value.is_null() {
        return Ok(());
    }
    let length = i64::try_from(elements(value, "")?.len()).unwrap_or(i64::MAX);
    let place = |at: i64| if at < 0 { at + length } else { at };
    let (start, end) = (place(start), end.map_or(length, place));
    let outside = if (0..length).contains(&start) {
        Some(end - 1).filter(|last| !(-1..length).contains(last))
    } else {
        Some(start)
    };
    match outside {
        _ if start == end => Ok(()),
        Some(index) => error(format!(
            "array index out of bounds: index {index}, length {length}"
        )),
        None if start > end => error(format!(
            "starting index {start} is greater than ending index {end}"
        )),
        None => Ok(()),
    }
}

/// Compares one value with one of the same kind; with a missing one nothing holds.
fn holds(left: &[&Value], operator: &str, right: &[&Value]) -> Parsed<bool> {
    let (left, right) = match (left, right) {
        ([left], [right]) => (*left, *right),
        ([] | [_], [] | [_]) => return Ok(false),
        _ => return error("can only compare one element at a time"),
    };
    let ordered = !matches!(operator, "==" | "!=");
    let fits = |value: &Value| value.is_string() || value.is_number() || value.is_boolean();
    if !fits(left) || !fits(right) || ordered && left.is_boolean() && right.is_boolean() {
        return error("invalid type for comparison");
    }
    if mem::discriminant(left) != mem::discriminant(right) {
        return error("incompatible types for comparison");
    }
    let pair = json!([[left, right]]);
    let found = select(&rewrite::rfc(&format!("$[?@[0]{operator}@[1]]"))?, &pair)?;
    Ok(!found.is_empty())
}
