//! A client that sends exactly the HTTP/2 frames it is told to (RFC 9113 section 4, RFC 7541 section 6.2.2).

use std::time::Duration;

use super::raw::{End, Raw};

pub const DATA: u8 = 0;
pub const HEADERS: u8 = 1;
pub const PRIORITY: u8 = 2;
pub const RST_STREAM: u8 = 3;
pub const SETTINGS: u8 = 4;
pub const PING: u8 = 6;
pub const GOAWAY: u8 = 7;
pub const WINDOW_UPDATE: u8 = 8;
pub const CONTINUATION: u8 = 9;

pub const END_STREAM: u8 = 1;
pub const END_HEADERS: u8 = 4;

/// An error code of RFC 9113 section 7.
pub const ENHANCE_YOUR_CALM: u32 = 11;

/// One connection after its preface.
pub struct Frames {
    raw: Raw,
}

/// One frame.
#[derive(Debug)]
pub struct Frame {
    /// Its type.
    pub kind: u8,
    /// Its flags.
    pub flags: u8,
    /// Its stream.
    pub stream: u32,
    /// What it carries.
    pub payload: Vec<u8>,
}

/// What became of a request, or of the whole connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It is answered with 200, 204, 206, 304, 400, 404, 500, or, as 0, with another status.
    Answered(u16),
    /// Its stream is reset with this code.
    Reset(u32),
    /// The connection is ended with this code.
    GoAway(u32),
    /// The connection is ended without a word.
    Ended(End),
}

impl Frames {
    /// Sends the preface and these settings.
    #[track_caller]
    pub fn begin(mut raw: Raw, settings: &[(u16, u32)]) -> Self {
        raw.send(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
        let mut frames = Self { raw };
        let payload: Vec<u8> = settings
            .iter()
            .flat_map(|(id, value)| [&id.to_be_bytes()[..], &value.to_be_bytes()].concat())
            .collect();
        frames.send(SETTINGS, 0, 0, &payload);
        frames
    }

    /// Sends a frame.
    #[track_caller]
    pub fn send(&mut self, kind: u8, flags: u8, stream: u32, payload: &[u8]) {
        self.raw.send(frame(kind, flags, stream, payload));
    }

    /// Sends these bytes as long as the gate takes them.
    ///
    /// # Errors
    /// The gate has ended the connection.
    pub fn try_send(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        self.raw.try_send(bytes)
    }

    /// How long each further read and write waits.
    pub fn set_patience(&self, patience: Duration) {
        self.raw.set_patience(patience);
    }

    /// Sends a request head without a body.
    #[track_caller]
    pub fn ask(&mut self, stream: u32, fields: &[(&str, &str)]) {
        self.send(HEADERS, END_HEADERS | END_STREAM, stream, &block(fields));
    }

    /// The next frame, if one comes.
    ///
    /// # Errors
    /// How the connection ended.
    pub fn next(&mut self) -> Result<Frame, End> {
        let head = self.exactly(9)?;
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
        let payload = self.exactly(usize::try_from(length).unwrap())?;
        Ok(Frame {
            kind: head[3],
            flags: head[4],
            stream: u32::from_be_bytes([head[5], head[6], head[7], head[8]]),
            payload,
        })
    }

    /// What becomes of the request on this stream.
    pub fn fate(&mut self, stream: u32) -> Fate {
        loop {
            match self.next() {
                Ok(f) if f.kind == GOAWAY => {
                    let code = f.payload[4..8].try_into().unwrap();
                    return Fate::GoAway(u32::from_be_bytes(code));
                }
                Ok(f) if f.kind == RST_STREAM && f.stream == stream => {
                    let code = f.payload[..4].try_into().unwrap();
                    return Fate::Reset(u32::from_be_bytes(code));
                }
                Ok(f) if f.kind == HEADERS && f.stream == stream => {
                    return Fate::Answered(status(&f.payload));
                }
                Ok(_) => {}
                Err(end) => return Fate::Ended(end),
            }
        }
    }

    fn exactly(&mut self, length: usize) -> Result<Vec<u8>, End> {
        let mut all = Vec::new();
        while all.len() < length {
            let rest = length - all.len();
            match self.raw.read_up_to(rest) {
                Ok(more) => all.extend(more),
                Err(end) => return Err(end),
            }
        }
        Ok(all)
    }
}

/// The bytes of a frame.
pub fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

/// A header block of literals that are not indexed and not compressed.
pub fn block(fields: &[(&str, &str)]) -> Vec<u8> {
    let mut block = Vec::new();
    for (name, value) in fields {
        block.push(0);
        for text in [name, value] {
            integer(&mut block, text.len());
            block.extend(text.as_bytes());
        }
    }
    block
}

/// The length of a string literal (RFC 7541 section 5.1).
fn integer(block: &mut Vec<u8>, mut value: usize) {
    if value < 127 {
        block.push(u8::try_from(value).unwrap());
        return;
    }
    block.push(127);
    value -= 127;
    while value >= 128 {
        block.push(u8::try_from(value % 128).unwrap() | 128);
        value /= 128;
    }
    block.push(u8::try_from(value).unwrap());
}

/// The statuses of the static table; h2 writes `:status` first.
fn status(block: &[u8]) -> u16 {
    match block.first() {
        Some(0x88) => 200,
        Some(0x89) => 204,
        Some(0x8a) => 206,
        Some(0x8b) => 304,
        Some(0x8c) => 400,
        Some(0x8d) => 404,
        Some(0x8e) => 500,
        _ => 0,
    }
}
