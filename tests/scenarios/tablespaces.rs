//! Tablespaces beside the data directory: by a dump, back by the archive, gone with cleanup.

use crate::support::{Instance, Space, assert_same};

#[test]
fn tablespaces_go_with_a_dump_and_come_back_by_the_archive() {
    let space = Space::new("spaces");
    let pg = space.install(&Instance::library("library-statefulset", 13));
    pg.seed();
    let root = "/var/lib/postgresql/data";
    pg.shell(&format!("cd {root} && mkdir -p 'sp aces/fa st' plain && chown -R postgres: 'sp aces' plain && chmod 700 plain"))
        .exits(0);
    pg.sql(
        "postgres",
        &format!("CREATE TABLESPACE \"fa'st\" LOCATION '{root}/sp aces/fa st'"),
    );
    pg.sql(
        "postgres",
        &format!("CREATE TABLESPACE plain LOCATION '{root}/plain'"),
    );
    pg.sql("postgres", "CREATE DATABASE whole TABLESPACE plain");
    pg.sql(
        "whole",
        "CREATE TABLE t (i int PRIMARY KEY) TABLESPACE \"fa'st\"; INSERT INTO t SELECT generate_series(1, 1000)",
    );
    let spaces = || {
        let found = pg
            .shell(&format!(
                "cd {root} && find plain sp* -maxdepth 2 -name 'PG_*' | sed 's/_[0-9]*$//' | sort"
            ))
            .exits(0);
        found
            .out
            .split('\n')
            .map(str::trim)
            .filter(|l| !l.is_empty())
            .collect::<Vec<_>>()
            .join(",")
    };
    let (old, both) = (
        "plain/PG_13,sp aces/fa st/PG_13",
        "plain/PG_13,plain/PG_17,sp aces/fa st/PG_13,sp aces/fa st/PG_17",
    );
    assert_eq!(spaces(), old);
    let before = pg.fingerprint();
    space
        .plugin("preflight --to 17 --no-schema-restore")
        .exits(3)
        .says("fa'st")
        .says("--method dump is");
    space
        .plugin("rehearse --to 17 --method dump")
        .exits(0)
        .says("equal");
    assert_eq!(spaces(), old);
    pg.runs(17, "--method dump").exits(0).says("rows");
    assert_eq!(spaces(), both);
    assert_same(&before, &pg.fingerprint());
    space
        .plugin("restore --from snapshot -y")
        .exits(3)
        .says("--from archive");
    pg.sql(
        "whole",
        "DELETE FROM t; CREATE TABLE later (i int) TABLESPACE plain",
    );
    space.plugin("restore --from archive -y").exits(0);
    assert_eq!(pg.major(), 13);
    assert_same(&before, &pg.fingerprint());
    space
        .plugin("run --to 17 --method dump -y")
        .exits(1)
        .says("exists already; cleanup removes");
    assert_same(&before, &pg.fingerprint());
    space.plugin("cleanup --min-age 0s -y").exits(0);
    assert_eq!(spaces(), old);
    assert_same(&before, &pg.fingerprint());
}
