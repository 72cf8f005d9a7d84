//! PostgreSQL operators: how their instances are recognised. Data and pure functions.
//!
//! An operator's instance is never touched: the operator would undo every change, or break its own bookkeeping.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;

use crate::postgres::image;
use crate::postgres::version::MajorVersion;

pub mod procedure;

/// One operator and the shape of what it makes.
#[derive(Debug, PartialEq, Eq)]
pub struct Operator {
    /// Its name as its project writes it.
    pub name: &'static str,
    /// Kind of the custom resource that stands for one PostgreSQL, such as `Cluster`.
    pub kind: &'static str,
    /// That kind as kubectl takes it without doubt, such as `cluster.postgresql.cnpg.io`.
    pub resource: &'static str,
    /// API groups of what owns its pods and StatefulSets.
    groups: &'static [&'static str],
    /// Labels that nobody else puts on pods and StatefulSets: `key`, or `key=value`.
    marks: &'static [&'static str],
    /// Labels whose value is the name of the custom resource, best first.
    cluster_labels: &'static [&'static str],
    /// Name of the server's container in its pods.
    pub container: &'static str,
    /// Where its own procedure for major versions is described.
    pub documentation: &'static str,
}

/// All of them. Percona stands before Crunchy, whose code and labels it carries.
///
/// Sources: `CloudNativePG`, "Labels and annotations"; Percona's `internal/naming/labels.go`, which is Crunchy's with more, and
/// "Percona Operator for PostgreSQL 3.0.0" (group `upstream.pgv2.percona.com`); StackGres, "Cluster restart" (pods of
/// `app=StackGresCluster,stackgres.io/cluster-name=NAME`); KubeBlocks, `InstanceSet` of `workloads.kubeblocks.io`; KubeDB,
/// "Postgres" (pods and `PetSet` with `app.kubernetes.io/managed-by=kubedb.com,app.kubernetes.io/instance=NAME`).
pub const ALL: &[Operator] = &[
    Operator {
        name: "CloudNativePG",
        kind: "Cluster",
        resource: "cluster.postgresql.cnpg.io",
        groups: &["postgresql.cnpg.io"],
        marks: &["cnpg.io/cluster"],
        cluster_labels: &["cnpg.io/cluster"],
        container: "postgres",
        documentation: "https://cloudnative-pg.io/documentation/current/postgres_upgrades",
    },
    Operator {
        name: "Zalando postgres-operator",
        kind: "postgresql",
        resource: "postgresql.acid.zalan.do",
        groups: &["acid.zalan.do"],
        marks: &["application=spilo"],
        cluster_labels: &["cluster-name"],
        container: "postgres",
        documentation: "https://opensource.zalando.com/postgres-operator/docs/administrator.html",
    },
    Operator {
        name: "Percona Operator for PostgreSQL",
        kind: "PerconaPGCluster",
        resource: "perconapgcluster.pgv2.percona.com",
        groups: &["pgv2.percona.com", "upstream.pgv2.percona.com"],
        marks: &[
            "app.kubernetes.io/managed-by=percona-postgresql-operator",
            "pgv2.percona.com/version",
        ],
        cluster_labels: &[
            "postgres-operator.crunchydata.com/cluster",
            "app.kubernetes.io/instance",
        ],
        container: "database",
        documentation: "https://docs.percona.com/percona-operator-for-postgresql/3.0.0/upgrade-options.html",
    },
    Operator {
        name: "Crunchy Postgres for Kubernetes",
        kind: "PostgresCluster",
        resource: "postgrescluster.postgres-operator.crunchydata.com",
        groups: &["postgres-operator.crunchydata.com"],
        marks: &["postgres-operator.crunchydata.com/cluster"],
        cluster_labels: &["postgres-operator.crunchydata.com/cluster"],
        container: "database",
        documentation: "https://access.crunchydata.com/documentation/postgres-operator/latest/guides/major-postgres-version-upgrade",
    },
    Operator {
        name: "StackGres",
        kind: "SGCluster",
        resource: "sgcluster.stackgres.io",
        groups: &["stackgres.io"],
        marks: &["stackgres.io/cluster-name"],
        cluster_labels: &["stackgres.io/cluster-name"],
        container: "patroni",
        documentation: "https://stackgres.io/doc/latest/administration/database-operations/major-version-upgrade",
    },
    Operator {
        name: "KubeBlocks",
        kind: "Cluster",
        resource: "cluster.apps.kubeblocks.io",
        groups: &["apps.kubeblocks.io", "workloads.kubeblocks.io"],
        marks: &["app.kubernetes.io/managed-by=kubeblocks"],
        cluster_labels: &["app.kubernetes.io/instance"],
        container: "postgresql",
        documentation: "https://github.com/apecloud/kubeblocks-addons/tree/main/examples/postgresql",
    },
    Operator {
        name: "KubeDB",
        kind: "Postgres",
        resource: "postgres.kubedb.com",
        groups: &["kubedb.com", "apps.k8s.appscode.com"],
        marks: &["app.kubernetes.io/managed-by=kubedb.com"],
        cluster_labels: &["app.kubernetes.io/instance"],
        container: "postgres",
        documentation: "https://github.com/kubedb/docs/tree/master/docs/guides/postgres/update-version",
    },
];

