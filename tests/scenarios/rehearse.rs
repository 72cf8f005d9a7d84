//! The upgrade of a copy, while the server in use goes on.

use crate::support::{Instance, LIMIT, Space, Writer, assert_same, eventually, own_cluster};

/// Copies that are still there.
fn copies(space: &Space) -> Vec<String> {
    space.ours("volumesnapshots,persistentvolumeclaims,pods,jobs")
}

#[test]
fn a_rehearsal_tells_the_outage_and_leaves_nothing() {
    if !own_cluster("a volume snapshot") {
        return;
    }
    let space = Space::new("rehearse");
    let pg = space.install(&Instance::library("library-statefulset", 13));
    pg.seed_hostile();
    pg.set_for_everybody();
    let before = pg.fingerprint();
    let line = "rehearse statefulset/pg --to 17";
    let report = space.plugin(&format!("{line} -o json")).exits(0).json();
    assert_eq!(report["kind"], "RehearsalReport", "{report:#}");
    let predicted = report["predictedOutageMs"].as_u64().unwrap();
    assert!(
        predicted > report["pgUpgradeMs"].as_u64().unwrap(),
        "{report:#}"
    );
    assert_eq!(report["verified"]["differences"], 0, "{report:#}");
    assert_eq!(pg.major(), 13);
    assert_same(&before, &pg.fingerprint());
    assert_eq!(copies(&space), [""; 0]);
    assert_eq!(space.leftovers(), [""; 0]);
    space.plugin("history").exits(0).says("rehearsed");

    // It is the estimate of what comes after it.
    let plan = space
        .plugin("preflight statefulset/pg --to 17 -o json")
        .exits(0)
        .json();
    assert_eq!(plan["plan"]["estimatedOutageMs"], predicted, "{plan:#}");
    assert_eq!(plan["plan"]["rehearsed"], true, "{plan:#}");
    space
        .plugin(&format!(
            "run statefulset/pg --to 17 -y --outage-budget {}ms",
            predicted - 1
        ))
        .exits(3)
        .says("budget");
    assert_eq!(pg.major(), 13);
    let done = space.plugin("run statefulset/pg --to 17 -y").exits(0);
    assert_eq!(pg.major(), 17, "{done}");
    assert_same(&before, &pg.fingerprint());
    space.assert_password_is_nowhere();
}

#[test]
fn a_bitnami_server_is_rehearsed_while_a_client_writes() {
    if !own_cluster("a volume snapshot") {
        return;
    }
    let space = Space::new("rehearseb");
    let pg = space.install(&Instance::bitnami("bitnami-statefulset", 15).class("xfs"));
    pg.seed();
    let writer = Writer::start(&space);
    space
        .plugin("rehearse statefulset/pg-postgresql --to 18")
        .exits(0)
        .says("of outage");
    let gap = writer.longest_gap();
    writer.assert_nothing_lost(&pg, "shop");
    assert_eq!(pg.major(), 15);
    assert_eq!(copies(&space), [""; 0]);
    eprintln!("the writer waited {} ms at most", gap.as_millis());
}

#[test]
fn an_interrupted_or_failed_rehearsal_leaves_nothing() {
    if !own_cluster("a volume snapshot") {
        return;
    }
    let space = Space::new("rehearsex");
    let pg = space.install(&Instance::library("library-statefulset", 15));
    pg.seed();
    let before = pg.fingerprint();
    let line = "rehearse statefulset/pg --to 17";

    let mut cli = space.start(line);
    cli.wait_for("started  rehearse the upgrade on the clone");
    cli.interrupt();
    cli.finish().exits(130).says("not touched");
    assert_eq!(copies(&space), [""; 0]);

    let mut cli = space.start(line);
    cli.wait_for("started  rehearse the upgrade on the clone");
    cli.kill();
    assert_ne!(copies(&space), [""; 0]);
    space
        .plugin(line)
        .exits(0)
        .says("deleting what is left of rehearsal");
    assert_eq!(copies(&space), [""; 0]);

    // What no check knows, the copy shows.
    let view = "CREATE VIEW v AS SELECT pg_stat_get_bgwriter_timed_checkpoints()";
    pg.sql("postgres", view);
    space
        .plugin(line)
        .exits(1)
        .says("timed_checkpoints")
        .says("not touched");
    assert_eq!(copies(&space), [""; 0]);
    pg.sql("postgres", "DROP VIEW v");
    assert_eq!(pg.major(), 15);
    assert_same(&before, &pg.fingerprint());
    assert_eq!(space.leftovers(), [""; 0]);
}

#[test]
fn without_snapshots_the_running_server_is_copied_while_a_client_writes() {
    if !own_cluster("a class without snapshots") {
        return;
    }
    let space = Space::new("rehearsen");
    let pg = space.install(&Instance::library("library-statefulset", 15).class("ext4-nosnap"));
    pg.seed();
    let writer = Writer::start(&space);
    let line = "rehearse statefulset/pg --to 17 --checkpoint fast";
    space
        .plugin(&format!("{line} --dry-run"))
        .exits(0)
        .says("copy the running server at 64.0 MiB a second");

    // A client that is gone takes backup and slot with it.
    let slots = || pg.sql("postgres", "SELECT count(*) FROM pg_replication_slots");
    let cli = space.start(&format!("{line} --copy-rate 1Mi"));
    eventually("the copy has begun", LIMIT, || {
        (slots() == "1").then_some(())
    });
    cli.kill();
    eventually("the slot is gone", LIMIT, || (slots() == "0").then_some(()));
    assert_ne!(copies(&space), [""; 0]);

    // So does the server; half a copy is deleted.
    let cli = space.start(&format!("{line} --copy-rate 1Mi"));
    eventually("the copy has begun", LIMIT, || {
        (slots() == "1").then_some(())
    });
    space.kubectl("delete pod pg-0 --wait=false");
    cli.finish()
        .exits(1)
        .says("the online backup ended before the copy")
        .says("what the rehearsal made is deleted");
    assert_eq!(copies(&space), [""; 0]);
    writer.wait_more();

    let report = space.plugin(&format!("{line} -o json")).exits(0).json();
    assert_eq!(report["verified"]["differences"], 0, "{report:#}");
    assert_eq!(report["transfer"], "copy", "{report:#}");
    writer.wait_more();
    writer.assert_nothing_lost(&pg, "postgres");
    assert_eq!(slots(), "0");
    assert_eq!(pg.major(), 15);
    assert_eq!(copies(&space), [""; 0]);
    space.assert_password_is_nowhere();
}
