//! Label selectors as kubectl's `-l` takes them, matched here: one list then serves several questions.

use std::collections::BTreeMap;
use std::str::FromStr;

/// A parsed selector; all of its terms must hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Selector(Vec<Term>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Term {
    /// The label is there with one of these values.
    In(String, Vec<String>),
    /// The label is not there, or has another value.
    NotIn(String, Vec<String>),
    /// The label is there.
    Exists(String),
    /// The label is not there.
    Missing(String),
}

impl Selector {
    /// Whether an object with these labels is meant.
    pub fn matches(&self, labels: &BTreeMap<String, String>) -> bool {
        self.0.iter().all(|term| match term {
            Term::In(key, values) => labels.get(key).is_some_and(|v| values.contains(v)),
            Term::NotIn(key, values) => labels.get(key).is_none_or(|v| !values.contains(v)),
            Term::Exists(key) => labels.contains_key(key),
            Term::Missing(key) => !labels.contains_key(key),
        })
    }
}

impl FromStr for Selector {
    type Err = String;

    /// Reads `app=pg`, `app==pg`, `tier!=test`, `tier in (a,b)`, `tier notin (a,b)`, `tier`, `!tier`, joined by commas.
    fn from_str(text: &str) -> Result<Self, String> {
        split(text)
            .into_iter()
            .map(term)
            .collect::<Option<Vec<Term>>>()
            .filter(|terms| !terms.is_empty())
            .map(Self)
            .ok_or_else(|| {
                format!("{text:?} is not a label selector, such as app=pg or 'tier in (a,b)'")
            })
    }
}

/// Splits at commas outside of parentheses.
fn split(text: &str) -> Vec<&str> {
    let mut depth = 0_u32;
    text.split(|c: char| {
        match c {
            '(' => depth += 1,
            ')' => depth = depth.saturating_sub(1),
            _ => {}
        }
        c == ',' && depth == 0
    })
    .map(str::trim)
    .collect()
}

fn term(text: &str) -> Option<Term> {
    if let Some(key) = text.strip_prefix('!') {
        return word(key).map(Term::Missing);
    }
    if let Some((key, value)) = text.split_once("!=") {
        return Some(Term::NotIn(word(key)?, vec![value_of(value)?]));
    }
    if let Some((key, value)) = text.split_once('=') {
        let value = value.strip_prefix('=').unwrap_or(value);
        return Some(Term::In(word(key)?, vec![value_of(value)?]));
    }
    let Some((key, rest)) = text.split_once(char::is_whitespace) else {
        return word(text).map(Term::Exists);
    };
    let rest = rest.trim();
    let (is_in, list) = match rest.strip_prefix("notin") {
        Some(list) => (false, list),
        None => (true, rest.strip_prefix("in")?),
    };
    let values = list
        .trim()
        .strip_prefix('(')?
        .strip_suffix(')')?
        .split(',')
        .map(value_of)
        .collect::<Option<Vec<String>>>()?;
    let key = word(key)?;
    Some(if is_in {
        Term::In(key, values)
    } else {
        Term::NotIn(key, values)
    })
}

fn word(text: &str) -> Option<String> {
    value_of(text).filter(|word| !word.is_empty())
}

fn value_of(text: &str) -> Option<String> {
    let text = text.trim();
    text.chars()
        .all(|c| c.is_ascii_alphanumeric() || "-_./".contains(c))
        .then(|| text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_of_kubectl_is_understood() {
        let labels: BTreeMap<String, String> = [("app", "pg"), ("tier", "a"), ("x.y/z", "")]
            .map(|(k, v)| (k.to_owned(), v.to_owned()))
            .into();
        let matches = |text: &str| text.parse::<Selector>().unwrap().matches(&labels);
        for text in [
            "app=pg",
            "app==pg,tier=a",
            "app != web",
            "missing!=a",
            "tier in (a,b)",
            "tier notin (b, c)",
            "tier",
            "!team",
            "x.y/z=",
            "app in (pg),tier,!team",
        ] {
            assert!(matches(text), "{text}");
        }
        for text in [
            "app=web",
            "app!=pg",
            "tier in (b)",
            "team",
            "!app",
            "tier notin (a)",
            "app=pg,team",
        ] {
            assert!(!matches(text), "{text}");
        }
    }

    #[test]
    fn anything_else_is_refused() {
        for text in [
            "",
            "app=pg,",
            "=pg",
            "a b",
            "tier in a",
            "tier in (a",
            "app=p g",
            "!",
        ] {
            assert!(text.parse::<Selector>().is_err(), "{text}");
        }
    }
}
