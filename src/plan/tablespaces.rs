//! Tablespaces of users: where a dump and a load can take them along.
//!
//! PostgreSQL keeps what it has in a location below `PG_<major>_<catalog version>` (`GetTablespacePath`), so an old and a new
//! cluster can share locations; each location stays where it is, and the links of both data directories lead to it by the
//! path that the server sees.

use crate::facts::instance::InstanceFacts;
use crate::facts::server::{ServerFacts, Tablespace};
use crate::plan::upgrade::WORK_DIRECTORY;

/// Where pods of ours have something of their own.
const OURS: &[&str] = &[
    "/vol", "/snap", "/live", "/dump", "/pgo", "/work", "/tmp", "/dev", "/scripts", "/plan",
    "/etc", "/login", "/proc", "/sys",
];

/// Tells whether the server has tablespaces of users.
pub fn any(server: &ServerFacts) -> bool {
    server.tablespaces.as_ref().is_some_and(|t| !t.is_empty())
}

/// Why a pod of ours cannot find this one at the server's path on the data claim; nothing when it can.
pub fn unreachable(
    tablespace: &Tablespace,
    instance: &InstanceFacts,
    server: &ServerFacts,
) -> Option<String> {
    let mount = instance.mount_path.trim_end_matches('/');
    let location = tablespace.location.trim_end_matches('/');
    let data = server.data_directory.trim_end_matches('/');
    if !location.starts_with('/') {
        return Some("lies in the data directory".to_owned());
    }
    if location.contains("/../") || location.chars().any(char::is_control) {
        return Some("has a path that is not plain".to_owned());
    }
    if mount.is_empty() || !is_below(location, mount) {
        return Some(format!(
            "is not below {mount}, where the data claim is mounted"
        ));
    }
    if is_below(location, data) || is_below(data, location) {
        return Some(format!("is not beside the data directory {data}"));
    }
    if location.split('/').any(|part| part == WORK_DIRECTORY) {
        return Some("lies in the directory of runs".to_owned());
    }
    OURS.iter()
        .any(|ours| is_below(mount, ours) || is_below(ours, mount))
        .then(|| format!("is below {mount}, which the upgrade pod needs for itself"))
}

/// The path is the other one or below it.
fn is_below(path: &str, other: &str) -> bool {
    path.strip_prefix(other)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checks::testing;

    #[test]
    fn beside_the_data_directory_on_the_claim_and_nowhere_else() {
        let input = testing::input();
        let (mut instance, mut server) = (input.instance, input.server.unwrap());
        instance.mount_path = "/var/lib/postgresql/data".to_owned();
        server.data_directory = "/var/lib/postgresql/data/pgdata".to_owned();
        let why = |location: &str, instance: &InstanceFacts| {
            let tablespace = Tablespace {
                name: "fast".to_owned(),
                location: location.to_owned(),
                bytes: None,
            };
            unreachable(&tablespace, instance, &server)
        };
        let good = "/var/lib/postgresql/data/fa st'$(id)";
        assert_eq!(why(good, &instance), None);
        for wrong in [
            "pg_tblspc/16400",
            "/mnt/fast",
            "/var/lib/postgresql/database",
            "/var/lib/postgresql/data",
            "/var/lib/postgresql/data/pgdata/fast",
            "/var/lib/postgresql/data/.pg-upgrade/fast",
            "/var/lib/postgresql/data/../fast",
            "/var/lib/postgresql/data/a\nb",
        ] {
            assert!(why(wrong, &instance).is_some(), "{wrong:?}");
        }
        instance.mount_path = "/vol".to_owned();
        assert!(why("/vol/fast", &instance).is_some());
        instance.mount_path = String::new();
        assert!(why("/fast", &instance).is_some());
    }
}
