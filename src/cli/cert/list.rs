//! `dockgate cert list`: a table for people, or JSON.

use serde_json::json;

use crate::pki::Error;
use crate::pki::Overview;
use crate::pki::Place;
use crate::pki::Reason;
use crate::pki::Record;
use crate::pki::State;
use crate::pki::date_text;

use super::super::line::cert::ListFormat;
use super::super::{answer, say};

pub(super) fn run(place: &Place, format: ListFormat) -> Result<(), Error> {
    let overview = Overview::read(place)?;
    match format {
        ListFormat::Table => table(&overview),
        ListFormat::Json => json(&overview),
    }
    for warning in &overview.warnings {
        say(&format!("warning: {warning}"));
    }
    Ok(())
}

fn table(overview: &Overview) {
    let head = ["NAME", "SERIAL", "EXPIRY", "REVOKED"].map(str::to_owned);
    let mut rows = vec![head];
    for record in &overview.records {
        let revoked = match revoked(record) {
            Some((when, Some(reason))) => format!("{when} ({reason})"),
            Some((when, None)) => when,
            None => "no".to_owned(),
        };
        rows.push([
            record.name().escape_debug().to_string(),
            record.serial.to_string(),
            date_text(record.end),
            revoked,
        ]);
    }
    let width = |column: usize| {
        let cells = rows.iter().filter_map(|row| row.get(column));
        cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
    };
    let widths = [width(0), width(1), width(2)];
    for [name, serial, expiry, revoked] in &rows {
        let [first, second, third] = widths;
        answer(&format!(
            "{name:first$}  {serial:second$}  {expiry:third$}  {revoked}"
        ));
    }
}

fn json(overview: &Overview) {
    let records = overview.records.iter();
    let list: Vec<_> = records
        .map(|record| {
            let (when, reason) = revoked(record).unzip();
            json!({
                "name": record.name(),
                "serial": record.serial.to_string(),
                "subject": record.subject,
                "expiry": date_text(record.end),
                "revoked": when,
                "reason": reason.flatten(),
                "status": overview.status(record),
            })
        })
        .collect();
    answer(&serde_json::Value::from(list).to_string());
}

/// When it was taken back, and why.
fn revoked(record: &Record) -> Option<(String, Option<&'static str>)> {
    match &record.state {
        State::Revoked { when, reason } => Some((date_text(*when), reason.map(Reason::text))),
        State::Valid | State::Expired => None,
    }
}
