//! `restore --from dump`: the data of a running server is replaced by what a dump holds.

use jiff::Timestamp;

use super::upgrade::{self, Request};
use crate::facts::given::Given;
use crate::facts::instance::InstanceFacts;
use crate::facts::server::ServerFacts;
use crate::manifests::pod::DUMPS;
use crate::output::{human_bytes, human_duration};
use crate::record::{Load, Phase, Upgrade};
use crate::steps::Step;

/// Bytes of SQL text that are loaded in a millisecond on two processors, as the estimate of a dump and a load has it.
const PACE: u64 = 25_000;
/// What the load's log and catalogs take besides the rows, as `given.sh` has it, bytes.
const MARGIN: u64 = 256 << 20;

/// Where pods of ours find the dump: below the claim's root, or below the directory of runs on the data claim.
///
/// # Errors
/// A sentence that says why the path can be none.
pub fn path(claim: Option<&str>, path: &str, volume_run_directory: &str) -> Result<String, String> {
    let path = path.trim_matches('/');
    let leads_away = path.split('/').any(|part| matches!(part, "" | "." | ".."));
    if leads_away || path.chars().any(char::is_control) {
        return Err(format!(
            "--path {path:?} is no path below {}",
            claim.map_or_else(
                || "the directory of runs on the data claim".to_owned(),
                |claim| format!("the root of claim {claim}")
            )
        ));
    }
    let runs = volume_run_directory
        .rsplit_once('/')
        .map_or("", |(runs, _)| runs);
    Ok(match claim {
        Some(_) => format!("{DUMPS}/{path}"),
        None => format!("{runs}/{path}"),
    })
}

/// The upgrade of a version to itself, with the data from a dump.
pub fn decided(mut upgrade: Upgrade, load: Load) -> Upgrade {
    let env = &mut upgrade.worker_env;
    env.insert("PGUP_GIVEN".to_owned(), load.given.path.clone());
    if let Some(database) = &load.database {
        env.insert("PGUP_GIVEN_DATABASE".to_owned(), database.clone());
    }
    // The image finds its data where it has found it.
    upgrade.set_pgdata = None;
    upgrade.place = None;
    let text = load.given.needed.saturating_sub(MARGIN) / 3 * 2;
    upgrade.estimate_ms = 8000 + text / PACE;
    upgrade.rehearsed = false;
    upgrade.load = Some(load);
    upgrade
}

/// The steps: those of an upgrade, without a look at what the server holds, which is not to be there afterwards.
pub fn steps(
    request: &Request,
    instance: &InstanceFacts,
    upgrade: &Upgrade,
    quiesce: Vec<Step>,
) -> Vec<(Phase, Step)> {
    upgrade::steps(request, instance, upgrade, quiesce)
        .into_iter()
        .filter(|(_, step)| !matches!(step, Step::Observe { .. }))
        .map(|(phase, step)| match step {
            Step::AwaitUpgrade { .. } => (phase, Step::AwaitLoad),
            Step::Verify { .. } => (phase, Step::VerifyLoad),
            other => (phase, other),
        })
        .chain([(Phase::Vacuum, Step::Vacuum { jobs: upgrade.jobs })])
        .collect()
}

/// Databases of the server that are not there after the load, because the dump does not hold them.
pub fn lost<'a>(server: &'a ServerFacts, given: &Given) -> Vec<&'a str> {
    let has_content = |database: &&crate::facts::server::Database| {
        // Every cluster has this one, and mostly it is empty.
        database.name != "postgres"
            || database
                .contents
                .as_ref()
                .and_then(|c| c.relations)
                .is_none_or(|r| r.relations + r.large_objects > 0)
    };
    server
        .databases
        .iter()
        .filter(|d| !d.template && !given.databases.contains(&d.name))
        .filter(has_content)
        .map(|d| d.name.as_str())
        .collect()
}

/// Roles that objects of the dump name and that would not be there when it is loaded.
pub fn missing_owners<'a>(given: &'a Given, roles: &[String]) -> Vec<&'a str> {
    if given.globals {
        return Vec::new();
    }
    let missing = given.owners.iter().filter(|o| !roles.contains(o));
    missing.map(String::as_str).collect()
}

/// The dump in a few words, for the confirmation.
pub fn describe(load: &Load, now: Timestamp) -> String {
    let given = &load.given;
    let kind = match given.kind.as_str() {
        "ours" => "a dump of this tool",
        "custom" => "pg_dump -Fc",
        "directory" => "pg_dump -Fd",
        "tar" => "pg_dump -Ft",
        _ => "SQL text",
    };
    let mut words = vec![match given.packed.as_str() {
        "" => kind.to_owned(),
        packed => format!("{kind} in {packed}"),
    }];
    if !given.from.is_empty() {
        words.push(format!("of PostgreSQL {}", given.from));
    }
    words.push(human_bytes(given.bytes));
    let age = now.as_second().saturating_sub(given.made_at);
    let age = std::time::Duration::from_secs(u64::try_from(age).unwrap_or(0));
    words.push(format!("{} old", human_duration(age)));
    words.push(format!("databases {}", quoted(&given.databases)));
    words.push(match given.rows {
        Some(rows) => format!("{} tables with {rows} rows", given.tables),
        None => "rows as INSERT statements, which are not counted".to_owned(),
    });
    let roles = if given.globals {
        "with its own roles"
    } else {
        "with the roles that are there"
    };
    words.push(roles.to_owned());
    let place = load
        .claim
        .as_ref()
        .map_or_else(|| "the data claim".to_owned(), |c| format!("claim {c}"));
    let path = given
        .path
        .strip_prefix(DUMPS)
        .unwrap_or(&given.path)
        .trim_start_matches('/');
    format!("{path:?} on {place} ({})", words.join(", "))
}

