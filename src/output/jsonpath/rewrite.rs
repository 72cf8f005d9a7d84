//! Rewrites kubectl's paths to queries of RFC 9535, with steps between them for what the RFC cannot say.

use std::mem;

use jsonpath_rust::parser::model::{JpQuery, Segment, Selector};
use jsonpath_rust::parser::parse_json_path;
use serde_json::Value;

use super::{JsonPathError, Parsed, Path, Step, error};

const KEYWORD: &str = "range and end must be the first word in their braces";

/// Reads one action behind its opening brace: its first word, its path, and the text behind the closing one.
pub(super) fn action(text: &str) -> Parsed<(&str, Path, &str)> {
    let inside = text.trim_start_matches(' ');
    let (word, behind) = inside.split_at(word_end(inside));
    let keyword = matches!(word, "range" | "end");
    let mut scanner = Scanner::new(if keyword { behind } else { inside }, true);
    let path = scanner.path()?;
    match word {
        "end" if !path.is_empty() => error(KEYWORD),
        word => Ok((word, path, scanner.rest)),
    }
}

/// Reads a query of RFC 9535.
pub(super) fn rfc(query: &str) -> Parsed<JpQuery> {
    parse_json_path(query).map_err(|failed| JsonPathError(failed.to_string()))
}

/// Rewrites what is left to read of one path; the braces are there at the top level only.
struct Scanner<'t> {
    rest: &'t str,
    braced: bool,
    path: Path,
    /// The RFC's query of the segments that are not in the path yet.
    query: String,
}

impl<'t> Scanner<'t> {
    fn new(rest: &'t str, braced: bool) -> Self {
        Self {
            rest,
            braced,
            path: Path::new(),
            query: "$".to_owned(),
        }
    }

    /// Reads up to the closing brace, or to the end of a part without braces.
    fn path(&mut self) -> Parsed<Path> {
        loop {
            let Some(first) = self.rest.chars().next() else {
                if self.braced {
                    return error("unclosed action");
                }
                break;
            };
            match first {
                _ if self.skip("[?(") => self.filter()?,
                _ if self.skip("..") => {
                    if self.query.ends_with("..") {
                        return error("invalid multiple recursive descent");
                    }
                    self.query.push_str("..");
                    if self.rest.starts_with(is_word) {
                        self.field();
                    }
                }
                '}' if self.braced => {
                    self.take(1);
                    break;
                }
                '\r' | '\n' => return error("unclosed action"),
                // The current object is what a path starts from anyway.
                ' ' | '@' | '$' => self.rest = &self.rest[1..],
                '[' => self.bracket()?,
                '"' | '\'' => {
                    let text = self.quoted(first)?;
                    self.step(Step::Constant(text.into()))?;
                }
                '.' => {
                    self.take(1);
                    self.field();
                }
                c if c.is_numeric() || c == '+' || c == '-' => self.number()?,
                c if is_word(c) => match self.take(word_end(self.rest)) {
                    "true" => self.step(Step::Constant(true.into()))?,
                    "false" => self.step(Step::Constant(false.into()))?,
                    "range" | "end" => return error(KEYWORD),
                    word => return error(format!("unrecognized identifier {word}")),
                },
                c => {
                    let code = u32::from(c);
                    return error(format!(
                        "unrecognized character in action: U+{code:04X} '{c}'"
                    ));
                }
            }
        }
        self.flush()?;
        Ok(mem::take(&mut self.path))
    }

    /// Makes one step of the segments.
    fn flush(&mut self) -> Parsed<()> {
        if self.query.ends_with("..") {
            return error("recursive descent needs a name");
        }
        if self.query.len() > 1 {
            let query = rfc(&self.pending())?;
            self.path.push(Step::Query(query));
        }
        Ok(())
    }

    fn pending(&mut self) -> String {
        mem::replace(&mut self.query, "$".to_owned())
    }

    fn step(&mut self, step: Step) -> Parsed<()> {
        self.flush()?;
        self.path.push(step);
        Ok(())
    }

    /// Takes the text away if it comes next.
    fn skip(&mut self, text: &str) -> bool {
        let behind = self.rest.strip_prefix(text);
        self.rest = behind.unwrap_or(self.rest);
        behind.is_some()
    }

