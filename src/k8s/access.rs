//! What the user may do, asked of the API server with as few requests as possible.

use futures::{StreamExt, TryStreamExt, stream};
use k8s_openapi::api::authorization::v1::{
    ResourceAttributes, ResourceRule, SelfSubjectAccessReview, SelfSubjectAccessReviewSpec,
    SelfSubjectRulesReview, SelfSubjectRulesReviewSpec,
};
use kube::api::{Api, PostParams};

use super::{ApiError, K8s};

/// Requests under way at once.
const CONCURRENT: usize = 8;

/// One thing to be allowed to do.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Access {
    /// `get`, `list`, `create`, ….
    pub verb: String,
    /// API group; empty for the core group.
    pub group: String,
    /// Plural name of the type.
    pub resource: String,
    /// Such as `exec`; empty for the object itself.
    pub subresource: String,
    /// One object; empty for all.
    pub name: String,
    /// Namespace; empty for types without one, or for all namespaces.
    pub namespace: String,
}

impl Access {
    /// Access to the objects of a type in a namespace; `resource` may be `pods/exec` or
    /// `statefulsets.apps`, or both: `statefulsets.apps/scale`.
    pub fn new(verb: &str, resource: &str, namespace: &str) -> Self {
        let (path, subresource) = resource.split_once('/').unwrap_or((resource, ""));
        let (plural, group) = path.split_once('.').unwrap_or((path, ""));
        Self {
            verb: verb.to_owned(),
            group: group.to_owned(),
            resource: plural.to_owned(),
            subresource: subresource.to_owned(),
            name: String::new(),
            namespace: namespace.to_owned(),
        }
    }

    /// What running commands in pods takes: `get` on `pods/exec`, and `create` since Kubernetes 1.35.
    pub fn to_exec(namespace: &str) -> [Self; 2] {
        ["get", "create"].map(|verb| Self::new(verb, "pods/exec", namespace))
    }

    /// The same for one object only.
    #[must_use]
    pub fn named(mut self, name: &str) -> Self {
        name.clone_into(&mut self.name);
        self
    }

    /// `pods/exec`, as rules spell it.
    fn path(&self) -> String {
        if self.subresource.is_empty() {
            self.resource.clone()
        } else {
            format!("{}/{}", self.resource, self.subresource)
        }
    }
}

impl std::fmt::Display for Access {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}", self.verb, self.path())?;
        if !self.group.is_empty() {
            write!(f, ".{}", self.group)?;
        }
        if !self.name.is_empty() {
            write!(f, " \"{}\"", self.name)?;
        }
        if !self.namespace.is_empty() {
            write!(f, " in namespace {}", self.namespace)?;
        }
        Ok(())
    }
}

/// The rules that apply to the user in one namespace.
#[derive(Clone, Debug, Default)]
pub struct AccessReport {
    rules: Vec<ResourceRule>,
    /// An authorizer could not list its rules, so what is missing may be allowed all the same.
    pub incomplete: bool,
}

impl AccessReport {
    /// Tells whether a rule allows something; `None` when the rules do not tell.
    pub fn allows(&self, access: &Access) -> Option<bool> {
        let allowed = self.rules.iter().any(|rule| covers(rule, access));
        // A rule of a namespace's own role does not reach objects without namespace.
        let certain = !access.namespace.is_empty();
        match (allowed, self.incomplete) {
            (true, _) => certain.then_some(true),
            (false, true) => None,
            (false, false) => Some(false),
        }
    }
}

fn covers(rule: &ResourceRule, access: &Access) -> bool {
    let any_of =
        |list: &[String], wanted: &str| list.iter().any(|entry| entry == "*" || entry == wanted);
    let groups = rule.api_groups.as_deref().unwrap_or_default();
    let resources = rule.resources.as_deref().unwrap_or_default();
    let names = rule.resource_names.as_deref().unwrap_or_default();
    let everywhere = format!("*/{}", access.subresource);
    any_of(&rule.verbs, &access.verb)
        && any_of(groups, &access.group)
        && (any_of(resources, &access.path()) || resources.contains(&everywhere))
        && (names.is_empty() || names.contains(&access.name))
}

