//! What is asked for the new cluster can be made.

use super::{Check, Concerns, Finding, Run, Severity, Target, name};
use crate::facts::server::{Database, LocaleProvider};
use crate::postgres::version::MajorVersion;

/// What is asked for the new cluster can be made.
pub(super) const CHECK: Check = Check {
    id: "made-with",
    title: "The new databases can have the encoding and locale that are asked for",
    why: "A database cannot be made with an encoding that its locale does not fit, and the load would end there with the server down",
    mend: "Say --encoding and --locale that fit each other",
    severity: Severity::Blocker,
    waivable: false,
    concerns: Concerns::Contents,
    queries: &[],
    run: Run::Target(run),
};

/// Encodings of servers (`src/include/mb/pg_wchar.h`), with the codeset of the C library's locales that they are, where it
/// has one name. `SQL_ASCII` fits every locale.
const ENCODINGS: &[(&str, &str)] = &[
    ("SQL_ASCII", ""),
    ("UTF8", "utf8"),
    ("EUC_JP", "eucjp"),
    ("EUC_CN", "euccn"),
    ("EUC_KR", "euckr"),
    ("EUC_TW", "euctw"),
    ("EUC_JIS_2004", ""),
    ("MULE_INTERNAL", ""),
    ("LATIN1", "iso88591"),
    ("LATIN2", "iso88592"),
    ("LATIN3", "iso88593"),
    ("LATIN4", "iso88594"),
    ("LATIN5", "iso88599"),
    ("LATIN6", "iso885910"),
    ("LATIN7", "iso885913"),
    ("LATIN8", "iso885914"),
    ("LATIN9", "iso885915"),
    ("LATIN10", "iso885916"),
    ("ISO_8859_5", "iso88595"),
    ("ISO_8859_6", "iso88596"),
    ("ISO_8859_7", "iso88597"),
    ("ISO_8859_8", "iso88598"),
    ("KOI8R", "koi8r"),
    ("KOI8U", "koi8u"),
    ("WIN866", "cp866"),
    ("WIN874", "cp874"),
    ("WIN1250", "cp1250"),
    ("WIN1251", "cp1251"),
    ("WIN1252", "cp1252"),
    ("WIN1253", "cp1253"),
    ("WIN1254", "cp1254"),
    ("WIN1255", "cp1255"),
    ("WIN1256", "cp1256"),
    ("WIN1257", "cp1257"),
    ("WIN1258", "cp1258"),
];

fn run(target: &Target<'_>) -> Vec<Finding> {
    let wish = &target.input.request.wish;
    if wish.is_empty() {
        return Vec::new();
    }
    let mut findings = Vec::new();
    if let Some(asked) = &wish.encoding
        && known(asked).is_none()
    {
        return vec![
            Finding::blocker(format!("{asked} is no encoding that a server can have"))
                .fix("--encoding UTF8"),
        ];
    }
    let sorted_by = wish.sorted_by(target.server);
    if let Some((provider, locale)) = &sorted_by {
        findings.extend(lacking(target, *provider, locale));
    }
    let misfit = |database: &&Database| {
        let encoding = wish.encoding.as_ref().unwrap_or(&database.encoding);
        let (provider, locale) = sorted_by.as_ref().map_or(
            (
                database.provider,
                database.locale.as_deref().unwrap_or_default(),
            ),
            |(provider, locale)| (*provider, locale.as_str()),
        );
        let ctype = match provider {
            LocaleProvider::Libc if sorted_by.is_some() => locale,
            _ => database.ctype.as_str(),
        };
        !fits(encoding, ctype) || !provider_fits(provider, locale, encoding)
    };
    let misfits: Vec<String> = target
        .server
        .databases
        .iter()
        .filter(misfit)
        .map(|database| {
            format!(
                "{} ({}, {})",
                name(&database.name),
                database.encoding,
                database.ctype
            )
        })
        .collect();
    if !misfits.is_empty() {
        findings.push(
            Finding::blocker(format!("no database can be made with {wish} where its locale or encoding is what it has now"))
                .objects(misfits)
                .fix("say both --encoding and --locale, such as --encoding UTF8 --locale C.UTF-8"),
        );
    }
    findings
}

