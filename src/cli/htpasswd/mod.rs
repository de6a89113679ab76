//! `dockgate htpasswd`: makes and changes password files, with the options, texts and exit codes of Apache's tool.
//!
//! Scripts and hands know that tool, so this one differs only where it would otherwise do harm: bcrypt of cost 10 is
//! made by default (Apache: `$apr1$`; and 5 for `-B`), because it is the one format that every registry and proxy
//! reads and hash cost is paid once per push here; what `dockgate serve` would refuse is not written; `-p` writes
//! `{PLAIN}`, which nginx and dockgate read; files are changed atomically and keep every other byte.

mod file;
mod options;

use std::ffi::OsString;
use std::fmt;
use std::io::{self, Read, Write};
use std::path::Path;

use zeroize::Zeroizing;

use crate::auth::htpasswd::{Hash, MAX_PASSWORD, MakeError, Problem, make, name_problem};
use crate::secret::Secret;

use super::line::USAGE;
use super::prompt;
use file::{FileError, PasswordFile};
use options::{Action, Options, Source};

/// What Apache's tool exits with.
mod code {
    pub(super) const OK: u8 = 0;
    pub(super) const FILE: u8 = 1;
    pub(super) const SYNTAX: u8 = 2;
    pub(super) const MISMATCH: u8 = 3;
    pub(super) const INTERRUPTED: u8 = 4;
    pub(super) const TOO_LONG: u8 = 5;
    pub(super) const USER: u8 = 6;
    pub(super) const INVALID_FILE: u8 = 7;
}

