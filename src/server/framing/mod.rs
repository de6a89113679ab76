//! A strict reading of HTTP/1 requests, before hyper's generous one (RFC 9112, RFC 9110).
//!
//! hyper drops `Content-Length` beside `Transfer-Encoding`, takes several `Host` lines, bare LF and `gzip, chunked`, and
//! answers what it cannot parse with a bare 400. Two readings of one byte stream are how requests are smuggled, so
//! nothing but heads and bodies with exactly one reading gets past this room. It does no I/O.

mod chunked;
mod fault;
mod head;

use std::ops::Range;

use chunked::Chunked;
pub(crate) use fault::Fault;
use head::{Framing, Head};

/// Header lines of one request; beyond: 431. hyper's own bound is the same 100.
const MAX_LINES: usize = 100;
/// Bytes of the request target; beyond: 414. Registries' longest paths stay below 1 KiB.
const MAX_TARGET: usize = 8 * 1024;
/// Bytes of the method; beyond: 501. The longest registered one has 17.
const MAX_METHOD: usize = 32;

/// First byte of a TLS record that carries a handshake (RFC 8446 section 5.1).
const TLS_HANDSHAKE: u8 = 0x16;

/// Bounds on a request head that the configuration decides.
#[derive(Clone, Copy, Debug)]
pub(super) struct HeadLimits {
    /// Bytes from the request line to the empty line, both included; beyond: 431.
    pub(super) header_size: usize,
}

/// The strict reader of one connection's bytes.
#[derive(Debug)]
pub(super) struct Scanner {
    limits: HeadLimits,
    state: State,
    /// The bytes of a head that is not complete; it owns no memory otherwise.
    held: Vec<u8>,
    heads: u64,
}

#[derive(Debug)]
enum State {
    Head(Head),
    Length(u64),
    Chunked(Chunked),
    Refused,
}

/// What may be passed on after a look at some bytes: first `front`, then the bytes in `range`.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Scan {
    /// Bytes held back from earlier looks, or a head that was changed: complete up to the start of `range`.
    pub(super) front: Vec<u8>,
    /// Which of the bytes shown may be passed on behind `front`. A head that is not complete is kept in the scanner.
    pub(super) range: Range<usize>,
    /// What is wrong with the bytes behind `range`; after a fault nothing is accepted any more.
    pub(super) fault: Option<Fault>,
}

/// Where in the stream of requests the last byte stood.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Position {
    /// A request is complete, or none has come.
    BetweenRequests,
    /// A head has begun.
    InHead,
    /// A head is complete and its body is not.
    InBody,
}

impl Scanner {
    /// A reader for the first byte of a connection.
    pub(super) fn new(limits: HeadLimits) -> Self {
        Self {
            limits,
            state: State::Head(Head::new()),
            held: Vec::new(),
            heads: 0,
        }
    }

    /// Looks at the next bytes of the connection, in any fragmentation.
    pub(super) fn scan(&mut self, bytes: &[u8]) -> Scan {
        let mut scan = Scan::default();
        let mut at = 0;
        while at < bytes.len() && scan.fault.is_none() {
            let rest = bytes.get(at..).unwrap_or_default();
            at += match &mut self.state {
                State::Refused => break,
                State::Length(left) => {
                    let taken =
                        usize::try_from(*left).map_or(rest.len(), |left| left.min(rest.len()));
                    *left -= taken as u64;
                    if *left == 0 {
                        self.state = State::Head(Head::new());
                    }
                    scan.range.end += taken;
                    taken
                }
                State::Chunked(body) => {
                    let (taken, progress) = body.scan(rest);
                    scan.range.end += taken;
                    match progress {
                        Ok(chunked::Progress::More) => {}
                        Ok(chunked::Progress::Complete) => self.state = State::Head(Head::new()),
                        Err(fault) => scan.fault = Some(self.refuse(fault)),
                    }
                    taken
                }
                State::Head(_) => self.scan_head(bytes, at, &mut scan),
            };
        }
        scan
    }

    /// Where in the stream of requests the last byte stood.
    pub(super) fn position(&self) -> Position {
        match &self.state {
            State::Head(head) if head.has_begun() => Position::InHead,
            State::Head(_) | State::Refused => Position::BetweenRequests,
            State::Length(_) | State::Chunked(_) => Position::InBody,
        }
    }

    /// Heads passed on so far.
    pub(super) fn heads(&self) -> u64 {
        self.heads
    }

    /// Reads on in a head with the bytes from `at`; returns how many of them were taken.
    fn scan_head(&mut self, bytes: &[u8], at: usize, scan: &mut Scan) -> usize {
        let State::Head(head) = &mut self.state else {
            return 0;
        };
        let rest = bytes.get(at..).unwrap_or_default();
        if self.heads == 0 && self.held.is_empty() && rest.first() == Some(&TLS_HANDSHAKE) {
            scan.fault = Some(self.refuse(Fault::TlsHello));
            return 0;
        }
        let known = self.held.len();
        let seen = if known == 0 {
            rest
        } else {
            // One byte beyond the limit is enough to see that it is exceeded.
            let room = (self.limits.header_size + 1).saturating_sub(known);
            let more = rest.get(..room).unwrap_or(rest);
            self.held.extend_from_slice(more);
            &self.held
        };
        match head.scan(seen, self.limits) {
            Ok(head::Progress::More) => {
                if known == 0 {
                    self.held = rest.to_vec();
                }
                rest.len()
            }
            Ok(head::Progress::Complete { end, framing, cut }) => {
                let taken = end - known;
                if known == 0 && cut.is_empty() {
                    scan.range.end = at + taken;
                } else {
                    let before = bytes.get(scan.range.clone()).unwrap_or_default();
                    scan.front.extend_from_slice(before);
                    extend_without(&mut scan.front, seen.get(..end).unwrap_or_default(), &cut);
                    scan.range = at + taken..at + taken;
                }
                self.held = Vec::new();
                self.heads += 1;
                self.state = match framing {
                    Framing::Length(0) => State::Head(Head::new()),
                    Framing::Length(length) => State::Length(length),
                    Framing::Chunked => State::Chunked(Chunked::new()),
                };
                taken
            }
            Err(fault) => {
                scan.fault = Some(self.refuse(fault));
                0
            }
        }
    }

    fn refuse(&mut self, fault: Fault) -> Fault {
        self.state = State::Refused;
        self.held = Vec::new();
        fault
    }
}

/// Appends `head` without the lines in `cut`.
///
/// `Upgrade` is hop-by-hop and never honoured; a hyper connection that has seen one ends without flushing and without
/// closing its stream, because it waits to hand it over.
fn extend_without(front: &mut Vec<u8>, head: &[u8], cut: &[Range<usize>]) {
    let mut from = 0;
    for line in cut {
        front.extend_from_slice(head.get(from..line.start).unwrap_or_default());
        from = line.end;
    }
    front.extend_from_slice(head.get(from..).unwrap_or_default());
}

#[cfg(test)]
mod tests;