    /// Takes the next bytes away and returns them.
    fn take(&mut self, bytes: usize) -> &'t str {
        let (taken, rest) = self.rest.split_at(bytes);
        self.rest = rest;
        taken
    }

    /// A name up to the next terminator; a backslash takes the meaning from the character behind it.
    fn field(&mut self) {
        let mut name = String::new();
        let mut chars = self.rest.char_indices();
        let end = loop {
            match chars.next() {
                Some((_, '\\')) => name.extend(chars.next().map(|(_, c)| c)),
                Some((_, c)) if !is_terminator(c) => name.push(c),
                Some((at, _)) => break at,
                None => break self.rest.len(),
            }
        };
        let segment = match self.take(end) {
            "*" => "[*]".to_owned(),
            _ => format!("[{}]", Value::from(name)),
        };
        self.query.push_str(&segment);
    }

    fn number(&mut self) -> Parsed<()> {
        let sign = usize::from(self.rest.starts_with(['+', '-']));
        let digits = self.rest[sign..].find(|c: char| c != '.' && !c.is_ascii_digit());
        let text = self.take(digits.map_or(self.rest.len(), |end| sign + end));
        let integer = text.parse::<i64>().ok().map(Value::from);
        match integer.or_else(|| text.parse::<f64>().ok().map(Value::from)) {
            Some(number) => self.step(Step::Constant(number)),
            None => error(format!("cannot parse number {text}")),
        }
    }

    /// Text in quotes of either kind, with Go's escapes.
    fn quoted(&mut self, quote: char) -> Parsed<String> {
        let mut out = String::new();
        let mut chars = self.rest.char_indices().skip(1);
        while let Some((at, c)) = chars.next() {
            if c == quote {
                self.take(at + 1);
                return Ok(out);
            }
            out.push(match c {
                '\n' => break,
                '\\' => escape(chars.by_ref().map(|(_, c)| c), quote)
                    .ok_or_else(|| JsonPathError(format!("invalid escape in {}", self.rest)))?,
                c => c,
            });
        }
        error("unterminated quoted string")
    }

    /// What is in square brackets: a name in quotes, an index, a slice, or several of them.
    fn bracket(&mut self) -> Parsed<()> {
        let Some((text, rest)) = self.rest[1..].split_once(']') else {
            return error("unterminated array");
        };
        self.rest = rest;
        if !text.contains(',') {
            return self.subscript(text);
        }
        let query = self.pending();
        let parts = text.split(',').map(|text| {
            let mut part = Scanner::new("", false);
            part.query.clone_from(&query);
            part.subscript(text.trim_matches(' '))?;
            part.path()
        });
        let parts = parts.collect::<Parsed<_>>()?;
        self.step(Step::Union(parts))
    }

    /// One element in square brackets.
    fn subscript(&mut self, text: &str) -> Parsed<()> {
        let quoted = text
            .strip_prefix('\'')
            .and_then(|text| text.strip_suffix('\''))
            .filter(|name| !name.contains('\''));
        if let Some(name) = quoted {
            // kubectl reads dots in the quotes as steps, so that a union can be one of paths.
            let mut part = Scanner::new(name, false);
            part.query = self.pending();
            part.field();
            self.path.extend(part.path()?);
            return Ok(());
        }
        let segment = format!("[{}]", if text == "*" { ":" } else { text });
        let query = rfc(&format!("${segment}"));
        let (start, end) = match query.as_ref().map(|query| &query.segments[..]) {
            Ok([Segment::Selector(Selector::Index(-1))]) => (-1, None),
            Ok([Segment::Selector(Selector::Index(index))]) => (*index, Some(index + 1)),
            Ok([Segment::Selector(Selector::Slice(_, _, Some(..=0)))]) => {
                return error("step must be > 0");
            }
            Ok([Segment::Selector(Selector::Slice(start, end, _))]) => (start.unwrap_or(0), *end),
            _ => return error(format!("invalid array index {text}")),
        };
        self.step(Step::Slice { start, end })?;
        self.query.push_str(&segment);
        Ok(())
    }

    /// A filter, whose opening is read already.
    fn filter(&mut self) -> Parsed<()> {
        let mut quote = None;
        let mut escaped = false;
        let end = self.rest.find(|c| {
            match quote {
                None if c == ')' => return true,
                None if matches!(c, '"' | '\'') => quote = Some(c),
                Some(open) if c == open && !escaped => quote = None,
                _ => {}
            }
            escaped = c == '\\' && !escaped;
            false
        });
        let text = self.take(end.unwrap_or(self.rest.len()));
        if !self.skip(")") {
            return error("unterminated filter");
        }
        if !self.skip("]") {
            return error("unclosed array expect ]");
        }
        let is_operator = |c: char| matches!(c, '!' | '<' | '>' | '=');
        let Some(at) = text.find(is_operator).filter(|at| *at > 0) else {
            return self.step(Step::Filter(part(text)?, None));
        };
        let (left, rest) = text.split_at(at);
        let right = rest.trim_start_matches(is_operator);
        let operator = &rest[..rest.len() - right.len()];
        if !["==", "!=", "<", "<=", ">", ">="].contains(&operator) {
            return error(format!("unrecognized filter operator {operator}"));
        }
        let comparison = (operator.to_owned(), part(right)?);
        self.step(Step::Filter(part(left)?, Some(comparison)))
    }
}

/// Reads a path that stands without braces inside another.
fn part(text: &str) -> Parsed<Path> {
    Scanner::new(text, false).path()
}

/// The character that is meant by what follows a backslash.
fn escape(mut chars: impl Iterator<Item = char>, quote: char) -> Option<char> {
    let digits = match chars.next()? {
        'n' => return Some('\n'),
        't' => return Some('\t'),
        'r' => return Some('\r'),
        'a' => return Some('\x07'),
        'b' => return Some('\x08'),
        'f' => return Some('\x0c'),
        'v' => return Some('\x0b'),
        'x' => 2,
        'u' => 4,
        'U' => 8,
        c => return Some(c).filter(|c| *c == '\\' || *c == quote),
    };
    let text: String = chars.take(digits).collect();
    let number = u32::from_str_radix(&text, 16).ok()?;
    char::from_u32(number).filter(|_| text.len() == digits)
}

fn is_word(c: char) -> bool {
    c == '_' || c.is_alphanumeric()
}

fn is_terminator(c: char) -> bool {
    " \t\r\n.,[]$@{}".contains(c)
}

fn word_end(text: &str) -> usize {
    text.find(is_terminator).unwrap_or(text.len())
}
