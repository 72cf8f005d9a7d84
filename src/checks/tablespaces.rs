//! Tablespaces go along, or there are none.

use super::{Check, Concerns, Finding, Live, Run, Severity, name, numbered, statements, unknown};
use crate::plan::crossing::families;
use crate::plan::tablespaces::unreachable;
use crate::record::DUMP;

/// Tablespaces go along, or there are none.
pub(super) const CHECK: Check = Check {
    id: "tablespaces",
    title: "Tablespaces lie beside the data directory and go with a dump, or there are none",
    why: "Tablespaces lie outside the data directory. pg_upgrade's ways back do not reach there. With --method dump to a newer version both clusters have a directory of their own in each location on the data claim",
    mend: "Upgrade with --method dump where they lie on the data claim beside the data directory; or move the tables and indexes to pg_default and DROP TABLESPACE",
    severity: Severity::Blocker,
    waivable: false,
    concerns: Concerns::Place,
    queries: &[],
    run: Run::Live(run),
};

fn run(live: &Live<'_>) -> Vec<Finding> {
    let Some(tablespaces) = &live.server.tablespaces else {
        return vec![unknown("tablespaces", live.server)];
    };
    if tablespaces.is_empty() {
        return Vec::new();
    }
    let whole = trouble(live);
    let mut refused = Vec::new();
    let mut fixes = Vec::new();
    for tablespace in tablespaces {
        let quoted = name(&tablespace.name);
        let place = format!("{quoted} at {}", tablespace.location);
        let why = unreachable(tablespace, &live.input.instance, live.server);
        match (&whole, why) {
            (Some(_), _) => refused.push(place),
            (None, Some(why)) => refused.push(format!("{place} {why}")),
            (None, None) => continue,
        }
        fixes.push(format!(
            "in each database: ALTER TABLE ALL IN TABLESPACE {quoted} SET TABLESPACE pg_default"
        ));
        fixes.push(format!(
            "ALTER INDEX ALL IN TABLESPACE {quoted} SET TABLESPACE pg_default"
        ));
        fixes.push(format!("DROP TABLESPACE {quoted}"));
    }
    if refused.is_empty() {
        let went = numbered(tablespaces.len(), "tablespace");
        return vec![Finding::info(format!(
            "{went} on the data claim: both clusters have a directory in each until cleanup removes the old one's"
        ))];
    }
    let why = whole.unwrap_or_else(|| "out of the upgrade pod's reach".to_owned());
    vec![
        Finding::blocker(format!("{}: {why}", numbered(refused.len(), "tablespace")))
            .objects(refused)
            .fix(statements(&fixes)),
    ]
}

/// Why no tablespace can go along, wherever it lies.
fn trouble(live: &Live<'_>) -> Option<String> {
    let (input, server) = (live.input, live.server);
    if input.request.transfer != DUMP {
        let way = if input.request.transfer == crate::record::LOAD {
            "a dump cannot be loaded into a server that has them"
        } else {
            "pg_upgrade is not supported with them; --method dump is, to a newer version"
        };
        return Some(way.to_owned());
    }
    if input.request.to == Some(u32::from(server.version.major.number())) {
        return Some(
            "both clusters are of one version, and would have the same directory".to_owned(),
        );
    }
    let target = input.target.as_ref();
    let (from, to) = families(&input.instance, Some(server), &input.request.image, target);
    let libc = target.is_some_and(|t| t.libc.is_musl() != server.container.libc().is_musl());
    (libc || to != Some(from)).then(|| {
        "the other image has another user or other paths, and only the data directory is given to it".to_owned()
    })
}

#[cfg(test)]
mod tests {
    use super::super::testing::{fires, input, silent};
    use super::super::{CheckInput, Severity};
    use crate::facts::server::Tablespace;
    use crate::record::{DUMP, LOAD};

    #[test]
    fn a_tablespace_is_refused_but_for_a_dump_that_can_take_it_along() {
        let mut input = input();
        silent("tablespaces", &input);
        assert!(
            fires("tablespaces", &super::super::testing::troubled())[0].objects[0]
                .starts_with("fast at ")
        );
        let server = input.server.as_mut().unwrap();
        server.data_directory = "/data/pgdata".to_owned();
        server.tablespaces = Some(vec![Tablespace {
            name: "fa st".to_owned(),
            location: "/data/fast".to_owned(),
            bytes: None,
        }]);
        input.instance.mount_path = "/data".to_owned();
        let libc = server.container.libc();
        input.target.as_mut().unwrap().libc = libc.clone();
        let says = |input: &CheckInput| {
            let found = fires("tablespaces", input).remove(0);
            (found.severity, found.message + &found.objects.join("; "))
        };
        assert!(says(&input).1.contains("--method dump is"));
        input.request.transfer = LOAD.to_owned();
        assert_eq!(says(&input).0, Severity::Blocker);
        input.request.transfer = DUMP.to_owned();
        assert_eq!(says(&input).0, Severity::Info);
        input.target.as_mut().unwrap().libc = crate::facts::container::Libc::Musl("1.2".to_owned());
        assert!(says(&input).1.contains("another user"));
        input.target.as_mut().unwrap().libc = libc;
        input.request.to = Some(13);
        assert!(says(&input).1.contains("one version"));
        input.request.to = Some(17);
        let spaces = input.server.as_mut().unwrap().tablespaces.as_mut().unwrap();
        spaces.push(Tablespace {
            location: "/mnt/slow".to_owned(),
            ..spaces[0].clone()
        });
        let (severity, text) = says(&input);
        assert_eq!(severity, Severity::Blocker);
        assert!(
            text.contains("1 tablespace:") && text.contains("/mnt/slow is not below /data"),
            "{text}"
        );
        input.server.as_mut().unwrap().tablespaces = None;
        fires("tablespaces", &input);
    }
}
