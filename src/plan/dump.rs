//! Where a dump goes that lies on a claim of its own.

use crate::k8s::quantity;
use crate::record::DumpPlace;

/// The least size that can be meant as one.
const LEAST: u64 = 1 << 20;

/// `--dump-claim`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DumpClaim {
    /// A claim that exists, by name.
    Existing(String),
    /// One that the run makes, of this size, a quantity.
    New(String),
}

impl DumpClaim {
    /// A quantity is a size, everything else a name; `name` says whether it can be one.
    ///
    /// # Errors
    /// A sentence that says what it should have been.
    pub fn parse(
        text: &str,
        name: impl Fn(&str) -> Result<String, String>,
    ) -> Result<Self, String> {
        match quantity::whole(text) {
            Some(LEAST..) => Ok(Self::New(text.to_owned())),
            Some(_) => Err(format!(
                "{text:?} is no size for a dump; say it as in 5Gi, or the name of a claim"
            )),
            None => name(text).map(Self::Existing).map_err(|_| {
                format!("{text:?} is neither the name of a claim nor a size such as 5Gi")
            }),
        }
    }
}

/// Where a dump of so many bytes of data lies; `directory` is its own name and that of a claim that is made for it.
pub fn place(directory: String, claim: &DumpClaim, data: u64) -> DumpPlace {
    let needed = bytes_needed(data);
    match claim {
        DumpClaim::Existing(name) => DumpPlace {
            claim: name.clone(),
            size: None,
            directory,
            needed,
        },
        DumpClaim::New(size) => DumpPlace {
            claim: directory.clone(),
            size: Some(size.clone()),
            directory,
            needed,
        },
    }
}

/// What the dump of so much data may take, bytes: compressed it is about half of it.
pub fn bytes_needed(data: u64) -> u64 {
    data / 2
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quantity_is_a_size_and_anything_else_a_name() {
        let parse = |text: &str| {
            DumpClaim::parse(text, |name| {
                (name == "backups")
                    .then(|| name.to_owned())
                    .ok_or_else(String::new)
            })
        };
        assert_eq!(parse("5Gi"), Ok(DumpClaim::New("5Gi".to_owned())));
        assert_eq!(
            parse("backups"),
            Ok(DumpClaim::Existing("backups".to_owned()))
        );
        for wrong in ["", "5", "100k", "-5Gi", "5GB", "a b"] {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_claim_that_the_run_makes_has_its_name() {
        let made = place("pg-1".to_owned(), &DumpClaim::New("5Gi".to_owned()), 0);
        assert_eq!(
            (made.claim.as_str(), made.directory.as_str()),
            ("pg-1", "pg-1")
        );
        let given = place(
            "pg-1".to_owned(),
            &DumpClaim::Existing("backups".to_owned()),
            0,
        );
        assert_eq!((given.claim.as_str(), given.size), ("backups", None));
    }
}
