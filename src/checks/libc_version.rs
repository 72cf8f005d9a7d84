//! Text sorts the same in both images.

use super::{Check, Concerns, Finding, Run, Severity, Target, collated_indexes, numbered};
use crate::facts::container::Libc;
use crate::facts::server::LocaleProvider;

/// Text sorts the same in both images.
pub(super) const CHECK: Check = Check {
    id: "libc-version",
    title: "Text sorts the same in both images",
    why: "Another version of the C library may sort text in another order: indexes on text then miss rows until they are rebuilt",
    mend: "Run kubectl pg-upgrade vacuum after the upgrade: it rebuilds the indexes that depend on it",
    severity: Severity::Blocker,
    waivable: true,
    concerns: Concerns::StoredForm,
    queries: &[],
    run: Run::Target(run),
};

fn run(target: &Target<'_>) -> Vec<Finding> {
    let old = target.server.container.libc();
    let new = &target.target.libc;
    let (Libc::Glibc(from), Libc::Glibc(to)) = (&old, new) else {
        return Vec::new();
    };
    let mut findings = Vec::new();
    if parts(from) > parts(to) {
        findings.push(
            Finding::blocker(format!("the old image has {old}, newer than the new image's {new}: its programs cannot run there"))
                .fix("take a newer image with --image"),
        );
    }
    if from == to {
        return findings;
    }
    let (indexes, objects, unread) = collated_indexes(target.server, "c", |database| {
        database.provider == LocaleProvider::Libc && !is_plain(&database.collate)
    });
    findings.extend(unread);
    if indexes > 0 {
        findings.push(
            Finding::warning(format!(
                "the old image has {old}, the new image {new}: {} on text may have to be rebuilt",
                numbered(usize::try_from(indexes).unwrap_or(usize::MAX), "index")
            ))
            .objects(objects)
            .fix("kubectl pg-upgrade vacuum after the upgrade"),
        );
    }
    findings
}

/// Sort orders that no library decides about.
fn is_plain(locale: &str) -> bool {
    matches!(locale, "C" | "POSIX")
}

fn parts(version: &str) -> Vec<u32> {
    version
        .split('.')
        .map(|part| part.parse().unwrap_or(0))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::super::testing::{fires, input, silent};
    use super::*;

    #[test]
    fn another_glibc_means_indexes_to_rebuild() {
        let mut input = input();
        silent("libc-version", &input);
        let database = input
            .server
            .as_mut()
            .unwrap()
            .databases
            .iter_mut()
            .find(|d| d.name == "postgres")
            .unwrap();
        database.contents.as_mut().unwrap().collated_indexes =
            Some([("d".to_owned(), 2), ("c".to_owned(), 1)].into());
        let finding = fires("libc-version", &input).remove(0);
        assert!(
            finding.message.contains("3 indexes on text"),
            "{}",
            finding.message
        );
        assert_eq!(finding.objects, ["postgres (3)"]);
        input.target.as_mut().unwrap().libc = Libc::Glibc("2.31".to_owned());
        silent("libc-version", &input);
    }

    #[test]
    fn an_older_glibc_in_the_target_is_refused() {
        let mut input = input();
        input.target.as_mut().unwrap().libc = Libc::Glibc("2.9".to_owned());
        assert!(
            fires("libc-version", &input)[0]
                .message
                .contains("cannot run there")
        );
    }
}
