//! Every pair of versions in both image families, every transfer mode, and the way back from each.

use crate::support::{
    App, Instance, OLDER_17, OLDER_BITNAMI_17, Space, Writer, assert_same, own_cluster,
};

/// What is written after an upgrade, to be gone after a restore.
const WRITTEN_LATER: &str = "CREATE TABLE written_later AS SELECT generate_series(1, 1000) AS n;
    INSERT INTO customers (name) SELECT md5(i::text) FROM generate_series(1, 1000) i;
    VACUUM FULL customers; CHECKPOINT;";

#[test]
fn library_13_goes_to_17_by_link_with_its_clients_and_back_by_the_snapshot() {
    if !own_cluster("a volume snapshot") {
        return;
    }
    let space = Space::new("link");
    let pg = space.install(&Instance::library("library-statefulset", 13));
    pg.seed_hostile();
    let app = App::install(&space, &pg, "postgres");
    assert_eq!(app.state(), App::RUNNING);
    let before = pg.fingerprint();

    let done = pg.upgrades(17, "--transfer link");
    assert_eq!(app.state(), App::RUNNING, "{done}");
    assert_eq!(pg.image(), "docker.io/library/postgres:17");
    assert_eq!(space.leftovers(), [""; 0]);
    space
        .plugin("restore statefulset/pg --from archive -y")
        .exits(3)
        .says("--from snapshot");

    pg.sql("plain", WRITTEN_LATER);
    space
        .plugin("restore statefulset/pg --from snapshot -y")
        .exits(0);
    assert_eq!(pg.major(), 13);
    assert_eq!(pg.image(), "docker.io/library/postgres:13");
    assert_same(&before, &pg.fingerprint());
    assert_eq!(app.state(), App::RUNNING);
    // Saying it again does nothing.
    space
        .plugin("restore statefulset/pg --from snapshot -y")
        .exits(0);
    assert_eq!(pg.major(), 13);
    space.assert_password_is_nowhere();
}

#[test]
fn bitnami_13_goes_to_17_by_clone_and_back_by_the_archive() {
    if !own_cluster("a file system with reflinks") {
        return;
    }
    let space = Space::restricted("bitnami");
    let pg = space.install(&Instance::bitnami("bitnami-statefulset", 13).class("xfs"));
    pg.seed_hostile();
    pg.set_for_everybody();
    let before = pg.fingerprint();
    pg.upgrades(17, "").says("clone");
    pg.sql("plain", WRITTEN_LATER);
    space
        .plugin("restore statefulset/pg-postgresql --from archive -y")
        .exits(0);
    assert_eq!(pg.major(), 13);
    assert_same(&before, &pg.fingerprint());
    // And forward once more.
    pg.upgrades(17, "--skip-vacuum");
    space.assert_password_is_nowhere();
}

#[test]
fn a_library_deployment_goes_from_15_to_18_by_copy_and_back_by_the_archive() {
    let space = Space::new("copy");
    let pg = space.install(&Instance::library("library-deployment", 15).class("ext4-nosnap"));
    pg.seed();
    let before = pg.fingerprint();
    pg.upgrades(18, "--transfer copy");
    pg.sql("plain", WRITTEN_LATER);
    space
        .plugin("restore deployment/pg --from archive -y")
        .exits(0);
    assert_eq!(pg.major(), 15);
    assert_same(&before, &pg.fingerprint());
}

#[test]
fn bitnami_15_goes_to_18_by_what_auto_chooses() {
    if !own_cluster("the Bitnami image of 18") {
        return;
    }
    let space = Space::restricted("bitnami18");
    let pg = space.install(&Instance::bitnami("bitnami-config", 15));
    pg.seed();
    pg.upgrades(18, "").says("link");
    assert_eq!(pg.major(), 18);
}

