//! What holds of every configuration of nginx.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use crate::config::Config;

use super::{Files, Request, nginx};

const MAIN: &str = "/etc/nginx/nginx.conf";

/// Files that exist nowhere else.
struct Written(BTreeMap<PathBuf, Vec<u8>>);

impl Files for Written {
    fn read(&self, path: &Path, most: u64) -> io::Result<Vec<u8>> {
        let most = usize::try_from(most).map_or(usize::MAX, |most| most.saturating_add(1));
        let bytes = self.0.get(path).ok_or(io::ErrorKind::NotFound)?;
        Ok(bytes.iter().take(most).copied().collect())
    }

    fn list(&self, folder: &Path) -> io::Result<Vec<String>> {
        let names = self.0.keys().filter(|path| path.parent() == Some(folder));
        let names = names.filter_map(|path| path.file_name()?.to_str());
        Ok(names.map(str::to_owned).collect())
    }
}

/// `nginx.conf`, and behind a line of `=== PATH` another file: what is written is accepted, every line has its fate in
/// one line, and what needs no consent comes out the same with it.
pub(crate) fn files(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let mut parts = text.split("\n=== ");
    let mut files = BTreeMap::new();
    let main = parts.next().unwrap_or_default();
    // As it came: not every file is UTF-8.
    let main = data.get(..main.len()).filter(|_| text.len() == data.len());
    files.insert(MAIN.into(), main.unwrap_or(data).to_vec());
    for part in parts.take(8) {
        let (path, text) = part.split_once('\n').unwrap_or((part, ""));
        files.insert(Path::new("/etc/nginx").join(path), text.into());
    }
    let files = Written(files);
    let mut request = Request {
        files: vec![MAIN.into()],
        ..Request::default()
    };
    let strict = nginx(&files, &request);
    request.partial = true;
    let partial = nginx(&files, &request);
    for result in [&strict, &partial] {
        match result {
            Ok(imported) => {
                let read = Config::parse(&imported.text, Path::new("/"), &[]);
                assert!(read.is_ok_and(|read| read.warnings == imported.warnings));
                for entry in &imported.entries {
                    let line = entry.to_string();
                    assert!(!line.contains(char::is_control), "{line:?}");
                    assert!(imported.text.contains(&line), "{line}");
                }
                for note in &imported.notes {
                    assert!(!note.contains(char::is_control), "{note:?}");
                }
            }
            Err(faults) => {
                assert!(!faults.is_empty());
                for fault in faults {
                    let line = fault.to_string();
                    assert!(!line.contains(char::is_control), "{line:?}");
                }
            }
        }
    }
    if let Ok(strict) = strict {
        assert!(partial.is_ok_and(|partial| partial.text == strict.text));
    }
}