/// An object of an operator: whose it is, and of which custom resource.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Managed {
    /// The operator's name, of [`ALL`].
    pub operator: &'static str,
    /// Name of the custom resource.
    pub cluster: String,
}

impl Managed {
    /// The operator.
    pub fn operator(&self) -> &'static Operator {
        by_name(self.operator).unwrap_or(&ALL[0])
    }

    /// The custom resource as kubectl takes it, such as `cluster.postgresql.cnpg.io/shop`.
    pub fn target(&self) -> String {
        format!("{}/{}", self.operator().resource, self.cluster)
    }
}

/// The operator of that name.
pub fn by_name(name: &str) -> Option<&'static Operator> {
    ALL.iter().find(|operator| operator.name == name)
}

/// Whose an object is, by its owner references and labels; `name` is its own.
///
/// The custom resource's name comes from the label for it, else from an owner of its kind, else it is the object's own.
pub fn recognise(
    owners: &[OwnerReference],
    labels: &BTreeMap<String, String>,
    name: &str,
) -> Option<Managed> {
    let operator = ALL.iter().find(|operator| {
        // Percona before 3.0 has its StatefulSets owned by Crunchy's kind: labels decide before owners do.
        operator.marks.iter().any(|mark| has(labels, mark))
            || owners.iter().any(|owner| operator.owns(owner))
    })?;
    let labelled = || {
        operator
            .cluster_labels
            .iter()
            .find_map(|label| labels.get(*label).cloned())
    };
    let owned = || {
        owners
            .iter()
            .find(|owner| owner.kind.eq_ignore_ascii_case(operator.kind))
            // The API server does not check these names, and they end up in commands to paste.
            .filter(|owner| {
                let legal = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '.';
                owner.name.chars().all(legal)
            })
            .map(|owner| owner.name.clone())
    };
    Some(Managed {
        operator: operator.name,
        cluster: labelled().or_else(owned).unwrap_or_else(|| name.to_owned()),
    })
}

impl Operator {
    /// Whether an owner reference names one of its kinds.
    pub fn owns(&self, owner: &OwnerReference) -> bool {
        let group = owner.api_version.split('/').next().unwrap_or_default();
        self.groups.contains(&group)
    }
}

fn has(labels: &BTreeMap<String, String>, mark: &str) -> bool {
    match mark.split_once('=') {
        Some((key, value)) => labels.get(key).is_some_and(|v| v == value),
        None => labels.contains_key(mark),
    }
}

