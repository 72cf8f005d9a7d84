//! The method dump: for what `pg_upgrade` refuses.

use crate::support::{Instance, Space, assert_same, own_cluster};

#[test]
fn what_pg_upgrade_refuses_goes_by_dump_and_back_by_the_archive() {
    let space = Space::restricted("dump");
    let pg = space.install(&Instance::bitnami("bitnami-statefulset", 13).class("ext4-nosnap"));
    pg.seed_hostile();
    pg.set_for_everybody();
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
    assert!(report["dumpMs"].as_u64() > Some(0) && report["pgUpgradeMs"].is_null());
    space
        .plugin("run --to 17 --dump-claim 1Gi -y")
        .exits(2)
        .says("--method dump");
    space
        .plugin("preflight --to 17 --method dump --dump-claim nowhere --no-schema-restore")
        .exits(3)
        .says("dump-claim")
        .says("no PersistentVolumeClaim nowhere");
    let claims = space.kubectl("get pvc -o name");
    pg.runs(17, "--method dump --dump-claim 1Gi --data-checksums")
        .exits(0)
        .says("rows");
    assert_ne!(space.kubectl("get pvc -o name"), claims);
    let dump = space.plugin("status -o json").exits(0).json()["dumps"][0].clone();
    assert!(
        dump["sealed"] == true && dump["bytes"].as_u64() > Some(10_000),
        "{dump:#}"
    );
    assert_eq!(pg.major(), 17);
    assert_eq!(pg.sql("postgres", "SHOW data_checksums"), "on");
    pg.sql("plain", "DROP EXTENSION pg_stat_statements");
    assert_same(&before, &pg.fingerprint());
    // The dump that was kept is loaded again, and that is taken back alone.
    let upgraded = space.plugin("status -o name").exits(0).out;
    let upgraded = upgraded.trim().rsplit('/').next().unwrap();
    pg.sql("plain", "DROP TABLE by_oid");
    let dropped = pg.fingerprint();
    space
        .plugin("restore --from dump -y")
        .exits(0)
        .says("as in the dump");
    pg.sql("plain", "DROP EXTENSION pg_stat_statements");
    assert_same(&before, &pg.fingerprint());
    space.plugin("restore --from archive -y").exits(0);
    assert_same(&dropped, &pg.fingerprint());
    space
        .plugin(&format!(
            "restore statefulset/pg-postgresql --from archive --run {upgraded} -y"
        ))
        .exits(0);
    assert_eq!(pg.major(), 13);
    pg.sql("plain", "DROP EXTENSION pg_stat_statements");
    assert_same(&before, &pg.fingerprint());
    space
        .plugin("run --to 17 --method dump --dry-run=server")
        .exits(0)
        .says("dump the old cluster");
    let left = space.plugin("cleanup --list").exits(0);
    left.says("a dump");
    space.plugin("cleanup --min-age 0s -y").exits(0);
    assert_eq!(space.kubectl("get pvc -o name"), claims);
    assert_eq!(space.leftovers(), [""; 0]);
    space
        .plugin("snapshot --method dump")
        .exits(2)
        .says("--dump-claim 5Gi");
    space.apply("{apiVersion: v1, kind: PersistentVolumeClaim, metadata: {name: backups}, spec: {accessModes: [ReadWriteOnce], storageClassName: ext4-nosnap, resources: {requests: {storage: 1Gi}}}}");
    space
        .plugin("snapshot --as dump -y")
        .exits(1)
        .says("--method dump");
    let taken = "snapshot --method dump --dump-claim backups -o json -y";
    let mut first = space.start(taken);
    first.wait_for("started  dump the running server");
    first.kill();
    let run = space.plugin(taken).exits(0).says("going on with the dump");
    let dumps = run.json()["dumps"].clone();
    assert!(
        dumps[0]["sealed"] == true && dumps[0]["claim"] == "backups" && dumps[1].is_null(),
        "{dumps:#}"
    );
    space.plugin("status").exits(0).says("on claim backups");
    let here = tempfile::tempdir().unwrap();
    let path = |name: &str| here.path().join(name).display().to_string();
    let (whole, again) = (path("whole.tar"), path("again.tar"));
    let download = |file: &str| space.plugin(&format!("snapshot --method dump --download {file}"));
    download(&whole).exits(0).says("every checksum is right");
    download(&whole).exits(2).says("not overwritten");
    let bytes = std::fs::read(&whole).unwrap();
    std::fs::write(format!("{again}.part"), &bytes[..bytes.len() / 2]).unwrap();
    download(&again).exits(0).says("were there");
    assert!(std::fs::read(&again).unwrap() == bytes);
    let check = format!(
        "cd {} && tar -xf whole.tar && cd pg-upgrade-*-taken && sha256sum --quiet -c manifest",
        here.path().display()
    );
    let unpacked = std::process::Command::new("sh")
        .args(["-c", &check])
        .status();
    assert!(unpacked.unwrap().success());
    let left = space.plugin("cleanup --list").exits(0);
    left.says("on claim backups");
    space.plugin("cleanup --min-age 0s -y").exits(0);
    space.kubectl("get pvc backups");
    assert_eq!(space.leftovers(), [""; 0]);
    space.assert_password_is_nowhere();
}

#[test]
fn alpine_is_left_by_a_dump_and_come_back_to_by_the_archive() {
    if !own_cluster("an image with musl") {
        return;
    }
    let space = Space::new("musl");
    let pg = space.install(&Instance::library("library-statefulset", "15-alpine"));
    pg.seed();
    // The whole fingerprint needs XML, which this image is built without; what the new server holds is the comparison's to say.
    let held = || {
        pg.sql("plain", "SELECT count(*), md5(string_agg(c::text, ',' ORDER BY id)) FROM customers c; SELECT name FROM customers ORDER BY name LIMIT 3")
    };
    let before = held();
    let debian = "--image docker.io/library/postgres:17";
    space
        .plugin(&format!("preflight {debian}"))
        .exits(3)
        .says("libc-family")
        .says("--method dump");
    space
        .plugin(&format!("run {debian} --method dump -y"))
        .exits(0)
        .says("rows");
    assert_eq!(pg.major(), 17);
    assert_eq!(held(), before);
    space
        .plugin("restore statefulset/pg --from archive -y")
        .exits(0);
    assert_eq!(pg.image(), "docker.io/library/postgres:15-alpine");
    assert_eq!(held(), before);
}
