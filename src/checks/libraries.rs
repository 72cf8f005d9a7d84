//! The target image has every library that functions are loaded from.

use super::{
    Check, Concerns, Finding, Run, Severity, Target, name, numbered, read_databases, unknown,
};

/// The target image has every library that functions are loaded from.
pub(super) const CHECK: Check = Check {
    id: "libraries",
    title: "The target image has every library that functions in C are loaded from",
    why: "pg_upgrade loads each of them in the new server and refuses when one is missing",
    mend: "Take an image that has the library, or drop the functions",
    severity: Severity::Blocker,
    waivable: false,
    concerns: Concerns::Contents,
    queries: &[],
    run: Run::Target(run),
};

fn run(target: &Target<'_>) -> Vec<Finding> {
    let Some(have) = &target.target.libraries else {
        return vec![Finding::blocker(
            "the libraries of the target image could not be listed",
        )];
    };
    let extensions = target.target.extensions.as_ref();
    let mut findings = Vec::new();
    let mut objects = Vec::new();
    for (database, contents) in read_databases(target.server) {
        let Some(libraries) = &contents.libraries else {
            findings.push(unknown(
                &format!("the libraries of database {}", name(&database.name)),
                target.server,
            ));
            continue;
        };
        for library in libraries {
            // A whole extension that is missing is said by the check of extensions.
            let extension_is_missing = library.extension.as_ref().is_some_and(|extension| {
                extensions.is_some_and(|all| !all.contains_key(extension))
            });
            if !extension_is_missing && !have.contains(base_name(&library.library)) {
                objects.push(format!(
                    "{} in {} ({})",
                    library.library,
                    name(&database.name),
                    library.function
                ));
            }
        }
    }
    if !objects.is_empty() {
        findings.push(
            Finding::blocker(format!(
                "the target image lacks {}",
                numbered(objects.len(), "library")
            ))
            .objects(objects)
            .fix("take an image that has it with --image, or drop the functions"),
        );
    }
    findings
}

/// `$libdir/hstore` and `/usr/lib/x/hstore.so` are both `hstore`.
fn base_name(library: &str) -> &str {
    let file = library.rsplit('/').next().unwrap_or(library);
    file.strip_suffix(".so").unwrap_or(file)
}

#[cfg(test)]
mod tests {
    use super::super::testing::{fires, input, silent};
    use super::*;
    use crate::facts::server::Library;

    #[test]
    fn a_missing_library_is_named() {
        let mut input = input();
        silent("libraries", &input);
        let database = input
            .server
            .as_mut()
            .unwrap()
            .databases
            .iter_mut()
            .find(|d| d.name == "postgres")
            .unwrap();
        database
            .contents
            .as_mut()
            .unwrap()
            .libraries
            .as_mut()
            .unwrap()
            .push(Library {
                library: "$libdir/wrappers-0.1.16".to_owned(),
                extension: None,
                function: "f()".to_owned(),
            });
        assert_eq!(
            fires("libraries", &input)[0].objects,
            ["$libdir/wrappers-0.1.16 in postgres (f())"]
        );
        input.target.as_mut().unwrap().libraries = None;
        fires("libraries", &input);
    }

    #[test]
    fn paths_and_endings_do_not_matter() {
        assert_eq!(base_name("$libdir/plugins/x"), "x");
        assert_eq!(base_name("/usr/lib/postgresql/13/lib/hstore.so"), "hstore");
    }
}
