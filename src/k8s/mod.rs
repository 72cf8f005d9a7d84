//! The wire to the Kubernetes API server: connecting, reading, waiting, writing, running commands in pods.
//!
//! Knows Kubernetes and nothing about PostgreSQL or upgrades. Nothing here prints: what the user should
//! hear (retries, the API server's warnings) goes to the function given to [`K8s::on_notice`].

pub mod access;
pub mod client;
mod config;
mod credential;
mod error;
mod events;
pub mod exec;
pub mod labels;
pub mod logs;
pub mod names;
mod options;
pub mod pages;
pub mod quantity;
pub mod selector;
pub mod snapshot;
pub mod wait;
mod wire;
pub mod write;

pub use client::K8s;
pub use error::{ApiError, Plain, sentence};
pub use exec::{ExecError, ExecOutput};
pub use logs::{LogError, LogFollower};
pub use options::ConnectOptions;
pub use wait::{Progress, WaitError, wait_for, wait_list};
pub use wire::Notice;

#[cfg(test)]
#[path = "../../tests/support/fake_api/mod.rs"]
pub mod fake;

/// A connection to a server in this process, patient for a few seconds only.
#[cfg(test)]
pub fn to_fake(fake: &fake::FakeApi) -> K8s {
    to_fake_with(fake, &ConnectOptions::default())
}

/// The same with flags.
#[cfg(test)]
pub fn to_fake_with(fake: &fake::FakeApi, options: &ConnectOptions) -> K8s {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), fake.kubeconfig()).unwrap();
    let options = ConnectOptions {
        kubeconfig: Some(file.path().to_owned()),
        ..options.clone()
    };
    let target = config::resolve(&options, &|_| None, None).unwrap();
    let limits = wire::Limits {
        call: options
            .request_timeout
            .unwrap_or(std::time::Duration::from_secs(10)),
        retry_within: std::time::Duration::from_secs(5),
    };
    K8s::to(target, limits)
}
