//! Each operator's own way to a new major version, with the real names filled in.
//!
//! What stands here was read in the operators' documentation, which each [`Operator`] names; field names are theirs.

use super::Operator;
use crate::postgres::image;
use crate::postgres::version::MajorVersion;

/// What an answer is filled in with. What is not known is said in capitals, for the reader to replace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Names<'a> {
    /// Namespace of the custom resource.
    pub namespace: &'a str,
    /// Name of the custom resource.
    pub cluster: &'a str,
    /// Image of the server's container; empty when it is not known.
    pub image: &'a str,
    /// Major version of the server.
    pub from: Option<MajorVersion>,
    /// Major version asked for.
    pub to: Option<MajorVersion>,
    /// Number of members, the primary included.
    pub members: Option<i32>,
}

impl Names<'_> {
    fn from(&self) -> String {
        self.from
            .map_or_else(|| "OLD".to_owned(), |major| major.to_string())
    }

    fn to(&self) -> String {
        self.to
            .map_or_else(|| "NEW".to_owned(), |major| major.to_string())
    }

    /// Name of the object that asks for the upgrade.
    fn request(&self) -> String {
        format!("{}-{}-to-{}", self.cluster, self.from(), self.to())
    }

    /// The image of the new version by rule, else its repository to be filled in.
    fn new_image(&self) -> String {
        let plain = |c: char| c.is_ascii_alphanumeric() || "._:/-".contains(c);
        let by_rule = self
            .to
            .and_then(|to| image::for_major(self.image, to).ok())
            .filter(|image| image.chars().all(plain));
        by_rule.unwrap_or_else(|| format!("REPOSITORY:{}", self.to()))
    }
}

/// The procedure as comments and commands, a line each, ready to be read and pasted.
pub fn procedure(operator: &Operator, names: &Names<'_>) -> Vec<String> {
    let text = match operator.name {
        "CloudNativePG" => cloud_native_pg(names),
        "Zalando postgres-operator" => zalando(names),
        "Crunchy Postgres for Kubernetes" => crunchy(names),
        "Percona Operator for PostgreSQL" => percona(names),
        "StackGres" => stack_gres(names),
        "KubeBlocks" => kube_blocks(names),
        "KubeDB" => kube_db(names),
        _ => String::new(),
    };
    let documentation = format!("# Documentation: {}", operator.documentation);
    text.lines()
        .map(str::to_owned)
        .chain([documentation])
        .collect()
}

/// "PostgreSQL upgrades", section "Offline In-Place Major Upgrades" (since 1.26), and "Importing Postgres databases".
fn cloud_native_pg(names: &Names<'_>) -> String {
    let Names {
        namespace, cluster, ..
    } = names;
    let (to, image) = (names.to(), names.new_image());
    format!(
        r#"# Take a backup first. CloudNativePG 1.26 and newer upgrades in place, offline, when the image changes; both images must
# have the same distribution. With an image catalog change spec.imageCatalogRef.major to {to} instead.
kubectl patch -n {namespace} cluster.postgresql.cnpg.io {cluster} --type merge -p '{{"spec":{{"imageName":"{image}"}}}}'
kubectl get -n {namespace} cluster.postgresql.cnpg.io {cluster} -w
# With an older operator, or to keep the old one: a new Cluster of the new image that imports this one
# (spec.bootstrap.initdb.import, whose source.externalCluster has the host {cluster}-rw.{namespace})."#
    )
}

/// Administrator guide, "In-place major version upgrade"; `manual` is the default of `major_version_upgrade_mode` since 1.13
/// (zalando/postgres-operator issue 2767).
fn zalando(names: &Names<'_>) -> String {
    let Names {
        namespace, cluster, ..
    } = names;
    let to = names.to();
    let members = names
        .members
        .map_or_else(|| "MEMBERS".to_owned(), |n| n.to_string());
    format!(
        r#"# Take a backup first. The Spilo image must hold PostgreSQL {to}. Where major_version_upgrade_mode of the operator is manual
# (the default since 1.13) or full, it upgrades in place after this change:
kubectl patch -n {namespace} postgresql.acid.zalan.do {cluster} --type merge -p '{{"spec":{{"postgresql":{{"version":"{to}"}}}}}}'
# Where it is off, make the same change, wait for the pods, then in the primary pod ({members} is the number of members):
kubectl exec -n {namespace} -it -c postgres "$(kubectl get pods -n {namespace} -l cluster-name={cluster},spilo-role=master -o name)" -- su postgres -c "python3 /scripts/inplace_upgrade.py {members}""#
    )
}

