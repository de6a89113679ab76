//! `index.txt`, the database of `openssl ca`: one line for each certificate, six fields divided by tabs.
//!
//! ```text
//! state  end  revocation[,reason]  serial  file  subject
//! ```
//!
//! Lines are kept byte for byte unless their certificate is taken back, so that what openssl wrote stays as it is. A line
//! that cannot be understood is a fault of the file: whoever guesses here gives a revoked certificate back.

use std::path::Path;

use super::date;
use super::error::Error;
use super::serial::Serial;

/// As openssl writes it where a certificate has no file of its own.
const NO_FILE: &str = "unknown";
/// More lines than any desk has; beyond it the file is another one than was meant.
pub(super) const LARGEST: u64 = 64 << 20;

/// What the first field says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum State {
    /// Issued and not taken back; its end may have passed.
    Valid,
    /// Taken back.
    Revoked {
        /// Seconds since 1970.
        when: u64,
        /// Why, where somebody said so.
        reason: Option<Reason>,
    },
    /// `openssl ca -updatedb` found its end passed.
    Expired,
}

/// Why a certificate was taken back (RFC 5280 section 5.3.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reason {
    /// Somebody else may have the key.
    KeyCompromise,
    /// Somebody else may have the CA's key.
    CaCompromise,
    /// The bearer belongs to somebody else now.
    AffiliationChanged,
    /// There is a newer certificate.
    Superseded,
    /// It is not needed any more.
    CessationOfOperation,
    /// For a while; dockgate never says so itself, and never gives such a certificate back.
    CertificateHold,
}

const REASONS: [(Reason, u8, &str); 6] = [
    (Reason::KeyCompromise, 1, "keyCompromise"),
    (Reason::CaCompromise, 2, "CACompromise"),
    (Reason::AffiliationChanged, 3, "affiliationChanged"),
    (Reason::Superseded, 4, "superseded"),
    (Reason::CessationOfOperation, 5, "cessationOfOperation"),
    (Reason::CertificateHold, 6, "certificateHold"),
];

impl Reason {
    /// Its number in a list.
    pub(super) fn code(self) -> u8 {
        REASONS
            .iter()
            .find(|(reason, ..)| *reason == self)
            .map_or(0, |(_, code, _)| *code)
    }

    /// How openssl calls it.
    pub(crate) fn text(self) -> &'static str {
        REASONS
            .iter()
            .find(|(reason, ..)| *reason == self)
            .map_or("unspecified", |(.., text)| text)
    }

    pub(super) fn from_code(code: u8) -> Option<Self> {
        REASONS
            .iter()
            .find(|(_, number, _)| *number == code)
            .map(|(reason, ..)| *reason)
    }

    /// Reads what openssl writes: some reasons have another word where they carry a date or an instruction.
    fn parse(text: &str) -> Result<Option<Self>, ()> {
        match text {
            "unspecified" | "removeFromCRL" => return Ok(None),
            "holdInstruction" => return Ok(Some(Self::CertificateHold)),
            "keyTime" => return Ok(Some(Self::KeyCompromise)),
            "CAkeyTime" => return Ok(Some(Self::CaCompromise)),
            _ => {}
        }
        let known = REASONS
            .iter()
            .find(|(.., name)| name.eq_ignore_ascii_case(text));
        known.map(|(reason, ..)| Some(*reason)).ok_or(())
    }
}

/// One certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Record {
    /// Whether it was taken back.
    pub(crate) state: State,
    /// Its last second, since 1970.
    pub(crate) end: u64,
    /// Its serial number.
    pub(crate) serial: Serial,
    /// Its subject in openssl's one-line form.
    pub(crate) subject: String,
}

impl Record {
    /// The common name: the last one, as everywhere else. Empty where there is none.
    pub(crate) fn name(&self) -> String {
        let mut found = "";
        let mut rest = self.subject.as_str();
        while let Some(at) = rest.find("/CN=") {
            rest = rest.get(at + 4..).unwrap_or_default();
            found = rest;
        }
        unescaped(found.get(..end_of_value(found)).unwrap_or(found))
    }

    /// Whether it is neither taken back nor over.
    pub(crate) fn is_good(&self, now: u64) -> bool {
        self.state == State::Valid && now <= self.end
    }
}

