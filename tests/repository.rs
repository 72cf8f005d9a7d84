//! What is in the repository beside the program: packaging, completion, Makefile, and the layers of the code.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde::Deserialize;
use sha2::{Digest as _, Sha256};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: impl AsRef<Path>) -> String {
    let path = root().join(path);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn ran(command: &mut Command) -> Output {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{command:?}: {output:?}");
    output
}

/// A krew manifest; krew itself ignores what it does not know, this does not.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Manifest {
    api_version: String,
    kind: String,
    metadata: Metadata,
    spec: Spec,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Metadata {
    name: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Spec {
    version: String,
    homepage: String,
    short_description: String,
    description: String,
    caveats: String,
    platforms: Vec<Platform>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Platform {
    selector: Selector,
    uri: String,
    sha256: String,
    bin: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Selector {
    match_labels: Labels,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Labels {
    os: String,
    arch: String,
}

/// Reads a manifest and checks what krew's `validate-krew-manifest` checks.
fn manifest(text: &str) -> Manifest {
    let manifest: Manifest = serde_saphyr::from_str(text).unwrap();
    assert_eq!(
        manifest.api_version,
        "krew.googlecontainertools.github.com/v1alpha2"
    );
    assert_eq!(manifest.kind, "Plugin");
    assert_eq!(manifest.metadata.name, "pg-upgrade");
    let spec = &manifest.spec;
    assert_eq!(spec.version, concat!("v", env!("CARGO_PKG_VERSION")));
    assert!(spec.homepage.starts_with("https://"));
    assert!(spec.short_description.len() <= 50 && !spec.short_description.contains('\n'));
    assert!(!spec.short_description.ends_with('.'));
    assert!(!spec.description.trim().is_empty() && !spec.caveats.trim().is_empty());
    assert!(!spec.platforms.is_empty());
    let mut seen = BTreeSet::new();
    for platform in &spec.platforms {
        let Labels { os, arch } = &platform.selector.match_labels;
        assert!(seen.insert((os, arch)), "{os}/{arch} is there twice");
        assert!(["linux", "darwin"].contains(&os.as_str()), "{os}");
        assert!(["amd64", "arm64"].contains(&arch.as_str()), "{arch}");
        let archive = format!(
            "/{}/kubectl-pg_upgrade_{}_{os}_{arch}.tar.gz",
            spec.version,
            env!("CARGO_PKG_VERSION")
        );
        assert!(platform.uri.ends_with(&archive), "{}", platform.uri);
        assert!(platform.uri.starts_with("https://"), "{}", platform.uri);
        assert_eq!(platform.sha256.len(), 64);
        assert!(
            platform
                .sha256
                .bytes()
                .all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
        );
        assert_eq!(platform.bin, "kubectl-pg_upgrade");
    }
    manifest
}

fn package(binary: &Path, out: &Path) {
    ran(Command::new(root().join("krew/package.sh"))
        .arg("--binary")
        .arg(binary)
        .arg("--out")
        .arg(out));
}

#[test]
fn the_krew_manifest_has_the_shape_that_krew_takes() {
    let manifest = manifest(&read("krew/pg-upgrade.yaml"));
    assert_eq!(manifest.spec.platforms.len(), 4);
}

#[test]
fn a_package_is_what_its_manifest_says() {
    let folder = tempfile::tempdir().unwrap();
    let binary = folder.path().join("anything");
    fs::write(&binary, "#!/bin/sh\necho plugin\n").unwrap();
    let out = folder.path().join("one");
    package(&binary, &out);

    let manifest = manifest(&fs::read_to_string(out.join("pg-upgrade.yaml")).unwrap());
    let [platform] = &manifest.spec.platforms[..] else {
        panic!("a local manifest names the one platform that was packed");
    };
    let name = platform.uri.rsplit('/').next().unwrap();
    let archive = fs::read(out.join(name)).unwrap();
    let sha256 = Sha256::digest(&archive)
        .iter()
        .fold(String::new(), |text, byte| format!("{text}{byte:02x}"));
    assert_eq!(platform.sha256, sha256);
    assert_eq!(
        fs::read_to_string(out.join("SHA256SUMS")).unwrap(),
        format!("{sha256}  {name}\n")
    );

    let unpacked = folder.path().join("unpacked");
    fs::create_dir(&unpacked).unwrap();
    ran(Command::new("tar")
        .arg("-xzf")
        .arg(out.join(name))
        .arg("-C")
        .arg(&unpacked));
    for file in ["kubectl-pg_upgrade", "kubectl_complete-pg_upgrade"] {
        let mode = fs::metadata(unpacked.join(file))
            .unwrap()
            .permissions()
            .mode();
        assert_eq!(mode & 0o777, 0o755, "{file}");
    }
    // Krew's submission checklist wants the licence in the archive.
    assert_eq!(
        fs::read_to_string(unpacked.join("LICENSE")).unwrap(),
        read("LICENSE")
    );
    let plugin = ran(&mut Command::new(unpacked.join(&platform.bin)));
    assert_eq!(plugin.stdout, b"plugin\n");

    let again = folder.path().join("again");
    package(&binary, &again);
    assert_eq!(
        fs::read(again.join(name)).unwrap(),
        archive,
        "not the same bytes"
    );
}

#[test]
fn the_completion_program_hands_every_word_to_the_plugin() {
    let folder = tempfile::tempdir().unwrap();
    let plugin = folder.path().join("kubectl-pg_upgrade");
    fs::write(&plugin, "#!/bin/sh\nprintf '<%s>' \"$@\"\nexit 7\n").unwrap();
    fs::set_permissions(&plugin, fs::Permissions::from_mode(0o755)).unwrap();
    let output = Command::new(root().join("completions/kubectl_complete-pg_upgrade"))
        .args(["upgrade", "two words", ""])
        .env("PATH", format!("{}:/usr/bin:/bin", folder.path().display()))
        .output()
        .unwrap();
    let printed = String::from_utf8(output.stdout).unwrap();
    assert_eq!(printed, "<__complete><upgrade><two words><>");
    assert_eq!(output.status.code(), Some(7));
}

#[test]
fn every_target_of_the_makefile_that_people_type_has_a_help_text() {
    let output = ran(Command::new("make")
        .args(["--no-print-directory", "help"])
        .current_dir(root()));
    let help = String::from_utf8(output.stdout).unwrap();
    for target in [
        "prerequisites",
        "build",
        "package",
        "fmt",
        "lint",
        "test",
        "test-unit",
        "test-servers",
        "test-scripts",
        "test-e2e",
        "demo",
        "bench",
        "cluster-up",
        "cluster-down",
    ] {
        let found = help
            .lines()
            .find(|line| line.split_whitespace().next() == Some(target));
        let text = found.unwrap_or_else(|| panic!("no {target} in\n{help}"));
        assert!(text.split_whitespace().count() > 2, "{text}");
    }
}

/// Every Rust file below a folder of src, or none when the folder is not there yet.
fn sources(folder: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![root().join("src").join(folder)];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).into_iter().flatten() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                found.push(path);
            }
        }
    }
    found
}

#[test]
fn deciding_code_reaches_neither_the_wire_nor_the_clock_nor_the_environment() {
    let mut seen = 0;
    for folder in [
        "facts",
        "postgres",
        "operators",
        "checks",
        "plan",
        "manifests",
    ] {
        for path in sources(folder) {
            // Declared under cfg(test), as a whole.
            if path.ends_with("tests.rs") || path.iter().any(|part| part == "testing") {
                continue;
            }
            seen += 1;
            let text = fs::read_to_string(&path).unwrap();
            // Tests may do what they like; they stand at the end of a file.
            let code = text.split("#[cfg(test)]").next().unwrap();
            for word in [
                "crate::k8s::K8s",
                "crate::exec",
                "crate::commands",
                "kube::Client",
                "kube::Api",
                "async fn",
                ".await",
                "SystemTime::now",
                "Instant::now",
                "Timestamp::now",
                "env::var",
                "std::fs::",
                "tokio::",
            ] {
                let uses = code
                    .lines()
                    .any(|line| line.contains(word) && !line.trim_start().starts_with("//"));
                assert!(!uses, "{} uses {word}", path.display());
            }
        }
    }
    assert!(seen > 0, "the deciding layers are there");
}
