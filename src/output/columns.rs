//! kubectl's `-o custom-columns`: a header and a path for each column.

use serde_json::Value;

use super::jsonpath::text_of;
use super::{Cell, JsonPathError, Look, Table, Template};

/// Columns that have been read.
#[derive(Clone, Debug, PartialEq)]
pub struct Columns {
    columns: Vec<(String, Template)>,
}

/// Why the columns cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ColumnsError {
    /// A column without header or path.
    #[error("unexpected custom-columns spec: {0}, expected <header>:<json-path-expr>")]
    Spec(String),
    /// The path of a column does not parse.
    #[error("parsing the path of custom column {0}: {1}")]
    Path(String, JsonPathError),
    /// The file is not a line of headers and a line of paths.
    #[error(
        "a custom-columns file needs a line of headers and a line with as many paths, not {headers} headers and {paths} paths"
    )]
    File {
        /// Words in the first line.
        headers: usize,
        /// Words in the second line.
        paths: usize,
    },
}

impl Columns {
    /// Reads `NAME:.metadata.name,VERSION:.spec.version`.
    ///
    /// # Errors
    /// A column that has no header or no path, or a path that does not parse.
    pub fn parse(spec: &str) -> Result<Self, ColumnsError> {
        let columns = spec.split(',').map(|column| match column.split_once(':') {
            Some((header, path)) if !path.is_empty() => Self::column(header, path),
            _ => Err(ColumnsError::Spec(column.to_owned())),
        });
        Ok(Self {
            columns: columns.collect::<Result<_, _>>()?,
        })
    }

    /// Reads the text of a file: headers in the first line, paths in the second, separated by blanks.
    ///
    /// # Errors
    /// Other than as many headers as paths, or a path that does not parse.
    pub fn parse_file(text: &str) -> Result<Self, ColumnsError> {
        let mut lines = text
            .lines()
            .map(|line| line.split_whitespace().collect::<Vec<_>>());
        let headers = lines.next().unwrap_or_default();
        let paths = lines.next().unwrap_or_default();
        if headers.is_empty() || headers.len() != paths.len() {
            return Err(ColumnsError::File {
                headers: headers.len(),
                paths: paths.len(),
            });
        }
        let columns = headers
            .iter()
            .zip(paths)
            .map(|(header, path)| Self::column(header, path));
        Ok(Self {
            columns: columns.collect::<Result<_, _>>()?,
        })
    }

    fn column(header: &str, path: &str) -> Result<(String, Template), ColumnsError> {
        let template = Template::parse_relaxed(path)
            .map_err(|error| ColumnsError::Path(header.to_owned(), error))?;
        Ok((header.to_owned(), template))
    }

    /// One row for each of the document's `items`, or one for the document itself.
    ///
    /// # Errors
    /// A path that does not fit the document.
    pub fn render(&self, document: &Value, look: Look) -> Result<String, JsonPathError> {
        let mut table = Table::new(self.columns.iter().map(|(header, _)| header));
        let items = match document.get("items").and_then(Value::as_array) {
            Some(items) => items.as_slice(),
            None => std::slice::from_ref(document),
        };
        for item in items {
            let mut row = Vec::new();
            for (_, path) in &self.columns {
                let values = path
                    .find(item)?
                    .into_iter()
                    .filter(|value| !value.is_null());
                let values: Vec<String> = values.map(text_of).collect();
                row.push(Cell::from(values.join(",")));
            }
            table.row(row);
        }
        Ok(table.render(look))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn item() -> Value {
        let text = include_str!("testdata/document.json");
        let document: Value = serde_json::from_str(text).unwrap();
        document["items"][1].clone()
    }

    fn printed(spec: &str) -> String {
        let columns = Columns::parse(spec).unwrap();
        columns.render(&item(), Look::default()).unwrap()
    }

    #[test]
    fn columns_look_like_those_of_kubectl() {
        // Recorded from kubectl v0.34.4's NewCustomColumnsPrinterFromSpec.
        for (spec, expected) in [
            (
                "NAME:.metadata.name,K:kind",
                "NAME        K\n127.0.0.2   None\n",
            ),
            ("A:.status.addresses[*].address", "A\n127.0.0.2,127.0.0.3\n"),
            ("A:{.kind}", "A\nNone\n"),
            (":kind", "\nNone\n"),
            ("A:.kind:x", "A\n<none>\n"),
            ("A:.metadata['name']", "A\n127.0.0.2\n"),
            ("A B:.kind", "A B\nNone\n"),
            (
                "A:.nope,G:.ready,H:.status.load",
                "A        G       H\n<none>   false   1.5\n",
            ),
        ] {
            assert_eq!(printed(spec), expected, "{spec}");
        }
    }

    #[test]
    fn containers_are_json_and_null_is_none() {
        // kubectl prints Go's notation here: `map[cpu:8]` and `<nil>`.
        assert_eq!(
            printed("C:.status.capacity,N:.status.note"),
            "C             N\n{\"cpu\":\"8\"}   <none>\n"
        );
    }

    #[test]
    fn every_item_of_a_list_has_a_row() {
        let text = include_str!("testdata/document.json");
        let document: Value = serde_json::from_str(text).unwrap();
        let columns = Columns::parse("NAME:.metadata.name").unwrap();
        let look = Look {
            headers: false,
            color: false,
        };
        assert_eq!(
            columns.render(&document, look).unwrap(),
            "127.0.0.1\n127.0.0.2\n"
        );
    }

    #[test]
    fn a_file_has_a_line_of_headers_and_a_line_of_paths() {
        let columns = Columns::parse_file("A   B\n.kind metadata.name\n").unwrap();
        assert_eq!(
            columns.render(&item(), Look::default()).unwrap(),
            "A      B\nNone   127.0.0.2\n"
        );
        for text in ["", "A\n", "A B\n.kind\n", "A\n{.kind\n"] {
            assert!(Columns::parse_file(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn wrong_columns_are_named() {
        let message = |spec| Columns::parse(spec).unwrap_err().to_string();
        assert_eq!(
            message("A:.kind,B"),
            "unexpected custom-columns spec: B, expected <header>:<json-path-expr>"
        );
        assert!(message("A:.kind,").contains("spec: , expected"));
        assert!(message("A:").contains("spec: A:, expected"));
        assert!(message("A:{.kind").starts_with("parsing the path of custom column A: "));
        let columns = Columns::parse("A:.status.addresses[5]").unwrap();
        let error = columns.render(&item(), Look::default()).unwrap_err();
        assert_eq!(
            error.to_string(),
            "array index out of bounds: index 5, length 2"
        );
    }
}
