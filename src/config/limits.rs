//! `[limits]`, `[timeouts]`, `[log]` and `[process]`: bounds on what a peer can make us hold or wait for, what is written,
//! and what we may touch.

use std::thread::available_parallelism;
use std::time::Duration;

use toml::de::DeValue;

use super::section::Section;
use super::source::Written;
use super::types::{AccessFormat, Level, Limits, Log, LogFormat, Process, Timeouts};
use super::value::choose;

/// Each connection costs some tens of KiB when it is busy, so this many cost hundreds of MiB at worst; a farm of a thousand
/// builders that keep ten connections each fits. Beyond it newcomers are closed at once.
const CONNECTIONS: usize = 10_000;

/// Cookies and tokens of single sign-on make heads of 20 KiB; nginx stops at 32 KiB, Apache at 100 fields of 8 KiB.
const HEADER_SIZE: usize = 64 << 10;

/// hyper keeps a buffer of at least 8 KiB.
const LEAST_HEADER_SIZE: u64 = 8 << 10;

/// What registry:2 accepts itself.
const MANIFEST_SIZE: u64 = 4 << 20;

pub(super) fn read(section: &Section<'_>) -> Limits {
    let connections = section.count("connections", 1..=1_000_000);
    let header_size = section.size("header_size", LEAST_HEADER_SIZE..=1 << 20);
    let manifest_size = section.size("manifest_size", 1 << 10..=1 << 30);
    let password_checks = section.count("password_checks", 1..=512);
    Limits {
        connections: connections.unwrap_or(CONNECTIONS),
        header_size: header_size
            .and_then(|size| usize::try_from(size).ok())
            .unwrap_or(HEADER_SIZE),
        manifest_size: manifest_size.unwrap_or(MANIFEST_SIZE),
        body_size: body_size(section),
        password_checks: password_checks.unwrap_or_else(default_password_checks),
    }
}

/// `"none"` or a size.
fn body_size(section: &Section<'_>) -> Option<u64> {
    let none = |written: &Written<'_>| match written {
        Written::Variable(text) => *text == "none",
        Written::Toml(DeValue::String(text)) => text == "none",
        Written::Toml(_) => false,
    };
    match section.ask("body_size") {
        Some((written, _)) if none(&written) => None,
        _ => section.size("body_size", 1..=u64::MAX),
    }
}

/// One for each processor: more would only make all of them slower. At least two, so that one login never waits for
/// another alone.
fn default_password_checks() -> usize {
    available_parallelism().map_or(2, |cores| cores.get().clamp(2, 512))
}

pub(super) fn timeouts(section: &Section<'_>) -> Timeouts {
    let wait = |key, default: u64| {
        let wait = section.duration(key, Duration::from_millis(1));
        wait.unwrap_or(Duration::from_secs(default))
    };
    Timeouts {
        handshake: wait("handshake", 10),
        request_header: wait("request_header", 30),
        idle: wait("idle", 75),
        drain: section
            .duration("drain", Duration::ZERO)
            .unwrap_or(Duration::from_secs(30)),
    }
}

pub(super) fn process(section: &Section<'_>) -> Process {
    Process {
        landlock: section.boolean("landlock").unwrap_or(true),
    }
}

pub(super) fn log(section: &Section<'_>) -> Log {
    let levels = [
        ("error", Level::Error),
        ("warn", Level::Warn),
        ("info", Level::Info),
        ("debug", Level::Debug),
        ("trace", Level::Trace),
    ];
    let formats = [("text", LogFormat::Text), ("json", LogFormat::Json)];
    Log {
        level: section.choice("level", &levels).unwrap_or_default(),
        format: section.choice("format", &formats).unwrap_or_default(),
        access: access(section),
    }
}

/// `true` is the same as `"combined"`, `false` is off.
fn access(section: &Section<'_>) -> Option<AccessFormat> {
    let written = section.ask("access");
    if let Some((Written::Toml(DeValue::Boolean(on)), _)) = written {
        return on.then_some(AccessFormat::Combined);
    }
    let words = [
        ("combined", Some(AccessFormat::Combined)),
        ("json", Some(AccessFormat::Json)),
    ];
    let parsed = section.parsed("access", |text| match (&written, text) {
        (Some((Written::Variable(_), _)), "true") => Ok(Some(AccessFormat::Combined)),
        (Some((Written::Variable(_), _)), "false") => Ok(None),
        (_, text) => {
            choose(text, &words).map_err(|why| format!("{why}, or true or false without quotes"))
        }
    });
    parsed.unwrap_or(Some(AccessFormat::Combined))
}
