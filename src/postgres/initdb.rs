//! What the new cluster must be made with so that `pg_upgrade` accepts it.

use std::collections::BTreeMap;
use std::fmt;

use serde::Serialize;

use crate::facts::server::{LocaleProvider, ServerFacts};

/// Arguments of `initdb`, derived from the old cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InitdbArgs {
    /// Name of the install user (`-U`).
    pub superuser: String,
    /// Encoding of template0.
    pub encoding: String,
    /// `LC_COLLATE` of template0.
    pub collate: String,
    /// `LC_CTYPE` of template0.
    pub ctype: String,
    /// Locale provider of template0.
    pub provider: LocaleProvider,
    /// ICU or builtin locale of template0; empty with libc.
    pub locale: String,
    /// WAL segment size, MiB.
    pub wal_segment_mb: u64,
    /// Data checksums.
    pub checksums: bool,
    /// The group may read the data directory.
    pub group_access: bool,
}

/// What the new cluster shall be made with instead of what the old one has. Only a load can change it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Wish {
    /// Encoding of all databases.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub encoding: Option<String>,
    /// Locale of all databases.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub locale: Option<String>,
    /// Locale provider of all databases.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub provider: Option<LocaleProvider>,
    /// Data checksums.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub checksums: Option<bool>,
}

impl Wish {
    /// Nothing shall be other than it is.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Provider and locale of every database of the new cluster; `None` where each keeps its own.
    ///
    /// The provider alone says too little: its locales are not those of another, but for the one that comes with PostgreSQL.
    pub fn sorted_by(&self, server: &ServerFacts) -> Option<(LocaleProvider, String)> {
        let present = server.database("template0").map(|d| d.provider);
        let provider = self
            .provider
            .or_else(|| self.locale.as_ref().and(present))?;
        let builtin = (provider == LocaleProvider::Builtin).then(|| "C.UTF-8".to_owned());
        Some((provider, self.locale.clone().or(builtin)?))
    }

    /// The worker's environment for it.
    pub fn env(&self, server: &ServerFacts) -> BTreeMap<&'static str, String> {
        let mut env = BTreeMap::new();
        if let Some(encoding) = &self.encoding {
            env.insert("PGUP_AS_ENCODING", encoding.clone());
        }
        if let Some((provider, locale)) = self.sorted_by(server) {
            env.insert("PGUP_AS_PROVIDER", provider.as_str().to_owned());
            env.insert("PGUP_AS_LOCALE", locale);
        }
        if let Some(checksums) = self.checksums {
            env.insert("PGUP_AS_CHECKSUMS", u8::from(checksums).to_string());
        }
        env
    }
}

impl fmt::Display for Wish {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let words = [
            self.encoding.as_ref().map(|e| format!("encoding {e}")),
            self.locale.as_ref().map(|l| format!("locale {l}")),
            self.provider.map(|p| format!("sorted by {}", p.as_str())),
            self.checksums
                .map(|on| format!("checksums {}", if on { "on" } else { "off" })),
        ];
        let words: Vec<String> = words.into_iter().flatten().collect();
        f.write_str(&words.join(", "))
    }
}

/// Why the arguments cannot be derived.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InitdbError {
    /// There is no template0 to take the locale from.
    #[error("the server has no database template0")]
    NoTemplate0,
    /// A locale name that cannot be passed on.
    #[error("locale {0:?} of template0 has characters that are not passed on")]
    Locale(String),
}

/// Derives the arguments from the running server.
pub fn initdb_args(server: &ServerFacts) -> Result<InitdbArgs, InitdbError> {
    let template = server
        .database("template0")
        .ok_or(InitdbError::NoTemplate0)?;
    let locale = template.locale.clone().unwrap_or_default();
    for name in [&template.collate, &template.ctype, &locale] {
        if name.chars().any(char::is_control) {
            return Err(InitdbError::Locale(name.clone()));
        }
    }
    Ok(InitdbArgs {
        superuser: server.install_user.name.clone(),
        encoding: template.encoding.clone(),
        collate: template.collate.clone(),
        ctype: template.ctype.clone(),
        provider: template.provider,
        locale: if template.provider == LocaleProvider::Libc {
            String::new()
        } else {
            locale
        },
        wal_segment_mb: server.control.wal_segment_bytes / (1024 * 1024),
        checksums: server.control.checksums,
        group_access: server.group_access,
    })
}
