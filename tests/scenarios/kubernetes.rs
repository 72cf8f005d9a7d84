//! What Kubernetes itself has against an upgrade: preflight says it while the server still runs.

use serde_json::Value;

use super::operators::define;
use crate::support::{Instance, LIMIT, Space, eventually, own_cluster};

/// The findings of one check in a report of `preflight -o json`.
fn findings<'a>(report: &'a Value, check: &str) -> Vec<&'a Value> {
    report["findings"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|finding| finding["check"] == check)
        .collect()
}

/// Runs the command that mends a finding, as it is printed.
fn do_as_told(space: &Space, report: &Value, check: &str) {
    let fix = findings(report, check)[0]["fix"].as_str().unwrap();
    let fix = fix.trim_end_matches(" (restarts the server)");
    let (words, patch) = fix.split_once(" -p ").unwrap_or((fix, ""));
    let mut words: Vec<&str> = words.split(' ').skip(1).collect();
    if !patch.is_empty() {
        words.extend(["-p", patch.trim_matches('\'')]);
    }
    space.try_kubectl(&words, None).exits(0);
}

/// What a refused dry run looks like: exit code 3 and nothing made.
fn refused(space: &Space, words: &str, fix: &str) {
    let report = space
        .plugin("preflight statefulset/pg --to 17 -o json")
        .exits(3)
        .json();
    let found = findings(&report, "dry-run");
    let [finding] = found.as_slice() else {
        panic!("{report:#}");
    };
    assert_eq!(finding["severity"], "blocker", "{finding:#}");
    let message = finding["message"].as_str().unwrap();
    assert!(
        message.contains("would refuse Pod pg-upgrade-"),
        "{message}"
    );
    assert!(message.contains(words), "{message}");
    assert_eq!(finding["fix"], fix.replace("NS", &space.name));
    assert_eq!(report["ready"], false);
    assert_eq!(space.leftovers(), [""; 0]);
}

#[test]
fn a_quota_without_room_for_the_upgrade_pod_is_told_before_the_outage() {
    let space = Space::new("kchk-quota");
    let pg = space.install(&Instance::library("library-statefulset", 13));
    let clean = space.plugin("preflight statefulset/pg --to 17 -o json");
    let report = clean.exits(0).json();
    let loud: Vec<&Value> = report["findings"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|finding| finding["severity"] != "info" && finding["check"] != "libc-version")
        .collect();
    assert_eq!(loud, [&Value::Null; 0]);
    assert_eq!(findings(&report, "dry-run"), [&Value::Null; 0]);
    // Without the probe, and with the pod, its ConfigMap and a volume snapshot as dry runs.
    let read_only = space.plugin("preflight statefulset/pg --to 17 --read-only -o json");
    let requests = read_only.json()["apiRequests"].as_u64().unwrap() + 3;
    assert!(requests <= 25, "{requests} requests");
    space.kubectl("create quota tight --hard=requests.memory=128Mi");
    refused(
        &space,
        "exceeded quota: tight",
        "kubectl -n NS edit resourcequota tight",
    );
    space
        .plugin("run statefulset/pg --to 17 -y")
        .exits(3)
        .says("exceeded quota: tight");
    assert_eq!((pg.major(), pg.replicas()), (13, 1));
    space.kubectl("delete quota tight");
    space.kubectl("create quota snapshots --hard=count/volumesnapshots.snapshot.storage.k8s.io=0");
    space
        .plugin("preflight statefulset/pg --to 17 --transfer link")
        .exits(3)
        .says("would refuse VolumeSnapshot pg-upgrade-");
    space.plugin("snapshot statefulset/pg --dry-run").exits(0);
    space
        .plugin("snapshot statefulset/pg --dry-run=server")
        .exits(3)
        .says("exceeded quota: snapshots");
    // A copy needs no volume snapshot.
    let copy = "preflight statefulset/pg --to 17 --transfer copy";
    space.plugin(copy).exits(0);
    let policy = Policy::apply(&space);
    eventually("the policy refuses the new image", LIMIT, || {
        let done = space.plugin(copy);
        let words = "would refuse the change of StatefulSet";
        (done.code == 3 && done.out.contains(words)).then_some(())
    });
    drop(policy);
    assert_eq!((pg.major(), pg.replicas()), (13, 1));
}

/// An admission policy of the cluster's owner that lets no StatefulSet of one namespace have another image.
struct Policy<'a>(&'a Space);

impl<'a> Policy<'a> {
    fn apply(space: &'a Space) -> Self {
        let name = &space.name;
        space.apply(&format!(
            "apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicy
metadata: {{name: {name}}}
spec:
  matchConstraints:
    resourceRules: [{{apiGroups: [apps], apiVersions: [v1], operations: [UPDATE], resources: [statefulsets]}}]
  validations:
  - expression: object.spec.template.spec.containers.all(c, c.image.endsWith(':13'))
    message: only version 13 is allowed
---
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicyBinding
metadata: {{name: {name}}}
spec:
  policyName: {name}
  validationActions: [Deny]
  matchResources: {{namespaceSelector: {{matchLabels: {{kubernetes.io/metadata.name: {name}}}}}}}"
        ));
        Self(space)
    }
}

