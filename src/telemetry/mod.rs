//! What the process says about itself: the log on standard error, the access log on standard output.
//!
//! Neither ever makes a request wait, and neither repeats a byte of a client that could forge a line or move a terminal.

mod access;
pub(crate) mod field;
mod lines;
#[cfg(any(test, fuzzing))]
pub(crate) mod property;
mod redact;

use std::borrow::Cow;
use std::fmt;
use std::io;
use std::panic::{self, PanicHookInfo};
use std::time::Duration;

use tracing::error;
use tracing::level_filters::LevelFilter;
use tracing_subscriber::Registry;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::{Layer as _, SubscriberExt as _};
use tracing_subscriber::util::SubscriberInitExt as _;

pub(crate) use access::{AccessLog, Entry, RequestLine};
use lines::Lines;

use crate::config::{Level, Log, LogFormat};
use crate::metrics::Count;

/// Why logging could not be started.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// The system has no thread to give.
    #[error(
        "cannot start the thread that writes the log: raise the limit of processes (ulimit -u)"
    )]
    Thread(#[source] io::Error),
    /// Somebody else has installed a subscriber; only an embedding program can.
    #[error("logging is started already in this process")]
    Started(#[source] tracing_subscriber::util::TryInitError),
}

/// The log of the process, started.
pub(crate) struct Telemetry {
    lines: Lines,
}

impl Telemetry {
    /// Starts the log: from here on events of every room are written to standard error, panics among them. Lines that
    /// are lost are counted in `lost`.
    ///
    /// # Errors
    ///
    /// When there is no thread for it, or a log is running in this process already.
    pub(crate) fn start(log: &Log, lost: Count) -> Result<Self, Error> {
        let (telemetry, subscriber) =
            Self::build(log, io::stderr(), lost).map_err(Error::Thread)?;
        subscriber.try_init().map_err(Error::Started)?;
        // What the standard library writes has line feeds, is no JSON, and waits for a stream that is stuck.
        panic::set_hook(Box::new(tell));
        Ok(telemetry)
    }

    fn build(
        log: &Log,
        out: impl io::Write + Send + 'static,
        lost: Count,
    ) -> io::Result<(Self, impl tracing::Subscriber + Send + Sync)> {
        let lines = Lines::start("log", out, lost)?;
        let writer = LineWriter {
            lines: lines.clone(),
            format: log.format,
        };
        let text = tracing_subscriber::fmt::layer().with_ansi(false);
        let formatter = match log.format {
            LogFormat::Text => text.with_writer(writer).boxed(),
            LogFormat::Json => text.json().flatten_event(true).with_writer(writer).boxed(),
        };
        let subscriber = Registry::default().with(targets(log.level)).with(formatter);
        let telemetry = Self { lines };
        Ok((telemetry, subscriber))
    }

    /// Blocks until everything logged is written, `patience` at the most; whether it is.
    pub(crate) fn flush(&self, patience: Duration) -> bool {
        self.lines.flush(patience)
    }
}

/// A panic as an event. Whoever catches it says what it was about.
fn tell(panic: &PanicHookInfo<'_>) {
    let payload = panic.payload();
    let text = payload.downcast_ref::<String>().map(String::as_str);
    let what = text.or_else(|| payload.downcast_ref::<&str>().copied());
    let place = panic.location().map(ToString::to_string);
    error!(
        panic = what.unwrap_or("without a message"),
        place = place.as_deref().unwrap_or("unknown"),
        "a panic: a fault of dockgate itself; please report it"
    );
}

/// An error and what caused it, in one line: the form in which every room and command tells of one.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(Some(error), |error| error.source());
    let causes: Vec<_> = causes.map(ToString::to_string).collect();
    causes.join(": ")
}

impl fmt::Debug for Telemetry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Telemetry").finish_non_exhaustive()
    }
}

/// Our own events at `level`. The libraries warn of what peers do (an odd PING, an alert), so whoever can connect could
/// fill the log: below `debug` only their errors are written.
fn targets(level: Level) -> Targets {
    let own = match level {
        Level::Error => LevelFilter::ERROR,
        Level::Warn => LevelFilter::WARN,
        Level::Info => LevelFilter::INFO,
        Level::Debug => LevelFilter::DEBUG,
        Level::Trace => LevelFilter::TRACE,
    };
    let libraries = match level {
        Level::Trace => own,
        Level::Debug => LevelFilter::WARN,
        Level::Error | Level::Warn | Level::Info => LevelFilter::ERROR,
    };
    Targets::new()
        .with_default(libraries)
        .with_target(env!("CARGO_PKG_NAME"), own)
}

/// Takes whole events from the formatter: it writes each with one call.
#[derive(Clone, Debug)]
struct LineWriter {
    lines: Lines,
    format: LogFormat,
}