/// "Postgres Major Version Upgrade": `PGUpgrade`, shut down, annotate, wait, new `postgresVersion`.
fn crunchy(names: &Names<'_>) -> String {
    let Names {
        namespace, cluster, ..
    } = names;
    let (from, to, request) = (names.from(), names.to(), names.request());
    let resource = "postgrescluster.postgres-operator.crunchydata.com";
    format!(
        r#"# Take a full backup first: there is no way back. Not for PostGIS, not for standby clusters.
kubectl apply -n {namespace} -f - <<'EOF'
apiVersion: postgres-operator.crunchydata.com/v1beta1
kind: PGUpgrade
metadata:
  name: {request}
spec:
  postgresClusterName: {cluster}
  fromPostgresVersion: {from}
  toPostgresVersion: {to}
EOF
kubectl patch -n {namespace} {resource} {cluster} --type merge -p '{{"spec":{{"shutdown":true}}}}'
kubectl annotate -n {namespace} {resource} {cluster} postgres-operator.crunchydata.com/allow-upgrade={request}
kubectl wait -n {namespace} pgupgrade.postgres-operator.crunchydata.com {request} --for=condition=Succeeded --timeout=2h
# Where spec.image is set, it becomes the image of {to} in the same change:
kubectl patch -n {namespace} {resource} {cluster} --type merge -p '{{"spec":{{"postgresVersion":{to},"shutdown":false}}}}'"#
    )
}

/// "Upgrade Resource options" and `deploy/upgrade.yaml`: the operator pauses, annotates and resumes by itself.
fn percona(names: &Names<'_>) -> String {
    let Names {
        namespace, cluster, ..
    } = names;
    let (from, to, request) = (names.from(), names.to(), names.request());
    format!(
        r"# Take a backup first. The images are those of your operator's release: see its deploy/upgrade.yaml.
kubectl apply -n {namespace} -f - <<'EOF'
apiVersion: pgv2.percona.com/v2
kind: PerconaPGUpgrade
metadata:
  name: {request}
spec:
  postgresClusterName: {cluster}
  image: UPGRADE-IMAGE
  fromPostgresVersion: {from}
  toPostgresVersion: {to}
  toPostgresImage: POSTGRES-{to}-IMAGE
  toPgBouncerImage: PGBOUNCER-IMAGE
  toPgBackRestImage: PGBACKREST-IMAGE
EOF
kubectl get -n {namespace} perconapgupgrade.pgv2.percona.com {request} -w"
    )
}

/// "Major version upgrade": an `SGPostgresConfig` of the new version, then `SGDbOps` with `op: majorVersionUpgrade`.
///
/// Since 1.18 the version in the `SGCluster` must be the same one; on its own it does not start anything.
fn stack_gres(names: &Names<'_>) -> String {
    let Names {
        namespace, cluster, ..
    } = names;
    let (to, request) = (names.to(), names.request());
    format!(
        r#"# Take a backup first. StackGres 1.18 and newer wants the version in the SGCluster too:
kubectl patch -n {namespace} sgcluster.stackgres.io {cluster} --type merge -p '{{"spec":{{"postgres":{{"version":"{to}"}}}}}}'
# With "check: true" nothing is changed, only checked; under another name first.
kubectl apply -n {namespace} -f - <<'EOF'
apiVersion: stackgres.io/v1
kind: SGPostgresConfig
metadata:
  name: {cluster}-{to}
spec:
  postgresVersion: "{to}"
  postgresql.conf: {{}}
---
apiVersion: stackgres.io/v1
kind: SGDbOps
metadata:
  name: {request}
spec:
  sgCluster: {cluster}
  op: majorVersionUpgrade
  majorVersionUpgrade:
    postgresVersion: "{to}"
    sgPostgresConfig: {cluster}-{to}
    link: false
    check: false
EOF
kubectl get -n {namespace} sgdbops.stackgres.io {request} -w"#
    )
}

/// Its guide has "Minor Version Upgrade" only (`OpsRequest` of type `Upgrade`); its backups are files of one major version.
fn kube_blocks(names: &Names<'_>) -> String {
    let Names {
        namespace, cluster, ..
    } = names;
    let (from, to) = (names.from(), names.to());
    format!(
        r"# KubeBlocks has no major upgrade in place, and its backups of {from} cannot be restored into {to}: a new Cluster and a dump.
# 1. Take a backup. Make a Cluster {cluster}-{to} like this one, with a serviceVersion of {to} in its component postgresql:
kubectl get -n {namespace} cluster.apps.kubeblocks.io {cluster} -o yaml
# 2. Stop the clients, and load a dump made by the programs of {to}:
kubectl exec -n {namespace} -it -c postgresql {cluster}-{to}-postgresql-0 -- sh -c 'pg_dumpall -U postgres -h {cluster}-postgresql-postgresql | psql -U postgres -d postgres'
# 3. Compare, point the clients at {cluster}-{to}, and keep {cluster} until you are sure."
    )
}

