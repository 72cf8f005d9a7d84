//! Image references: the target of `--to`, and which family an image belongs to.

use super::version::MajorVersion;
use crate::facts::instance::Family;

/// Why `--to` cannot name the target image by rule.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ImageError {
    /// The image has no tag.
    #[error(
        "image {0:?} has no tag, so the image of another version cannot be named by rule; name it with --image"
    )]
    NoTag(String),
    /// The image is named by digest.
    #[error(
        "image {0:?} is pinned by digest, so the image of another version cannot be named by rule; name it with --image"
    )]
    Digest(String),
    /// The tag has parts that may not exist for another version.
    #[error(
        "tag {tag:?} of image {image:?} has no part that is surely the major version; name the target with --image"
    )]
    Tag {
        /// The image.
        image: String,
        /// Its tag.
        tag: String,
    },
    /// The text is not an image reference.
    #[error("{0:?} is not an image reference")]
    NotAnImage(String),
}

/// An image reference in its parts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reference<'a> {
    /// Registry and path, such as `docker.io/library/postgres`.
    pub repository: &'a str,
    /// Tag, when there is one.
    pub tag: Option<&'a str>,
    /// Digest with its algorithm, when there is one.
    pub digest: Option<&'a str>,
}

/// Takes an image reference apart; a registry may have a port.
pub fn parse(image: &str) -> Result<Reference<'_>, ImageError> {
    let bad = || ImageError::NotAnImage(image.to_owned());
    let (rest, digest) = match image.split_once('@') {
        Some((rest, digest)) => (rest, Some(digest)),
        None => (image, None),
    };
    let last = rest.rfind('/').map_or(0, |slash| slash + 1);
    let (repository, tag) = match rest[last..].split_once(':') {
        Some((name, tag)) => (&rest[..last + name.len()], Some(tag)),
        None => (rest, None),
    };
    let plain = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_graphic());
    if !plain(repository)
        || repository.ends_with('/')
        || repository.starts_with('/')
        || repository.contains("//")
        || !tag.is_none_or(|tag| {
            plain(tag)
                && tag.len() <= 128
                && tag
                    .bytes()
                    .all(|b| b.is_ascii_alphanumeric() || b"_.-".contains(&b))
        })
        || !digest.is_none_or(|digest| plain(digest) && digest.contains(':'))
    {
        return Err(bad());
    }
    Ok(Reference {
        repository,
        tag,
        digest,
    })
}

/// The major version that a tag claims; `None` where it claims none. The server inside may be another.
pub fn major(image: &str) -> Option<MajorVersion> {
    let tag = parse(image).ok()?.tag?;
    let version = tag.strip_prefix("pg").unwrap_or(tag).split('-').next()?;
    let mut parts = version.split('.');
    let first = parts.next()?;
    let numbers = version
        .split('.')
        .all(|part| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit()));
    match (numbers, first) {
        (true, "9") => format!("9.{}", parts.next()?).parse().ok(),
        (true, _) => first.parse().ok(),
        (false, _) => None,
    }
}

/// Tells by its name whether an image holds `pg_dump` and its like.
pub fn has_client_programs(image: &str) -> bool {
    let Ok(reference) = parse(image) else {
        return false;
    };
    let name = reference.repository.rsplit('/').next().unwrap_or_default();
    let name = name.to_ascii_lowercase().replace('_', "-");
    let words: Vec<&str> = name.split('-').collect();
    let about_postgres = words
        .iter()
        .any(|word| matches!(*word, "postgres" | "postgresql" | "pg" | "pgsql" | "psql"));
    matches!(name.as_str(), "postgres" | "postgresql" | "psql")
        || name.contains("pgdump")
        || name.contains("pg-dump")
        || about_postgres
            && words
                .iter()
                .any(|word| matches!(*word, "backup" | "dump" | "client"))
}

