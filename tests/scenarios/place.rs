//! The new cluster in a directory of its own name, as `PGDATA=/data/15` is followed by `/data/17`.

use crate::support::{Instance, Space, assert_same};

#[test]
fn a_directory_named_after_its_version_is_followed_by_one_of_the_next() {
    let space = Space::new("place");
    let instance = Instance::library("library-statefulset", 15)
        .with("postgresql/data/pgdata", "postgresql/data/15");
    let pg = space.install(&instance);
    pg.seed();
    let root = "/var/lib/postgresql/data";
    // What the directory of a version holds besides what belongs to runs.
    let holds = |version: &str| {
        let line = format!("cd {root}/{version} && ls -A");
        let listed = pg.shell(&line).exits(0).out;
        listed.split_whitespace().collect::<Vec<_>>().join(" ")
    };
    let (template, before) = (pg.template(), pg.fingerprint());
    space
        .plugin("preflight --to 17 --no-schema-restore -o json")
        .exits(0)
        .says("--data-directory");
    for (wrong, words) in [
        ("/elsewhere/17", "is not below"),
        ("/var/lib/postgresql/data/15/17", "lie in each other"),
    ] {
        let line = format!("preflight --to 17 --no-schema-restore --data-directory {wrong}");
        let refused = space.plugin(&line).exits(3);
        refused.says("new-data-directory").says(words);
    }
    let to = format!("--data-directory {root}/17");
    space
        .plugin(&format!("rehearse --to 17 {to}"))
        .exits(0)
        .says("equal");

    pg.runs(17, &format!("--method dump {to}"))
        .exits(0)
        .says(&format!("PGDATA={root}/17"));
    assert_eq!(
        pg.sql("postgres", "SHOW data_directory"),
        format!("{root}/17")
    );
    assert_eq!(holds("15"), "PG_VERSION");
    assert_same(&before, &pg.fingerprint());
    pg.sql("postgres", "CREATE TABLE written_by_17 (i int)");
    space.plugin("restore --from archive -y").exits(0);
    assert_eq!((pg.major(), pg.template()), (15, template.clone()));
    assert_eq!(holds("17"), "PG_VERSION");
    assert_same(&before, &pg.fingerprint());

    // The guard that the first attempt has left is in nobody's way.
    pg.upgrades(17, &format!("--transfer link {to}")).exits(0);
    assert_same(&before, &pg.fingerprint());
    pg.sql("postgres", "CREATE TABLE written_by_17 (i int)");
    space.plugin("restore --from snapshot -y").exits(0);
    assert_eq!((pg.major(), pg.template()), (15, template));
    assert_same(&before, &pg.fingerprint());
    space.plugin("cleanup --min-age 0s -y").exits(0);
    assert_eq!(space.leftovers(), [""; 0]);
    assert_same(&before, &pg.fingerprint());
}