impl Drop for Policy<'_> {
    fn drop(&mut self) {
        let name = self.0.name.as_str();
        let kinds = "validatingadmissionpolicybinding,validatingadmissionpolicy";
        self.0.try_kubectl(&["delete", kinds, name], None);
    }
}

#[test]
fn a_limit_range_that_refuses_the_upgrade_pod_is_told_before_the_outage() {
    let space = Space::new("kchk-limits");
    let pg = space.install(&Instance::library("library-statefulset", 13));
    let limit = |words: &str| {
        space.apply(&format!(
            "{{apiVersion: v1, kind: LimitRange, metadata: {{name: small}}, spec: {{limits: [{{type: Container, {words}}}]}}}}"
        ));
    };
    limit("min: {memory: 512Mi}, defaultRequest: {memory: 512Mi}");
    refused(
        &space,
        "minimum memory usage per Container is 512Mi",
        "kubectl -n NS edit limitrange",
    );
    limit("min: null, defaultRequest: {memory: 64Mi}, default: {memory: 128Mi}");
    refused(
        &space,
        "must be less than or equal to memory limit of 128Mi",
        "kubectl -n NS edit limitrange",
    );
    assert_eq!(pg.major(), 13);
}

#[test]
fn what_stands_around_the_server_is_told_with_what_mends_it() {
    let space = Space::new("kchk-around");
    space.kubectl(&format!(
        "label namespace {} istio-injection=enabled",
        space.name
    ));
    let pg = space.install(
        &Instance::library("library-deployment", 13)
            .with("strategy: {type: Recreate}", "strategy: {type: RollingUpdate}")
            .with(
                "          readinessProbe:",
                "          livenessProbe:\n            exec: {command: [pg_isready, -U, shop, -h, 127.0.0.1]}\n          readinessProbe:",
            ),
    );
    space.kubectl("create poddisruptionbudget pg --selector=app=pg --max-unavailable=1");
    space.kubectl("create cronjob dump --image=docker.io/library/postgres:13 --schedule=@yearly -- pg_dumpall -h pg");
    space.kubectl("create cronjob new --image=docker.io/library/postgres:17 --schedule=@yearly -- pg_dumpall -h pg");
    let preflight = "preflight deployment/pg --to 17 -o json";
    let report = space.plugin(preflight).exits(0).json();
    for (check, severity) in [
        ("service-mesh", "info"),
        ("liveness-probe", "warning"),
        ("update-strategy", "warning"),
        ("disruption-budget", "info"),
        ("old-clients", "warning"),
    ] {
        let found = findings(&report, check);
        assert_eq!(found.len(), 1, "{check}: {report:#}");
        assert_eq!(found[0]["severity"], severity, "{check}");
    }
    for check in ["old-clients", "update-strategy", "liveness-probe"] {
        do_as_told(&space, &report, check);
    }
    pg.wait_ready();
    let report = space.plugin(preflight).exits(0).json();
    for check in ["old-clients", "update-strategy", "liveness-probe"] {
        assert_eq!(findings(&report, check), [&Value::Null; 0], "{check}");
    }
}

