//! Two readings of HTTP/1 requests, made from RFC 9112 alone and not from the gate's code: what a client may say, and
//! the narrower form in which anything may arrive behind the gate.

use super::fronts::LOGIN;
use super::raw::{find, text};

/// One request, as a reader that allows no second reading has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reading {
    /// The method.
    pub method: String,
    /// The target in origin form.
    pub target: String,
    /// It is HTTP/1.0.
    pub old: bool,
    /// The header lines; names in lower case, values without the white space around them.
    pub lines: Vec<(String, Vec<u8>)>,
    /// The body without its framing, as much of it as there is.
    pub body: Vec<u8>,
    /// The body came to its end.
    pub complete: bool,
}

/// Where a reading ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Stop {
    /// Everything was read.
    End,
    /// The last request is not all there.
    Short,
    /// What follows is no request.
    Illegal(String),
}

/// What is demanded beyond the grammar.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Rule {
    /// All that RFC 9112 lets a client say.
    Client,
    /// HTTP/1.1 in origin form, one `Host`, chunks without extensions and trailers.
    Upstream,
}

impl Reading {
    /// The values of all header lines of this name.
    pub fn values(&self, name: &str) -> Vec<&[u8]> {
        let of_name = self.lines.iter().filter(|(n, _)| n == name);
        of_name.map(|(_, value)| value.as_slice()).collect()
    }

    /// Whether a gate that lets everybody read and one user write may let it pass.
    pub fn is_authorised(&self) -> bool {
        let reads = matches!(self.method.as_str(), "GET" | "HEAD");
        let login = LOGIN.trim_end().split_once(": ").unwrap().1.as_bytes();
        reads || matches!(self.values("authorization")[..], [one] if basic(one) == basic(login))
    }
}

/// The credentials of the scheme `Basic`, without the padding, which says nothing.
fn basic(value: &[u8]) -> Option<String> {
    let value = text(value);
    let (scheme, shown) = value.split_once(' ')?;
    let is_basic = scheme.eq_ignore_ascii_case("basic");
    is_basic.then(|| shown.trim_matches([' ', '=']).to_owned())
}

/// What a client said: every request that the bytes can be read as, in order, until they cannot.
pub fn said(bytes: &[u8]) -> (Vec<Reading>, Stop) {
    read(bytes, Rule::Client)
}

/// What came behind the gate.
pub fn arrived(bytes: &[u8]) -> (Vec<Reading>, Stop) {
    read(bytes, Rule::Upstream)
}

fn read(bytes: &[u8], rule: Rule) -> (Vec<Reading>, Stop) {
    let mut all = Vec::new();
    let mut rest = bytes;
    loop {
        if rule == Rule::Client {
            while let Some(next) = rest.strip_prefix(b"\r\n") {
                rest = next;
            }
        }
        if rest.is_empty() {
            return (all, Stop::End);
        }
        let Some(end) = find(rest, b"\r\n\r\n") else {
            return (all, Stop::Short);
        };
        let mut reading = match head(&rest[..end + 2], rule) {
            Ok(reading) => reading,
            Err(why) => return (all, Stop::Illegal(why)),
        };
        let (taken, stop) = body(&mut reading, &rest[end + 4..], rule);
        rest = &rest[end + 4 + taken..];
        let last = rule == Rule::Client && closes(&reading);
        all.push(reading);
        match stop {
            Stop::End if !last => {}
            stop => return (all, stop),
        }
    }
}

/// A request line and header lines, each with its CRLF.
fn head(bytes: &[u8], rule: Rule) -> Result<Reading, String> {
    let mut lines = bytes.split_inclusive(|byte| *byte == b'\n');
    let first = line(lines.next().unwrap_or_default())?;
    let parts: Vec<&[u8]> = first.split(|byte| *byte == b' ').collect();
    let [method, target, version] = parts[..] else {
        return Err(format!("no request line: {:?}", text(first)));
    };
    let versions: &[&[u8]] = match rule {
        Rule::Client => &[b"HTTP/1.1", b"HTTP/1.0"],
        Rule::Upstream => &[b"HTTP/1.1"],
    };
    if !is_token(method) || !versions.contains(&version) {
        return Err(format!("no request line: {:?}", text(first)));
    }
    let mut reading = Reading {
        method: text(method),
        target: String::new(),
        old: version == b"HTTP/1.0",
        lines: Vec::new(),
        body: Vec::new(),
        complete: false,
    };
    for bytes in lines {
        let field = line(bytes)?;
        let Some(colon) = field.iter().position(|byte| *byte == b':') else {
            return Err(format!("no colon: {:?}", text(field)));
        };
        let (name, value) = (&field[..colon], trimmed(&field[colon + 1..]));
        let allowed = |byte: &u8| matches!(*byte, b'\t' | b' '..=b'~' | 0x80..);
        if !is_token(name) || !value.iter().all(allowed) {
            return Err(format!("no header line: {:?}", text(field)));
        }
        reading
            .lines
            .push((text(name).to_ascii_lowercase(), value.to_vec()));
    }
    match reading.values("host").len() {
        0 if reading.old => {}
        1 => {}
        other => return Err(format!("{other} hosts")),
    }
    if reading.old && !reading.values("transfer-encoding").is_empty() {
        return Err("chunks in HTTP/1.0".to_owned());
    }
    reading.target = origin_form(target, &reading, rule)?;
    Ok(reading)
}

fn line(bytes: &[u8]) -> Result<&[u8], String> {
    let line = bytes.strip_suffix(b"\r\n");
    let line = line.ok_or_else(|| format!("no line: {:?}", text(bytes)))?;
    if line.contains(&b'\r') || line.contains(&b'\n') {
        return Err(format!("a bare CR or LF: {:?}", text(bytes)));
    }
    Ok(line)
}

