//! Durations and sizes as people read them.

use std::time::Duration;

/// An age in kubectl's form: two or three figures, such as `45s`, `5m3s`, `3h20m`, `2d4h`, `1y30d`.
pub fn human_duration(age: Duration) -> String {
    let seconds = age.as_secs();
    let (minutes, hours) = (seconds / 60, seconds / 3600);
    let days = hours / 24;
    let pair = |big: u64, unit: &str, small: u64, rest: &str| match small {
        0 => format!("{big}{unit}"),
        _ => format!("{big}{unit}{small}{rest}"),
    };
    match () {
        () if seconds < 120 => format!("{seconds}s"),
        () if minutes < 10 => pair(minutes, "m", seconds % 60, "s"),
        () if minutes < 180 => format!("{minutes}m"),
        () if hours < 8 => pair(hours, "h", minutes % 60, "m"),
        () if hours < 48 => format!("{hours}h"),
        () if days < 8 => pair(days, "d", hours % 24, "h"),
        () if days < 365 * 2 => format!("{days}d"),
        () if days < 365 * 8 => pair(days / 365, "y", days % 365, "d"),
        () => format!("{}y", days / 365),
    }
}

/// How long something took: `0.4s`, `12.3s`, `2m05s`, `1h02m`.
pub fn human_seconds(took: Duration) -> String {
    // Rounded before the unit is chosen, so that 59.96 s is not "60.0s".
    let tenths = (took.as_millis() + 50) / 100;
    if tenths < 600 {
        return format!("{}.{}s", tenths / 10, tenths % 10);
    }
    let seconds = (took.as_millis() + 500) / 1000;
    if seconds < 3600 {
        return format!("{}m{:02}s", seconds / 60, seconds % 60);
    }
    format!("{}h{:02}m", seconds / 3600, seconds % 3600 / 60)
}

/// A size in the units of Kubernetes quantities, three figures: `512 B`, `1.5 KiB`, `23.4 GiB`, `120 GiB`.
pub fn human_bytes(bytes: u64) -> String {
    const UNITS: [&str; 6] = ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
    if bytes < 1024 {
        return format!("{bytes} B");
    }
    let bytes = u128::from(bytes);
    let rounded = |size: u128, times: u128| (bytes * times + size / 2) / size;
    // 1023.6 of a unit would be rounded to 1024, so it is 1.0 of the next one.
    let (size, unit) = (1..)
        .map(|power| 1_u128 << (10 * power))
        .zip(UNITS)
        .find(|(size, _)| rounded(*size, 1) < 1024)
        .unwrap_or((1 << 60, "EiB"));
    match rounded(size, 10) {
        tenths @ ..1000 => format!("{}.{} {unit}", tenths / 10, tenths % 10),
        _ => format!("{} {unit}", rounded(size, 1)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ages_are_those_of_kubectl() {
        // Recorded from k8s.io/apimachinery/pkg/util/duration, HumanDuration, v0.34.4.
        const MINUTE: u64 = 60;
        const HOUR: u64 = 60 * MINUTE;
        const DAY: u64 = 24 * HOUR;
        for (seconds, expected) in [
            (0, "0s"),
            (1, "1s"),
            (70, "70s"),
            (119, "119s"),
            (120, "2m"),
            (190, "3m10s"),
            (9 * MINUTE + 59, "9m59s"),
            (10 * MINUTE + 1, "10m"),
            (70 * MINUTE, "70m"),
            (179 * MINUTE, "179m"),
            (3 * HOUR, "3h"),
            (3 * HOUR + 10 * MINUTE, "3h10m"),
            (8 * HOUR + 10 * MINUTE, "8h"),
            (47 * HOUR, "47h"),
            (49 * HOUR, "2d1h"),
            (2 * DAY, "2d"),
            (8 * DAY + 2 * HOUR, "8d"),
            (367 * DAY, "367d"),
            (2 * 365 * DAY, "2y"),
            (2 * 365 * DAY + 25 * DAY, "2y25d"),
            (8 * 365 * DAY + 2 * DAY, "8y"),
        ] {
            assert_eq!(
                human_duration(Duration::from_secs(seconds)),
                expected,
                "{seconds}"
            );
        }
    }

    #[test]
    fn times_taken_keep_tenths_up_to_a_minute() {
        for (millis, expected) in [
            (0, "0.0s"),
            (49, "0.0s"),
            (50, "0.1s"),
            (1_234, "1.2s"),
            (59_940, "59.9s"),
            (59_960, "1m00s"),
            (125_400, "2m05s"),
            (3_599_600, "1h00m"),
            (3_725_000, "1h02m"),
        ] {
            assert_eq!(
                human_seconds(Duration::from_millis(millis)),
                expected,
                "{millis}"
            );
        }
    }

    #[test]
    fn sizes_have_three_figures_and_never_1024_of_a_unit() {
        const GIB: u64 = 1 << 30;
        for (bytes, expected) in [
            (0, "0 B"),
            (1023, "1023 B"),
            (1024, "1.0 KiB"),
            (1536, "1.5 KiB"),
            (99 * 1024, "99.0 KiB"),
            (1023 * 1024, "1023 KiB"),
            (1024 * 1024 - 1, "1.0 MiB"),
            (GIB + GIB / 2, "1.5 GiB"),
            (120 * GIB + GIB / 2, "121 GiB"),
            (u64::MAX, "16.0 EiB"),
        ] {
            assert_eq!(human_bytes(bytes), expected, "{bytes}");
        }
    }
}
