//! Clients of a server: one that nothing controls, and an application that can be stopped.

use std::time::Duration;

use super::server::{NAME, library};
use super::{LIMIT, Server, Space, eventually};

/// Time between two writes of an application, in seconds: each write costs it several processes.
const PAUSE: &str = "\"0.2\"";

/// A pod that inserts a row every 50 ms through the Service (tests/support/writer.sh).
pub(crate) struct Writer<'a> {
    space: &'a Space,
}

impl<'a> Writer<'a> {
    /// Starts it and waits until it writes.
    #[track_caller]
    pub(crate) fn start(space: &'a Space) -> Self {
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/writer.sh");
        space.kubectl(&format!("create configmap writer --from-file={script}"));
        let manifest = include_str!("writer.yaml");
        space.apply(
            &manifest
                .replace("${IMAGE}", &library(17))
                .replace("${DATABASE}", NAME),
        );
        let writer = Self { space };
        writer.wait_more();
        writer
    }

    /// Waits until another insert is acknowledged.
    #[track_caller]
    pub(crate) fn wait_more(&self) {
        let before = self.acknowledged().len();
        eventually("the writer writes", LIMIT, || {
            (self.acknowledged().len() > before + 3).then_some(())
        });
    }

    /// Time in milliseconds and id of every insert that the server has confirmed.
    fn acknowledged(&self) -> Vec<(u64, u64)> {
        let words = ["exec", "writer", "--", "cat", "/log/acknowledged"];
        let text = self.space.try_kubectl(&words, None).out;
        text.lines()
            .filter_map(|line| line.split_once(' '))
            .filter_map(|(at, id)| Some((at.parse().ok()?, id.parse().ok()?)))
            .collect()
    }

    /// The longest time between two confirmed inserts.
    pub(crate) fn longest_gap(&self) -> Duration {
        let acknowledged = self.acknowledged();
        let gaps = acknowledged.windows(2).map(|pair| pair[1].0 - pair[0].0);
        Duration::from_millis(gaps.max().unwrap_or(0))
    }

    /// Every insert that was confirmed is in the table.
    #[track_caller]
    pub(crate) fn assert_nothing_lost(&self, server: &Server, database: &str) {
        let acknowledged = self.acknowledged();
        let there = server.sql(database, "SELECT id FROM writes");
        let there: std::collections::HashSet<u64> =
            there.lines().filter_map(|l| l.parse().ok()).collect();
        let lost: Vec<u64> = acknowledged
            .iter()
            .map(|(_, id)| *id)
            .filter(|id| !there.contains(id))
            .collect();
        assert!(
            lost.is_empty(),
            "{} of {} confirmed inserts are lost: {lost:?}",
            lost.len(),
            acknowledged.len()
        );
    }
}

/// Applications of the instance: Deployment `web` with an autoscaler, which holds a session; StatefulSet `queue` and CronJob
/// `nightly`, which name the Service; CronJob `paused`, suspended from the start; Deployment `other`, which has nothing to do with it.
pub(crate) struct App<'a> {
    space: &'a Space,
}

impl<'a> App<'a> {
    /// Installs them and waits until `web` writes.
    #[track_caller]
    pub(crate) fn install(space: &'a Space, server: &Server, database: &str) -> Self {
        let fill = |text: &str, name: &str| {
            text.replace("${NAME}", name)
                .replace("${NAMESPACE}", &space.name)
                .replace("${IMAGE}", &library(17))
                .replace("${DATABASE}", NAME)
                .replace("\"0.05\"", PAUSE)
        };
        let job = include_str!("../instances/app-cronjob.yaml");
        let paused = job.replace("  schedule:", "  suspend: true\n  schedule:");
        let manifests = [
            fill(
                &include_str!("../instances/app.yaml").replace("replicas: 1", "replicas: 2"),
                "web",
            ),
            fill(include_str!("../instances/app-hpa.yaml"), "web"),
            fill(job, "nightly"),
            fill(&paused, "paused"),
            fill(include_str!("bystanders.yaml"), ""),
        ];
        space.apply(&manifests.join("\n---\n"));
        eventually("the application writes", LIMIT, || {
            let done = server.try_sql(database, "SELECT count(*) > 5 FROM app_writes");
            (done.out.trim() == "t").then_some(())
        });
        Self { space }
    }

    /// Replicas and suspension of all of them.
    #[track_caller]
    pub(crate) fn state(&self) -> String {
        let value = |what: &str, field: &str| self.space.get(what)["spec"][field].to_string();
        format!(
            "web {} queue {} other {} nightly {} paused {}",
            value("deployment/web", "replicas"),
            value("statefulset/queue", "replicas"),
            value("deployment/other", "replicas"),
            value("cronjob/nightly", "suspend"),
            value("cronjob/paused", "suspend"),
        )
    }

    /// What [`App::state`] says while nothing is stopped.
    pub(crate) const RUNNING: &'static str = "web 2 queue 2 other 1 nightly false paused true";
    /// What [`App::state`] says while everything that uses the instance is stopped.
    pub(crate) const STOPPED: &'static str = "web 0 queue 0 other 1 nightly true paused true";
}