/// The major version that an operator's pod claims, without asking its server: from what the operator itself writes down.
///
/// `PGVERSION` is Spilo's, `PGDATA=/pgdata/pg16` Crunchy's and Percona's. Their image tags name the operator's release beside
/// the server's: `2.4.0-ppg16.3-postgres`, `ubi8-16.3-1`, `v3.2.2-pg15.6-build-6.31`.
pub fn claimed_major(image: &str, env: &BTreeMap<String, String>) -> Option<MajorVersion> {
    let number = |text: &str| -> Option<MajorVersion> {
        let digits: String = text.chars().take_while(char::is_ascii_digit).collect();
        digits.parse().ok()
    };
    let from_env = || {
        let version = env.get("PGVERSION").and_then(|v| number(v));
        let directory = env
            .get("PGDATA")
            .and_then(|path| number(path.rsplit('/').next()?.strip_prefix("pg")?));
        version.or(directory)
    };
    let from_tag = || {
        let tag = image::parse(image).ok()?.tag?;
        tag.split('-').find_map(|part| {
            let rest = part
                .strip_prefix("ppg")
                .or_else(|| part.strip_prefix("pg"))?;
            number(rest)
        })
    };
    let after_distribution = || {
        let tag = image::parse(image).ok()?.tag?;
        let (first, rest) = tag.split_once('-')?;
        first.starts_with("ubi").then(|| number(rest)).flatten()
    };
    from_env()
        .or_else(from_tag)
        .or_else(after_distribution)
        .or_else(|| image::major(image))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs
            .iter()
            .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()))
            .collect()
    }

    fn owner(api_version: &str, kind: &str, name: &str) -> OwnerReference {
        OwnerReference {
            api_version: api_version.to_owned(),
            kind: kind.to_owned(),
            name: name.to_owned(),
            controller: Some(true),
            ..OwnerReference::default()
        }
    }

    fn target(owners: &[OwnerReference], pairs: &[(&str, &str)]) -> Option<String> {
        recognise(owners, &labels(pairs), "itself").map(|m| m.target())
    }

    #[test]
    fn each_operator_is_known_by_its_real_labels_and_owners() {
        let crunchy = "postgres-operator.crunchydata.com/v1beta1";
        let cases = [
            (
                vec![owner("postgresql.cnpg.io/v1", "Cluster", "shop")],
                vec![("cnpg.io/cluster", "shop"), ("cnpg.io/podRole", "instance")],
                "cluster.postgresql.cnpg.io/shop",
            ),
            (
                vec![],
                vec![("application", "spilo"), ("cluster-name", "acid-shop")],
                "postgresql.acid.zalan.do/acid-shop",
            ),
            (
                vec![owner("acid.zalan.do/v1", "postgresql", "acid-shop")],
                vec![],
                "postgresql.acid.zalan.do/acid-shop",
            ),
            (
                vec![owner(crunchy, "PostgresCluster", "hippo")],
                vec![("postgres-operator.crunchydata.com/cluster", "hippo")],
                "postgrescluster.postgres-operator.crunchydata.com/hippo",
            ),
            (
                vec![owner(crunchy, "PostgresCluster", "cluster1")],
                vec![
                    ("postgres-operator.crunchydata.com/cluster", "cluster1"),
                    (
                        "app.kubernetes.io/managed-by",
                        "percona-postgresql-operator",
                    ),
                    ("app.kubernetes.io/instance", "cluster1"),
                ],
                "perconapgcluster.pgv2.percona.com/cluster1",
            ),
            (
                vec![owner(
                    "upstream.pgv2.percona.com/v1beta1",
                    "PostgresCluster",
                    "cluster1",
                )],
                vec![("postgres-operator.crunchydata.com/cluster", "cluster1")],
                "perconapgcluster.pgv2.percona.com/cluster1",
            ),
            (
                vec![owner("stackgres.io/v1", "SGCluster", "sg")],
                vec![("stackgres.io/cluster-name", "sg")],
                "sgcluster.stackgres.io/sg",
            ),
            (
                vec![owner(
                    "workloads.kubeblocks.io/v1",
                    "InstanceSet",
                    "kb-postgresql",
                )],
                vec![
                    ("app.kubernetes.io/managed-by", "kubeblocks"),
                    ("app.kubernetes.io/instance", "kb"),
                ],
                "cluster.apps.kubeblocks.io/kb",
            ),
            (
                vec![owner("apps.k8s.appscode.com/v1", "PetSet", "kdb")],
                vec![
                    ("app.kubernetes.io/managed-by", "kubedb.com"),
                    ("app.kubernetes.io/instance", "kdb"),
                ],
                "postgres.kubedb.com/kdb",
            ),
        ];
        for (owners, marks, expected) in cases {
            assert_eq!(target(&owners, &marks).as_deref(), Some(expected));
        }
    }

    #[test]
    fn helm_and_other_owners_are_no_operators() {
        let helm = [
            ("app.kubernetes.io/managed-by", "Helm"),
            ("app.kubernetes.io/instance", "shop"),
        ];
        assert_eq!(target(&[], &helm), None);
        let sts = owner("apps/v1", "StatefulSet", "pg");
        assert_eq!(target(&[sts], &[]), None);
    }

    #[test]
    fn the_version_is_read_where_each_operator_writes_it() {
        let claims = |image: &str, env: &[(&str, &str)]| {
            claimed_major(image, &labels(env)).map(|major| major.to_string())
        };
        let spilo = "registry.example/acid/spilo-17:4.0-p2";
        assert_eq!(claims(spilo, &[("PGVERSION", "15")]).as_deref(), Some("15"));
        assert_eq!(claims(spilo, &[]), None);
        let crunchy = "registry.example/crunchy-postgres:ubi8-16.3-1";
        assert_eq!(
            claims(crunchy, &[("PGDATA", "/pgdata/pg15")]).as_deref(),
            Some("15")
        );
        assert_eq!(claims(crunchy, &[]).as_deref(), Some("16"));
        for (image, major) in [
            ("percona/operator:2.4.0-ppg16.3-postgres", "16"),
            ("percona/percona-distribution-postgresql:17.10-1", "17"),
            ("ongres/patroni:v3.2.2-pg15.6-build-6.31", "15"),
            ("cloudnative-pg/postgresql:16.3", "16"),
            ("postgres:16.4-bookworm", "16"),
        ] {
            assert_eq!(claims(image, &[]).as_deref(), Some(major), "{image}");
        }
    }
}
