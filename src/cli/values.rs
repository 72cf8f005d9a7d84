//! Parsers of single values; each says what was wrong with it.

use std::time::Duration;

use crate::k8s::quantity;
use crate::plan::dump::DumpClaim;

/// A major version, 9.6 aside a plain number.
pub(super) fn major(text: &str) -> Result<u32, String> {
    let hint = || format!("{text:?} is not a major version such as 17");
    let number: u32 = text.parse().map_err(|_| hint())?;
    if (10..=99).contains(&number) {
        Ok(number)
    } else {
        Err(hint())
    }
}

/// An image reference, without checking more than that it can be one.
pub(crate) fn image(text: &str) -> Result<String, String> {
    let legal = |c: char| c.is_ascii_alphanumeric() || "./:_-@".contains(c);
    if !text.is_empty() && text.chars().all(legal) && !text.starts_with(['/', ':', '@', '-', '.']) {
        Ok(text.to_owned())
    } else {
        Err(format!(
            "{text:?} is not an image reference such as docker.io/library/postgres:17"
        ))
    }
}

/// A duration as humantime reads it: 90s, 5m, 1h30m.
pub(super) fn duration(text: &str) -> Result<Duration, String> {
    humantime::parse_duration(text)
        .map_err(|_| format!("{text:?} is not a duration such as 90s or 5m"))
}

/// Bytes a second, as Kubernetes writes quantities: 64Mi, 500k.
pub(crate) fn rate(text: &str) -> Result<u64, String> {
    let bytes = quantity::whole(text).filter(|rate| (1 << 20..=1 << 40).contains(rate));
    bytes
        .ok_or_else(|| format!("{text:?} is not a rate between 1Mi and 1Ti a second, such as 64Mi"))
}

/// A name of an encoding, as `CREATE DATABASE` knows it; whether the server does is for it to say.
pub(super) fn encoding(text: &str) -> Result<String, String> {
    word(text, "_-", "an encoding such as UTF8")
}

/// A name of a locale: of the C library, of ICU, or of PostgreSQL itself.
pub(super) fn locale(text: &str) -> Result<String, String> {
    word(text, "_-.@=;", "a locale such as en_US.utf8")
}

fn word(text: &str, signs: &str, what: &str) -> Result<String, String> {
    let legal = |c: char| c.is_ascii_alphanumeric() || signs.contains(c);
    if text.starts_with(|c: char| c.is_ascii_alphanumeric()) && text.chars().all(legal) {
        Ok(text.to_owned())
    } else {
        Err(format!("{text:?} is not {what}"))
    }
}

/// An absolute path without ways around.
pub(super) fn directory(text: &str) -> Result<String, String> {
    let legal = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
    let path = text.strip_suffix('/').unwrap_or(text);
    let part = |part: &str| !["", ".", ".."].contains(&part) && part.chars().all(legal);
    match path.strip_prefix('/') {
        Some(rest) if rest.split('/').all(part) => Ok(path.to_owned()),
        _ => Err(format!(
            "{text:?} is not an absolute path of letters, digits, dots, dashes and underscores, such as /data/17"
        )),
    }
}

/// `on` or `off`.
pub(super) fn switch(text: &str) -> Result<bool, String> {
    match text {
        "on" => Ok(true),
        "off" => Ok(false),
        _ => Err(format!("{text:?} is not on or off")),
    }
}

/// A name of an object, or one of the words that take its place.
pub(crate) fn object_name(text: &str) -> Result<String, String> {
    let legal = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-' || c == '.';
    if !text.is_empty() && text.len() <= 253 && text.chars().all(legal) {
        Ok(text.to_owned())
    } else {
        Err(format!("{text:?} is not a name of an object"))
    }
}

/// `--dump-claim`.
pub(crate) fn dump_claim(text: &str) -> Result<DumpClaim, String> {
    DumpClaim::parse(text, object_name)
}

/// One word of `--apps`: auto, none or KIND/NAME.
pub(super) fn app(text: &str) -> Result<String, String> {
    if text == "auto" || text == "none" {
        return Ok(text.to_owned());
    }
    let (kind, name) = text
        .split_once('/')
        .ok_or_else(|| format!("{text:?} is not auto, none or KIND/NAME"))?;
    let kind = match kind.to_ascii_lowercase().as_str() {
        "sts" | "statefulset" | "statefulsets" => "StatefulSet",
        "deploy" | "deployment" | "deployments" => "Deployment",
        "cj" | "cronjob" | "cronjobs" => "CronJob",
        _ => {
            return Err(format!(
                "{kind:?} is not deployment, statefulset or cronjob"
            ));
        }
    };
    Ok(format!("{kind}/{}", object_name(name)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn directories_are_absolute_and_plain() {
        assert_eq!(directory("/data/17/"), Ok("/data/17".to_owned()));
        for wrong in [
            "",
            "/",
            "data/17",
            "/data//17",
            "/data/../17",
            "/data/./17",
            "/a b",
            "/a'b",
            "/$(id)",
        ] {
            assert!(directory(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn majors_are_plain_numbers() {
        assert_eq!(major("17"), Ok(17));
        for wrong in ["", "17.4", "x", "-1", "9", "170"] {
            assert!(major(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn rates_are_quantities_of_some_size() {
        assert_eq!(rate("64Mi"), Ok(64 << 20));
        assert_eq!(rate("2000000"), Ok(2_000_000));
        for wrong in ["", "fast", "64MB", "0", "1", "-5Mi", "9Ei"] {
            assert!(rate(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn encodings_and_locales_are_words() {
        assert_eq!(encoding("LATIN1"), Ok("LATIN1".to_owned()));
        assert_eq!(locale("de_DE@euro"), Ok("de_DE@euro".to_owned()));
        for wrong in ["", "a b", "'x'", "$(x)", "-E", "a/b"] {
            assert!(encoding(wrong).is_err(), "{wrong}");
            assert!(locale(wrong).is_err(), "{wrong}");
        }
        assert_eq!(switch("off"), Ok(false));
        assert!(switch("true").is_err());
    }

    #[test]
    fn images_hold_no_shell() {
        assert!(image("registry.local:5000/library/postgres:17@sha256:abc").is_ok());
        for wrong in ["", "a b", "$(x)", "-f", "x;y"] {
            assert!(image(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn apps_are_words_or_kind_and_name() {
        assert_eq!(app("deploy/api"), Ok("Deployment/api".to_owned()));
        for wrong in ["api", "pod/x", "deploy/", "deploy/A B"] {
            assert!(app(wrong).is_err(), "{wrong}");
        }
    }
}
