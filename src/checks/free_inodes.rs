//! The volume has free inodes.

use super::{Check, Concerns, Finding, Live, Run, Severity, probed_volume};

/// The volume has free inodes.
pub(super) const CHECK: Check = Check {
    id: "free-inodes",
    title: "The volume has inodes for the files of the new cluster",
    why: "Every relation of the new cluster is a file at first, in every transfer mode; without free inodes pg_upgrade fails with a disk that looks half empty",
    mend: "Grow the claim: ext4 gets more inodes with more space",
    severity: Severity::Blocker,
    waivable: true,
    concerns: Concerns::Contents,
    queries: &[],
    run: Run::Live(run),
};

fn run(live: &Live<'_>) -> Vec<Finding> {
    let volume = probed_volume(live);
    let container = &live.server.container;
    let (total, free) = match volume {
        Some(volume) => (volume.total_inodes, volume.free_inodes),
        None => (container.inodes, container.free_inodes),
    };
    // Some file systems make inodes as they need them and say 0.
    if total == Some(0) {
        return Vec::new();
    }
    let files = container.files.or_else(|| volume?.data_files);
    let (Some(free), Some(files)) = (free, files) else {
        return vec![Finding::warning("the number of free inodes is not known")];
    };
    let needed = files + 400 * live.server.databases.len() as u64 + 1000;
    if free >= needed {
        Vec::new()
    } else {
        vec![
            Finding::blocker(format!("{free} inodes free, {needed} needed"))
                .fix("grow the claim, or remove files from the volume"),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{fires, input, silent};

    #[test]
    fn too_few_inodes_are_refused() {
        let mut input = input();
        silent("free-inodes", &input);
        input
            .target
            .as_mut()
            .unwrap()
            .volume
            .as_mut()
            .unwrap()
            .free_inodes = Some(1500);
        fires("free-inodes", &input);
        input
            .target
            .as_mut()
            .unwrap()
            .volume
            .as_mut()
            .unwrap()
            .total_inodes = Some(0);
        silent("free-inodes", &input);
    }
}