/// Names for a sentence; a hostile one is shown on one line.
pub fn quoted(names: &[impl AsRef<str>]) -> String {
    let names = names.iter().map(|name| format!("{:?}", name.as_ref()));
    names.collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::upgrade::{decide, tests as plans};
    use crate::record::LOAD;

    fn given() -> Given {
        Given {
            path: "/dump/a b.dump".to_owned(),
            kind: "custom".to_owned(),
            from: "13.16".to_owned(),
            databases: vec!["o'b\"r".to_owned()],
            owners: vec!["app".to_owned(), "postgres".to_owned()],
            bytes: 5 << 20,
            made_at: 1_800_000_000,
            tables: 2,
            rows: Some(30),
            needed: (256 << 20) + 3_000_000,
            ..Given::default()
        }
    }

    fn plan() -> (Request, InstanceFacts, Upgrade) {
        let (instance, server, mut target) = plans::facts(true, true, true);
        target.version = server.version;
        let mut request = plans::request();
        request.image.clone_from(&instance.image);
        request.transfer = LOAD.to_owned();
        request.snapshot = "none".to_owned();
        let upgrade = decide(&request, &instance, &server, &target, false).unwrap();
        let load = Load {
            claim: Some("backups".to_owned()),
            database: Some("o'b\"r".to_owned()),
            given: given(),
        };
        (request, instance, decided(upgrade, load))
    }

    #[test]
    fn the_same_version_and_image_with_the_data_of_the_dump() {
        let (request, instance, upgrade) = plan();
        assert_eq!(
            (upgrade.from, upgrade.new_image.as_str()),
            (upgrade.to, instance.image.as_str())
        );
        assert_eq!(upgrade.transfer, LOAD);
        assert_eq!(upgrade.worker_env["PGUP_GIVEN"], "/dump/a b.dump");
        assert_eq!(upgrade.worker_env["PGUP_GIVEN_DATABASE"], "o'b\"r");
        assert_eq!(upgrade.estimate_ms, 8080);
        assert_eq!(upgrade.set_pgdata, None);
        let steps: Vec<String> = steps(&request, &instance, &upgrade, Vec::new())
            .iter()
            .map(|(_, step)| step.to_string())
            .collect();
        assert_eq!(
            steps,
            [
                "prepare the new data directory beside the running server",
                "write dirty pages to the volume",
                "stop the old server",
                "load the dump behind the guard and compare what was loaded with it",
                "switch the image to postgres:13 and start the server",
                "wait until PostgreSQL 13 answers",
                "verify that the server holds what was loaded",
                "remove the upgrade pod",
                "statistics, extensions, indexes",
            ]
        );
    }

    #[test]
    fn a_path_stays_where_it_belongs() {
        let run = "/vol/.pg-upgrade/pg-2";
        assert_eq!(path(Some("c"), "a/b.dump", run).unwrap(), "/dump/a/b.dump");
        assert_eq!(path(Some("c"), "/b c/", run).unwrap(), "/dump/b c");
        assert_eq!(
            path(None, "pg-1/dump", run).unwrap(),
            "/vol/.pg-upgrade/pg-1/dump"
        );
        for wrong in ["", "/", "..", "a/../b", "./a", "a//b", "a\nb"] {
            let why = path(Some("c"), wrong, run).unwrap_err();
            assert!(why.contains("the root of claim c"), "{why}");
        }
    }

    #[test]
    fn what_would_be_gone_and_who_is_missing_is_known() {
        let (_, mut server, _) = plans::facts(true, true, true);
        let mut other = server
            .databases
            .iter()
            .find(|d| d.name == "postgres")
            .unwrap()
            .clone();
        other.name = "orders".to_owned();
        server.databases.push(other);
        assert!(lost(&server, &given()).contains(&"orders"));
        assert!(
            !lost(&server, &given())
                .iter()
                .any(|name| name.starts_with("template"))
        );
        let mut all = given();
        all.databases = server.databases.iter().map(|d| d.name.clone()).collect();
        assert_eq!(lost(&server, &all), [] as [&str; 0]);
        let roles = ["postgres".to_owned()];
        assert_eq!(missing_owners(&given(), &roles), ["app"]);
        all.globals = true;
        assert_eq!(missing_owners(&all, &roles), [] as [&str; 0]);
    }

    #[test]
    fn the_dump_is_told_in_one_line() {
        let (_, _, upgrade) = plan();
        let now = Timestamp::from_second(1_800_000_000 + 3 * 86_400).unwrap();
        assert_eq!(
            describe(&upgrade.load.unwrap(), now),
            r#""a b.dump" on claim backups (pg_dump -Fc, of PostgreSQL 13.16, 5.0 MiB, 3d old, databases "o'b\"r", 2 tables with 30 rows, with the roles that are there)"#
        );
    }
}
