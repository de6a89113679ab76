//! The access log: one line for each request, written when its answer has ended.
//!
//! Two formats: nginx's predefined `combined`, byte for byte, for the tools that people already have; and one JSON object
//! a line, which holds everything. Field names of the JSON form are the constants of `super::field`.

use std::borrow::Cow;
use std::fs::File;
use std::io::{self, Write as _};
use std::os::fd::AsFd as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use http::{HeaderValue, Method, StatusCode, Version};
use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde_json::{Map, Value};
use tokio::time::Instant;

use super::lines::Lines;
use super::redact::redact;
use super::{escape_controls, field};
use crate::config::AccessFormat;
use crate::metrics::Count;
use crate::peer::Address;

/// Bytes of one client-controlled value in a line. Honest targets and user agents stay below; what is longer is cut and
/// marked with `...`.
const MAX_VALUE: usize = 2048;
/// Shortest time between two warnings about lost lines.
const LOSS_REPORTS: Duration = Duration::from_secs(60);

/// One request and its answer.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    /// Where the request came from (after the PROXY protocol and trusted proxies, where they are believed).
    pub(crate) peer: Address,
    /// The authenticated user, or the name that was claimed in vain.
    pub(crate) user: Option<String>,
    /// When the answer ended.
    pub(crate) time: Timestamp,
    /// The request line; `None` where it could not be read.
    pub(crate) request: Option<RequestLine>,
    /// The status sent.
    pub(crate) status: StatusCode,
    /// Bytes of the answer's body.
    pub(crate) bytes_sent: u64,
    /// Bytes of the request's body.
    pub(crate) bytes_received: u64,
    /// `Host` as sent.
    pub(crate) host: Option<String>,
    /// `Referer` as sent; logged redacted.
    pub(crate) referer: Option<HeaderValue>,
    /// `User-Agent` as sent.
    pub(crate) user_agent: Option<HeaderValue>,
    /// The repository that the path names.
    pub(crate) repository: Option<String>,
    /// What was to be done with it: `pull`, `push`, ...
    pub(crate) action: Option<&'static str>,
    /// From the end of the request's head to the end of the answer.
    pub(crate) duration: Duration,
    /// Who answered: `upstream`, or `registry` for the embedded one; `None` where the gate did itself.
    pub(crate) backend: Option<&'static str>,
    /// What the registry behind us answered.
    pub(crate) upstream_status: Option<StatusCode>,
    /// The id that a 5xx answer shows.
    pub(crate) request_id: String,
    /// Why the request was refused or the answer cut short.
    pub(crate) reason: Option<&'static str>,
    /// The common name of the verified client certificate.
    pub(crate) certificate: Option<String>,
    /// The TLS version (`TLSv1.3`); `None` in clear.
    pub(crate) tls: Option<&'static str>,
}

/// The first line of a request.
#[derive(Clone, Debug)]
pub(crate) struct RequestLine {
    /// The method, as sent.
    pub(crate) method: Method,
    /// Path and query, as sent; logged redacted.
    pub(crate) target: String,
    /// The protocol version.
    pub(crate) version: Version,
}

/// Writes entries to standard output without ever waiting for it.
#[derive(Clone, Debug)]
pub(crate) struct AccessLog {
    lines: Lines,
    format: AccessFormat,
    zone: TimeZone,
    losses: Arc<Losses>,
}

#[derive(Debug)]
struct Losses {
    start: Instant,
    /// Seconds after `start` before which no loss is reported.
    quiet_until: AtomicU64,
}

impl AccessLog {
    /// Starts the writing thread; lines that are lost are counted in `lost`.
    ///
    /// # Errors
    ///
    /// When the system has no thread to give, or no file descriptor.
    pub(crate) fn start(format: AccessFormat, lost: Count) -> io::Result<Self> {
        // Past the buffer of the standard library, which keeps pieces of lines that a full disk refused.
        let out = File::from(io::stdout().as_fd().try_clone_to_owned()?);
        Self::to(out, format, TimeZone::system(), lost)
    }

