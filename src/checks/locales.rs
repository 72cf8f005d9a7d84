//! The target image has every locale.

use super::{Check, Concerns, Finding, Run, Severity, Target, name, numbered};
use std::collections::{BTreeMap, BTreeSet};

use crate::facts::container::Libc;
use crate::facts::server::LocaleProvider;

/// The target image has every locale.
pub(super) const CHECK: Check = Check {
    id: "locales",
    title: "The target image has every locale in use",
    why: "Without its locale the old server does not even start on the libraries of the new image, and the new one cannot open the database",
    mend: "Take an image that has the locale, or build one: localedef -i en_US -f UTF-8 en_US.UTF-8",
    severity: Severity::Blocker,
    waivable: false,
    concerns: Concerns::Contents,
    queries: &[],
    run: Run::Target(run),
};

fn run(target: &Target<'_>) -> Vec<Finding> {
    if matches!(target.target.libc, Libc::Musl(_)) {
        return Vec::new();
    }
    let Some(have) = &target.target.locales else {
        return vec![Finding::blocker(
            "the locales of the target image could not be listed",
        )];
    };
    let have: BTreeSet<String> = have.iter().map(|locale| normal(locale)).collect();
    let mut missing: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    let mut need = |locale: &str, user: String| {
        if !is_built_in(locale) && !have.contains(&normal(locale)) {
            let users = missing.entry(locale.to_owned()).or_default();
            users.insert(user);
        }
    };
    let wished = target.input.request.wish.sorted_by(target.server);
    // Databases that are made anew leave the locale of the old ones behind.
    let anew = match &wished {
        Some((LocaleProvider::Libc, locale)) => {
            need(locale.as_str(), "--locale".to_owned());
            true
        }
        _ => false,
    };
    for database in target.server.databases.iter().filter(|_| !anew) {
        for locale in [&database.collate, &database.ctype] {
            need(locale, format!("database {}", name(&database.name)));
        }
    }
    for setting in &target.server.settings {
        if let (true, Some(value)) = (setting.name.starts_with("lc_"), &setting.value) {
            need(value, format!("setting {}", setting.name));
        }
    }
    if missing.is_empty() {
        return Vec::new();
    }
    let names: Vec<&str> = missing.keys().map(String::as_str).collect();
    vec![
        Finding::blocker(format!(
            "the target image lacks {}: {}",
            numbered(names.len(), "locale"),
            names.join(", ")
        ))
        .objects(missing.values().flatten().cloned().collect::<BTreeSet<_>>())
        .fix(format!(
            "take an image that has {} with --image",
            names.join(", ")
        )),
    ]
}

/// Locales that are part of every C library or of the server.
fn is_built_in(locale: &str) -> bool {
    matches!(normal(locale).as_str(), "" | "c" | "posix" | "c.utf8")
}

/// `en_US.UTF-8` and `en_US.utf8` are the same to the C library.
fn normal(locale: &str) -> String {
    let lower = locale.to_ascii_lowercase();
    match lower.split_once('.') {
        None => lower,
        Some((language, rest)) => {
            let (codeset, modifier) = rest
                .split_once('@')
                .map_or((rest, String::new()), |(codeset, m)| {
                    (codeset, format!("@{m}"))
                });
            format!("{language}.{}{modifier}", codeset.replace(['-', '_'], ""))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{fires, input, silent};
    use super::*;

    #[test]
    fn a_locale_that_is_missing_is_named_with_its_users() {
        let mut input = input();
        silent("locales", &input);
        let server = input.server.as_mut().unwrap();
        server
            .databases
            .iter_mut()
            .find(|d| d.name == "postgres")
            .unwrap()
            .ctype = "de_DE.UTF-8".to_owned();
        let finding = fires("locales", &input).remove(0);
        assert_eq!(
            finding.message,
            "the target image lacks 1 locale: de_DE.UTF-8"
        );
        assert_eq!(finding.objects, ["database postgres"]);
        input.target.as_mut().unwrap().locales = None;
        fires("locales", &input);
    }

    #[test]
    fn databases_that_are_made_anew_need_the_locale_asked_for() {
        let mut input = input();
        input.server.as_mut().unwrap().databases[0].ctype = "de_DE.UTF-8".to_owned();
        input.request.wish.locale = Some("C.UTF-8".to_owned());
        silent("locales", &input);
        input.request.wish.locale = Some("xx_XX".to_owned());
        assert_eq!(fires("locales", &input)[0].objects, ["--locale"]);
    }

    #[test]
    fn spellings_of_one_locale_are_the_same() {
        assert_eq!(normal("en_US.UTF-8"), normal("en_US.utf8"));
        assert_eq!(normal("de_DE.ISO-8859-15@euro"), "de_de.iso885915@euro");
        assert!(is_built_in("C.UTF-8") && is_built_in("POSIX") && !is_built_in("en_US.utf8"));
    }
}
