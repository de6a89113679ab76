//! Sizes and durations as people write them. The unit is always said, so that nobody has to guess it.

use std::time::Duration;

const KIB: u64 = 1 << 10;
const KB: u64 = 1000;

/// Longer waits than this are slips: no exchange with a registry is silent for a month.
const LONGEST: Duration = Duration::from_secs(30 * 24 * 60 * 60);

/// `"4 MiB"`, `"64KiB"`, `"10 GB"`, `"512 B"` or `"512"` in bytes.
pub(super) fn size(text: &str) -> Result<u64, String> {
    let text = text.trim();
    let (number, unit) = split(text);
    let Ok(number) = number.parse::<u64>() else {
        return Err(format!(
            "{text:?} is not a size; write a number and a unit, such as \"4 MiB\""
        ));
    };
    let factor = match unit {
        "" | "B" => 1,
        "KiB" => KIB,
        "MiB" => KIB.pow(2),
        "GiB" => KIB.pow(3),
        "TiB" => KIB.pow(4),
        "kB" | "KB" => KB,
        "MB" => KB.pow(2),
        "GB" => KB.pow(3),
        "TB" => KB.pow(4),
        other => return Err(unknown_size_unit(text, number, other)),
    };
    number
        .checked_mul(factor)
        .ok_or_else(|| format!("{text:?} is more bytes than can be counted"))
}

fn unknown_size_unit(text: &str, number: u64, unit: &str) -> String {
    let meant = match unit.chars().next().map(|first| first.to_ascii_uppercase()) {
        Some('K') => Some("KiB"),
        Some('M') => Some("MiB"),
        Some('G') => Some("GiB"),
        Some('T') => Some("TiB"),
        _ => None,
    };
    match meant {
        Some(meant) => format!("{text:?} has an unknown unit; write \"{number} {meant}\""),
        None => format!("{text:?} has an unknown unit; allowed: B, KiB, MiB, GiB, TiB"),
    }
}

/// `"900s"`, `"5m"`, `"1h30m"`, `"500ms"`; at most 30 days.
pub(super) fn duration(text: &str) -> Result<Duration, String> {
    let text = text.trim();
    if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(format!(
            "{text:?} has no unit; write \"{text}s\" for seconds"
        ));
    }
    let wrong = || {
        format!(
            "{text:?} is not a duration; write a number and a unit (ms, s, m, h, d), such as \"30s\" or \"1h30m\""
        )
    };
    let mut total = Duration::ZERO;
    let mut rest = text;
    if rest.is_empty() {
        return Err(wrong());
    }
    while !rest.is_empty() {
        let digits = rest.len() - rest.trim_start_matches(|c: char| c.is_ascii_digit()).len();
        let (number, tail) = rest.split_at(digits);
        let letters = tail.len()
            - tail
                .trim_start_matches(|c: char| c.is_ascii_alphabetic())
                .len();
        let (unit, tail) = tail.split_at(letters);
        let number: u64 = number.parse().map_err(|_| wrong())?;
        let unit = match unit {
            "ms" => Duration::from_millis(1),
            "s" => Duration::from_secs(1),
            "m" => Duration::from_secs(60),
            "h" => Duration::from_secs(60 * 60),
            "d" => Duration::from_secs(24 * 60 * 60),
            _ => return Err(wrong()),
        };
        total = u32::try_from(number)
            .ok()
            .and_then(|number| unit.checked_mul(number))
            .and_then(|part| total.checked_add(part))
            .filter(|total| *total <= LONGEST)
            .ok_or_else(|| format!("{text:?} is longer than 30 days, the longest wait there is"))?;
        rest = tail.trim_start();
    }
    Ok(total)
}

/// The digits in front, and the unit behind them.
fn split(text: &str) -> (&str, &str) {
    let digits = text.len() - text.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    let (number, unit) = text.split_at(digits);
    (number, unit.trim_start())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_in_binary_and_decimal_units() {
        for (text, bytes) in [
            ("0", 0),
            ("512", 512),
            ("512 B", 512),
            ("64KiB", 64 << 10),
            (" 4 MiB ", 4 << 20),
            ("20 GiB", 20 << 30),
            ("1 TiB", 1 << 40),
            ("10 GB", 10_000_000_000),
            ("3 kB", 3000),
        ] {
            assert_eq!(size(text), Ok(bytes), "{text}");
        }
        for text in [
            "",
            "MiB",
            "-1",
            "1.5 MiB",
            "4 M",
            "4m",
            "4 parsecs",
            "20000000 TiB",
        ] {
            assert!(size(text).is_err(), "{text}");
        }
        assert!(size("4m").is_err_and(|why| why.contains("write \"4 MiB\"")));
    }

    #[test]
    fn durations_are_read_with_their_units() {
        for (text, millis) in [
            ("900s", 900_000),
            ("5m", 300_000),
            ("1h30m", 5_400_000),
            ("1h 30m", 5_400_000),
            ("500ms", 500),
            ("0s", 0),
            ("30d", 30 * 24 * 3_600_000),
        ] {
            assert_eq!(duration(text), Ok(Duration::from_millis(millis)), "{text}");
        }
        for text in [
            "",
            "s",
            "5",
            "5 minutes",
            "-5s",
            "1.5s",
            "31d",
            "99999999999999999999s",
            "4294967296s",
            "5s!",
        ] {
            assert!(duration(text).is_err(), "{text}");
        }
        assert!(duration("900").is_err_and(|why| why.contains("write \"900s\"")));
    }
}