/// Why nothing was changed.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error("{0}")]
    Options(#[from] options::Fault),
    #[error("{0}")]
    File(#[from] FileError),
    #[error("password verification error")]
    Differ,
    #[error("password verification failed")]
    Wrong,
    #[error("the line of user {user} cannot be used: {problem}")]
    Unusable {
        user: String,
        #[source]
        problem: Problem,
    },
    #[error("interrupted, nothing was changed")]
    Interrupted,
    #[error("cannot read the password: {0}")]
    Input(#[source] io::Error),
    #[error("cannot write the result: {0}")]
    Output(#[source] io::Error),
    #[error("password too long (> {MAX_PASSWORD} bytes)")]
    TooLong,
    #[error("{}", with_cause(.0))]
    Make(#[from] MakeError),
    #[error("username contains illegal character ':'")]
    Colon,
    #[error("username begins with '#', which would make its line a comment")]
    Comment,
    #[error("{0}")]
    Name(Problem),
    #[error("User {0} not found")]
    NotFound(String),
}

impl Failure {
    fn code(&self) -> u8 {
        match self {
            Self::File(FileError::Invalid { .. }) => code::INVALID_FILE,
            Self::File(_)
            | Self::Output(_)
            | Self::Make(MakeError::Random(_) | MakeError::Bcrypt(_)) => code::FILE,
            Self::Differ | Self::Wrong | Self::Unusable { .. } => code::MISMATCH,
            Self::Interrupted | Self::Input(_) => code::INTERRUPTED,
            Self::TooLong
            | Self::Name(Problem::NameTooLong)
            | Self::Make(MakeError::TooLong { .. }) => code::TOO_LONG,
            Self::Options(_) | Self::Make(_) => code::SYNTAX,
            Self::Colon | Self::Comment | Self::Name(_) | Self::NotFound(_) => code::USER,
        }
    }
}

fn with_cause(error: &dyn std::error::Error) -> String {
    match error.source() {
        Some(cause) => format!("{error}: {cause}"),
        None => error.to_string(),
    }
}

/// Runs the tool over what follows `htpasswd` on the command line; returns the exit code.
pub(crate) fn run(arguments: &[OsString]) -> u8 {
    if matches!(arguments, [only] if only == "--help" || only == "-h") {
        return match writeln!(io::stdout().lock(), "{USAGE}") {
            Ok(()) => code::OK,
            Err(_) => code::FILE,
        };
    }
    let done = Options::parse(arguments)
        .map_err(Failure::from)
        .and_then(|options| {
            for note in &options.notes {
                tell(note);
            }
            act(&options)
        });
    let Err(failure) = done else { return code::OK };
    match &failure {
        Failure::Options(options::Fault::Usage) => tell(USAGE),
        Failure::Options(fault) if fault.shows_usage() => {
            tell(format_args!("htpasswd: {failure}\n{USAGE}"));
        }
        Failure::Wrong | Failure::Differ | Failure::NotFound(_) => tell(&failure),
        _ => tell(format_args!("htpasswd: {failure}")),
    }
    failure.code()
}

/// One line for the person at the terminal.
fn tell(line: impl fmt::Display) {
    // Where standard error is closed, the exit code is all that is left to say.
    drop(writeln!(io::stderr().lock(), "{line}"));
}

fn act(options: &Options) -> Result<(), Failure> {
    check_name(&options.user)?;
    match (&options.action, &options.path) {
        (Action::Create, Some(path)) => create(path, options),
        (Action::Update, Some(path)) => update(path, options),
        (Action::Delete, Some(path)) => delete(path, options),
        (Action::Verify, Some(path)) => verify(path, options),
        (_, None) => print(options),
        (Action::Print, Some(_)) => Err(options::Fault::Usage.into()),
    }
}

/// What `dockgate serve` would not take as a user's line is not written.
fn check_name(user: &[u8]) -> Result<(), Failure> {
    if user.contains(&b':') {
        return Err(Failure::Colon);
    }
    if user.trim_ascii_start().starts_with(b"#") {
        return Err(Failure::Comment);
    }
    match name_problem(user) {
        Some(problem) => Err(Failure::Name(problem)),
        None => Ok(()),
    }
}

fn create(path: &Path, options: &Options) -> Result<(), Failure> {
    // Before a person types a password twice for nothing.
    file::check_creatable(path)?;
    let record = record(options)?;
    tell(format_args!("Adding password for user {}", name(options)));
    file::replace(path, &[&record[..], b"\n"].concat())?;
    Ok(())
}

fn update(path: &Path, options: &Options) -> Result<(), Failure> {
    drop(PasswordFile::open(path)?);
    let record = record(options)?;
    // Locked after the password was typed, so that a forgotten prompt holds up nobody.
    let file = PasswordFile::open(path)?;
    let (text, found) = file.with_record(&options.user, &record);
    let doing = if found { "Updating" } else { "Adding" };
    tell(format_args!("{doing} password for user {}", name(options)));
    file.write(&text)?;
    Ok(())
}

fn delete(path: &Path, options: &Options) -> Result<(), Failure> {
    let file = PasswordFile::open(path)?;
    let (text, found) = file.without(&options.user);
    let name = name(options);
    if !found {
        // Not a failure, as in Apache's tool: the user is gone either way.
        tell(format_args!("User {name} not found"));
        return Ok(());
    }
    tell(format_args!("Deleting password for user {name}"));
    file.write(&text)?;
    Ok(())
}

fn verify(path: &Path, options: &Options) -> Result<(), Failure> {
    let file = PasswordFile::open(path)?;
    let name = name(options);
    let Some(text) = file.hash_of(&options.user) else {
        if matches!(options.source, Source::Stdin) {
            // A program is writing it, and must not find the pipe closed. A person need not type it in vain.
            drop(password(options)?);
        }
        return Err(Failure::NotFound(name));
    };
    let password = password(options)?;
    let user = name.clone();
    let hash = Hash::parse(text).map_err(|problem| Failure::Unusable { user, problem })?;
    if !hash.matches(password.expose()) {
        return Err(Failure::Wrong);
    }
    tell(format_args!("Password for user {name} correct."));
    Ok(())
}

/// The line and an empty one, as Apache's tool prints them.
fn print(options: &Options) -> Result<(), Failure> {
    let record = record(options)?;
    let line = [&record[..], b"\n\n"].concat();
    let mut out = io::stdout().lock();
    out.write_all(&line)
        .and_then(|()| out.flush())
        .map_err(Failure::Output)
}

/// The user name for a person to read.
fn name(options: &Options) -> String {
    String::from_utf8_lossy(&options.user).into_owned()
}

/// `NAME:HASH`
fn record(options: &Options) -> Result<Vec<u8>, Failure> {
    let password = password(options)?;
    if let Some(note) = options.recipe_note(password.expose().len()) {
        tell(note);
    }
    let hash = make(options.recipe, password.expose())?;
    Ok([&options.user[..], b":", &hash].concat())
}

fn password(options: &Options) -> Result<Secret, Failure> {
    let password = match &options.source {
        Source::Argument(password) => password.clone(),
        Source::Stdin => from_stdin()?,
        Source::Prompt if options.action == Action::Verify => ask("Enter password: ")?,
        Source::Prompt => {
            let first = ask("New password: ")?;
            let second = ask("Re-type new password: ")?;
            if first != second {
                return Err(Failure::Differ);
            }
            first
        }
    };
    if password.expose().len() > MAX_PASSWORD {
        return Err(Failure::TooLong);
    }
    Ok(password)
}

fn ask(prompt: &str) -> Result<Secret, Failure> {
    let line = prompt::read(prompt).map_err(Failure::Input)?;
    line.ok_or(Failure::Interrupted)
}

/// All of standard input, without the one line end that `echo` adds.
fn from_stdin() -> Result<Secret, Failure> {
    let mut bytes = Zeroizing::new(Vec::with_capacity(MAX_PASSWORD + 3));
    io::stdin()
        .lock()
        .take(MAX_PASSWORD as u64 + 3)
        .read_to_end(&mut bytes)
        .map_err(Failure::Input)?;
    let line = bytes.strip_suffix(b"\n").unwrap_or(&bytes);
    Ok(Secret::new(line.strip_suffix(b"\r").unwrap_or(line)))
}
