//! The benchmark of the whole program against its peers, side by side: `scripts/bench` runs it and says how.
//!
//! Every figure is CPU time of a server's whole process tree, with server, upstream and client on one core, taken in
//! turns with the peers; what is judged is the ratio within one round. Wall time on a shared machine says little.
#![expect(
    clippy::unwrap_used,
    reason = "a step that fails must end the benchmark on the spot"
)]
#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "it is a program that prints"
)]
#![expect(clippy::missing_docs_in_private_items, reason = "not a library")]
#![expect(
    clippy::format_push_string,
    clippy::exit,
    reason = "configurations are written piece by piece, and a program ends with a code"
)]
#![expect(
    clippy::cast_precision_loss,
    reason = "figures of a benchmark have three digits"
)]

mod count;
mod growth;
mod load;
mod machine;
mod measure;
mod options;
mod peer;
mod plot;
mod process;
mod report;
mod rows;
mod site;
mod tree;

use options::Options;

fn main() {
    // Cargo adds `--bench` for harnesses that know it.
    let arguments = std::env::args().skip(1).filter(|word| word != "--bench");
    let arguments: Vec<String> = arguments.collect();
    raise_open_files();
    match arguments.split_first() {
        Some((first, rest)) if first == "load" => load::main(rest),
        Some((first, rest)) if first == "count" => {
            let (agree, rest): (Vec<_>, Vec<_>) =
                rest.iter().cloned().partition(|word| word == "--agree");
            let options = Options::read(&rest);
            if !count::run(&options.dockgate, !agree.is_empty()) {
                std::process::exit(1);
            }
        }
        _ => {
            let options = Options::read(&arguments);
            let rows = rows::all(&options);
            let plots = growth::all(&options);
            report::write(&options, &rows, &plots);
        }
    }
}

/// Thousands of connections are open at once; children inherit the limit.
fn raise_open_files() {
    use rustix::process::{Resource, getrlimit, setrlimit};
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    setrlimit(Resource::Nofile, limit).unwrap();
}
