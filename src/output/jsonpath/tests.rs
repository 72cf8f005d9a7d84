use super::*;

/// What client-go v0.34.4 (`util/jsonpath`, missing keys allowed) makes of a template.
#[derive(serde::Deserialize)]
#[serde(rename_all = "camelCase")]
struct Recorded {
    template: String,
    output: Option<String>,
    as_json: Option<String>,
    error: Option<String>,
    /// Go walks maps in no order, so only the words can be compared.
    #[serde(default)]
    unordered: bool,
}

/// Templates that are refused here on purpose, or for which the words differ.
const OURS: &[(&str, &str)] = &[
    ("{.kind[0]}", "a string is not array or slice"),
    (
        "{.kind[?(@.x)]}",
        "a string is not array or slice and cannot be filtered",
    ),
    (
        "{.items[0][?(@.x)]}",
        "a map is not array or slice and cannot be filtered",
    ),
    (r#"{'say \"x\"'}"#, r#"invalid escape in 'say \"x\"'}"#),
    (r#"{"bad \q"}"#, r#"invalid escape in "bad \q"}"#),
    // There it depends on the document whether the operator is noticed.
    (
        r#"{.items[?(@.a="x")].kind}"#,
        "unrecognized filter operator =",
    ),
    (r#"{.items[?(@.a=~"x")]}"#, "unrecognized filter operator ="),
];

fn document() -> Value {
    serde_json::from_str(include_str!("../testdata/document.json")).unwrap()
}

fn printed(template: &str) -> Parsed<String> {
    Template::parse(template)?.render(&document())
}

fn words(text: &Parsed<String>) -> Vec<&str> {
    let mut words: Vec<&str> = text.as_ref().unwrap().split(' ').collect();
    words.sort_unstable();
    words
}

#[test]
fn templates_print_what_kubectl_prints() {
    let cases: Vec<Recorded> =
        serde_json::from_str(include_str!("../testdata/jsonpath.json")).unwrap();
    assert!(cases.len() > 100, "the recorded cases are there");
    let document = document();
    for case in cases {
        let template = case.template.as_str();
        let ours = OURS.iter().find(|(known, _)| *known == template);
        let expected = match (ours, case.error) {
            (Some((_, error)), _) => Err(JsonPathError((*error).to_owned())),
            (None, Some(error)) => Err(JsonPathError(error)),
            (None, None) => Ok(case.output.unwrap()),
        };
        if case.unordered {
            assert_eq!(words(&printed(template)), words(&expected), "{template}");
            continue;
        }
        assert_eq!(printed(template), expected, "{template}");
        if expected.is_ok() {
            let json = Template::parse(template).unwrap().render_as_json(&document);
            assert_eq!(json.unwrap(), case.as_json.unwrap(), "{template} as JSON");
        }
    }
}

#[test]
fn a_range_without_end_is_refused_before_anything_is_printed() {
    assert_eq!(
        Template::parse("{range .items[*]}{.kind}"),
        error("range is not closed by {end}")
    );
    assert_eq!(
        Template::parse("{.items range}"),
        error("range and end must be the first word in their braces")
    );
}

#[test]
fn a_descent_needs_a_name_or_several() {
    assert_eq!(
        Template::parse("{.items..}"),
        error("recursive descent needs a name")
    );
    assert_eq!(
        printed("{..['metadata.name','kind']}").unwrap(),
        "127.0.0.1 127.0.0.2 List None None"
    );
}

#[test]
fn integers_and_fractions_can_be_compared() {
    assert_eq!(
        printed("{.items[?(@.status.pods==20.0)].metadata.name}").unwrap(),
        "127.0.0.2"
    );
}

#[test]
fn the_relaxed_form_takes_a_path_with_or_without_dot_and_braces() {
    let document = document();
    for path in [
        "users[1].name",
        ".users[1].name",
        "{users[1].name}",
        "{.users[1].name}",
        "$.users[1].name",
        "{@.users[1].name}",
    ] {
        let template = Template::parse_relaxed(path).unwrap();
        assert_eq!(template.find(&document).unwrap(), ["e2e"], "{path}");
    }
    for path in ["", "{}", "{.a", "a}", "{a}{b}"] {
        assert!(Template::parse_relaxed(path).is_err(), "{path}");
    }
}

#[test]
fn no_template_makes_the_reader_panic() {
    // Every prefix and suffix of every recorded template, and some bytes that are not ASCII.
    let cases: Vec<Recorded> =
        serde_json::from_str(include_str!("../testdata/jsonpath.json")).unwrap();
    let document = document();
    for case in &cases {
        for text in [case.template.clone(), case.template.replace('a', "ä")] {
            for (at, _) in text.char_indices() {
                for part in [&text[..at], &text[at..], &format!("{{{}", &text[at..])] {
                    if let Ok(template) = Template::parse(part) {
                        drop(template.render(&document));
                    }
                }
            }
        }
    }
    for number in [
        "{.numbers[9223372036854775807]}",
        "{.numbers[-9223372036854775808:]}",
        "{.numbers[99999999999999999999]}",
    ] {
        assert!(printed(number).is_err(), "{number}");
    }
}
