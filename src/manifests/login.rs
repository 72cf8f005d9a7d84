//! How a pod of ours gets a superuser's name and password of a server that it reaches over the network.
//!
//! Only references are handed on: the key of a Secret that the server's own pod uses. A value that stands in the template is
//! never copied.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{Container, EnvVar, PodSpec, Volume};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::facts::instance::Family;

/// Key of a Secret named by `--password-secret` without one.
const PASSWORD_KEY: &str = "password";

/// One key of a Secret.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SecretKey {
    /// Name of the Secret.
    pub secret: String,
    /// The key in it.
    pub key: String,
}

/// A word that stands in the template, or in a Secret.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Word {
    /// As it is written.
    Plain(String),
    /// What the key of a Secret holds.
    Key(SecretKey),
}

/// The superuser of a server.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Login {
    /// Its name.
    pub user: Word,
    /// Its password; `None` where the image lets everybody in without one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub password: Option<SecretKey>,
}

impl std::str::FromStr for SecretKey {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (secret, key) = text.split_once('/').unwrap_or((text, PASSWORD_KEY));
        let name = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "-.".contains(c);
        let legal = |c: char| c.is_ascii_alphanumeric() || "-._".contains(c);
        let empty = secret.is_empty() || key.is_empty();
        if empty || !secret.chars().all(name) || !key.chars().all(legal) {
            return Err(format!("{text:?} is not NAME or NAME/KEY of a Secret"));
        }
        Ok(Self {
            secret: secret.to_owned(),
            key: key.to_owned(),
        })
    }
}

/// The superuser's login of a server, as its container is told it; `named` is `--password-secret`.
///
/// # Errors
/// A sentence that says why the password cannot be referred to, and what to do.
pub fn login(
    family: Family,
    container: &Container,
    template: &PodSpec,
    named: Option<&SecretKey>,
) -> Result<Login, String> {
    let told = Told {
        container,
        volumes: template.volumes.as_deref().unwrap_or_default(),
    };
    let (user, variables) = match family {
        Family::DockerLibrary => (told.user()?, &["POSTGRES_PASSWORD"][..]),
        Family::Bitnami => (
            Word::Plain("postgres".to_owned()),
            told.bitnami_passwords()?,
        ),
    };
    if let Some(named) = named {
        let password = Some(named.clone());
        return Ok(Login { user, password });
    }
    for name in variables {
        if let Some(key) = told.secret(name)? {
            let password = Some(key);
            return Ok(Login { user, password });
        }
    }
    let open = ["POSTGRES_HOST_AUTH_METHOD", "ALLOW_EMPTY_PASSWORD"].iter();
    let mut open = open.filter_map(|name| told.plain(name));
    if open.any(|value| matches!(value.as_str(), "trust" | "yes")) {
        return Ok(Login {
            user,
            password: None,
        });
    }
    Err(format!(
        "container {} is not told the superuser's password by a Secret ({1} or {1}_FILE){HINT}",
        container.name, variables[0]
    ))
}

const HINT: &str = "; put it into a Secret and name it by --password-secret NAME[/KEY]";

/// What the container of a server is told.
struct Told<'a> {
    container: &'a Container,
    volumes: &'a [Volume],
}

