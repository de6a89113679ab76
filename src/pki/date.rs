//! Dates as the desk's files write them, between seconds since 1970 and text.

use std::time::{Duration, SystemTime};

use x509_cert::der::DateTime;

/// A day in seconds.
pub(super) const DAY: u64 = 24 * 3600;

/// Seconds since 1970, now.
pub(super) fn now() -> u64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    // A clock before 1970 is as good as one at 1970: everything is not valid yet.
    since.unwrap_or_default().as_secs()
}

/// For people and for JSON: `2027-11-27T18:00:00Z`.
pub(crate) fn text(seconds: u64) -> String {
    civil(seconds).to_string()
}

/// As the index writes it: with two digits for the year before 2050 (RFC 5280 section 4.1.2.5).
pub(super) fn index(seconds: u64) -> String {
    let digits = digits(seconds);
    if civil(seconds).year() < 2050 {
        digits.get(2..).unwrap_or_default().to_owned()
    } else {
        digits
    }
}

/// As certificates and lists hold it: tag and characters.
pub(super) fn der(seconds: u64) -> (u8, Vec<u8>) {
    const UTC_TIME: u8 = 0x17;
    const GENERALIZED_TIME: u8 = 0x18;
    let text = index(seconds);
    let tag = if text.len() == 13 {
        UTC_TIME
    } else {
        GENERALIZED_TIME
    };
    (tag, text.into_bytes())
}

/// Reads a date of the index.
pub(super) fn parse(text: &str) -> Option<u64> {
    let digits = text.strip_suffix('Z')?;
    if !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let (year, rest) = match digits.len() {
        12 => {
            let short: u16 = digits.get(..2)?.parse().ok()?;
            let century = if short < 50 { 2000 } else { 1900 };
            (century + short, digits.get(2..)?)
        }
        14 => (digits.get(..4)?.parse().ok()?, digits.get(4..)?),
        _ => return None,
    };
    let part = |at: usize| -> Option<u8> { rest.get(at..at + 2)?.parse().ok() };
    let date = DateTime::new(year, part(0)?, part(2)?, part(4)?, part(6)?, part(8)?).ok()?;
    Some(date.unix_duration().as_secs())
}

fn digits(seconds: u64) -> String {
    let date = civil(seconds);
    format!(
        "{:04}{:02}{:02}{:02}{:02}{:02}Z",
        date.year(),
        date.month(),
        date.day(),
        date.hour(),
        date.minutes(),
        date.seconds()
    )
}

/// Beyond the year 9999 it is the end of that year, which stands for "never" (RFC 5280 section 4.1.2.5).
fn civil(seconds: u64) -> DateTime {
    DateTime::from_unix_duration(Duration::from_secs(seconds)).unwrap_or(DateTime::INFINITY)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_read_as_they_are_written() {
        let table = [
            ("700101000000Z", 0),
            ("261127180000Z", 1_795_802_400),
            ("491231235959Z", 2_524_607_999),
            ("20500101000000Z", 2_524_608_000),
            ("99991231235959Z", 253_402_300_799),
        ];
        for (written, seconds) in table {
            assert_eq!(parse(written), Some(seconds), "{written}");
            assert_eq!(index(seconds), written);
        }
        assert_eq!(parse("20261127180000Z"), Some(1_795_802_400));
        assert_eq!(text(1_795_802_400), "2026-11-27T18:00:00Z");
        assert_eq!(text(u64::MAX), "9999-12-31T23:59:59Z");
    }

    #[test]
    fn what_is_no_date_is_not_read() {
        for written in [
            "",
            "Z",
            "261127180000",
            "261327180000Z",
            "260230180000Z",
            "2611271800Z",
            "+61127180000Z",
            "26112718000éZ",
            "691127180000Z",
        ] {
            assert_eq!(parse(written), None, "{written:?}");
        }
    }
}
