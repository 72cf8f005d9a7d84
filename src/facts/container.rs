//! The container that a server runs in, and its C library.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// What the server's container tells about itself and the data directory.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Container {
    /// User that commands run as in the container (not always the server's).
    pub uid: Option<u32>,
    /// Group that commands run as in the container.
    pub gid: Option<u32>,
    /// `glibc 2.31`, or what `ldd` says elsewhere.
    pub libc: String,
    /// Major version of the ICU library that the server is linked with; empty when it has none or that could not be told.
    pub icu: String,
    /// `uname -m`.
    pub machine: String,
    /// Owner of the data directory.
    pub dir_uid: Option<u32>,
    /// Group of the data directory.
    pub dir_gid: Option<u32>,
    /// Mode of the data directory, octal digits as `stat -c %a` prints them.
    pub dir_mode: Option<String>,
    /// Owner of the directory above it.
    pub parent_uid: Option<u32>,
    /// Group of the directory above it.
    pub parent_gid: Option<u32>,
    /// Mode of the directory above it.
    pub parent_mode: Option<String>,
    /// The data directory with all links resolved.
    pub real_dir: String,
    /// Where `pg_wal` points to when it is a symbolic link.
    pub wal_link: Option<String>,
    /// Mount point that holds the data directory.
    pub mount: Option<String>,
    /// Type of that file system, such as `ext4`.
    pub fstype: Option<String>,
    /// Size of that file system, KiB.
    pub size_kib: Option<u64>,
    /// Free for the server, KiB.
    pub free_kib: Option<u64>,
    /// Inodes of that file system; 0 where it has no fixed number.
    pub inodes: Option<u64>,
    /// Free inodes.
    pub free_inodes: Option<u64>,
    /// Files below `base`, `global` and `pg_tblspc`.
    pub files: Option<u64>,
    /// KiB on disk of `base`, each `base/OID`, `global`, `pg_wal`, `pg_xact`, `pg_multixact`, `pg_tblspc`; `None` when unreadable.
    pub directories: Option<BTreeMap<String, u64>>,
}

impl Container {
    /// KiB that a copy of the cluster takes (everything but WAL); `None` when the directory was unreadable.
    pub fn data_kib(&self) -> Option<u64> {
        let directories = self.directories.as_ref()?;
        directories.contains_key("base").then(|| {
            ["base", "global", "pg_xact", "pg_multixact", "pg_tblspc"]
                .iter()
                .filter_map(|name| directories.get(*name))
                .sum()
        })
    }

    /// C library that the server's image has.
    pub fn libc(&self) -> Libc {
        Libc::parse(&self.libc)
    }
}

/// A C library, which decides about the sort order of text.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", content = "version", rename_all = "camelCase")]
pub enum Libc {
    /// GNU C library, with its version.
    Glibc(String),
    /// musl, with its version.
    Musl(String),
    /// It could not be told.
    Unknown,
}

impl Libc {
    /// Reads what `getconf GNU_LIBC_VERSION` or `ldd --version` prints, or a plain name and version.
    pub fn parse(text: &str) -> Self {
        let version = || {
            text.split(|c: char| c.is_whitespace())
                .rfind(|word| word.starts_with(|c: char| c.is_ascii_digit()) && word.contains('.'))
                .unwrap_or_default()
                .to_owned()
        };
        let lower = text.to_ascii_lowercase();
        if lower.contains("musl") {
            Self::Musl(version())
        } else if lower.contains("glibc") || lower.contains("gnu libc") {
            Self::Glibc(version())
        } else {
            Self::Unknown
        }
    }
}

impl Libc {
    /// Of Alpine.
    pub fn is_musl(&self) -> bool {
        matches!(self, Self::Musl(_))
    }
}

impl std::fmt::Display for Libc {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Glibc(version) => write!(f, "glibc {version}"),
            Self::Musl(version) => write!(f, "musl {version}"),
            Self::Unknown => f.write_str("unknown"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_c_library_is_told_from_all_its_names() {
        let parse = |text| Libc::parse(text).to_string();
        assert_eq!(parse("glibc 2.31"), "glibc 2.31");
        assert_eq!(
            parse("ldd (Debian GLIBC 2.36-9+deb12u13) 2.36 Copyright (C) 2022 "),
            "glibc 2.36"
        );
        assert_eq!(parse("musl libc (x86_64) Version 1.2.5 "), "musl 1.2.5");
        assert_eq!(parse(""), "unknown");
    }

    #[test]
    fn a_copy_takes_everything_but_wal() {
        let mut container = Container::default();
        assert_eq!(container.data_kib(), None);
        container.directories = Some(BTreeMap::from([
            ("base".to_owned(), 100),
            ("base/5".to_owned(), 60),
            ("global".to_owned(), 10),
            ("pg_wal".to_owned(), 1000),
        ]));
        assert_eq!(container.data_kib(), Some(110));
    }
}