impl Told<'_> {
    fn variable(&self, name: &str) -> Option<&EnvVar> {
        // The last one of a name is the one that the kubelet sets.
        let mut all = self.container.env.iter().flatten().rev();
        all.find(|variable| variable.name == name)
    }

    fn plain(&self, name: &str) -> Option<String> {
        self.variable(name)?.value.clone()
    }

    /// `POSTGRES_USER`, by itself or by a file (docker-library/postgres, docker-entrypoint.sh).
    fn user(&self) -> Result<Word, String> {
        if let Some(plain) = self.plain("POSTGRES_USER").filter(|p| !p.is_empty()) {
            return Ok(Word::Plain(plain));
        }
        let key = self.secret("POSTGRES_USER")?;
        Ok(key.map_or_else(|| Word::Plain("postgres".to_owned()), Word::Key))
    }

    /// The variables that hold the superuser's password: a `POSTGRESQL_USERNAME` other than postgres is an ordinary role, and
    /// `POSTGRESQL_PASSWORD` is then its password (bitnami/containers, postgresql-env.sh and libpostgresql.sh).
    fn bitnami_passwords(&self) -> Result<&'static [&'static str], String> {
        const OWN: &[&str] = &["POSTGRESQL_POSTGRES_PASSWORD", "POSTGRES_POSTGRES_PASSWORD"];
        const ALL: &[&str] = &[
            "POSTGRESQL_POSTGRES_PASSWORD",
            "POSTGRES_POSTGRES_PASSWORD",
            "POSTGRESQL_PASSWORD",
            "POSTGRES_PASSWORD",
        ];
        for name in ["POSTGRESQL_USERNAME", "POSTGRESQL_USER", "POSTGRES_USER"] {
            let plain = self.plain(name);
            if plain.as_deref().is_some_and(|user| user != "postgres")
                || (plain.is_none() && self.secret(name)?.is_some())
            {
                return Ok(OWN);
            }
        }
        Ok(ALL)
    }

    /// The Secret's key behind a variable: named by it, in the file that `NAME_FILE` names, or of all that one Secret brings.
    fn secret(&self, name: &str) -> Result<Option<SecretKey>, String> {
        if let Some(variable) = self.variable(name) {
            if variable.value.as_ref().is_some_and(|v| !v.is_empty()) {
                return Err(format!(
                    "{name} stands in the template of container {} itself, and a password is not copied from there{HINT}",
                    self.container.name
                ));
            }
            let from = variable.value_from.as_ref();
            if let Some(key) = from.and_then(|from| from.secret_key_ref.as_ref()) {
                return Ok(Some(SecretKey {
                    secret: key.name.clone(),
                    key: key.key.clone(),
                }));
            }
            if from.is_some() {
                return Err(format!("{name} does not come from a Secret{HINT}"));
            }
        }
        if let Some(path) = self.plain(&format!("{name}_FILE")) {
            return self.in_volume(&path).map(Some).ok_or_else(|| {
                format!("{name}_FILE={path} is not in a volume that is a Secret{HINT}")
            });
        }
        Ok(self.of_all(name))
    }

    /// The only Secret whose keys all become variables.
    fn of_all(&self, name: &str) -> Option<SecretKey> {
        let mut all = self.container.env_from.iter().flatten().filter_map(|from| {
            let key = name.strip_prefix(from.prefix.as_deref().unwrap_or_default())?;
            let secret = from.secret_ref.as_ref()?.name.clone();
            let key = key.to_owned();
            Some(SecretKey { secret, key })
        });
        let one = all.next()?;
        // Which of several has the key is only known to who may read them.
        all.next().is_none().then_some(one)
    }

    /// The key of a mounted Secret that a path in the container means.
    fn in_volume(&self, path: &str) -> Option<SecretKey> {
        let below = |mount: &str| {
            let rest = path.strip_prefix(mount.trim_end_matches('/'))?;
            if rest.is_empty() {
                return Some("");
            }
            Some(rest.strip_prefix('/')?.trim_start_matches('/'))
        };
        let mounts = self.container.volume_mounts.iter().flatten();
        let mounts = mounts.filter_map(|mount| Some((mount, below(&mount.mount_path)?)));
        let (mount, rest) = mounts.max_by_key(|(mount, _)| mount.mount_path.len())?;
        let sub_path = mount.sub_path.as_deref().unwrap_or_default();
        let file = [sub_path.trim_matches('/'), rest]
            .into_iter()
            .filter(|part| !part.is_empty())
            .collect::<Vec<_>>()
            .join("/");
        let volume = self.volumes.iter().find(|v| v.name == mount.name)?;
        if let Some(secret) = &volume.secret {
            let key = match &secret.items {
                Some(items) => items.iter().find(|item| item.path == file)?.key.clone(),
                None => file,
            };
            let secret = secret.secret_name.clone()?;
            return Some(SecretKey { secret, key });
        }
        let sources = volume.projected.as_ref()?.sources.iter().flatten();
        sources
            .filter_map(|source| source.secret.as_ref())
            .find_map(|secret| {
                let key = match &secret.items {
                    Some(items) => items.iter().find(|item| item.path == file)?.key.clone(),
                    None => file.clone(),
                };
                let secret = secret.name.clone();
                Some(SecretKey { secret, key })
            })
    }
}

impl Login {
    /// Tells whether it is in a Secret, at least in part.
    pub fn needs_secret(&self) -> bool {
        self.password.is_some() || matches!(self.user, Word::Key(_))
    }
}

