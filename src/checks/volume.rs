//! The upgrade pod finds the data and may write there.

use super::{Check, Concerns, Finding, Run, Severity, Target};

/// The upgrade pod finds the data and may write there.
pub(super) const CHECK: Check = Check {
    id: "volume",
    title: "The upgrade pod finds the data directory and may write there",
    why: "The new cluster is made on the same volume, as the owner of the data directory",
    mend: "chown the data directory to the user of the server",
    severity: Severity::Blocker,
    waivable: false,
    concerns: Concerns::Place,
    queries: &[],
    run: Run::Target(run),
};

fn run(target: &Target<'_>) -> Vec<Finding> {
    let Some(volume) = &target.target.volume else {
        // The cold path mounts the claim only after the stop.
        return vec![Finding::warning(
            "the volume could not be looked at from another pod while the server runs",
        )];
    };
    if !volume.exists {
        return vec![Finding::blocker(format!(
            "the data directory is not at {} on the claim",
            volume.data
        ))];
    }
    let mut findings = Vec::new();
    if volume.owner == Some(false) {
        findings.push(Finding::blocker(format!(
            "the upgrade pod does not own {}",
            volume.data
        )));
    }
    if volume.writable_data == Some(false) && volume.writable_parent == Some(false) {
        findings.push(Finding::blocker(format!(
            "the upgrade pod may write neither in nor beside {}",
            volume.data
        )));
    }
    let from = target.server.version.major.to_string();
    if volume.pg_version != from {
        findings.push(Finding::blocker(format!(
            "the data directory on the claim is of version {:?}, the running server is {from}: it is not that server's data",
            volume.pg_version
        )));
    }
    let identifier = volume
        .control
        .as_ref()
        .and_then(|control| control.get("Database system identifier"));
    if let Some(identifier) = identifier
        && *identifier != target.server.control.system_identifier
    {
        findings.push(Finding::blocker(format!(
            "the data directory on the claim has system identifier {identifier}, the running server {}: it is not that server's data",
            target.server.control.system_identifier
        )));
    }
    if volume.wal_here == Some(false) {
        findings.push(Finding::blocker(
            "the write-ahead log of the server is not on the claim",
        ));
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::super::testing::{fires, input, silent};

    use crate::facts::target::VolumeFacts;

    #[test]
    fn data_that_is_elsewhere_or_closed_is_refused() {
        let mut input = input();
        silent("volume", &input);
        let change = |change: fn(&mut VolumeFacts)| {
            let mut input = super::super::testing::input();
            change(input.target.as_mut().unwrap().volume.as_mut().unwrap());
            fires("volume", &input).remove(0).message
        };
        assert!(change(|v| v.exists = false).contains("is not at"));
        assert!(change(|v| v.pg_version = "12".to_owned()).contains("not that server's data"));
        assert!(
            change(|v| (v.writable_data, v.writable_parent) = (Some(false), Some(false)))
                .contains("may write neither")
        );
        assert!(change(|v| v.owner = Some(false)).contains("does not own"));
        assert!(
            change(|v| v.control =
                Some([("Database system identifier".to_owned(), "1".to_owned())].into()))
            .contains("identifier 1")
        );
        input.target.as_mut().unwrap().volume = None;
        fires("volume", &input);
    }
}
