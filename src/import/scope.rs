//! What is in force at one place: its own lines, and those of the blocks around it where it has none.

use super::report::Report;
use super::tree::Directive;

/// The levels around a place, the outermost first.
#[derive(Clone, Debug, Default)]
pub(super) struct Scope<'a> {
    levels: Vec<Vec<&'a Directive>>,
}

impl<'a> Scope<'a> {
    /// The outermost level.
    pub(super) fn of(list: Vec<&'a Directive>) -> Self {
        Self { levels: vec![list] }
    }

    /// The place inside of a block.
    pub(super) fn inside(&self, block: &'a [Directive]) -> Self {
        // Blocks beside this one have no say in it, and there may be many.
        let has_say = |d: &&'a Directive| d.name != "server" && d.name != "location";
        let around = self.levels.iter();
        let mut levels: Vec<Vec<&'a Directive>> = around
            .map(|level| level.iter().copied().filter(has_say).collect())
            .collect();
        levels.push(block.iter().collect());
        Self { levels }
    }

    /// The lines of the innermost level.
    pub(super) fn own(&self) -> &[&'a Directive] {
        self.levels.last().map(Vec::as_slice).unwrap_or_default()
    }

    /// Every level, the outermost first.
    pub(super) fn levels(&self) -> &[Vec<&'a Directive>] {
        &self.levels
    }

    /// The lines with one of these names, of the innermost level that has any: the others are replaced by them.
    pub(super) fn nearest(&self, names: &[&str]) -> Vec<&'a Directive> {
        let of_level = |level: &Vec<&'a Directive>| -> Vec<&'a Directive> {
            let found = level.iter().filter(|d| names.contains(&d.name.as_str()));
            found.copied().collect()
        };
        let mut found = self.levels.iter().rev().map(of_level);
        found.find(|lines| !lines.is_empty()).unwrap_or_default()
    }

    /// The one line of this name that is in force. Two beside one another are a fault to nginx too.
    pub(super) fn one(&self, name: &str, report: &mut Report) -> Option<&'a Directive> {
        let found = self.nearest(&[name]);
        if let [_, second, ..] = found.as_slice() {
            report.refuse(
                second,
                "stands here a second time, which nginx refuses; remove one",
            );
        }
        found.first().copied()
    }

    /// Whether the line of this name that is in force says `on`.
    pub(super) fn is_on(&self, name: &str, report: &mut Report) -> bool {
        self.one(name, report).is_some_and(|d| d.arg(0) == "on")
    }

    /// What a text means when its variables are constants that `set` has given.
    pub(super) fn resolved(&self, text: &str) -> Option<String> {
        let mut resolved = text.to_owned();
        // A constant may be made of constants; nobody stacks more than a few.
        for _ in 0..8 {
            let Some((before, rest)) = resolved.split_once('$') else {
                return Some(resolved);
            };
            let braced = rest.strip_prefix('{').and_then(|r| r.split_once('}'));
            let (name, after) = braced.unwrap_or_else(|| {
                let end = rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '_');
                rest.split_at(end.unwrap_or(rest.len()))
            });
            let mut sets = self
                .levels
                .iter()
                .flatten()
                .filter(|d| d.name == "set" && d.arg(0).trim_start_matches('$') == name);
            let value = sets.next()?;
            if sets.next().is_some() {
                return None;
            }
            resolved = format!("{before}{}{after}", value.arg(1));
        }
        None
    }
}

/// nginx's sizes: a number, and `k`, `m` or `g` behind it.
pub(super) fn size(text: &str) -> Option<u64> {
    let (number, factor) = match text.char_indices().last()? {
        (at, 'k' | 'K') => (text.get(..at)?, 1 << 10),
        (at, 'm' | 'M') => (text.get(..at)?, 1 << 20),
        (at, 'g' | 'G') => (text.get(..at)?, 1 << 30),
        _ => (text, 1),
    };
    digits(number)?.checked_mul(factor)
}

/// nginx's times in milliseconds: `900`, `15m`, `1h 30m`, `500ms`.
pub(super) fn milliseconds(text: &str) -> Option<u64> {
    const UNITS: [(&str, u64); 8] = [
        ("ms", 1),
        ("s", 1000),
        ("m", 60_000),
        ("h", 3_600_000),
        ("d", 86_400_000),
        ("w", 604_800_000),
        ("M", 2_592_000_000),
        ("y", 31_536_000_000),
    ];
    let mut total: u64 = 0;
    let mut rest = text.trim();
    if rest.is_empty() {
        return None;
    }
    while !rest.is_empty() {
        let end = rest
            .find(|c: char| !c.is_ascii_digit())
            .unwrap_or(rest.len());
        let (number, behind) = rest.split_at(end);
        let letters = behind.find(|c: char| !c.is_ascii_alphabetic());
        let (unit, behind) = behind.split_at(letters.unwrap_or(behind.len()));
        let unit = if unit.is_empty() { "s" } else { unit };
        let (_, factor) = UNITS.iter().find(|(name, _)| *name == unit)?;
        total = total.checked_add(digits(number)?.checked_mul(*factor)?)?;
        rest = behind.trim_start();
    }
    Some(total)
}

fn digits(text: &str) -> Option<u64> {
    let fits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    fits.then(|| text.parse().ok()).flatten()
}

/// Bytes as a configuration of ours says them.
pub(super) fn written_size(bytes: u64) -> String {
    for (unit, factor) in [("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)] {
        if bytes > 0 && bytes.is_multiple_of(factor) {
            return format!("{} {unit}", bytes / factor);
        }
    }
    format!("{bytes} B")
}

/// A wait as a configuration of ours says it.
pub(super) fn written_wait(milliseconds: u64) -> String {
    if milliseconds.is_multiple_of(1000) {
        return format!("{}s", milliseconds / 1000);
    }
    format!("{milliseconds}ms")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_and_times_are_read_as_nginx_reads_them() {
        for (text, bytes) in [
            ("0", Some(0)),
            ("512", Some(512)),
            ("8k", Some(8192)),
            ("1M", Some(1 << 20)),
            ("2g", Some(2 << 30)),
            ("", None),
            ("m", None),
            ("-1", None),
            ("1.5m", None),
            ("99999999999999999999g", None),
        ] {
            assert_eq!(size(text), bytes, "{text}");
        }
        for (text, wait) in [
            ("900", Some(900_000)),
            ("900s", Some(900_000)),
            ("15m", Some(900_000)),
            ("1h 30m", Some(5_400_000)),
            ("1h30m", Some(5_400_000)),
            ("500ms", Some(500)),
            ("1M", Some(2_592_000_000)),
            ("", None),
            ("s", None),
            ("1x", None),
        ] {
            assert_eq!(milliseconds(text), wait, "{text}");
        }
        assert_eq!(written_size(1 << 20), "1 MiB");
        assert_eq!(written_size(32 << 10), "32 KiB");
        assert_eq!(written_size(1000), "1000 B");
        assert_eq!(written_wait(900_000), "900s");
        assert_eq!(written_wait(1500), "1500ms");
    }
}