/// A value of a variable as it is: the kubelet replaces `$(NAME)` and takes `$$` for `$`.
pub fn literal(value: &str) -> String {
    value.replace('$', "$$")
}

/// Where the words of a login are files in a pod of ours: `user` and `password` below this.
const LOGIN_DIR: &str = "/login";

/// Adds a login to a pod of ours as `/login/NAME/user` and `/login/NAME/password`, or as the variable `PGUP_<NAME>_USER`.
///
/// The files are the Secret's own; a script makes a passfile of them that libpq accepts.
pub fn mount(
    name: &str,
    login: &Login,
    volumes: &mut Vec<Value>,
    mounts: &mut Vec<Value>,
    env: &mut BTreeMap<String, String>,
) {
    let mut files = Vec::new();
    match &login.user {
        Word::Plain(user) => {
            env.insert(format!("PGUP_{}_USER", name.to_uppercase()), literal(user));
        }
        Word::Key(key) => files.push((key, "user")),
    }
    files.extend(login.password.iter().map(|key| (key, "password")));
    let sources: Vec<Value> = files
        .into_iter()
        .map(|(key, path)| {
            json!({"secret": {"name": key.secret, "items": [{"key": key.key, "path": path}]}})
        })
        .collect();
    if sources.is_empty() {
        return;
    }
    let volume = format!("login-{name}");
    volumes.push(json!({"name": volume, "projected": {"sources": sources}}));
    mounts.push(
        json!({"name": volume, "mountPath": format!("{LOGIN_DIR}/{name}"), "readOnly": true}),
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(family: Family, env: &Value) -> Result<Login, String> {
        told_more(family, &json!({"env": env}), &json!([]))
    }

    fn told_more(family: Family, container: &Value, volumes: &Value) -> Result<Login, String> {
        let mut container = container.clone();
        container["name"] = json!("postgres");
        let template = json!({"containers": [container.clone()], "volumes": volumes});
        login(
            family,
            &serde_json::from_value(container).unwrap(),
            &serde_json::from_value(template).unwrap(),
            None,
        )
    }

    fn from_secret(name: &str, secret: &str, key: &str) -> Value {
        json!({"name": name, "valueFrom": {"secretKeyRef": {"name": secret, "key": key}}})
    }

    fn key(secret: &str, key: &str) -> SecretKey {
        let (secret, key) = (secret.to_owned(), key.to_owned());
        SecretKey { secret, key }
    }

    fn plain(user: &str, password: Option<SecretKey>) -> Login {
        let user = Word::Plain(user.to_owned());
        Login { user, password }
    }

    #[test]
    fn the_official_image_is_told_its_superuser() {
        let env = json!([{"name": "POSTGRES_USER", "value": "admin"}, from_secret("POSTGRES_PASSWORD", "pg", "pw")]);
        assert_eq!(
            told(Family::DockerLibrary, &env),
            Ok(plain("admin", Some(key("pg", "pw"))))
        );
        let both = json!([
            from_secret("POSTGRES_USER", "pg", "who"),
            from_secret("POSTGRES_PASSWORD", "pg", "pw")
        ]);
        assert_eq!(
            told(Family::DockerLibrary, &both).unwrap().user,
            Word::Key(key("pg", "who"))
        );
        let open = json!([{"name": "POSTGRES_HOST_AUTH_METHOD", "value": "trust"}]);
        assert_eq!(
            told(Family::DockerLibrary, &open),
            Ok(plain("postgres", None))
        );
    }

    #[test]
    fn a_password_in_the_template_is_not_copied() {
        let env = json!([{"name": "POSTGRES_PASSWORD", "value": "hunter2"}]);
        let why = told(Family::DockerLibrary, &env).unwrap_err();
        assert!(
            why.contains("--password-secret") && !why.contains("hunter2"),
            "{why}"
        );
        let container: Container =
            serde_json::from_value(json!({"name": "postgres", "env": env})).unwrap();
        let named = "pg-admin/pw".parse().unwrap();
        let login = login(
            Family::DockerLibrary,
            &container,
            &PodSpec::default(),
            Some(&named),
        );
        assert_eq!(login, Ok(plain("postgres", Some(key("pg-admin", "pw")))));
        let none = told(Family::DockerLibrary, &json!([])).unwrap_err();
        assert!(none.contains("POSTGRES_PASSWORD_FILE"), "{none}");
    }

    #[test]
    fn bitnami_s_named_user_is_not_the_superuser() {
        let user = json!({"name": "POSTGRES_USER", "value": "app"});
        let app = from_secret("POSTGRES_PASSWORD", "pg", "password");
        let own = from_secret("POSTGRES_POSTGRES_PASSWORD", "pg", "postgres-password");
        let bitnami = |env: Value| told(Family::Bitnami, &env);
        assert_eq!(
            bitnami(json!([user, app, own])),
            Ok(plain("postgres", Some(key("pg", "postgres-password"))))
        );
        assert!(bitnami(json!([user, app])).is_err());
        assert_eq!(
            bitnami(json!([app])),
            Ok(plain("postgres", Some(key("pg", "password"))))
        );
        let spelled = json!([{"name": "POSTGRESQL_USERNAME", "value": "postgres"}, from_secret("POSTGRESQL_PASSWORD", "pg", "p")]);
        assert_eq!(
            bitnami(spelled),
            Ok(plain("postgres", Some(key("pg", "p"))))
        );
    }

    #[test]
    fn a_file_is_the_key_of_the_secret_that_is_mounted_there() {
        let container = |path: &str| {
            json!({"env": [{"name": "POSTGRES_PASSWORD_FILE", "value": path}], "volumeMounts": [
                {"name": "run", "mountPath": "/run"}, {"name": "password", "mountPath": "/run/secrets/"},
                {"name": "one", "mountPath": "/one", "subPath": "pw"}, {"name": "both", "mountPath": "/both"}]})
        };
        let volumes = json!([{"name": "run", "emptyDir": {}},
            {"name": "password", "secret": {"secretName": "pg", "items": [{"key": "password", "path": "dir/pw"}]}},
            {"name": "one", "secret": {"secretName": "other"}},
            {"name": "both", "projected": {"sources": [{"secret": {"name": "third", "items": [{"key": "k", "path": "f"}]}}]}}]);
        let file = |path: &str| {
            told_more(Family::DockerLibrary, &container(path), &volumes).map(|l| l.password)
        };
        assert_eq!(file("/run/secrets/dir/pw"), Ok(Some(key("pg", "password"))));
        assert_eq!(file("/one"), Ok(Some(key("other", "pw"))));
        assert_eq!(file("/both/f"), Ok(Some(key("third", "k"))));
        for elsewhere in ["/run/pw", "/run/secrets/pw", "/etc/pw", "/onepw"] {
            assert!(file(elsewhere).is_err(), "{elsewhere}");
        }
    }

    #[test]
    fn a_secret_whose_keys_all_become_variables_is_found_when_it_is_the_only_one() {
        let all = |from: Value| {
            told_more(Family::DockerLibrary, &json!({"envFrom": from}), &json!([]))
                .map(|l| l.password)
        };
        let one = json!({"secretRef": {"name": "pg"}});
        assert_eq!(all(json!([one])), Ok(Some(key("pg", "POSTGRES_PASSWORD"))));
        assert!(all(json!([one, {"secretRef": {"name": "more"}}])).is_err());
    }

    #[test]
    fn a_named_secret_has_a_key_of_its_own_or_the_usual_one() {
        assert_eq!("pg/pw".parse(), Ok(key("pg", "pw")));
        assert_eq!("pg".parse(), Ok(key("pg", "password")));
        for bad in ["", "/", "pg/", "/pw", "Pg", "pg/a b", "pg/../x"] {
            assert!(bad.parse::<SecretKey>().is_err(), "{bad}");
        }
    }

    #[test]
    fn the_pod_gets_files_of_the_secrets_and_plain_names_as_variables() {
        let (mut volumes, mut mounts, mut env) = (Vec::new(), Vec::new(), BTreeMap::new());
        mount(
            "old",
            &plain("we$(id)", Some(key("pg", "pw"))),
            &mut volumes,
            &mut mounts,
            &mut env,
        );
        assert_eq!(env["PGUP_OLD_USER"], "we$$(id)");
        assert_eq!(
            volumes,
            [json!({"name": "login-old", "projected": {"sources": [
                {"secret": {"name": "pg", "items": [{"key": "pw", "path": "password"}]}}]}})]
        );
        assert_eq!(mounts[0]["mountPath"], "/login/old");
    }
}