#[test]
fn library_17_goes_to_18_by_swap_and_back_by_the_snapshot() {
    if !own_cluster("a volume snapshot") {
        return;
    }
    let space = Space::new("swap");
    let pg = space.install(&Instance::library("library-statefulset", OLDER_17));
    pg.seed();
    let before = pg.fingerprint();
    pg.upgrades(18, "--transfer swap");
    pg.sql("plain", WRITTEN_LATER);
    space
        .plugin("restore statefulset/pg --from snapshot -y")
        .exits(0);
    assert_eq!(pg.major(), 17);
    assert_same(&before, &pg.fingerprint());
}

#[test]
fn bitnami_17_goes_to_18_by_clone() {
    if !own_cluster("the Bitnami image of 18") {
        return;
    }
    let space = Space::restricted("clone18");
    let pg =
        space.install(&Instance::bitnami("bitnami-statefulset", OLDER_BITNAMI_17).class("xfs"));
    pg.seed();
    pg.upgrades(18, "--transfer clone --verify quick");
}

#[test]
fn a_client_that_nobody_stops_loses_no_confirmed_write() {
    let space = Space::new("writer");
    let pg = space.install(&Instance::library("library-statefulset", 13));
    pg.sql(
        "postgres",
        "CREATE TABLE big AS SELECT i, md5(i::text) FROM generate_series(1, 200000) i",
    );
    let writer = Writer::start(&space);
    pg.runs(17, "--apps none").exits(0);
    writer.wait_more();
    writer.assert_nothing_lost(&pg, "postgres");
    eprintln!(
        "the writer saw an outage of {} ms",
        writer.longest_gap().as_millis()
    );
}

#[test]
fn the_chain_can_be_typed_command_by_command() {
    let space = Space::new("chain");
    let pg = space.install(&Instance::library("library-statefulset", 15));
    pg.seed_hostile();
    let app = App::install(&space, &pg, "postgres");
    let before = pg.fingerprint();

    space.plugin("preflight statefulset/pg --to 17").exits(0);
    space.plugin("quiesce statefulset/pg -y").exits(0);
    assert_eq!(app.state(), App::STOPPED);
    space.plugin("quiesce statefulset/pg -y").exits(0);
    if own_cluster("a volume snapshot") {
        space.plugin("snapshot statefulset/pg").exits(0);
    }
    space
        .plugin("upgrade statefulset/pg --to 17 -y --outage-budget 10m")
        .exits(0);
    assert_eq!(pg.major(), 17);
    assert_eq!(app.state(), App::STOPPED);
    space
        .plugin("upgrade statefulset/pg --to 17 -y")
        .exits(0)
        .says("already");
    space.plugin("vacuum statefulset/pg -y").exits(0);
    space.plugin("resume statefulset/pg").exits(0);
    assert_eq!(app.state(), App::RUNNING);
    assert_same(&before, &pg.fingerprint());
    let statistics =
        "SELECT count(*) FROM pg_class WHERE relname = 'customers' AND reltuples < 5000";
    assert_eq!(pg.sql("plain", statistics), "0");

    let status = space
        .plugin("status statefulset/pg -o json")
        .exits(0)
        .json();
    assert_eq!(status["state"], "upgraded", "{status:#}");
    assert_eq!(status["asked"]["outageBudgetMs"], 600_000, "{status:#}");
    assert!(
        status["result"]["pg_upgrade_ms"].as_u64() > Some(0),
        "{status:#}"
    );
    let history = space.plugin("history -o json").exits(0).json();
    assert!(
        !history["items"].as_array().unwrap().is_empty(),
        "{history:#}"
    );

    space
        .plugin("cleanup statefulset/pg -y")
        .exits(3)
        .says("only way back");
    space
        .plugin("cleanup statefulset/pg --min-age 0s -y")
        .exits(0);
    let left = pg.sql("postgres", "SELECT pg_ls_dir(setting || '/../.pg-upgrade', true, false) FROM pg_settings WHERE name = 'data_directory'");
    assert_eq!(left, "", "files are left in .pg-upgrade");
    assert_eq!(space.leftovers(), [""; 0]);
    space.assert_password_is_nowhere();
}
