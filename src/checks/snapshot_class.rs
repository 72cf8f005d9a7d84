//! A volume snapshot can be made where it is the way back.

use super::{Check, CheckInput, Concerns, Finding, Run, Severity};

/// A volume snapshot can be made where it is the way back.
pub(super) const CHECK: Check = Check {
    id: "snapshot-class",
    title: "A volume snapshot can be made where it is the only way back",
    why: "With link and swap the old directory cannot be started again once the new server ran: only a snapshot goes back",
    mend: "Install a VolumeSnapshotClass for the driver, or choose --transfer copy",
    severity: Severity::Blocker,
    waivable: false,
    concerns: Concerns::Contents,
    queries: &[],
    run: Run::Kubernetes(run),
};

fn run(input: &CheckInput) -> Vec<Finding> {
    let Some(claim) = &input.instance.claim else {
        return Vec::new();
    };
    let uses_up_old = matches!(input.request.transfer.as_str(), "link" | "swap");
    let wanted = input.request.snapshot.as_str();
    if wanted == "none" {
        return if uses_up_old {
            vec![Finding::warning(format!(
                "transfer mode {} without a volume snapshot: after the new server's first start there is no way back",
                input.request.transfer
            ))]
        } else {
            Vec::new()
        };
    }
    if claim.snapshot_class.is_some() || wanted != "auto" {
        return Vec::new();
    }
    let message = format!(
        "no volume snapshot can be made of claim {}: {}",
        claim.id.name, claim.no_snapshot_reason
    );
    if uses_up_old {
        vec![
            Finding::blocker(message)
                .fix("--transfer copy, or accept that there is no way back with --snapshot none"),
        ]
    } else {
        vec![Finding::info(message)]
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{fires, input, silent};

    use super::super::Severity;

    #[test]
    fn link_needs_a_snapshot_or_a_word() {
        let mut input = input();
        input.request.transfer = "link".to_owned();
        silent("snapshot-class", &input);
        let claim = input.instance.claim.as_mut().unwrap();
        (claim.snapshot_class, claim.no_snapshot_reason) =
            (None, "no class for driver x".to_owned());
        assert_eq!(
            fires("snapshot-class", &input)[0].severity,
            Severity::Blocker
        );
        input.request.snapshot = "none".to_owned();
        assert_eq!(
            fires("snapshot-class", &input)[0].severity,
            Severity::Warning
        );
        input.request.transfer = "clone".to_owned();
        silent("snapshot-class", &input);
        input.request.snapshot = "auto".to_owned();
        assert_eq!(fires("snapshot-class", &input)[0].severity, Severity::Info);
    }
}
