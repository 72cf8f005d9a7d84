//! Findings and checks as plain rows for tables. The JSON of `Finding` is the other form of the same.

use std::fmt::Write as _;

use serde::Serialize;

use super::{ALL, Concerns, Finding, Run, Severity};

/// Objects shown in a row; the rest is counted.
const SHOWN: usize = 5;

/// One finding as a row of text.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Row {
    /// How much it matters.
    pub severity: Severity,
    /// `blocker`, `warning`, `info`, or `waived` for a blocker that was ignored.
    pub label: &'static str,
    /// Id of the check.
    pub check: &'static str,
    /// What was found, with the first objects.
    pub message: String,
    /// What mends it; empty when nothing does.
    pub fix: String,
}

/// Findings as rows, in the order they are given. All objects are named when `wide`.
pub fn rows(findings: &[Finding], wide: bool) -> Vec<Row> {
    findings.iter().map(|finding| row(finding, wide)).collect()
}

fn row(finding: &Finding, wide: bool) -> Row {
    let shown = if wide {
        finding.objects.len()
    } else {
        SHOWN.min(finding.objects.len())
    };
    let mut message = finding.message.clone();
    if shown > 0 {
        message.push_str(": ");
        message.push_str(&finding.objects[..shown].join(", "));
    }
    if finding.objects.len() > shown {
        let _ = write!(message, " and {} more", finding.objects.len() - shown);
    }
    Row {
        severity: finding.severity,
        label: if finding.waived {
            "waived"
        } else {
            finding.severity.as_str()
        },
        check: finding.check,
        message,
        fix: finding.fix.clone(),
    }
}

/// One line about the findings: how many of each severity.
pub fn summary(findings: &[Finding]) -> String {
    let count = |severity| {
        findings
            .iter()
            .filter(|finding| finding.severity == severity)
            .count()
    };
    let word =
        |count: usize, noun: &str| format!("{count} {noun}{}", if count == 1 { "" } else { "s" });
    format!(
        "{}, {}, {} info",
        word(count(Severity::Blocker), "blocker"),
        word(count(Severity::Warning), "warning"),
        count(Severity::Info)
    )
}

/// One check as `preflight --list-checks` shows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct CheckRow {
    /// Id.
    pub id: &'static str,
    /// `live`, `target` or `kubernetes`.
    pub layer: &'static str,
    /// What is true when it is silent.
    pub title: &'static str,
    /// Why it matters: what happens otherwise.
    pub why: &'static str,
    /// How it is mended, in general.
    pub mend: &'static str,
    /// The worst that it says: `blocker`, `warning` or `info`.
    pub severity: Severity,
    /// `--ignore-checks` may turn its blockers into warnings.
    pub waivable: bool,
    /// The version that brought the change, where it only matters on the way past one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub changed_in: Option<u16>,
    /// It is left out with `--method dump`.
    pub pg_upgrade_only: bool,
}

/// Every check, in the order they are reported: what `preflight --list-checks` and `docs/checks.md` are made from.
pub fn list() -> Vec<CheckRow> {
    ALL.iter()
        .map(|check| CheckRow {
            id: check.id,
            layer: check.layer().as_str(),
            title: check.title,
            why: check.why,
            mend: check.mend,
            severity: check.severity,
            waivable: check.waivable,
            changed_in: match check.run {
                Run::Change(major, _) => Some(major),
                _ => None,
            },
            pg_upgrade_only: check.concerns == Concerns::StoredForm,
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_names_the_first_objects_and_counts_the_rest() {
        let finding = Finding::blocker("7 columns")
            .objects(["a", "b", "c", "d", "e", "f", "g"])
            .fix("do it");
        let row = &rows(std::slice::from_ref(&finding), false)[0];
        assert_eq!(row.message, "7 columns: a, b, c, d, e and 2 more");
        assert_eq!((row.label, row.fix.as_str()), ("blocker", "do it"));
        assert!(rows(&[finding], true)[0].message.ends_with("f, g"));
    }

    #[test]
    fn the_summary_counts() {
        let findings = [
            Finding::blocker("x"),
            Finding::info("y"),
            Finding::info("z"),
        ];
        assert_eq!(summary(&findings), "1 blocker, 0 warnings, 2 info");
    }

    #[test]
    fn the_json_of_a_finding_is_a_contract() {
        let finding = Finding {
            check: "partition",
            why: "w",
            waivable: true,
            ..Finding::warning("m").objects(["o"]).fix("f")
        };
        assert_eq!(
            serde_json::to_string(&finding).unwrap(),
            r#"{"check":"partition","severity":"warning","message":"m","objects":["o"],"why":"w","fix":"f","waivable":true,"waived":false}"#
        );
        assert_eq!(list().len(), ALL.len());
    }
}
