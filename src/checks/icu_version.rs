//! ICU sorts text the same in both images.

use super::{Check, Concerns, Finding, Run, Severity, Target, collated_indexes, numbered};
use crate::facts::server::LocaleProvider;

/// ICU sorts text the same in both images.
pub(super) const CHECK: Check = Check {
    id: "icu-version",
    title: "ICU sorts text the same in both images",
    why: "Another version of ICU may sort text in another order: indexes on text with a collation of ICU then miss rows until they are rebuilt",
    mend: "Run kubectl pg-upgrade vacuum after the upgrade: it rebuilds the indexes that depend on it",
    severity: Severity::Warning,
    waivable: true,
    concerns: Concerns::StoredForm,
    queries: &[],
    run: Run::Target(run),
};

fn run(target: &Target<'_>) -> Vec<Finding> {
    // locale-provider says that ICU is missing.
    let Some(to) = &target.target.icu else {
        return Vec::new();
    };
    let from = &target.server.container.icu;
    if from == to {
        return Vec::new();
    }
    let (indexes, objects, mut findings) = collated_indexes(target.server, "i", |database| {
        database.provider == LocaleProvider::Icu
    });
    if indexes > 0 {
        let old = match from.as_str() {
            "" => "a version of ICU that could not be told".to_owned(),
            from => format!("ICU {from}"),
        };
        findings.push(
            Finding::warning(format!(
                "the old image has {old}, the new image ICU {to}: {} on text may have to be rebuilt",
                numbered(usize::try_from(indexes).unwrap_or(usize::MAX), "index")
            ))
            .objects(objects)
            .fix("kubectl pg-upgrade vacuum after the upgrade"),
        );
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::super::testing::{fires, input, silent};

    #[test]
    fn another_icu_means_indexes_to_rebuild() {
        let mut input = input();
        let server = input.server.as_mut().unwrap();
        server.container.icu = "67".to_owned();
        let contents = server.databases[0].contents.as_mut().unwrap();
        contents.collated_indexes = Some([("d".to_owned(), 2), ("i".to_owned(), 1)].into());
        input.target.as_mut().unwrap().icu = Some("76".to_owned());
        let finding = fires("icu-version", &input).remove(0);
        assert!(
            finding
                .message
                .contains("has ICU 67, the new image ICU 76: 1 index on text"),
            "{}",
            finding.message
        );
        input.server.as_mut().unwrap().container.icu = String::new();
        assert!(
            fires("icu-version", &input)[0]
                .message
                .contains("could not be told")
        );
        input.server.as_mut().unwrap().container.icu = "76".to_owned();
        silent("icu-version", &input);
        input.server.as_mut().unwrap().container.icu = "67".to_owned();
        input.target.as_mut().unwrap().icu = None;
        silent("icu-version", &input);
    }

    #[test]
    fn no_index_of_icu_no_finding() {
        let mut input = input();
        input.target.as_mut().unwrap().icu = Some("76".to_owned());
        silent("icu-version", &input);
    }
}
