//! The transfer mode is possible.

use super::{Check, Concerns, Finding, Run, Severity, Target};
use crate::postgres::version::MajorVersion;

/// The transfer mode is possible.
pub(super) const CHECK: Check = Check {
    id: "transfer-mode",
    title: "The transfer mode that was asked for is possible",
    why: "clone needs a file system with reflinks, swap needs PostgreSQL 18 and a cluster of 10 or newer",
    mend: "Choose another --transfer, or auto",
    severity: Severity::Blocker,
    waivable: false,
    concerns: Concerns::Contents,
    queries: &[],
    run: Run::Target(run),
};

fn run(target: &Target<'_>) -> Vec<Finding> {
    let volume = target.target.volume.as_ref();
    let to = target.target.version;
    match target.input.request.transfer.as_str() {
        "clone" if volume.and_then(|volume| volume.reflink) == Some(false) => {
            let fstype = volume
                .and_then(|volume| volume.fstype.as_deref())
                .unwrap_or("this file system");
            vec![
                Finding::blocker(format!(
                    "transfer mode clone needs reflinks, which {fstype} has not here"
                ))
                .fix("--transfer auto"),
            ]
        }
        "swap" if to.major < MajorVersion::new(18) => {
            vec![
                Finding::blocker(format!(
                    "transfer mode swap needs PostgreSQL 18; the image holds {to}"
                ))
                .fix("--transfer auto"),
            ]
        }
        "swap" if target.server.version.major < MajorVersion::new(10) => {
            vec![
                Finding::blocker("transfer mode swap needs a cluster of PostgreSQL 10 or newer")
                    .fix("--transfer auto"),
            ]
        }
        _ => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{fires, input, recorded, silent};

    #[test]
    fn a_mode_that_cannot_work_is_refused() {
        let mut input = input();
        silent("transfer-mode", &input);
        input.request.transfer = "swap".to_owned();
        fires("transfer-mode", &input);
        input.request.transfer = "clone".to_owned();
        input
            .target
            .as_mut()
            .unwrap()
            .volume
            .as_mut()
            .unwrap()
            .reflink = Some(false);
        fires("transfer-mode", &input);
        input.request.transfer = "link".to_owned();
        silent("transfer-mode", &input);
    }

    #[test]
    fn swap_takes_no_cluster_of_nine_six() {
        let mut input = recorded("9.6", "18");
        input.request.transfer = "swap".to_owned();
        fires("transfer-mode", &input);
        input = recorded("10", "18");
        input.request.transfer = "swap".to_owned();
        silent("transfer-mode", &input);
    }
}
