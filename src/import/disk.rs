//! Files of this machine.

use std::fs::{self, File};
use std::io::{self, Read as _};
use std::path::Path;

use super::include::Files;

/// The file system.
#[derive(Debug)]
pub(crate) struct Disk;

impl Files for Disk {
    fn read(&self, path: &Path, most: u64) -> io::Result<Vec<u8>> {
        // Asked before it is opened: opening a pipe that nobody writes to would wait for ever.
        if !fs::metadata(path)?.is_file() {
            return Err(io::Error::other("is not a regular file"));
        }
        let mut bytes = Vec::new();
        let most = most.saturating_add(1);
        File::open(path)?.take(most).read_to_end(&mut bytes)?;
        Ok(bytes)
    }

    fn list(&self, folder: &Path) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in fs::read_dir(folder)? {
            // A name that is no text cannot be called by a configuration that is.
            names.extend(entry?.file_name().into_string());
        }
        Ok(names)
    }
}