impl K8s {
    /// Asks for each access by itself (`SelfSubjectAccessReview`), several at a time.
    ///
    /// Gives each access with the answer and the authorizer's reason, in the order given.
    pub async fn can_i(
        &self,
        accesses: &[Access],
    ) -> Result<Vec<(Access, bool, String)>, ApiError> {
        let api: Api<SelfSubjectAccessReview> = self.api_all();
        stream::iter(accesses.iter().cloned())
            .map(|access| {
                let api = api.clone();
                async move {
                    let some = |text: &str| (!text.is_empty()).then(|| text.to_owned());
                    let review = SelfSubjectAccessReview {
                        spec: SelfSubjectAccessReviewSpec {
                            resource_attributes: Some(ResourceAttributes {
                                verb: some(&access.verb),
                                group: some(&access.group),
                                resource: some(&access.resource),
                                subresource: some(&access.subresource),
                                name: some(&access.name),
                                namespace: some(&access.namespace),
                                ..ResourceAttributes::default()
                            }),
                            ..SelfSubjectAccessReviewSpec::default()
                        },
                        ..SelfSubjectAccessReview::default()
                    };
                    let status = api
                        .create(&PostParams::default(), &review)
                        .await?
                        .status
                        .unwrap_or_default();
                    let reason = status
                        .reason
                        .or(status.evaluation_error)
                        .unwrap_or_default();
                    Ok((access, status.allowed, reason))
                }
            })
            .buffered(CONCURRENT)
            .try_collect()
            .await
    }

    /// Reads all rules that apply to the user in a namespace (`SelfSubjectRulesReview`): one request.
    pub async fn rules(&self, namespace: &str) -> Result<AccessReport, ApiError> {
        let review = SelfSubjectRulesReview {
            spec: SelfSubjectRulesReviewSpec {
                namespace: Some(namespace.to_owned()),
            },
            ..SelfSubjectRulesReview::default()
        };
        let api: Api<SelfSubjectRulesReview> = self.api_all();
        let status = api
            .create(&PostParams::default(), &review)
            .await?
            .status
            .unwrap_or_default();
        Ok(AccessReport {
            rules: status.resource_rules,
            incomplete: status.incomplete,
        })
    }

