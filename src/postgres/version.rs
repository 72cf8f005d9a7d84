//! PostgreSQL's version numbers, and what is known about each major version: a table of data.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// A major version such as 9.6 or 17; the on-disk format changes between two of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MajorVersion(u16);

impl MajorVersion {
    /// The oldest source that is supported.
    pub const OLDEST_SOURCE: Self = Self(906);
    /// The oldest target that is supported.
    pub const OLDEST_TARGET: Self = Self::new(13);
    /// The newest version known at build.
    pub const NEWEST: Self = Self::new(19);

    /// The major version `major`, which has one number since PostgreSQL 10.
    pub const fn new(major: u16) -> Self {
        Self(major * 100)
    }

    /// A version of the time with two numbers, such as 9.6.
    pub const fn before_ten(first: u16, second: u16) -> Self {
        Self(first * 100 + second)
    }

    /// First number: 9 for 9.6, 17 for 17.
    pub const fn number(self) -> u16 {
        self.0 / 100
    }

    /// What is known about this version, if anything is.
    pub fn known(self) -> Option<&'static KnownMajor> {
        KNOWN.iter().find(|known| known.major == self)
    }
}

impl fmt::Display for MajorVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0 < 1000 {
            write!(f, "{}.{}", self.0 / 100, self.0 % 100)
        } else {
            write!(f, "{}", self.0 / 100)
        }
    }
}

/// Text that is not a PostgreSQL version.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a PostgreSQL version, such as 17 or 9.6")]
pub struct NotAVersion(pub String);

impl FromStr for MajorVersion {
    type Err = NotAVersion;

    /// Reads `17` or `9.6`; a minor number after it (`17.5`, `9.6.24`) is refused.
    fn from_str(text: &str) -> Result<Self, NotAVersion> {
        let bad = || NotAVersion(text.to_owned());
        let digits = |part: &str| -> Option<u16> {
            (!part.is_empty() && part.len() <= 3 && part.bytes().all(|b| b.is_ascii_digit()))
                .then(|| part.parse().ok())
                .flatten()
        };
        match text.split_once('.') {
            None => digits(text)
                .filter(|major| (10..=99).contains(major))
                .map(Self::new)
                .ok_or_else(bad),
            Some((first, second)) => match (digits(first), digits(second)) {
                (Some(first), Some(second)) if first < 10 && second < 100 => {
                    Ok(Self::before_ten(first, second))
                }
                _ => Err(bad()),
            },
        }
    }
}

impl Serialize for MajorVersion {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for MajorVersion {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?
            .parse()
            .map_err(de::Error::custom)
    }
}

/// A full version such as 17.11, as `server_version_num` gives it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ServerVersion {
    /// Major version.
    pub major: MajorVersion,
    /// Minor version; 0 also for betas and release candidates.
    pub minor: u16,
}

impl ServerVersion {
    /// The version `major.minor` of PostgreSQL 10 or newer.
    pub const fn new(major: u16, minor: u16) -> Self {
        Self {
            major: MajorVersion::new(major),
            minor,
        }
    }

    /// From `server_version_num`: 170011 is 17.11, 90624 is 9.6.24.
    pub fn from_num(num: u32) -> Option<Self> {
        let (major, minor) = if num >= 100_000 {
            (num / 10_000 * 100, num % 10_000)
        } else {
            (num / 100, num % 100)
        };
        (num >= 80_000).then_some(())?;
        Some(Self {
            major: MajorVersion(u16::try_from(major).ok()?),
            minor: u16::try_from(minor).ok()?,
        })
    }

    /// `server_version_num` of this version.
    pub fn num(self) -> u32 {
        u32::from(self.major.0) * 100 + u32::from(self.minor)
    }

    /// Which quarterly round this minor was released in; `None` when the major is not known.
    ///
    /// A minor newer than the table counts as one round more for each number.
    pub fn round(self) -> Option<u16> {
        let known = self.major.known()?;
        let newest = known.rounds.last()?;
        if self.minor >= newest.1 {
            return Some(newest.0 + (self.minor - newest.1));
        }
        known
            .rounds
            .iter()
            .rev()
            .find(|(_, minor)| *minor <= self.minor)
            .map(|(round, _)| *round)
            .or(Some(0))
    }

