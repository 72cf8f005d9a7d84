//! Bad luck and other people in the middle of an upgrade.

use std::time::Duration;

use crate::support::{App, Cli, Instance, LIMIT, Space, assert_same, eventually, own_cluster};

#[test]
fn a_new_server_that_refuses_to_start_ends_with_the_old_one_up() {
    let space = Space::new("refuses");
    let pg = space.install(&Instance::library("library-args", 13));
    pg.seed();
    let app = App::install(&space, &pg, "postgres");
    let before = pg.fingerprint();

    // 16 removed this setting.
    let add = "[{\"op\": \"add\", \"path\": \"/spec/template/spec/containers/0/args/-\", \"value\": \"--vacuum_defer_cleanup_age=0\"}]";
    let patch = ["patch", "statefulset/pg", "--type=json", "-p", add];
    // Somebody adds it in the outage: pg_upgrade runs without the arguments, the new server dies of them.
    let mut cli = space.start("run statefulset/pg --to 17 --transfer link -y");
    cli.wait_for("done     stop the old server");
    space.try_kubectl(&patch, None).exits(0);
    let done = cli.finish().exits(1);
    pg.wait_ready();
    assert_eq!(pg.major(), 13, "{done}");
    assert_same(&before, &pg.fingerprint());
    assert_eq!(app.state(), App::RUNNING, "{done}");
    assert_eq!(space.leftovers(), [""; 0]);
    space
        .plugin("status statefulset/pg")
        .exits(1)
        .says("failed");

    // And from here on it is there beforehand.
    let line = "run statefulset/pg --to 17 -y";
    space.plugin(line).exits(3).says("vacuum_defer_cleanup_age");
    assert_eq!(app.state(), App::RUNNING);
}

#[test]
fn an_outage_that_exceeds_its_budget_ends_with_the_old_server_up() {
    let space = Space::new("budget");
    // Ready on the old version only.
    let probe = "[pg_isready, -U, postgres, -h, 127.0.0.1]";
    let ready = "[sh, -c, 'grep -qx 15 \"$PGDATA/PG_VERSION\"']";
    let pg = space.install(&Instance::library("library-statefulset", 15).with(probe, ready));
    pg.seed();
    let before = pg.fingerprint();
    let done = space
        .plugin("run statefulset/pg --to 17 --transfer copy --outage-budget 25s -y")
        .exits(1)
        .says("the outage budget is used up");
    pg.wait_ready();
    assert_eq!(pg.major(), 15, "{done}");
    assert_same(&before, &pg.fingerprint());
    assert_eq!(space.leftovers(), [""; 0]);
}

#[test]
fn the_old_version_is_scaled_up_in_the_middle_of_pg_upgrade() {
    let space = Space::new("scaledup");
    let pg = space.install(&Instance::library("library-statefulset", 13));
    pg.seed_hostile();
    pg.set_for_everybody();
    let before = pg.fingerprint();
    let mut cli = space.start("run statefulset/pg --to 17 --transfer link -y");
    cli.wait_for("done     stop the old server");
    pg.scale(1);
    let done = cli.finish_in(LIMIT).exits(0);
    pg.wait_ready();
    assert_eq!(pg.major(), 17, "{done}");
    assert_same(&before, &pg.fingerprint());
    pg.sql("plain", "REINDEX TABLE customers; VACUUM FREEZE customers;");
}

#[test]
fn a_restricted_server_with_fs_group_is_scaled_up_in_the_middle_of_pg_upgrade() {
    let space = Space::restricted("scaledup");
    let pg = space.install(&Instance::bitnami("bitnami-statefulset", 15));
    pg.seed();
    let before = pg.fingerprint();
    let mut cli = space.start("run --to 17 --transfer copy -y");
    cli.wait_for("done     stop the old server");
    pg.scale(1);
    let done = cli.finish_in(LIMIT).exits(0);
    pg.wait_ready();
    assert_eq!(pg.major(), 17, "{done}");
    assert_same(&before, &pg.fingerprint());
}

#[test]
fn the_client_is_killed_in_the_outage_and_the_same_command_finishes() {
    let space = Space::new("killed");
    let pg = space.install(&Instance::bitnami("bitnami-statefulset", 13));
    pg.seed();
    let app = App::install(&space, &pg, "shop");
    let before = pg.fingerprint();
    let line = "run statefulset/pg-postgresql --to 17 -y";
    let mut cli = space.start(line);
    cli.wait_for("done     stop the old server");
    cli.kill();
    // The pod needs nobody.
    let done = "jsonpath={.status.phase}";
    let pod = eventually("the upgrade pod", Duration::from_secs(10), || {
        let name =
            space.kubectl("get pods -l app.kubernetes.io/managed-by=kubectl-pg-upgrade -o name");
        (!name.is_empty()).then_some(name)
    });
    assert!(
        ["Running", "Succeeded"].contains(&space.kubectl(&format!("get {pod} -o {done}")).as_str())
    );
    eventually(
        "the pod finishes by itself",
        Duration::from_secs(120),
        || {
            let log = space.kubectl(&format!("logs {pod} -c worker"));
            log.contains("\"outcome\":\"upgraded\"").then_some(())
        },
    );
    space.assert_password_is_nowhere();
    space.plugin("status statefulset/pg-postgresql").exits(5);

    // The lease of the dead client lapses.
    let done = space.start(line).finish_in(LIMIT).exits(0);
    assert_eq!(pg.major(), 17, "{done}");
    assert_same(&before, &pg.fingerprint());
    assert_eq!(app.state(), App::RUNNING, "{done}");
    assert_eq!(space.leftovers(), [""; 0]);
    space.plugin(line).exits(0).says("already");
}

