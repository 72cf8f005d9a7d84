use std::io::{self, Write};

use serde_json::{Value, json};

use super::*;

/// Two PostgreSQLs as a command would report them.
struct Sample(Value);

impl Report for Sample {
    fn json(&self) -> Value {
        self.0.clone()
    }

    fn tables(&self, wide: bool) -> Vec<TableSection> {
        let mut section = TableSection::new(["NAME", "VERSION", "METHOD"]);
        if wide {
            section.headers.push("IMAGE".to_owned());
        }
        for item in self.0["items"].as_array().unwrap() {
            let mut row = vec![
                Cell::from(item["metadata"]["name"].as_str()),
                Cell::of(&item["version"]),
                Cell::from(item["method"].as_str()),
            ];
            if wide {
                row.push(Cell::from(item["image"].as_str()));
            }
            section.row(row);
        }
        vec![section]
    }

    fn names(&self) -> Vec<String> {
        let items = self.0["items"].as_array().unwrap();
        let name = |item: &Value| {
            format!(
                "statefulset.apps/{}",
                item["metadata"]["name"].as_str().unwrap()
            )
        };
        items.iter().map(name).collect()
    }
}

fn sample() -> Sample {
    Sample(json!({
        "apiVersion": "pg-upgrade.dev/v1",
        "kind": "InstanceList",
        "items": [
            {"metadata": {"name": "pg"}, "version": 13, "method": "pg-upgrade", "image": "postgres:13"},
            {"metadata": {"name": "a-longer-name"}, "version": 9, "image": "postgres:9.6"},
        ],
    }))
}

fn printed(format: &str) -> String {
    let mut out = Vec::new();
    print(&mut out, &format.parse().unwrap(), &sample()).unwrap();
    String::from_utf8(out).unwrap()
}

