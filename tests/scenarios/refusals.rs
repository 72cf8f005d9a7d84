//! What must be refused before anything is touched.

use crate::support::{Instance, Space, own_cluster};

/// Everything in the namespace that a command could have changed.
fn state(space: &Space) -> String {
    space.kubectl("get statefulsets,deployments,persistentvolumeclaims,configmaps,secrets -o jsonpath={range.items[*]}{.kind}/{.metadata.name}={.metadata.uid}{.spec}{\"\\n\"}{end}")
}

/// The version of 18 in the image, where it was released before the newest 15 and 17, those of November 2026. The suite that
/// it is from moves on: from 18.7 on there is nothing to refuse, and the scenario ends with that.
fn older_18(space: &Space, workload: &str, image: &str) -> Option<String> {
    let found = space
        .plugin(&format!("preflight {workload} --image {image} -o json"))
        .json();
    let version = found["to"].as_str().unwrap().to_owned();
    let minor: u16 = version.strip_prefix("18.").unwrap().parse().unwrap();
    if minor < 7 {
        return Some(version);
    }
    eprintln!("skipped: {image} holds {version}, which knows what the newest minors write");
    let findings = found["findings"].to_string();
    assert!(!findings.contains("column-versions"), "{findings}");
    None
}

#[test]
fn newest_minors_cannot_go_to_an_older_round_of_18() {
    if !own_cluster("images of chosen minors") {
        return;
    }
    let space = Space::new("rounds");
    let pg = space.install(&Instance::library("library-statefulset", "15-security"));
    pg.sql("postgres", "CREATE TABLE t AS SELECT 1 AS x");
    let new = Instance::library("library-statefulset", 18).with("${NAME}", "new");
    space.apply(&new.manifest(&space.name, &space.password));
    space.kubectl("rollout status statefulset/new --timeout=180s");
    let before = state(&space);
    let Some(newer) = older_18(&space, pg.target(), "docker.io/library/postgres:18") else {
        return;
    };
    space
        .plugin("preflight sts/pg --method side-by-side --target sts/new")
        .exits(3)
        .says("pg_attver");
    space
        .plugin("preflight sts/pg --image docker.io/library/postgres:18")
        .exits(3)
        .says(&newer)
        .says("column-versions")
        .says("release-round");
    // The dump is read by the new version's programs, which write the option out.
    space
        .plugin("preflight sts/pg --image docker.io/library/postgres:18 --method dump")
        .exits(3)
        .says("column-versions")
        .says("release-round");
    space
        .plugin("run sts/pg --image docker.io/library/postgres:18 -y")
        .exits(3);
    assert_eq!(state(&space), before);
    assert_eq!(pg.major(), 15);
}

#[test]
fn newest_bitnami_17_cannot_go_to_an_older_round_of_18() {
    if !own_cluster("images of chosen minors") {
        return;
    }
    let space = Space::new("roundsb");
    let pg = space.install(&Instance::bitnami("bitnami-statefulset", 17));
    pg.sql("postgres", "CREATE TABLE t AS SELECT 1 AS x");
    let image = "docker.io/bitnamilegacy/postgresql:18";
    let Some(newer) = older_18(&space, pg.target(), image) else {
        return;
    };
    space
        .plugin(&format!("run --image {image} -y"))
        .exits(3)
        .says(&newer);
    assert_eq!(pg.major(), 17);
}

