//! The pods of ours: old image in the init container, new image beside it, the claim between them.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{ConfigMap, Pod, PodSpec};
use serde_json::{Value, json};

use super::login::Login;
use crate::k8s::labels;

/// Where the scripts' ConfigMap is mounted.
const SCRIPTS_DIR: &str = "/scripts";

/// Every script that runs in a pod of ours, by file name.
const SCRIPTS: &[(&str, &str)] = &[
    ("lib.sh", include_str!("../scripts/lib.sh")),
    ("bundle.sh", include_str!("../scripts/bundle.sh")),
    ("worker.sh", include_str!("../scripts/worker.sh")),
    ("journal.sh", include_str!("../scripts/journal.sh")),
    ("moving.sh", include_str!("../scripts/moving.sh")),
    ("prepare.sh", include_str!("../scripts/prepare.sh")),
    ("outage.sh", include_str!("../scripts/outage.sh")),
    ("dumped.sh", include_str!("../scripts/dumped.sh")),
    ("login.sh", include_str!("../scripts/login.sh")),
    ("take.sh", include_str!("../scripts/take.sh")),
    ("claimed.sh", include_str!("../scripts/claimed.sh")),
    ("load.sh", include_str!("../scripts/load.sh")),
    ("otherwise.sh", include_str!("../scripts/otherwise.sh")),
    ("given.sh", include_str!("../scripts/given.sh")),
    ("held.awk", include_str!("../scripts/held.awk")),
    ("back.sh", include_str!("../scripts/back.sh")),
    ("adopt.sh", include_str!("../scripts/adopt.sh")),
    ("copy.sh", include_str!("../scripts/copy.sh")),
    ("rehearse.sh", include_str!("../scripts/rehearse.sh")),
    ("side.sh", include_str!("../scripts/side.sh")),
    ("guest.sh", include_str!("../scripts/guest.sh")),
    ("target.sh", include_str!("../scripts/target.sh")),
    ("roles.sh", include_str!("../scripts/roles.sh")),
    ("weak.sh", include_str!("../scripts/weak.sh")),
    ("again.sh", include_str!("../scripts/again.sh")),
    ("sql.sh", include_str!("../scripts/sql.sh")),
    ("unlisted.sh", include_str!("../scripts/unlisted.sh")),
    ("observe.sh", include_str!("../scripts/observe.sh")),
    ("space.sh", include_str!("../scripts/space.sh")),
    ("ctl.sh", include_str!("../scripts/ctl.sh")),
    ("probe.sh", include_str!("../scripts/probe.sh")),
    ("schema.sh", include_str!("../scripts/schema.sh")),
];

/// Where the claim of a running server is mounted to be copied.
pub const LIVE: &str = "/live";
/// Where the claim that a dump lies on is mounted beside the data claim.
pub const DUMPS: &str = "/dump";

/// Seconds that a pod of ours without a server has to end.
const GRACE: i64 = 5;
/// Seconds that one with a server has at least, for its last checkpoint.
pub const SERVER_GRACE: i64 = 60;

/// A claim with a dump, as a pod of ours mounts it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DumpMount<'a> {
    /// The claim.
    pub claim: &'a str,
    /// A dump is only read there.
    pub read_only: bool,
}