    fn to(
        out: impl io::Write + Send + 'static,
        format: AccessFormat,
        zone: TimeZone,
        lost: Count,
    ) -> io::Result<Self> {
        Ok(Self {
            lines: Lines::start("access-log", out, lost)?,
            format,
            zone,
            losses: Arc::new(Losses {
                start: Instant::now(),
                quiet_until: AtomicU64::new(0),
            }),
        })
    }

    /// Hands over one entry. Where standard output is stuck or gone it is lost and counted; a warning gives the count once
    /// a minute at the most.
    pub(crate) fn write(&self, entry: &Entry) {
        let mut line = match self.format {
            AccessFormat::Combined => combined(entry, &self.zone),
            AccessFormat::Json => json(entry),
        };
        line.push(b'\n');
        self.lines.push(line);
        self.losses.report(&self.lines);
    }

    /// Blocks until everything handed over is written, `patience` at the most; whether it is.
    pub(crate) fn flush(&self, patience: Duration) -> bool {
        self.lines.flush(patience)
    }
}

impl Losses {
    fn report(&self, lines: &Lines) {
        if !lines.has_lost() {
            return;
        }
        let now = self.start.elapsed().as_secs();
        let quiet_until = self.quiet_until.load(Ordering::Relaxed);
        let next = now + LOSS_REPORTS.as_secs();
        if now < quiet_until
            || self
                .quiet_until
                .compare_exchange(quiet_until, next, Ordering::Relaxed, Ordering::Relaxed)
                .is_err()
        {
            return;
        }
        let lost = lines.take_lost();
        tracing::warn!(
            lines = lost,
            "access log lines are lost: standard output is stuck or gone"
        );
    }
}

/// nginx's `combined`:
/// `$remote_addr - $remote_user [$time_local] "$request" $status $body_bytes_sent "$http_referer" "$http_user_agent"`.
pub(super) fn combined(entry: &Entry, zone: &TimeZone) -> Vec<u8> {
    let mut line = Vec::with_capacity(256);
    let time = entry.time.to_zoned(zone.clone());
    let user = entry.user.as_deref().filter(|user| !user.is_empty());
    // Writing to memory does not fail.
    let _ = write!(line, "{} - ", entry.peer);
    escape(&mut line, user.map(|user| cut(user.as_bytes())));
    let _ = write!(line, " [{}] \"", time.strftime("%d/%b/%Y:%H:%M:%S %z"));
    match &entry.request {
        Some(request) => {
            escape(&mut line, Some(cut(request.method.as_str().as_bytes())));
            line.push(b' ');
            escape(&mut line, Some(target(request)));
            let _ = write!(line, " {}", version(request.version));
        }
        None => line.push(b'-'),
    }
    let _ = write!(line, "\" {} {} \"", entry.status.as_u16(), entry.bytes_sent);
    escape(&mut line, referer(entry));
    line.extend_from_slice(b"\" \"");
    escape(&mut line, agent(entry));
    line.push(b'"');
    line
}

/// Appends a value as nginx escapes it: `\xXX` for what is not printable ASCII, for `"` and for `\`; `-` for none.
fn escape(line: &mut Vec<u8>, value: Option<Cow<'_, [u8]>>) {
    let Some(value) = value else {
        line.push(b'-');
        return;
    };
    for &byte in value.iter() {
        match byte {
            b'"' | b'\\' | ..=0x1f | 0x7f.. => {
                let _ = write!(line, "\\x{byte:02X}");
            }
            _ => line.push(byte),
        }
    }
}

