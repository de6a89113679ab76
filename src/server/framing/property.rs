//! What holds of every byte that a client sends: it is judged the same in any pieces, and what is accepted means the
//! same to hyper's parser.

use super::{Fault, HeadLimits, Position, Scanner};

const LIMITS: HeadLimits = HeadLimits {
    header_size: 64 * 1024,
};

/// What becomes of a connection's bytes: the bytes passed on, the fault, and where it stands.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Outcome {
    pub(super) passed: Vec<u8>,
    pub(super) fault: Option<Fault>,
    pub(super) position: Position,
    pub(super) heads: u64,
}

pub(super) fn look<'a>(pieces: impl Iterator<Item = &'a [u8]>) -> Outcome {
    let mut scanner = Scanner::new(LIMITS);
    let mut passed = Vec::new();
    let mut fault = None;
    for piece in pieces {
        let scan = scanner.scan(piece);
        if fault.is_some() {
            assert_eq!(
                (scan.front.len(), scan.range.len()),
                (0, 0),
                "accepted after a fault"
            );
            continue;
        }
        passed.extend_from_slice(&scan.front);
        passed.extend_from_slice(&piece[scan.range]);
        fault = scan.fault;
    }
    Outcome {
        passed,
        fault,
        position: scanner.position(),
        heads: scanner.heads(),
    }
}

pub(super) fn whole(bytes: &[u8]) -> Outcome {
    look(std::iter::once(bytes))
}

pub(super) fn split(bytes: &[u8], mut cuts: Vec<usize>) -> Outcome {
    cuts.push(bytes.len());
    for cut in &mut cuts {
        *cut = (*cut).min(bytes.len());
    }
    cuts.sort_unstable();
    let mut from = 0;
    look(cuts.into_iter().map(move |cut| {
        let piece = &bytes[from..cut];
        from = cut;
        piece
    }))
}

/// The bytes of one connection.
pub(crate) fn connection(data: &[u8]) {
    let outcome = whole(data);
    for piece in [1, 7, 64] {
        assert_eq!(look(data.chunks(piece)), outcome, "in pieces of {piece}");
    }
    // Two pieces, at a place that the bytes themselves choose.
    let at = data.iter().map(|b| usize::from(*b)).sum::<usize>() % (data.len() + 1);
    assert_eq!(split(data, vec![at]), outcome, "in two pieces, at {at}");
    check_against_httparse(&outcome);
}

/// Every request passed on is taken apart by hyper's parser in the same places.
pub(super) fn check_against_httparse(outcome: &Outcome) {
    let mut rest = outcome.passed.as_slice();
    for _ in 0..outcome.heads {
        let mut headers = [httparse::EMPTY_HEADER; 100];
        let mut request = httparse::Request::new(&mut headers);
        let parsed = request.parse(rest);
        let Ok(httparse::Status::Complete(end)) = parsed else {
            panic!("{parsed:?}: {rest:?}");
        };
        let named = |name: &str| {
            let all: Vec<&[u8]> = request
                .headers
                .iter()
                .filter(|header| header.name.eq_ignore_ascii_case(name))
                .map(|header| header.value)
                .collect();
            all
        };
        let (lengths, codings) = (named("content-length"), named("transfer-encoding"));
        assert!(lengths.len() + codings.len() <= 1, "{rest:?}");
        assert!(named("host").len() <= 1, "{rest:?}");
        rest = &rest[end..];
        if let [length] = lengths[..] {
            let digits = std::str::from_utf8(length).ok();
            let length: Option<u64> = digits.and_then(|digits| digits.parse().ok());
            let Some(length) = length else {
                panic!("a length that is none: {digits:?}");
            };
            let length = usize::try_from(length).unwrap_or(usize::MAX);
            rest = &rest[length.min(rest.len())..];
        } else if !codings.is_empty() {
            rest = skip_chunks(rest);
        }
    }
    assert!(rest.is_empty(), "bytes behind the last request: {rest:?}");
}

/// Reads chunks with httparse's reader of chunk sizes.
fn skip_chunks(mut rest: &[u8]) -> &[u8] {
    loop {
        match httparse::parse_chunk_size(rest) {
            Ok(httparse::Status::Complete((used, 0))) => {
                // The trailers, to the empty line.
                rest = &rest[used..];
                let mut headers = [httparse::EMPTY_HEADER; 100];
                return match httparse::parse_headers(rest, &mut headers) {
                    Ok(httparse::Status::Complete((used, _))) => &rest[used..],
                    Ok(httparse::Status::Partial) => &[],
                    Err(error) => panic!("trailers: {error}: {rest:?}"),
                };
            }
            Ok(httparse::Status::Complete((used, size))) => {
                let size = usize::try_from(size).unwrap_or(usize::MAX);
                let Some(next) = size.checked_add(used + 2).and_then(|to| rest.get(to..)) else {
                    return &[];
                };
                rest = next;
            }
            Ok(httparse::Status::Partial) => return &[],
            Err(error) => panic!("chunk size: {error:?}: {rest:?}"),
        }
    }
}
