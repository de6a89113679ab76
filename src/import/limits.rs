//! Sizes, waits and the access log.

use super::draft::{Draft, Table};
use super::report::Report;
use super::scope::{Scope, milliseconds, size, written_size};
use super::upstream::wait;

/// What dockgate takes for a manifest, unless told otherwise.
const MANIFEST: u64 = 4 << 20;

/// The least and the most of `limits.header_size`.
const HEADERS: (u64, u64) = (8 << 10, 1 << 20);

/// Fills `[limits]`, `[timeouts]` and `[log]`.
pub(super) fn read(scope: &Scope<'_>, draft: &mut Draft, report: &mut Report) {
    let tables = &mut draft.tables;
    body(scope, &mut tables.limits, report);
    if let Some(line) = scope.one("large_client_header_buffers", report) {
        let count = line.arg(0).parse::<u64>().ok();
        let total = count
            .zip(size(line.arg(1)))
            .and_then(|(n, s)| n.checked_mul(s));
        match total {
            Some(total) => {
                let written = written_size(total.clamp(HEADERS.0, HEADERS.1));
                report.carried(line, format!("limits.header_size = \"{written}\""));
                tables.limits.set("header_size", written);
            }
            None => report.left(line, "is no number and size"),
        }
    }
    for (name, key) in [
        ("client_header_timeout", "request_header"),
        ("keepalive_timeout", "idle"),
    ] {
        match scope.one(name, report) {
            Some(line) if name == "keepalive_timeout" && milliseconds(line.arg(0)) == Some(0) => {
                report.left(
                    line,
                    "connections are always kept open for a while: timeouts.idle",
                );
            }
            Some(line) => wait(line, key, "timeouts", &mut tables.timeouts, report),
            None => {}
        }
    }
    if let Some(line) = scope.one("client_body_timeout", report) {
        if milliseconds(line.arg(0)) == Some(60_000) {
            report.same(line, "60 s");
        } else {
            report.left(line, "a client may be silent for 60 s in a body");
        }
    }
    access_log(scope, &mut tables.log, report);
}

fn body(scope: &Scope<'_>, limits: &mut Table, report: &mut Report) {
    const DEFAULT: u64 = 1 << 20;
    let line = scope.one("client_max_body_size", report);
    let most = match line {
        None => DEFAULT,
        Some(line) => match size(line.arg(0)) {
            Some(0) => {
                report.same(line, "bodies have no limit");
                return;
            }
            Some(most) => {
                report.carried(line, "limits.body_size");
                most
            }
            None => {
                report.refuse(line, "is no size");
                return;
            }
        },
    };
    let why = "nginx's default; without this line bodies have no limit";
    limits.put(
        "body_size",
        written_size(most),
        line.is_none().then_some(why),
    );
    if (1 << 10..MANIFEST).contains(&most) {
        limits.set("manifest_size", written_size(most));
    }
}

fn access_log(scope: &Scope<'_>, log: &mut Table, report: &mut Report) {
    for line in scope.nearest(&["access_log"]) {
        if line.arg(0) == "off" {
            log.set("access", false);
            report.carried(line, "log.access = false");
        } else {
            report.same(
                line,
                "a line for each request, as nginx writes it, on standard output",
            );
        }
    }
}
