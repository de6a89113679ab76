//! The two texts that scrapers read: `OpenMetrics` 1.0, and the older text format of Prometheus (0.0.4).

use std::borrow::Cow;
use std::fmt::Write as _;

/// How the numbers are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Format {
    /// `OpenMetrics` 1.0.
    OpenMetrics,
    /// Prometheus 0.0.4.
    Classic,
}

impl Format {
    /// The one that a scraper asks for: `OpenMetrics` where its `Accept` names it.
    pub(crate) fn wanted(accept: &str) -> Self {
        let names = |range: &str| {
            let name = range.split(';').next().unwrap_or_default().trim();
            name.eq_ignore_ascii_case("application/openmetrics-text") && !is_refused(range)
        };
        if accept.split(',').any(names) {
            Self::OpenMetrics
        } else {
            Self::Classic
        }
    }

    /// As `Content-Type` says it.
    pub(crate) fn content_type(self) -> &'static str {
        match self {
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
            Self::Classic => "text/plain; version=0.0.4; charset=utf-8",
        }
    }

    pub(super) fn of(self, open_metrics: String) -> String {
        match self {
            Self::OpenMetrics => open_metrics,
            Self::Classic => classic(&open_metrics),
        }
    }
}

/// `q=0` says that this one is not wanted (RFC 9110 section 12.4.2).
fn is_refused(range: &str) -> bool {
    range.split(';').skip(1).any(|parameter| {
        let quality = parameter.trim().strip_prefix("q=");
        quality.is_some_and(|quality| quality.trim().parse() == Ok(0.0_f32))
    })
}

/// A counter is called by the name of its samples in the older format; units and an end are not known to it.
fn classic(open_metrics: &str) -> String {
    let mut text = String::with_capacity(open_metrics.len());
    let mut help = None;
    for line in open_metrics.lines() {
        if let Some(told) = line.strip_prefix("# HELP ") {
            help = told.split_once(' ');
        } else if let Some((name, kind)) = type_of(line) {
            let name = match kind {
                "counter" => Cow::Owned(format!("{name}_total")),
                _ => Cow::Borrowed(name),
            };
            if let Some((_, told)) = help.take() {
                // Writing to memory does not fail.
                let _ = writeln!(text, "# HELP {name} {told}");
            }
            let _ = writeln!(text, "# TYPE {name} {kind}");
        } else if !line.starts_with('#') {
            text.push_str(line);
            text.push('\n');
        }
    }
    text
}

fn type_of(line: &str) -> Option<(&str, &str)> {
    line.strip_prefix("# TYPE ")?.split_once(' ')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_format_is_the_one_that_is_asked_for() {
        let prometheus = "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,text/plain;version=0.0.4;q=0.5,*/*;q=0.1";
        for (accept, format) in [
            (prometheus, Format::OpenMetrics),
            ("application/OpenMetrics-Text", Format::OpenMetrics),
            (
                "application/openmetrics-text;q=0, text/plain",
                Format::Classic,
            ),
            ("application/openmetrics-text; q=0.000", Format::Classic),
            ("text/plain;version=0.0.4", Format::Classic),
            ("*/*", Format::Classic),
            ("", Format::Classic),
        ] {
            assert_eq!(Format::wanted(accept), format, "{accept}");
        }
    }

    #[test]
    fn the_older_text_calls_counters_by_their_samples() {
        let text = "# HELP a A thing.\n# TYPE a counter\na_total{x=\"# y\"} 1\n# HELP b_seconds B.\n# TYPE b_seconds gauge\n# UNIT b_seconds seconds\nb_seconds 2\n# EOF\n";
        assert_eq!(
            classic(text),
            "# HELP a_total A thing.\n# TYPE a_total counter\na_total{x=\"# y\"} 1\n# HELP b_seconds B.\n# TYPE b_seconds gauge\nb_seconds 2\n"
        );
    }
}
