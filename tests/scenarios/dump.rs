//! The method dump: for what `pg_upgrade` refuses.

use crate::support::{Instance, Space, assert_same};

#[test]
fn what_pg_upgrade_refuses_goes_by_dump_and_back_by_the_archive() {
    let space = Space::restricted("dump");
    let pg = space.install(&Instance::bitnami("bitnami-statefulset", 13).class("ext4-nosnap"));
    pg.seed_hostile();
    // pg_upgrade refuses columns of regproc. Columns after a dropped one get other numbers, extensions their new version.
    pg.sql(
        "plain",
        "CREATE TABLE by_oid (gone int, proc regproc, n int UNIQUE); ALTER TABLE by_oid DROP COLUMN gone;
         INSERT INTO by_oid VALUES ('now', 1); CREATE INDEX ON by_oid (n, proc);
         ALTER ROLE reader IN DATABASE plain SET work_mem = '9MB'; REVOKE CONNECT ON DATABASE plain FROM public;",
    );
    let before = pg.fingerprint();
    // Its views are others in each version.
    pg.sql("plain", "CREATE EXTENSION pg_stat_statements");
    space.plugin("preflight --to 17").exits(3).says("regproc");
    space
        .plugin("run --to 17 --method dump --transfer link -y")
        .exits(2)
        .says("--transfer");
    space
        .plugin("run --to 17 --locale C.utf8 -y")
        .exits(2)
        .says("--method dump");
    let report = space
        .plugin("rehearse --to 17 --method dump --encoding UTF8 --locale C.utf8 --data-checksums -o json")
        .exits(0)
        .says("equal")
        .json();
    assert!(report["predictedOutageMs"].as_u64() > Some(0), "{report}");
    pg.runs(17, "--method dump --data-checksums")
        .exits(0)
        .says("rows");
    assert_eq!(pg.major(), 17);
    assert_eq!(pg.sql("postgres", "SHOW data_checksums"), "on");
    pg.sql("plain", "DROP EXTENSION pg_stat_statements");
    assert_same(&before, &pg.fingerprint());
    space
        .plugin("restore statefulset/pg-postgresql --from archive -y")
        .exits(0);
    assert_eq!(pg.major(), 13);
    pg.sql("plain", "DROP EXTENSION pg_stat_statements");
    assert_same(&before, &pg.fingerprint());
    space
        .plugin("run --to 17 --method dump --dry-run=server")
        .exits(0)
        .says("dump the old cluster");
    space.assert_password_is_nowhere();
}
