//! Flags of `--method side-by-side`.

use clap::Args;

use super::options::{MadeWithArgs, Method, Transfer, UpgradeOptions, Verify};
use super::values;
use crate::discover::target::TargetName;
use crate::error::{Failure, Result};
use crate::manifests::login::SecretKey;
use crate::record::RoleMap;

/// The other server, for `--method side-by-side`.
#[derive(Args, Debug, Clone, Default)]
pub struct SideArgs {
    /// Server to load, with --method side-by-side: statefulset/NAME or deployment/NAME, with .NAMESPACE behind it where that is another
    #[arg(long = "target", value_name = "WORKLOAD[.NAMESPACE]")]
    pub new: Option<TargetName>,
    /// Server to load, with --method side-by-side: Secret with the keys host, port, user (or username), password and sslmode
    #[arg(long, value_name = "NAME", value_parser = values::object_name, conflicts_with = "new")]
    pub target_secret: Option<String>,
    /// Secret with the old server's superuser password, where its pod is not told it by one (KEY: password)
    #[arg(long, value_name = "NAME[/KEY]")]
    pub password_secret: Option<SecretKey>,
    /// Throw away what the server to load holds; its name is typed again, here or when asked
    #[arg(long, value_name = "NAME", num_args = 0..=1, require_equals = true, default_missing_value = "")]
    pub reset_target: Option<String>,
    /// Load for a trial while clients go on writing to the old server; what they write meanwhile stays there
    #[arg(long, conflicts_with = "switch")]
    pub online: bool,
    /// Role of the old server whose owned objects and privileges go to another role of the new one, such as postgres=admin; may be said more than once
    #[arg(long, value_name = "OLD=NEW")]
    pub role_map: Vec<RoleMap>,
    /// Load what lies in tablespaces of the old server into the default one; else the new one must have some of these names
    #[arg(long)]
    pub no_tablespaces: bool,
    /// Secret whose keys are names of roles and whose values are their new passwords, hashed as SCRAM
    #[arg(long, value_name = "SECRET", value_parser = values::object_name)]
    pub role_passwords: Option<String>,
    /// Let the old server's Services lead to the loaded one in the end; restore --from service takes that back
    #[arg(long)]
    pub switch: bool,
}

impl SideArgs {
    fn is_empty(&self) -> bool {
        self.new.is_none()
            && self.target_secret.is_none()
            && self.password_secret.is_none()
            && self.reset_target.is_none()
            && self.role_map.is_empty()
            && self.role_passwords.is_none()
            && !self.no_tablespaces
            && !self.online
            && !self.switch
    }

    /// Tells whether the other server is wanted at all.
    ///
    /// # Errors
    /// Exit code 2 for flags that do not go together.
    pub fn wanted(&self, options: &UpgradeOptions) -> Result<bool> {
        if options.method != Method::SideBySide {
            return if self.is_empty() {
                Ok(false)
            } else {
                Err(Failure::usage(
                    "--target, --target-secret, --password-secret, --reset-target, --role-map, --role-passwords, --no-tablespaces, --online and --switch belong to --method side-by-side",
                ))
            };
        }
        if self.new.is_none() && self.target_secret.is_none() {
            return Err(Failure::usage("--method side-by-side loads another server: which?").hint(
                "name its workload by --target statefulset/NAME, or a Secret with its host, user and password by --target-secret NAME",
            ));
        }
        for (at, map) in self.role_map.iter().enumerate() {
            let twice = |m: &RoleMap| m.old == map.old || m.new == map.new;
            if self.role_map[..at].iter().any(twice) {
                return Err(Failure::usage(format!(
                    "--role-map {}={} names a role that another --role-map names too: each goes to one of its own",
                    map.old, map.new
                )));
            }
        }
        let foreign = [
            (options.transfer != Transfer::Auto, "--transfer"),
            (options.snapshot != "auto", "--snapshot"),
            (options.outage_budget.is_some(), "--outage-budget"),
            (options.verify == Verify::Quick, "--verify quick"),
            (options.old_image.is_some(), "--old-image"),
            (options.data_directory.is_some(), "--data-directory"),
            (
                options.made_with != MadeWithArgs::default(),
                "--encoding, --locale, --locale-provider or --data-checksums",
            ),
        ];
        match foreign.iter().find(|(given, _)| *given) {
            None => Ok(true),
            Some((_, flag)) => Err(Failure::usage(format!(
                "{flag} has no meaning with --method side-by-side, which only reads the old server and counts every row"
            ))),
        }
    }
}

/// The name of a workload and the namespace behind it. Names of workloads may hold dots, so a namespace is only taken for
/// one where the caller finds no workload of the whole name.
pub fn split_namespace(target: &TargetName) -> Option<(TargetName, String)> {
    let (name, namespace) = target.name.rsplit_once('.')?;
    let name = TargetName {
        kind: target.kind,
        name: name.to_owned(),
    };
    (!name.name.is_empty() && !namespace.is_empty()).then(|| (name, namespace.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Exit;

    fn side() -> SideArgs {
        SideArgs {
            new: Some("sts/new".parse().unwrap()),
            ..SideArgs::default()
        }
    }

    fn by_side() -> UpgradeOptions {
        UpgradeOptions {
            method: Method::SideBySide,
            snapshot: "auto".into(),
            ..UpgradeOptions::default()
        }
    }

    #[test]
    fn the_other_server_belongs_to_its_method_and_the_method_needs_it() {
        assert!(side().wanted(&by_side()).unwrap());
        let plain = UpgradeOptions::default();
        assert!(!SideArgs::default().wanted(&plain).unwrap());
        let exit =
            |side: &SideArgs, options: &UpgradeOptions| side.wanted(options).unwrap_err().exit;
        assert_eq!(exit(&side(), &plain), Exit::Usage);
        assert_eq!(exit(&SideArgs::default(), &by_side()), Exit::Usage);
        let switch = SideArgs {
            switch: true,
            ..SideArgs::default()
        };
        assert_eq!(exit(&switch, &plain), Exit::Usage);
        let spaces = SideArgs {
            no_tablespaces: true,
            ..SideArgs::default()
        };
        assert_eq!(exit(&spaces, &plain), Exit::Usage);
        let mut mapped = side();
        let map = |text: &str| text.parse().unwrap();
        mapped.role_map = vec![map("postgres=admin"), map("app=app2")];
        assert!(mapped.wanted(&by_side()).unwrap());
        mapped.role_map.push(map("other=admin"));
        assert_eq!(exit(&mapped, &by_side()), Exit::Usage);
        let mut quick = by_side();
        quick.verify = Verify::Quick;
        assert_eq!(exit(&side(), &quick), Exit::Usage);
    }

    #[test]
    fn the_last_part_of_a_name_may_be_a_namespace() {
        let split = |text: &str| {
            let (name, namespace) = split_namespace(&text.parse().unwrap())?;
            Some((name.name, namespace))
        };
        assert_eq!(split("sts/new"), None);
        assert_eq!(split("sts/new.other"), Some(("new".into(), "other".into())));
        assert_eq!(split("sts/a.b.c"), Some(("a.b".into(), "c".into())));
    }
}