#[test]
fn images_and_modes_that_cannot_work() {
    if !own_cluster("images that lie") {
        return;
    }
    let space = Space::new("refused");
    let pg = space.install(&Instance::library("library-statefulset", 13).class("ext4-nosnap"));
    pg.seed();
    let before = state(&space);
    let run = "run statefulset/pg -y";
    let image = "docker.io/library/postgres";
    // The tag says 17, the image holds 15.
    space
        .plugin(&format!("{run} --to 17 --image {image}:17-lies"))
        .exits(3)
        .says("15.");
    space
        .plugin(&format!("preflight statefulset/pg --image {image}:17-lies"))
        .exits(0)
        .says("target-tag");
    // The locale of the databases is not in it.
    space
        .plugin(&format!("{run} --image {image}:17-nolocale"))
        .exits(3)
        .says("en_US")
        .says("locales");
    // Databases cannot have the encoding with the locale that they have.
    space
        .plugin("preflight statefulset/pg --to 17 --method dump --encoding LATIN1")
        .exits(3)
        .says("made-with");
    // No such image at all.
    space
        .plugin(&format!("{run} --image {image}:17-nosuch"))
        .exits(3)
        .says("17-nosuch");
    // Downwards, and nowhere.
    space
        .plugin(&format!("{run} --to 12"))
        .exits(3)
        .says("version-pair");
    space
        .plugin(&format!("{run} --to 13"))
        .exits(0)
        .says("already");
    // The storage has neither reflinks nor snapshots.
    space
        .plugin(&format!("{run} --to 17 --transfer clone"))
        .exits(3)
        .says("transfer-mode")
        .says("reflink");
    space
        .plugin(&format!("{run} --to 17 --transfer link"))
        .exits(3)
        .says("snapshot-class");
    space
        .plugin(&format!("{run} --to 17 --transfer swap"))
        .exits(3);
    space
        .plugin("snapshot statefulset/pg")
        .exits(3)
        .says("snapshot");
    space
        .plugin(&format!("{run} --to 17 --outage-budget 1ms"))
        .exits(3)
        .says("budget");
    space
        .plugin("restore statefulset/pg --from archive -y")
        .exits(2)
        .says("no upgrade");
    assert_eq!(state(&space), before);
    // The server itself: prepared transactions cannot be, replicas can.
    pg.scale(2);
    pg.wait_ready();
    space
        .plugin(&format!("{run} --to 17"))
        .exits(3)
        .says("replicas");
    assert_eq!(pg.replicas(), 2);
}

#[test]
fn what_the_server_holds_is_refused_all_at_once() {
    let space = Space::new("contents");
    let pg = space.install(&Instance::library("library-statefulset", 13));
    pg.sql(
        "postgres",
        "CREATE TABLE removed_types (a abstime); CREATE DATABASE closed; UPDATE pg_database SET datallowconn = false WHERE datname = 'closed';
         CREATE TABLE oids (r regproc); ALTER SYSTEM SET vacuum_defer_cleanup_age = 0; ALTER SYSTEM SET password_encryption = 'on';
         CREATE VIEW \"of 13\" AS SELECT datlastsysoid FROM pg_database;"
            .replace("a abstime", "a regconfig")
            .as_str(),
    );
    let report = space.plugin("preflight --to 17 -o json").exits(3).json();
    let findings = report["findings"].as_array().unwrap();
    let objects = findings
        .iter()
        .flat_map(|f| f["objects"].as_array().unwrap());
    let objects: Vec<&str> = objects.map(|object| object.as_str().unwrap()).collect();
    for object in [
        "closed",
        "postgres.public.oids.r",
        "password_encryption = on (",
        "postgres: VIEW \"public.of 13\": column pg_database.datlastsysoid does not exist",
    ] {
        let named = objects.iter().any(|o| o.starts_with(object));
        assert!(named, "{object} is not in {report:#}");
    }
    for check in ["setting-values", "schema-restore"] {
        assert!(findings.iter().any(|f| f["check"] == check), "{check}");
    }
    space.plugin("run --to 17 -y").exits(3);
    assert_eq!(pg.major(), 13);
}

#[test]
fn an_instance_of_an_operator_is_never_touched() {
    let space = Space::new("operator");
    let owned = Instance::library("library-statefulset", 13)
        .with("metadata: {name: \"${NAME}\", namespace: \"${NAMESPACE}\"}\nspec:\n  serviceName", "metadata: {name: \"${NAME}\", namespace: \"${NAMESPACE}\", labels: {cluster-name: shop, application: spilo, team: a}}\nspec:\n  serviceName")
        .with("labels: {app: \"${NAME}\"}\n    spec", "labels: {app: \"${NAME}\", cluster-name: shop, application: spilo}\n    spec");
    let pg = space.install(&owned);
    let before = state(&space);
    space
        .plugin("preflight statefulset/pg --to 17")
        .exits(3)
        .says("operator");
    space
        .plugin("run statefulset/pg --to 17 -y")
        .exits(3)
        .says("operator");
    assert_eq!(state(&space), before);
    assert_eq!(pg.major(), 13);
}
