//! Instances of operators, in the shapes that they really have: never touched, answered with the operator's own procedure.

use serde_json::{Value, json};

use crate::support::Space;

/// A custom resource: group, version, kind, plural.
type Kind = (&'static str, &'static str, &'static str, &'static str);

const CNPG: Kind = ("postgresql.cnpg.io", "v1", "Cluster", "clusters");
const ZALANDO: Kind = ("acid.zalan.do", "v1", "postgresql", "postgresqls");
const CRUNCHY: Kind = (
    "postgres-operator.crunchydata.com",
    "v1beta1",
    "PostgresCluster",
    "postgresclusters",
);
const PERCONA: Kind = (
    "pgv2.percona.com",
    "v2",
    "PerconaPGCluster",
    "perconapgclusters",
);
const UPSTREAM: Kind = (
    "upstream.pgv2.percona.com",
    "v1beta1",
    "PostgresCluster",
    "postgresclusters",
);
const STACKGRES: Kind = ("stackgres.io", "v1", "SGCluster", "sgclusters");
const KUBEBLOCKS: Kind = ("apps.kubeblocks.io", "v1", "Cluster", "clusters");
const INSTANCE_SET: Kind = (
    "workloads.kubeblocks.io",
    "v1",
    "InstanceSet",
    "instancesets",
);
const KUBEDB: Kind = ("kubedb.com", "v1", "Postgres", "postgreses");
const PET_SET: Kind = ("apps.k8s.appscode.com", "v1", "PetSet", "petsets");

/// What an operator makes for one PostgreSQL.
struct Shape {
    /// Custom resources from the one that people write down to the owner of what runs, each with its name.
    chain: &'static [(Kind, &'static str)],
    /// `StatefulSet` or `Pod`, and its name.
    made: (&'static str, &'static str),
    /// Name of the server's container.
    container: &'static str,
    labels: &'static [(&'static str, &'static str)],
    /// What the answer says, `NS` being the namespace.
    says: &'static [&'static str],
}

