//! One request head, byte by byte (RFC 9112 sections 2 to 6).
//!
//! The machine looks at each byte once and decides on nothing but the bytes before it, so that a head gets the same
//! verdict in whatever pieces it arrives.

use std::ops::Range;

use super::fault::Fault;
use super::field::{
    check_host, check_target, check_transfer_encoding, content_length, is_target_byte,
    is_token_byte, is_value_byte,
};
use super::{HeadLimits, MAX_LINES, MAX_METHOD, MAX_TARGET};

/// A request head that is being read.
#[derive(Debug)]
pub(super) struct Head {
    /// Bytes looked at so far, from the start of the head.
    at: usize,
    step: Step,
    /// Where the current method, target, version, name or value began.
    mark: usize,
    lines: usize,
    asterisk: bool,
    http_11: bool,
    field: Field,
    /// Start of the current header line.
    line: usize,
    host: bool,
    framing: Option<Framing>,
    /// `Upgrade` lines, which are cut out before hyper sees them.
    cut: Vec<Range<usize>>,
}

/// How the body that follows a head is delimited.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Framing {
    Length(u64),
    Chunked,
}

/// What a look at more bytes has shown.
#[derive(Debug)]
pub(super) enum Progress {
    /// The head goes on.
    More,
    /// The head is valid and ends before this offset.
    Complete {
        end: usize,
        framing: Framing,
        cut: Vec<Range<usize>>,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    Start,
    BlankLf,
    Method,
    Target,
    Version,
    LineLf,
    LineStart,
    Name,
    Value,
    ValueLf,
    EndLf,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Field {
    Host,
    ContentLength,
    TransferEncoding,
    Upgrade,
    Other,
}

impl Head {
    pub(super) fn new() -> Self {
        Self {
            at: 0,
            step: Step::Start,
            mark: 0,
            lines: 0,
            asterisk: false,
            http_11: false,
            field: Field::Other,
            line: 0,
            host: false,
            framing: None,
            cut: Vec::new(),
        }
    }

    /// Whether the request line has begun (a blank line before it does not count).
    pub(super) fn has_begun(&self) -> bool {
        !matches!(self.step, Step::Start | Step::BlankLf)
    }

    /// Looks at the bytes of `head` that came since the last look. `head` begins where this head begins.
    pub(super) fn scan(&mut self, head: &[u8], limits: HeadLimits) -> Result<Progress, Fault> {
        while let Some(&byte) = head.get(self.at) {
            if self.at >= limits.header_size {
                return Err(Fault::HeadTooLarge);
            }
            let end = head.len().min(limits.header_size);
            let run = self.plain_run(head.get(self.at..end).unwrap_or_default());
            if run > 0 {
                self.at += run;
                continue;
            }
            self.step = self.next(head, byte)?;
            self.at += 1;
            if self.step == Step::EndLf && byte == b'\n' {
                return self.complete();
            }
        }
        Ok(Progress::More)
    }

    /// How many of the bytes to come change nothing: most bytes of a head do not.
    fn plain_run(&self, rest: &[u8]) -> usize {
        match self.step {
            Step::Target => {
                let room = (self.mark + MAX_TARGET).saturating_sub(self.at);
                run(rest.get(..room).unwrap_or(rest), is_target_byte)
            }
            Step::Name => run(rest, is_token_byte),
            Step::Value => run(rest, is_value_byte),
            _ => 0,
        }
    }

    fn next(&mut self, head: &[u8], byte: u8) -> Result<Step, Fault> {
        match self.step {
            Step::Start => self.start(byte),
            Step::BlankLf => blank_line(byte),
            Step::Method => self.method(head, byte),
            Step::Target => self.target(head, byte),
            Step::Version => self.version(head, byte),
            Step::LineLf | Step::ValueLf => {
                line_feed(byte)?;
                Ok(Step::LineStart)
            }
            Step::LineStart => self.line_start(byte),
            Step::Name => self.name(head, byte),
            Step::Value => self.value_end(head, byte),
            Step::EndLf => {
                line_feed(byte)?;
                Ok(Step::EndLf)
            }
        }
    }

    fn start(&mut self, byte: u8) -> Result<Step, Fault> {
        match byte {
            b'\r' if self.at == 0 => Ok(Step::BlankLf),
            _ if is_token_byte(byte) => {
                self.mark = self.at;
                Ok(Step::Method)
            }
            _ => Err(Fault::RequestLine("the request line has no method")),
        }
    }

    fn method(&mut self, head: &[u8], byte: u8) -> Result<Step, Fault> {
        if byte == b' ' {
            let method = self.marked(head);
            if method == b"CONNECT" {
                return Err(Fault::Connect);
            }
            // `PRI *` opens HTTP/2 and is to be refused for its version (RFC 9113 section 3.4).
            self.asterisk = matches!(method, b"OPTIONS" | b"PRI");
            self.mark = self.at + 1;
            return Ok(Step::Target);
        }
        if !is_token_byte(byte) {
            return Err(Fault::RequestLine("the method is not a token"));
        }
        if self.at - self.mark >= MAX_METHOD {
            return Err(Fault::Method);
        }
        Ok(Step::Method)
    }

    fn target(&mut self, head: &[u8], byte: u8) -> Result<Step, Fault> {
        match byte {
            b' ' => {
                check_target(self.marked(head), self.asterisk)?;
                self.mark = self.at + 1;
                Ok(Step::Version)
            }
            b'\r' | b'\n' => Err(Fault::RequestLine("the request line has no version")),
            b'#' => Err(Fault::Target("a fragment in the request target")),
            _ if is_target_byte(byte) && self.at - self.mark >= MAX_TARGET => {
                Err(Fault::TargetTooLong)
            }
            _ if is_target_byte(byte) => Ok(Step::Target),
            _ => Err(Fault::Target("a byte that no request target may hold")),
        }
    }

    fn version(&mut self, head: &[u8], byte: u8) -> Result<Step, Fault> {
        const PATTERN: &[u8] = b"HTTP/d.d\r";
        let matches = match PATTERN.get(self.at - self.mark) {
            Some(b'd') => byte.is_ascii_digit(),
            Some(&expected) => byte == expected,
            None => false,
        };
        if !matches {
            return Err(Fault::RequestLine(
                "the request line does not end with HTTP/1.1",
            ));
        }
        if byte != b'\r' {
            return Ok(Step::Version);
        }
        self.http_11 = match self.marked(head) {
            b"HTTP/1.1" => true,
            b"HTTP/1.0" => false,
            _ => return Err(Fault::Version),
        };
        Ok(Step::LineLf)
    }

    fn line_start(&mut self, byte: u8) -> Result<Step, Fault> {
        match byte {
            b'\r' => return Ok(Step::EndLf),
            b'\n' => return Err(Fault::Header("a LF without CR")),
            b' ' | b'\t' => return Err(Fault::Header("a folded header line")),
            b':' => return Err(Fault::Header("a header line without a name")),
            _ if !is_token_byte(byte) => {
                return Err(Fault::Header("a byte that no header name may hold"));
            }
            _ => {}
        }
        self.lines += 1;
        if self.lines > MAX_LINES {
            return Err(Fault::HeadTooLarge);
        }
        self.line = self.at;
        Ok(Step::Name)
    }

    fn name(&mut self, head: &[u8], byte: u8) -> Result<Step, Fault> {
        if byte == b':' {
            self.field = Field::named(head.get(self.line..self.at).unwrap_or_default());
            self.mark = self.at + 1;
            return Ok(Step::Value);
        }
        match byte {
            _ if is_token_byte(byte) => Ok(Step::Name),
            b' ' | b'\t' => Err(Fault::Header("white space in or after a header name")),
            b'\r' | b'\n' => Err(Fault::Header("a header line without a colon")),
            _ => Err(Fault::Header("a byte that no header name may hold")),
        }
    }

    fn value_end(&mut self, head: &[u8], byte: u8) -> Result<Step, Fault> {
        match byte {
            b'\r' => {
                self.accept_field(head)?;
                Ok(Step::ValueLf)
            }
            b'\n' => Err(Fault::Header("a LF without CR")),
            _ => Err(Fault::Header("a control character in a header value")),
        }
    }

    fn accept_field(&mut self, head: &[u8]) -> Result<(), Fault> {
        let value = self.marked(head);
        match self.field {
            Field::Host => {
                if self.host {
                    return Err(Fault::Host("several Host lines"));
                }
                check_host(value.trim_ascii())?;
                self.host = true;
            }
            Field::ContentLength => {
                let length = Framing::Length(content_length(value.trim_ascii())?);
                match self.framing.replace(length) {
                    None => {}
                    Some(Framing::Chunked) => return Err(Fault::FramingConflict),
                    Some(Framing::Length(_)) => {
                        return Err(Fault::ContentLength("several Content-Length lines"));
                    }
                }
            }
            Field::TransferEncoding => {
                check_transfer_encoding(value, self.http_11)?;
                match self.framing.replace(Framing::Chunked) {
                    None => {}
                    Some(Framing::Length(_)) => return Err(Fault::FramingConflict),
                    Some(Framing::Chunked) => {
                        return Err(Fault::TransferEncoding("several Transfer-Encoding lines"));
                    }
                }
            }
            // The value's CR stands at `at`, the LF of the line behind it.
            Field::Upgrade => self.cut.push(self.line..self.at + 2),
            Field::Other => {}
        }
        Ok(())
    }

    fn complete(&mut self) -> Result<Progress, Fault> {
        if self.http_11 && !self.host {
            return Err(Fault::Host("no Host line"));
        }
        Ok(Progress::Complete {
            end: self.at,
            framing: self.framing.unwrap_or(Framing::Length(0)),
            cut: std::mem::take(&mut self.cut),
        })
    }

    fn marked<'a>(&self, head: &'a [u8]) -> &'a [u8] {
        head.get(self.mark..self.at).unwrap_or_default()
    }
}

