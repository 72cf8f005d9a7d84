//! What would make an upgrade fail or hurt: one file per check. Pure: facts in, findings out.
//!
//! A new check is one file with one `Check`, one `mod` line and one entry in `ALL`; `docs/checks.md` is rendered from these.

use crate::postgres::query::Query;

mod access_mode;
mod aclitem_columns;
mod architecture;
mod autoscaler;
mod block_size;
mod checksums;
mod claim;
mod claim_retention;
mod claim_users;
mod column_versions;
mod commit_timestamps;
mod data_directory_mode;
mod data_directory_name;
mod data_directory_owner;
mod data_directory_place;
mod database_locales;
mod databases_read;
mod disruption_budget;
mod dry_run;
mod dump_claim;
mod encoding_conversions;
mod extension_updates;
mod extensions;
mod free_inodes;
mod free_space;
mod frozen_ids;
mod function_settings;
mod grace_period;
mod hash_indexes;
mod hba_lines;
mod icu_version;
mod image_family;
mod in_recovery;
mod inet_indexes;
mod install_user;
mod invalid_databases;
mod invalid_indexes;
mod large_objects;
mod libc_family;
mod libc_version;
mod libraries;
mod liveness_probe;
mod locale_provider;
mod locales;
mod logical_slots;
mod made_with;
mod managed_by;
mod mule_internal;
mod new_data_directory;
mod newest_minor;
mod newline_names;
mod not_null_inheritance;
mod old_clients;
mod old_passwords;
mod old_programs;
mod open_databases;
mod operator_owned;
mod partition;
mod permissions;
mod physical_slots;
mod pod_ready;
mod polymorphics;
mod postfix_operators;
mod preload_libraries;
mod prepared_transactions;
mod reg_types;
mod release_round;
mod removed_settings;
mod removed_types;
mod replicas;
mod role_makers;
mod role_settings;
mod scaled_object;
mod schema_restore;
mod search_path;
mod server_arguments;
mod server_facts;
mod server_tag;
mod service_mesh;
mod setting_values;
mod snapshot_class;
mod sql_identifier_columns;
mod standbys;
mod subscription_tables;
mod subscriptions;
mod superuser;
mod system_composites;
mod system_views;
mod tablespaces;
mod target_facts;
mod target_tag;
mod template_databases;
mod transfer_mode;
mod unicode;
mod unknown_columns;
mod update_strategy;
mod version_pair;
mod vertical_autoscaler;
mod volume;
mod wal_archive;
mod wal_directory;
mod with_oids;

mod common;
pub mod docs;
pub mod report;
#[cfg(test)]
pub(crate) mod testing;
mod types;

use common::{
    collated_indexes, columns_finding, dotted, each_relation, in_database, name, numbered,
    probed_volume, read_databases, rows_finding, rows_of_databases, server_rows, statements, text,
    to_version, unknown,
};
pub use types::{
    Check, CheckInput, Concerns, Finding, Layer, Live, Request, Run, Severity, Target,
};

