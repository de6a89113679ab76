//! Parts of a representation and conditions on it: `Range`, `If-Range`, `If-None-Match` of those who read (RFC 9110
//! sections 13 and 14), `Content-Range` of those who upload (distribution-spec v1.1 end-5).

use http::header::{CONTENT_RANGE, HeaderMap, HeaderName, IF_NONE_MATCH, IF_RANGE, RANGE};

/// More parts than this in one answer nobody asks for but to make us work; the whole is sent then, as RFC 9110 section
/// 14.2 allows.
const MOST_PARTS: usize = 10;

/// Consecutive bytes, first and last one included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Part {
    /// The first byte.
    pub first: u64,
    /// The last byte; never before the first.
    pub last: u64,
}

impl Part {
    /// How many bytes it has.
    pub(crate) fn length(self) -> u64 {
        // The last byte of a representation is below its length, so there is room for the one.
        (self.last - self.first).saturating_add(1)
    }

    /// As `Content-Range` says it.
    pub(crate) fn of(self, size: u64) -> String {
        format!("bytes {}-{}/{size}", self.first, self.last)
    }
}

/// What of a representation is to be sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Selection {
    /// All of it.
    Whole,
    /// Some parts, in ascending order and without overlap; at least one.
    Parts(Vec<Part>),
    /// Parts that it does not have.
    Unsatisfiable,
}

/// What a GET with these headers wants of a representation with `size` bytes and this validator (without quotes).
///
/// A header that is malformed, of another unit, or asks for parts in disorder is ignored (RFC 9110 section 14.2).
pub(crate) fn selection(headers: &HeaderMap, tag: &str, size: u64) -> Selection {
    let Some(text) = single(headers, &RANGE) else {
        return Selection::Whole;
    };
    // Some clients send a range with every request; of nothing there is no part.
    if size == 0 || !is_same(headers, tag) {
        return Selection::Whole;
    }
    let Some((unit, list)) = text.split_once('=') else {
        return Selection::Whole;
    };
    if !unit.trim().eq_ignore_ascii_case("bytes") {
        return Selection::Whole;
    }
    let mut parts: Vec<Part> = Vec::new();
    let mut asked = 0;
    for text in list.split(',').map(str::trim).filter(|t| !t.is_empty()) {
        asked += 1;
        let Some(part) = part(text, size).filter(|_| asked <= MOST_PARTS) else {
            return Selection::Whole;
        };
        if part.first >= size {
            continue;
        }
        if parts.last().is_some_and(|before| part.first <= before.last) {
            return Selection::Whole;
        }
        parts.push(part);
    }
    match (asked, parts.is_empty()) {
        (0, _) => Selection::Whole,
        (_, true) => Selection::Unsatisfiable,
        (_, false) => Selection::Parts(parts),
    }
}

/// One range of a list. What the representation does not have begins behind its end.
fn part(text: &str, size: u64) -> Option<Part> {
    let (first, last) = text.split_once('-')?;
    let end = size.checked_sub(1)?;
    if first.is_empty() {
        let first = size.saturating_sub(number(last)?);
        return Some(Part { first, last: end });
    }
    let first = number(first)?;
    let last = if last.is_empty() {
        u64::MAX
    } else {
        number(last)?
    };
    (first <= last).then_some(Part {
        first,
        last: last.min(end),
    })
}

/// Digits; more than fit are a very large number.
fn number(text: &str) -> Option<u64> {
    let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    digits.then(|| text.parse().unwrap_or(u64::MAX))
}

/// `If-Range`: the part is wanted of this very representation alone. Dates never are one of ours.
fn is_same(headers: &HeaderMap, tag: &str) -> bool {
    if !headers.contains_key(IF_RANGE) {
        return true;
    }
    single(headers, &IF_RANGE).is_some_and(|text| unquoted(text.trim()) == tag)
}

/// `If-None-Match`: the client has it already. Besides quoted validators a bare one counts, as for registry:2.
pub(crate) fn is_unchanged(headers: &HeaderMap, tag: &str) -> bool {
    let lines = headers.get_all(IF_NONE_MATCH).iter();
    lines
        .filter_map(|line| line.to_str().ok())
        .flat_map(|line| line.split(','))
        .map(str::trim)
        .any(|one| one == "*" || unquoted(one.strip_prefix("W/").unwrap_or(one)) == tag)
}

fn unquoted(text: &str) -> &str {
    let inner = text.strip_prefix('"').and_then(|t| t.strip_suffix('"'));
    inner.unwrap_or(text)
}

/// A `Content-Range` that is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("Content-Range is FIRST-LAST, in bytes, both included, the last not before the first")]
pub(crate) struct BadContentRange;

