//! The new version has every locale provider.

use super::{Check, Concerns, Finding, Run, Severity, Target, name};
use crate::facts::server::LocaleProvider;

/// The new version has every locale provider.
pub(super) const CHECK: Check = Check {
    id: "locale-provider",
    title: "The target image has the locale providers in use",
    why: "A database whose text is sorted by ICU cannot be opened by a server without ICU",
    mend: "Take an image that is built with ICU",
    severity: Severity::Blocker,
    waivable: false,
    concerns: Concerns::Contents,
    queries: &[],
    run: Run::Target(run),
};

fn run(target: &Target<'_>) -> Vec<Finding> {
    let icu: Vec<String> = target
        .server
        .databases
        .iter()
        .filter(|database| {
            let inside = database
                .contents
                .as_ref()
                .and_then(|contents| contents.collated_indexes.as_ref());
            database.provider == LocaleProvider::Icu
                || inside.is_some_and(|by_provider| by_provider.contains_key("i"))
        })
        .map(|database| name(&database.name))
        .collect();
    if icu.is_empty() || target.target.icu.is_some() {
        Vec::new()
    } else {
        vec![
            Finding::blocker("the target image has no ICU, which databases use")
                .objects(icu)
                .fix("take an image with ICU with --image"),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{fires, input, silent};
    use super::*;

    #[test]
    fn icu_must_be_there_when_it_is_used() {
        let mut input = input();
        input.target.as_mut().unwrap().icu = None;
        silent("locale-provider", &input);
        input.server.as_mut().unwrap().databases[0].provider = LocaleProvider::Icu;
        fires("locale-provider", &input);
    }
}
