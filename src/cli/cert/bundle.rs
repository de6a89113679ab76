//! `dockgate cert bundle`: written where it is wanted, with a word on where it goes from there.

use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use crate::pki::Bundle;
use crate::pki::Error;
use crate::pki::Format;
use crate::pki::Output;
use crate::pki::Piece;
use crate::pki::Target;
use crate::pki::server_ca;

use super::super::line::cert::{BundleArguments, BundleFormat};
use super::super::{answer, say};
use super::Where;

pub(super) fn run(desk: &Where, asked: &BundleArguments) -> Result<(), Error> {
    let target = Target::new(&asked.host, asked.port, asked.address)?;
    let ca = match (&asked.server_ca, asked.no_server_ca) {
        (_, true) => None,
        (Some(named), _) => Some(named.clone()),
        (None, _) => Some(server_ca(&desk.place, &target, desk.state_dir.as_deref())),
    };
    let authority = target.authority();
    let bundle = Bundle::load(&desk.place, &asked.client, ca.as_deref(), target)?;
    match bundle.output(asked.format.into()) {
        Output::Tree(pieces) => {
            let out = asked.out.clone().unwrap_or_else(|| PathBuf::from("."));
            write(&out, &pieces, asked.force)?;
        }
        Output::Document(piece) => match &asked.out {
            Some(out) => write(out, &[piece], asked.force)?,
            None => print(&piece)?,
        },
    }
    if let Some(warning) = bundle.warning() {
        say(&format!("warning: {warning}"));
    }
    match ca {
        Some(ca) => say(&format!(
            "the CA of the registry's own certificate is taken from {}; --server-ca names another one",
            ca.display()
        )),
        None => say(
            "without a CA: the registry's own certificate has to be one that every machine trusts",
        ),
    }
    say(&advice(asked, &authority));
    Ok(())
}

/// All files, unless one of them would be lost.
fn write(out: &Path, pieces: &[Piece], force: bool) -> Result<(), Error> {
    let mut missing = Vec::new();
    for piece in pieces {
        let path = out.join(&piece.path);
        match fs::read(&path) {
            Ok(there) if there == piece.text.as_bytes() => {}
            Ok(_) if !force => {
                return Err(Error::Asked(format!(
                    "{} is there already and differs, and nothing was changed: --force writes over it, --out names another folder",
                    path.display()
                )));
            }
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(Error::system(&path, "read")(error));
            }
            Ok(_) | Err(_) => missing.push((path, piece)),
        }
    }
    for (path, piece) in missing {
        piece.write(&path)?;
    }
    for piece in pieces {
        answer(&format!("file: {}", out.join(&piece.path).display()));
    }
    Ok(())
}

fn print(piece: &Piece) -> Result<(), Error> {
    let mut out = io::stdout().lock();
    out.write_all(piece.text.as_bytes())
        .and_then(|()| out.flush())
        .map_err(Error::system(Path::new("standard output"), "written"))
}

fn advice(asked: &BundleArguments, authority: &str) -> String {
    match asked.format {
        BundleFormat::Docker => format!(
            "copy certs.d to /etc/docker/ of each machine; docker reads it at each request ({authority})"
        ),
        BundleFormat::Podman => format!(
            "copy certs.d to /etc/containers/ of each machine, or to ~/.config/containers/ of one person ({authority})"
        ),
        BundleFormat::Containerd => format!(
            "copy certs.d to /etc/containerd/ of each machine, which reads it where config_path in config.toml names it; `ctr images pull --hosts-dir` and nerdctl read it as it is ({authority})"
        ),
        BundleFormat::Script => {
            "run it as root on each machine; it holds a private key, so remove it afterwards".to_owned()
        }
        BundleFormat::CloudInit => {
            "give it to new machines as user data; it holds a private key, and whoever can read the user data has it"
                .to_owned()
        }
        BundleFormat::Kubernetes => {
            "apply it with `kubectl apply -f`; it holds a private key".to_owned()
        }
    }
}

impl From<BundleFormat> for Format {
    fn from(format: BundleFormat) -> Self {
        match format {
            BundleFormat::Docker => Self::Docker,
            BundleFormat::Podman => Self::Podman,
            BundleFormat::Containerd => Self::Containerd,
            BundleFormat::Script => Self::Script,
            BundleFormat::CloudInit => Self::CloudInit,
            BundleFormat::Kubernetes => Self::Kubernetes,
        }
    }
}
