//! What the tool needs to be allowed, and what it does without.

use crate::support::{Instance, Space, eventually};

/// A ServiceAccount with the Role that `rbac` prints; returns the flags that act as it.
pub(super) fn account(space: &Space, more: &str) -> String {
    let role = space
        .plugin(format!("rbac --name tool {more}").trim_end())
        .exits(0);
    space.apply(&role.out);
    space.kubectl("create serviceaccount tool");
    space.kubectl(&format!(
        "create rolebinding tool --role=tool --serviceaccount={}:tool",
        space.name
    ));
    let user = format!("--as system:serviceaccount:{}:tool", space.name);
    eventually(
        "the Role is in force",
        std::time::Duration::from_secs(10),
        || {
            let words = [
                "auth",
                "can-i",
                "list",
                "pods",
                "--as",
                user.split(' ').nth(1).unwrap(),
            ];
            (space.try_kubectl(&words, None).code == 0).then_some(())
        },
    );
    user
}

#[test]
fn preflight_read_only_needs_no_right_to_write() {
    let space = Space::new("readonly");
    let pg = space.install(&Instance::library("library-statefulset", 13));
    pg.seed();
    let user = account(&space, "--read-only");
    let before = space.kubectl("get all,configmaps,leases,events,pvc -o name");
    let done = space.plugin(&format!(
        "preflight statefulset/pg --to 17 --read-only {user}"
    ));
    assert!([0, 3].contains(&done.code), "{done}");
    done.says("13.").says("target-facts").says("permissions");
    space.plugin(&format!("history {user}")).exits(0);
    // Everything else is refused, and names the rights that are missing.
    space
        .plugin(&format!("run statefulset/pg --to 17 -y {user}"))
        .exits(3);
    let after = space.kubectl("get all,configmaps,leases,events,pvc -o name");
    let made: Vec<&str> = after
        .lines()
        .filter(|l| !before.contains(l) && !l.starts_with("event/"))
        .collect();
    assert_eq!(made, [""; 0]);
    assert_eq!(pg.major(), 13);
}

#[test]
fn the_role_that_rbac_prints_is_enough_for_a_run() {
    let space = Space::new("role");
    let pg = space.install(&Instance::library("library-statefulset", 13));
    pg.seed();
    let user = account(&space, "");
    pg.upgrades(17, &user);
    space
        .plugin(&format!(
            "cleanup statefulset/pg --min-age 0s --give-up-way-back -y {user}"
        ))
        .exits(0);
}
