//! The tag of the running image tells its version.

use super::{Check, Concerns, Finding, Live, Run, Severity};
use crate::postgres::image::major;

/// The tag of the running image tells its version.
pub(super) const CHECK: Check = Check {
    id: "server-tag",
    title: "The tag of the running image tells its version",
    why: "A tag that lies leads people and charts to the wrong version; after the upgrade nothing tells which image the old data needs",
    mend: "Nothing has to be done for the upgrade; the version that the server reports counts",
    severity: Severity::Warning,
    waivable: true,
    concerns: Concerns::Contents,
    queries: &[],
    run: Run::Live(run),
};

fn run(live: &Live<'_>) -> Vec<Finding> {
    let image = &live.input.instance.image;
    match major(image) {
        Some(claimed) if claimed != live.server.version.major => {
            vec![Finding::warning(format!(
                "image {image} runs PostgreSQL {}, not {claimed}",
                live.server.version
            ))]
        }
        _ => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{fires, input, silent};

    #[test]
    fn a_tag_that_lies_is_named() {
        let mut input = input();
        silent("server-tag", &input);
        input.instance.image = "postgres:12".to_owned();
        assert_eq!(
            fires("server-tag", &input)[0].message,
            "image postgres:12 runs PostgreSQL 13.16, not 12"
        );
        input.instance.image = "postgres:latest".to_owned();
        silent("server-tag", &input);
    }
}
