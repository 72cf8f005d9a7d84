//! The new version is a recent minor release.

use super::{Check, Concerns, Finding, Run, Severity, Target};

/// The new version is a recent minor release.
pub(super) const CHECK: Check = Check {
    id: "newest-minor",
    title: "The new version is a recent minor release",
    why: "Minor releases mend pg_upgrade and the data; 17.0 to 17.5 fail with some settings, clusters made by 18.0 to 18.2 mark functions wrongly",
    mend: "Take the newest minor release of the new version",
    severity: Severity::Warning,
    waivable: true,
    concerns: Concerns::Contents,
    queries: &[],
    run: Run::Target(run),
};

fn run(target: &Target<'_>) -> Vec<Finding> {
    let version = target.target.version;
    let Some(newest) = version
        .major
        .known()
        .map(crate::postgres::version::KnownMajor::newest)
    else {
        return Vec::new();
    };
    let fix = format!("take {newest} or newer with --image");
    let wrong = match (version.major.number(), version.minor) {
        (17, 0..6) => Some("whose pg_upgrade fails with some settings (mended in 17.6)"),
        (18, 0..3) => Some("which makes clusters with a wrongly marked function (mended in 18.3)"),
        _ => None,
    };
    match (wrong, version.round(), newest.round()) {
        (Some(wrong), _, _) => vec![
            Finding::warning(format!("the image holds PostgreSQL {version}, {wrong}")).fix(fix),
        ],
        (None, Some(has), Some(could)) if has + 1 < could => {
            vec![
                Finding::warning(format!(
                    "the image holds PostgreSQL {version}; {newest} is known"
                ))
                .fix(fix),
            ]
        }
        _ if version < newest => vec![
            Finding::info(format!(
                "the image holds PostgreSQL {version}; {newest} is known"
            ))
            .fix(fix),
        ],
        _ => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{fires, input, silent};

    use super::super::Severity;
    use crate::postgres::version::ServerVersion;

    #[test]
    fn an_old_minor_is_worth_a_word() {
        let mut input = input();
        let mut severity = |minor| {
            input.target.as_mut().unwrap().version = ServerVersion::new(17, minor);
            fires("newest-minor", &input)[0].severity
        };
        assert_eq!(severity(11), Severity::Info);
        assert_eq!(severity(9), Severity::Warning);
        assert_eq!(severity(4), Severity::Warning);
        input.target.as_mut().unwrap().version = ServerVersion::new(17, 12);
        silent("newest-minor", &input);
    }
}
