//! The configurations of `examples/`, as they are but for what a test cannot have: paths, ports and host names.

use std::fs;
use std::path::{Path, PathBuf};

/// Where the examples are.
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("examples")
}

/// Every example's folder, by name.
pub fn folders() -> Vec<PathBuf> {
    let mut folders: Vec<PathBuf> = fs::read_dir(root())
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.is_dir())
        .collect();
    folders.sort();
    folders
}

/// The text of `EXAMPLE/FILE` after these replacements. What is to be replaced must be there, exactly once: so a test
/// holds the paths of the example too.
#[track_caller]
pub fn adapted(file: &str, replacements: &[(&str, &str)]) -> String {
    let mut text = fs::read_to_string(root().join(file)).unwrap();
    for (old, new) in replacements {
        let (quoted, new) = (format!("\"{old}\""), format!("\"{new}\""));
        assert_eq!(text.matches(&quoted).count(), 1, "{file}: {quoted}\n{text}");
        text = text.replace(&quoted, &new);
    }
    text
}