#[test]
fn every_format_prints_the_same_report() {
    insta::assert_snapshot!(printed("table"), @r"
    NAME            VERSION   METHOD
    pg              13        pg-upgrade
    a-longer-name   9         <none>
    ");
    insta::assert_snapshot!(printed("wide"), @r"
    NAME            VERSION   METHOD       IMAGE
    pg              13        pg-upgrade   postgres:13
    a-longer-name   9         <none>       postgres:9.6
    ");
    insta::assert_snapshot!(printed("name"), @r"
    statefulset.apps/pg
    statefulset.apps/a-longer-name
    ");
    insta::assert_snapshot!(printed("yaml"), @r"
    apiVersion: pg-upgrade.dev/v1
    kind: InstanceList
    items:
    - metadata:
        name: pg
      version: 13
      method: pg-upgrade
      image: postgres:13
    - metadata:
        name: a-longer-name
      version: 9
      image: postgres:9.6
    ");
    insta::assert_snapshot!(
        printed(r#"jsonpath={range .items[*]}{.metadata.name}={.version}{"\n"}{end}"#),
        @r"
    pg=13
    a-longer-name=9
    "
    );
    insta::assert_snapshot!(
        printed("custom-columns=NAME:metadata.name,M:{.method},V:.version"),
        @r"
    NAME            M            V
    pg              pg-upgrade   13
    a-longer-name   <none>       9
    "
    );
    assert_eq!(
        serde_json::from_str::<Value>(&printed("json")).unwrap(),
        sample().0
    );
}

fn refused(format: &str) -> String {
    format.parse::<Format>().unwrap_err().to_string()
}

#[test]
fn json_is_one_document_with_a_line_end_and_the_order_of_its_author() {
    let text = printed("json");
    assert!(text.starts_with("{\n  \"apiVersion\": \"pg-upgrade.dev/v1\",\n  \"kind\""));
    assert!(text.ends_with("}\n"));
}

#[test]
fn json_path_prints_no_line_end_of_its_own() {
    assert_eq!(printed("jsonpath={.kind}"), "InstanceList");
    assert_eq!(printed("jsonpath={.nope}"), "");
    assert_eq!(
        printed("jsonpath-as-json={.items[*].version}"),
        "[\n    13,\n    9\n]\n"
    );
}

#[test]
fn templates_can_come_from_files() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("template");
    std::fs::write(&path, "{.items[0].version}").unwrap();
    assert_eq!(printed(&format!("jsonpath-file={}", path.display())), "13");
    std::fs::write(&path, "NAME V\nmetadata.name version\n").unwrap();
    insta::assert_snapshot!(printed(&format!("custom-columns-file={}", path.display())), @r"
    NAME            V
    pg              13
    a-longer-name   9
    ");
    assert!(
        refused("jsonpath-file=/nowhere/at/all")
            .starts_with("reading the template file /nowhere/at/all: ")
    );
}

#[test]
fn a_wrong_format_says_which_are_right() {
    insta::assert_snapshot!(refused("xml"), @r#"unknown output format "xml": allowed are table, wide, json, yaml, name, jsonpath=, jsonpath-file=, jsonpath-as-json=, custom-columns=, custom-columns-file="#);
    insta::assert_snapshot!(refused("go-template={{.kind}}"), @r#"output format "go-template" is not supported: use jsonpath=, custom-columns= or json instead (allowed are table, wide, json, yaml, name, jsonpath=, jsonpath-file=, jsonpath-as-json=, custom-columns=, custom-columns-file=)"#);
    insta::assert_snapshot!(refused("jsonpath"), @"output format jsonpath needs a value: jsonpath='{.kind}'");
    insta::assert_snapshot!(refused("custom-columns="), @"output format custom-columns needs a value: custom-columns=NAME:.metadata.name,KIND:.kind");
    insta::assert_snapshot!(refused("json=x"), @"output format json takes no value");
    insta::assert_snapshot!(refused("jsonpath={.a"), @r#"parsing the JSONPath template "{.a": unclosed action"#);
    assert_eq!(Format::candidates().count(), 10);
}

#[test]
fn a_template_that_does_not_fit_prints_nothing_and_says_why() {
    let mut out = Vec::new();
    let format = "jsonpath={.kind}{.items[7]}".parse().unwrap();
    let error = print(&mut out, &format, &sample()).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
    assert_eq!(
        error.to_string(),
        "array index out of bounds: index 7, length 2"
    );
    assert!(out.is_empty());
}

/// A reader that has gone, or a disk that is full.
struct Broken(io::ErrorKind);

impl Write for Broken {
    fn write(&mut self, _: &[u8]) -> io::Result<usize> {
        Err(self.0.into())
    }

    fn flush(&mut self) -> io::Result<()> {
        Err(self.0.into())
    }
}

#[test]
fn a_reader_that_has_gone_is_no_error_and_a_full_disk_is() {
    for format in ["table", "json", "yaml", "name", "jsonpath={.kind}"] {
        let format = format.parse().unwrap();
        print(&mut Broken(io::ErrorKind::BrokenPipe), &format, &sample()).unwrap();
        let full = print(&mut Broken(io::ErrorKind::StorageFull), &format, &sample());
        assert_eq!(full.unwrap_err().kind(), io::ErrorKind::StorageFull);
    }
}

#[test]
fn yaml_quotes_what_another_reader_would_take_for_something_else() {
    let tricky = json!({
        "bool": ["on", "off", "yes", "NO", "y", "n", "true", "~", "null"],
        "number": ["1:30", "0755", "0x1f", "1e3", "1_000", ".5", "12345678901234567890", "+1"],
        "date": "2001-01-01",
        "sign": ["<<", "=", "-", "- a", "a: b", "a #b", "#a", "@a", "`a`", "%a", "!a", "&a", "*a", "[a", "{a", "'a", "\"a", "a:", "|", ">", "?"],
        "blank": ["", " a", "a ", "\ta", "a\u{7f}"],
        "lines": "one\ntwo\n",
        "long": "word ".repeat(60).trim_end(),
        "empty": [{}, []],
        "real": [1, -1, 1.5, true, null],
    });
    let text = yaml(&tricky).unwrap();
    insta::assert_snapshot!(text);
    assert_eq!(serde_saphyr::from_str::<Value>(&text).unwrap(), tricky);
}
