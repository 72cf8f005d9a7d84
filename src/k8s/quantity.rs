//! Kubernetes quantities: `10Gi`, `500m`, `1e3`.
//!
//! Format: <https://kubernetes.io/docs/reference/kubernetes-api/common-definitions/quantity/>.

/// Reads a quantity as a whole number, rounded up as Kubernetes does: bytes for storage and memory.
///
/// `None` when it is malformed, negative or beyond `u64`.
pub fn whole(text: &str) -> Option<u64> {
    let thousandths = thousandths(text)?;
    u64::try_from(thousandths.div_ceil(1000)).ok()
}

/// Reads a quantity in thousandths, rounded up: millicores for CPU.
///
/// `None` when it is malformed, negative or beyond `u128`.
pub fn thousandths(text: &str) -> Option<u128> {
    let text = text.trim();
    let text = text.strip_prefix('+').unwrap_or(text);
    let end = text
        .find(|c: char| !(c.is_ascii_digit() || c == '.'))
        .unwrap_or(text.len());
    let (number, suffix) = text.split_at(end);
    let (integer, fraction) = number.split_once('.').unwrap_or((number, ""));
    if integer.is_empty() && fraction.is_empty() || fraction.contains('.') {
        return None;
    }
    let (factor, divisor) = scale(suffix)?;
    // Digits beyond the ninth after the point are below what Kubernetes keeps.
    let fraction = &fraction[..fraction.len().min(9)];
    let shift = 10_u128.pow(u32::try_from(fraction.len()).ok()?);
    let digits: u128 = format!("0{integer}{fraction}").parse().ok()?;
    let scaled = digits.checked_mul(factor)?.checked_mul(1000)?;
    Some(scaled.div_ceil(shift.checked_mul(divisor)?))
}

/// Factor and divisor of a suffix.
fn scale(suffix: &str) -> Option<(u128, u128)> {
    Some(match suffix {
        "" => (1, 1),
        "n" => (1, 1_000_000_000),
        "u" => (1, 1_000_000),
        "m" => (1, 1000),
        "k" => (1000, 1),
        "M" => (10_u128.pow(6), 1),
        "G" => (10_u128.pow(9), 1),
        "T" => (10_u128.pow(12), 1),
        "P" => (10_u128.pow(15), 1),
        "E" => (10_u128.pow(18), 1),
        "Ki" => (1 << 10, 1),
        "Mi" => (1 << 20, 1),
        "Gi" => (1 << 30, 1),
        "Ti" => (1 << 40, 1),
        "Pi" => (1 << 50, 1),
        "Ei" => (1 << 60, 1),
        exponent => {
            let digits = exponent.strip_prefix(['e', 'E'])?;
            let exponent: i32 = digits.parse().ok()?;
            let power = 10_u128.checked_pow(exponent.unsigned_abs())?;
            if exponent < 0 { (1, power) } else { (power, 1) }
        }
    })
}

/// Writes bytes as a quantity with the largest binary suffix that is exact: `10Gi`, `1500Mi`, `1025`.
pub fn of_bytes(bytes: u64) -> String {
    const UNITS: [(u32, &str); 6] = [
        (60, "Ei"),
        (50, "Pi"),
        (40, "Ti"),
        (30, "Gi"),
        (20, "Mi"),
        (10, "Ki"),
    ];
    for (shift, unit) in UNITS {
        if bytes >> shift > 0 && bytes.trailing_zeros() >= shift {
            return format!("{}{unit}", bytes >> shift);
        }
    }
    bytes.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_of_a_quantity_is_read() {
        for (text, bytes) in [
            ("0", 0),
            ("128974848", 128_974_848),
            ("129e6", 129_000_000),
            ("129M", 129_000_000),
            ("128974848000m", 128_974_848),
            ("123Mi", 128_974_848),
            ("1.5Gi", 1_610_612_736),
            (".5Ki", 512),
            ("10Gi", 10_737_418_240),
            ("1E", 1_000_000_000_000_000_000),
            ("1e-1", 1),
            ("+2k", 2000),
        ] {
            assert_eq!(whole(text), Some(bytes), "{text}");
        }
    }

    #[test]
    fn cpu_is_read_in_thousandths() {
        assert_eq!(thousandths("250m"), Some(250));
        assert_eq!(thousandths("2"), Some(2000));
        assert_eq!(thousandths("0.1"), Some(100));
        assert_eq!(thousandths("1n"), Some(1));
    }

    #[test]
    fn nonsense_is_not_a_quantity() {
        for text in ["", "Gi", "1.2.3", "-1", "10GiB", "1e", "ten", "1 Gi", "."] {
            assert_eq!(whole(text), None, "{text}");
        }
        assert_eq!(whole("100Ei"), None);
    }

    #[test]
    fn bytes_are_written_without_loss() {
        for bytes in [0, 1, 1024, 1025, 1_572_864_000, 10 << 30, 1 << 60, u64::MAX] {
            assert_eq!(whole(&of_bytes(bytes)), Some(bytes));
        }
        assert_eq!(of_bytes(10 << 30), "10Gi");
        assert_eq!(of_bytes(1536 << 20), "1536Mi");
    }
}
