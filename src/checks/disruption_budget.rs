//! A PodDisruptionBudget covers the server only while it runs.

use super::{Check, CheckInput, Concerns, Finding, Run, Severity};

/// A PodDisruptionBudget covers the server only while it runs.
pub(super) const CHECK: Check = Check {
    id: "disruption-budget",
    title: "No PodDisruptionBudget covers the server",
    why: "A budget does not hold the upgrade up, and it does not cover the upgrade pod: a drained node ends it in the outage, and the run goes on elsewhere",
    mend: "Drain no node during the upgrade",
    severity: Severity::Info,
    waivable: true,
    concerns: Concerns::Place,
    queries: &[],
    run: Run::Kubernetes(run),
};

fn run(input: &CheckInput) -> Vec<Finding> {
    let budgets = &input.instance.disruption_budgets;
    if budgets.is_empty() {
        return Vec::new();
    }
    vec![
        Finding::info(format!(
            "{} is covered by a PodDisruptionBudget, the upgrade pod is not",
            input.instance.workload
        ))
        .objects(budgets.iter().cloned()),
    ]
}

#[cfg(test)]
mod tests {
    use super::super::Severity;
    use super::super::testing::{fires, input, silent};

    #[test]
    fn a_budget_is_good_to_know() {
        let mut input = input();
        silent("disruption-budget", &input);
        input.instance.disruption_budgets = vec!["pg".to_owned()];
        assert_eq!(
            fires("disruption-budget", &input)[0].severity,
            Severity::Info
        );
    }
}