/// What a pod of ours is made from.
#[derive(Clone, Debug)]
pub struct Blueprint<'a> {
    /// Name of the pod and of its ConfigMap.
    pub name: &'a str,
    /// Label value of the run.
    pub run: &'a str,
    /// Label value of the instance.
    pub instance: &'a str,
    /// What it is for: `upgrade`, `probe`, `copy`, `errand`.
    pub part: &'a str,
    /// Script of the main container, such as `worker.sh`.
    pub script: &'a str,
    /// Old image, when the old server's binaries are needed.
    pub old_image: Option<&'a str>,
    /// Image of the main container.
    pub image: &'a str,
    /// Node that it must run on; anywhere the claim can go when there is none.
    pub node: Option<&'a str>,
    /// Node of a server in use, which it leaves the processors to: it runs elsewhere where it may, and else asks for next to nothing.
    pub spared: Option<&'a str>,
    /// Owner of the data directory.
    pub uid: i64,
    /// Group of the data directory.
    pub gid: i64,
    /// Groups that may write on the volume, such as the server pod's `fsGroup`.
    pub groups: &'a [i64],
    /// The data claim; none for a pod that needs only the image.
    pub claim: Option<&'a str>,
    /// Path and `subPath` where the server has the data claim, which is mounted there too: tablespaces are found by its paths.
    pub mirror: Option<(&'a str, &'a str)>,
    /// A claim made from a volume snapshot, mounted at `/snap`.
    pub snapshot_claim: Option<&'a str>,
    /// The claim of a running server, mounted read-only at [`LIVE`].
    pub live_claim: Option<&'a str>,
    /// The claim that a dump lies on, mounted at [`DUMPS`].
    pub dump_claim: Option<DumpMount<'a>>,
    /// The login of a server that it reaches over the network, mounted as that of the old one.
    pub login: Option<&'a Login>,
    /// The data claim is new and empty, so its root may be given to the group.
    pub empty_claim: bool,
    /// Environment of the main container.
    pub env: &'a BTreeMap<String, String>,
    /// A server of ours may run in it on data that is kept.
    pub server: bool,
    /// Restart it when it is killed.
    pub restart: bool,
    /// Name of the server's container in the template.
    pub container: &'a str,
    /// The server's pod template: what it needs to be pulled and scheduled.
    pub template: &'a PodSpec,
}

/// The ConfigMap with the scripts, a passwd entry for the uid, and the plan's files.
///
/// initdb and `pg_upgrade` refuse a uid without a passwd entry (src/common/username.c).
pub fn config_map(
    blueprint: &Blueprint,
    files: &BTreeMap<String, String>,
) -> Result<ConfigMap, serde_json::Error> {
    let mut data: BTreeMap<String, String> = SCRIPTS
        .iter()
        .map(|(name, text)| ((*name).to_owned(), (*text).to_owned()))
        .collect();
    data.insert(
        "passwd".to_owned(),
        format!(
            "root:x:0:0:root:/root:/bin/sh\npostgres:x:{}:{}:postgres:/work:/bin/sh\n",
            blueprint.uid, blueprint.gid
        ),
    );
    data.extend(files.clone());
    serde_json::from_value(json!({
        "metadata": {"name": blueprint.name, "labels": object_labels(blueprint)},
        "data": data,
    }))
}

