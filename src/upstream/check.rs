//! A strict look at the head of the upstream's answer (RFC 9112 section 6.3): what two readers could frame in two
//! ways goes to no client.

use http::header::{CONTENT_LENGTH, TRANSFER_ENCODING};
use http::response::Parts;
use http::{HeaderMap, StatusCode};

use super::Error;

/// Refuses an answer that is none.
pub(super) fn answer(parts: &Parts) -> Result<(), Error> {
    let bad = |what| Err(Error::BadAnswer { what, source: None });
    if parts.status == StatusCode::SWITCHING_PROTOCOLS {
        return bad("it switches protocols unasked");
    }
    if !(200..600).contains(&parts.status.as_u16()) {
        return bad("its status code does not exist");
    }
    let codings: Vec<_> = parts.headers.get_all(TRANSFER_ENCODING).iter().collect();
    match codings.as_slice() {
        [] => {}
        [one] if one.as_bytes().eq_ignore_ascii_case(b"chunked") => {}
        _ => return bad("its Transfer-Encoding is not chunked alone"),
    }
    if !codings.is_empty() && parts.headers.contains_key(CONTENT_LENGTH) {
        return bad("it has both Content-Length and Transfer-Encoding");
    }
    if !length_is_clear(&parts.headers) {
        return bad("its Content-Length is no number, or stands twice");
    }
    Ok(())
}

fn length_is_clear(headers: &HeaderMap) -> bool {
    let mut lengths = headers.get_all(CONTENT_LENGTH).iter();
    let Some(first) = lengths.next() else {
        return true;
    };
    let digits = first.as_bytes().iter().all(u8::is_ascii_digit);
    let number = first.to_str().is_ok_and(|text| text.parse::<u64>().is_ok());
    digits && number && lengths.next().is_none()
}

#[cfg(test)]
mod tests {
    use http::Response;

    use super::*;

    fn judged(status: u16, lines: &[(&str, &str)]) -> bool {
        let mut response = Response::builder().status(status);
        for (name, value) in lines {
            response = response.header(*name, *value);
        }
        answer(&response.body(()).unwrap().into_parts().0).is_ok()
    }

    #[test]
    fn u4_n34_only_answers_with_one_reading_pass() {
        assert!(judged(200, &[("content-length", "5")]));
        assert!(judged(200, &[("transfer-encoding", "Chunked")]));
        assert!(judged(204, &[]));
        for (status, lines) in [
            (101, &[][..]),
            (999, &[]),
            (200, &[("content-length", "5"), ("content-length", "5")]),
            (200, &[("content-length", "+5")]),
            (200, &[("content-length", "5,5")]),
            (200, &[("content-length", "99999999999999999999")]),
            (
                200,
                &[("content-length", "5"), ("transfer-encoding", "chunked")],
            ),
            (200, &[("transfer-encoding", "gzip, chunked")]),
            (
                200,
                &[
                    ("transfer-encoding", "chunked"),
                    ("transfer-encoding", "chunked"),
                ],
            ),
        ] {
            assert!(!judged(status, lines), "{status} {lines:?}");
        }
    }
}
