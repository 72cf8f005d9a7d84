//! What the user changes in values or manifests so that the next deployment does not put the old image back.

use std::fmt::Write as _;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::{Value, json};

use super::Session;
use crate::error::{Failure, Result};
use crate::facts::instance::{Family, OwnerKind};
use crate::output;
use crate::postgres::image;
use crate::record::{Record, Upgrade, with_image};

/// `--patch-file`.
#[derive(Args, Debug, Clone, Default)]
pub(super) struct PatchFileArgs {
    /// Write the permanent change of the workload to a file, for kubectl patch --patch-file and as a model for values.yaml
    #[arg(long, value_name = "FILE")]
    patch_file: Option<PathBuf>,
}

impl PatchFileArgs {
    /// A file was asked for.
    pub(super) fn is_wanted(&self) -> bool {
        self.patch_file.is_some()
    }

    /// Looks whether the file can be written in the end, before anything is done.
    ///
    /// # Errors
    /// Exit code 2 when there is a file of that name, or no directory for it.
    pub(super) fn check(&self) -> Result<()> {
        let Some(path) = &self.patch_file else {
            return Ok(());
        };
        let directory = path.parent().filter(|p| !p.as_os_str().is_empty());
        let why = if path.symlink_metadata().is_ok() {
            "it exists already".to_owned()
        } else if let Some(none) = directory.filter(|directory| !directory.is_dir()) {
            format!("{} is not a directory", none.display())
        } else {
            return Ok(());
        };
        let what = format!("--patch-file {}: {why}", path.display());
        Err(Failure::usage(what).hint("nothing was changed; name a new file"))
    }

    /// Writes the file. The upgrade is done, so a file that cannot be written is no failure of it.
    pub(super) fn write(&self, session: &Session, record: &Record) {
        let (Some(path), Some(upgrade)) = (&self.patch_file, &record.upgrade) else {
            return;
        };
        match file(record, upgrade, path).and_then(|text| create(path, &text)) {
            Ok(()) => session
                .ui
                .say(format!("The permanent change is in {}", path.display())),
            Err(error) => session
                .ui
                .warn(format!("{} could not be written: {error}", path.display())),
        }
    }
}

/// Nothing that came into being meanwhile is overwritten.
fn create(path: &Path, text: &str) -> std::io::Result<()> {
    let mut file = std::fs::File::create_new(path)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()
}

/// Says on stderr what to make permanent, by who owns the workload.
pub(super) fn tell(session: &Session, record: &Record) {
    let Some(upgrade) = &record.upgrade else {
        return;
    };
    let target = record.target();
    let container = &record.instance.container;
    let changed = upgrade.template.is_some();
    let pgdata = match upgrade.new_pgdata() {
        _ if changed => " and the pod template as below".to_owned(),
        Some(dir) => format!(" and env PGDATA={dir}"),
        None => String::new(),
    };
    if record.is_load() {
        return session.ui.say(format!(
            "The data before is kept in {}/old-{}: restore --from archive puts it back, kubectl pg-upgrade cleanup removes it.",
            upgrade.run_directory, upgrade.from
        ));
    }
    session.ui.say("Make it permanent:");
    let mut said = false;
    for owner in &record.instance.owners {
        let text = match owner.kind {
            OwnerKind::Helm => format!(
                "  Helm release {}: set the image of container {container} to {}{pgdata} in its values, or the next helm upgrade puts {} back",
                owner.name, upgrade.new_image, upgrade.old_image
            ),
            OwnerKind::ArgoCd | OwnerKind::Flux => format!(
                "  {}: commit image {}{pgdata} for container {container} of {target}, or the next sync puts {} back",
                owner.name, upgrade.new_image, upgrade.old_image
            ),
            OwnerKind::Operator | OwnerKind::Other => continue,
        };
        session.ui.say(text);
        said = true;
    }
    if !said {
        session.ui.say(format!(
            "  in the manifest of {target}: container {container}: image: {}{pgdata}",
            upgrade.new_image
        ));
    }
    if changed && let Ok(text) = output::yaml(&patch(record, upgrade)) {
        for line in text.lines() {
            session.ui.say(format!("    {line}"));
        }
    }
    session.ui.say(format!(
        "The old data directory is kept in {}/old-{}; kubectl pg-upgrade cleanup shows and removes it.",
        upgrade.run_directory, upgrade.from
    ));
}

/// The strategic merge patch of the workload that makes the old manifest the new one.
fn patch(record: &Record, upgrade: &Upgrade) -> Value {
    let container = &record.instance.container;
    let change = upgrade.change(container).map(|change| change.forward);
    let spec = with_image(change.as_ref(), container, &upgrade.new_image);
    json!({"spec": {"template": {"spec": spec}}})
}

/// The patch, with a comment that says where it goes.
fn file(record: &Record, upgrade: &Upgrade, path: &Path) -> std::io::Result<String> {
    let target = record.target();
    let mut text = format!(
        "# {target} from PostgreSQL {} to {}, as run {} left it. On a manifest of the old version:\n\
         #   kubectl -n {} patch {} {} --patch-file {}\n",
        upgrade.from_version,
        upgrade.to_version,
        record.run,
        target.namespace,
        target.kind.to_lowercase(),
        target.name,
        path.display()
    );
    for owner in &record.instance.owners {
        match owner.kind {
            OwnerKind::Helm => text.push_str(&values(record, upgrade, &owner.name)),
            OwnerKind::ArgoCd | OwnerKind::Flux => {
                let _ = writeln!(
                    text,
                    "# {} puts the old one back unless this is committed where it reads.",
                    owner.name
                );
            }
            OwnerKind::Operator | OwnerKind::Other => {}
        }
    }
    Ok(text + &output::yaml(&patch(record, upgrade))?)
}

