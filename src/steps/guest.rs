//! How the pod of `--method side-by-side` gets into a server whose password is in no Secret that it could mount, such as one of
//! another namespace: as a role of its own, which the server's container is asked to make.
//!
//! The pod tells a SCRAM verifier of a password that it alone knows (`scripts/guest.sh`), so no password passes through here, and
//! the pod can be started again without this client.

use std::time::Duration;

use serde_json::Value;

use super::side::server_pod;
use crate::discover::sql;
use crate::error::{Exit, Failure, Result};
use crate::k8s::{K8s, names};
use crate::record::NewServer;

/// The event by which the pod asks to be let in.
pub(super) const ASKS: &str = "guest";

const ADMIT: &str = include_str!("../scripts/admit.sh");
const DISMISS: &str = "PGUP_OPTIONS='-c default_transaction_read_only=off -c lock_timeout=30s' PGUP_HELLO=\"DROP ROLE IF EXISTS $ROLE\"\nconnect";
/// Longest time for one statement in the server's container.
const PATIENCE: Duration = Duration::from_secs(120);
/// Attempts to run a statement there: the way to the container may be cut for a moment, and in its last one a pod changes its role.
const ATTEMPTS: u32 = 3;
const PAUSE: Duration = Duration::from_secs(1);

/// The role of a pod that is made in a namespace: of no other pod, and a plain word in SQL.
pub(super) fn role(namespace: &str, pod: &str) -> String {
    format!(
        "kubectl_pg_upgrade_{}",
        names::hash(&format!("{namespace}/{pod}"))
    )
}

/// Where the server runs that is entered as a guest: pod and container, and what to reach them with.
struct Door {
    k8s: K8s,
    pod: String,
    container: String,
    server: String,
}

impl Door {
    /// Runs a script behind the prelude that knows the way in, more than once where that fails: each can be repeated.
    async fn run(&self, script: &str) -> Result<()> {
        let (pod, container) = (&self.pod, &self.container);
        let mut attempt = 1;
        loop {
            match sql::run(&self.k8s, pod, container, script, &[], PATIENCE).await {
                Err(_) if attempt < ATTEMPTS => attempt += 1,
                outcome => return outcome.map(drop),
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// None for a server that is entered by a Secret.
    ///
    /// # Errors
    /// When it cannot be looked for, or does not run.
    async fn of(k8s: &K8s, server: &NewServer) -> Result<Option<Self>> {
        let NewServer::Workload {
            workload,
            container,
            login: None,
            ..
        } = server
        else {
            return Ok(None);
        };
        let there = k8s.in_namespace(&workload.namespace);
        let pod = server_pod(&there, workload, container).await?;
        let pod = pod.ok_or_else(|| Failure::refused(format!("no server runs in {workload}")))?;
        Ok(Some(Self {
            k8s: there,
            pod: pod.name,
            container: container.clone(),
            server: workload.to_string(),
        }))
    }
}

/// Makes the role of a pod that asks for it, or gives it the password that the pod has now.
///
/// # Errors
/// When no command can be run in the server's container, or nobody gets in there as a superuser.
pub(super) async fn admit(k8s: &K8s, server: &NewServer, asks: &Value) -> Result<()> {
    let word = |key: &str| asks[key].as_str().unwrap_or_default();
    let (role, verifier) = (word("role"), word("verifier"));
    // Both become part of a script and of SQL.
    let plain = |text: &str, more: &str| {
        let fits = |c: char| c.is_ascii_alphanumeric() || more.contains(c);
        !text.is_empty() && text.chars().all(fits)
    };
    if !plain(role, "_") || !plain(verifier, "-$:+/=") || !verifier.starts_with("SCRAM-SHA-256$") {
        return Err(Failure::new(
            Exit::Failed,
            format!("the pod asks to be let in by what is no verifier: {asks}"),
        ));
    }
    let Some(door) = Door::of(k8s, server).await? else {
        return Ok(());
    };
    // By stdin: arguments of a command end in audit logs.
    let script = format!("ROLE={role} VERIFIER='{verifier}'\n{ADMIT}");
    door.run(&script).await.map_err(|failure| {
        failure
            .context(format!(
                "making role {role} in {}, by which a pod of this namespace gets in",
                door.server
            ))
            .hint("or make a Secret in the old server's namespace with the keys host, port, user and password, and name it by --target-secret in place of --target")
    })
}

/// Drops the role of a pod that is gone; it needs not exist.
///
/// # Errors
/// When the server does not run, or keeps the role.
pub(super) async fn dismiss(k8s: &K8s, server: &NewServer, pod: &str) -> Result<()> {
    let role = role(k8s.namespace(), pod);
    let dropped = async {
        match Door::of(k8s, server).await? {
            Some(door) => door.run(&format!("ROLE={role}\n{DISMISS}")).await,
            None => Ok(()),
        }
    };
    dropped.await.map_err(|failure: Failure| {
        failure.context(format!(
            "role {role} is left in {server}, and nobody knows its password any more; drop it there: DROP ROLE {role}"
        ))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_pod_has_a_role_of_its_own_that_needs_no_quotes() {
        let one = role("shop", "pg-upgrade-pg-261130-223058");
        assert_eq!(one, role("shop", "pg-upgrade-pg-261130-223058"));
        assert_ne!(one, role("other", "pg-upgrade-pg-261130-223058"));
        let fits = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
        assert!(one.len() < 64 && one.chars().all(fits), "{one}");
    }
}
