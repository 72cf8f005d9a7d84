//! From Bitnami's image to docker-library's in one go, and back.

use crate::support::{Instance, Server, Space, assert_same, library, own_cluster};

/// What a client that knows a password is answered over the Service.
fn answer(pg: &Server<'_>, password: &str) -> i32 {
    let line = format!(
        "PGPASSWORD={password} PGHOST=pg PGUSER=app PGDATABASE=shop psql -XAtqc 'SELECT 1'"
    );
    pg.shell(&line).code
}

const PASSWORD: &str = "$(cat /opt/bitnami/postgresql/secrets/password)";

#[test]
fn bitnami_13_becomes_docker_library_17_and_the_template_comes_back() {
    if !own_cluster("a file system with reflinks") {
        return;
    }
    let space = Space::restricted("crossing");
    let pg = space.install(&Instance::bitnami("bitnami-statefulset", 13).class("xfs"));
    pg.seed();
    let (before, template) = (pg.fingerprint(), pg.template());
    let settings = "SELECT name, setting FROM pg_settings WHERE name IN ('listen_addresses', 'max_wal_size', 'max_wal_senders', \
         'wal_level', 'client_min_messages', 'log_hostname') ORDER BY 1";
    let in_force = pg.sql("postgres", settings);
    let image = library(17);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("patch.yaml");
    let file = path.to_str().unwrap();

    space
        .plugin(&format!("preflight --image {image} -o wide"))
        .exits(0)
        .says("image-family")
        .says("pgaudit is preloaded by Bitnami's image")
        .says("$(POSTGRES_DATABASE)")
        .says("mountPath: /var/run/postgresql");
    space
        .plugin(&format!("run --image {image} --dry-run=server"))
        .exits(0)
        .says("change of the pod template")
        .says("$(POSTGRES_DATABASE)");
    std::fs::write(&path, "mine").unwrap();
    space
        .plugin(&format!("run --image {image} -y --patch-file {file}"))
        .exits(2)
        .says("exists already");
    std::fs::remove_file(&path).unwrap();
    assert_eq!(pg.template(), template);

    space
        .plugin(&format!("run --image {image} -y --patch-file {file}"))
        .exits(0);
    assert_eq!((pg.major(), pg.image()), (17, image));
    assert_same(&before, &pg.fingerprint());
    assert_eq!(pg.sql("postgres", settings), in_force);
    assert_eq!((answer(&pg, PASSWORD), answer(&pg, "wrong")), (0, 2));
    assert_eq!(pg.shell("pg_isready -U postgres").code, 0);
    // What is written is what is there.
    let patched = format!("patch {} --patch-file {file}", pg.target());
    assert!(space.kubectl(&patched).ends_with("(no change)"));
    space
        .plugin("preflight --image docker.io/bitnamilegacy/postgresql:18")
        .exits(3)
        .says("image-family")
        .says("going that way is not built");

    space
        .plugin(&format!("restore {} --from archive -y", pg.target()))
        .exits(0);
    assert_eq!(pg.template(), template);
    assert_eq!(pg.major(), 13);
    assert_same(&before, &pg.fingerprint());
    assert_eq!((answer(&pg, PASSWORD), answer(&pg, "wrong")), (0, 2));
    space.assert_password_is_nowhere();
}

#[test]
fn bitnami_15_that_relies_on_the_user_of_its_image_becomes_docker_library_18_by_a_dump() {
    let space = Space::new("crossdump");
    let instance = Instance::bitnami("bitnami-config", 15)
        .class("ext4-nosnap")
        .with("            runAsGroup: 1001\n", "")
        .with("            runAsUser: 1001\n", "")
        .with(
            "- {name: PGDATA, value: /bitnami/postgresql/data}",
            "- {name: TEST, value: x}",
        );
    let pg = space.install(&instance);
    pg.seed();
    let (before, template, image) = (pg.fingerprint(), pg.template(), library(18));
    // pgaudit is preloaded by the user's own ConfigMap, which the new server reads too.
    space
        .plugin(&format!("preflight --image {image}"))
        .exits(3)
        .says("preload-libraries")
        .says("override.conf");
    let map = "pg-postgresql-extended-configuration";
    let data = r#"{"data":{"override.conf":"max_connections = 70\nwork_mem = 6MB\nshared_preload_libraries = 'pg_stat_statements'\n"}}"#;
    space
        .try_kubectl(&["patch", "configmap", map, "-p", data], None)
        .exits(0);
    space.kubectl("delete pod pg-postgresql-0");
    pg.wait_ready();
    space
        .plugin(&format!(
            "run --image {image} --method dump -y --skip-vacuum"
        ))
        .exits(0);
    assert_eq!((pg.major(), pg.image()), (18, image));
    assert_same(&before, &pg.fingerprint());
    assert_eq!(pg.sql("postgres", "SHOW max_connections"), "70");
    assert_eq!(
        pg.sql("postgres", "SHOW shared_preload_libraries"),
        "pg_stat_statements"
    );
    assert_eq!((answer(&pg, PASSWORD), answer(&pg, "wrong")), (0, 2));
    let user = &pg.template()["spec"]["containers"][0]["securityContext"]["runAsUser"];
    assert_eq!(*user, 1001);
    space
        .plugin(&format!("restore {} --from archive -y", pg.target()))
        .exits(0);
    assert_eq!(pg.template(), template);
    assert_eq!(pg.major(), 15);
    assert_same(&before, &pg.fingerprint());
    space.assert_password_is_nowhere();
}
