//! `kubectl pg-upgrade`: takes a PostgreSQL on Kubernetes to a new major version.
//!
//! The layers, top to bottom; nothing points upward:
//! edge (`cli`, `commands`, `output`) → acting (`exec`, `steps`) → reading (`discover`) →
//! deciding (`checks`, `plan`, `manifests`, `operators`; pure) → words (`facts`, `postgres`, `record`, `verify`, `vacuum`); `k8s` is the wire.

pub mod checks;
#[expect(
    clippy::disallowed_methods,
    reason = "the edge: the environment of the user"
)]
pub mod cli;
pub mod commands;
pub mod discover;
pub mod error;
#[expect(
    clippy::disallowed_types,
    reason = "the record and the lease are objects"
)]
pub mod exec;
pub mod facts;
#[expect(
    clippy::disallowed_types,
    clippy::disallowed_methods,
    reason = "the wire itself: it holds the client, the clock and the kubeconfig's environment"
)]
pub mod k8s;
pub mod manifests;
pub mod operators;
pub mod output;
pub mod plan;
pub mod postgres;
pub mod record;
pub mod steps;
pub mod vacuum;
pub mod verify;
