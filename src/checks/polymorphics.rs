//! No aggregate or operator uses the old polymorphic array functions.

use super::{Check, Concerns, Finding, Live, Query, Run, Severity, name, rows_finding, text};
use crate::postgres::version::MajorVersion;

const QUERY: Query = Query::database(
    "polymorphics",
    "WITH f AS (SELECT unnest(ARRAY['array_append(anyarray,anyelement)', 'array_cat(anyarray,anyarray)', 'array_prepend(anyelement,anyarray)', \
     'array_remove(anyarray,anyelement)', 'array_replace(anyarray,anyelement,anyelement)', 'array_position(anyarray,anyelement)', \
     'array_position(anyarray,anyelement,integer)', 'array_positions(anyarray,anyelement)', 'width_bucket(anyelement,anyarray)']::regprocedure[]) AS oid) \
     SELECT 'AGGREGATE' AS kind, p.oid::regprocedure::text AS object FROM pg_proc p JOIN pg_aggregate a ON a.aggfnoid = p.oid \
     WHERE p.oid >= 16384 AND a.aggtranstype IN ('anyarray'::regtype, 'anyelement'::regtype) \
     AND (a.aggtransfn::oid IN (SELECT oid FROM f) OR a.aggfinalfn::oid IN (SELECT oid FROM f)) \
     UNION ALL SELECT 'OPERATOR', o.oid::regoperator::text FROM pg_operator o WHERE o.oid >= 16384 AND o.oprcode::oid IN (SELECT oid FROM f) \
     AND o.oprleft IN ('anyarray'::regtype, 'anyelement'::regtype)",
)
.until(MajorVersion::new(13))
.gated("EXISTS (SELECT FROM pg_operator WHERE oid >= '16384') OR EXISTS (SELECT FROM pg_aggregate WHERE aggfnoid::oid >= '16384')");

/// No aggregate or operator uses the old polymorphic array functions.
pub(super) const CHECK: Check = Check {
    id: "polymorphics",
    title: "No aggregate or operator of users is made of the old array functions",
    why: "The arguments of array_append and its like changed in 14: what is made of them fails in the restore of the schema",
    mend: "DROP it, and make it again with anycompatible after the upgrade",
    severity: Severity::Blocker,
    waivable: false,
    concerns: Concerns::Contents,
    queries: &[QUERY],
    run: Run::Change(14, run),
};

fn run(live: &Live<'_>) -> Vec<Finding> {
    rows_finding(
        live.server,
        &QUERY,
        Severity::Blocker,
        (
            "object",
            "made of array functions whose arguments changed in 14",
        ),
        |database, row| {
            let (kind, object) = (text(row, "kind"), text(row, "object"));
            (
                format!("{} {object} in {}", kind.to_lowercase(), name(database)),
                format!("DROP {kind} {object}"),
            )
        },
    )
}

#[cfg(test)]
mod tests {
    use super::super::testing::{fires, input, silent};

    #[test]
    fn they_are_found_on_a_real_server() {
        silent("polymorphics", &input());
        let finding = fires("polymorphics", &super::super::testing::troubled()).remove(0);
        assert_eq!(
            finding.objects,
            ["aggregate public.collect(anyelement) in app"]
        );
    }
}
