//! The new cluster can have the same WAL segment size.

use super::{Check, Finding, Live, Run};

/// The new cluster can have the same WAL segment size.
pub(super) const CHECK: Check = Check {
    id: "wal-segment-size",
    title: "The WAL segment size is one that initdb can make",
    why: "pg_upgrade refuses a new cluster with another WAL segment size",
    mend: "None is known; initdb makes 1 MB to 1 GB",
    waivable: false,
    queries: &[],
    run: Run::Live(run),
};

fn run(live: &Live<'_>) -> Vec<Finding> {
    let bytes = live.server.control.wal_segment_bytes;
    if bytes.is_power_of_two() && (1 << 20..=1 << 30).contains(&bytes) {
        Vec::new()
    } else {
        vec![Finding::blocker(format!(
            "the WAL segment size is {bytes} bytes; initdb makes powers of two from 1 MB to 1 GB"
        ))]
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{fires, input, silent};

    #[test]
    fn sizes_that_initdb_makes_are_fine() {
        let mut input = input();
        silent("wal-segment-size", &input);
        input.server.as_mut().unwrap().control.wal_segment_bytes = 64 << 20;
        silent("wal-segment-size", &input);
        input.server.as_mut().unwrap().control.wal_segment_bytes = 512 << 10;
        fires("wal-segment-size", &input);
    }
}
