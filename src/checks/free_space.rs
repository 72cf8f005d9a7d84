//! The volume has room.

use super::{Check, Concerns, Finding, Live, Run, Severity, probed_volume};
use crate::plan::dump::bytes_needed;
use crate::record::DUMP;

/// The volume has room.
pub(super) const CHECK: Check = Check {
    id: "free-space",
    title: "The volume has room for the new cluster",
    why: "A volume that fills up in the middle makes pg_upgrade fail; mode copy needs the whole size of the data again",
    mend: "Grow the claim, or choose --transfer link or clone",
    severity: Severity::Blocker,
    waivable: true,
    concerns: Concerns::Contents,
    queries: &[],
    run: Run::Live(run),
};

fn run(live: &Live<'_>) -> Vec<Finding> {
    let volume = probed_volume(live);
    let free = volume
        .and_then(|volume| volume.free_bytes)
        .or_else(|| Some(live.server.container.free_kib? * 1024));
    let Some(free) = free else {
        return vec![Finding::blocker(
            "the free space of the volume is not known",
        )];
    };
    let transfer = live.input.request.transfer.as_str();
    let data = if matches!(transfer, "copy" | DUMP) {
        let bytes = live
            .server
            .data_kib()
            .map(|kib| kib * 1024)
            .or_else(|| volume?.data_bytes);
        let Some(bytes) = bytes else {
            return vec![Finding::blocker("the size of the data is not known")];
        };
        // A dump lies beside both clusters unless it has a claim of its own.
        let here = transfer == DUMP && live.input.surroundings.dump_claim.is_none();
        let dump = if here { bytes_needed(bytes) } else { 0 };
        bytes + bytes / 20 + dump
    } else {
        0
    };
    let needed = data + overhead(live);
    if free >= needed {
        return Vec::new();
    }
    let id = live.input.instance.claim.as_ref().map(|claim| &claim.id);
    let grow = id.map_or_else(
        || "grow the volume".to_owned(),
        |id| {
            let size = live.input.instance.claim.as_ref().map_or(0, |claim| claim.capacity_bytes) + (needed - free);
            format!(
                "kubectl -n {} patch pvc {} -p '{{\"spec\":{{\"resources\":{{\"requests\":{{\"storage\":\"{}Mi\"}}}}}}}}'",
                id.namespace, id.name, size.div_ceil(1 << 20)
            )
        },
    );
    let other = if transfer == "copy" {
        ", or --transfer link"
    } else {
        ""
    };
    vec![
        Finding::blocker(format!(
            "{} MiB free, {} MiB needed with transfer mode {transfer}",
            free >> 20,
            needed.div_ceil(1 << 20)
        ))
        .fix(format!("{grow}{other}")),
    ]
}

/// What a new cluster takes besides the tables, bytes: catalogs of each database, write-ahead log, dumps of the schema.
fn overhead(live: &Live<'_>) -> u64 {
    let databases = live.server.databases.len() as u64;
    let relations: u64 = live
        .server
        .databases
        .iter()
        .filter_map(|database| database.contents.as_ref()?.relations)
        .map(|relations| relations.relations)
        .sum();
    (48 << 20)
        + databases * (10 << 20)
        + 3 * live.server.control.wal_segment_bytes
        + relations * (16 << 10)
}

#[cfg(test)]
mod tests {
    use super::super::testing::{fires, input, silent};
    use crate::facts::dump_claim::DumpClaimFacts;
    use crate::record::DUMP;

    #[test]
    fn a_dump_needs_room_beside_the_data_and_the_new_cluster() {
        let mut input = input();
        let server = input.server.as_mut().unwrap();
        server.container.directories = Some([("base".to_owned(), 4 << 20)].into());
        let volume = input.target.as_mut().unwrap().volume.as_mut().unwrap();
        volume.free_bytes = Some(5 << 30);
        input.request.transfer = "copy".to_owned();
        silent("free-space", &input);
        input.request.transfer = DUMP.to_owned();
        fires("free-space", &input);
        input.surroundings.dump_claim = Some(DumpClaimFacts::default());
        silent("free-space", &input);
    }

    #[test]
    fn copy_needs_the_data_again_and_link_does_not() {
        let mut input = input();
        silent("free-space", &input);
        input.server.as_mut().unwrap().container.directories =
            Some([("base".to_owned(), 4 << 20)].into());
        input
            .target
            .as_mut()
            .unwrap()
            .volume
            .as_mut()
            .unwrap()
            .free_bytes = Some(2 << 30);
        input.request.transfer = "link".to_owned();
        silent("free-space", &input);
        input.request.transfer = "copy".to_owned();
        let finding = fires("free-space", &input).remove(0);
        assert!(
            finding.message.starts_with("2048 MiB free, "),
            "{}",
            finding.message
        );
        assert!(
            finding
                .fix
                .starts_with("kubectl -n shop patch pvc data-pg-0 -p '{\"spec\""),
            "{}",
            finding.fix
        );
    }

    #[test]
    fn a_full_volume_is_refused_in_every_mode() {
        let mut input = input();
        input
            .target
            .as_mut()
            .unwrap()
            .volume
            .as_mut()
            .unwrap()
            .free_bytes = Some(20 << 20);
        fires("free-space", &input);
        input.target.as_mut().unwrap().volume = None;
        input.server.as_mut().unwrap().container.free_kib = None;
        assert_eq!(
            fires("free-space", &input)[0].message,
            "the free space of the volume is not known"
        );
    }
}