/// One JSON object; fields without a value are left out.
pub(super) fn json(entry: &Entry) -> Vec<u8> {
    let mut object = Map::new();
    let mut put = |name: &str, value: Option<Value>| {
        if let Some(value) = value {
            object.insert(name.to_owned(), value);
        }
    };
    put(
        field::TIME,
        Some(
            entry
                .time
                .strftime("%Y-%m-%dT%H:%M:%S.%3fZ")
                .to_string()
                .into(),
        ),
    );
    put(field::PEER_ADDRESS, Some(entry.peer.to_string().into()));
    put(
        field::USER,
        entry.user.as_deref().map(|user| text(cut(user.as_bytes()))),
    );
    if let Some(request) = &entry.request {
        put(
            field::METHOD,
            Some(text(cut(request.method.as_str().as_bytes()))),
        );
        put(field::TARGET, Some(text(target(request))));
        put(field::VERSION, Some(version(request.version).into()));
    }
    put(
        field::HOST,
        entry.host.as_deref().map(|host| text(cut(host.as_bytes()))),
    );
    put(field::STATUS, Some(entry.status.as_u16().into()));
    put(field::BYTES_SENT, Some(entry.bytes_sent.into()));
    put(field::BYTES_RECEIVED, Some(entry.bytes_received.into()));
    put(field::DURATION_MS, Some(milliseconds(entry.duration)));
    put(field::REFERER, referer(entry).map(text));
    put(field::USER_AGENT, agent(entry).map(text));
    put(
        field::REPOSITORY,
        entry
            .repository
            .as_deref()
            .map(|name| text(cut(name.as_bytes()))),
    );
    put(field::ACTION, entry.action.map(Value::from));
    put(field::BACKEND, entry.backend.map(Value::from));
    put(
        field::UPSTREAM_STATUS,
        entry.upstream_status.map(|status| status.as_u16().into()),
    );
    put(field::REQUEST_ID, Some(entry.request_id.as_str().into()));
    put(field::REASON, entry.reason.map(Value::from));
    put(
        field::CERTIFICATE,
        entry
            .certificate
            .as_deref()
            .map(|name| text(cut(name.as_bytes()))),
    );
    put(field::TLS, entry.tls.map(Value::from));
    escape_controls(Value::Object(object).to_string().as_bytes()).into_owned()
}

/// To the microsecond.
fn milliseconds(duration: Duration) -> Value {
    let micros = u32::try_from(duration.as_micros() % 1000).unwrap_or_default();
    let whole = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    #[expect(clippy::cast_precision_loss, reason = "exact for 285,000 years")]
    Value::from(whole as f64 + f64::from(micros) / 1000.0)
}

fn text(value: impl AsRef<[u8]>) -> Value {
    String::from_utf8_lossy(value.as_ref()).into()
}

/// Redacted before it is cut, so that the cut cannot hide a key.
fn target(request: &RequestLine) -> Cow<'_, [u8]> {
    cut_owned(redact(request.target.as_bytes()))
}

fn referer(entry: &Entry) -> Option<Cow<'_, [u8]>> {
    let referer = entry.referer.as_ref()?;
    Some(cut_owned(redact(referer.as_bytes())))
}

fn agent(entry: &Entry) -> Option<Cow<'_, [u8]>> {
    entry.user_agent.as_ref().map(|agent| cut(agent.as_bytes()))
}

fn cut(value: &[u8]) -> Cow<'_, [u8]> {
    cut_owned(Cow::Borrowed(value))
}