    /// Whether this release writes the column option `pg_attver`, which older rounds of newer majors do not know.
    ///
    /// Seen in 15.20 and 17.12 (November 2026), not in 15.18, 17.11 and 18.6.
    pub fn writes_attver(self) -> bool {
        self.round().is_some_and(|round| round >= ATTVER_ROUND)
    }
}

impl ServerVersion {
    /// Whether what this release writes stops the other one, neither as files nor as a dump of the other one's programs to be read.
    pub fn outruns(self, other: Self) -> bool {
        self.writes_attver() && other.round().is_some() && !other.writes_attver()
    }
}

impl fmt::Display for ServerVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.major, self.minor)
    }
}

impl FromStr for ServerVersion {
    type Err = NotAVersion;

    /// Reads `17.11`, `9.6.24`, and `19rc1` or `18beta2` as minor 0.
    fn from_str(text: &str) -> Result<Self, NotAVersion> {
        let bad = || NotAVersion(text.to_owned());
        for pre in ["devel", "alpha", "beta", "rc"] {
            if let Some((major, _)) = text.split_once(pre) {
                return Ok(Self {
                    major: major.parse().map_err(|_| bad())?,
                    minor: 0,
                });
            }
        }
        let (major, minor) = text.rsplit_once('.').ok_or_else(bad)?;
        if minor.is_empty() || !minor.bytes().all(|b| b.is_ascii_digit()) {
            return Err(bad());
        }
        Ok(Self {
            major: major.parse().map_err(|_| bad())?,
            minor: minor.parse().map_err(|_| bad())?,
        })
    }
}

impl Serialize for ServerVersion {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for ServerVersion {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?
            .parse()
            .map_err(de::Error::custom)
    }
}

/// Why a pair of versions cannot be upgraded.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UnsupportedPair {
    /// Both are the same major version.
    #[error("the server is already version {0}")]
    Same(MajorVersion),
    /// The new version is older.
    #[error("version {to} is older than {from}; a downgrade is not possible")]
    Downgrade {
        /// Major version of the server.
        from: MajorVersion,
        /// Major version asked for.
        to: MajorVersion,
    },
    /// The old version is older than what is supported.
    #[error("version {0} is older than 9.6, the oldest source that is supported")]
    SourceTooOld(MajorVersion),
    /// The new version is older than what is supported.
    #[error("version {0} is older than 13, the oldest target that is supported")]
    TargetTooOld(MajorVersion),
    /// The new version is not known to this release of the plugin.
    #[error("version {0} is newer than this release of kubectl pg-upgrade knows (19)")]
    Unknown(MajorVersion),
}

/// Whether data of `from` can be taken to `to`.
pub fn supported_pair(from: MajorVersion, to: MajorVersion) -> Result<(), UnsupportedPair> {
    if from == to {
        Err(UnsupportedPair::Same(to))
    } else if to < from {
        Err(UnsupportedPair::Downgrade { from, to })
    } else if from < MajorVersion::OLDEST_SOURCE {
        Err(UnsupportedPair::SourceTooOld(from))
    } else if to < MajorVersion::OLDEST_TARGET {
        Err(UnsupportedPair::TargetTooOld(to))
    } else if to > MajorVersion::NEWEST {
        Err(UnsupportedPair::Unknown(to))
    } else {
        Ok(())
    }
}

/// What is known about one major version.
#[derive(Debug, PartialEq, Eq)]
pub struct KnownMajor {
    /// The version.
    pub major: MajorVersion,
    /// Last day of support as the project announces it, `YYYY-MM-DD`.
    pub end_of_life: &'static str,
    /// Newest minor known when this was built.
    pub newest_minor: u16,
    /// Release rounds and the last minor released in each, oldest first. Rounds before the first are not told apart.
    rounds: &'static [(u16, u16)],
}