/// The pod: no root, no capabilities, read-only root file system, no token, and `fsGroup` only where it mounts nothing but an
/// empty claim (the kubelet would re-permission a live data directory, KEP-695).
pub fn pod(blueprint: &Blueprint) -> Result<Pod, serde_json::Error> {
    let mut volumes = vec![
        json!({"name": "pgo", "emptyDir": {}}),
        json!({"name": "work", "emptyDir": {}}),
        json!({"name": "tmp", "emptyDir": {}}),
        json!({"name": "shm", "emptyDir": {"medium": "Memory"}}),
        json!({"name": "scripts", "configMap": {"name": blueprint.name}}),
    ];
    let mut mounts = vec![
        json!({"name": "pgo", "mountPath": "/pgo"}),
        json!({"name": "work", "mountPath": "/work"}),
        json!({"name": "tmp", "mountPath": "/tmp"}),
        json!({"name": "shm", "mountPath": "/dev/shm"}),
        json!({"name": "scripts", "mountPath": SCRIPTS_DIR, "readOnly": true}),
        json!({"name": "scripts", "mountPath": "/plan", "readOnly": true}),
        json!({"name": "scripts", "mountPath": "/etc/passwd", "subPath": "passwd", "readOnly": true}),
    ];
    let bundle_mounts = mounts.clone();
    claims(blueprint, &mut volumes, &mut mounts);
    let env = environment(blueprint, &mut volumes, &mut mounts);
    let security = json!({
        "allowPrivilegeEscalation": false,
        "readOnlyRootFilesystem": true,
        "capabilities": {"drop": ["ALL"]},
    });
    // A request is what the kernel shares processors by (cpu.weight, KEP-2254).
    let cpu = if blueprint.spared.is_some() {
        "1m"
    } else {
        "100m"
    };
    let resources = json!({"requests": {"cpu": cpu, "memory": "256Mi"}});
    let init = bundle(blueprint, &env, &resources, &security, &bundle_mounts);
    let template = blueprint.template;
    let mut pod = json!({
        "metadata": {
            "name": blueprint.name,
            "labels": object_labels(blueprint),
            "annotations": {
                "sidecar.istio.io/inject": "false",
                "linkerd.io/inject": "disabled",
                "consul.hashicorp.com/connect-inject": "false",
                "cluster-autoscaler.kubernetes.io/safe-to-evict": "false",
            },
        },
        "spec": {
            "restartPolicy": if blueprint.restart { "OnFailure" } else { "Never" },
            "automountServiceAccountToken": false,
            "enableServiceLinks": false,
            "terminationGracePeriodSeconds": grace_seconds(blueprint),
            "serviceAccountName": template.service_account_name,
            "schedulerName": template.scheduler_name,
            "imagePullSecrets": template.image_pull_secrets,
            "tolerations": template.tolerations,
            "nodeSelector": template.node_selector,
            "priorityClassName": template.priority_class_name,
            "runtimeClassName": template.runtime_class_name,
            "securityContext": {
                "runAsNonRoot": true,
                "runAsUser": blueprint.uid,
                "runAsGroup": blueprint.gid,
                "supplementalGroups": blueprint.groups,
                "seccompProfile": {"type": "RuntimeDefault"},
            },
            "initContainers": init,
            "containers": [{
                "name": "worker",
                "image": blueprint.image,
                "imagePullPolicy": pull_policy(blueprint),
                "command": ["sh", format!("{SCRIPTS_DIR}/{}", blueprint.script)],
                "env": env,
                "resources": resources,
                "securityContext": security,
                "volumeMounts": mounts,
            }],
            "volumes": volumes,
        },
    });
    if let Some(affinity) = node_affinity(blueprint) {
        pod["spec"]["affinity"] = json!({"nodeAffinity": affinity});
    }
    if blueprint.empty_claim && mounts_no_other(blueprint) {
        pod["spec"]["securityContext"]["fsGroup"] = json!(blueprint.gid);
    }
    serde_json::from_value(pod)
}

/// Where it may run. Rules about other pods and spreading stay away: they are about the server's pod, and could keep ours from its node.
fn node_affinity(blueprint: &Blueprint) -> Option<Value> {
    if let Some(node) = blueprint.node {
        return Some(json!({"requiredDuringSchedulingIgnoredDuringExecution": {
            "nodeSelectorTerms": [{"matchFields": [{"key": "metadata.name", "operator": "In", "values": [node]}]}],
        }}));
    }
    let own = blueprint.template.affinity.as_ref();
    let own = own.and_then(|a| a.node_affinity.as_ref()).map(|a| json!(a));
    let Some(node) = blueprint.spared else {
        return own;
    };
    let elsewhere = json!({"weight": 100, "preference": {
        "matchFields": [{"key": "metadata.name", "operator": "NotIn", "values": [node]}]}});
    let mut affinity = own.unwrap_or_else(|| json!({}));
    match &mut affinity["preferredDuringSchedulingIgnoredDuringExecution"] {
        Value::Array(list) => list.push(elsewhere),
        absent => *absent = json!([elsewhere]),
    }
    Some(affinity)
}

/// Time to end: that of the server's own pod for a pod that may have to stop that server, which empties unlogged tables when it is
/// killed. All our scripts end by themselves when they are asked to; the rest is for one that is stuck.
fn grace_seconds(blueprint: &Blueprint) -> i64 {
    let own = blueprint.template.termination_grace_period_seconds;
    if blueprint.server {
        own.unwrap_or(0).max(SERVER_GRACE)
    } else {
        GRACE
    }
}

