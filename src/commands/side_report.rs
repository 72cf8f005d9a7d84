//! Two servers as a pod of ours saw them: for people, for scripts.

use serde_json::{Value, json};

use super::report::API_VERSION;
use crate::facts::instance::ObjectId;
use crate::output::{Report, TableSection, human_bytes};
use crate::record::Side;

/// What will not be as it was, one sentence each.
pub(super) fn remarks(ready: &Value) -> Vec<String> {
    let list = |value: &'_ Value| -> Vec<String> {
        let list = value.as_array().into_iter().flatten();
        list.filter_map(|v| v.as_str().map(str::to_owned)).collect()
    };
    let words = |key: &str| list(&ready[key]);
    let mut remarks = Vec::new();
    let md5 = words("md5");
    if !md5.is_empty() {
        remarks.push(format!(
            "roles with an md5 hash, which they keep: {}; a server that asks for SCRAM lets them in once they get a new password",
            md5.join(", ")
        ));
    }
    let removed = words("removed");
    if !removed.is_empty() {
        remarks.push(format!(
            "settings of roles that the new server does not know, or that its administrator may not set, are left out: {}",
            removed.join(", ")
        ));
    }
    let every = words("every");
    if !every.is_empty() {
        let fate = if ready["weak"].is_null() {
            "hold for every role of the new server from the load on"
        } else {
            "cannot be given by the new server's administrator and are left out"
        };
        remarks.push(format!(
            "settings of every role (ALTER ROLE ALL) {fate}: {}",
            every.join(", ")
        ));
    }
    let roles = list(&ready["weak"]["roles"]);
    if !roles.is_empty() {
        remarks.push(format!(
            "roles that lose SUPERUSER, REPLICATION and BYPASSRLS, which the new server's administrator cannot give: {}",
            roles.join(", ")
        ));
    }
    let grants = list(&ready["weak"]["grants"]);
    if !grants.is_empty() {
        remarks.push(format!(
            "memberships that the new server's administrator cannot give are left out: {}",
            grants.join(", ")
        ));
    }
    remarks
}

/// Databases of a report of the pod, with their sizes.
pub(super) fn holdings(databases: &Value) -> String {
    let all: Vec<String> = databases
        .as_array()
        .into_iter()
        .flatten()
        .map(|d| {
            let bytes = human_bytes(d["bytes"].as_u64().unwrap_or(0));
            format!("{:?} ({bytes})", d["name"].as_str().unwrap_or_default())
        })
        .collect();
    if all.is_empty() {
        "no database with anything in it".to_owned()
    } else {
        format!("database {}", all.join(", "))
    }
}

/// Both servers, printable.
pub(super) struct PairReport<'a> {
    pub(super) old: &'a ObjectId,
    pub(super) side: &'a Side,
    /// What the pod says of both.
    pub(super) ready: &'a Value,
}

impl Report for PairReport<'_> {
    fn json(&self) -> Value {
        let (side, ready) = (self.side, self.ready);
        json!({
            "apiVersion": API_VERSION,
            "kind": "ServerPair",
            "from": {"workload": self.old, "server": ready["old"], "databases": ready["source"]},
            "to": {"name": side.new.name(), "server": ready["new"], "databases": ready["lost"]},
            "md5Roles": ready["md5"],
            "removedSettings": ready["removed"],
            "settingsOfEveryRole": ready["every"],
            "leftOut": ready["weak"],
        })
    }

    fn tables(&self, _wide: bool) -> Vec<TableSection> {
        let (side, ready) = (self.side, self.ready);
        let mut table = TableSection::fields();
        table.field("From", self.old.to_string());
        table.field("To", side.new.to_string());
        table.field(
            "Versions",
            format!("{} -> {}", side.from_version, side.to_version),
        );
        table.field("Holds", holdings(&ready["source"]));
        table.field("Target holds", holdings(&ready["lost"]));
        vec![table]
    }

    fn names(&self) -> Vec<String> {
        let workload = self.old;
        vec![format!(
            "{}/{}",
            workload.kind.to_lowercase(),
            workload.name
        )]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_would_be_lost_is_told_with_its_size_and_hostile_names_on_one_line() {
        let databases = json!([{"name": "a\"b\nc", "bytes": 1 << 20}]);
        assert_eq!(holdings(&databases), r#"database "a\"b\nc" (1.0 MiB)"#);
        assert_eq!(holdings(&json!([])), "no database with anything in it");
    }

    #[test]
    fn md5_roles_and_removed_settings_are_said() {
        let said =
            remarks(&json!({"md5": ["legacy"], "removed": ["vacuum_cleanup_index_scale_factor"]}));
        assert!(
            said[0].contains("legacy") && said[1].contains("vacuum_cleanup"),
            "{said:?}"
        );
        assert_eq!(
            remarks(&json!({"md5": [], "removed": [], "weak": null})),
            [""; 0]
        );
        let weak = json!({"roles": ["boss"], "grants": ["legacy in pg_monitor"]});
        let said = remarks(&json!({"every": ["jit"], "weak": weak}));
        assert!(
            said[0].ends_with("left out: jit")
                && said[1].contains("boss")
                && said[2].contains("legacy in pg_monitor"),
            "{said:?}"
        );
        let said = remarks(&json!({"every": ["jit", "work_mem"], "weak": null}));
        assert!(
            said[0].ends_with("from the load on: jit, work_mem"),
            "{said:?}"
        );
    }
}