/// Where the bytes of an upload's chunk belong, if the client says so. `FIRST-LAST` is the specification's form; what
/// HTTP has for answers, `bytes FIRST-LAST/TOTAL`, is understood too.
///
/// # Errors
/// It is something else.
pub(crate) fn content_range(headers: &HeaderMap) -> Result<Option<Part>, BadContentRange> {
    if !headers.contains_key(CONTENT_RANGE) {
        return Ok(None);
    }
    let text = single(headers, &CONTENT_RANGE).ok_or(BadContentRange)?;
    let text = text.trim();
    let range = match text.split_once(' ') {
        Some((unit, range)) if unit.eq_ignore_ascii_case("bytes") => range.trim_start(),
        Some(_) => return Err(BadContentRange),
        None => text,
    };
    let (range, total) = match range.split_once('/') {
        Some((range, total)) => (range, Some(total)),
        None => (range, None),
    };
    if total.is_some_and(|total| total != "*" && number(total).is_none()) {
        return Err(BadContentRange);
    }
    let (first, last) = range.split_once('-').ok_or(BadContentRange)?;
    let exact = |text: &str| number(text).filter(|n| *n < u64::MAX);
    match (exact(first), exact(last)) {
        (Some(first), Some(last)) if first <= last => Ok(Some(Part { first, last })),
        _ => Err(BadContentRange),
    }
}

