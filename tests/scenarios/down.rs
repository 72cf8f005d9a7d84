//! Servers that do not run when the user comes: the image was raised already, or the workload is at zero.

use std::time::Duration;

use crate::support::{Instance, Space, assert_same, eventually};

/// Waits until the server has ended more than once.
pub(super) fn wait_crash(space: &Space) {
    let count = "-o jsonpath={.items[*].status.containerStatuses[*].restartCount}";
    eventually(
        "the server ends again and again",
        Duration::from_secs(90),
        || {
            let counts = space.kubectl(&format!("get pods -l app=pg {count}"));
            let mut counts = counts.split(' ').filter_map(|n| n.parse::<u32>().ok());
            counts.any(|n| n >= 1).then_some(())
        },
    );
}

#[test]
fn a_raised_image_that_cannot_read_the_data_is_the_start_of_the_plan() {
    let space = Space::new("raised");
    let pg = space.install(&Instance::library("library-statefulset", 15));
    pg.seed_hostile();
    let before = pg.fingerprint();
    space.kubectl("set image statefulset/pg postgres=docker.io/library/postgres:17");
    wait_crash(&space);

    space
        .plugin("preflight statefulset/pg")
        .exits(3)
        .says("server-facts")
        .says("the data directory is of PostgreSQL 15")
        .says("postgres:15 is put back first");
    space
        .plugin("rehearse statefulset/pg --to 17")
        .exits(3)
        .says("of PostgreSQL 15");
    space
        .plugin("run statefulset/pg --dry-run -y")
        .exits(0)
        .says("postgres:15 is put back first");
    let done = space.plugin("run statefulset/pg -y").exits(0);
    assert_eq!(pg.major(), 17, "{done}");
    assert_same(&before, &pg.fingerprint());
    assert_eq!(space.leftovers(), [""; 0]);
}

#[test]
fn a_raised_image_of_a_deployment_needs_the_old_one_named_when_its_history_is_gone() {
    let space = Space::new("raisedd");
    let pg = space.install(&Instance::library("library-deployment", 15));
    pg.seed();
    let before = pg.fingerprint();
    space.kubectl("set image deployment/pg *=docker.io/library/postgres:18");
    wait_crash(&space);
    space.kubectl("delete replicasets,pods --all --wait=true");
    wait_crash(&space);
    space
        .plugin("run deployment/pg -y")
        .exits(3)
        .says("--old-image");
    let done = space
        .plugin("run deployment/pg -y --old-image docker.io/library/postgres:15 --to 17")
        .exits(0);
    assert_eq!(pg.major(), 17, "{done}");
    assert_same(&before, &pg.fingerprint());
}

#[test]
fn a_workload_at_zero_is_started_first() {
    let space = Space::new("zero");
    let pg = space.install(&Instance::bitnami("bitnami-statefulset", 15));
    pg.seed();
    let before = pg.fingerprint();
    pg.scale(0);
    space.kubectl("wait --for=delete pod/pg-postgresql-0 --timeout=90s");
    space
        .plugin("preflight statefulset/pg-postgresql --to 17")
        .exits(3)
        .says("at zero replicas");
    let done = space
        .plugin("run statefulset/pg-postgresql --to 17 -y")
        .exits(0);
    assert_eq!(pg.major(), 17, "{done}");
    assert_same(&before, &pg.fingerprint());
}
