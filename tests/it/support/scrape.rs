//! What a scraper reads, as numbers.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use super::ask::{Reply, ask};
use super::house::eventually;

/// One scrape: each series, as it is written, and its value.
#[derive(Clone, Debug)]
pub struct Scrape {
    /// The text.
    pub text: String,
    series: BTreeMap<String, f64>,
}

impl Scrape {
    /// Scrapes now, in the older text format.
    #[track_caller]
    pub fn of(admin: SocketAddr) -> Self {
        let reply = ask(admin, "GET /metrics", &[], b"");
        assert_eq!(reply.status, 200, "{reply:?}");
        Self::read(reply.body)
    }

    /// Scrapes until this holds.
    #[track_caller]
    pub fn until(admin: SocketAddr, claim: &str, holds: impl Fn(&Self) -> bool) -> Self {
        let mut last = String::new();
        let found = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            eventually(|| {
                let scrape = Self::of(admin);
                last.clone_from(&scrape.text);
                holds(&scrape).then_some(scrape)
            })
        }));
        found.unwrap_or_else(|_| panic!("{claim}: not in\n{last}"))
    }

    /// Reads a text.
    #[track_caller]
    pub fn read(text: String) -> Self {
        let samples = text.lines().filter(|line| !line.starts_with('#'));
        let series = samples.map(|line| {
            let (name, value) = line.rsplit_once(' ').unwrap();
            (name.to_owned(), value.parse().unwrap())
        });
        let series: BTreeMap<_, _> = series.collect();
        Self { text, series }
    }

    /// The sum of all series of this metric that have all these labels, written `name="value"`.
    pub fn sum(&self, name: &str, labels: &[&str]) -> f64 {
        self.all(name, labels).map(|(_, value)| value).sum()
    }

    /// The series of this metric that have all these labels.
    pub fn all<'a>(
        &'a self,
        name: &'a str,
        labels: &'a [&'a str],
    ) -> impl Iterator<Item = (&'a str, f64)> {
        self.series.iter().filter_map(move |(series, value)| {
            let (found, rest) = series.split_once('{').unwrap_or((series, ""));
            let has = |label: &&str| {
                rest.contains(&format!("{label},")) || rest.contains(&format!("{label}}}"))
            };
            (found == name && labels.iter().all(has)).then_some((series.as_str(), *value))
        })
    }

    /// The value of the one series of this metric with these labels.
    #[track_caller]
    pub fn one(&self, name: &str, labels: &[&str]) -> f64 {
        let [(_, value)] = self.all(name, labels).collect::<Vec<_>>()[..] else {
            panic!("not one {name} {labels:?} in\n{}", self.text);
        };
        value
    }

    /// Fails unless the series of this metric with these labels have this sum.
    #[track_caller]
    pub fn is(&self, name: &str, labels: &[&str], sum: f64) {
        let found = self.sum(name, labels);
        let same = (found - sum).abs() < 0.1;
        assert!(
            same,
            "{name} {labels:?}: {found}, not {sum}, in\n{}",
            self.text
        );
    }

    /// How many series there are.
    pub fn count(&self) -> usize {
        self.series.len()
    }

    /// The names of all metrics, with what they are: `counter`, `gauge`, `histogram`.
    pub fn kinds(&self) -> BTreeMap<String, String> {
        let kinds = self.text.lines().filter_map(|line| {
            let (name, kind) = line.strip_prefix("# TYPE ")?.split_once(' ')?;
            Some((name.to_owned(), kind.to_owned()))
        });
        kinds.collect()
    }

    /// The names of the labels of a metric, but for the bounds of a histogram.
    pub fn labels(&self, name: &str) -> Vec<String> {
        let count = format!("{name}_count");
        let mut all: Vec<String> = Vec::new();
        for series in self.series.keys() {
            let (found, rest) = series.split_once('{').unwrap_or((series, ""));
            if found != name && found != count {
                continue;
            }
            for label in rest.split("\",") {
                let label = label.split_once('=').map(|(label, _)| label.to_owned());
                all.extend(label.filter(|label| !all.contains(label)));
            }
        }
        all
    }
}

/// What `/readyz` says.
#[track_caller]
pub fn readiness(admin: SocketAddr) -> Reply {
    ask(admin, "GET /readyz", &[], b"")
}

/// Asks for readiness until it is answered like this.
#[track_caller]
pub fn until_ready_says(admin: SocketAddr, status: u16, text: &str) {
    let mut last = None;
    let found = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        eventually(|| {
            let reply = readiness(admin);
            let good = reply.status == status && reply.body.contains(text);
            last = Some(reply);
            good.then_some(())
        });
    }));
    assert!(found.is_ok(), "no {status} with {text:?}: {last:?}");
}
