//! The dump's own claim can be used.

use super::{Check, CheckInput, Concerns, Finding, Run, Severity};
use crate::facts::dump_claim::DumpClaimFacts;
use crate::facts::server::ServerFacts;
use crate::output::human_bytes;
use crate::plan::dump::bytes_needed;

/// The dump's own claim can be used.
pub(super) const CHECK: Check = Check {
    id: "dump-claim",
    title: "The claim of --dump-claim can take the dump",
    why: "The upgrade pod mounts it beside the data claim, on the server's node, and the whole dump lies there",
    mend: "Name another claim, or say a size to have one made",
    severity: Severity::Blocker,
    waivable: true,
    concerns: Concerns::Contents,
    queries: &[],
    run: Run::Kubernetes(run),
};

fn run(input: &CheckInput) -> Vec<Finding> {
    let Some(claim) = &input.surroundings.dump_claim else {
        return Vec::new();
    };
    let data = input.instance.claim.as_ref();
    let Some(name) = &claim.name else {
        let classless = data.is_none_or(|c| c.storage_class.is_empty());
        return if classless {
            vec![
                Finding::blocker(
                    "the data claim has no storage class of which another claim could be made",
                )
                .fix("make a claim yourself and name it with --dump-claim NAME"),
            ]
        } else {
            room(input, claim, "a claim")
        };
    };
    if !claim.exists {
        return vec![
            Finding::blocker(format!("there is no PersistentVolumeClaim {name}"))
                .fix("name one that exists, or have one made: --dump-claim 5Gi"),
        ];
    }
    let mut findings = Vec::new();
    let mut blocker = |message: String| findings.push(Finding::blocker(message));
    if data.is_some_and(|c| c.id.name == *name) {
        blocker(format!(
            "{name} is the data claim itself; without --dump-claim the dump lies there"
        ));
        return findings;
    }
    if let Some(why) = &claim.unfit {
        blocker(format!("claim {name} {why}"));
    }
    if claim.access_modes.iter().all(|mode| mode == "ReadOnlyMany") {
        blocker(format!("claim {name} may only be read"));
    }
    if claim.out_of_reach {
        blocker(format!(
            "the volume of claim {name} cannot be mounted on the server's node"
        ));
    }
    let node = input.instance.pod.as_ref().map(|pod| pod.node.as_str());
    if let Some((pod, place)) = claim.in_the_way(node) {
        blocker(format!(
            "claim {name} is in use by pod {pod} on node {place}, and its access mode ({}) keeps the upgrade pod out",
            claim.access_modes.join(", ")
        ));
    }
    if findings.is_empty() && !claim.used_by.is_empty() {
        let pods: Vec<&str> = claim.used_by.iter().map(|(pod, _)| pod.as_str()).collect();
        findings.push(
            Finding::warning(format!("claim {name} is in use by other pods too")).objects(pods),
        );
    }
    findings.extend(room(input, claim, &format!("claim {name}")));
    findings
}

/// The claim's size against what the dump may take; nothing is known of a claim that is not bound yet.
fn room(input: &CheckInput, claim: &DumpClaimFacts, what: &str) -> Vec<Finding> {
    let server = input.server.as_ref();
    let data = server.and_then(ServerFacts::data_kib).map(|kib| kib * 1024);
    let needed = data.map_or(0, bytes_needed);
    if claim.bytes == 0 || claim.bytes >= needed {
        return Vec::new();
    }
    vec![Finding::blocker(format!(
        "{what} of {} is too small for the dump, which may take {}",
        human_bytes(claim.bytes),
        human_bytes(needed)
    ))]
}

#[cfg(test)]
mod tests {
    use super::super::testing::{fires, input, silent};
    use super::*;

    fn with(change: impl FnOnce(&mut DumpClaimFacts)) -> CheckInput {
        let mut input = input();
        let mut claim = DumpClaimFacts {
            name: Some("backups".to_owned()),
            exists: true,
            bytes: 8 << 30,
            access_modes: vec!["ReadWriteOnce".to_owned()],
            ..DumpClaimFacts::default()
        };
        change(&mut claim);
        input.surroundings.dump_claim = Some(claim);
        input
    }

    #[test]
    fn a_claim_that_cannot_be_used_is_refused_with_its_reason() {
        silent("dump-claim", &input());
        silent("dump-claim", &with(|_| ()));
        let refusal = |change: fn(&mut DumpClaimFacts)| {
            let finding = fires("dump-claim", &with(change)).remove(0);
            assert_eq!(finding.severity, Severity::Blocker);
            finding.message
        };
        assert!(refusal(|c| c.exists = false).contains("no PersistentVolumeClaim backups"));
        assert!(refusal(|c| c.name = Some("data-pg-0".into())).contains("data claim itself"));
        assert!(
            refusal(|c| c.unfit = Some("is being deleted".into())).contains("backups is being")
        );
        assert!(refusal(|c| c.access_modes = vec!["ReadOnlyMany".into()]).contains("only be read"));
        assert!(refusal(|c| c.out_of_reach = true).contains("server's node"));
        assert!(refusal(|c| c.bytes = 1 << 20).contains("too small"));
        assert!(
            refusal(|c| c.used_by = vec![("nightly".into(), "node-2".into())])
                .contains("nightly on node node-2")
        );
    }

    #[test]
    fn pods_beside_it_are_named_and_no_blocker() {
        let input = with(|c| c.used_by = vec![("nightly".into(), "node-1".into())]);
        let finding = fires("dump-claim", &input).remove(0);
        assert_eq!(
            (finding.severity, finding.objects[0].as_str()),
            (Severity::Warning, "nightly")
        );
        silent(
            "dump-claim",
            &with(|c| (c.name, c.access_modes) = (None, Vec::new())),
        );
        let mut classless = with(|c| c.name = None);
        classless.instance.claim.as_mut().unwrap().storage_class = String::new();
        fires("dump-claim", &classless);
    }
}