    /// Answers as [`K8s::can_i`] with one request per namespace, asking singly only what that leaves open.
    pub async fn permissions(
        &self,
        accesses: &[Access],
    ) -> Result<Vec<(Access, bool, String)>, ApiError> {
        let mut namespaces: Vec<&str> = Vec::new();
        for access in accesses {
            if !access.namespace.is_empty() && !namespaces.contains(&access.namespace.as_str()) {
                namespaces.push(&access.namespace);
            }
        }
        let reports: Vec<(&str, AccessReport)> = stream::iter(namespaces)
            .map(|namespace| async move {
                // A server without this review, or one that refuses it, is asked singly.
                let report = self.rules(namespace).await.unwrap_or(AccessReport {
                    incomplete: true,
                    ..AccessReport::default()
                });
                (namespace, report)
            })
            .buffered(CONCURRENT)
            .collect()
            .await;
        let known: Vec<Option<bool>> = accesses
            .iter()
            .map(|access| {
                reports
                    .iter()
                    .find(|(namespace, _)| *namespace == access.namespace)
                    .and_then(|(_, report)| report.allows(access))
            })
            .collect();
        let open: Vec<Access> = accesses
            .iter()
            .zip(&known)
            .filter(|(_, known)| known.is_none())
            .map(|(access, _)| access.clone())
            .collect();
        let mut asked = self.can_i(&open).await?.into_iter();
        Ok(accesses
            .iter()
            .zip(known)
            .filter_map(|(access, known)| match known {
                Some(allowed) => Some((access.clone(), allowed, String::new())),
                None => asked.next(),
            })
            .collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::k8s::fake::FakeApi;
    use crate::k8s::to_fake;

    fn rule(verbs: &[&str], groups: &[&str], resources: &[&str], names: &[&str]) -> ResourceRule {
        let list = |items: &[&str]| items.iter().map(ToString::to_string).collect::<Vec<_>>();
        ResourceRule {
            verbs: list(verbs),
            api_groups: Some(list(groups)),
            resources: Some(list(resources)),
            resource_names: Some(list(names)),
        }
    }

    fn report(rule: ResourceRule, incomplete: bool) -> AccessReport {
        AccessReport {
            rules: vec![rule],
            incomplete,
        }
    }

    #[test]
    fn accesses_are_written_as_kubectl_writes_them() {
        let access = Access::new("patch", "statefulsets.apps/scale", "shop").named("db");
        assert_eq!(
            (access.group.as_str(), access.subresource.as_str()),
            ("apps", "scale")
        );
        assert_eq!(
            access.to_string(),
            "patch statefulsets/scale.apps \"db\" in namespace shop"
        );
    }

    #[test]
    fn rules_cover_what_they_name() {
        let exec = Access::new("create", "pods/exec", "shop");
        let allows = |rule| report(rule, false).allows(&exec);
        assert_eq!(allows(rule(&["*"], &["*"], &["*"], &[])), Some(true));
        assert_eq!(
            allows(rule(&["create"], &[""], &["pods/exec"], &[])),
            Some(true)
        );
        assert_eq!(
            allows(rule(&["create"], &[""], &["*/exec"], &[])),
            Some(true)
        );
        assert_eq!(
            allows(rule(&["create"], &[""], &["pods"], &[])),
            Some(false)
        );
        assert_eq!(
            allows(rule(&["get"], &[""], &["pods/exec"], &[])),
            Some(false)
        );
        assert_eq!(
            allows(rule(&["create"], &["apps"], &["pods/exec"], &[])),
            Some(false)
        );
        assert_eq!(
            allows(rule(&["create"], &[""], &["pods/exec"], &["db-0"])),
            Some(false)
        );
    }

    #[test]
    fn a_rule_for_one_name_allows_that_name() {
        let one = Access::new("get", "secrets", "shop").named("db");
        let named = rule(&["get"], &[""], &["secrets"], &["db"]);
        assert_eq!(report(named, false).allows(&one), Some(true));
    }

    #[test]
    fn what_rules_do_not_tell_stays_open() {
        let nothing = || rule(&[], &[], &[], &[]);
        let pods = Access::new("get", "pods", "shop");
        assert_eq!(report(nothing(), true).allows(&pods), None);
        let nodes = Access::new("list", "nodes", "");
        let all = rule(&["*"], &["*"], &["*"], &[]);
        assert_eq!(report(all, false).allows(&nodes), None);
        assert_eq!(report(nothing(), false).allows(&nodes), Some(false));
    }

    #[tokio::test]
    async fn many_questions_take_one_request() {
        let fake = FakeApi::start().await;
        let accesses = [
            Access::new("get", "pods", "shop"),
            Access::new("create", "pods/exec", "shop"),
            Access::new("patch", "statefulsets.apps/scale", "shop"),
        ];
        let answers = to_fake(&fake).permissions(&accesses).await.unwrap();
        assert!(answers.iter().all(|(_, allowed, _)| *allowed));
        assert_eq!(fake.requests().len(), 1);
    }

    #[tokio::test]
    async fn incomplete_rules_are_completed_by_asking_singly() {
        let fake = FakeApi::start().await;
        fake.deny("create", "pods/exec");
        let accesses = [
            Access::new("get", "pods", "shop"),
            Access::new("create", "pods/exec", "shop"),
            Access::new("list", "nodes", ""),
        ];
        let answers = to_fake(&fake).permissions(&accesses).await.unwrap();
        let allowed: Vec<bool> = answers.iter().map(|(_, allowed, _)| *allowed).collect();
        assert_eq!(allowed, [true, false, true]);
        let order: Vec<&Access> = answers.iter().map(|(access, _, _)| access).collect();
        assert_eq!(order, accesses.iter().collect::<Vec<_>>());
    }
}
