//! The data directory is closed to others.

use super::{Check, Concerns, Finding, Live, Run, Severity};

/// The data directory is closed to others.
pub(super) const CHECK: Check = Check {
    id: "data-directory-mode",
    title: "The data directory is closed to others",
    why: "A server starts only on a data directory with mode 0700 or 0750",
    mend: "chmod 0700; remove fsGroup, or set fsGroupChangePolicy: OnRootMismatch",
    severity: Severity::Warning,
    waivable: true,
    concerns: Concerns::Place,
    queries: &[],
    run: Run::Live(run),
};

fn run(live: &Live<'_>) -> Vec<Finding> {
    let Some(mode) = live
        .server
        .container
        .dir_mode
        .as_deref()
        .and_then(|mode| u32::from_str_radix(mode, 8).ok())
    else {
        return vec![Finding::warning(
            "the mode of the data directory could not be read",
        )];
    };
    // The upgrade pod sets it right, as its owner may; only the next start of the old server is at risk.
    if mode & 0o027 == 0 {
        return Vec::new();
    }
    let directory = &live.server.data_directory;
    let because = live
        .input
        .instance
        .fs_group
        .map(|group| format!(" (fsGroup {group} opens it)"))
        .unwrap_or_default();
    vec![
        Finding::warning(format!("data directory {directory} has mode {mode:04o}{because}, with which a server does not start"))
            .fix(format!("chmod 0700 {directory}")),
    ]
}

#[cfg(test)]
mod tests {
    use super::super::testing::{fires, input, silent};

    #[test]
    fn an_open_directory_is_named() {
        let mut input = input();
        silent("data-directory-mode", &input);
        input.server.as_mut().unwrap().container.dir_mode = Some("2770".to_owned());
        assert!(
            fires("data-directory-mode", &input)[0]
                .message
                .contains("2770")
        );
        input.server.as_mut().unwrap().container.dir_mode = Some("2750".to_owned());
        silent("data-directory-mode", &input);
    }
}
