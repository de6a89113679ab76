//! What is wrong between here and a registry, layer by layer, the way a client meets them.
//!
//! What is told as failed is a cause: what follows from it is skipped, and says so. Nothing is left behind: the one upload
//! that is begun is cancelled.

mod certificate;
mod clients;
mod clock;
mod encryption;
mod login;
mod network;
mod registry;
mod upload;

use std::path::PathBuf;

use crate::config::CertificateFiles;
use crate::oci::RepositoryName;

use super::login::Credentials;
use super::proxy::Route;
use super::target::Target;

/// What is to be examined, and with what.
#[derive(Debug)]
pub(crate) struct Patient {
    /// The registry.
    pub target: Target,
    /// Where to connect to in its place.
    pub instead: Option<(String, u16)>,
    /// What the environment says of proxies.
    pub route: Route,
    /// The CAs to trust, in the place of the machine's.
    pub ca: Option<PathBuf>,
    /// A client certificate.
    pub certificate: Option<CertificateFiles>,
    /// A user.
    pub credentials: Option<Credentials>,
    /// Where an upload is begun, which is then cancelled.
    pub repository: RepositoryName,
    /// Where the files of the clients are: `/`, but for tests.
    pub root: PathBuf,
}

/// How one layer is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Status {
    /// As it should be.
    Ok,
    /// It is what fails.
    Failed,
    /// It was not looked at.
    Skipped,
}

/// One layer, and what was found.
#[derive(Clone, Debug)]
pub(crate) struct Check {
    /// The layer.
    pub layer: &'static str,
    /// How it is.
    pub status: Status,
    /// What was found, and what to do if it failed; one line.
    pub text: String,
}

/// All layers, in the order in which a client meets them.
#[derive(Debug, Default)]
pub(crate) struct Diagnosis {
    /// Each layer that was looked at, or not.
    pub checks: Vec<Check>,
}

/// The layers, in order.
const LAYERS: [&str; 19] = [
    "proxy",
    "dns",
    "tcp",
    "protocol",
    "tls",
    "certificate name",
    "certificate chain",
    "ca",
    "clock",
    "certificate dates",
    "client certificate",
    "registry",
    "version header",
    "challenge",
    "realm",
    "credentials",
    "anonymous",
    "location",
    "body limit",
];

impl Diagnosis {
    /// The first layer that fails.
    pub(crate) fn verdict(&self) -> Option<&Check> {
        self.checks
            .iter()
            .find(|check| check.status == Status::Failed)
    }

    fn note(&mut self, layer: &'static str, status: Status, text: impl Into<String>) {
        let text = text.into();
        self.checks.push(Check {
            layer,
            status,
            text,
        });
    }

    fn ok(&mut self, layer: &'static str, text: impl Into<String>) {
        self.note(layer, Status::Ok, text);
    }

    fn failed(&mut self, layer: &'static str, text: impl Into<String>) {
        self.note(layer, Status::Failed, text);
    }

    fn skipped(&mut self, layer: &'static str, text: impl Into<String>) {
        self.note(layer, Status::Skipped, text);
    }

    /// Says of every layer that has no check yet that it was not reached, and puts them in order.
    fn finish(mut self) -> Self {
        let failed = self.verdict().map(|check| check.layer);
        for layer in LAYERS {
            if !self.checks.iter().any(|check| check.layer == layer) {
                let text = match failed {
                    Some(failed) => format!("not reached: {failed} fails"),
                    None => "not reached".to_owned(),
                };
                self.skipped(layer, text);
            }
        }
        let place = |check: &Check| LAYERS.iter().position(|layer| *layer == check.layer);
        self.checks.sort_by_key(place);
        self
    }
}

/// Looks at every layer.
///
/// # Errors
/// A file that was named cannot be used.
pub(crate) async fn examine(patient: &Patient) -> Result<Diagnosis, Vec<String>> {
    let mut diagnosis = Diagnosis::default();
    if let Some(wire) = network::examine(patient, &mut diagnosis).await
        && let Some(wire) = encryption::examine(patient, wire, &mut diagnosis).await?
        && let Some(entrance) = registry::examine(patient, &wire, &mut diagnosis).await
    {
        upload::examine(patient, &wire, &entrance, &mut diagnosis).await;
    }
    Ok(diagnosis.finish())
}
