//! No part of the data directory's path is the old version's number.

use super::{Check, Concerns, Finding, Live, Run, Severity};

/// No part of the data directory's path is the old version's number.
pub(super) const CHECK: Check = Check {
    id: "data-directory-name",
    title: "No part of the data directory's path is the old version's number",
    why: "The new cluster takes the old one's place in the same directory and PGDATA stays as it is, so such a path tells a version that is not there any more; the old cluster is in the archive",
    mend: "Nothing needs to be done; --data-directory gives the new cluster a directory of its own name",
    severity: Severity::Info,
    waivable: false,
    concerns: Concerns::Contents,
    queries: &[],
    run: Run::Live(run),
};

fn run(live: &Live<'_>) -> Vec<Finding> {
    let directory = &live.server.data_directory;
    let old = live.server.version.major.to_string();
    if live.input.placement.is_some()
        || live.to == live.server.version.major
        || directory.split('/').all(|part| part != old)
    {
        return Vec::new();
    }
    let new = live.to.to_string();
    let parts = directory.split('/');
    let next: Vec<&str> = parts
        .map(|part| if part == old { &new } else { part })
        .collect();
    vec![
        Finding::info(format!(
            "data directory {directory} keeps its name, with the {old} in it, and holds PostgreSQL {new} afterwards; PGDATA stays as it is"
        ))
        .fix(format!("where the name shall follow: --data-directory {}", next.join("/"))),
    ]
}

#[cfg(test)]
mod tests {
    use super::super::testing::{fires, input, silent};

    #[test]
    fn a_path_with_the_old_number_is_told() {
        let mut input = input();
        silent("data-directory-name", &input);
        let mut at = |directory: &str| {
            directory.clone_into(&mut input.server.as_mut().unwrap().data_directory);
            input.clone()
        };
        silent("data-directory-name", &at("/vol/data13"));
        silent("data-directory-name", &at("/vol/17"));
        for versioned in ["/vol/13", "/vol/13/docker"] {
            let found = fires("data-directory-name", &at(versioned));
            assert!(
                found[0].message.contains("holds PostgreSQL 17"),
                "{found:?}"
            );
            let next = format!("--data-directory {}", versioned.replace("13", "17"));
            assert!(found[0].fix.ends_with(&next), "{found:?}");
        }
        let mut same = at("/vol/13");
        same.request.to = Some(13);
        same.target = None;
        silent("data-directory-name", &same);
    }
}