/// Every check, in the order they are reported.
pub const ALL: &[Check] = &[
    server_facts::CHECK,
    target_facts::CHECK,
    operator_owned::CHECK,
    version_pair::CHECK,
    server_tag::CHECK,
    target_tag::CHECK,
    release_round::CHECK,
    column_versions::CHECK,
    newest_minor::CHECK,
    image_family::CHECK,
    libc_family::CHECK,
    libc_version::CHECK,
    icu_version::CHECK,
    architecture::CHECK,
    in_recovery::CHECK,
    superuser::CHECK,
    install_user::CHECK,
    template_databases::CHECK,
    open_databases::CHECK,
    invalid_databases::CHECK,
    databases_read::CHECK,
    newline_names::CHECK,
    mule_internal::CHECK,
    frozen_ids::CHECK,
    prepared_transactions::CHECK,
    logical_slots::CHECK,
    physical_slots::CHECK,
    standbys::CHECK,
    wal_archive::CHECK,
    commit_timestamps::CHECK,
    subscriptions::CHECK,
    subscription_tables::CHECK,
    tablespaces::CHECK,
    block_size::CHECK,
    checksums::CHECK,
    database_locales::CHECK,
    locale_provider::CHECK,
    locales::CHECK,
    made_with::CHECK,
    unicode::CHECK,
    extensions::CHECK,
    extension_updates::CHECK,
    libraries::CHECK,
    preload_libraries::CHECK,
    old_programs::CHECK,
    schema_restore::CHECK,
    reg_types::CHECK,
    system_composites::CHECK,
    aclitem_columns::CHECK,
    removed_types::CHECK,
    unknown_columns::CHECK,
    sql_identifier_columns::CHECK,
    with_oids::CHECK,
    encoding_conversions::CHECK,
    postfix_operators::CHECK,
    polymorphics::CHECK,
    not_null_inheritance::CHECK,
    system_views::CHECK,
    search_path::CHECK,
    hash_indexes::CHECK,
    inet_indexes::CHECK,
    invalid_indexes::CHECK,
    large_objects::CHECK,
    removed_settings::CHECK,
    server_arguments::CHECK,
    setting_values::CHECK,
    role_settings::CHECK,
    function_settings::CHECK,
    hba_lines::CHECK,
    old_passwords::CHECK,
    role_makers::CHECK,
    data_directory_place::CHECK,
    data_directory_owner::CHECK,
    data_directory_mode::CHECK,
    data_directory_name::CHECK,
    new_data_directory::CHECK,
    wal_directory::CHECK,
    volume::CHECK,
    transfer_mode::CHECK,
    free_space::CHECK,
    free_inodes::CHECK,
    claim::CHECK,
    access_mode::CHECK,
    claim_users::CHECK,
    dump_claim::CHECK,
    claim_retention::CHECK,
    snapshot_class::CHECK,
    replicas::CHECK,
    partition::CHECK,
    update_strategy::CHECK,
    pod_ready::CHECK,
    grace_period::CHECK,
    liveness_probe::CHECK,
    autoscaler::CHECK,
    scaled_object::CHECK,
    vertical_autoscaler::CHECK,
    disruption_budget::CHECK,
    managed_by::CHECK,
    old_clients::CHECK,
    service_mesh::CHECK,
    dry_run::CHECK,
    permissions::CHECK,
];

/// Runs every check; never stops at the first finding. Blockers of the checks in `ignored` become warnings where they may.
///
/// Worst findings come first; among equals the order of `ALL` holds.
pub fn run_all(input: &CheckInput, ignored: &[String]) -> Vec<Finding> {
    let asked = ALL
        .iter()
        .filter(|check| check.concerns.matters_to(&input.request.transfer));
    let mut findings: Vec<Finding> = asked.flat_map(|check| check.findings(input)).collect();
    for finding in &mut findings {
        if finding.severity == Severity::Blocker
            && finding.waivable
            && ignored.iter().any(|id| id == finding.check)
        {
            finding.severity = Severity::Warning;
            finding.waived = true;
        }
    }
    findings.sort_by_key(|finding| std::cmp::Reverse(finding.severity));
    findings
}

/// The check with this id.
pub fn find(id: &str) -> Option<&'static Check> {
    ALL.iter().find(|check| check.id == id)
}

