//! What can be said of a PostgreSQL from lists alone: how long it is supported, what would upgrade it, what is in the way.

use jiff::ToSpan as _;
use jiff::civil::Date;
use serde::Serialize;

use crate::facts::instance::OwnerKind;
use crate::facts::listed::{Listed, PodState, RunsAs};
use crate::postgres::version::{MajorVersion, ServerVersion};

/// What `list` says beside the facts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outlook {
    /// The newest release of its major version.
    pub newest: Option<ServerVersion>,
    /// Last day of support.
    pub end_of_life: Option<Date>,
    /// How near that is.
    pub support: Option<Support>,
    /// What would upgrade it; `None` when nothing is to be done, or the version is not known.
    pub method: Option<Way>,
    /// What is in the way, in short words; preflight says all of it.
    pub blockers: Vec<String>,
}

/// How long a version is still supported.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Support {
    /// For more than half a year.
    Supported,
    /// For less than half a year.
    EndsSoon,
    /// Not any more.
    Ended,
}

/// What would take it to a newer major version.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Way {
    /// `pg_upgrade` on the same claim.
    PgUpgrade,
    /// A dump, loaded into a new server.
    Dump,
    /// The operator's own procedure.
    Operator,
}

impl Way {
    /// The word in the table.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::PgUpgrade => "pg-upgrade",
            Self::Dump => "dump",
            Self::Operator => "operator",
        }
    }
}

/// Judges one PostgreSQL; `today` is the API server's day.
pub fn outlook(listed: &Listed, today: Date) -> Outlook {
    let known = listed.major().and_then(MajorVersion::known);
    let end_of_life = known.and_then(|known| known.end_of_life.parse::<Date>().ok());
    Outlook {
        newest: known.map(crate::postgres::version::KnownMajor::newest),
        end_of_life,
        support: end_of_life.map(|end| support(end, today)),
        method: way(listed),
        blockers: blockers(listed),
    }
}

fn support(end: Date, today: Date) -> Support {
    if today > end {
        Support::Ended
    } else if today.saturating_add(6.months()) >= end {
        Support::EndsSoon
    } else {
        Support::Supported
    }
}

/// What would upgrade it.
///
/// An operator's instance: the operator. Nothing for the newest known major version. `pg_upgrade` needs a claim that both
/// servers see in turn, and a source that it takes: without one of them it is a dump. The C library is no reason here,
/// because `--to` stays in the image's repository and keeps `-alpine`; whoever crosses it by `--image` is told by preflight.
fn way(listed: &Listed) -> Option<Way> {
    if is_operators(listed) {
        return Some(Way::Operator);
    }
    let major = listed.major()?;
    if major >= MajorVersion::NEWEST {
        None
    } else if major < MajorVersion::OLDEST_SOURCE || !listed.has_claim {
        Some(Way::Dump)
    } else {
        Some(Way::PgUpgrade)
    }
}

fn is_operators(listed: &Listed) -> bool {
    listed.owners.iter().any(|o| o.kind == OwnerKind::Operator)
}

