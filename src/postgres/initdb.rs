//! What the new cluster must be made with so that `pg_upgrade` accepts it.

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