/// The image of major version `to`: same repository, the tag's version and distribution replaced.
///
/// Only the C library is kept (`-alpine`): crossing it would change the sort order of text.
pub fn for_major(image: &str, to: MajorVersion) -> Result<String, ImageError> {
    let reference = parse(image)?;
    if reference.digest.is_some() {
        return Err(ImageError::Digest(image.to_owned()));
    }
    let tag = reference
        .tag
        .ok_or_else(|| ImageError::NoTag(image.to_owned()))?;
    let odd = || ImageError::Tag {
        image: image.to_owned(),
        tag: tag.to_owned(),
    };
    let (prefix, rest) = match tag.strip_prefix("pg") {
        Some(rest) => ("pg", rest),
        None => ("", tag),
    };
    let (version, suffix) = match rest.split_once('-') {
        Some((version, suffix)) => (version, Some(suffix)),
        None => (rest, None),
    };
    let numbers = !version.is_empty()
        && version
            .split('.')
            .all(|part| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit()));
    let major = version
        .split('.')
        .next()
        .and_then(|part| part.parse::<u16>().ok());
    if !numbers || !major.is_some_and(|major| (9..=99).contains(&major)) {
        return Err(odd());
    }
    let kept = match suffix {
        None => "",
        Some(suffix) if is_alpine(suffix) => "-alpine",
        Some(suffix) if is_debian(suffix) => "",
        Some(_) => return Err(odd()),
    };
    Ok(format!("{}:{prefix}{to}{kept}", reference.repository))
}

fn is_alpine(suffix: &str) -> bool {
    suffix
        .strip_prefix("alpine")
        .is_some_and(|rest| rest.bytes().all(|b| b.is_ascii_digit() || b == b'.'))
}

fn is_debian(suffix: &str) -> bool {
    const CODE_NAMES: &[&str] = &[
        "jessie", "stretch", "buster", "bullseye", "bookworm", "trixie", "forky", "sid",
    ];
    let suffix = suffix.strip_prefix("slim-").unwrap_or(suffix);
    // debian-12-r3: distribution, release and the image's own revision.
    CODE_NAMES.contains(&suffix)
        || suffix.strip_prefix("debian-").is_some_and(|rest| {
            rest.split('-').all(|part| {
                part.strip_prefix('r')
                    .unwrap_or(part)
                    .bytes()
                    .all(|b| b.is_ascii_digit())
            })
        })
}

