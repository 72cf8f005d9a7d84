//! Reads the configuration that an image keeps outside the data directory, in the server's container.

use std::time::Duration;

use serde_json::Value;

use super::sql;
use crate::error::{Exit, Failure, Result};
use crate::facts::image_files::ImageFiles;
use crate::facts::server::ServerFacts;
use crate::k8s::K8s;

const SCRIPT: &str = include_str!("../scripts/image-files.sh");

/// Reads them; `given` is the directory of what the user gives to the image.
///
/// # Errors
/// When the container cannot be reached or did not say everything.
pub async fn read(
    k8s: &K8s,
    pod: &str,
    container: &str,
    server: &ServerFacts,
    given: &str,
) -> Result<ImageFiles> {
    let args = [server.hba_file.as_str(), server.config_file.as_str(), given];
    let said = sql::run(k8s, pod, container, SCRIPT, &args, Duration::from_secs(60)).await?;
    parse(&said).ok_or_else(|| {
        let what = format!("Pod {pod} did not tell all of its configuration files");
        Failure::new(Exit::Refused, what).hint("nothing was changed")
    })
}

/// `None` when the end is missing or a line is no JSON.
fn parse(said: &str) -> Option<ImageFiles> {
    let mut files = ImageFiles::default();
    let mut complete = false;
    for line in said.lines() {
        let item: Value = serde_json::from_str(line).ok()?;
        let text = |name: &str| item[name].as_str().map(str::to_owned);
        if let Some(line) = item.get("hba") {
            files.hba.push(line.as_str().map(str::to_owned));
        }
        files.includes.extend(text("include"));
        files.given.extend(text("given"));
        complete |= item["end"] == true;
    }
    complete.then_some(files)
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    #[test]
    fn everything_is_told_but_secrets() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
        let write = |name: &str, text: &str| std::fs::write(path(name), text).unwrap();
        let hba = "# nothing\n\nlocal all all md5\nhost \"a \\b\" all 0.0.0.0/0 password\nhost all all all ldap ldapbindpasswd=canary\nhost all all ::/0 md5";
        write("hba", hba);
        write("conf", "port = 1\n  Include_Dir 'conf.d'\n#include 'x'\n");
        for folder in ["given/conf.d/..data", "given/..1"] {
            std::fs::create_dir_all(path(folder)).unwrap();
        }
        for file in [
            "given/conf.d/a b.conf",
            "given/conf.d/..data/a.conf",
            "given/..1/x",
        ] {
            write(file, "");
        }
        let script = String::from_utf8(sql::with_prelude(SCRIPT)).unwrap();
        let said = Command::new("sh")
            .args([
                "-c",
                &script,
                "sh",
                &path("hba"),
                &path("conf"),
                &path("given"),
            ])
            .output()
            .unwrap();
        let said = String::from_utf8(said.stdout).unwrap();
        assert!(!said.contains("canary"), "{said}");
        let files = parse(&said).unwrap();
        let own = |line: &str| Some(line.to_owned());
        assert_eq!(
            files.hba,
            [
                own("local all all md5"),
                own("host \"a \\b\" all 0.0.0.0/0 password"),
                None,
                own("host all all ::/0 md5")
            ]
        );
        assert_eq!(files.includes, ["  Include_Dir 'conf.d'"]);
        assert_eq!(files.given, [path("given/conf.d/a b.conf")].into());
        assert_eq!(parse("{\"hba\":\"x\"}\n"), None);
    }
}
