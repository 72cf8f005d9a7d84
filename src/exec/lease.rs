//! One client a PostgreSQL at a time: a Lease that is renewed while the client lives.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::Lease as LeaseObject;
use kube::Api;
use kube::api::{DeleteParams, Patch, PatchParams, PostParams, Preconditions};
use serde_json::json;

use crate::error::{Exit, Failure, Result};
use crate::facts::instance::ObjectId;
use crate::k8s::{K8s, labels, names};
use crate::output::Ui;

/// A lease that was not renewed for so long belongs to a client that is gone.
const DURATION: Duration = Duration::from_secs(15);
const RENEW: Duration = Duration::from_secs(5);

/// The held lease; renewed in the background until dropped or released.
pub struct Lease {
    api: Api<LeaseObject>,
    name: String,
    holder: String,
    lost: Arc<AtomicBool>,
    renewal: tokio::task::JoinHandle<()>,
}

/// What is known of the lease's present holder.
struct Held {
    holder: String,
    renewed: Option<Timestamp>,
    version: String,
}

impl Lease {
    /// Takes the lease of an instance; waits at most its duration for a holder that may be gone.
    ///
    /// # Errors
    /// [`Exit::Locked`] when another client holds it and is alive.
    pub async fn acquire(k8s: &K8s, ui: &Ui, workload: &ObjectId) -> Result<Self> {
        let api: Api<LeaseObject> = k8s.api();
        let name = names::name(&["pg-upgrade", &workload.kind.to_lowercase(), &workload.name]);
        let holder = identity();
        let mut seen: Option<String> = None;
        let step = ui.step("take the lease");
        loop {
            match read(&api, &name).await? {
                None => {
                    if create(&api, &name, &holder, workload, k8s.now()).await? {
                        break;
                    }
                }
                Some(held) => {
                    let renewed_again = seen
                        .as_ref()
                        .is_some_and(|version| *version != held.version);
                    if renewed_again {
                        step.failed("held by another client");
                        return Err(locked(workload, &held));
                    }
                    if is_free(&held, k8s.now()) {
                        if take(&api, &name, &holder, &held.version, k8s.now()).await? {
                            break;
                        }
                        continue;
                    }
                    step.note(format!(
                        "{} holds it; waiting whether it renews it",
                        held.holder
                    ));
                    seen = Some(held.version);
                    tokio::time::sleep(Duration::from_secs(1)).await;
                }
            }
        }
        step.done("");
        let lost = Arc::new(AtomicBool::new(false));
        let renewal = tokio::spawn(renew(
            k8s.clone(),
            api.clone(),
            name.clone(),
            holder.clone(),
            lost.clone(),
        ));
        Ok(Self {
            api,
            name,
            holder,
            lost,
            renewal,
        })
    }

    /// Refuses to go on when the lease was taken by someone else.
    ///
    /// # Errors
    /// [`Exit::Locked`].
    pub fn check(&self) -> Result<()> {
        if self.lost.load(Ordering::Relaxed) {
            return Err(Failure::new(
                Exit::Locked,
                format!(
                    "another client took Lease {} while this one could not renew it",
                    self.name
                ),
            ));
        }
        Ok(())
    }

    /// Gives the lease back.
    pub async fn release(self) {
        self.renewal.abort();
        if let Ok(Some(found)) = self.api.get_opt(&self.name).await
            && found.spec.as_ref().and_then(|s| s.holder_identity.as_ref()) == Some(&self.holder)
        {
            let params = DeleteParams {
                preconditions: Some(Preconditions {
                    uid: found.metadata.uid,
                    resource_version: found.metadata.resource_version,
                }),
                ..DeleteParams::default()
            };
            // Left behind it expires by itself.
            drop(self.api.delete(&self.name, &params).await);
        }
    }
}

async fn renew(
    k8s: K8s,
    api: Api<LeaseObject>,
    name: String,
    holder: String,
    lost: Arc<AtomicBool>,
) {
    loop {
        tokio::time::sleep(RENEW).await;
        match read(&api, &name).await {
            Ok(Some(held)) if held.holder == holder => {
                drop(take(&api, &name, &holder, &held.version, k8s.now()).await);
            }
            Ok(_) => {
                lost.store(true, Ordering::Relaxed);
                return;
            }
            Err(_) => {}
        }
    }
}

