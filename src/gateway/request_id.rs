//! The ids of requests, which log, answer and the registry behind us share.

use std::hash::{BuildHasher, RandomState};
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU64, Ordering};

use http::HeaderValue;

static SEED: LazyLock<RandomState> = LazyLock::new(RandomState::new);
static COUNT: AtomicU64 = AtomicU64::new(0);

/// 16 hexadecimal digits, random enough to tell requests of many processes apart.
pub(super) fn new_request_id() -> HeaderValue {
    let id = SEED.hash_one(COUNT.fetch_add(1, Ordering::Relaxed));
    HeaderValue::from_bytes(&hexadecimal(id)).unwrap_or(HeaderValue::from_static("0"))
}

/// Written for each request, and the formatter of the standard library takes ten times as long.
fn hexadecimal(number: u64) -> [u8; 16] {
    let mut digits = [0; 16];
    for (digit, place) in digits.iter_mut().zip((0..16).rev()) {
        let value = u8::try_from((number >> (4 * place)) & 15).unwrap_or_default();
        *digit = value + if value < 10 { b'0' } else { b'a' - 10 };
    }
    digits
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn a_number_is_written_as_everywhere() {
        for number in [0, 9, 10, 15, 16, 0x0123_4567_89ab_cdef, u64::MAX] {
            let text = String::from_utf8(hexadecimal(number).to_vec()).unwrap();
            assert_eq!(text, format!("{number:016x}"));
        }
    }

    #[test]
    fn no_two_requests_share_an_id() {
        let ids: HashSet<_> = (0..1000).map(|_| new_request_id()).collect();
        assert_eq!(ids.len(), 1000);
    }
}
