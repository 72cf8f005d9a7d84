//! The target image has every library that is preloaded.

use super::{Check, Concerns, Finding, Run, Severity, Target, numbered};
use crate::facts::server::Setting;

/// The target image has every library that is preloaded.
pub(super) const CHECK: Check = Check {
    id: "preload-libraries",
    title: "The target image has every library that the server preloads",
    why: "A server whose shared_preload_libraries names a missing library does not start",
    mend: "Remove it from shared_preload_libraries, or take an image that has it",
    severity: Severity::Blocker,
    waivable: true,
    concerns: Concerns::Contents,
    queries: &[],
    run: Run::Target(run),
};

fn run(target: &Target<'_>) -> Vec<Finding> {
    let preload: Vec<&String> = target
        .server
        .shared_preload
        .iter()
        .chain(&target.server.session_preload)
        .collect();
    if preload.is_empty() {
        return Vec::new();
    }
    let Some(have) = &target.target.libraries else {
        return vec![Finding::blocker(
            "the libraries of the target image could not be listed",
        )];
    };
    // What only the old image preloads is said by image-family.
    let dropped = |library: &String| {
        let crossing = target.input.crossing.as_ref();
        crossing.is_some_and(|crossing| crossing.dropped_libraries.contains(library))
    };
    let missing: Vec<&String> = preload
        .into_iter()
        .filter(|library| !have.contains(base_name(library)) && !dropped(library))
        .collect();
    if missing.is_empty() {
        return Vec::new();
    }
    let place = [
        "shared_preload_libraries",
        "session_preload_libraries",
        "local_preload_libraries",
    ]
    .iter()
    .filter_map(|name| target.server.setting(name))
    .map(place)
    .collect::<Vec<_>>()
    .join(", ");
    vec![
        Finding::blocker(format!(
            "the target image lacks {} that the server preloads",
            numbered(missing.len(), "library")
        ))
        .objects(missing)
        .fix(format!(
            "take an image that has it with --image, or remove it from {place}"
        )),
    ]
}

/// Where a setting comes from, as people would look for it.
fn place(setting: &Setting) -> String {
    match (&setting.file, setting.line) {
        (Some(file), Some(line)) => format!("{} ({file} line {line})", setting.name),
        _ => format!("{} ({})", setting.name, setting.source),
    }
}

fn base_name(library: &str) -> &str {
    library.rsplit('/').next().unwrap_or(library)
}

#[cfg(test)]
mod tests {
    use super::super::testing::{fires, input, silent};

    #[test]
    fn a_missing_preload_is_named() {
        let mut input = input();
        silent("preload-libraries", &input);
        input.server.as_mut().unwrap().shared_preload =
            vec!["pg_stat_statements".to_owned(), "pg_cron".to_owned()];
        assert_eq!(fires("preload-libraries", &input)[0].objects, ["pg_cron"]);
        input.target.as_mut().unwrap().libraries = None;
        fires("preload-libraries", &input);
    }
}