fn cut_owned(value: Cow<'_, [u8]>) -> Cow<'_, [u8]> {
    match value.get(..MAX_VALUE) {
        Some(start) if value.len() > MAX_VALUE => Cow::Owned([start, b"..."].concat()),
        _ => value,
    }
}

fn version(version: Version) -> &'static str {
    match version {
        Version::HTTP_10 => "HTTP/1.0",
        Version::HTTP_2 => "HTTP/2.0",
        Version::HTTP_3 => "HTTP/3.0",
        Version::HTTP_09 => "HTTP/0.9",
        _ => "HTTP/1.1",
    }
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use super::*;
    use crate::telemetry::lines::tests::{Memory, stuck};

    fn entry() -> Entry {
        Entry {
            peer: Address::Ip("192.0.2.1:40000".parse::<SocketAddr>().unwrap()),
            user: Some("ann".into()),
            time: "2026-11-21T07:30:00.25Z".parse().unwrap(),
            request: Some(RequestLine {
                method: Method::GET,
                target: "/v2/team/app/manifests/1?n=1".into(),
                version: Version::HTTP_11,
            }),
            status: StatusCode::OK,
            bytes_sent: 1234,
            bytes_received: 5,
            host: Some("registry.example:5000".into()),
            referer: None,
            user_agent: Some(HeaderValue::from_static("docker/27.0 (\"linux\")")),
            repository: Some("team/app".into()),
            action: Some("pull"),
            duration: Duration::from_micros(12_345),
            backend: Some("upstream"),
            upstream_status: Some(StatusCode::OK),
            request_id: "f00".into(),
            reason: None,
            certificate: None,
            tls: Some("TLSv1.3"),
        }
    }

    fn combined_text(entry: &Entry) -> String {
        String::from_utf8(combined(entry, &TimeZone::UTC)).unwrap()
    }

    #[test]
    fn combined_is_nginx_s() {
        assert_eq!(
            combined_text(&entry()),
            r#"192.0.2.1 - ann [21/Nov/2026:07:30:00 +0000] "GET /v2/team/app/manifests/1?n=1 HTTP/1.1" 200 1234 "-" "docker/27.0 (\x22linux\x22)""#
        );
    }

    #[test]
    fn what_is_absent_is_a_dash_and_local_time_has_its_offset() {
        let bare = Entry {
            peer: Address::Unix,
            user: Some(String::new()),
            request: None,
            user_agent: None,
            status: StatusCode::BAD_REQUEST,
            bytes_sent: 0,
            ..entry()
        };
        let zone = TimeZone::fixed(jiff::tz::Offset::from_hours(-3).unwrap());
        assert_eq!(
            String::from_utf8(combined(&bare, &zone)).unwrap(),
            r#"unix: - - [21/Nov/2026:04:30:00 -0300] "-" 400 0 "-" "-""#
        );
    }

    #[test]
    fn every_byte_that_could_forge_a_line_is_escaped() {
        let mut line = Vec::new();
        let all: Vec<u8> = (0..=255).collect();
        escape(&mut line, Some(Cow::Borrowed(&all)));
        let text = String::from_utf8(line).unwrap();
        assert!(text.bytes().all(|byte| matches!(byte, b' '..=b'~')));
        assert!(!text.contains('"'));
        for (byte, escaped) in [
            (0_u8, r"\x00"),
            (b'\n', r"\x0A"),
            (b'\r', r"\x0D"),
            (b'\t', r"\x09"),
            (0x1b, r"\x1B"),
            (b'"', r"\x22"),
            (b'\\', r"\x5C"),
            (0x7f, r"\x7F"),
            (0x80, r"\x80"),
            (0x9b, r"\x9B"),
            (0xff, r"\xFF"),
            (b' ', " "),
            (b'~', "~"),
        ] {
            let mut line = Vec::new();
            escape(&mut line, Some(Cow::Owned(vec![byte])));
            assert_eq!(line, escaped.as_bytes());
        }
    }

    #[test]
    fn users_targets_and_agents_cannot_break_out_of_their_fields() {
        let hostile = Entry {
            user: Some("a\"b\r\n\u{1b}[31m\u{9b}".into()),
            referer: Some(HeaderValue::from_bytes(b"http://ann:pw@h/?token=t\xff\"").unwrap()),
            ..entry()
        };
        let text = combined_text(&hostile);
        assert!(text.contains(r"a\x22b\x0D\x0A\x1B[31m\xC2\x9B ["), "{text}");
        assert!(
            text.contains(r#""http://[redacted]@h/?token=[redacted]""#),
            "{text}"
        );
        let line = json(&hostile);
        assert!(line.iter().all(|byte| *byte >= b' '));
        let text = String::from_utf8(line).unwrap();
        assert!(!text.contains('\u{9b}'), "{text}");
        let back: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(back[field::USER], "a\"b\r\n\u{1b}[31m\u{9b}");
    }

    #[test]
    fn secrets_in_the_query_are_in_neither_format() {
        let mut secret = entry();
        if let Some(request) = &mut secret.request {
            request.target =
                "/v2/a/blobs/uploads/1?_state=S3CRET&access_token=S3CRET&digest=d".into();
        }
        let json = String::from_utf8(json(&secret)).unwrap();
        for line in [combined_text(&secret), json] {
            assert!(!line.contains("S3CRET"), "{line}");
            assert!(line.contains("digest=d"), "{line}");
        }
    }

    #[test]
    fn long_values_are_cut_after_they_are_redacted() {
        let mut long = entry();
        long.user_agent = Some(HeaderValue::from_bytes(&vec![b'a'; 60_000]).unwrap());
        if let Some(request) = &mut long.request {
            request.target = format!("/?{}token=S3CRET", "a=b&".repeat(511));
        }
        let text = combined_text(&long);
        assert!(!text.contains("S3C"), "{text}");
        assert!(text.ends_with("aaa...\""), "{text}");
        assert!(text.len() < 2 * MAX_VALUE + 200);
    }

    #[test]
    fn json_holds_every_field_once() {
        let full = Entry {
            referer: Some(HeaderValue::from_static("https://ui.example/")),
            reason: Some("denied"),
            certificate: Some("build-7".into()),
            ..entry()
        };
        let line = String::from_utf8(json(&full)).unwrap();
        let back: Value = serde_json::from_str(&line).unwrap();
        let expected = serde_json::json!({
            "time": "2026-11-21T07:30:00.250Z", "peer.addr": "192.0.2.1", "user": "ann", "http.method": "GET",
            "http.target": "/v2/team/app/manifests/1?n=1", "http.version": "HTTP/1.1", "http.host": "registry.example:5000",
            "http.status": 200, "body.bytes_sent": 1234, "body.bytes_received": 5, "duration_ms": 12.345,
            "http.referer": "https://ui.example/", "http.user_agent": "docker/27.0 (\"linux\")", "repository": "team/app",
            "action": "pull", "backend": "upstream", "upstream.status": 200, "request.id": "f00", "reason": "denied",
            "tls.certificate": "build-7", "tls.version": "TLSv1.3",
        });
        assert_eq!(back, expected);
        for name in field::ALL {
            assert_eq!(line.matches(&format!("\"{name}\":")).count(), 1, "{name}");
        }
    }

    #[test]
    fn entries_reach_the_stream_before_flush_returns() {
        let memory = Memory::default();
        let log = AccessLog::to(
            memory.clone(),
            AccessFormat::Combined,
            TimeZone::UTC,
            Count::default(),
        )
        .unwrap();
        for _ in 0..100 {
            log.write(&entry());
        }
        assert!(log.flush(Duration::from_secs(20)));
        assert_eq!(
            memory.text(),
            format!("{}\n", combined_text(&entry())).repeat(100)
        );
    }

    #[test]
    fn a_stuck_stdout_delays_nobody() {
        let (release, out) = stuck();
        let lost = Count::default();
        let log = AccessLog::to(out, AccessFormat::Json, TimeZone::UTC, lost.clone()).unwrap();
        for _ in 0..50_000 {
            log.write(&entry());
        }
        assert!(log.lines.has_lost());
        // The first loss is reported at once, the others wait for the next minute.
        assert_ne!(log.losses.quiet_until.load(Ordering::Relaxed), 0);
        drop(release);
        assert!(log.flush(Duration::from_secs(20)));
        let all = lost.now();
        assert!((30_000..50_000).contains(&all), "{all}");
        log.lines.take_lost();
        assert_eq!(lost.now(), all, "a report takes nothing from the count");
    }
}