impl KnownMajor {
    /// The newest release known when this was built.
    pub const fn newest(&self) -> ServerVersion {
        ServerVersion {
            major: self.major,
            minor: self.newest_minor,
        }
    }
}

/// A quarterly round: years since 2000 times four plus the quarter (February 0 … November 3).
const fn round(year: u16, month: u16) -> u16 {
    (year - 2000) * 4 + (month - 2) / 3
}

const ATTVER_ROUND: u16 = round(2026, 11);

/// All majors from 9.6, oldest first.
pub const KNOWN: &[KnownMajor] = &[
    KnownMajor {
        major: MajorVersion::before_ten(9, 6),
        end_of_life: "2021-11-11",
        newest_minor: 24,
        rounds: &[(round(2021, 11), 24)],
    },
    KnownMajor {
        major: MajorVersion::new(10),
        end_of_life: "2022-11-10",
        newest_minor: 23,
        rounds: &[(round(2022, 11), 23)],
    },
    KnownMajor {
        major: MajorVersion::new(11),
        end_of_life: "2023-11-09",
        newest_minor: 22,
        rounds: &[(round(2023, 11), 22)],
    },
    KnownMajor {
        major: MajorVersion::new(12),
        end_of_life: "2024-11-21",
        newest_minor: 22,
        rounds: &[(round(2024, 8), 20), (round(2024, 11), 22)],
    },
    KnownMajor {
        major: MajorVersion::new(13),
        end_of_life: "2025-11-13",
        newest_minor: 23,
        rounds: &[
            (round(2024, 8), 16),
            (round(2024, 11), 18),
            (round(2025, 2), 20),
            (round(2025, 5), 21),
            (round(2025, 8), 22),
            (round(2025, 11), 23),
        ],
    },
    KnownMajor {
        major: MajorVersion::new(14),
        end_of_life: "2026-11-12",
        newest_minor: 24,
        rounds: &[
            (round(2024, 8), 13),
            (round(2024, 11), 15),
            (round(2025, 2), 17),
            (round(2025, 5), 18),
            (round(2025, 8), 19),
            (round(2025, 11), 20),
            (round(2026, 2), 22),
            (round(2026, 5), 23),
            (round(2026, 8), 24),
        ],
    },
    KnownMajor {
        major: MajorVersion::new(15),
        end_of_life: "2027-11-11",
        newest_minor: 20,
        rounds: &[
            (round(2024, 8), 8),
            (round(2024, 11), 10),
            (round(2025, 2), 12),
            (round(2025, 5), 13),
            (round(2025, 8), 14),
            (round(2025, 11), 15),
            (round(2026, 2), 17),
            (round(2026, 5), 18),
            (round(2026, 8), 19),
            (round(2026, 11), 20),
        ],
    },
    KnownMajor {
        major: MajorVersion::new(16),
        end_of_life: "2028-11-09",
        newest_minor: 15,
        rounds: &[
            (round(2024, 8), 4),
            (round(2024, 11), 6),
            (round(2025, 2), 8),
            (round(2025, 5), 9),
            (round(2025, 8), 10),
            (round(2025, 11), 11),
            (round(2026, 2), 13),
            (round(2026, 5), 14),
            (round(2026, 8), 15),
        ],
    },
    KnownMajor {
        major: MajorVersion::new(17),
        end_of_life: "2029-11-08",
        newest_minor: 12,
        rounds: &[
            (round(2024, 8), 0),
            (round(2024, 11), 2),
            (round(2025, 2), 4),
            (round(2025, 5), 5),
            (round(2025, 8), 6),
            (round(2025, 11), 7),
            (round(2026, 2), 9),
            (round(2026, 5), 10),
            (round(2026, 8), 11),
            (round(2026, 11), 12),
        ],
    },
    KnownMajor {
        major: MajorVersion::new(18),
        end_of_life: "2030-11-14",
        newest_minor: 6,
        rounds: &[
            (round(2025, 8), 0),
            (round(2025, 11), 1),
            (round(2026, 2), 3),
            (round(2026, 5), 4),
            (round(2026, 8), 6),
        ],
    },
    KnownMajor {
        major: MajorVersion::new(19),
        end_of_life: "2031-11-13",
        newest_minor: 0,
        rounds: &[(round(2026, 8), 0)],
    },
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_of_both_ages_are_read() {
        assert_eq!(
            ServerVersion::from_num(170_011).unwrap().to_string(),
            "17.11"
        );
        assert_eq!(
            ServerVersion::from_num(90_624).unwrap().to_string(),
            "9.6.24"
        );
        assert_eq!(
            ServerVersion::from_num(100_023).unwrap(),
            ServerVersion::new(10, 23)
        );
        assert_eq!(ServerVersion::from_num(7), None);
        assert_eq!(ServerVersion::new(17, 11).num(), 170_011);
        assert_eq!("9.6.24".parse::<ServerVersion>().unwrap().num(), 90_624);
        assert_eq!(
            "19rc1".parse::<ServerVersion>().unwrap(),
            ServerVersion::new(19, 0)
        );
    }

    #[test]
    fn a_major_version_is_one_number_or_two_before_ten() {
        assert_eq!("17".parse::<MajorVersion>().unwrap(), MajorVersion::new(17));
        assert_eq!("9.6".parse::<MajorVersion>().unwrap().to_string(), "9.6");
        for bad in [
            "", "17.5", "9.6.1", "9", "latest", "-17", "+17", "1e1", " 17", "100",
        ] {
            assert!(bad.parse::<MajorVersion>().is_err(), "{bad}");
        }
        assert!(MajorVersion::before_ten(9, 6) < MajorVersion::new(10));
    }

    #[test]
    fn pairs_go_up_only_and_stay_in_the_table() {
        let major = |text: &str| text.parse::<MajorVersion>().unwrap();
        assert_eq!(supported_pair(major("9.6"), major("18")), Ok(()));
        assert_eq!(supported_pair(major("18"), major("19")), Ok(()));
        assert!(supported_pair(major("17"), major("17")).is_err());
        assert!(supported_pair(major("17"), major("13")).is_err());
        assert!(supported_pair(major("9.5"), major("13")).is_err());
        assert!(supported_pair(major("9.6"), major("12")).is_err());
        assert!(supported_pair(major("18"), major("20")).is_err());
    }

    #[test]
    fn rounds_tell_which_of_two_majors_was_released_later() {
        let round = |major, minor| ServerVersion::new(major, minor).round().unwrap();
        assert!(round(18, 6) < round(15, 20));
        assert!(round(18, 6) < round(17, 12));
        assert_eq!(round(18, 6), round(17, 11));
        assert!(round(18, 7) >= round(17, 12));
        assert_eq!(round(13, 15), 0);
        assert!(ServerVersion::new(15, 20).writes_attver());
        assert!(!ServerVersion::new(15, 18).writes_attver());
        assert!(!ServerVersion::new(18, 6).writes_attver());
        assert!(ServerVersion::new(18, 7).writes_attver());
        assert!(ServerVersion::new(17, 12).outruns(ServerVersion::new(18, 6)));
        assert!(ServerVersion::new(17, 12).outruns(ServerVersion::new(17, 11)));
        assert!(!ServerVersion::new(17, 11).outruns(ServerVersion::new(18, 1)));
        assert!(!ServerVersion::new(17, 12).outruns(ServerVersion::new(18, 7)));
        assert!(!ServerVersion::new(15, 21).outruns(ServerVersion::new(18, 7)));
    }

    #[test]
    fn the_table_is_in_order_and_complete() {
        for pair in KNOWN.windows(2) {
            assert!(pair[0].major < pair[1].major);
            assert!(pair[0].end_of_life < pair[1].end_of_life);
        }
        for known in KNOWN {
            assert_eq!(known.rounds.last().unwrap().1, known.newest_minor);
            for pair in known.rounds.windows(2) {
                assert!(
                    pair[0].0 < pair[1].0 && pair[0].1 < pair[1].1,
                    "{}",
                    known.major
                );
            }
        }
        assert_eq!(KNOWN.last().unwrap().major, MajorVersion::NEWEST);
    }
}
