//! Layouts of volumes, configuration and pods, each upgraded once.

use crate::support::{Instance, OLDER_17, Space, own_cluster};

fn upgrades(purpose: &str, instance: &Instance, to: u32) {
    let space = Space::new(purpose);
    let pg = space.install(instance);
    pg.seed();
    pg.upgrades(to, "--skip-vacuum");
    space.assert_password_is_nowhere();
}

#[test]
fn the_data_directory_is_the_root_of_the_volume() {
    if own_cluster("xfs") {
        upgrades("root", &Instance::library("library-mount-root", 13), 17);
    }
}

#[test]
fn the_mount_has_a_sub_path() {
    upgrades("subpath", &Instance::library("library-subpath", 13), 17);
}

#[test]
fn the_password_is_a_file() {
    upgrades(
        "password",
        &Instance::library("library-password-file", 13),
        17,
    );
}

#[test]
fn the_configuration_is_a_config_map() {
    upgrades("config", &Instance::library("library-config-file", 13), 17);
}

#[test]
fn settings_are_arguments() {
    upgrades("args", &Instance::library("library-args", 13), 17);
}

#[test]
fn a_sidecar_holds_a_session_and_an_init_container_is_there() {
    upgrades("sidecar", &Instance::library("library-sidecar", 13), 17);
}

#[test]
fn the_volume_is_mounted_one_level_higher_as_images_of_18_want_it() {
    let pgdata = "env:\n            - {name: PGDATA, value: /var/lib/postgresql/17/docker}";
    let instance = Instance::library("library-18", OLDER_17).with("env:", pgdata);
    let space = Space::new("layout18");
    let pg = space.install(&instance);
    pg.seed();
    space
        .plugin("preflight statefulset/pg --to 18 --read-only -o wide")
        .exits(0)
        .says("data-directory-name")
        .says("/var/lib/postgresql/17/docker keeps its name");
    pg.upgrades(18, "--skip-vacuum");
    space.assert_password_is_nowhere();
}

#[test]
fn data_that_is_not_on_the_claim_is_refused() {
    // The image of 17 declares a volume of its own one level deeper: the claim stays empty.
    let space = Space::new("anonymous");
    let pg = space.install(&Instance::library("library-18", 17));
    let line = "run statefulset/pg --to 18 -y";
    space
        .plugin(line)
        .exits(3)
        .says("volume")
        .says("not that server's data");
    assert_eq!(pg.major(), 17);
}

#[test]
fn pod_security_is_restricted() {
    let space = Space::restricted("restricted");
    let pg = space.install(&Instance::library("library-restricted", 13));
    pg.seed();
    pg.upgrades(17, "");
}

#[test]
fn authentik_has_the_library_image_in_the_clothes_of_bitnami() {
    let space = Space::restricted("authentik");
    let pg = space.install(&Instance::library("authentik", 13));
    pg.seed();
    pg.upgrades(17, "");
    space.assert_password_is_nowhere();
}

#[test]
fn only_one_pod_may_mount_the_claim_so_the_pod_comes_after_the_stop() {
    let once = Instance::library("library-statefulset", 13);
    let space = Space::new("oncepod");
    let pg = space.install(&once.with("[ReadWriteOnce]", "[ReadWriteOncePod]"));
    pg.seed();
    space
        .plugin("preflight statefulset/pg --to 17 --read-only -o wide")
        .exits(0)
        .says("access-mode");
    pg.upgrades(17, "--skip-vacuum");
    space.assert_password_is_nowhere();
}

#[test]
fn a_server_without_a_readiness_probe_is_waited_for_all_the_same() {
    let probe = "          startupProbe:
            exec: {command: [pg_isready, -U, postgres, -h, 127.0.0.1]}
            periodSeconds: 1
            timeoutSeconds: 5
            failureThreshold: 300
          readinessProbe:
            exec: {command: [pg_isready, -U, postgres, -h, 127.0.0.1]}
            periodSeconds: 10
            timeoutSeconds: 5
";
    let instance = Instance::library("library-statefulset", 13).with(probe, "");
    upgrades("noprobe", &instance, 17);
}