/// Which family an image belongs to, by its name; then by the container's environment and mounts.
///
/// `None` when neither tells.
pub fn family<'a>(
    image: &str,
    env_names: impl IntoIterator<Item = &'a str>,
    mount_paths: impl IntoIterator<Item = &'a str>,
) -> Option<Family> {
    const BITNAMI: &[&str] = &["bitnami", "bitnamilegacy", "bitnamisecure"];
    const LIKE_LIBRARY: &[&str] = &[
        "postgres",
        "postgis",
        "pgvector",
        "pgvecto-rs",
        "timescaledb",
        "paradedb",
        "vchord-postgres",
    ];
    if let Ok(reference) = parse(image) {
        let mut segments = reference.repository.rsplit('/');
        let name = segments.next().unwrap_or_default();
        if segments.any(|segment| BITNAMI.contains(&segment)) && name.starts_with("postgresql") {
            return Some(Family::Bitnami);
        }
        if LIKE_LIBRARY.contains(&name) {
            return Some(Family::DockerLibrary);
        }
    }
    let env: Vec<&str> = env_names.into_iter().collect();
    let mounts: Vec<&str> = mount_paths.into_iter().collect();
    let env_starts = |prefix: &str| env.iter().any(|name| name.starts_with(prefix));
    let mount_starts = |prefix: &str| mounts.iter().any(|path| path.starts_with(prefix));
    if env_starts("BITNAMI_")
        || env_starts("POSTGRESQL_")
        || mount_starts("/bitnami")
        || mount_starts("/opt/bitnami")
    {
        Some(Family::Bitnami)
    } else if env_starts("POSTGRES_") || mount_starts("/var/lib/postgresql") {
        Some(Family::DockerLibrary)
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn to17(image: &str) -> Result<String, ImageError> {
        for_major(image, MajorVersion::new(17))
    }

    #[test]
    fn the_tag_is_replaced_and_nothing_else() {
        for (from, to) in [
            ("postgres:13", "postgres:17"),
            ("postgres:13.16", "postgres:17"),
            ("postgres:9.6.24", "postgres:17"),
            ("postgres:13-bullseye", "postgres:17"),
            ("postgres:13.4-slim-bullseye", "postgres:17"),
            ("postgres:13-alpine", "postgres:17-alpine"),
            ("postgres:13.4-alpine3.18", "postgres:17-alpine"),
            (
                "docker.io/library/postgres:15.8-bookworm",
                "docker.io/library/postgres:17",
            ),
            (
                "bitnamilegacy/postgresql:13.16.0-debian-12-r3",
                "bitnamilegacy/postgresql:17",
            ),
            (
                "registry.example:5000/a/postgres:13",
                "registry.example:5000/a/postgres:17",
            ),
            ("pgvector/pgvector:pg16", "pgvector/pgvector:pg17"),
        ] {
            assert_eq!(to17(from).as_deref(), Ok(to), "{from}");
        }
    }

    #[test]
    fn what_the_rule_cannot_know_asks_for_the_image() {
        for image in [
            "postgres",
            "registry.example:5000/postgres",
            "postgres:latest",
            "postgres@sha256:0123",
            "postgres:13@sha256:0123",
            "postgis/postgis:13-3.4",
            "timescale/timescaledb:2.10.1-pg13",
            "postgres:13-custom",
            "postgres:stable-13",
        ] {
            let message = to17(image).unwrap_err().to_string();
            assert!(message.contains("--image"), "{image}: {message}");
        }
    }

    #[test]
    fn a_tag_claims_a_major_version() {
        let claims = |image| major(image).map(|major| major.to_string());
        assert_eq!(claims("postgres:13.16-bookworm").as_deref(), Some("13"));
        assert_eq!(claims("postgres:9.6.24").as_deref(), Some("9.6"));
        assert_eq!(claims("pgvector/pgvector:pg16").as_deref(), Some("16"));
        for image in [
            "postgres:latest",
            "postgres",
            "example/db:1",
            "postgres@sha256:17",
            "postgres:17x",
        ] {
            assert_eq!(claims(image), None, "{image}");
        }
    }

    #[test]
    fn client_programs_are_known_by_the_name() {
        for (image, has) in [
            ("docker.io/library/postgres:13", true),
            ("bitnamilegacy/postgresql:15.1", true),
            ("prodrigestivill/postgres-backup-local:13", true),
            ("example/pgdump:1", true),
            ("example/shop-backup:1.2", false),
            ("prometheuscommunity/postgres-exporter:v0.15", false),
            ("postgrest/postgrest:12", false),
        ] {
            assert_eq!(has_client_programs(image), has, "{image}");
        }
    }

    #[test]
    fn text_that_is_no_image_is_refused() {
        for image in [
            "",
            ":13",
            "a b:13",
            "postgres:",
            "/postgres:13",
            "a//b:1",
            "postgres:1$3",
        ] {
            assert!(to17(image).is_err(), "{image}");
        }
    }

    #[test]
    fn the_name_decides_about_the_family_before_the_layout() {
        let none: [&str; 0] = [];
        assert_eq!(
            family("docker.io/bitnamilegacy/postgresql:13", none, none),
            Some(Family::Bitnami)
        );
        assert_eq!(
            family("registry.example:5000/bitnami/postgresql:13", none, none),
            Some(Family::Bitnami)
        );
        // The authentik chart: the official image in Bitnami's layout.
        assert_eq!(
            family(
                "docker.io/library/postgres:17.11-bookworm",
                ["POSTGRES_USER"],
                ["/bitnami/postgresql"]
            ),
            Some(Family::DockerLibrary)
        );
        assert_eq!(
            family("registry.example/db:1", ["POSTGRESQL_PASSWORD"], none),
            Some(Family::Bitnami)
        );
        assert_eq!(
            family(
                "registry.example/db:1",
                ["PGDATA"],
                ["/var/lib/postgresql/data"]
            ),
            Some(Family::DockerLibrary)
        );
        assert_eq!(family("registry.example/db:1", none, none), None);
    }
}
