//! The method side-by-side: another server that runs already is loaded, and the Service leads to it.

use crate::support::{App, Instance, LIMIT, OLDER_17, Server, Space, base64, eventually};

/// A statement on the new server, whose superuser is another.
fn on_new(space: &Space, statement: &str) -> String {
    on(space, "statefulset/new-pg", "admin", "postgres", statement)
}

/// Statements on a server without a password.
fn on(space: &Space, workload: &str, user: &str, database: &str, statements: &str) -> String {
    let words = ["exec", "-i", workload, "--", "psql", "-XAtq", "-U", user];
    let words = [&words[..], &["-v", "ON_ERROR_STOP=1", "-d", database]].concat();
    space
        .try_kubectl(&words, Some(statements))
        .exits(0)
        .out
        .trim_end()
        .to_owned()
}

/// Writes a row at a time until it is told that it is enough.
const WRITING: &str = "CREATE TABLE written(n int);
    CREATE PROCEDURE keep_writing() LANGUAGE plpgsql AS $$ BEGIN
      WHILE to_regclass('enough') IS NULL LOOP INSERT INTO written VALUES (1); COMMIT; PERFORM pg_sleep(0.1); END LOOP;
    END $$";

fn selector(space: &Space) -> String {
    space.kubectl("get service pg -o jsonpath={.spec.selector.app}")
}

#[test]
fn another_server_is_loaded_the_service_leads_to_it_and_back() {
    let space = Space::new("side");
    let pg = space.install(&Instance::library("library-statefulset", 13));
    let new = Instance::library("library-statefulset", 17)
        .with("${NAME}", "new-pg")
        .with(
            "- {name: PGDATA,",
            "- {name: POSTGRES_USER, value: admin}\n            - {name: PGDATA,",
        );
    space.apply(&new.manifest(&space.name, &space.password));
    pg.seed_hostile();
    pg.sql("plain", "SET password_encryption = md5; CREATE ROLE legacy LOGIN PASSWORD 'x'; GRANT pg_monitor TO legacy WITH ADMIN OPTION");
    let app = App::install(&space, &pg, "postgres");
    space.kubectl("rollout status statefulset/new-pg --timeout=180s");

    let load = "sts/pg --method side-by-side --to 17 --target sts/new-pg";
    space
        .plugin("run sts/pg --method side-by-side -y")
        .exits(2)
        .says("--target");
    space
        .plugin("run sts/pg --to 17 --target sts/new-pg -y")
        .exits(2)
        .says("side-by-side");
    let swapped = "preflight sts/new-pg --method side-by-side --target sts/pg --reset-target=pg";
    space.plugin(swapped).exits(3).says("wrong order");
    on_new(&space, "CREATE TABLE precious AS SELECT 1 AS n");
    space
        .plugin(&format!("run {load} -y"))
        .exits(3)
        .says("--reset-target=new-pg");
    space
        .plugin(&format!("run {load} --reset-target=pg -y"))
        .exits(2)
        .says("nothing was changed");
    assert_eq!(on_new(&space, "SELECT n FROM precious"), "1");
    assert_eq!(app.state(), App::RUNNING);

    // Whoever has only a Secret with the way in gets the same answer.
    space.apply(&format!("{{apiVersion: v1, kind: Secret, metadata: {{name: managed}}, stringData: {{host: new-pg, username: admin}}, data: {{password: {}}}}}", base64(space.password.as_bytes())));
    space.kubectl("create secret generic fresh --from-literal=legacy=new-one");
    let managed = "preflight sts/pg --method side-by-side --image docker.io/library/postgres:17 --target-secret managed";
    space
        .plugin(managed)
        .exits(3)
        .says("--reset-target=managed");

    // A trial leaves everything where it is.
    let map = "--role-map postgres=admin --role-passwords fresh";
    space
        .plugin(&format!(
            "run {load} {map} --reset-target=new-pg --online -y"
        ))
        .exits(0)
        .says("trial")
        .says("legacy");
    assert_eq!(
        (app.state(), selector(&space).as_str()),
        (App::RUNNING.to_owned(), "pg")
    );
    space
        .plugin(&format!(
            "run {load} {map} --reset-target=new-pg --switch --dry-run=server"
        ))
        .exits(0)
        .says("accept the change of Service");

    // Rows that come while it is loaded: nothing leads to the new server, and the next run may clear it unasked.
    pg.sql("postgres", WRITING);
    let writer = "psql -U postgres -c 'CALL keep_writing()' </dev/null >/dev/null 2>&1 &";
    let words = ["exec", "statefulset/pg", "--", "sh", "-c", writer];
    space.try_kubectl(&words, None).exits(0);
    space
        .plugin(&format!(
            "run {load} {map} --reset-target=new-pg --dump-claim 1Gi -y"
        ))
        .exits(1)
        .says("written")
        .says("only read");
    pg.sql("postgres", "CREATE TABLE enough()");
    assert_eq!(
        (app.state(), selector(&space).as_str()),
        (App::RUNNING.to_owned(), "pg")
    );
    let writers = "SELECT count(*) FROM pg_stat_activity WHERE query LIKE 'CALL%'";
    eventually("the end of the writer", LIMIT, || {
        (pg.sql("postgres", writers) == "0").then_some(())
    });
    let before = pg.fingerprint();
    let again = format!("run {load} {map} --switch --dump-claim 1Gi -y");
    let mut first = space.start(&again);
    first.wait_for("done     wait until no client session is left");
    first.kill();
    space.plugin(&again).exits(0).says("going on with run");
    assert_eq!(
        (app.state(), selector(&space).as_str()),
        (App::RUNNING.to_owned(), "new-pg")
    );
    assert_eq!(
        on_new(
            &space,
            "SELECT current_setting('server_version_num')::int / 10000"
        ),
        "17"
    );
    assert_eq!(
        on_new(
            &space,
            "SELECT rolpassword LIKE 'SCRAM%' FROM pg_authid WHERE rolname = 'legacy'"
        ),
        "t"
    );
    let rest = "SELECT count(*) FROM pg_roles WHERE rolname IN ('postgres', 'kubectl_pg_upgrade')";
    assert_eq!(on_new(&space, rest), "0");
    assert_eq!(before, pg.fingerprint());
    // Both runs have dumped to the claim of the first.
    space
        .plugin("cleanup sts/pg --list")
        .exits(0)
        .says("-side, a dump");
    let claims =
        space.kubectl("get pvc -l app.kubernetes.io/managed-by=kubectl-pg-upgrade -o name");
    assert_eq!(claims.lines().count(), 1, "{claims}");

    space
        .plugin("restore sts/pg --from archive -y")
        .exits(2)
        .says("--from service");
    space.plugin("restore sts/pg --from service -y").exits(0);
    assert_eq!(
        (app.state(), selector(&space).as_str()),
        (App::RUNNING.to_owned(), "pg")
    );
    assert_eq!(pg.major(), 13);
    assert_eq!(space.ours("pods,configmaps,leases"), [""; 0]);
    space.assert_password_is_nowhere();
}

