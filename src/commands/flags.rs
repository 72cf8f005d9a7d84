//! Flags of a survey that contradict each other.

use crate::checks;
use crate::cli::options::{MadeWithArgs, Method, Transfer, UpgradeOptions};
use crate::error::{Failure, Result};
use crate::facts::server::LocaleProvider;

/// Flags of one method are refused with another.
pub(super) fn suits_method(options: &UpgradeOptions) -> Result<()> {
    if options.method == Method::SideBySide {
        return Err(Failure::usage(
            "--method side-by-side is one of run and of preflight; nothing was changed",
        ));
    }
    if options.method == Method::Dump && options.transfer != Transfer::Auto {
        return Err(Failure::usage(
            "--transfer is pg_upgrade's: --method dump has no transfer mode",
        ));
    }
    if options.method != Method::Dump && options.made_with != MadeWithArgs::default() {
        return Err(Failure::usage(
            "--encoding, --locale, --locale-provider and --data-checksums need --method dump: pg_upgrade keeps all of them",
        ));
    }
    if let (Some(provider @ (LocaleProvider::Libc | LocaleProvider::Icu)), None) =
        (options.made_with.locale_provider, &options.made_with.locale)
    {
        return Err(Failure::usage(format!(
            "--locale-provider {0} needs --locale: {0} has many, and those of another provider are not among them",
            provider.as_str()
        )));
    }
    if options.method != Method::Dump && options.dump_claim.is_some() {
        return Err(Failure::usage(
            "--dump-claim is where the dump of --method dump or side-by-side lies: say --method too",
        )
        .hint("nothing was changed"));
    }
    Ok(())
}

/// What `--ignore-checks` names exists and may be ignored.
pub(super) fn only_known_checks(options: &UpgradeOptions) -> Result<()> {
    let wrong = checks::wrong_ids(&options.ignore_checks);
    if wrong.is_empty() {
        return Ok(());
    }
    Err(
        Failure::usage(format!("--ignore-checks: {}", wrong.join("; ")))
            .hint("preflight --list-checks lists the checks; nothing was changed"),
    )
}