/// What is in the way as far as lists tell, worst first. Whatever could not be read is not held against it.
fn blockers(listed: &Listed) -> Vec<String> {
    let mut found = Vec::new();
    if is_operators(listed) {
        found.push("operator".to_owned());
    } else {
        match listed.runs_as {
            RunsAs::BarePod => found.push("bare pod".to_owned()),
            RunsAs::Other => found.push("not a StatefulSet or Deployment".to_owned()),
            RunsAs::Workload | RunsAs::Operator => {}
        }
        if let Some(replicas @ 2..) = listed.replicas {
            found.push(format!("replicas {replicas}"));
        }
        if listed.partition > 0 {
            found.push(format!("partition {}", listed.partition));
        }
        if !listed.has_claim {
            found.push("no claim".to_owned());
        }
        if listed.claim_deleted_when_scaled {
            found.push("claim deleted when scaled".to_owned());
        }
        if listed
            .major()
            .is_some_and(|major| major < MajorVersion::OLDEST_SOURCE)
        {
            found.push(format!("older than {}", MajorVersion::OLDEST_SOURCE));
        }
    }
    match listed.state {
        PodState::NotRunning => found.push("not running".to_owned()),
        PodState::CrashLoop => found.push("crash loop".to_owned()),
        PodState::ImagePull => found.push("image not pulled".to_owned()),
        PodState::Running | PodState::Unknown => {}
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::facts::instance::Owner;

    fn listed(major: u16) -> Listed {
        Listed {
            namespace: "shop".to_owned(),
            target: "statefulset/pg".to_owned(),
            runs_as: RunsAs::Workload,
            container: "postgres".to_owned(),
            image: format!("postgres:{major}"),
            replicas: Some(1),
            partition: 0,
            claim_deleted_when_scaled: false,
            pod: "pg-0".to_owned(),
            state: PodState::Running,
            has_claim: true,
            claim: "data-pg-0".to_owned(),
            capacity_bytes: Some(8 << 30),
            owners: Vec::new(),
            version: None,
            claimed: Some(MajorVersion::new(major)),
        }
    }

    fn day(text: &str) -> Date {
        text.parse().unwrap()
    }

    #[test]
    fn support_ends_after_its_last_day() {
        // 15 is supported until 2027-11-11.
        for (today, expected) in [
            ("2027-05-10", Support::Supported),
            ("2027-05-11", Support::EndsSoon),
            ("2027-11-11", Support::EndsSoon),
            ("2027-11-12", Support::Ended),
        ] {
            let outlook = outlook(&listed(15), day(today));
            assert_eq!(outlook.support, Some(expected), "{today}");
            assert_eq!(outlook.end_of_life, Some(day("2027-11-11")));
        }
    }

    #[test]
    fn a_healthy_server_has_a_method_and_no_blocker() {
        let mut healthy = listed(15);
        let today = day("2026-11-20");
        let seen = outlook(&healthy, today);
        assert_eq!(seen.method, Some(Way::PgUpgrade));
        assert_eq!(seen.blockers, [""; 0]);
        // Alpine stays Alpine.
        healthy.image = "postgres:15-alpine".to_owned();
        assert_eq!(outlook(&healthy, today).method, Some(Way::PgUpgrade));
        // The server's word counts more than the tag's.
        healthy.version = Some(ServerVersion::new(19, 0));
        assert_eq!(outlook(&healthy, today).method, None);
        healthy.version = None;
        healthy.claimed = None;
        let unknown = outlook(&healthy, today);
        assert_eq!((unknown.method, unknown.newest), (None, None));
    }

    #[test]
    fn everything_that_the_lists_tell_is_in_the_way_at_once() {
        let mut sick = listed(15);
        sick.replicas = Some(3);
        sick.partition = 1;
        sick.has_claim = false;
        sick.claim_deleted_when_scaled = true;
        sick.state = PodState::CrashLoop;
        let seen = outlook(&sick, day("2026-11-20"));
        assert_eq!(seen.method, Some(Way::Dump));
        assert_eq!(
            seen.blockers,
            [
                "replicas 3",
                "partition 1",
                "no claim",
                "claim deleted when scaled",
                "crash loop"
            ]
        );
        let mut old = listed(15);
        old.claimed = Some(MajorVersion::before_ten(9, 4));
        old.state = PodState::NotRunning;
        let seen = outlook(&old, day("2026-11-20"));
        assert_eq!(seen.method, Some(Way::Dump));
        assert_eq!(seen.blockers, ["older than 9.6", "not running"]);
    }

    #[test]
    fn an_operators_instance_is_the_operators() {
        let mut owned = listed(15);
        owned.replicas = Some(3);
        owned.runs_as = RunsAs::Operator;
        owned.owners = vec![Owner {
            kind: OwnerKind::Operator,
            name: "CloudNativePG".to_owned(),
            object: "shop".to_owned(),
        }];
        let seen = outlook(&owned, day("2026-11-20"));
        assert_eq!(seen.method, Some(Way::Operator));
        assert_eq!(seen.blockers, ["operator"]);
    }

    #[test]
    fn what_was_not_read_is_not_held_against_it() {
        let mut half = listed(15);
        half.state = PodState::Unknown;
        half.replicas = None;
        half.capacity_bytes = None;
        assert_eq!(outlook(&half, day("2026-11-20")).blockers, [""; 0]);
        half.runs_as = RunsAs::BarePod;
        assert_eq!(outlook(&half, day("2026-11-20")).blockers, ["bare pod"]);
    }
}
