//! No physical replication slot is lost.

use super::{Check, Concerns, Finding, Live, Run, Severity, numbered, unknown};

/// No physical replication slot is lost.
pub(super) const CHECK: Check = Check {
    id: "physical-slots",
    title: "No physical replication slot is lost",
    why: "Physical slots are never carried over; standbys and archivers that use them stop",
    mend: "Make them again after the upgrade",
    severity: Severity::Warning,
    waivable: true,
    concerns: Concerns::Place,
    queries: &[],
    run: Run::Live(run),
};

fn run(live: &Live<'_>) -> Vec<Finding> {
    let Some(slots) = &live.server.slots else {
        return vec![unknown("replication slots", live.server)];
    };
    let physical: Vec<&str> = slots
        .iter()
        .filter(|slot| slot.kind == "physical")
        .map(|slot| slot.name.as_str())
        .collect();
    if physical.is_empty() {
        return Vec::new();
    }
    vec![
        Finding::warning(format!(
            "{} would be lost",
            numbered(physical.len(), "physical slot")
        ))
        .fix(format!(
            "after the upgrade: SELECT pg_create_physical_replication_slot('{}')",
            physical.join("'), ('")
        ))
        .objects(physical),
    ]
}

#[cfg(test)]
mod tests {
    use super::super::testing::{fires, input, silent};

    #[test]
    fn physical_slots_are_named() {
        silent("physical-slots", &input());
        assert_eq!(
            fires("physical-slots", &super::super::testing::troubled())[0].objects,
            ["standby1"]
        );
    }
}
