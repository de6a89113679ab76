//! What is to be measured, and how thoroughly.

use std::path::PathBuf;

const USAGE: &str =
    "usage: scripts/bench [--quick] [--only WORD] [--rounds N] [--core N] [--report FILE]
  --quick        small bodies, few rounds: to see that everything works, not for figures
  --only WORD    only the rows whose name contains it; may be repeated
  --rounds N     pairs per row (5)
  --core N       where everything is pinned (the last core)
  --report FILE  where the report goes (docs/benchmarks.md; with --only: nowhere)
  --dockgate F   the program (target/release/dockgate)";

/// The options of the command line.
#[derive(Clone, Debug)]
pub struct Options {
    pub quick: bool,
    pub only: Vec<String>,
    pub rounds: usize,
    pub core: usize,
    pub report: Option<PathBuf>,
    pub dockgate: PathBuf,
}

impl Options {
    pub fn read(arguments: &[String]) -> Self {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let mut options = Self {
            quick: false,
            only: Vec::new(),
            rounds: 5,
            core: cores - 1,
            report: None,
            dockgate: "target/release/dockgate".into(),
        };
        let mut report = None;
        let mut rounds = None;
        let mut words = arguments.iter();
        while let Some(word) = words.next() {
            let mut value = || words.next().unwrap_or_else(|| usage(word)).clone();
            match word.as_str() {
                "--quick" => options.quick = true,
                "--only" => options.only.push(value()),
                "--rounds" => rounds = Some(value()),
                "--core" => options.core = value().parse().unwrap_or_else(|_| usage(word)),
                "--report" => report = Some(PathBuf::from(value())),
                "--dockgate" => options.dockgate = value().into(),
                _ => usage(word),
            }
        }
        if options.quick {
            options.rounds = 1;
        }
        if let Some(rounds) = rounds {
            options.rounds = rounds.parse().unwrap_or_else(|_| usage(&rounds));
        }
        options.report = match report {
            None if options.only.is_empty() && !options.quick => Some("docs/benchmarks.md".into()),
            report => report,
        };
        options.dockgate = options.dockgate.canonicalize().unwrap_or_else(|error| {
            eprintln!("bench: {}: {error}", options.dockgate.display());
            std::process::exit(2)
        });
        options
    }

    /// Whether a row of this name is wanted.
    pub fn wants(&self, name: &str) -> bool {
        self.only.is_empty() || self.only.iter().any(|word| name.contains(word.as_str()))
    }

    /// `full`, or `quick` when it is only to be seen that it works.
    pub fn size(&self, full: usize, quick: usize) -> usize {
        if self.quick { quick } else { full }
    }
}

fn usage(word: &str) -> ! {
    eprintln!("bench: cannot read {word:?}\n{USAGE}");
    std::process::exit(2)
}
