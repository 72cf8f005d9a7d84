//! `rbac`: the Role that each command needs, no more.

use std::io::Write;

use clap::Args;
use serde_json::{Value, json};

use crate::error::{Exit, Result};
use crate::output;

/// Print the Role that reading, or the whole upgrade, needs
#[derive(Args, Debug)]
pub struct RbacArgs {
    /// Only what reading needs: list, preflight --read-only, status, history
    #[arg(long)]
    read_only: bool,
    /// Print a ClusterRole, which list -A needs
    #[arg(long)]
    cluster_role: bool,
    /// Name of the Role
    #[arg(long, value_name = "NAME", default_value = "pg-upgrade")]
    name: String,
}

/// Prints the Role as YAML, for kubectl apply.
///
/// # Errors
/// When stdout cannot be written.
pub fn run(args: &RbacArgs, out: &mut dyn Write) -> Result<Exit> {
    let mut rules = rules(args.read_only);
    rules.extend(values(HELPFUL, args.read_only));
    let role = json!({
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": if args.cluster_role { "ClusterRole" } else { "Role" },
        "metadata": {"name": args.name},
        "rules": rules,
    });
    out.write_all(output::yaml(&role)?.as_bytes())?;
    Ok(Exit::Done)
}

/// Group, resources, verbs for reading, verbs for writing.
type Rule = (
    &'static str,
    &'static [&'static str],
    &'static [&'static str],
    &'static [&'static str],
);

/// One rule a line: groups, resources, verbs for reading, verbs for writing.
const RULES: &[Rule] = &[
    (
        "apps",
        &["statefulsets", "deployments"],
        &["get", "list", "watch"],
        &["patch"],
    ),
    (
        "batch",
        &["cronjobs"],
        &["get", "list", "watch"],
        &["patch"],
    ),
    (
        "autoscaling",
        &["horizontalpodautoscalers"],
        &["get", "list", "watch"],
        &[],
    ),
    (
        "policy",
        &["poddisruptionbudgets"],
        &["get", "list", "watch"],
        &[],
    ),
    ("", &["services"], &["get", "list", "watch"], &[]),
    (
        "",
        &["pods"],
        &["get", "list", "watch"],
        &["create", "delete"],
    ),
    ("", &["pods/log"], &["get"], &[]),
    // Kubernetes 1.35 asks for create on websocket upgrades, older ones for get (KEP-4006).
    ("", &["pods/exec"], &["get", "create"], &[]),
    (
        "",
        &["configmaps"],
        &["get", "list", "watch"],
        &["create", "patch", "delete"],
    ),
    (
        "",
        &["persistentvolumeclaims"],
        &["get", "list", "watch"],
        &["create", "delete"],
    ),
    (
        "coordination.k8s.io",
        &["leases"],
        &["get", "list"],
        &["create", "patch", "delete"],
    ),
    (
        "snapshot.storage.k8s.io",
        &["volumesnapshots"],
        &["get", "list", "watch"],
        &["create", "delete"],
    ),
];

/// What makes answers better and is not needed: why a pod does not start, which image a workload had before,
/// what else scales, and that a Service leads elsewhere (`--switch`).
const HELPFUL: &[Rule] = &[
    ("", &["services"], &["get"], &["patch"]),
    ("", &["events"], &["list"], &[]),
    (
        "apps",
        &["controllerrevisions", "replicasets"],
        &["list"],
        &[],
    ),
    ("keda.sh", &["scaledobjects"], &["list"], &[]),
    (
        "autoscaling.k8s.io",
        &["verticalpodautoscalers"],
        &["list"],
        &[],
    ),
];

/// The rules that the commands cannot do without.
pub fn rules(read_only: bool) -> Vec<Value> {
    values(RULES, read_only)
}

fn values(rules: &[Rule], read_only: bool) -> Vec<Value> {
    rules
        .iter()
        .map(|(group, resources, read, write)| {
            let verbs: Vec<&str> = read
                .iter()
                .chain(if read_only { &[] } else { *write })
                .copied()
                .collect();
            json!({"apiGroups": [group], "resources": resources, "verbs": verbs})
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;
    use crate::cli::{Cli, Command};

    fn printed(flags: &str) -> String {
        let words = ["kubectl-pg_upgrade", "rbac"];
        let words = words.into_iter().chain(flags.split_whitespace());
        let Command::Rbac(args) = Cli::try_parse_from(words).unwrap().command else {
            panic!("not rbac");
        };
        let mut out = Vec::new();
        run(&args, &mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn the_kind_is_what_was_asked_for() {
        assert!(printed("--read-only").contains("\nkind: Role\n"));
        assert!(printed("--read-only --cluster-role").contains("\nkind: ClusterRole\n"));
    }

    #[test]
    fn reading_covers_what_list_reads_and_writes_nothing() {
        let rules = rules(true);
        for resource in [
            "pods",
            "statefulsets",
            "deployments",
            "persistentvolumeclaims",
        ] {
            assert!(
                rules.iter().any(|rule| {
                    let has = |key: &str, word: &str| {
                        rule[key].as_array().unwrap().iter().any(|w| w == word)
                    };
                    has("resources", resource) && has("verbs", "list")
                }),
                "{resource}"
            );
        }
        let text = serde_json::to_string(&rules).unwrap();
        for verb in ["patch", "delete", "update"] {
            assert!(!text.contains(verb), "{verb}");
        }
    }
}
