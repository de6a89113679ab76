//! A line from the terminal that nobody sees being typed.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::AsFd;

use rustix::termios::{
    LocalModes, OptionalActions, SpecialCodeIndex, Termios, tcgetattr, tcsetattr,
};
use zeroize::Zeroizing;

use crate::secret::Secret;

/// More than a terminal hands over in one line.
const MAX_LINE: usize = 4096;

/// Asks on the terminal, wherever standard input and output go; without a terminal, on standard error and input.
/// `None` when the person interrupts, and at the end of the input.
///
/// # Errors
/// The terminal cannot be read.
pub(super) fn read(prompt: &str) -> io::Result<Option<Secret>> {
    if let Ok(terminal) = File::options().read(true).write(true).open("/dev/tty") {
        return from_terminal(&terminal, prompt);
    }
    write!(io::stderr().lock(), "{prompt}")?;
    // Not through the buffer of `stdin`, which would be read ahead and keep a copy.
    line(&mut &stdin_file()?, None)
}

fn stdin_file() -> io::Result<File> {
    Ok(File::from(io::stdin().as_fd().try_clone_to_owned()?))
}

fn from_terminal(mut terminal: &File, prompt: &str) -> io::Result<Option<Secret>> {
    let silence = Silence::begin(terminal)?;
    terminal.write_all(prompt.as_bytes())?;
    let line = line(&mut terminal, Some(silence.interrupt));
    drop(silence);
    terminal.write_all(b"\n")?;
    line
}

/// Reads byte by byte up to the line feed, so that what follows is left for the next question.
fn line(input: &mut impl Read, interrupt: Option<u8>) -> io::Result<Option<Secret>> {
    let mut line = Zeroizing::new(Vec::with_capacity(MAX_LINE));
    let mut byte = [0];
    loop {
        match input.read(&mut byte) {
            Ok(0) if line.is_empty() => return Ok(None),
            Ok(0) => break,
            Ok(_) if byte == *b"\n" => break,
            Ok(_) if Some(byte[0]) == interrupt => return Ok(None),
            Ok(_) if line.len() == MAX_LINE => return Err(io::ErrorKind::InvalidInput.into()),
            Ok(_) => line.push(byte[0]),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    let text = line.strip_suffix(b"\r").unwrap_or(&line);
    Ok(Some(Secret::new(text)))
}

/// While it lives, the terminal does not show what is typed, and Ctrl-C is a byte that ends the line: as a signal it
/// would end us and leave the terminal mute.
struct Silence<'a> {
    terminal: &'a File,
    before: Termios,
    interrupt: u8,
}

impl<'a> Silence<'a> {
    fn begin(terminal: &'a File) -> io::Result<Self> {
        let before = tcgetattr(terminal)?;
        let interrupt = before.special_codes[SpecialCodeIndex::VINTR];
        let mut silent = before.clone();
        silent
            .local_modes
            .remove(LocalModes::ECHO | LocalModes::ISIG);
        silent.special_codes[SpecialCodeIndex::VEOL] = interrupt;
        tcsetattr(terminal, OptionalActions::Flush, &silent)?;
        Ok(Self {
            terminal,
            before,
            interrupt,
        })
    }
}

impl Drop for Silence<'_> {
    fn drop(&mut self) {
        // A terminal that has gone needs no setting back.
        let _ = tcsetattr(self.terminal, OptionalActions::Flush, &self.before);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_line(mut input: &[u8]) -> Option<Vec<u8>> {
        let line = line(&mut input, Some(3)).unwrap();
        line.map(|secret| secret.expose().to_vec())
    }

    #[test]
    fn a_line_ends_at_its_line_feed_and_an_interrupt_ends_the_question() {
        assert_eq!(read_line(b"secret\nsecret\n"), Some(b"secret".to_vec()));
        assert_eq!(read_line(b"secret\r\n"), Some(b"secret".to_vec()));
        assert_eq!(read_line(b"\n"), Some(Vec::new()));
        assert_eq!(read_line(b"secret"), Some(b"secret".to_vec()));
        assert_eq!(read_line(b"sec\x03"), None);
        assert_eq!(read_line(b""), None);
    }
}
