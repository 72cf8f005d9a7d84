//! What the tests on a real Kubernetes share: a namespace each, instances, the built binary, clients, a canary.

mod cli;
mod process;
mod server;
mod space;
mod writer;

pub(crate) use cli::Cli;
pub(crate) use server::{
    Instance, OLDER_17, OLDER_BITNAMI_17, Server, assert_same, base64, library,
};
pub(crate) use space::Space;
pub(crate) use writer::{App, Writer};

use std::process::Command;
use std::time::Duration;

/// Nothing that a test waits for may take longer.
pub(crate) const LIMIT: Duration = Duration::from_secs(300);

/// The context that the tests may use: the one that is named, never the user's current one.
pub(crate) fn context() -> String {
    std::env::var("PG_UPGRADE_TEST_CONTEXT")
        .ok()
        .filter(|context| !context.is_empty())
        .expect("PG_UPGRADE_TEST_CONTEXT names no cluster: run these tests by make test-e2e")
}

/// Tells whether the cluster is one of tests/cluster, with its storage classes and all of its images. Says so when it is
/// not, because the test that asks then ends.
pub(crate) fn own_cluster(what: &str) -> bool {
    let own = context().starts_with("pg-upgrade-");
    if !own {
        eprintln!("skipped: {what} needs the cluster of tests/cluster");
    }
    own
}

/// kubectl on the cluster of the tests.
pub(crate) fn kubectl() -> Command {
    let mut command = Command::new("kubectl");
    command.args(["--context", &context()]);
    command
}

/// Something that is in no other run of the tests.
pub(crate) fn unique() -> String {
    use std::sync::atomic::{AtomicU32, Ordering};
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let nanos = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .map_or(0, |d| d.subsec_nanos());
    format!(
        "{:x}{:04x}{:x}",
        std::process::id(),
        nanos % 0xffff,
        NEXT.fetch_add(1, Ordering::Relaxed)
    )
}

/// Asks again and again, for what cannot be watched by `kubectl wait`.
pub(crate) fn eventually<T>(what: &str, limit: Duration, mut look: impl FnMut() -> Option<T>) -> T {
    let start = std::time::Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(
            start.elapsed() < limit,
            "{what}: not after {} s",
            limit.as_secs()
        );
        std::thread::sleep(Duration::from_millis(300));
    }
}