impl<'a> MakeWriter<'a> for LineWriter {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

impl io::Write for LineWriter {
    fn write(&mut self, event: &[u8]) -> io::Result<usize> {
        let body = event.strip_suffix(b"\n").unwrap_or(event);
        let mut line = escape_controls(body).into_owned();
        line.push(b'\n');
        if self.lines.push(line) && self.lines.has_lost() {
            let lost = self.lines.take_lost();
            self.lines.push(loss_line(self.format, lost));
        }
        Ok(event.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The log cannot report its own losses through itself.
fn loss_line(format: LogFormat, lost: u64) -> Vec<u8> {
    let text = match format {
        LogFormat::Text => {
            format!("WARN {lost} log lines are lost: standard error was stuck or gone\n")
        }
        LogFormat::Json => format!(
            "{{\"level\":\"WARN\",\"message\":\"log lines are lost: standard error was stuck or gone\",\"lines\":{lost}}}\n"
        ),
    };
    text.into_bytes()
}

/// `line` with every control character as `\u00XX`: C0, DEL and, as UTF-8, C1, which some terminals obey too. The form is
/// JSON's own, so that an object stays one.
fn escape_controls(line: &[u8]) -> Cow<'_, [u8]> {
    let is_clean = |window: &[u8]| !matches!(window, [0xc2, 0x80..=0x9f]);
    if line.iter().all(|byte| !byte.is_ascii_control()) && line.windows(2).all(is_clean) {
        return Cow::Borrowed(line);
    }
    let mut clean = Vec::with_capacity(line.len() + 16);
    let mut rest = line;
    loop {
        let (control, behind) = match rest {
            [0xc2, control @ 0x80..=0x9f, behind @ ..] => (*control, behind),
            [byte, behind @ ..] if byte.is_ascii_control() => (*byte, behind),
            [byte, behind @ ..] => {
                clean.push(*byte);
                rest = behind;
                continue;
            }
            [] => return Cow::Owned(clean),
        };
        clean.extend_from_slice(format!("\\u{control:04x}").as_bytes());
        rest = behind;
    }
}

#[cfg(test)]
mod tests {
    use super::lines::tests::{Memory, stuck};
    use super::*;

    const PATIENCE: Duration = Duration::from_secs(20);

    fn log(level: Level, format: LogFormat) -> Log {
        Log {
            level,
            format,
            access: None,
        }
    }

    #[test]
    fn an_event_is_one_line_whatever_a_client_sends() {
        let hostile = "a\r\nERROR forged \u{1b}[2J \u{9b}31m \0 end";
        for format in [LogFormat::Text, LogFormat::Json] {
            let memory = Memory::default();
            let (telemetry, subscriber) =
                Telemetry::build(&log(Level::Info, format), memory.clone(), Count::default())
                    .unwrap();
            tracing::subscriber::with_default(subscriber, || {
                tracing::info!(user = hostile, detail = %hostile, "refused {hostile}");
            });
            assert!(telemetry.flush(PATIENCE));
            let text = memory.text();
            let line = text.strip_suffix('\n').unwrap();
            assert!(
                line.chars().all(|character| !character.is_control()),
                "{line:?}"
            );
            assert!(line.contains("end"), "{line:?}");
            if format == LogFormat::Json {
                let object: serde_json::Value = serde_json::from_str(line).unwrap();
                assert_eq!(object["user"], hostile);
            }
        }
    }

    #[test]
    fn libraries_speak_up_from_warnings_on() {
        let memory = Memory::default();
        let (telemetry, subscriber) = Telemetry::build(
            &log(Level::Debug, LogFormat::Text),
            memory.clone(),
            Count::default(),
        )
        .unwrap();
        tracing::subscriber::with_default(subscriber, || {
            tracing::trace!("first");
            tracing::debug!("second");
            tracing::debug!(target: "hyper", "third");
            tracing::warn!(target: "hyper", "fourth");
        });
        assert!(telemetry.flush(PATIENCE));
        let text = memory.text();
        let seen = ["first", "second", "third", "fourth"].map(|word| text.contains(word));
        assert_eq!(seen, [false, true, false, true], "{text}");
    }

    #[test]
    fn what_peers_make_a_library_say_does_not_fill_the_log() {
        let memory = Memory::default();
        let (telemetry, subscriber) = Telemetry::build(
            &log(Level::Info, LogFormat::Text),
            memory.clone(),
            Count::default(),
        )
        .unwrap();
        tracing::subscriber::with_default(subscriber, || {
            tracing::warn!(target: "h2::proto", "first");
            tracing::error!(target: "h2::proto", "second");
        });
        assert!(telemetry.flush(PATIENCE));
        let text = memory.text();
        assert!(!text.contains("first") && text.contains("second"), "{text}");
    }

    #[test]
    fn a_stuck_stderr_delays_nobody_and_the_loss_is_told() {
        let (release, out) = stuck();
        let (telemetry, subscriber) =
            Telemetry::build(&log(Level::Info, LogFormat::Text), out, Count::default()).unwrap();
        tracing::subscriber::with_default(subscriber, || {
            for _ in 0..60_000 {
                tracing::info!(
                    text = "a line of some length, so that the queue fills",
                    "event"
                );
            }
            assert!(telemetry.lines.has_lost());
            drop(release);
            assert!(telemetry.flush(PATIENCE));
            tracing::info!("again");
        });
        assert!(!telemetry.lines.has_lost());
    }

    #[test]
    fn an_error_is_told_with_all_that_caused_it() {
        #[derive(Debug, thiserror::Error)]
        #[error("{0}")]
        struct Layer(&'static str, #[source] Option<Box<Self>>);

        let cause = Box::new(Layer("c", None));
        let error = Layer("a", Some(Box::new(Layer("b", Some(cause)))));
        assert_eq!(chain(&error), "a: b: c");
    }

    #[test]
    fn controls_are_escaped_and_text_is_not() {
        for (line, expected) in [
            ("plain é 漢 \"quoted\" \\", "plain é 漢 \"quoted\" \\"),
            (
                "\u{1b}[0m\r\n\t\0",
                "\\u001b[0m\\u000d\\u000a\\u0009\\u0000",
            ),
            ("\u{7f}\u{80}\u{9f}\u{a0}", "\\u007f\\u0080\\u009f\u{a0}"),
        ] {
            assert_eq!(
                String::from_utf8_lossy(&escape_controls(line.as_bytes())),
                expected
            );
        }
    }
}