#[test]
fn the_client_is_killed_at_other_moments_and_the_same_command_finishes() {
    let space = Space::new("killed2");
    let pg = space.install(&Instance::library("library-statefulset", 15));
    pg.seed();
    let app = App::install(&space, &pg, "postgres");
    let before = pg.fingerprint();
    let line = "run statefulset/pg --to 17 --transfer copy -y";
    for moment in [
        "done     prepare the new data directory beside the running server",
        "done     wait until no client session is left",
        "done     run pg_upgrade behind the guard",
        "done     verify that nothing is missing",
    ] {
        let mut cli = space.start(line);
        cli.wait_for(moment);
        cli.kill();
    }
    let done = space.start(line).finish_in(LIMIT).exits(0);
    assert_eq!(pg.major(), 17, "{done}");
    assert_same(&before, &pg.fingerprint());
    assert_eq!(app.state(), App::RUNNING, "{done}");
    assert_eq!(space.leftovers(), [""; 0]);
}

#[test]
fn a_second_client_finds_the_lease_taken() {
    let space = Space::new("two");
    let pg = space.install(&Instance::library("library-statefulset", 13));
    pg.seed();
    let before = pg.fingerprint();
    let line = "run statefulset/pg --to 17 -y";
    let mut first = space.start(line);
    first.wait_for("done     take the lease");
    space.plugin(line).exits(4);
    let done = first.finish().exits(0);
    assert_eq!(pg.major(), 17, "{done}");
    assert_same(&before, &pg.fingerprint());
}

#[test]
fn ctrl_c_before_the_outage_leaves_the_old_server_as_it_was() {
    let space = Space::new("ctrlc");
    let pg = space.install(&Instance::library("library-statefulset", 13));
    pg.seed();
    let before = pg.fingerprint();
    let mut cli = space.start("run statefulset/pg --to 17 -y");
    cli.wait_for("started  prepare the new data directory");
    cli.interrupt();
    let done = cli.finish().exits(130);
    assert_eq!(pg.major(), 13, "{done}");
    assert_same(&before, &pg.fingerprint());
    assert_eq!(space.leftovers(), [""; 0], "{done}");
}

#[test]
fn the_upgrade_pod_is_deleted_by_somebody_in_the_middle_of_pg_upgrade() {
    let space = Space::new("podgone");
    let pg = space.install(&Instance::library("library-statefulset", 13));
    pg.seed();
    let before = pg.fingerprint();
    let line = "run statefulset/pg --to 17 --transfer copy -y";
    let mut cli = space.start(line);
    cli.wait_for("done     stop the old server");
    space.kubectl("delete pods -l app.kubernetes.io/managed-by=kubectl-pg-upgrade --wait=false");
    let done = cli.finish_in(LIMIT);
    assert!([0, 1].contains(&done.code), "{done}");
    pg.wait_ready();
    assert_eq!(pg.major(), if done.code == 0 { 17 } else { 13 }, "{done}");
    assert_same(&before, &pg.fingerprint());
}

/// An upgrade by link whose old server has just been stopped, and its pod.
fn in_outage(space: &Space) -> (Cli, String) {
    let mut cli = space.start("run statefulset/pg --to 17 --transfer link -y");
    cli.wait_for("done     stop the old server");
    let pod = space.kubectl("get pods -l app.kubernetes.io/managed-by=kubectl-pg-upgrade -o name");
    (cli, pod)
}

#[test]
fn the_worker_is_killed_in_the_middle_of_pg_upgrade_and_goes_on() {
    if !own_cluster("ending a process of the node") {
        return;
    }
    let space = Space::new("workerkilled");
    let pg = space.install(&Instance::library("library-statefulset", 13));
    pg.seed();
    let before = pg.fingerprint();
    let (cli, pod) = in_outage(&space);
    space.try_kubectl(
        &[
            "exec",
            &pod,
            "-c",
            "worker",
            "--",
            "sh",
            "-c",
            "kill -TERM 1",
        ],
        None,
    );
    let done = cli.finish_in(LIMIT).exits(0);
    assert_eq!(pg.major(), 17, "{done}");
    assert_same(&before, &pg.fingerprint());
}

#[test]
fn the_old_server_is_killed_under_pg_upgrade_and_its_unlogged_table_is_told() {
    let space = Space::new("serverkilled");
    let pg = space.install(&Instance::library("library-statefulset", 13));
    pg.seed();
    let before = pg.fingerprint();
    let (cli, pod) = in_outage(&space);
    // Once the server that pg_upgrade has started is in production: all processes but the container's first, as memory runs out.
    let kill = "old=$(find /vol -maxdepth 5 -type d -name old-13)
        until [ \"$(od -An -tu4 -j16 -N4 \"$old/global/pg_control\" | tr -d ' ')\" = 6 ]; do sleep 0.02; done
        kill -9 -1";
    let argv = ["exec", &pod, "-c", "worker", "--", "sh", "-c", kill];
    space.try_kubectl(&argv, None);
    let done = cli.finish_in(LIMIT).exits(0);
    let told = "unlogged tables were emptied, as PostgreSQL does after a crash: public.scratch in database plain";
    let done = done.says("the old server was cut off").says(told);
    assert_eq!(pg.major(), 17, "{done}");
    let json = space.plugin("status statefulset/pg -o json").exits(0);
    let json = json.json();
    assert_eq!(json["warnings"], serde_json::json!([told]), "{json}");
    assert_eq!(json["result"]["crashed"], true, "{json}");
    // All else is there.
    pg.sql("plain", "INSERT INTO scratch VALUES (1)");
    assert_same(&before, &pg.fingerprint());
}
