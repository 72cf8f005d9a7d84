//! No logical replication slot is lost.

use super::{Check, Concerns, Finding, Live, Run, Severity, numbered, statements, unknown};
use crate::facts::server::Slot;
use crate::postgres::version::MajorVersion;

/// No logical replication slot is lost.
pub(super) const CHECK: Check = Check {
    id: "logical-slots",
    title: "No logical replication slot is lost",
    why: "Up to 16 logical slots are not carried over: their readers stop, and what they had not read is lost; from 17 on they must be drained",
    mend: "Stop the readers, SELECT pg_drop_replication_slot(…), and make the slots again after the upgrade",
    severity: Severity::Blocker,
    waivable: true,
    concerns: Concerns::Place,
    queries: &[],
    run: Run::Live(run),
};

fn run(live: &Live<'_>) -> Vec<Finding> {
    let Some(slots) = &live.server.slots else {
        return vec![unknown("replication slots", live.server)];
    };
    let logical: Vec<_> = slots.iter().filter(|slot| slot.kind == "logical").collect();
    if logical.is_empty() {
        return Vec::new();
    }
    let drops = |slots: &[&Slot]| {
        let all: Vec<String> = slots
            .iter()
            .map(|slot| format!("SELECT pg_drop_replication_slot('{}')", slot.name))
            .collect();
        statements(&all)
    };
    let shown = |slot: &&Slot| {
        format!(
            "{} ({}, {})",
            slot.name,
            slot.plugin.as_deref().unwrap_or("?"),
            slot.database.as_deref().unwrap_or("?")
        )
    };
    if live.server.version.major < MajorVersion::new(17) {
        return vec![
            Finding::blocker(format!(
                "{} would be lost: PostgreSQL {} cannot carry them over",
                numbered(logical.len(), "logical slot"),
                live.server.version.major
            ))
            .objects(logical.iter().map(shown))
            .fix(drops(&logical)),
        ];
    }
    let (broken, whole): (Vec<_>, Vec<_>) = logical
        .into_iter()
        .partition(|slot| slot.invalidated.is_some() || slot.wal_status.as_deref() == Some("lost"));
    let mut findings = Vec::new();
    if !broken.is_empty() {
        findings.push(
            Finding::blocker(format!(
                "{} can no longer be used, and pg_upgrade refuses them",
                numbered(broken.len(), "logical slot")
            ))
            .objects(broken.iter().map(shown))
            .fix(drops(&broken)),
        );
    }
    if !whole.is_empty() {
        findings.push(
            Finding::warning(format!(
                "{} must have been read to the end when the server stops, else pg_upgrade refuses",
                numbered(whole.len(), "logical slot")
            ))
            .objects(whole.iter().map(shown))
            .fix("stop the writers first and let the readers catch up"),
        );
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::super::Severity;
    use super::super::testing::{fires, input, silent};
    use super::*;
    use crate::postgres::version::ServerVersion;

    fn slot(invalidated: Option<&str>) -> Slot {
        Slot {
            name: "cdc".to_owned(),
            kind: "logical".to_owned(),
            plugin: Some("pgoutput".to_owned()),
            database: Some("app".to_owned()),
            active: true,
            temporary: false,
            invalidated: invalidated.map(str::to_owned),
            wal_status: Some("reserved".to_owned()),
            confirmed_flush: None,
        }
    }

    #[test]
    fn slots_that_go_are_named() {
        let mut input = input();
        silent("logical-slots", &input);
        input.server.as_mut().unwrap().slots = Some(vec![slot(None)]);
        let finding = fires("logical-slots", &input).remove(0);
        assert_eq!(
            (finding.severity, finding.fix.as_str()),
            (Severity::Blocker, "SELECT pg_drop_replication_slot('cdc')")
        );
        input.server.as_mut().unwrap().slots = None;
        fires("logical-slots", &input);
    }

    #[test]
    fn from_seventeen_on_only_broken_ones_are_in_the_way() {
        let mut input = input();
        let server = input.server.as_mut().unwrap();
        server.version = ServerVersion::new(17, 11);
        server.slots = Some(vec![slot(None)]);
        input.target.as_mut().unwrap().version = ServerVersion::new(18, 6);
        assert_eq!(
            fires("logical-slots", &input)[0].severity,
            Severity::Warning
        );
        input.server.as_mut().unwrap().slots = Some(vec![slot(Some("wal_removed"))]);
        assert_eq!(
            fires("logical-slots", &input)[0].severity,
            Severity::Blocker
        );
    }
}
