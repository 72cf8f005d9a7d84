//! Which paths of the server's container are still there with another image.

use k8s_openapi::api::core::v1::{Container, PodSpec, VolumeMount};

use super::BITNAMI;

/// The mounts of the server's container.
pub(super) struct Places<'a> {
    mounts: Vec<(&'a VolumeMount, bool)>,
}

impl<'a> Places<'a> {
    pub(super) fn new(pod: &'a PodSpec, container: &str) -> Self {
        let server = pod.containers.iter().find(|c| c.name == container);
        let mounts = server
            .into_iter()
            .flat_map(|c| c.volume_mounts.iter().flatten());
        Self {
            mounts: mounts
                .map(|mount| (mount, fills_itself(pod, mount)))
                .collect(),
        }
    }

    /// Tells whether what lies at this path does not come from the image or its entrypoint.
    pub(super) fn keeps(&self, path: &str) -> bool {
        self.deepest(path).is_some_and(|(_, filled)| *filled)
    }

    /// Tells whether something is mounted at exactly this path.
    pub(super) fn has_mount_at(&self, path: &str) -> bool {
        self.mounts
            .iter()
            .any(|(mount, _)| mount.mount_path.trim_end_matches('/') == path)
    }

    /// Tells whether a path is below a mount, whoever fills it.
    pub(super) fn mounts(&self, path: &str) -> bool {
        self.deepest(path).is_some()
    }

    /// The first path in a text that is only in Bitnami's image.
    pub(super) fn lost<'t>(&self, text: &'t str) -> Option<&'t str> {
        text.match_indices(BITNAMI)
            .map(|(at, _)| {
                let rest = &text[at..];
                let ends = |c: char| c.is_whitespace() || "'\"`;|&()<>,:".contains(c);
                &rest[..rest.find(ends).unwrap_or(rest.len())]
            })
            .find(|path| !self.keeps(path))
    }

    fn deepest(&self, path: &str) -> Option<&(&'a VolumeMount, bool)> {
        let holds = |mount: &VolumeMount| {
            let at = mount.mount_path.trim_end_matches('/');
            path.strip_prefix(at)
                .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        };
        let holding = self.mounts.iter().filter(|(mount, _)| holds(mount));
        holding.max_by_key(|(mount, _)| mount.mount_path.trim_end_matches('/').len())
    }
}

/// Anything but an emptyDir that no init container fills.
fn fills_itself(pod: &PodSpec, mount: &VolumeMount) -> bool {
    let same = |other: &VolumeMount| other.name == mount.name && other.sub_path == mount.sub_path;
    let mounts = |container: &Container| container.volume_mounts.iter().flatten().any(same);
    let empty = pod
        .volumes
        .iter()
        .flatten()
        .any(|volume| volume.name == mount.name && volume.empty_dir.is_some());
    !empty || pod.init_containers.iter().flatten().any(mounts)
}