/// "Updating Postgres version": `PostgresOpsRequest` of type `UpdateVersion`; the target is the name of a `PostgresVersion`.
fn kube_db(names: &Names<'_>) -> String {
    let Names {
        namespace, cluster, ..
    } = names;
    let (to, request) = (names.to(), names.request());
    format!(
        r#"# Take a backup first. targetVersion is the name of a PostgresVersion of the same distribution; these are there:
kubectl get postgresversions.catalog.kubedb.com
kubectl apply -n {namespace} -f - <<'EOF'
apiVersion: ops.kubedb.com/v1alpha1
kind: PostgresOpsRequest
metadata:
  name: {request}
spec:
  type: UpdateVersion
  databaseRef:
    name: {cluster}
  updateVersion:
    targetVersion: "{to}.MINOR"
EOF
kubectl get -n {namespace} postgresopsrequest.ops.kubedb.com {request} -w"#
    )
}

#[cfg(test)]
mod tests {
    use super::super::{ALL, by_name};
    use super::*;

    fn text(name: &str) -> String {
        let names = Names {
            namespace: "shop",
            cluster: "db",
            image: "example/postgresql:15.8",
            from: Some(MajorVersion::new(15)),
            to: Some(MajorVersion::new(17)),
            members: Some(3),
        };
        procedure(by_name(name).unwrap(), &names).join("\n")
    }

    #[test]
    fn every_operator_has_an_answer_with_the_names_filled_in() {
        for operator in ALL {
            let text = text(operator.name);
            let commands = text.lines().filter(|line| line.starts_with("kubectl"));
            assert!(commands.count() > 0, "{text}");
            assert!(text.contains("-n shop") && text.contains("db"), "{text}");
            assert!(text.contains("17") && !text.contains("NEW"), "{text}");
            assert!(text.contains("ake a "), "a backup comes first: {text}");
            assert!(text.contains(operator.documentation), "{text}");
        }
    }

    #[test]
    fn the_fields_are_those_of_the_operators() {
        for (name, words) in [
            (
                "CloudNativePG",
                vec![r#"{"spec":{"imageName":"example/postgresql:17"}}"#, "1.26"],
            ),
            (
                "Zalando postgres-operator",
                vec![
                    r#"{"spec":{"postgresql":{"version":"17"}}}"#,
                    "python3 /scripts/inplace_upgrade.py 3",
                    "cluster-name=db",
                ],
            ),
            (
                "Crunchy Postgres for Kubernetes",
                vec![
                    "kind: PGUpgrade",
                    "postgresClusterName: db",
                    "fromPostgresVersion: 15",
                    "toPostgresVersion: 17",
                    "postgres-operator.crunchydata.com/allow-upgrade=db-15-to-17",
                    r#"{"spec":{"shutdown":true}}"#,
                    r#"{"spec":{"postgresVersion":17,"shutdown":false}}"#,
                ],
            ),
            (
                "Percona Operator for PostgreSQL",
                vec![
                    "kind: PerconaPGUpgrade",
                    "postgresClusterName: db",
                    "toPostgresVersion: 17",
                ],
            ),
            (
                "StackGres",
                vec![
                    "kind: SGDbOps",
                    "op: majorVersionUpgrade",
                    "sgCluster: db",
                    "postgresVersion: \"17\"",
                ],
            ),
            ("KubeBlocks", vec!["cluster.apps.kubeblocks.io db", "db-17"]),
            (
                "KubeDB",
                vec![
                    "kind: PostgresOpsRequest",
                    "type: UpdateVersion",
                    "targetVersion: \"17.MINOR\"",
                ],
            ),
        ] {
            let text = text(name);
            for word in words {
                assert!(text.contains(word), "{word} is not in\n{text}");
            }
        }
    }

    #[test]
    fn what_is_not_known_is_left_to_the_reader_and_nothing_foreign_gets_into_a_command() {
        let names = Names {
            namespace: "shop",
            cluster: "db",
            image: "example/x';rm:15",
            from: None,
            to: None,
            members: None,
        };
        for operator in ALL {
            let text = procedure(operator, &names).join("\n");
            assert!(text.contains("NEW") && !text.contains("rm:"), "{text}");
        }
        let names = Names {
            to: Some(MajorVersion::new(17)),
            ..names
        };
        assert_eq!(names.new_image(), "REPOSITORY:17");
    }
}
