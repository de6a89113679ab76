//! A chunked body (RFC 9112 section 7.1): the lines are read byte by byte, the data is only counted.

use super::MAX_LINES;
use super::fault::Fault;
use super::field::{is_token_byte, is_value_byte};

/// Bytes of extensions behind one chunk size. Nobody sends any; the bound keeps a stream of them from being free.
const MAX_EXTENSION: usize = 256;
/// Bytes of extensions in one body; hyper's own bound is 16 KiB.
const MAX_EXTENSIONS: usize = 8 * 1024;
/// Bytes of trailers; hyper's own bound is 16 KiB.
const MAX_TRAILERS: usize = 8 * 1024;
/// Hexadecimal digits of one chunk size: what a `u64` holds.
const MAX_DIGITS: usize = 16;

/// A chunked body that is being read.
#[derive(Debug)]
pub(super) struct Chunked {
    step: Step,
    size: u64,
    digits: usize,
    extension: usize,
    extensions: usize,
    trailers: usize,
    lines: usize,
}

/// What a look at more bytes has shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Progress {
    More,
    Complete,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    Size,
    Extension,
    SizeLf,
    Data,
    DataCr,
    DataLf,
    LineStart,
    Name,
    Value,
    ValueLf,
    EndLf,
    End,
}

impl Chunked {
    pub(super) fn new() -> Self {
        Self {
            step: Step::Size,
            size: 0,
            digits: 0,
            extension: 0,
            extensions: 0,
            trailers: 0,
            lines: 0,
        }
    }

    /// Looks at the next bytes: how many of them belong to a valid body, and whether it ends with them.
    pub(super) fn scan(&mut self, bytes: &[u8]) -> (usize, Result<Progress, Fault>) {
        let mut at = 0;
        while let Some(&byte) = bytes.get(at) {
            if self.step == Step::Data {
                at += self.data(bytes.len() - at);
                continue;
            }
            match self.next(byte) {
                Ok(step) => self.step = step,
                Err(fault) => return (at, Err(fault)),
            }
            at += 1;
            if self.step == Step::End {
                return (at, Ok(Progress::Complete));
            }
        }
        (at, Ok(Progress::More))
    }

    fn data(&mut self, available: usize) -> usize {
        let taken = usize::try_from(self.size).map_or(available, |size| size.min(available));
        self.size -= taken as u64;
        if self.size == 0 {
            self.step = Step::DataCr;
        }
        taken
    }

    fn next(&mut self, byte: u8) -> Result<Step, Fault> {
        match self.step {
            Step::Size => self.size(byte),
            Step::Extension => self.extension(byte),
            Step::SizeLf => {
                expect(byte, b'\n', "a CR without LF in a chunk size line")?;
                self.digits = 0;
                self.extension = 0;
                Ok(if self.size == 0 {
                    Step::LineStart
                } else {
                    Step::Data
                })
            }
            // `scan` counts the data itself.
            Step::Data => Ok(Step::Data),
            Step::DataCr => {
                expect(byte, b'\r', "a chunk is longer than its size")?;
                Ok(Step::DataLf)
            }
            Step::DataLf => {
                expect(byte, b'\n', "a CR without LF after a chunk")?;
                Ok(Step::Size)
            }
            Step::LineStart | Step::Name | Step::Value | Step::ValueLf => self.trailer(byte),
            Step::EndLf => {
                expect(byte, b'\n', "a CR without LF after the last chunk")?;
                Ok(Step::End)
            }
            Step::End => Ok(Step::End),
        }
    }

    fn size(&mut self, byte: u8) -> Result<Step, Fault> {
        let digit = match byte {
            b'0'..=b'9' => byte - b'0',
            b'a'..=b'f' => byte - b'a' + 10,
            b'A'..=b'F' => byte - b'A' + 10,
            b'\r' if self.digits > 0 => return Ok(Step::SizeLf),
            b';' if self.digits > 0 => return Ok(Step::Extension),
            b'\n' => return Err(Fault::Chunk("a LF without CR in a chunk size line")),
            _ => return Err(Fault::Chunk("a chunk size is not a hexadecimal number")),
        };
        if self.digits >= MAX_DIGITS || self.size > u64::MAX >> 5 {
            // Above 2^63 nothing adds up any more, here or behind us.
            return Err(Fault::Chunk("a chunk size is too large"));
        }
        self.digits += 1;
        self.size = self.size << 4 | u64::from(digit);
        Ok(Step::Size)
    }

    fn extension(&mut self, byte: u8) -> Result<Step, Fault> {
        match byte {
            b'\r' => return Ok(Step::SizeLf),
            b'\t' | b' '..=b'~' => {}
            b'\n' => return Err(Fault::Chunk("a LF without CR in a chunk size line")),
            _ => return Err(Fault::Chunk("a byte that no chunk extension may hold")),
        }
        self.extension += 1;
        self.extensions += 1;
        if self.extension > MAX_EXTENSION || self.extensions > MAX_EXTENSIONS {
            return Err(Fault::Chunk("the chunk extensions are too long"));
        }
        Ok(Step::Extension)
    }

    /// Trailers obey the grammar of header lines; nobody behind us ever sees them.
    fn trailer(&mut self, byte: u8) -> Result<Step, Fault> {
        self.trailers += 1;
        if self.trailers > MAX_TRAILERS {
            return Err(Fault::TrailersTooLarge);
        }
        match (self.step, byte) {
            (Step::LineStart, b'\r') => Ok(Step::EndLf),
            (Step::LineStart, _) if is_token_byte(byte) => {
                self.lines += 1;
                if self.lines > MAX_LINES {
                    return Err(Fault::TrailersTooLarge);
                }
                Ok(Step::Name)
            }
            (Step::Name, b':') => Ok(Step::Value),
            (Step::Name, _) if is_token_byte(byte) => Ok(Step::Name),
            (Step::Value, b'\r') => Ok(Step::ValueLf),
            (Step::Value, _) if is_value_byte(byte) => Ok(Step::Value),
            (Step::ValueLf, b'\n') => Ok(Step::LineStart),
            _ => Err(Fault::Chunk("a trailer line breaks the grammar")),
        }
    }
}

fn expect(byte: u8, expected: u8, text: &'static str) -> Result<(), Fault> {
    if byte == expected {
        Ok(())
    } else {
        Err(Fault::Chunk(text))
    }
}
