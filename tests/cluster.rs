//! The plugin against a real Kubernetes with real PostgreSQL images: `make test-e2e`.
//!
//! Each test has a namespace of its own, so that several run side by side. What is known of one that fails is written
//! into a file below target/tmp, whose name is printed; and its namespace stays too where `PG_UPGRADE_TEST_KEEP` is set.

#![expect(
    clippy::unwrap_used,
    clippy::print_stderr,
    reason = "a test that cannot go on panics, and says on stderr why"
)]

mod scenarios;
mod support;