#[test]
fn the_other_family_takes_over_by_its_own_port_and_with_what_its_image_has_made() {
    let space = Space::new("sidefamily");
    let pg = space.install(&Instance::library("library-password-file", 15));
    let new = Instance::bitnami("bitnami-statefulset", 18).with("${NAME}", "new");
    space.apply(&new.manifest(&space.name, &space.password));
    space.apply(&managed().manifest(&space.name, &space.password));
    pg.sql(
        "postgres",
        "ALTER SYSTEM SET password_encryption = md5; SELECT pg_reload_conf()",
    );
    pg.seed();
    managed_takes_over(&space, &pg);
    space.kubectl("rollout status statefulset/new-postgresql --timeout=180s");
    // The image has made a role and an empty database, which is nothing to lose.
    space.apply("{apiVersion: v1, kind: PersistentVolumeClaim, metadata: {name: backups}, spec: {accessModes: [ReadWriteOnce], resources: {requests: {storage: 1Gi}}}}");
    let load = "run sts/pg --method side-by-side --target sts/new-postgresql --switch";
    space
        .plugin(&format!("{load} --dump-claim none-such -y"))
        .exits(3)
        .says("no PersistentVolumeClaim none-such");
    space
        .plugin(&format!("{load} --dump-claim backups -y"))
        .exits(0)
        .says("by the same Services");
    space
        .plugin("cleanup sts/pg --give-up-way-back -y")
        .exits(0)
        .says("remove dump pg-upgrade-");
    let port = space.kubectl("get service pg -o jsonpath={.spec.ports[0].targetPort}");
    assert_eq!(port, "5432");
    let query = "PGPASSWORD=$(cat $POSTGRES_PASSWORD_FILE) psql -h pg -U postgres -XAtqc 'show server_version_num'";
    let words = ["exec", "statefulset/pg", "--", "sh", "-c", query];
    let answer = space.try_kubectl(&words, None).exits(0).out;
    assert!(answer.starts_with("18"), "{answer}");
    space.assert_password_is_nowhere();
}

