//! The table, on the screen and in `docs/benchmarks.md`.

use std::fmt::Write as _;
use std::fs;

use crate::growth::Plot;
use crate::machine;
use crate::measure::Row;
use crate::options::Options;
use crate::peer;

/// What stands in the report before the figures; what was tried and where the time goes is written by hand, in a file
/// that the report takes in.
const NOTES: &str = "benches/notes.txt";

/// Prints a row when it is done.
pub fn print(row: &Row) {
    let verdict = match row.is_reached() {
        Some(true) => "reached",
        Some(false) => "MISSED",
        None => "",
    };
    println!("{} [{}] {verdict}", row.name, row.unit);
    for figure in &row.figures {
        let goal = match row.goal {
            Some(goal) if figure.name == row.against => format!(" (goal {})", digits(goal)),
            _ => String::new(),
        };
        println!(
            "    {:32} {:>10}   ours/theirs {}{goal}",
            figure.name,
            digits(figure.median),
            digits(figure.ratio)
        );
    }
}

/// Writes the report, if one is wanted.
pub fn write(options: &Options, rows: &[Row], plots: &[Plot]) {
    let missed = rows.iter().filter(|row| row.is_reached() == Some(false));
    let missed: Vec<_> = missed.map(|row| row.name.as_str()).collect();
    println!("\n{}", table(rows));
    println!(
        "{} of {} rows miss their goal: {}",
        missed.len(),
        rows.len(),
        missed.join("; ")
    );
    let Some(file) = &options.report else {
        return;
    };
    let folder = file.parent().unwrap().join("benchmarks");
    let mut text = String::from(HEAD);
    text += "## The machine\n\n| what | which |\n|---|---|\n";
    for (name, value) in machine::facts(&options.dockgate) {
        let _ = writeln!(text, "| {name} | {value} |");
    }
    let _ = write!(
        text,
        "| rounds | {} |\n\n## The figures\n\n{}\n",
        options.rounds,
        table(rows)
    );
    if !plots.is_empty() {
        text += GROWTH;
        fs::create_dir_all(&folder).unwrap();
        for plot in plots {
            let svg = format!("{}.svg", plot.file);
            fs::write(folder.join(&svg), crate::plot::svg(plot)).unwrap();
            let _ = writeln!(text, "![{}](benchmarks/{svg})\n", plot.title);
        }
    }
    text += &fs::read_to_string(NOTES).unwrap_or_default();
    text += "\n## The settings\n\nOf TLS and ports only the names differ from what was run.\n";
    for (name, config) in peer::shown() {
        // The tests of the pages load what is ours, and know other programs' settings by this language.
        let language = if name == "dockgate" { "toml" } else { "nginx" };
        let config = config.trim_end();
        let _ = write!(text, "\n{name}:\n\n```{language}\n{config}\n```\n");
    }
    fs::write(file, text).unwrap();
    println!("written: {}", file.display());
}

fn table(rows: &[Row]) -> String {
    let mut text = String::from(
        "| what | unit | dockgate | against | theirs | ratio | goal | | others, ratio |\n|---|---|---|---|---|---|---|---|---|\n",
    );
    for row in rows {
        let verdict = match row.is_reached() {
            Some(true) => "reached",
            Some(false) => "**missed**",
            None => "",
        };
        let theirs = row.figures.iter().find(|figure| figure.name == row.against);
        let others = row.figures.iter().skip(1);
        let others = others.filter(|figure| figure.name != row.against);
        let others = others.map(|f| {
            let ratio = if f.ratio.is_nan() {
                String::new()
            } else {
                format!(" ({})", digits(f.ratio))
            };
            format!("{} {}{ratio}", f.name, digits(f.median))
        });
        let _ = writeln!(
            text,
            "| {} | {} | {} | {} | {} | {} | {} | {verdict} | {} |",
            row.name,
            row.unit,
            row.figures
                .first()
                .map_or_else(String::new, |f| digits(f.median)),
            row.against,
            theirs.map_or_else(String::new, |f| digits(f.median)),
            theirs.map_or_else(String::new, |f| digits(f.ratio)),
            row.goal
                .map_or_else(String::new, |goal| format!("<= {}", digits(goal))),
            others.collect::<Vec<_>>().join("; ")
        );
    }
    text
}

/// Three digits.
fn digits(value: f64) -> String {
    match value.abs() {
        _ if value.is_nan() => "-".into(),
        0.0 => "0".into(),
        large if large >= 100.0 => format!("{value:.0}"),
        large if large >= 10.0 => format!("{value:.1}"),
        large if large >= 1.0 => format!("{value:.2}"),
        large if large >= 0.01 => format!("{value:.3}"),
        _ => format!("{value:.5}"),
    }
}

const HEAD: &str = "# Benchmarks

`make bench` writes this file, but for the section on what was found, which lies in `benches/notes.txt`. It sets up the
peers by itself (Debian's packages, as root) and takes about twenty minutes.

## How it is measured

- A figure is CPU time of a server's whole process tree, from the scheduler's count in nanoseconds, and not wall time:
  on a machine whose cores are shared by client, server and upstream, wall time says how they share.
- Server, upstream and client run on one core. The participants take turns, each round in another order; a ratio is
  the median of the ratios within each round, ours divided by theirs, so below 1 we are cheaper.
- TLS 1.3, X25519, TLS_AES_128_GCM_SHA256 (what docker and containerd agree on), loopback, files on tmpfs.
- `nginx, tuned` is the cheapest setting of nginx that we found, without an access log; the goals are about it.
  `nginx, recipe` is what people run: the documentation's recipe for a registry, with its access log. dockgate runs
  without one, as the tuned peers do.
- The static upstream is nginx with files: before docker-registry, which takes a hundred times as long for a small request,
  all gates look alike.
- Half of the advantage in bulk is the AES code: aws-lc uses VAES where the processor has it, Debian 12's OpenSSL 3.0
  does not. The row with VAES masked shows what is left where it is missing.

";

const GROWTH: &str = "## How cost grows

Each figure is of the release build, on one core; both scales are logarithmic.

";
