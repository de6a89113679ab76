//! A client that says some bytes and takes down every answer.

use std::time::Duration;

use crate::support::raw::{End, Raw, find, lines, text};

/// One answer, as far as it came.
#[derive(Clone, Debug)]
pub struct Answered {
    /// Its status.
    pub status: u16,
    /// Its head.
    pub head: String,
}

/// Sends `bytes` in these pieces and reads until the gate has ended the connection.
///
/// # Errors
/// It did not, in the time that a test has.
pub fn converse(mut raw: Raw, pieces: &[&[u8]]) -> Result<Vec<Answered>, String> {
    for piece in pieces {
        // A gate that has heard enough closes.
        if raw.try_send(piece).is_err() {
            break;
        }
    }
    let (said, end) = raw.read_to_end();
    match end {
        End::Open => Err(format!("the connection hangs after {:?}", text(&said))),
        _ => answers(&said),
    }
}

/// As [`converse`] for bytes that may be the beginning of something: after this silence our side ends.
///
/// # Errors
/// The gate left the connection open, or said what is no answer.
pub fn converse_or_end(
    mut raw: Raw,
    bytes: &[u8],
    silence: Duration,
) -> Result<Vec<Answered>, String> {
    raw.set_patience(silence);
    let _ = raw.try_send(bytes);
    let (mut said, mut end) = raw.read_to_end();
    if end == End::Open {
        raw.finish();
        raw.set_patience(Duration::from_secs(20));
        let (rest, ended) = raw.read_to_end();
        said.extend(rest);
        end = ended;
    }
    match end {
        End::Open => Err(format!("the connection hangs after {:?}", text(&said))),
        _ => answers(&said),
    }
}

/// The final answers in what the gate said. Its own refusals have a body even where the question was a HEAD, since nobody
/// knows what the question was.
fn answers(said: &[u8]) -> Result<Vec<Answered>, String> {
    let mut all = Vec::new();
    let mut rest = said;
    while !rest.is_empty() {
        let wrong = || format!("no answer: {:?}", text(rest));
        if !is_a_status_line(rest) {
            return Err(wrong());
        }
        let Some(end) = find(rest, b"\r\n\r\n") else {
            return Ok(all);
        };
        let head = text(&rest[..end]);
        let status: u16 = head[9..12].parse().map_err(|_| wrong())?;
        rest = &rest[end + 4..];
        if status == 100 {
            continue;
        }
        let length = lines(&head, "content-length");
        let length: usize = length
            .first()
            .map_or(Ok(0), |l| l.parse())
            .map_err(|_| wrong())?;
        if !lines(&head, "transfer-encoding").is_empty() {
            return Err(format!("every answer here has a length: {head}"));
        }
        all.push(Answered { status, head });
        if !is_a_status_line(rest) {
            rest = &rest[length.min(rest.len())..];
        }
    }
    Ok(all)
}

fn is_a_status_line(bytes: &[u8]) -> bool {
    bytes.starts_with(b"HTTP/1.1 ") || bytes.starts_with(b"HTTP/1.0 ")
}
