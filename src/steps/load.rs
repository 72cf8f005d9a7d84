//! The load of a dump: what came of it, and whether the server that runs is the one that was loaded.

use serde_json::Value;

use super::verify::place;
use super::worker;
use crate::discover::observe::{self, Comparison};
use crate::error::{Exit, Failure, Result};
use crate::exec::Acting;

/// Waits until the dump is loaded; the worker has compared what it loaded with what the dump holds.
pub(super) async fn await_load(acting: &mut Acting<'_>) -> Result<String> {
    let took = worker::await_result(acting).await?;
    let held = acting.record.result.as_ref().map(|r| r["loaded"].clone());
    Ok(format!("{took}: {}", sentence(&held.unwrap_or_default())))
}

/// What was compared with the dump, and what was not.
fn sentence(held: &Value) -> String {
    let number = |key: &str| held[key].as_u64().unwrap_or(0);
    let counted = |key: &str, noun: &str| crate::verify::counted(number(key), noun);
    let rows = if number("inserts") == 0 {
        format!(
            "{} of {}",
            counted("rows", "row"),
            counted("tables", "table")
        )
    } else if number("tables") == 0 {
        "rows were not counted, they are INSERT statements".to_owned()
    } else {
        format!(
            "{} of {}, those of INSERT statements not counted",
            counted("rows", "row"),
            counted("tables", "table")
        )
    };
    format!(
        "as in the dump: {rows}, {}, {}",
        counted("sequences", "sequence"),
        counted("large_objects", "large object")
    )
}

/// Compares the server that answers with the cluster that was loaded; any difference fails.
pub(super) async fn verify(acting: &mut Acting<'_>) -> Result<String> {
    let (pod, container, upgrade) = place(acting)?;
    let result = acting.record.result.clone().unwrap_or_default();
    let seen = &result["loaded"]["observed"];
    // Who is not stopped writes as soon as the server answers.
    let writers = !acting.record.steps.iter().any(
        |e| matches!(&e.step, super::Step::AwaitNoSessions { except, .. } if except.is_empty()),
    );
    let sha256 = seen["sha256"].as_str().unwrap_or_default();
    let comparison = Comparison {
        run_directory: &upgrade.run_directory,
        level: "quick",
        writers,
        sha256,
        // What was loaded came after a crash of the server before it.
        crashed: false,
    };
    let (verdict, differences) = observe::after(acting.k8s, &pod, &container, comparison)
        .await
        .map_err(|e| e.context("comparing the server with what was loaded"))?;
    acting.record.observed.retain(|o| o["event"] != "verified");
    acting.record.observed.push(verdict.clone());
    if verdict["sameSystem"] != true {
        return Err(Failure::new(
            Exit::Failed,
            "the server that answers is not the one that was loaded",
        ));
    }
    if differences.is_empty() {
        return Ok(crate::verify::sentence(&verdict));
    }
    let mut failure = Failure::new(
        Exit::Failed,
        format!(
            "the server differs from what was loaded in {} places",
            verdict["differences"]
        ),
    );
    for difference in differences.iter().take(10) {
        failure = failure.hint(crate::verify::explain(difference));
    }
    Err(failure)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_was_not_counted_is_not_called_equal() {
        let mut held =
            json!({"tables": 2, "rows": 30, "inserts": 0, "sequences": 1, "large_objects": 0});
        assert_eq!(
            sentence(&held),
            "as in the dump: 30 rows of 2 tables, 1 sequence, 0 large objects"
        );
        held["inserts"] = json!(5);
        assert!(sentence(&held).contains("INSERT statements not counted"));
        held["tables"] = json!(0);
        assert!(sentence(&held).starts_with("as in the dump: rows were not counted"));
    }
}
