//! The clocks of both ends, and the dates of the certificate by them.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use http::header::DATE;

use crate::probe::wire::Answer;
use crate::tls::Shown;

use super::Diagnosis;

/// Clocks that differ by more are told of: tokens and certificates of the moment fail by then.
const DRIFT: u64 = 60;

fn now() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_secs())
}

/// Compares the clocks; the server's, if it is another than ours.
pub(super) fn clock(answer: &Answer, found: &mut Diagnosis) -> Option<u64> {
    let date = answer
        .header(&DATE)
        .and_then(|text| httpdate::parse_http_date(text).ok());
    let Some(server) = date.and_then(|date| date.duration_since(UNIX_EPOCH).ok()) else {
        found.skipped("clock", "the answer has no Date to compare with");
        return None;
    };
    let (server, own) = (server.as_secs(), now());
    let drift = server.abs_diff(own);
    if drift <= DRIFT {
        found.ok("clock", format!("within {DRIFT} seconds of the server's"));
        return None;
    }
    let (behind, by) = if server > own {
        ("behind", server - own)
    } else {
        ("ahead of", own - server)
    };
    found.failed(
        "clock",
        format!(
            "this machine's clock ({}) is {} {behind} the server's ({}); set the one that \
             is wrong (timedatectl set-ntp true)",
            date_text(own),
            span(by),
            date_text(server)
        ),
    );
    Some(server)
}

fn span(seconds: u64) -> String {
    match seconds {
        0..120 => format!("{seconds} seconds"),
        120..7200 => format!("{} minutes", seconds / 60),
        7200..172_800 => format!("{} hours", seconds / 3600),
        _ => format!("{} days", seconds / 86_400),
    }
}

fn date_text(seconds: u64) -> String {
    httpdate::fmt_http_date(UNIX_EPOCH + Duration::from_secs(seconds.min(253_402_300_799)))
}

/// Its dates, by the server's clock if ours is another.
pub(super) fn dates(shown: &Shown, server: Option<u64>, found: &mut Diagnosis) {
    let now = server.unwrap_or_else(now);
    let by = if server.is_some() {
        ", by the clock of the server"
    } else {
        ""
    };
    if now > shown.not_after {
        found.failed(
            "certificate dates",
            format!(
                "it expired on {}{by}; renew it, and see that the gate has the new one",
                date_text(shown.not_after)
            ),
        );
    } else if now < shown.not_before {
        found.failed(
            "certificate dates",
            format!(
                "it is not valid before {}{by}; wait, or issue one that begins earlier",
                date_text(shown.not_before)
            ),
        );
    } else {
        found.ok(
            "certificate dates",
            format!("valid until {}{by}", date_text(shown.not_after)),
        );
    }
}