/// The value of a header that stands once.
fn single<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    let mut values = headers.get_all(name).iter();
    let value = values.next()?.to_str().ok()?;
    values.next().is_none().then_some(value)
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;
    use proptest::prelude::*;

    use super::*;

    const TAG: &str = "sha256:e3b0";

    fn headers(lines: &[(HeaderName, &str)]) -> HeaderMap {
        let mut map = HeaderMap::new();
        for (name, value) in lines {
            map.append(name, HeaderValue::from_str(value).unwrap());
        }
        map
    }

    fn select(range: &str, size: u64) -> Selection {
        selection(&headers(&[(RANGE, range)]), TAG, size)
    }

    fn parts(list: &[(u64, u64)]) -> Selection {
        let part = |(first, last): &(u64, u64)| Part {
            first: *first,
            last: *last,
        };
        Selection::Parts(list.iter().map(part).collect())
    }

    #[test]
    fn h16_ranges_are_cut_to_what_is_there() {
        for (range, size, expected) in [
            ("bytes=0-0", 10, &[(0, 0)][..]),
            ("bytes=10-19", 3000, &[(10, 19)]),
            ("bytes=2990-", 3000, &[(2990, 2999)]),
            ("bytes=-5", 3000, &[(2995, 2999)]),
            ("bytes=-5", 3, &[(0, 2)]),
            ("bytes=0-99999999999999999999999", 10, &[(0, 9)]),
            ("bytes=-99999999999999999999999", 10, &[(0, 9)]),
            ("Bytes=5-20", 10, &[(5, 9)]),
            ("bytes=0-1,5-6", 10, &[(0, 1), (5, 6)]),
            ("bytes= 0-1 , , 5-6", 10, &[(0, 1), (5, 6)]),
            ("bytes=0-1,50-60", 10, &[(0, 1)]),
            ("bytes=50-60,-1", 10, &[(9, 9)]),
            ("bytes=0-", u64::MAX, &[(0, u64::MAX - 1)]),
        ] {
            assert_eq!(select(range, size), parts(expected), "{range} of {size}");
        }
    }

    #[test]
    fn h16_what_does_not_exist_cannot_be_sent() {
        for range in ["bytes=10-", "bytes=10-20", "bytes=-0", "bytes=-0,99-"] {
            assert_eq!(select(range, 10), Selection::Unsatisfiable, "{range}");
        }
        let beyond = format!("bytes={}-", u64::MAX);
        assert_eq!(select(&beyond, u64::MAX), Selection::Unsatisfiable);
    }

    #[test]
    fn h16_nonsense_disorder_and_too_many_parts_are_ignored() {
        let many = format!("bytes={}", "0-,".repeat(1000));
        let eleven: Vec<String> = (0..11).map(|n| format!("{}-{}", 2 * n, 2 * n)).collect();
        let eleven = format!("bytes={}", eleven.join(","));
        for range in [
            "",
            "bytes",
            "bytes=",
            "bytes=,",
            "bytes=-",
            "bytes=a-b",
            "bytes=5-1",
            "bytes=0-1,5-4",
            "bytes=0-1,x",
            "bytes=+1-2",
            "bytes=1--2",
            "bytes=0x1-2",
            "lines=0-1",
            "bytes 0-1",
            "bytes=5-6,0-1",
            "bytes=0-5,5-6",
            "bytes=0-,0-",
            &many,
            &eleven,
        ] {
            assert_eq!(select(range, 100), Selection::Whole, "{range}");
        }
        assert_eq!(select("bytes=0-1", 0), Selection::Whole);
        let twice = headers(&[(RANGE, "bytes=0-1"), (RANGE, "bytes=2-3")]);
        assert_eq!(selection(&twice, TAG, 10), Selection::Whole);
    }

    #[test]
    fn a_part_of_another_representation_is_not_sent() {
        let with = |value: &str| {
            let lines = [(RANGE, "bytes=0-1"), (IF_RANGE, value)];
            selection(&headers(&lines), TAG, 10)
        };
        assert_eq!(with("\"sha256:e3b0\""), parts(&[(0, 1)]));
        for other in [
            "\"sha256:0000\"",
            "W/\"sha256:e3b0\"",
            "Sat, 21 Nov 2026 10:00:00 GMT",
            "",
            "*",
        ] {
            assert_eq!(with(other), Selection::Whole, "{other}");
        }
    }

    #[test]
    fn a_validator_is_found_in_every_spelling() {
        let unchanged = |value: &str| is_unchanged(&headers(&[(IF_NONE_MATCH, value)]), TAG);
        for same in [
            "\"sha256:e3b0\"",
            "sha256:e3b0",
            "W/\"sha256:e3b0\"",
            "*",
            "\"a\", \"sha256:e3b0\"",
            "\"a\",W/\"sha256:e3b0\" , \"b\"",
        ] {
            assert!(unchanged(same), "{same}");
        }
        for other in ["", "\"\"", "\"x\"", "sha256:e3b", "\"sha256:e3b0", "W/"] {
            assert!(!unchanged(other), "{other}");
        }
        let second_line = [(IF_NONE_MATCH, "\"a\""), (IF_NONE_MATCH, "\"sha256:e3b0\"")];
        assert!(is_unchanged(&headers(&second_line), TAG));
        assert!(!is_unchanged(&HeaderMap::new(), TAG));
    }

    #[test]
    fn the_place_of_a_chunk_is_read_or_refused() {
        let read = |value: &str| content_range(&headers(&[(CONTENT_RANGE, value)]));
        for (text, first, last) in [
            ("0-999", 0, 999),
            ("1000-1000", 1000, 1000),
            ("bytes 5-9/10", 5, 9),
            ("bytes 5-9/*", 5, 9),
            ("Bytes 5-9", 5, 9),
            (" 0-1 ", 0, 1),
        ] {
            assert_eq!(read(text), Ok(Some(Part { first, last })), "{text}");
        }
        for text in [
            "",
            "0",
            "-",
            "0-",
            "-1",
            "5-4",
            "a-b",
            "0-1-2",
            "0--1",
            "bytes=0-1",
            "lines 0-1",
            "0-1/x",
            "bytes */10",
            "0-18446744073709551615",
            "+0-1",
            "0 - 1",
        ] {
            assert_eq!(read(text), Err(BadContentRange), "{text}");
        }
        assert_eq!(content_range(&HeaderMap::new()), Ok(None));
        let twice = headers(&[(CONTENT_RANGE, "0-1"), (CONTENT_RANGE, "0-1")]);
        assert_eq!(content_range(&twice), Err(BadContentRange));
    }

    proptest! {
        #[test]
        fn selected_parts_lie_in_order_within_the_representation(
            list in proptest::collection::vec("[0-9]{0,3}-[0-9]{0,3}", 0..6),
            size in 1_u64..1200,
        ) {
            if let Selection::Parts(parts) = select(&format!("bytes={}", list.join(",")), size) {
                prop_assert!(!parts.is_empty());
                for part in &parts {
                    prop_assert!(part.first <= part.last && part.last < size);
                }
                for pair in parts.windows(2) {
                    prop_assert!(pair[0].last < pair[1].first);
                }
                let sum: u64 = parts.iter().map(|part| part.length()).sum();
                prop_assert!(sum <= size);
            }
        }

        #[test]
        fn one_range_selects_exactly_its_bytes(first in 0_u64..50, last in 0_u64..50, size in 1_u64..50) {
            let expected: Vec<u64> = (first..=last).filter(|at| *at < size).collect();
            match select(&format!("bytes={first}-{last}"), size) {
                Selection::Whole => prop_assert!(last < first),
                Selection::Unsatisfiable => prop_assert!(expected.is_empty()),
                Selection::Parts(parts) => {
                    let all: Vec<u64> = parts.iter().flat_map(|p| p.first..=p.last).collect();
                    prop_assert_eq!(all, expected);
                }
            }
        }

        #[test]
        fn no_text_makes_the_readers_panic(text in "[ -~]{0,60}", size in any::<u64>()) {
            let lines = [(RANGE, &*text), (IF_RANGE, &text), (IF_NONE_MATCH, &text), (CONTENT_RANGE, &text)];
            let headers = headers(&lines);
            let _ = (selection(&headers, &text, size), is_unchanged(&headers, "x"), content_range(&headers));
        }
    }
}