async fn read(api: &Api<LeaseObject>, name: &str) -> Result<Option<Held>> {
    let found = api
        .get_opt(name)
        .await
        .map_err(|e| Failure::from(e).context(format!("reading Lease {name}")))?;
    Ok(found.map(|lease| {
        let spec = lease.spec.unwrap_or_default();
        Held {
            holder: spec.holder_identity.unwrap_or_default(),
            renewed: spec.renew_time.map(|t| t.0),
            version: lease.metadata.resource_version.unwrap_or_default(),
        }
    }))
}

async fn create(
    api: &Api<LeaseObject>,
    name: &str,
    holder: &str,
    workload: &ObjectId,
    now: Timestamp,
) -> Result<bool> {
    let object: LeaseObject = serde_json::from_value(json!({
        "metadata": {"name": name, "labels": {
            labels::MANAGED_BY: labels::MANAGER,
            labels::INSTANCE: super::store::instance_label(workload),
            labels::PART: "lease",
        }},
        "spec": {
            "holderIdentity": holder,
            "leaseDurationSeconds": DURATION.as_secs(),
            "acquireTime": micro(now),
            "renewTime": micro(now),
        },
    }))?;
    match api.create(&PostParams::default(), &object).await {
        Ok(_) => Ok(true),
        Err(kube::Error::Api(status)) if status.code == 409 => Ok(false),
        Err(error) => Err(Failure::from(error).context(format!("creating Lease {name}"))),
    }
}

async fn take(
    api: &Api<LeaseObject>,
    name: &str,
    holder: &str,
    version: &str,
    now: Timestamp,
) -> Result<bool> {
    let patch = json!({
        "metadata": {"resourceVersion": version},
        "spec": {"holderIdentity": holder, "renewTime": micro(now), "leaseDurationSeconds": DURATION.as_secs()},
    });
    match api
        .patch(name, &PatchParams::default(), &Patch::Merge(&patch))
        .await
    {
        Ok(_) => Ok(true),
        Err(kube::Error::Api(status)) if status.code == 409 || status.code == 404 => Ok(false),
        Err(error) => Err(Failure::from(error).context(format!("renewing Lease {name}"))),
    }
}

fn is_free(held: &Held, now: Timestamp) -> bool {
    let expired = held.renewed.is_none_or(|at| {
        now.as_millisecond() - at.as_millisecond()
            > i64::try_from(DURATION.as_millis()).unwrap_or(i64::MAX)
    });
    held.holder.is_empty() || expired || is_dead_here(&held.holder)
}

/// A holder on this machine whose process is gone needs no waiting.
fn is_dead_here(holder: &str) -> bool {
    let mut parts = holder.rsplitn(3, '/');
    let (Some(pid), Some(boot)) = (parts.next(), parts.next()) else {
        return false;
    };
    boot == machine()
        && pid.parse::<u32>().is_ok()
        && !std::path::Path::new(&format!("/proc/{pid}")).exists()
        && std::path::Path::new("/proc/self").exists()
}

/// Identifies this boot of this machine; empty where the system does not tell.
fn machine() -> String {
    std::fs::read_to_string("/proc/sys/kernel/random/boot_id")
        .unwrap_or_default()
        .trim()
        .to_owned()
}

fn identity() -> String {
    format!(
        "{}/{}/{}",
        crate::cli::user_at_host(),
        machine(),
        std::process::id()
    )
}

fn micro(at: Timestamp) -> String {
    at.strftime("%Y-%m-%dT%H:%M:%S.%6fZ").to_string()
}

fn locked(workload: &ObjectId, held: &Held) -> Failure {
    let who = held.holder.split('/').next().unwrap_or_default();
    let since = held.renewed.map_or_else(String::new, |t| {
        format!(", last renewed {}", t.strftime("%H:%M:%SZ"))
    });
    Failure::new(
        Exit::Locked,
        format!("{who} is working on {workload}{since}"),
    )
    .hint("nothing was changed by this command")
    .hint(format!(
        "follow the other one with: kubectl pg-upgrade status {} -w",
        workload.name
    ))
}