#[test]
fn a_server_of_another_namespace_lets_the_pod_in_without_its_password() {
    let (space, there) = (Space::new("sidehere"), Space::new("sidethere"));
    let pg = space.install(&Instance::library("library-statefulset", OLDER_17));
    let new = there.install(&Instance::library("library-statefulset", 18));
    pg.seed();
    pg.set_for_everybody();
    new.set_for_everybody();
    let roles = "SELECT count(*) FROM pg_roles WHERE rolname LIKE 'kubectl%'";
    let load = format!(
        "sts/pg --method side-by-side --target sts/pg.{} --to 18",
        there.name
    );
    space
        .plugin(&format!("preflight {load}"))
        .exits(0)
        .says("a role of its own there")
        .says("hold for every role of the new server");
    assert_eq!(new.sql("postgres", roles), "0");
    space
        .plugin(&format!("run {load} --switch -y"))
        .exits(3)
        .says("only leads to pods of its own namespace");
    let done = space.plugin(&format!("run {load} -y")).exits(0);
    // What it says to type next works.
    assert!(!done.err.contains("--switch"), "{done}");
    let done = done.says("--reset-target=pg");
    assert_eq!(new.sql("postgres", roles), "0", "{done}");
    let held = "SELECT count(*), md5(string_agg(c::text, ',' ORDER BY id)) FROM customers c";
    assert_eq!(new.sql("plain", held), pg.sql("plain", held));
    space.plugin(&format!("run {load} -y")).exits(3);
    assert_eq!(new.sql("postgres", roles), "0");
    assert_eq!(space.ours("pods,leases,secrets"), [""; 0]);
    assert_eq!(there.ours("pods,configmaps,leases,secrets"), [""; 0]);
    space.assert_password_is_nowhere();
    there.assert_password_is_nowhere();
}

/// A server as managed ones are: whom the Secret is of is no superuser.
fn managed() -> Instance {
    Instance::library("library-statefulset", 17)
        .with("${NAME}", "managed")
        .with(
            "imagePullPolicy: IfNotPresent",
            "command: [env, POSTGRES_USER=provider, docker-entrypoint.sh, postgres]",
        )
        .with(
            "- {name: PGDATA,",
            "- {name: POSTGRES_USER, value: admin}\n            - {name: PGDATA,",
        )
}

const ADMIN: &str = r#"\set password `printf %s "$POSTGRES_PASSWORD"`
CREATE ROLE admin LOGIN CREATEROLE CREATEDB PASSWORD :'password'"#;

const MEMBERSHIPS: &str = "SELECT count(*) FROM pg_auth_members WHERE member = 'admin'::regrole AND (inherit_option OR set_option)";

/// Loads it, leads the clients there, and turns them round again.
fn managed_takes_over(space: &Space, pg: &Server<'_>) {
    let there = |database, statements| {
        on(
            space,
            "statefulset/managed",
            "provider",
            database,
            statements,
        )
    };
    space.kubectl("rollout status statefulset/managed --timeout=180s");
    there("postgres", ADMIN);
    let held = "SELECT count(*), md5(string_agg(c::text, ',' ORDER BY id)) FROM customers c";
    let before = pg.sql("plain", held);
    let pair =
        "sts/pg --method side-by-side --target sts/managed --to 17 --role-map postgres=admin";
    pg.sql(
        "plain",
        "REVOKE EXECUTE ON FUNCTION similarity(text, text) FROM PUBLIC",
    );
    space
        .plugin(&format!("preflight {pair}"))
        .exits(3)
        .says("function similarity(text,text) of extension pg_trgm");
    pg.sql(
        "plain",
        "GRANT EXECUTE ON FUNCTION similarity(text, text) TO PUBLIC",
    );
    space
        .plugin(&format!("preflight {pair}"))
        .exits(0)
        .says("md5 hash");
    space
        .plugin(&format!("run {pair} --switch -y"))
        .exits(0)
        .says("rows")
        .says("by the same Services");
    assert_eq!(selector(space), "managed");
    assert_eq!(there("plain", held), before);
    let owners = "SELECT pg_get_userbyid(datdba) FROM pg_database WHERE datname = 'plain'; SELECT pg_get_userbyid(relowner) FROM pg_class WHERE relname = 'customers'";
    assert_eq!(there("plain", owners), "reader\nadmin");
    let hash = "SELECT left(rolpassword, 3) FROM pg_authid WHERE rolname LIKE 'R%'";
    assert_eq!(there("postgres", hash), "md5");
    assert_eq!(there("postgres", MEMBERSHIPS), "0");
    space.plugin("restore sts/pg --from service -y").exits(0);
    assert_eq!(selector(space), "pg");
    assert_eq!(pg.sql("plain", held), before);
}
