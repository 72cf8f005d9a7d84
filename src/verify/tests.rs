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
        sentence(&value).starts_with("equal but for 4 unlogged relations emptied by a crash: 7")
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
    let value =
        json!({"event": "failed", "reason": "incomplete", "detail": "observed-before has no end"});
    assert_eq!(sentence(&value), "observed-before has no end");
}