#[test]
fn a_crowded_statefulset_is_told_everything_at_once() {
    if !own_cluster("an image whose tag lies") {
        return;
    }
    let space = Space::new("kchk-crowd");
    define(
        &space,
        &[
            ("keda.sh", "v1alpha1", "ScaledObject", "scaledobjects"),
            (
                "autoscaling.k8s.io",
                "v1",
                "VerticalPodAutoscaler",
                "verticalpodautoscalers",
            ),
        ],
    );
    // The image says 17 and holds 15.
    space.install(
        &Instance::library("library-statefulset", "17-lies")
            .with(
                "  replicas: 1\n",
                "  replicas: 1\n  persistentVolumeClaimRetentionPolicy: {whenDeleted: Delete, whenScaled: Delete}\n  updateStrategy: {type: RollingUpdate, rollingUpdate: {partition: 1}}\n",
            )
            .with(
                "      containers:",
                "      terminationGracePeriodSeconds: 5\n      containers:",
            )
            .with("periodSeconds: 10", "periodSeconds: 1\n            failureThreshold: 1")
            .with(
                "[pg_isready, -U, postgres, -h, 127.0.0.1]",
                "[sh, -c, 'pg_isready -U postgres -h 127.0.0.1 && test ! -e /tmp/unready']",
            ),
    );
    let of = "apiVersion: apps/v1, kind: StatefulSet, name: pg";
    space.apply(&format!(
        "{{apiVersion: autoscaling/v2, kind: HorizontalPodAutoscaler, metadata: {{name: pg}}, spec: {{scaleTargetRef: {{{of}}}, maxReplicas: 1}}}}
---
{{apiVersion: keda.sh/v1alpha1, kind: ScaledObject, metadata: {{name: pg}}, spec: {{scaleTargetRef: {{{of}}}, triggers: [{{type: cron, metadata: {{}}}}]}}}}
---
{{apiVersion: autoscaling.k8s.io/v1, kind: VerticalPodAutoscaler, metadata: {{name: pg}}, spec: {{targetRef: {{{of}}}, updatePolicy: {{updateMode: Auto}}}}}}
---
{{apiVersion: v1, kind: Pod, metadata: {{name: looker}}, spec: {{terminationGracePeriodSeconds: 0, containers: [{{name: looker, image: 'docker.io/library/postgres:17-lies', imagePullPolicy: IfNotPresent, command: [sleep, infinity],
  volumeMounts: [{{name: data, mountPath: /data}}]}}], volumes: [{{name: data, persistentVolumeClaim: {{claimName: data-pg-0}}}}]}}}}"
    ));
    space.kubectl("annotate statefulset pg meta.helm.sh/release-name=shop-db meta.helm.sh/release-namespace=shop argocd.argoproj.io/tracking-id=shop:apps/StatefulSet:shop/pg");
    space.kubectl("label statefulset pg app.kubernetes.io/managed-by=Helm");
    space.kubectl("exec pg-0 -- touch /tmp/unready");
    space.kubectl("wait --for=condition=Ready=false pod/pg-0 --timeout=60s");
    let preflight = "preflight statefulset/pg --image docker.io/library/postgres:18 -o json";
    let report = space.plugin(preflight).exits(3).json();
    for (check, severity) in [
        ("autoscaler", "warning"),
        ("claim-retention", "blocker"),
        ("claim-users", "blocker"),
        ("grace-period", "warning"),
        ("managed-by", "warning"),
        ("partition", "blocker"),
        ("pod-ready", "warning"),
        ("scaled-object", "warning"),
        ("server-tag", "warning"),
        ("vertical-autoscaler", "warning"),
    ] {
        let found = findings(&report, check);
        assert!(!found.is_empty(), "{check}: {report:#}");
        assert_eq!(found[0]["severity"], severity, "{check}");
    }
    for check in [
        "autoscaler",
        "claim-retention",
        "claim-users",
        "partition",
        "scaled-object",
        "vertical-autoscaler",
    ] {
        do_as_told(&space, &report, check);
    }
    space.kubectl("exec pg-0 -- rm /tmp/unready");
    space.kubectl("wait --for=condition=Ready pod/pg-0 --timeout=60s");
    // A paused ScaledObject is still said.
    let report = space.plugin(preflight).exits(0).json();
    let left = findings(&report, "claim-retention");
    assert_eq!(left.len(), 1, "whenDeleted stays: {report:#}");
    assert_eq!(left[0]["severity"], "info");
    for check in [
        "autoscaler",
        "claim-users",
        "partition",
        "pod-ready",
        "vertical-autoscaler",
    ] {
        assert_eq!(findings(&report, check), [&Value::Null; 0], "{check}");
    }
}

#[test]
fn data_that_is_on_no_claim_is_refused() {
    let space = Space::new("kchk-claim");
    space.apply("{apiVersion: apps/v1, kind: StatefulSet, metadata: {name: memory}, spec: {serviceName: memory, selector: {matchLabels: {app: memory}}, template: {metadata: {labels: {app: memory}}, spec: {
      containers: [{name: postgres, image: 'docker.io/library/postgres:13', imagePullPolicy: IfNotPresent, env: [{name: POSTGRES_HOST_AUTH_METHOD, value: trust}], readinessProbe: {exec: {command: [pg_isready, -h, 127.0.0.1]}, periodSeconds: 1}, volumeMounts: [{name: data, mountPath: /var/lib/postgresql/data}]}],
      volumes: [{name: data, emptyDir: {medium: Memory}}]}}}}");
    // The claim is mounted, and the data is elsewhere.
    space.install(
        &Instance::library("library-statefulset", 13)
            .with("/var/lib/postgresql/data/pgdata", "/srv/pgdata"),
    );
    space.kubectl("rollout status statefulset/memory --timeout=120s");
    for (target, check) in [("pg", "data-directory-place"), ("memory", "claim")] {
        let line = format!("preflight statefulset/{target} --to 17 --read-only -o json");
        let report = space.plugin(&line).exits(3).json();
        assert_eq!(
            findings(&report, check)[0]["severity"],
            "blocker",
            "{report:#}"
        );
    }
}