/// What the new version or its image lacks for this provider.
fn lacking(target: &Target<'_>, provider: LocaleProvider, locale: &str) -> Option<Finding> {
    let to = target.target.version.major;
    let since = |major: u16| {
        (to < MajorVersion::new(major)).then(|| {
            Finding::blocker(format!(
                "PostgreSQL {to} has no clusters sorted by {} (since {major})",
                provider.as_str()
            ))
            .fix(format!("go to {major} or newer with --to"))
        })
    };
    match provider {
        LocaleProvider::Libc => None,
        LocaleProvider::Icu => since(15).or_else(|| {
            let none = target.target.icu.is_none();
            none.then(|| {
                Finding::blocker("the target image has no ICU")
                    .fix("take an image with ICU with --image")
            })
        }),
        LocaleProvider::Builtin => since(17).or_else(|| {
            let known = ["C", "C.UTF-8", "C.UTF8"].contains(&locale)
                || locale == "PG_UNICODE_FAST" && to >= MajorVersion::new(18);
            (!known).then(|| {
                Finding::blocker(format!("PostgreSQL {to} has no locale {locale} of its own"))
                    .fix("--locale C.UTF-8")
            })
        }),
    }
}

/// The codeset of this encoding; `None` when servers do not know it.
fn known(encoding: &str) -> Option<&'static str> {
    let plain = |text: &str| text.replace(['-', '_'], "").to_ascii_uppercase();
    let encoding = match plain(encoding).as_str() {
        "UNICODE" => "UTF8".to_owned(),
        other => other.to_owned(),
    };
    let found = ENCODINGS.iter().find(|(name, _)| plain(name) == encoding);
    found.map(|(_, codeset)| *codeset)
}

/// Whether a database of this encoding may have this `LC_CTYPE` (`check_encoding_locale_matches` in `dbcommands.c`).
fn fits(encoding: &str, ctype: &str) -> bool {
    let (_, codeset) = ctype.split_once('.').unwrap_or_default();
    let codeset = codeset.split('@').next().unwrap_or_default();
    let codeset = codeset.to_ascii_lowercase().replace(['-', '_'], "");
    // Without one it is the C library's choice.
    codeset.is_empty()
        || known(encoding).is_none_or(|wanted| wanted.is_empty() || wanted == codeset)
}

/// Whether a database of this encoding may be sorted by this provider (`is_encoding_supported_by_icu`, `builtin_locale_encoding`).
fn provider_fits(provider: LocaleProvider, locale: &str, encoding: &str) -> bool {
    let codeset = known(encoding);
    match provider {
        LocaleProvider::Libc => true,
        LocaleProvider::Icu => codeset.is_none_or(|codeset| !codeset.is_empty()),
        LocaleProvider::Builtin => locale == "C" || codeset == Some("utf8"),
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{fires, input, silent};
    use super::*;

    #[test]
    fn an_encoding_needs_a_locale_of_its_own() {
        let mut input = input();
        silent("made-with", &input);
        for database in &mut input.server.as_mut().unwrap().databases {
            database.encoding = "LATIN1".to_owned();
            database.ctype = "de_DE.ISO-8859-1".to_owned();
        }
        input.request.wish.encoding = Some("UTF8".to_owned());
        let finding = fires("made-with", &input).remove(0);
        assert!(
            finding.objects[0].ends_with("(LATIN1, de_DE.ISO-8859-1)"),
            "{finding:?}"
        );
        input.request.wish.locale = Some("de_DE.utf8".to_owned());
        silent("made-with", &input);
        input.request.wish.encoding = Some("BIG5".to_owned());
        assert!(fires("made-with", &input)[0].message.contains("BIG5"));
    }

    #[test]
    fn providers_are_those_of_the_new_version_and_its_image() {
        let mut input = input();
        input.request.wish.provider = Some(LocaleProvider::Builtin);
        input.request.wish.encoding = Some("UTF8".to_owned());
        silent("made-with", &input);
        input.request.wish.locale = Some("de_DE".to_owned());
        fires("made-with", &input);
        input.request.wish.provider = Some(LocaleProvider::Icu);
        silent("made-with", &input);
        input.request.wish.encoding = Some("SQL_ASCII".to_owned());
        fires("made-with", &input);
        input.request.wish.encoding = None;
        input.target.as_mut().unwrap().icu = None;
        fires("made-with", &input);
        input.target.as_mut().unwrap().version =
            crate::postgres::version::ServerVersion::new(14, 9);
        assert!(fires("made-with", &input)[0].message.contains("since 15"));
    }

    #[test]
    fn spellings_of_codesets_are_the_same() {
        assert!(
            fits("UTF8", "en_US.UTF-8")
                && fits("unicode", "C.utf8")
                && fits("LATIN9", "de_DE.ISO-8859-15@euro")
        );
        assert!(!fits("LATIN1", "en_US.UTF-8"));
        assert!(fits("LATIN1", "C") && fits("SQL_ASCII", "en_US.UTF-8"));
    }
}