fn origin_form(target: &[u8], head: &Reading, rule: Rule) -> Result<String, String> {
    let visible = |byte: &u8| matches!(*byte, b'!'..=b'~') && *byte != b'#';
    if target.is_empty() || !target.iter().all(visible) {
        return Err(format!("no target: {:?}", text(target)));
    }
    let target = text(target);
    if target.starts_with('/') {
        return Ok(target);
    }
    let lower = target.to_ascii_lowercase();
    let absolute = ["http://", "https://"]
        .iter()
        .find(|scheme| lower.starts_with(**scheme));
    let scheme = match (rule, absolute) {
        (Rule::Client, Some(scheme)) => scheme,
        // Nothing that could arrive, though a request.
        (Rule::Client, None) => return Ok(target),
        (Rule::Upstream, _) => return Err(format!("no target of ours: {target:?}")),
    };
    let rest = &target[scheme.len()..];
    let end = rest.find(['/', '?']).unwrap_or(rest.len());
    let (authority, path) = rest.split_at(end);
    let host = head.values("host").first().map(|host| text(host));
    if host.is_some_and(|host| !host.eq_ignore_ascii_case(authority)) {
        return Ok(target);
    }
    Ok(if path.starts_with('/') {
        path.to_owned()
    } else {
        format!("/{path}")
    })
}

/// How many bytes the body takes, and whether another request may follow.
fn body(reading: &mut Reading, bytes: &[u8], rule: Rule) -> (usize, Stop) {
    let codings = reading.values("transfer-encoding");
    let lengths = reading.values("content-length");
    let length = match (&codings[..], &lengths[..]) {
        ([], []) => 0,
        ([coding], []) if coding.eq_ignore_ascii_case(b"chunked") => {
            return chunks(reading, bytes, rule);
        }
        ([], [length]) if !length.is_empty() && length.iter().all(u8::is_ascii_digit) => {
            let Ok(length) = text(length).parse::<u64>() else {
                return (0, Stop::Illegal("a length that overflows".to_owned()));
            };
            usize::try_from(length).unwrap()
        }
        _ => {
            return (
                0,
                Stop::Illegal("more than one framing, or none".to_owned()),
            );
        }
    };
    let taken = length.min(bytes.len());
    reading.body = bytes[..taken].to_vec();
    reading.complete = taken == length;
    let stop = if reading.complete {
        Stop::End
    } else {
        Stop::Short
    };
    (taken, stop)
}

fn chunks(reading: &mut Reading, bytes: &[u8], rule: Rule) -> (usize, Stop) {
    let mut at = 0;
    loop {
        let Some(end) = find(&bytes[at..], b"\n") else {
            return (at, Stop::Short);
        };
        let size = match line(&bytes[at..=at + end]).and_then(|line| chunk_size(line, rule)) {
            Ok(size) => size,
            Err(why) => return (at, Stop::Illegal(why)),
        };
        at += end + 1;
        if size == 0 {
            break;
        }
        let taken = size.min(bytes.len() - at);
        reading.body.extend(&bytes[at..at + taken]);
        at += taken;
        let rest = &bytes[at..];
        if !rest.starts_with(b"\r\n") {
            let short = b"\r\n".starts_with(rest);
            let why = "a chunk is longer than its size".to_owned();
            return (
                at,
                if short {
                    Stop::Short
                } else {
                    Stop::Illegal(why)
                },
            );
        }
        at += 2;
    }
    loop {
        let Some(end) = find(&bytes[at..], b"\n") else {
            return (at, Stop::Short);
        };
        let trailer = match line(&bytes[at..=at + end]) {
            Ok(trailer) => trailer,
            Err(why) => return (at, Stop::Illegal(why)),
        };
        at += end + 1;
        if trailer.is_empty() {
            reading.complete = true;
            return (at, Stop::End);
        }
        let colon = trailer.iter().position(|byte| *byte == b':').unwrap_or(0);
        if rule == Rule::Upstream || !is_token(&trailer[..colon]) {
            return (at, Stop::Illegal(format!("a trailer: {:?}", text(trailer))));
        }
    }
}

fn chunk_size(line: &[u8], rule: Rule) -> Result<usize, String> {
    let mut parts = line.splitn(2, |byte| *byte == b';');
    let (size, extension) = (parts.next().unwrap_or_default(), parts.next());
    let hexadecimal = !size.is_empty() && size.iter().all(u8::is_ascii_hexdigit);
    let size = usize::from_str_radix(&text(size), 16);
    match (hexadecimal, size, extension) {
        (true, Ok(size), None) => Ok(size),
        (true, Ok(size), Some(_)) if rule == Rule::Client => Ok(size),
        _ => Err(format!("no chunk size: {:?}", text(line))),
    }
}

/// RFC 9112 section 9.3: what a client that says so has asked for last.
fn closes(reading: &Reading) -> bool {
    let has = |option: &str| {
        let values = reading.values("connection");
        values.iter().any(|value| {
            let value = text(value);
            value
                .split(',')
                .any(|o| o.trim().eq_ignore_ascii_case(option))
        })
    };
    has("close") || (reading.old && !has("keep-alive"))
}

fn is_token(bytes: &[u8]) -> bool {
    let token = |byte: &u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(byte);
    !bytes.is_empty() && bytes.iter().all(token)
}

/// Without spaces and tabs around it, and no other white space.
fn trimmed(bytes: &[u8]) -> &[u8] {
    let blank = |byte: &u8| matches!(*byte, b' ' | b'\t');
    let start = bytes.iter().position(|b| !blank(b)).unwrap_or(bytes.len());
    let end = bytes
        .iter()
        .rposition(|b| !blank(b))
        .map_or(start, |at| at + 1);
    &bytes[start..end]
}
