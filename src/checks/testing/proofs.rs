//! Where each check is seen to find what it looks for.

use std::collections::BTreeSet;

use super::recorded;
use crate::checks::{ALL, run_all};

/// Where a check is proved.
enum Proof {
    /// On the answers that a real server gave (`tests/fixtures`, kept true by [`super::servers`]), on the way to a target.
    Recorded(&'static str, &'static str),
    /// On a real server, in this test of [`super::servers`].
    Server(&'static str),
    /// On a real Kubernetes, in this test of `tests/scenarios`: file and function.
    Cluster(&'static str, &'static str),
    /// On facts made by hand, for this reason.
    Constructed(&'static str),
}

use Proof::{Cluster, Constructed, Recorded, Server};

const NINE_SIX: Proof = Recorded("9.6-troubled", "17");
const ELEVEN: Proof = Recorded("11-troubled", "18");
const THIRTEEN: Proof = Recorded("13-troubled", "17");
const FIFTEEN: Proof = Recorded("15-troubled", "18");
const SEVENTEEN: Proof = Recorded("17-troubled", "18");
const EIGHTEEN: Proof = Recorded("18-troubled", "19");
const ODD: Proof = Server("odd_places");
const AROUND: Proof = Cluster(
    "kubernetes",
    "what_stands_around_the_server_is_told_with_what_mends_it",
);
const CROWDED: Proof = Cluster(
    "kubernetes",
    "a_crowded_statefulset_is_told_everything_at_once",
);
const REFUSED: Proof = Cluster("refusals", "images_and_modes_that_cannot_work");

const CONTENTS: Proof = Cluster("refusals", "what_the_server_holds_is_refused_all_at_once");

const PROOFS: &[(&str, Proof)] = &[
    (
        "access-mode",
        Cluster(
            "layouts",
            "only_one_pod_may_mount_the_claim_so_the_pod_comes_after_the_stop",
        ),
    ),
    ("aclitem-columns", THIRTEEN),
    ("architecture", ODD),
    ("autoscaler", CROWDED),
    (
        "block-size",
        Constructed(
            "pages have the size that the server was built with, and all packages have the same",
        ),
    ),
    ("checksums", THIRTEEN),
    (
        "claim",
        Cluster("kubernetes", "data_that_is_on_no_claim_is_refused"),
    ),
    ("claim-retention", CROWDED),
    ("claim-users", CROWDED),
    ("column-versions", Recorded("15-security", "17")),
    ("commit-timestamps", ODD),
    ("data-directory-mode", ODD),
    (
        "data-directory-name",
        Cluster(
            "layouts",
            "the_volume_is_mounted_one_level_higher_as_images_of_18_want_it",
        ),
    ),
    ("data-directory-owner", ODD),
    (
        "data-directory-place",
        Cluster("kubernetes", "data_that_is_on_no_claim_is_refused"),
    ),
    ("database-locales", Server("thirteen_to_seventeen")),
    ("databases-read", ODD),
    ("disruption-budget", AROUND),
    (
        "dry-run",
        Cluster(
            "kubernetes",
            "a_quota_without_room_for_the_upgrade_pod_is_told_before_the_outage",
        ),
    ),
    (
        "dump-claim",
        Cluster(
            "dump",
            "what_pg_upgrade_refuses_goes_by_dump_and_back_by_the_archive",
        ),
    ),
    ("encoding-conversions", THIRTEEN),
    ("extension-updates", Recorded("13-rich", "17")),
    ("extensions", THIRTEEN),
    ("free-inodes", ODD),
    ("free-space", ODD),
    ("frozen-ids", EIGHTEEN),
    ("function-settings", FIFTEEN),
    ("grace-period", CROWDED),
    ("hash-indexes", NINE_SIX),
    ("hba-lines", THIRTEEN),
    (
        "image-family",
        Cluster(
            "crossing",
            "bitnami_13_becomes_docker_library_17_and_the_template_comes_back",
        ),
    ),
    ("icu-version", FIFTEEN),
    ("in-recovery", Server("fifteen_to_eighteen")),
    ("inet-indexes", EIGHTEEN),
    ("install-user", ODD),
    ("invalid-databases", SEVENTEEN),
    ("invalid-indexes", SEVENTEEN),
    ("large-objects", Server("thirteen_to_seventeen")),
    ("libc-family", ODD),
    ("libc-version", Recorded("13-rich", "17")),
    ("libraries", SEVENTEEN),
    ("liveness-probe", AROUND),
    (
        "locale-provider",
        Constructed("every test image is built with ICU"),
    ),
    ("locales", REFUSED),
    ("logical-slots", THIRTEEN),
    ("made-with", REFUSED),
    ("managed-by", CROWDED),
    ("old-passwords", FIFTEEN),
    ("mule-internal", EIGHTEEN),
    (
        "new-data-directory",
        Cluster(
            "place",
            "a_directory_named_after_its_version_is_followed_by_one_of_the_next",
        ),
    ),
    ("newest-minor", Recorded("13", "17")),
    ("newline-names", Recorded("17-rich", "19")),
    ("not-null-inheritance", SEVENTEEN),
    ("old-clients", AROUND),
    (
        "old-programs",
        Constructed("the old programs of the test images start in every newer one"),
    ),
    ("open-databases", SEVENTEEN),
    (
        "operator-owned",
        Cluster(
            "operators",
            "each_operator_is_answered_with_its_own_procedure",
        ),
    ),
    ("partition", CROWDED),
    (
        "permissions",
        Cluster("rights", "preflight_read_only_needs_no_right_to_write"),
    ),
    ("physical-slots", THIRTEEN),
    ("pod-ready", CROWDED),
    ("polymorphics", THIRTEEN),
    ("postfix-operators", THIRTEEN),
    ("preload-libraries", THIRTEEN),
    ("prepared-transactions", SEVENTEEN),
    ("reg-types", SEVENTEEN),
    (
        "release-round",
        Cluster(
            "refusals",
            "newest_minors_cannot_go_to_an_older_round_of_18",
        ),
    ),
    ("removed-settings", FIFTEEN),
    ("removed-types", ELEVEN),
    ("replicas", REFUSED),
    ("role-makers", FIFTEEN),
    ("role-settings", FIFTEEN),
    ("scaled-object", CROWDED),
    ("schema-restore", CONTENTS),
    ("search-path", THIRTEEN),
    ("server-arguments", FIFTEEN),
    (
        "server-facts",
        Cluster(
            "down",
            "a_raised_image_that_cannot_read_the_data_is_the_start_of_the_plan",
        ),
    ),
    ("server-tag", CROWDED),
    ("service-mesh", AROUND),
    ("setting-values", CONTENTS),
    ("snapshot-class", REFUSED),
    ("sql-identifier-columns", ELEVEN),
    ("standbys", Server("fifteen_to_eighteen")),
    ("subscription-tables", SEVENTEEN),
    ("subscriptions", FIFTEEN),
    ("superuser", ODD),
    ("system-composites", SEVENTEEN),
    ("system-views", FIFTEEN),
    ("tablespaces", SEVENTEEN),
    (
        "target-facts",
        Cluster("rights", "preflight_read_only_needs_no_right_to_write"),
    ),
    ("target-tag", REFUSED),
    ("template-databases", SEVENTEEN),
    ("transfer-mode", REFUSED),
    ("unicode", SEVENTEEN),
    ("unknown-columns", NINE_SIX),
    ("update-strategy", AROUND),
    ("version-pair", REFUSED),
    ("vertical-autoscaler", CROWDED),
    (
        "volume",
        Cluster("layouts", "data_that_is_not_on_the_claim_is_refused"),
    ),
    ("wal-archive", FIFTEEN),
    ("wal-directory", ODD),
    ("with-oids", ELEVEN),
];

/// The text of a function of a file of tests.
fn body<'a>(text: &'a str, function: &str) -> &'a str {
    let at = text
        .find(&format!("fn {function}("))
        .unwrap_or_else(|| panic!("no {function}"));
    let end = text[at..].find("\n}\n").unwrap();
    &text[at..at + end]
}

#[test]
fn every_check_is_proved_somewhere() {
    let all: BTreeSet<&str> = ALL.iter().map(|check| check.id).collect();
    let proved: BTreeSet<&str> = PROOFS.iter().map(|(id, _)| *id).collect();
    assert_eq!(proved, all);
    let servers = include_str!("servers.rs");
    for (id, proof) in PROOFS {
        let found = match proof {
            Recorded(server, to) => {
                let input = recorded(server, to);
                run_all(&input, &[]).iter().any(|finding| {
                    finding.check == *id && !finding.message.contains("could not be read")
                })
            }
            Server(function) => body(servers, function).contains(&format!("\"{id}\"")),
            Cluster(file, function) => {
                let path = format!("{}/tests/scenarios/{file}.rs", env!("CARGO_MANIFEST_DIR"));
                let text = std::fs::read_to_string(path).unwrap();
                body(&text, function).contains(&format!("\"{id}\""))
            }
            Constructed(why) => !why.is_empty(),
        };
        assert!(found, "{id}");
    }
}