/// A value ends where the next `/KEY=` begins; a slash of its own stands unmarked.
fn end_of_value(text: &str) -> usize {
    let starts_key = |at: usize| {
        let rest = text.get(at + 1..).unwrap_or_default();
        let key = rest.split('=').next().unwrap_or_default();
        key.len() < rest.len()
            && !key.is_empty()
            && key.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'.')
    };
    text.match_indices('/')
        .map(|(at, _)| at)
        .find(|at| starts_key(*at))
        .unwrap_or(text.len())
}

/// Without openssl's `\xHH`.
fn unescaped(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, more)) = rest.split_first() {
        let code = rest
            .strip_prefix(b"\\x")
            .and_then(|digits| digits.get(..2))
            .and_then(|digits| std::str::from_utf8(digits).ok())
            .and_then(|digits| u8::from_str_radix(digits, 16).ok());
        if let Some(byte) = code {
            bytes.push(byte);
            rest = rest.get(4..).unwrap_or_default();
        } else {
            bytes.push(*first);
            rest = more;
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// The whole file.
#[derive(Clone, Debug, Default)]
pub(super) struct Index {
    lines: Vec<Line>,
}

#[derive(Clone, Debug)]
struct Line {
    /// As it stands in the file, without its end.
    text: String,
    /// `None`: a comment.
    record: Option<Record>,
}

impl Index {
    /// Reads the bytes of the file; its path is for faults.
    ///
    /// # Errors
    /// The first line that is damaged.
    pub(super) fn parse(path: &Path, bytes: &[u8]) -> Result<Self, Error> {
        let fault = |number: usize, fault: String| Error::Index {
            path: path.to_owned(),
            line: number,
            // The one control character that a line may have, and a fault may repeat.
            fault: fault.replace('\t', "\\t"),
        };
        let mut lines: Vec<Line> = Vec::new();
        for (number, bytes) in (1..).zip(bytes.split_inclusive(|byte| *byte == b'\n')) {
            let Some(bytes) = bytes.strip_suffix(b"\n") else {
                let cut = "does not end, so the file may have been cut off in the middle of it";
                return Err(fault(number, cut.to_owned()));
            };
            let line = line(bytes).map_err(|text| fault(number, text))?;
            lines.push(line);
        }
        let index = Self { lines };
        if let Some((number, serial, before)) = index.repeated() {
            let text = format!("has the serial number {serial} of line {before}");
            return Err(fault(number, text));
        }
        Ok(index)
    }

    /// The first serial number that stands twice: its line, itself, and the line before.
    fn repeated(&self) -> Option<(usize, &Serial, usize)> {
        let numbered = (1..).zip(&self.lines);
        let mut serials: Vec<(&Serial, usize)> = numbered
            .filter_map(|(number, line)| Some((&line.record.as_ref()?.serial, number)))
            .collect();
        serials.sort_unstable();
        serials
            .iter()
            .zip(serials.iter().skip(1))
            .find(|(one, next)| one.0 == next.0)
            .map(|(one, next)| (next.1, next.0, one.1))
    }

    /// The bytes of the file.
    pub(super) fn bytes(&self) -> Vec<u8> {
        let mut out = Vec::new();
        for line in &self.lines {
            out.extend_from_slice(line.text.as_bytes());
            out.push(b'\n');
        }
        out
    }

    /// All certificates, in the order of the file.
    pub(super) fn records(&self) -> impl Iterator<Item = &Record> {
        self.lines.iter().filter_map(|line| line.record.as_ref())
    }

    pub(super) fn find(&self, serial: &Serial) -> Option<&Record> {
        self.records().find(|record| record.serial == *serial)
    }

    /// Whether openssl would see two certificates of one subject that are not taken back.
    pub(super) fn has_valid_subject(&self, subject: &str) -> bool {
        self.records()
            .any(|record| record.state == State::Valid && record.subject == subject)
    }

    /// Adds a certificate at the end.
    pub(super) fn add(&mut self, record: Record) {
        let state = state_fields(&record.state);
        let text = format!(
            "{}\t{}\t{}\t{}\t{NO_FILE}\t{}",
            state.0,
            date::index(record.end),
            state.1,
            record.serial,
            record.subject
        );
        self.lines.push(Line {
            text,
            record: Some(record),
        });
    }

    /// Marks a certificate as taken back. One that is taken back already stays as it is.
    pub(super) fn revoke(&mut self, serial: &Serial, when: u64, reason: Option<Reason>) {
        for line in &mut self.lines {
            let Some(record) = &mut line.record else {
                continue;
            };
            if record.serial != *serial || matches!(record.state, State::Revoked { .. }) {
                continue;
            }
            record.state = State::Revoked { when, reason };
            let (state, revocation) = state_fields(&record.state);
            let mut fields = fields(&line.text);
            if let [first, _, third, ..] = fields.as_mut_slice() {
                *first = state;
                *third = &revocation;
            }
            line.text = fields.join("\t");
        }
    }
}

fn state_fields(state: &State) -> (&'static str, String) {
    match state {
        State::Valid => ("V", String::new()),
        State::Expired => ("E", String::new()),
        State::Revoked { when, reason } => {
            let mut text = date::index(*when);
            if let Some(reason) = reason {
                text.push(',');
                text.push_str(reason.text());
            }
            ("R", text)
        }
    }
}

/// The fields as they stand: a tab after a backslash belongs to its field.
fn fields(line: &str) -> Vec<&str> {
    let mut fields = Vec::new();
    let (mut start, mut escaped) = (0, false);
    for (at, byte) in line.bytes().enumerate() {
        if byte == b'\t' && !escaped {
            fields.push(line.get(start..at).unwrap_or_default());
            start = at + 1;
        }
        escaped = byte == b'\\';
    }
    fields.push(line.get(start..).unwrap_or_default());
    fields
}

fn line(bytes: &[u8]) -> Result<Line, String> {
    let text = std::str::from_utf8(bytes).map_err(|_| "is not text".to_owned())?;
    if text.starts_with('#') {
        let text = text.to_owned();
        return Ok(Line { text, record: None });
    }
    if let Some(bad) = text.chars().find(|c| c.is_control() && *c != '\t') {
        return Err(format!(
            "has the control character {}",
            bad.escape_default()
        ));
    }
    let fields = fields(text);
    let [state, end, revocation, serial, _file, subject] = fields.as_slice() else {
        return Err(format!(
            "has {} fields and not six, divided by tabs: state, end, revocation, serial number, file, subject",
            fields.len()
        ));
    };
    let record = Record {
        state: self::state(state, revocation)?,
        end: date::parse(end).ok_or_else(|| format!("has an end that is no date: `{end}`"))?,
        serial: Some(serial)
            .filter(|digits| digits.len() % 2 == 0)
            .and_then(|digits| Serial::parse(digits))
            .ok_or_else(|| {
                format!("has a serial number that is not pairs of hexadecimal digits: `{serial}`")
            })?,
        subject: subject.replace("\\\t", "\t"),
    };
    if !subject.starts_with('/') {
        return Err(format!(
            "has a subject that does not begin with `/`: `{subject}`"
        ));
    }
    Ok(Line {
        text: text.to_owned(),
        record: Some(record),
    })
}

fn state(state: &str, revocation: &str) -> Result<State, String> {
    match (state, revocation) {
        ("V", "") => Ok(State::Valid),
        ("E", "") => Ok(State::Expired),
        ("V" | "E", date) => Err(format!(
            "says {state}, not revoked, and has a date of revocation: `{date}`"
        )),
        ("R", revocation) => {
            let mut parts = revocation.split(',');
            let when = parts.next().unwrap_or_default();
            let when = date::parse(when)
                .ok_or_else(|| format!("says R, revoked, and when is no date: `{when}`"))?;
            let reason = match parts.next() {
                None => None,
                Some(text) => Reason::parse(text)
                    .map_err(|()| format!("has a reason that openssl does not know: `{text}`"))?,
            };
            Ok(State::Revoked { when, reason })
        }
        (other, _) => Err(format!("begins with `{other}` and not with V, R or E")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "# by hand\n\
        V\t271127180000Z\t\t0A\tunknown\t/CN=build-7\n\
        R\t271127180000Z\t261127180000Z,keyCompromise\t0B\tunknown\t/C=DE/O=A/B Ltd/CN=b\\xC3\\xBCro/emailAddress=a@b.test\n\
        R\t20510101000000Z\t261127180000Z,holdInstruction,holdInstructionReject\t0C\tcerts/a\\\tb.pem\t/CN=x\n\
        E\t201127180000Z\t\t0D\tunknown\t/O=nobody\n";

    fn read(text: &str) -> Result<Index, Error> {
        Index::parse(Path::new("index.txt"), text.as_bytes())
    }

    #[test]
    fn what_was_read_is_written_byte_for_byte() {
        let index = read(GOOD).unwrap();
        assert_eq!(index.bytes(), GOOD.as_bytes());
        let names: Vec<String> = index.records().map(Record::name).collect();
        assert_eq!(names, ["build-7", "büro", "x", ""]);
        assert!(read("").unwrap().bytes().is_empty());
    }

    #[test]
    fn a_revocation_changes_its_own_line_and_happens_once() {
        let mut index = read(GOOD).unwrap();
        let serial = Serial::parse("0a").unwrap();
        index.revoke(&serial, 1_795_802_400, Some(Reason::Superseded));
        index.revoke(&serial, 1_900_000_000, None);
        index.revoke(&Serial::parse("0c").unwrap(), 1_900_000_000, None);
        let expected = GOOD.replace(
            "V\t271127180000Z\t\t0A",
            "R\t271127180000Z\t261127180000Z,superseded\t0A",
        );
        assert_eq!(String::from_utf8(index.bytes()).unwrap(), expected);
        assert_eq!(read(&expected).unwrap().bytes(), expected.as_bytes());
    }

    #[test]
    fn a_new_line_reads_back() {
        let mut index = read(GOOD).unwrap();
        let record = Record {
            state: State::Valid,
            end: 2_600_000_000,
            serial: Serial::parse("0123").unwrap(),
            subject: "/CN=build-8".to_owned(),
        };
        index.add(record.clone());
        let again = Index::parse(Path::new("index.txt"), &index.bytes()).unwrap();
        assert_eq!(again.find(&record.serial), Some(&record));
        assert!(again.has_valid_subject("/CN=build-8"));
        assert!(!again.has_valid_subject("/CN=x"));
    }

    #[test]
    fn a_damaged_line_is_named() {
        let good = "V\t271127180000Z\t\t0A\tunknown\t/CN=build-7";
        for (bad, words) in [
            ("", "1 fields"),
            ("V 271127180000Z  0B unknown /CN=x", "1 fields"),
            ("V\t271127180000Z\t\t0B\tunknown", "5 fields"),
            ("V\t271127180000Z\t\t0B\tunknown\t/CN=x\ty", "7 fields"),
            ("X\t271127180000Z\t\t0B\tunknown\t/CN=x", "V, R or E"),
            ("V\tsoon\t\t0B\tunknown\t/CN=x", "no date"),
            (
                "V\t271127180000Z\t261127180000Z\t0B\tunknown\t/CN=x",
                "not revoked",
            ),
            ("R\t271127180000Z\t\t0B\tunknown\t/CN=x", "when is no date"),
            (
                "R\t271127180000Z\t261127180000Z,because\t0B\tunknown\t/CN=x",
                "because",
            ),
            ("V\t271127180000Z\t\t0BC\tunknown\t/CN=x", "pairs"),
            ("V\t271127180000Z\t\t\tunknown\t/CN=x", "pairs"),
            ("V\t271127180000Z\t\tZZ\tunknown\t/CN=x", "pairs"),
            ("V\t271127180000Z\t\t000A\tunknown\t/CN=x", "of line 1"),
            ("V\t271127180000Z\t\t0B\tunknown\tCN=x", "begin with `/`"),
            ("V\t271127180000Z\t\t0B\tunknown\t/CN=x\r", "control"),
            ("\u{0}", "control"),
        ] {
            let said = read(&format!("{good}\n{bad}\n")).unwrap_err().to_string();
            assert!(
                said.contains("line 2") && said.contains(words),
                "{bad:?}: {said}"
            );
        }
        let said = read(&format!("{good}\n{good}")).unwrap_err().to_string();
        assert!(
            said.contains("line 2") && said.contains("cut off"),
            "{said}"
        );
        assert!(Index::parse(Path::new("i"), b"\xff\n").is_err());
        let tab = read("V\t271127000000Z\t\t0F\tf\tCN=a\\\tb\n")
            .unwrap_err()
            .to_string();
        assert!(tab.contains("CN=a\\\\tb") && !tab.contains('\t'), "{tab}");
    }
}
