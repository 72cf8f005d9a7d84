//! Wrong input of each flag ends with exit code 2 and touches nothing.

use crate::support::Space;

#[test]
fn wrong_input_is_said_before_anything_is_asked_of_the_server() {
    let space = Space::new("input");
    let nowhere = ["KUBECONFIG", "/nowhere/at/all"];
    let lines: &[&[&str]] = &[
        &[],
        &["upgarde"],
        &["run", "pod/pg", "--to", "17"],
        &["run", "statefulset/", "--to", "17"],
        &["run", "Pg!", "--to", "17"],
        &["run", "pg;ls", "--to", "17"],
        &["run", "pg", "pg2", "--to", "17"],
        &["run", "pg", "--to", "seventeen"],
        &["run", "pg", "--to", "17.4"],
        &["run", "pg", "--to", "-1"],
        &["run", "pg", "--to", ""],
        &["run", "pg", "--image", "a b"],
        &["run", "pg", "--image", "$(id)"],
        &["run", "pg", "--image", ""],
        &["run", "pg", "--to", "17", "--transfer", "teleport"],
        &["run", "pg", "--to", "17", "--method", "magic"],
        &["run", "pg", "--to", "17", "--dump-claim", "5GB"],
        &["run", "pg", "--to", "17", "--dump-claim", "Not A Claim"],
        &["run", "pg", "--to", "17", "--snapshot", "Not A Class"],
        &["run", "pg", "--to", "17", "--verify", "never"],
        &["run", "pg", "--to", "17", "--apps", "pod/x"],
        &["run", "pg", "--to", "17", "--apps", "web"],
        &[
            "run",
            "pg",
            "--to",
            "17",
            "--apps",
            "deployment/web",
            "-l",
            "app=web",
        ],
        &["run", "pg", "--to", "17", "--outage-budget", "soon"],
        &["run", "pg", "--to", "17", "--outage-budget", "-5s"],
        &["run", "pg", "--to", "17", "--jobs", "0"],
        &["run", "pg", "--to", "17", "--jobs", "many"],
        &["run", "pg", "--to", "17", "--timeout", "x"],
        &["run", "pg", "--to", "17", "--dry-run=maybe"],
        &["run", "pg", "--to", "17", "-o", "xml"],
        &["run", "pg", "--to", "17", "-o", "jsonpath={.x"],
        &["run", "pg", "--to", "17", "--request-timeout", "x"],
        &["run", "pg", "--to", "17", "--no-such-flag"],
        &["restore", "pg"],
        &["restore", "pg", "--from", "tape"],
        &["cleanup", "pg", "--min-age", "old"],
        &["status", "-o", "wide=1"],
        &["snapshot", "pg", "--timeout", "never"],
        &["snapshot", "pg", "--method", "tape"],
        &[
            "snapshot",
            "pg",
            "--method",
            "dump",
            "--password-secret",
            "A B",
        ],
        &["completion", "tcsh-ish"],
    ];
    for words in lines {
        let done = space.plugin_with(words, &[(nowhere[0], nowhere[1])]);
        assert!(done.code == 2, "{words:?}: exit code {}\n{done}", done.code);
        assert!(!done.err.contains("panicked"), "{done}");
        assert!(done.out.is_empty(), "{done}");
    }
}

#[test]
fn wrong_names_are_said_after_a_look_and_nothing_is_touched() {
    let space = Space::new("names");
    for line in [
        "run --to 17 -y",
        "run statefulset/nobody --to 17 -y",
        "run deployment/nobody --to 17 -y",
        "preflight nobody --to 17",
        "quiesce nobody -y",
        "snapshot nobody",
        "upgrade nobody --to 17 -y",
        "restore nobody --from archive -y",
        "resume nobody",
        "vacuum nobody -y",
        "cleanup nobody -y",
        "status nobody",
    ] {
        space.plugin(line).exits(2);
    }
    space.plugin("history").exits(0);
    // Nothing says which version, or there is no terminal to ask on.
    space.apply("{apiVersion: apps/v1, kind: StatefulSet, metadata: {name: pg}, spec: {serviceName: pg, replicas: 0, selector: {matchLabels: {a: b}}, template: {metadata: {labels: {a: b}}, spec: {containers: [{name: web, image: localhost/web:1}, {name: other, image: localhost/web:1}]}}}}");
    space.plugin("run statefulset/pg -y").exits(2);
    space
        .plugin("run statefulset/pg --to 17 -y")
        .exits(2)
        .says("--container");
    space
        .plugin("run statefulset/pg --to 17 --container nobody -y")
        .exits(2)
        .says("web");
    let made = space.kubectl(
        "get configmaps,leases,pods,pvc -l app.kubernetes.io/managed-by=kubectl-pg-upgrade -o name",
    );
    assert_eq!(made, "");
}

#[test]
fn a_server_that_cannot_be_reached_is_an_error_not_a_hang() {
    let space = Space::new("unreachable");
    let words = [
        "preflight",
        "pg",
        "--to",
        "17",
        "--server",
        "https://127.0.0.1:9",
        "--request-timeout",
        "3s",
    ];
    let done = space.plugin_with(&words, &[]);
    assert!(done.code != 0 && done.took.as_secs() < 30, "{done}");
    let words = ["preflight", "pg", "--to", "17", "--as", "nobody"];
    let done = space.plugin_with(&words, &[]);
    assert!([1, 2, 3].contains(&done.code), "{done}");
    done.says("orbidden");
}
