//! Inputs for the tests of checks: recorded from real servers and images, then changed.

mod lab;
mod older;
mod proofs;
mod servers;

use super::{CheckInput, Finding, Request, find};
use crate::discover::{server, target_image};
use crate::facts::instance::{ClaimFacts, Family, InstanceFacts, ObjectId, PodFacts};
use crate::facts::server::ServerFacts;
use crate::facts::surroundings::Surroundings;
use crate::facts::target::TargetFacts;
use crate::postgres::initdb::Wish;

fn path(name: &str) -> String {
    format!("{}/tests/fixtures/{name}.jsonl", env!("CARGO_MANIFEST_DIR"))
}

fn fixture(name: &str) -> String {
    std::fs::read_to_string(path(name)).unwrap()
}

fn gathered(name: &str) -> ServerFacts {
    server::parse(&fixture(&format!("gather-{name}")), "").unwrap()
}

fn probed(name: &str) -> TargetFacts {
    target_image::parse(fixture(&format!("probe-{name}")).lines()).unwrap()
}

/// A healthy StatefulSet with one claim.
fn instance(version: &str, mount_path: &str) -> InstanceFacts {
    let id = |api_version: &str, kind: &str, name: &str| ObjectId {
        api_version: api_version.to_owned(),
        kind: kind.to_owned(),
        namespace: "shop".to_owned(),
        name: name.to_owned(),
        uid: format!("uid-of-{name}"),
    };
    InstanceFacts {
        workload: id("apps/v1", "StatefulSet", "pg"),
        replicas: 1,
        container: "postgres".to_owned(),
        image: format!("postgres:{version}"),
        family: Family::DockerLibrary,
        command: Vec::new(),
        args: Vec::new(),
        partition: 0,
        strategy: "RollingUpdate".to_owned(),
        claim_deleted_when_scaled: false,
        grace_seconds: 60,
        fs_group: None,
        down: None,
        pod: Some(PodFacts {
            name: "pg-0".to_owned(),
            uid: "uid-of-pg-0".to_owned(),
            node: "node-1".to_owned(),
            ip: "10.0.0.1".to_owned(),
            ready: true,
            image_id: "sha256:0".to_owned(),
        }),
        claim: Some(ClaimFacts {
            id: id("v1", "PersistentVolumeClaim", "data-pg-0"),
            access_modes: vec!["ReadWriteOnce".to_owned()],
            capacity_bytes: 8 << 30,
            storage_class: "fast".to_owned(),
            driver: "csi.example".to_owned(),
            volume: "pv-1".to_owned(),
            snapshot_class: Some("fast".to_owned()),
            no_snapshot_reason: String::new(),
            used_by: vec!["pg-0".to_owned()],
        }),
        mount_path: mount_path.to_owned(),
        sub_path: String::new(),
        services: vec!["pg".to_owned()],
        owners: Vec::new(),
        disruption_budgets: Vec::new(),
        autoscalers: Vec::new(),
        pod_security: String::new(),
    }
}

/// A server and a target image, both recorded, in a healthy place.
pub(crate) fn recorded(from: &str, to: &str) -> CheckInput {
    recorded_from(gathered(from), to)
}

/// A server and a recorded target image, in a healthy place.
fn recorded_from(server: ServerFacts, to: &str) -> CheckInput {
    let mut target = probed(to);
    // The probe was made on another machine's volume: let it see this server's.
    if let Some(volume) = &mut target.volume {
        volume.pg_version = server.version.major.to_string();
        volume.control = None;
        volume.free_bytes = Some(6 << 30);
        volume.free_inodes = Some(500_000);
        volume.total_inodes = Some(524_288);
        volume.wal_here = Some(true);
        volume.reflink = Some(true);
    }
    let mount = server.data_directory.rsplit_once('/').unwrap().0.to_owned();
    CheckInput {
        instance: instance(&server.version.major.to_string(), &mount),
        request: Request {
            to: Some(u32::from(target.version.major.number())),
            image: format!("postgres:{}", target.version.major),
            transfer: "clone".to_owned(),
            snapshot: "auto".to_owned(),
            wish: Wish::default(),
        },
        server: Some(server),
        target: Some(target),
        access: Some(vec![("create pods".to_owned(), true)]),
        surroundings: Surroundings::default(),
        dry_run: Vec::new(),
        crossing: None,
        placement: None,
    }
}

/// A recorded server on the way to a version, without a look into the target image.
pub(crate) fn live(from: &str, to: u32) -> CheckInput {
    live_from(gathered(from), to)
}

fn live_from(server: ServerFacts, to: u32) -> CheckInput {
    let mut input = recorded_from(server, "17");
    input.target = None;
    input.request.to = Some(to);
    input
}

/// 13 to 17, freshly made and empty.
pub(crate) fn input() -> CheckInput {
    recorded("13", "17")
}

/// 13 with one of everything that stops the upgrade to 17.
pub(crate) fn troubled() -> CheckInput {
    recorded("13-troubled", "17")
}

/// Servers with a rich and healthy schema and hostile names, each with a target that suits it.
pub(crate) fn clean() -> Vec<CheckInput> {
    [
        ("9.6-rich", "17"),
        ("10-rich", "17"),
        ("11-rich", "18"),
        ("12-rich", "17"),
        ("13-rich", "17"),
        ("15-rich", "17"),
        ("15-rich", "18"),
        ("17-rich", "18"),
    ]
    .map(|(from, to)| {
        let mut input = recorded(from, to);
        // Another C library is worth a warning on every healthy server: it has tests of its own.
        input.target.as_mut().unwrap().libc = input.server.as_ref().unwrap().container.libc();
        input
    })
    .into()
}

/// The findings of one check, of which there are some.
pub(crate) fn fires(id: &str, input: &CheckInput) -> Vec<Finding> {
    let findings = find(id).unwrap().findings(input);
    assert!(!findings.is_empty(), "{id} is silent");
    for finding in &findings {
        assert!(
            !finding.message.is_empty() && !finding.message.ends_with('.'),
            "{finding:?}"
        );
        assert_eq!(finding.check, id);
        assert!(
            finding.severity <= find(id).unwrap().severity
                || finding.message.contains("not be read"),
            "{finding:?} is worse than the check says"
        );
    }
    findings
}

/// The check has nothing to say.
pub(crate) fn silent(id: &str, input: &CheckInput) {
    assert_eq!(find(id).unwrap().findings(input), [], "{id} is not silent");
}