/// No claim is mounted beside the first one.
fn mounts_no_other(blueprint: &Blueprint) -> bool {
    let others = [
        blueprint.live_claim,
        blueprint.snapshot_claim,
        blueprint.dump_claim.map(|dump| dump.claim),
    ];
    others.iter().all(Option::is_none)
}

/// The environment of the main container; a login in it brings a volume.
fn environment(
    blueprint: &Blueprint,
    volumes: &mut Vec<Value>,
    mounts: &mut Vec<Value>,
) -> Vec<Value> {
    let mut told = blueprint.env.clone();
    if let Some(login) = blueprint.login {
        super::login::mount("old", login, volumes, mounts, &mut told);
    }
    let own = [("HOME", "/work"), ("TMPDIR", "/tmp")];
    let own = own.map(|(name, value)| json!({"name": name, "value": value}));
    let told = told
        .iter()
        .map(|(name, value)| json!({"name": name, "value": value}));
    own.into_iter().chain(told).collect()
}

/// The volumes that claims are, and where they are mounted.
fn claims(blueprint: &Blueprint, volumes: &mut Vec<Value>, mounts: &mut Vec<Value>) {
    if let Some(claim) = blueprint.claim {
        volumes.push(json!({"name": "data", "persistentVolumeClaim": {"claimName": claim}}));
        mounts.push(json!({"name": "data", "mountPath": "/vol"}));
        if let Some((path, sub_path)) = blueprint.mirror {
            mounts.push(json!({"name": "data", "mountPath": path, "subPath": sub_path}));
        }
    }
    if let Some(claim) = blueprint.snapshot_claim {
        volumes.push(json!({"name": "snap", "persistentVolumeClaim": {"claimName": claim}}));
        mounts.push(json!({"name": "snap", "mountPath": "/snap"}));
    }
    if let Some(claim) = blueprint.live_claim {
        // The mount alone is read-only: a driver may refuse to publish a volume in two ways on one node.
        volumes.push(json!({"name": "live", "persistentVolumeClaim": {"claimName": claim}}));
        mounts.push(json!({"name": "live", "mountPath": LIVE, "readOnly": true}));
    }
    if let Some(DumpMount { claim, read_only }) = blueprint.dump_claim {
        volumes.push(json!({"name": "dump", "persistentVolumeClaim": {"claimName": claim}}));
        let mut mount = json!({"name": "dump", "mountPath": DUMPS});
        if read_only {
            mount["readOnly"] = json!(true);
        }
        mounts.push(mount);
    }
}

/// As the server's own image is pulled; the API server's default when the template says nothing.
fn pull_policy<'a>(blueprint: &Blueprint<'a>) -> Option<&'a str> {
    let containers = &blueprint.template.containers;
    let server = containers.iter().find(|c| c.name == blueprint.container)?;
    server.image_pull_policy.as_deref()
}

/// The init container that copies the old server out of its image; it never sees the claim.
fn bundle(
    blueprint: &Blueprint,
    env: &[Value],
    resources: &Value,
    security: &Value,
    bundle_mounts: &[Value],
) -> Vec<Value> {
    blueprint
        .old_image
        .iter()
        .map(|image| {
            json!({
                "name": "bundle",
                "image": image,
                "imagePullPolicy": pull_policy(blueprint),
                "command": ["sh", format!("{SCRIPTS_DIR}/bundle.sh")],
                "env": env,
                "resources": resources,
                "securityContext": security,
                "volumeMounts": bundle_mounts,
            })
        })
        .collect()
}

fn object_labels(blueprint: &Blueprint) -> Value {
    json!({
        labels::MANAGED_BY: labels::MANAGER,
        labels::RUN: blueprint.run,
        labels::INSTANCE: blueprint.instance,
        labels::PART: blueprint.part,
        "sidecar.istio.io/inject": "false",
        "kuma.io/sidecar-injection": "disabled",
    })
}

#[cfg(test)]
mod tests;
