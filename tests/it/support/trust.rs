//! What a machine's administrator puts under `/etc/docker/certs.d/HOST:PORT`: docker, podman, buildah and skopeo
//! all look there, at each request.

use std::fs;
use std::path::Path;

use super::certs::Pair;
use super::process::Daemon;

const CERTS_D: &str = "/etc/docker/certs.d";

/// The folder of one front; it goes with the test.
#[derive(Debug)]
pub struct Trust(Daemon);

impl Trust {
    /// An empty folder for `HOST:PORT`: no CA but those of the system, no client certificate.
    pub fn new(address: &str) -> Self {
        let dir = Path::new(CERTS_D).join(address);
        // There may be one of an old run that was cut off together with its guardian.
        let _ = fs::remove_dir_all(&dir);
        fs::create_dir_all(CERTS_D).unwrap();
        let dir = tempfile::Builder::new()
            .prefix(address)
            .rand_bytes(0)
            .tempdir_in(CERTS_D)
            .unwrap();
        Self(Daemon::start::<&str>(dir, &[]))
    }

    /// Trusts this CA.
    pub fn add_ca(&self, ca: &Path) {
        fs::copy(ca, self.0.dir().join("ca.crt")).unwrap();
    }

    /// Shows this client certificate. The ending matters: a `.crt` would be a CA.
    pub fn add_client(&self, pair: &Pair) {
        fs::copy(&pair.certificate, self.0.dir().join("client.cert")).unwrap();
        fs::copy(&pair.key, self.0.dir().join("client.key")).unwrap();
    }
}
