//! From Bitnami's image to docker-library's: what changes in the pod template and in the configuration together with the image.
//!
//! Bitnami's entrypoint makes the configuration anew at every start, outside the data directory; docker-library's expects it
//! inside. What was in force therefore goes into the new data directory, and files that the user mounts are read where they are.

mod configuration;
mod places;
mod template;

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::api::core::v1::PodSpec;
use serde::Serialize;

use crate::facts::image_files::ImageFiles;
use crate::facts::instance::{Family, InstanceFacts};
use crate::facts::server::ServerFacts;
use crate::facts::target::TargetFacts;
use crate::postgres::image;
use crate::record::{TemplateChange, Upgrade};
use places::Places;

/// Where everything that Bitnami's images bring lies.
const BITNAMI: &str = "/opt/bitnami";

/// Where docker-library's server makes its socket and its programs look for it; Bitnami's is in /tmp.
const SOCKET: &str = "/var/run/postgresql";

/// What changes with the family of the image.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Crossing {
    /// The change of the pod template, besides the image.
    pub change: TemplateChange,
    /// Files of the new data directory, by name.
    pub files: BTreeMap<String, String>,
    /// Configuration files of the old image, whose settings are in the new data directory afterwards.
    pub translated: BTreeSet<String>,
    /// Libraries that only the old image preloads, and that nothing uses.
    pub dropped_libraries: BTreeSet<String>,
    /// What cannot be carried over, or has to be known.
    pub issues: Vec<Issue>,
}

/// Something that does not go along by itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Issue {
    /// The new server would not run, or not as the old one.
    pub blocks: bool,
    /// One sentence of fact, without a period.
    pub message: String,
    /// What to do about it; empty when there is nothing.
    pub fix: String,
}

impl Issue {
    pub(crate) fn blocker(message: impl Into<String>, fix: impl Into<String>) -> Self {
        Self {
            blocks: true,
            message: message.into(),
            fix: fix.into(),
        }
    }

    fn warning(message: impl Into<String>, fix: impl Into<String>) -> Self {
        Self {
            blocks: false,
            ..Self::blocker(message, fix)
        }
    }
}

/// The family of the running image, and that of the target as far as it is known.
pub fn families(
    instance: &InstanceFacts,
    server: Option<&ServerFacts>,
    image: &str,
    target: Option<&TargetFacts>,
) -> (Family, Option<Family>) {
    // A docker-library image in a template that was Bitnami's has Bitnami's variables and mounts.
    let is_bitnami = instance.family == Family::Bitnami
        && server.is_none_or(|server| server.config_file.starts_with(BITNAMI));
    let from = if is_bitnami {
        Family::Bitnami
    } else {
        Family::DockerLibrary
    };
    let named = || image::family(image, [], []);
    (from, target.and_then(|t| t.family).or_else(named))
}

/// The directory of the files that the user gives to Bitnami's image, which copies them at every start.
pub fn given_directory(pod: &PodSpec, container: &str) -> String {
    let volume = pod
        .containers
        .iter()
        .filter(|c| c.name == container)
        .flat_map(|c| c.env.iter().flatten())
        .find(|variable| variable.name == "POSTGRESQL_VOLUME_DIR")
        .and_then(|variable| variable.value.clone());
    let volume = volume.unwrap_or_else(|| "/bitnami/postgresql".to_owned());
    format!("{}/conf", volume.trim_end_matches('/'))
}

/// Decides all of it.
pub fn decide(
    pod: &PodSpec,
    instance: &InstanceFacts,
    server: &ServerFacts,
    target: &TargetFacts,
    files: &ImageFiles,
) -> Crossing {
    let places = Places::new(pod, &instance.container);
    let given = given_directory(pod, &instance.container);
    let (change, mut issues) = template::decide(pod, instance, server, &places);
    let carried = configuration::decide(server, target, files, &places, &given, &instance.args);
    issues.extend(carried.issues);
    Crossing {
        change,
        files: carried.files,
        translated: carried.translated,
        dropped_libraries: carried.dropped_libraries,
        issues,
    }
}

impl Crossing {
    /// The same upgrade with this change of the family.
    #[must_use]
    pub fn on(&self, mut upgrade: Upgrade) -> Upgrade {
        upgrade.template = Some(self.change.clone());
        upgrade.worker_files.extend(self.files.clone());
        upgrade
    }
}

#[cfg(test)]
pub(crate) mod tests;
