//! What goes on for long, or comes all at once: reloads by the thousand, lists without end, a machine that has nothing
//! left to give, a log that nobody reads, a clock that jumps.

mod clock;
mod descriptors;
mod lists;
mod logs;
mod reloads;
mod soak;

use std::path::{Path, PathBuf};

use crate::support::program::Program;
use crate::support::registry::Registry;

/// Where content is: the registry inside of the gate, or the real one behind it.
enum Backend {
    Embedded,
    /// Over this folder, in place of one of its own.
    Folder(PathBuf),
    Upstream(Registry),
}

impl Backend {
    /// Its table, which is the last one of a configuration.
    fn toml(&self) -> String {
        match self {
            Self::Embedded => "[registry.filesystem]\nrootdirectory = \"store\"\n".to_owned(),
            Self::Folder(root) => format!(
                "[registry.filesystem]\nrootdirectory = \"{}\"\n",
                root.display()
            ),
            Self::Upstream(registry) => format!("[upstream]\nurl = \"{}\"\n", registry.url()),
        }
    }
}

/// The program under another one, such as a shell that sets a limit first.
#[track_caller]
fn start_under(wrapper: &[&str], toml: &str, prepare: impl FnOnce(&Path)) -> Program {
    let program = Program::under(wrapper, toml, prepare);
    program.err_line("listening");
    program
}