impl Field {
    fn named(name: &[u8]) -> Self {
        // Length first: most names are none of the four.
        match name.len() {
            4 if name.eq_ignore_ascii_case(b"host") => Self::Host,
            7 if name.eq_ignore_ascii_case(b"upgrade") => Self::Upgrade,
            14 if name.eq_ignore_ascii_case(b"content-length") => Self::ContentLength,
            17 if name.eq_ignore_ascii_case(b"transfer-encoding") => Self::TransferEncoding,
            _ => Self::Other,
        }
    }
}

/// The length of the run of bytes at the beginning that are all of one kind.
fn run(bytes: &[u8], is_of_the_kind: impl Fn(u8) -> bool) -> usize {
    let end = bytes.iter().position(|byte| !is_of_the_kind(*byte));
    end.unwrap_or(bytes.len())
}

/// RFC 9112 section 2.2 asks for tolerance of one empty line before the request line.
fn blank_line(byte: u8) -> Result<Step, Fault> {
    if byte == b'\n' {
        Ok(Step::Start)
    } else {
        Err(Fault::RequestLine("a CR without LF"))
    }
}

fn line_feed(byte: u8) -> Result<(), Fault> {
    if byte == b'\n' {
        Ok(())
    } else {
        Err(Fault::Header("a CR without LF"))
    }
}