/// What to put into the values of a Helm release, as a comment.
fn values(record: &Record, upgrade: &Upgrade, release: &str) -> String {
    let (registry, repository, tag) = parts(&upgrade.new_image);
    let mut text = format!(
        "# Helm release {release} puts the old one back at its next upgrade. In its values.yaml:\n"
    );
    if record.instance.family == Family::Bitnami {
        text.push_str("# (of Bitnami's chart; below the name of the dependency where it is a part of another chart)\n");
    }
    let _ = writeln!(
        text,
        "#   image: {{registry: {registry}, repository: {repository}, tag: \"{tag}\"}}"
    );
    if upgrade.template.is_some() {
        text.push_str(
            "#   global: {security: {allowInsecureImages: true}}   # the chart takes no other image without it\n\
             #   primary: with what follows in containerSecurityContext, extraEnvVars, extraVolumes, extraVolumeMounts, command and args,\n\
             #     and the commands of probes in customLivenessProbe, customReadinessProbe and customStartupProbe (with their timings)\n",
        );
    } else if upgrade.new_pgdata().is_some() {
        text.push_str("#   and the variable PGDATA as it follows\n");
    }
    text
}

/// Registry, repository and tag (or digest) as charts want them.
fn parts(reference: &str) -> (String, String, String) {
    let Ok(parsed) = image::parse(reference) else {
        return (String::new(), reference.to_owned(), String::new());
    };
    let tag = parsed.tag.or(parsed.digest).unwrap_or("latest").to_owned();
    let own = |(host, _): &(&str, &str)| host.contains(['.', ':']) || *host == "localhost";
    let (registry, repository) = match parsed.repository.split_once('/').filter(own) {
        Some((host, path)) => (host, path.to_owned()),
        None if parsed.repository.contains('/') => ("docker.io", parsed.repository.to_owned()),
        None => ("docker.io", format!("library/{}", parsed.repository)),
    };
    (registry.to_owned(), repository, tag)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::facts::instance::Owner;
    use crate::plan::crossing::tests::facts;

    fn record() -> Record {
        facts().record()
    }

    fn text(record: &Record) -> String {
        let upgrade = record.upgrade.as_ref().unwrap();
        file(record, upgrade, Path::new("pg.yaml")).unwrap()
    }

    #[test]
    fn the_file_of_a_crossing_is_a_patch_with_what_helm_needs_to_know() {
        let mut record = record();
        record.instance.owners = vec![Owner {
            kind: OwnerKind::Helm,
            name: "pay".to_owned(),
            object: String::new(),
        }];
        crate::plan::crossing::tests::golden("permanent-bitnami.yaml", &text(&record));
        let parsed: Value = serde_saphyr::from_str(&text(&record)).unwrap();
        assert_eq!(
            parsed["spec"]["template"]["spec"]["containers"][0]["image"],
            "docker.io/library/postgres:17"
        );
    }

    #[test]
    fn the_file_of_a_plain_upgrade_has_the_image_and_pgdata_where_it_is_set() {
        let mut record = record();
        let upgrade = record.upgrade.as_mut().unwrap();
        upgrade.template = None;
        let patch_of = |record: &Record| {
            let parsed: Value = serde_saphyr::from_str(&text(record)).unwrap();
            parsed["spec"]["template"]["spec"].clone()
        };
        let image = "docker.io/library/postgres:17";
        assert_eq!(
            patch_of(&record),
            json!({"containers": [{"name": "postgresql", "image": image}]})
        );
        record.upgrade.as_mut().unwrap().set_pgdata = Some("/data".to_owned());
        assert_eq!(
            patch_of(&record),
            json!({"containers": [{"name": "postgresql", "image": image, "env": [{"name": "PGDATA", "value": "/data"}]}]})
        );
    }

    #[test]
    fn a_file_that_exists_is_refused_and_never_overwritten() {
        let folder = tempfile::tempdir().unwrap();
        let args = |name: &str| PatchFileArgs {
            patch_file: Some(folder.path().join(name)),
        };
        assert!(args("new").check().is_ok());
        std::fs::write(folder.path().join("old"), "mine").unwrap();
        let failure = args("old").check().unwrap_err();
        assert_eq!(failure.exit, crate::error::Exit::Usage);
        assert!(create(&folder.path().join("old"), "x").is_err());
        assert!(args("none/new").check().is_err());
        assert!(PatchFileArgs::default().check().is_ok());
    }

    #[test]
    fn images_are_taken_apart_as_charts_want_them() {
        let own = |text: &str| {
            let (registry, repository, tag) = parts(text);
            format!("{registry} {repository} {tag}")
        };
        assert_eq!(own("postgres:17"), "docker.io library/postgres 17");
        assert_eq!(own("r.example:5000/a/pg:17"), "r.example:5000 a/pg 17");
        assert_eq!(own("a/pg@sha256:0"), "docker.io a/pg sha256:0");
    }
}
