//! A server to load in another namespace, whose Secret a pod of this one cannot mount: what to type instead.
//!
//! The password is not sent through this client: the pod could not be started again without it, and goes on alone otherwise.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::Service;

use crate::discover::target::Found;
use crate::error::Failure;
use crate::manifests::login::{Login, SecretKey, Word};
use crate::postgres::quote::shell_word;

/// Tells whether the login is in a Secret, at least in part.
pub(super) fn needs_secret(login: &Login) -> bool {
    login.password.is_some() || matches!(login.user, Word::Key(_))
}

/// The refusal, with the commands that copy the login and name it.
pub(super) fn refused(
    here: &str,
    found: &Found,
    services: &[Service],
    login: &Login,
    port: u16,
) -> Failure {
    let workload = &found.facts.workload;
    let (there, name) = (&workload.namespace, &workload.name);
    let host = host(services, &found.workload.labels, there)
        .unwrap_or_else(|| "ADDRESS-OF-THAT-SERVER".to_owned());
    let host = shell_word(&host);
    let secret = format!("{name}-login");
    let user = match &login.user {
        Word::Plain(user) => format!("--from-literal=user={}", shell_word(user)),
        Word::Key(key) => format!("--from-file=user={}", piped(there, key)),
    };
    let password = login.password.as_ref();
    let password = password.map(|key| format!(" --from-file=password={}", piped(there, key)));
    let command = format!(
        "kubectl create secret generic -n {here} {secret} --from-literal=host={host} --from-literal=port={port} {user}{}",
        password.unwrap_or_default()
    );
    Failure::usage(format!(
        "the login of {workload} is in a Secret of namespace {there}, which a pod in {here} cannot mount; it is copied by nobody but you"
    ))
    .hint(format!("copy it, in bash or zsh: {command}"))
    .hint(format!(
        "then, in place of --target: --target-secret {secret} --image {}",
        found.facts.image
    ))
}

/// What a Secret's key holds as a file: in no command line and on no disk.
fn piped(namespace: &str, key: &SecretKey) -> String {
    let (secret, key) = (&key.secret, &key.key);
    format!(
        "<(kubectl get secret -n {namespace} {secret} -o go-template='{{{{index .data \"{key}\" | base64decode}}}}')"
    )
}

/// The name of a Service that leads to pods with these labels, one with an address of its own first.
fn host(
    services: &[Service],
    labels: &BTreeMap<String, String>,
    namespace: &str,
) -> Option<String> {
    let leads = |service: &&Service| {
        let selector = service.spec.as_ref().and_then(|s| s.selector.as_ref());
        selector.is_some_and(|s| {
            !s.is_empty() && s.iter().all(|(key, value)| labels.get(key) == Some(value))
        })
    };
    let headless = |service: &&Service| {
        service.spec.as_ref().and_then(|s| s.cluster_ip.as_deref()) == Some("None")
    };
    let service = services.iter().filter(leads).min_by_key(headless)?;
    Some(format!("{}.{namespace}", service.metadata.name.as_ref()?))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_password_goes_from_secret_to_secret_by_a_pipe() {
        let key = "pg/post.gres".parse().unwrap();
        assert_eq!(
            piped("db", &key),
            r#"<(kubectl get secret -n db pg -o go-template='{{index .data "post.gres" | base64decode}}')"#
        );
    }

    #[test]
    fn the_server_is_known_by_a_service_with_an_address() {
        let service = |name: &str, ip: &str, app: &str| -> Service {
            serde_json::from_value(json!({"metadata": {"name": name}, "spec": {"clusterIP": ip, "selector": {"app": app}}})).unwrap()
        };
        let services = [
            service("pods", "None", "new"),
            service("other", "10.0.0.1", "other"),
            service("new", "10.0.0.2", "new"),
        ];
        let labels = BTreeMap::from([("app".to_owned(), "new".to_owned())]);
        assert_eq!(host(&services, &labels, "db").as_deref(), Some("new.db"));
        assert_eq!(
            host(&services[..1], &labels, "db").as_deref(),
            Some("pods.db")
        );
        assert_eq!(host(&services, &BTreeMap::new(), "db"), None);
    }
}
