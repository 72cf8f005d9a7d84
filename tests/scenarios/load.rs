//! restore --from dump: a dump that the user brings on a claim.

use crate::support::{Instance, Space, library};

/// A claim with dumps, and a pod on it that makes them as a user would.
const COURIER: &str = r#"
apiVersion: v1
kind: PersistentVolumeClaim
metadata: {name: backups}
spec:
  accessModes: [ReadWriteOnce]
  storageClassName: ext4-nosnap
  resources: {requests: {storage: 64Mi}}
---
apiVersion: v1
kind: Pod
metadata: {name: courier}
spec:
  securityContext: {runAsNonRoot: true, runAsUser: 999, fsGroup: 999, seccompProfile: {type: RuntimeDefault}}
  terminationGracePeriodSeconds: 0
  containers:
    - name: postgres
      image: IMAGE
      imagePullPolicy: IfNotPresent
      command: [sleep, "3600"]
      env: [{name: PGPASSWORD, valueFrom: {secretKeyRef: {name: pg, key: password}}}]
      securityContext: {allowPrivilegeEscalation: false, capabilities: {drop: [ALL]}}
      volumeMounts: [{name: backups, mountPath: /backups}]
  volumes: [{name: backups, persistentVolumeClaim: {claimName: backups}}]
"#;

#[test]
fn a_dump_of_the_users_replaces_the_data_and_the_archive_brings_it_back() {
    let space = Space::new("load");
    let pg = space.install(&Instance::library("library-statefulset", 17).class("ext4-nosnap"));
    space.apply(&COURIER.replace("IMAGE", &library(17)));
    pg.sql("postgres", "CREATE ROLE seller LOGIN");
    pg.sql("postgres", "CREATE DATABASE \"o'r d=ers\" OWNER seller");
    pg.sql(
        "o'r d=ers",
        "CREATE TABLE item (id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, name text); ALTER TABLE item OWNER TO seller;
         INSERT INTO item (name) SELECT repeat(md5(i::text), 9) FROM generate_series(1, 2000) i;
         CREATE ROLE clerk; GRANT SELECT ON item TO clerk; SELECT lo_from_bytea(4711, 'x');
         ALTER DATABASE \"o'r d=ers\" SET work_mem = '7MB'",
    );
    space.kubectl("wait --for=condition=Ready pod/courier --timeout=120s");
    let courier = |script: &str| {
        let words = ["exec", "courier", "--", "sh", "-ec", script];
        space.try_kubectl(&words, None).exits(0);
    };
    courier(
        r#"mkdir /backups/night; cd /backups/night
        PGDATABASE="o'r d=ers" pg_dump -h pg -U postgres -Fc -f orders.dump
        head -c 9000 orders.dump >cut.dump; echo 'just a file' >notes
        cp orders.dump spoilt.dump; printf spoilt | dd of=spoilt.dump bs=1 seek=$(($(wc -c <orders.dump) / 2)) conv=notrunc 2>/dev/null"#,
    );
    pg.sql("postgres", "CREATE DATABASE later");
    pg.sql("o'r d=ers", "DELETE FROM item WHERE id > 50");
    let facts = "SELECT count(*), max(id), (SELECT count(*) FROM pg_largeobject_metadata), current_setting('work_mem'),
        has_table_privilege('clerk', 'item', 'SELECT'), (SELECT count(*) FROM pg_database WHERE datname = 'later'), (SELECT pg_get_userbyid(relowner) FROM pg_class WHERE relname = 'item') FROM item";
    let before = pg.sql("o'r d=ers", facts);
    assert_eq!(before, "50|50|1|7MB|t|1|seller");

    // What cannot be loaded is refused before anything is changed.
    let pod = || space.get("pod pg-0")["metadata"]["uid"].clone();
    let untouched = pod();
    pg.sql("postgres", "ALTER ROLE clerk RENAME TO scribe");
    for (arguments, code, reason) in [
        ("--dump-claim backups --path night/cut.dump", 3, "truncated"),
        (
            "--dump-claim backups --path night/spoilt.dump",
            3,
            "is corrupted",
        ),
        ("--dump-claim backups --path night/notes", 3, "not a dump"),
        ("--dump-claim backups --path night/none", 3, "is not there"),
        ("--dump-claim nowhere --path x", 3, "does not exist"),
        ("--dump-claim backups --path ../x", 2, "no path below"),
        ("--database x", 2, "no dump of"),
        (
            "--dump-claim backups --path night/orders.dump",
            3,
            "roles that do not exist here: \"clerk\"",
        ),
    ] {
        space
            .plugin(&format!("restore pg --from dump {arguments} -y"))
            .exits(code)
            .says(reason);
    }
    space
        .plugin("restore pg --from archive --path x -y")
        .exits(2)
        .says("--from dump");
    pg.sql("postgres", "ALTER ROLE scribe RENAME TO clerk");
    space.plugin("status pg").exits(2);
    assert_eq!(pod(), untouched);
    assert_eq!(space.leftovers(), [""; 0]);

    let restore = "restore pg --from dump --dump-claim backups --path night/orders.dump";
    space
        .plugin(&format!("{restore} --dry-run=server"))
        .exits(0)
        .says("pg_dump -Fc")
        .says("1 tables with 2000 rows")
        .says("not there afterwards: \"later\"");
    // A client that is killed in the middle is followed by the same command.
    let mut client = space.start(&format!("{restore} -y"));
    client.wait_for("done     stop the old server");
    client.kill();
    space
        .plugin("run pg --to 18 -y")
        .exits(3)
        .says("begun by restore --from dump, is not finished");
    let loaded = space.plugin(&format!("{restore} -y")).exits(0);
    loaded
        .says("as in the dump: 2000 rows of 1 table, 1 sequence, 1 large object")
        .says("equal:");
    assert_eq!(pg.sql("o'r d=ers", facts), "2000|2000|1|7MB|t|0|seller");
    let run = space.plugin("status pg -o json").exits(0).json();
    assert_eq!(run["state"], "loaded");
    assert_eq!(run["upgrade"]["load"]["given"]["databases"][0], "o'r d=ers");

    space.plugin("restore pg --from archive -y").exits(0);
    assert_eq!(pg.sql("o'r d=ers", facts), before);
    space.assert_password_is_nowhere();
}
