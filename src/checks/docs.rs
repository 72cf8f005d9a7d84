//! `docs/checks.md`, rendered from the list that `preflight --list-checks` prints.

use std::fmt::Write as _;

use super::{Layer, Severity, report};

const HEAD: &str = "# Checks

What `kubectl pg-upgrade preflight` looks at, all of it at once. A *blocker* ends `preflight` with exit code 3 and stops `run`; a *warning*
asks for attention; *info* is good to know. `--ignore-checks ID,…` turns the blockers of a check into warnings where that is said below.

What could not be read is a finding too, never taken for granted. `preflight --list-checks`
prints this list, too. This page is made from the code: see `src/checks/docs.rs`.

`schema-restore` is the one check that costs the running server something; only `preflight` makes it, not `run`. `pg_dump`, in the server's own container, reads the
definitions of one database after the other: it holds ACCESS SHARE locks on its tables meanwhile, as every nightly dump does, waits for
no lock longer than 2 seconds, takes at most half of the memory that the container has left, and ends after 30 seconds for all databases.
No data leaves the server, and no passwords: those of roles, subscriptions and user mappings are left out. The probe pod makes the
definitions in a scratch server of the old version and from there, as pg_upgrade does, in one of the new version. A database with more
tables and views than half of the server's locks, or more than 10,000 large objects, or for which the time is not enough, is named as not
proved, which is no blocker: `rehearse` proves the same on a copy. `preflight --no-schema-restore` leaves the check out.
";

/// The text of `docs/checks.md`.
pub fn render() -> String {
    let mut text = HEAD.to_owned();
    let checks = report::list();
    for (layer, title) in [
        (Layer::Live, "The running server"),
        (Layer::Target, "The target image and the volume"),
        (Layer::Kubernetes, "Kubernetes"),
    ] {
        let _ = write!(text, "\n## {title}\n");
        for check in checks.iter().filter(|check| check.layer == layer.as_str()) {
            let waive = match (check.severity, check.waivable) {
                (Severity::Blocker, true) => "A blocker that may be ignored.",
                (Severity::Blocker, false) => "A blocker that cannot be ignored.",
                (Severity::Warning, _) => "A warning.",
                (Severity::Info, _) => "Info.",
            };
            let _ = write!(
                text,
                "\n### {}\n\n**{}.** {}.\n\nWhat to do: {}. {waive}",
                check.id, check.title, check.why, check.mend
            );
            if let Some(major) = check.changed_in {
                let _ = write!(text, " Only from before {major} to {major} or newer.");
            }
            if check.pg_upgrade_only {
                text.push_str(" Not with `--method dump`.");
            }
            text.push('\n');
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_is_what_the_registry_says() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/checks.md");
        let rendered = render();
        let written = std::fs::read_to_string(path).unwrap_or_default();
        if written != rendered {
            std::fs::create_dir_all(concat!(env!("CARGO_MANIFEST_DIR"), "/docs")).unwrap();
            std::fs::write(path, &rendered).unwrap();
            panic!(
                "docs/checks.md was out of date and has been written anew; look at it and commit it"
            );
        }
        for check in report::list() {
            assert!(rendered.contains(&format!("\n### {}\n", check.id)));
        }
    }
}
