//! `dockgate cert` over a folder of its own, and `openssl` beside it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use tempfile::TempDir;

use super::certs::Pair;
use super::process::{self, Outcome};
use super::program::dockgate;

/// The files of a desk, and what is beside them.
#[derive(Debug)]
pub struct Desk {
    dir: TempDir,
}

/// How a command ended and what it said.
#[derive(Debug)]
pub struct Ran {
    /// The exit code.
    pub code: Option<i32>,
    /// Standard output.
    pub out: String,
    /// Standard error.
    pub err: String,
}

impl Ran {
    /// Fails the test unless the command did what it was asked to.
    #[track_caller]
    pub fn done(self) -> Self {
        assert_eq!(self.code, Some(0), "{self:#?}");
        self
    }

    /// Fails the test unless the command ended with this code and said why.
    #[track_caller]
    pub fn refused(self, code: i32, words: &str) {
        assert_eq!(self.code, Some(code), "{words}: {self:#?}");
        assert!(self.err.contains(words), "no {words:?} in {self:#?}");
        assert_eq!(self.out, "", "nothing was made");
    }

    /// The value of a line `key: value` of standard output.
    #[track_caller]
    pub fn value(&self, key: &str) -> String {
        let mark = format!("{key}: ");
        let line = self.out.lines().find_map(|line| line.strip_prefix(&mark));
        line.unwrap_or_else(|| panic!("no {key} in {self:#?}"))
            .to_owned()
    }
}

impl Desk {
    /// Without a CA: an empty folder.
    pub fn empty() -> Self {
        let dir = TempDir::with_prefix("dockgate-desk-").unwrap();
        fs::create_dir(dir.path().join("pki")).unwrap();
        Self { dir }
    }

    /// With a CA of its own.
    #[track_caller]
    pub fn new() -> Self {
        let desk = Self::empty();
        desk.cert(&["init-ca"]).done();
        desk
    }

    /// Where the folder of the desk is.
    pub fn dir(&self) -> PathBuf {
        self.path("")
    }

    /// A file of the desk.
    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join("pki").join(name)
    }

    /// A place beside the desk.
    pub fn beside(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// The text of a file of the desk.
    #[track_caller]
    pub fn text(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap()
    }

    /// All files of the desk with their bytes, the lock left out.
    #[track_caller]
    pub fn files(&self) -> Vec<(String, Vec<u8>)> {
        let entries = fs::read_dir(self.dir()).unwrap();
        let mut files: Vec<_> = entries
            .map(|entry| entry.unwrap())
            .map(|entry| entry.file_name().into_string().unwrap())
            .filter(|name| name != ".lock")
            .map(|name| {
                let bytes = fs::read(self.path(&name)).unwrap_or_default();
                (name, bytes)
            })
            .collect();
        files.sort();
        files
    }

    /// A command for `dockgate cert` in this folder.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = dockgate();
        command
            .current_dir(self.dir.path())
            .arg("cert")
            .args(arguments)
            .args(["--dir", "pki"]);
        command
    }

    /// `dockgate cert ARGUMENTS`.
    #[track_caller]
    pub fn cert(&self, arguments: &[&str]) -> Ran {
        ran(&mut self.command(arguments))
    }

    /// The certificate and the key of a name.
    pub fn pair(&self, name: &str) -> Pair {
        Pair {
            certificate: self.path(&format!("{name}.crt")),
            key: self.path(&format!("{name}.key")),
        }
    }

    /// `openssl ARGUMENTS` in the folder of the desk.
    #[must_use]
    #[track_caller]
    pub fn openssl(&self, arguments: &str) -> Outcome {
        openssl(&self.dir(), arguments)
    }

    /// `openssl ca ARGUMENTS` over the desk's own index.
    #[must_use]
    #[track_caller]
    pub fn openssl_ca(&self, arguments: &str) -> Outcome {
        let config = "[ca]\ndefault_ca=d\n[d]\ndatabase=index.txt\ncrlnumber=crlnumber\ndefault_md=sha256\n\
                      default_crl_days=30\ndefault_days=30\nnew_certs_dir=.\nrand_serial=yes\npolicy=p\n\
                      certificate=ca.crt\nprivate_key=ca.key\n[p]\ncommonName=supplied\n";
        fs::write(self.beside("ca.cnf"), config).unwrap();
        self.openssl(&format!("ca -config ../ca.cnf -batch {arguments}"))
    }

    /// The serial numbers on the desk's list, as openssl reads it after it has checked the signature.
    #[track_caller]
    pub fn listed(&self) -> Vec<String> {
        self.openssl("crl -in crl.pem -noout -verify -CAfile ca.crt")
            .succeeds("the list is signed by the CA");
        let text = self
            .openssl("crl -in crl.pem -noout -text")
            .succeeds("the list is read")
            .stdout;
        let lines = text.lines();
        lines
            .filter_map(|line| line.trim().strip_prefix("Serial Number: "))
            .map(str::to_owned)
            .collect()
    }
}

/// Runs a command of the program to its end.
#[track_caller]
pub fn ran(command: &mut Command) -> Ran {
    let output = command.output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    Ran {
        code: output.status.code(),
        out: text(output.stdout),
        err: text(output.stderr),
    }
}

/// `openssl ARGUMENTS` in a folder. Keys of 8192 bits take their time.
#[must_use]
#[track_caller]
pub fn openssl(dir: &Path, arguments: &str) -> Outcome {
    let mut command = Command::new("openssl");
    command.current_dir(dir).args(arguments.split_whitespace());
    process::run_within(&mut command, Duration::from_secs(300))
}