const SHAPES: &[Shape] = &[
    Shape {
        chain: &[(CNPG, "cnpg")],
        made: ("Pod", "cnpg-1"),
        container: "postgres",
        labels: &[
            ("cnpg.io/cluster", "cnpg"),
            ("cnpg.io/instanceName", "cnpg-1"),
            ("cnpg.io/instanceRole", "primary"),
            ("cnpg.io/podRole", "instance"),
        ],
        says: &[
            "CloudNativePG",
            r#"kubectl patch -n NS cluster.postgresql.cnpg.io cnpg --type merge -p '{"spec":{"imageName":"docker.io/library/postgres:17"}}'"#,
        ],
    },
    Shape {
        chain: &[(ZALANDO, "acid-shop")],
        made: ("StatefulSet", "acid-shop"),
        container: "postgres",
        labels: &[
            ("application", "spilo"),
            ("cluster-name", "acid-shop"),
            ("team", "acid"),
        ],
        says: &[
            "Zalando postgres-operator",
            r#"kubectl patch -n NS postgresql.acid.zalan.do acid-shop --type merge -p '{"spec":{"postgresql":{"version":"17"}}}'"#,
            "python3 /scripts/inplace_upgrade.py",
        ],
    },
    Shape {
        chain: &[(CRUNCHY, "hippo")],
        made: ("StatefulSet", "hippo-instance1-abcd"),
        container: "database",
        labels: &[
            ("postgres-operator.crunchydata.com/cluster", "hippo"),
            (
                "postgres-operator.crunchydata.com/instance",
                "hippo-instance1-abcd",
            ),
            (
                "postgres-operator.crunchydata.com/instance-set",
                "instance1",
            ),
            ("postgres-operator.crunchydata.com/data", "postgres"),
        ],
        says: &[
            "Crunchy Postgres for Kubernetes",
            "kind: PGUpgrade",
            "postgresClusterName: hippo",
            "fromPostgresVersion: 15",
            "toPostgresVersion: 17",
            "kubectl annotate -n NS postgrescluster.postgres-operator.crunchydata.com hippo postgres-operator.crunchydata.com/allow-upgrade=hippo-15-to-17",
        ],
    },
    Shape {
        chain: &[(PERCONA, "cluster1"), (UPSTREAM, "cluster1")],
        made: ("StatefulSet", "cluster1-instance1-wxyz"),
        container: "database",
        labels: &[
            ("postgres-operator.crunchydata.com/cluster", "cluster1"),
            (
                "postgres-operator.crunchydata.com/instance-set",
                "instance1",
            ),
            (
                "app.kubernetes.io/managed-by",
                "percona-postgresql-operator",
            ),
            ("app.kubernetes.io/instance", "cluster1"),
            ("app.kubernetes.io/name", "percona-postgresql"),
        ],
        says: &[
            "Percona Operator for PostgreSQL",
            "kind: PerconaPGUpgrade",
            "name: cluster1-15-to-17",
            "postgresClusterName: cluster1",
        ],
    },
    Shape {
        chain: &[(STACKGRES, "sg")],
        made: ("StatefulSet", "sg"),
        container: "patroni",
        labels: &[
            ("app", "StackGresCluster"),
            ("stackgres.io/cluster-name", "sg"),
            ("stackgres.io/cluster", "true"),
        ],
        says: &[
            "StackGres",
            "kind: SGDbOps",
            "sgCluster: sg",
            "op: majorVersionUpgrade",
            "kubectl get -n NS sgdbops.stackgres.io sg-15-to-17 -w",
        ],
    },
    Shape {
        chain: &[(KUBEBLOCKS, "kb"), (INSTANCE_SET, "kb-postgresql")],
        made: ("Pod", "kb-postgresql-0"),
        container: "postgresql",
        labels: &[
            ("app.kubernetes.io/managed-by", "kubeblocks"),
            ("app.kubernetes.io/instance", "kb"),
            ("apps.kubeblocks.io/component-name", "postgresql"),
        ],
        says: &[
            "KubeBlocks",
            "no major upgrade in place",
            "kubectl get -n NS cluster.apps.kubeblocks.io kb -o yaml",
            "kb-17",
        ],
    },
    Shape {
        chain: &[(KUBEDB, "kdb"), (PET_SET, "kdb")],
        made: ("Pod", "kdb-0"),
        container: "postgres",
        labels: &[
            ("app.kubernetes.io/managed-by", "kubedb.com"),
            ("app.kubernetes.io/instance", "kdb"),
            ("app.kubernetes.io/name", "postgreses.kubedb.com"),
            ("kubedb.com/role", "primary"),
        ],
        says: &[
            "KubeDB",
            "kind: PostgresOpsRequest",
            "type: UpdateVersion",
            "name: kdb-15-to-17",
            "targetVersion: \"17.MINOR\"",
        ],
    },
];

impl Shape {
    /// The custom resource that people write down, as `list` names it.
    fn target(&self) -> String {
        let ((group, _, kind, _), name) = self.chain[0];
        format!("{}.{group}/{name}", kind.to_lowercase())
    }

    fn cluster(&self) -> &'static str {
        self.chain[0].1
    }

    /// Makes the custom resources and what the operator makes of them, with real owners: the garbage collector looks.
    fn make(&self, space: &Space) {
        let mut owner: Option<Value> = None;
        for ((group, version, kind, plural), name) in self.chain {
            let api_version = format!("{group}/{version}");
            space.apply(
                &json!({
                    "apiVersion": api_version, "kind": kind, "spec": {},
                    "metadata": {"name": name, "ownerReferences": owners(owner.as_ref())},
                })
                .to_string(),
            );
            let made = space.get(&format!("{plural}.{group} {name}"));
            owner = Some(json!({
                "apiVersion": api_version, "kind": kind, "name": name,
                "uid": made["metadata"]["uid"], "controller": true,
            }));
        }
        let labels: serde_json::Map<String, Value> = self
            .labels
            .iter()
            .map(|(k, v)| ((*k).to_owned(), json!(v)))
            .collect();
        let (kind, name) = self.made;
        let metadata =
            json!({"name": name, "labels": labels, "ownerReferences": owners(owner.as_ref())});
        let pod = json!({
            "terminationGracePeriodSeconds": 0,
            "containers": [{
                "name": self.container, "image": "docker.io/library/postgres:15", "imagePullPolicy": "IfNotPresent",
                "command": ["sleep", "3600"],
                "volumeMounts": [{"name": "data", "mountPath": "/pgdata"}],
            }],
            "volumes": [{"name": "data", "emptyDir": {}}],
        });
        let object = if kind == "Pod" {
            json!({"apiVersion": "v1", "kind": kind, "metadata": metadata, "spec": pod})
        } else {
            json!({"apiVersion": "apps/v1", "kind": kind, "metadata": metadata, "spec": {
                "replicas": 0, "serviceName": name, "selector": {"matchLabels": labels},
                "template": {"metadata": {"labels": labels}, "spec": pod},
            }})
        };
        space.apply(&object.to_string());
    }
}

