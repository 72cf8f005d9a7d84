//! Names for objects: valid DNS labels of at most 63 characters that do not collide when cut.

use sha2::{Digest, Sha256};

/// Longest name that is a DNS label and fits a label's value.
pub const LIMIT: usize = 63;
/// Hexadecimal digits of the hash that replaces what is cut off.
const HASH: usize = 8;

/// Joins the parts with `-` and fits the result.
///
/// `name(&["shop-db", "pg-upgrade", "k3x9"])` is `shop-db-pg-upgrade-k3x9`.
pub fn name(parts: &[&str]) -> String {
    fit(&parts.join("-"))
}

/// Turns any text into a DNS label (RFC 1123) of at most 63 characters.
///
/// Text that is one already stays as it is. Anything else gets a hash of the whole text at its end, so
/// that different texts keep different names.
pub fn fit(text: &str) -> String {
    fit_within(text, LIMIT)
}

/// The same with another limit, for names to which controllers add something (at least 10).
pub fn fit_within(text: &str, limit: usize) -> String {
    let valid = text.len() <= limit
        && !text.is_empty()
        && !text.starts_with('-')
        && !text.ends_with('-')
        && text
            .bytes()
            .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-');
    if valid {
        return text.to_owned();
    }
    let clean: String = text
        .chars()
        .map(|c| match c.to_ascii_lowercase() {
            c if c.is_ascii_lowercase() || c.is_ascii_digit() => c,
            _ => '-',
        })
        .collect();
    let room = limit.saturating_sub(HASH + 1);
    let head: String = clean.trim_matches('-').chars().take(room).collect();
    let head = head.trim_end_matches('-');
    let hash = hash(text);
    if head.is_empty() {
        hash
    } else {
        format!("{head}-{hash}")
    }
}

/// The first 32 bits of its SHA-256, in hexadecimal digits.
pub fn hash(text: &str) -> String {
    Sha256::digest(text.as_bytes())
        .iter()
        .flat_map(|byte| [byte >> 4, byte & 0xf])
        .take(HASH)
        .filter_map(|digit| char::from_digit(u32::from(digit), 16))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_short_name_stays_as_it_is() {
        assert_eq!(
            name(&["shop-db", "pg-upgrade", "k3x9"]),
            "shop-db-pg-upgrade-k3x9"
        );
    }

    #[test]
    fn long_names_with_a_common_prefix_stay_different() {
        let stem = "a".repeat(70);
        let (one, two) = (fit(&format!("{stem}1")), fit(&format!("{stem}2")));
        assert_ne!(one, two);
        assert!(one.len() <= LIMIT && two.len() <= LIMIT, "{one} {two}");
        assert_eq!(one, fit(&format!("{stem}1")));
    }

    #[test]
    fn what_is_not_allowed_in_a_name_is_replaced() {
        let fitted = fit("Shop.DB_1-");
        assert!(fitted.starts_with("shop-db-1-"), "{fitted}");
        assert_ne!(fit("a.b"), fit("a_b"));
        assert_eq!(fit("---").len(), 8);
        assert_eq!(fit("ü").len(), 8);
    }

    #[test]
    fn a_cut_name_never_has_a_hyphen_before_the_hash_twice() {
        let fitted = fit_within("abcdefghij-klmnopqrst", 20);
        assert_eq!(fitted.len(), 19, "{fitted}");
        assert!(!fitted.contains("--"));
    }
}