/// Ids in `ignored` that are no check, or whose blockers cannot be waived, with what is wrong.
pub fn wrong_ids(ignored: &[String]) -> Vec<String> {
    ignored
        .iter()
        .filter_map(|id| match find(id) {
            None => Some(format!("there is no check {id:?}")),
            Some(check) if !check.waivable => {
                Some(format!("check {id} cannot be ignored: {}", check.why))
            }
            Some(_) => None,
        })
        .collect()
}
#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn each_way_is_asked_what_matters_to_it() {
        let mut input = testing::troubled();
        let mut found = |transfer: &str| -> BTreeSet<&str> {
            input.request.transfer = transfer.into();
            let findings = run_all(&input, &[]);
            findings.iter().map(|finding| finding.check).collect()
        };
        let (all, dump, load) = (
            found("link"),
            found(crate::record::DUMP),
            found(crate::record::LOAD),
        );
        for (id, asked) in [
            ("aclitem-columns", [true, false, false]),
            ("postfix-operators", [true, true, false]),
            ("logical-slots", [true, true, true]),
        ] {
            assert_eq!(
                [&all, &dump, &load].map(|of| of.contains(id)),
                asked,
                "{id}"
            );
        }
    }

    #[test]
    fn ids_are_unique_words_with_a_file_of_their_own() {
        let ids: BTreeSet<&str> = ALL.iter().map(|check| check.id).collect();
        assert_eq!(ids.len(), ALL.len());
        let files: BTreeSet<String> =
            std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/src/checks"))
                .unwrap()
                .map(|entry| entry.unwrap().file_name().into_string().unwrap())
                .filter_map(|file| Some(file.strip_suffix(".rs")?.replace('_', "-")))
                .filter(|name| {
                    !["mod", "common", "docs", "report", "testing", "types"]
                        .contains(&name.as_str())
                })
                .collect();
        assert_eq!(
            ids.into_iter().map(str::to_owned).collect::<BTreeSet<_>>(),
            files
        );
        for check in ALL {
            assert!(
                check.id.chars().all(|c| c.is_ascii_lowercase() || c == '-'),
                "{}",
                check.id
            );
            for text in [check.title, check.why, check.mend] {
                assert!(
                    !text.is_empty() && !text.ends_with('.'),
                    "{}: {text}",
                    check.id
                );
            }
        }
    }

    #[test]
    fn every_file_has_a_test_that_fires_and_one_that_is_silent() {
        for check in ALL {
            let path = format!(
                "{}/src/checks/{}.rs",
                env!("CARGO_MANIFEST_DIR"),
                check.id.replace('-', "_")
            );
            let text = std::fs::read_to_string(path).unwrap();
            assert!(
                text.contains("fires(") && text.contains("silent("),
                "{}",
                check.id
            );
        }
    }

    #[test]
    fn clean_servers_give_no_finding_above_info() {
        for input in testing::clean() {
            let loud: Vec<_> = run_all(&input, &[])
                .into_iter()
                .filter(|f| f.severity > Severity::Info)
                .collect();
            assert_eq!(loud, [], "{}", input.server.unwrap().version);
        }
    }

    #[test]
    fn ignoring_a_check_turns_its_blocker_into_a_warning_where_that_may_be() {
        let mut input = testing::input();
        input.instance.partition = 1;
        input.server.as_mut().unwrap().in_recovery = true;
        let ignored = ["partition".to_owned(), "in-recovery".to_owned()];
        let findings = run_all(&input, &ignored);
        let of = |id: &str| findings.iter().find(|finding| finding.check == id).unwrap();
        assert_eq!(of("in-recovery").severity, Severity::Blocker);
        assert_eq!(
            (of("partition").severity, of("partition").waived),
            (Severity::Blocker, false)
        );
        assert_eq!(
            wrong_ids(&["nonsense".to_owned()]),
            [r#"there is no check "nonsense""#]
        );
        assert_eq!(wrong_ids(&ignored).len(), 2);
        assert_eq!(wrong_ids(&["newest-minor".to_owned()]), [] as [String; 0]);
    }

    #[test]
    fn the_worst_comes_first() {
        let mut input = testing::input();
        input.instance.partition = 1;
        input.instance.autoscalers = vec!["pg".to_owned()];
        let order: Vec<Severity> = run_all(&input, &[])
            .iter()
            .map(|finding| finding.severity)
            .collect();
        assert!(order.is_sorted_by(|a, b| a >= b), "{order:?}");
    }

    #[test]
    fn names_are_quoted_where_they_must_be() {
        assert_eq!(
            dotted(&["app", "My Table", "x\"y"]),
            r#"app."My Table"."x""y""#
        );
        assert_eq!(numbered(2, "index"), "2 indexes");
        assert_eq!(numbered(1, "database"), "1 database");
    }
}
