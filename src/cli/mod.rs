//! The command line: what was asked for, who does it, and the exit code.
//!
//! Results go to standard output, messages to standard error. Exit codes: 0 done, 1 failed while running, 2 wrong
//! configuration or usage. Nothing but this room and `config` looks at the environment or the arguments.

mod asking;
mod cert;
mod check;
mod compare;
mod doctor;
mod explain;
mod first_start;
mod health;
mod htpasswd;
mod import;
mod line;
mod load;
mod manager;
mod prompt;
mod serve;
mod threads;

use std::ffi::OsString;
use std::io::{self, Write};
use std::path::Path;

use clap::{CommandFactory, Parser};
use clap_complete::Shell;

use crate::confine;

use line::{Arguments, Command};

/// It did what it was asked to.
const DONE: u8 = 0;

/// It failed while it ran.
const FAILED: u8 = 1;

/// What it was asked for is wrong: the configuration or the command line.
const WRONG: u8 = 2;

/// Runs the program and returns its exit code.
///
/// Called as `htpasswd`, it is that tool, so that an image can offer it under its own name.
pub fn run(arguments: impl IntoIterator<Item = OsString>) -> u8 {
    let arguments: Vec<OsString> = arguments.into_iter().collect();
    // Every command holds a password or a key at some time.
    if let Err(error) = confine::keep_memory_private() {
        say(&format!(
            "warning: this process may leave its memory in a core dump: {error}"
        ));
    }
    if let Some(arguments) = htpasswd_arguments(&arguments) {
        return htpasswd::run(arguments);
    }
    let parsed = match Arguments::try_parse_from(&arguments) {
        Ok(parsed) => parsed,
        Err(error) => {
            // Help and version arrive as errors too, and choose their stream. A closed stream has no reader to tell.
            let _ = error.print();
            return if error.use_stderr() { WRONG } else { DONE };
        }
    };
    let config = parsed.config.as_deref();
    match parsed.command {
        None => serve::run(config),
        Some(Command::Serve { file }) => serve::run(file.as_deref().or(config)),
        Some(Command::Check { file }) => check::run(file.as_deref().or(config)),
        Some(Command::Cert(asked)) => cert::run(config, asked),
        Some(Command::Explain(question)) => explain::run(config, &question),
        Some(Command::Compare(asked)) => compare::run(&asked),
        Some(Command::Doctor(asked)) => doctor::run(&asked),
        Some(Command::Htpasswd { arguments }) => htpasswd::run(&arguments),
        Some(Command::Health { url }) => health::run(config, url.as_deref()),
        Some(Command::Import { from }) => import::run(from),
        Some(Command::Completions { shell }) => completions(shell),
    }
}

/// What follows `htpasswd`, untouched: a password file's user may be called `--help`.
fn htpasswd_arguments(arguments: &[OsString]) -> Option<&[OsString]> {
    let (program, rest) = arguments.split_first()?;
    if Path::new(program)
        .file_name()
        .is_some_and(|name| name == "htpasswd")
    {
        return Some(rest);
    }
    let (command, rest) = rest.split_first()?;
    (command == "htpasswd").then_some(rest)
}

fn completions(shell: Shell) -> u8 {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Arguments::command(), "dockgate", &mut script);
    match io::stdout().write_all(&script) {
        Ok(()) => DONE,
        Err(_) => FAILED,
    }
}

/// Tells the person at the terminal. A closed standard error has nobody to tell it to.
fn say(line: &str) {
    let _ = writeln!(io::stderr().lock(), "{line}");
}

/// Hands over a result.
fn answer(line: &str) {
    let _ = writeln!(io::stdout().lock(), "{line}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_well_formed() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn serve_is_what_happens_without_a_command() {
        let parsed = Arguments::try_parse_from(["dockgate", "--config", "a.toml"]).unwrap();
        assert!(parsed.command.is_none());
        assert_eq!(parsed.config, Some("a.toml".into()));
        let parsed = Arguments::try_parse_from(["dockgate", "check", "-c", "a.toml"]).unwrap();
        assert_eq!(parsed.config, Some("a.toml".into()));
    }

    #[test]
    fn htpasswd_gets_its_arguments_untouched() {
        let call = |words: &[&str]| -> Option<Vec<String>> {
            let words: Vec<OsString> = words.iter().map(OsString::from).collect();
            let rest = htpasswd_arguments(&words)?;
            Some(
                rest.iter()
                    .map(|word| word.to_string_lossy().into_owned())
                    .collect(),
            )
        };
        let expected = Some(vec![
            "-Bbn".to_owned(),
            "--config".to_owned(),
            "x".to_owned(),
        ]);
        assert_eq!(
            call(&["dockgate", "htpasswd", "-Bbn", "--config", "x"]),
            expected
        );
        assert_eq!(
            call(&["/usr/bin/htpasswd", "-Bbn", "--config", "x"]),
            expected
        );
        assert_eq!(call(&["dockgate", "check"]), None);
        assert_eq!(call(&[]), None);
    }
}
