//! No prepared transactions.

use super::{
    Check, Concerns, Finding, Live, Run, Severity, in_database, name, numbered, statements, unknown,
};
use crate::postgres::quote::literal;

/// No prepared transactions.
pub(super) const CHECK: Check = Check {
    id: "prepared-transactions",
    title: "No transaction is prepared",
    why: "pg_upgrade refuses a cluster with prepared transactions, and what they hold would be lost",
    mend: "COMMIT PREPARED or ROLLBACK PREPARED, in the database of each",
    severity: Severity::Blocker,
    waivable: false,
    concerns: Concerns::Contents,
    queries: &[],
    run: Run::Live(run),
};

fn run(live: &Live<'_>) -> Vec<Finding> {
    let Some(prepared) = &live.server.prepared else {
        return vec![unknown("prepared transactions", live.server)];
    };
    if prepared.is_empty() {
        return Vec::new();
    }
    let fixes: Vec<String> = prepared
        .iter()
        .map(|x| {
            in_database(
                &x.database,
                &format!("ROLLBACK PREPARED{}", pad(&literal(&x.gid))),
            )
        })
        .collect();
    vec![
        Finding::blocker(numbered(prepared.len(), "prepared transaction"))
            .objects(prepared.iter().map(|x| {
                format!(
                    "{} in {} by {}, {}",
                    x.gid,
                    name(&x.database),
                    name(&x.owner),
                    x.prepared
                )
            }))
            .fix(format!("COMMIT PREPARED or {}", statements(&fixes))),
    ]
}

fn pad(literal: &str) -> String {
    format!(" {}", literal.trim_start())
}

#[cfg(test)]
mod tests {
    use super::super::testing::{fires, input, silent};

    #[test]
    fn each_is_named_with_the_statement_that_ends_it() {
        let mut input = input();
        silent("prepared-transactions", &input);
        input.server.as_mut().unwrap().prepared = None;
        assert!(
            fires("prepared-transactions", &input)[0]
                .message
                .contains("could not be read")
        );
        let finding = fires("prepared-transactions", &super::super::testing::troubled()).remove(0);
        assert_eq!(finding.message, "1 prepared transaction");
        assert_eq!(
            finding.fix,
            "COMMIT PREPARED or in app: ROLLBACK PREPARED 'it''s one'"
        );
    }
}
