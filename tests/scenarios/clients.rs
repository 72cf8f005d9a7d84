//! Applications are stopped and come back as they were.

use crate::support::{App, Instance, Space};

#[test]
fn quiesce_stops_what_uses_the_server_and_resume_brings_it_back() {
    let space = Space::new("clients");
    let pg = space.install(&Instance::library("library-statefulset", 17));
    let app = App::install(&space, &pg, "postgres");

    let plan = space.plugin("quiesce pg --dry-run").exits(0);
    assert!(
        plan.err.contains("web") && plan.err.contains("nightly"),
        "{plan}"
    );
    let asked = space.plugin("quiesce pg --dry-run=server").exits(0);
    asked.says("the API server would accept the change of Deployment");
    assert_eq!(app.state(), App::RUNNING);

    space.plugin("quiesce pg -y").exits(0);
    assert_eq!(app.state(), App::STOPPED);
    let sessions = "SELECT count(*) FROM pg_stat_activity WHERE client_addr IS NOT NULL AND pid <> pg_backend_pid()";
    assert_eq!(pg.sql("postgres", sessions), "0");

    space.plugin("resume pg").exits(0);
    assert_eq!(app.state(), App::RUNNING);
    space.plugin("resume pg").exits(0);
    assert_eq!(app.state(), App::RUNNING);

    // Only those that are named.
    space.plugin("quiesce pg --apps deployment/web -y").exits(0);
    assert_eq!(app.state(), App::RUNNING.replace("web 2", "web 0"));
    space.plugin("resume pg").exits(0);
    assert_eq!(app.state(), App::RUNNING);
}

#[test]
fn a_bitnami_server_is_quiesced_by_its_own_service() {
    let space = Space::new("clientsb");
    let pg = space.install(&Instance::bitnami("bitnami-statefulset", 17));
    let app = App::install(&space, &pg, "shop");
    space.plugin("quiesce -y").exits(0);
    assert_eq!(app.state(), App::STOPPED);
    space.plugin("resume").exits(0);
    assert_eq!(app.state(), App::RUNNING);
}
