use std::fmt::Write as _;

use super::*;
use crate::checks::testing;
use crate::plan::testing::quiesce;

pub(crate) fn request() -> Request {
    Request {
        place: None,
        run: "pg-1".into(),
        image: "docker.io/library/postgres:17".into(),
        transfer: "auto".into(),
        wish: Wish::default(),
        jobs: None,
        snapshot: "auto".into(),
        verify: "auto".into(),
        dump_claim: None,
    }
}

/// A healthy 13 on a volume that has reflinks or not, with snapshots or not, and room or none.
pub(crate) fn facts(
    reflink: bool,
    snapshots: bool,
    room: bool,
) -> (InstanceFacts, ServerFacts, TargetFacts) {
    let input = testing::input();
    let (mut instance, server, mut target) =
        (input.instance, input.server.unwrap(), input.target.unwrap());
    let claim = instance.claim.as_mut().unwrap();
    claim.snapshot_class = snapshots.then(|| "fast".to_owned());
    claim.no_snapshot_reason = "no VolumeSnapshotClass for driver x".to_owned();
    let volume = target.volume.get_or_insert_default();
    volume.reflink = Some(reflink);
    volume.writable_parent = Some(true);
    volume.data_bytes = Some(1 << 30);
    volume.free_bytes = Some(if room { 10 << 30 } else { 1 << 20 });
    (instance, server, target)
}

fn mode(request: &Request, reflink: bool, snapshots: bool, room: bool) -> Result<String, String> {
    let (instance, server, target) = facts(reflink, snapshots, room);
    transfer(request, &instance, &server, &target).map(|(mode, _)| mode)
}

#[test]
fn auto_takes_clone_then_link_with_a_snapshot_then_copy() {
    let auto = request();
    assert_eq!(mode(&auto, true, true, true).unwrap(), "clone");
    assert_eq!(mode(&auto, false, true, true).unwrap(), "link");
    assert_eq!(mode(&auto, false, false, true).unwrap(), "copy");
    let refusal = mode(&auto, false, false, false).unwrap_err();
    assert!(
        refusal.contains("no VolumeSnapshotClass for driver x"),
        "{refusal}"
    );
}

#[test]
fn link_without_a_snapshot_has_to_be_accepted() {
    let mut link = request();
    link.transfer = "link".into();
    assert!(mode(&link, false, false, true).is_err());
    link.snapshot = "none".into();
    assert_eq!(mode(&link, false, false, true).unwrap(), "link");
}

#[test]
fn clone_and_swap_need_what_they_need() {
    let mut wish = request();
    wish.transfer = "clone".into();
    assert!(mode(&wish, false, true, true).is_err());
    wish.transfer = "swap".into();
    assert!(
        mode(&wish, true, true, true)
            .unwrap_err()
            .contains("PostgreSQL 18")
    );
}

fn plan(instance: &InstanceFacts, upgrade: &Upgrade) -> String {
    let mut text = String::new();
    for (phase, step) in steps(&request(), instance, upgrade, quiesce()) {
        let phase = format!("{phase:?}").to_lowercase();
        writeln!(text, "{phase:<8} {step}").unwrap();
    }
    text
}

#[test]
fn the_plan_of_a_link_upgrade_snapshots_while_the_server_is_down() {
    let (instance, server, target) = facts(false, true, true);
    let upgrade = decide(&request(), &instance, &server, &target, true).unwrap();
    assert_eq!(
        plan(&instance, &upgrade),
        include_str!("../../../tests/golden/plan-link.txt")
    );
}

#[test]
fn the_plan_of_a_clone_upgrade_needs_no_snapshot() {
    let (instance, server, target) = facts(true, true, true);
    let upgrade = decide(&request(), &instance, &server, &target, true).unwrap();
    assert_eq!(
        plan(&instance, &upgrade),
        include_str!("../../../tests/golden/plan-clone.txt")
    );
}

#[test]
fn a_dump_is_compared_by_rows_and_keeps_the_archive_as_the_way_back() {
    let (instance, server, target) = facts(true, true, true);
    let mut wish = request();
    wish.transfer = DUMP.to_owned();
    let upgrade = decide(&wish, &instance, &server, &target, true).unwrap();
    assert!(crate::plan::restore::archive_is_whole(&upgrade).is_ok());
    assert_eq!(
        plan(&instance, &upgrade),
        include_str!("../../../tests/golden/plan-dump.txt")
    );
    let mut elsewhere = wish.clone();
    elsewhere.dump_claim = Some(DumpClaim::New("5Gi".to_owned()));
    let upgrade_there = decide(&elsewhere, &instance, &server, &target, true).unwrap();
    assert_eq!(
        plan(&instance, &upgrade_there),
        "prepare  make claim pg-upgrade-pg-1-dump of 5Gi for the dump\n".to_owned()
            + include_str!("../../../tests/golden/plan-dump.txt")
    );
    let place = upgrade_there.dump.unwrap();
    assert_eq!(place.needed, 1 << 29);
    let compared = steps(&wish, &instance, &upgrade, Vec::new());
    let counts = |step: &Step| matches!(step, Step::Observe { level } | Step::Verify { level } if level == "counts");
    assert_eq!(compared.iter().filter(|(_, step)| counts(step)).count(), 2);
}

#[test]
fn an_exclusive_claim_is_prepared_after_the_stop_and_given_free_before_the_start() {
    let (mut instance, server, target) = facts(true, true, true);
    instance.claim.as_mut().unwrap().access_modes = vec!["ReadWriteOncePod".into()];
    let upgrade = decide(&request(), &instance, &server, &target, true).unwrap();
    assert_eq!(
        plan(&instance, &upgrade),
        include_str!("../../../tests/golden/plan-exclusive.txt")
    );
}

#[test]
fn the_run_directory_is_inside_the_data_directory_where_its_parent_cannot_be_written() {
    let (instance, server, mut target) = facts(true, true, true);
    let beside = decide(&request(), &instance, &server, &target, true).unwrap();
    let parent = server.data_directory.rsplit_once('/').unwrap().0;
    assert_eq!(beside.run_directory, format!("{parent}/.pg-upgrade/pg-1"));
    target.volume.as_mut().unwrap().writable_parent = Some(false);
    let inside = decide(&request(), &instance, &server, &target, true).unwrap();
    assert_eq!(
        inside.run_directory,
        format!("{}/.pg-upgrade/pg-1", server.data_directory)
    );
}

#[test]
fn a_sub_path_is_found_below_the_whole_volume() {
    let (mut instance, ..) = facts(true, true, true);
    instance.mount_path = "/var/lib/postgresql/data".into();
    instance.sub_path = "pgdata".into();
    let path = |p: &str| volume_path(&instance, p);
    assert_eq!(path("/var/lib/postgresql/data").unwrap(), "/vol/pgdata");
    assert_eq!(path("/var/lib/postgresql/data/x").unwrap(), "/vol/pgdata/x");
    assert!(path("/var/lib/postgresql/database").is_err());
}