fn owners(owner: Option<&Value>) -> Value {
    owner.map_or_else(|| json!([]), |owner| json!([owner]))
}

/// Definitions: real groups, kinds and versions, any content. They are the cluster's, may be there already, and stay.
pub(super) fn define<'a>(
    space: &Space,
    kinds: impl IntoIterator<Item = &'a (&'a str, &'a str, &'a str, &'a str)>,
) {
    for (group, version, kind, plural) in kinds {
        let name = format!("{plural}.{group}");
        space.apply(
            &json!({
                "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
                "metadata": {"name": name, "annotations": {"api-approved.kubernetes.io": "unapproved, for tests"}},
                "spec": {
                    "group": group, "scope": "Namespaced",
                    "names": {"kind": kind, "plural": plural, "singular": kind.to_lowercase(), "listKind": format!("{kind}List")},
                    "versions": [{"name": version, "served": true, "storage": true, "schema": {"openAPIV3Schema":
                        {"type": "object", "x-kubernetes-preserve-unknown-fields": true}}}],
                },
            })
            .to_string(),
        );
        space.kubectl(&format!(
            "wait --for=condition=Established --timeout=60s crd/{name}"
        ));
    }
}

/// Everything that a command could have made or changed.
fn state(space: &Space) -> String {
    space.kubectl("get statefulsets,pods,persistentvolumeclaims,configmaps,leases -o jsonpath={range.items[*]}{.kind}/{.metadata.name}={.metadata.uid}{.spec}{\"\\n\"}{end}")
}

#[test]
fn each_operator_is_answered_with_its_own_procedure() {
    let space = Space::new("operators");
    let chains = SHAPES.iter().flat_map(|shape| shape.chain);
    define(&space, chains.map(|(kind, _)| kind));
    for shape in SHAPES {
        shape.make(&space);
    }
    space.kubectl("wait --for=condition=Ready --timeout=120s pods --all");
    let before = state(&space);
    for shape in SHAPES {
        let (kind, name) = shape.made;
        let mut targets = vec![shape.cluster().to_owned(), shape.target()];
        if kind == "StatefulSet" {
            targets.push(format!("statefulset/{name}"));
        }
        for target in targets {
            for command in ["preflight", "run -y", "upgrade -y"] {
                let mut done = space
                    .plugin(&format!("{command} {target} --to 17"))
                    .exits(3)
                    .says("operator");
                for words in shape.says {
                    done = done.says(&words.replace("NS", &space.name));
                }
            }
        }
        // Without a version asked for the names are filled in all the same.
        space
            .plugin(&format!("history {}", shape.target()))
            .exits(3)
            .says(&format!("-n {}", space.name));
    }
    let report = space
        .plugin("preflight statefulset/hippo-instance1-abcd --to 17 -o json")
        .exits(3)
        .json();
    let findings = report["findings"].as_array().unwrap();
    assert_eq!(findings.len(), 1, "{report:#}");
    assert_eq!(findings[0]["check"], "operator-owned");
    assert!(
        findings[0]["fix"]
            .as_str()
            .unwrap()
            .contains("kind: PGUpgrade")
    );
    assert_eq!(state(&space), before);

    let list = space.plugin("list -o json").exits(0).json();
    let items = list["items"].as_array().unwrap();
    assert_eq!(items.len(), SHAPES.len(), "{list:#}");
    for shape in SHAPES {
        let target = shape.target();
        let found = items.iter().find(|item| item["target"] == target);
        let item = found.unwrap_or_else(|| panic!("{target} is not in {list:#}"));
        assert_eq!(item["method"], "operator", "{item:#}");
        assert_eq!(item["managedBy"][0]["name"], shape.says[0], "{item:#}");
        assert_eq!(item["managedBy"][0]["object"], shape.cluster(), "{item:#}");
        assert_eq!(item["major"], "15", "{item:#}");
        assert_eq!(item["versionSource"], "tag", "{item:#}");
    }
    space
        .plugin("preflight --to 17")
        .exits(2)
        .says("cluster.postgresql.cnpg.io/cnpg");
}
