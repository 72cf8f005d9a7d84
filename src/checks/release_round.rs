//! The new version was not released before the old one.

use super::{Check, Concerns, Finding, Run, Severity, Target};

/// The new version was not released before the old one.
pub(super) const CHECK: Check = Check {
    id: "release-round",
    title: "The new version was released in the same quarter as the old one, or later",
    why: "A release knows nothing of what older majors began to write after it: 15.20 and 17.12 write a column option that 18.6 refuses in the middle of pg_upgrade, and of a load: its pg_dump writes the option out, that of the same quarter does not",
    mend: "Take a newer minor release of the new version",
    severity: Severity::Blocker,
    waivable: false,
    concerns: Concerns::Contents,
    queries: &[],
    run: Run::Target(run),
};

fn run(target: &Target<'_>) -> Vec<Finding> {
    let (from, to) = (target.server.version, target.target.version);
    let (Some(from_round), Some(to_round)) = (from.round(), to.round()) else {
        return Vec::new();
    };
    if to_round >= from_round {
        return Vec::new();
    }
    let message = format!("PostgreSQL {to} was released before {from}");
    let fix = format!("take a newer minor release of {} with --image", to.major);
    if from.outruns(to) {
        let detail =
            format!("{message} and does not know the column option pg_attver that {from} writes");
        vec![Finding::blocker(detail).fix(fix)]
    } else {
        vec![Finding::warning(message).fix(fix)]
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{fires, input, silent};

    use super::super::Severity;
    use crate::postgres::version::ServerVersion;

    #[test]
    fn a_target_of_an_older_quarter_is_refused_where_it_fails() {
        let mut input = input();
        silent("release-round", &input);
        input.server.as_mut().unwrap().version = ServerVersion::new(15, 20);
        input.target.as_mut().unwrap().version = ServerVersion::new(18, 6);
        assert_eq!(
            fires("release-round", &input)[0].severity,
            Severity::Blocker
        );
        input.server.as_mut().unwrap().version = ServerVersion::new(15, 18);
        silent("release-round", &input);
        for (from, to) in [((15, 18), (18, 1)), ((15, 21), (18, 7))] {
            input.server.as_mut().unwrap().version = ServerVersion::new(from.0, from.1);
            input.target.as_mut().unwrap().version = ServerVersion::new(to.0, to.1);
            assert_eq!(
                fires("release-round", &input)[0].severity,
                Severity::Warning
            );
        }
    }
}
