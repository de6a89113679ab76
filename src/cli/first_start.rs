//! The first start without any configuration: a user, a random password, and what to type next.
//!
//! The password lies in a file for its owner alone and is shown once. It is written before the password file that
//! knows its hash, so that a crash in between leaves nobody locked out: the next start makes both anew.

use std::fmt::Write as _;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

use crate::auth::htpasswd::{MakeError, Recipe, make};
use crate::config::{Config, ListenAddress};
use crate::secret::Secret;
use crate::state;

use super::answer;

/// Who may do everything on a registry that nobody configured.
const USER: &str = "admin";

/// Where the password lies, below `state_dir`.
const PASSWORD_FILE: &str = "admin.password";

/// Letters and digits that nobody mistakes for one another; their number divides 256, so that none is likelier.
const ALPHABET: &[u8; 32] = b"abcdefghijkmnpqrstuvwxyz23456789";

/// Of 32 characters: 120 bits.
const LENGTH: usize = 24;

/// As `htpasswd -B` of this program.
const COST: u32 = 10;

/// Why the first user could not be made.
#[derive(Debug, thiserror::Error)]
pub(super) enum FirstStartError {
    /// The system.
    #[error("{} cannot be made; give state_dir to the user that runs dockgate", .path.display())]
    File {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    /// No random bytes.
    #[error("the system gives no random bytes for a password: {0}")]
    Random(getrandom::Error),
    /// No hash.
    #[error(transparent)]
    Hash(#[from] MakeError),
}

/// Makes the first user where the configuration wants one and the password file is not there yet; shows the password.
pub(super) fn ensure(config: &Config) -> Result<(), FirstStartError> {
    let Some(htpasswd) = wanted(config) else {
        return Ok(());
    };
    let password = password()?;
    let recipe = Recipe::Bcrypt { cost: COST };
    let hash = make(recipe, password.expose())?;
    let mut record = format!("{USER}:").into_bytes();
    record.extend_from_slice(&hash);
    record.push(b'\n');
    let shown = Secret::new([password.expose(), b"\n"].concat());

    let state_dir = &config.state_dir;
    state::folder(state_dir).map_err(failed(state_dir))?;
    let file = state_dir.join(PASSWORD_FILE);
    write(&file, shown.expose())?;
    write(htpasswd, &record)?;
    answer(&format!("user: {USER}"));
    answer(&format!(
        "password: {}",
        String::from_utf8_lossy(password.expose())
    ));
    answer(&format!("(shown once; it also lies in {})", file.display()));
    Ok(())
}

/// The password file that is to be made.
fn wanted(config: &Config) -> Option<&Path> {
    let file = config.auth.htpasswd.as_deref()?;
    (config.first_user && !file.exists()).then_some(file)
}

/// Without a file of users that is still to be made; for commands that make nothing.
pub(super) fn without_making(config: &mut Config) {
    if wanted(config).is_some() {
        config.auth.htpasswd = None;
    }
}

/// What a person types next, where nobody wrote a configuration.
pub(super) fn greet(config: &Config, addresses: &[ListenAddress]) {
    let tcp = addresses.iter().zip(&config.listeners);
    let tcp = tcp.filter(|(_, listener)| !listener.challenges_only);
    let first = tcp.filter_map(|(address, listener)| match address {
        ListenAddress::Tcp(socket) => Some((socket, listener.tls.is_some())),
        ListenAddress::Unix(_) => None,
    });
    let Some((socket, tls)) = first.into_iter().next().filter(|_| config.first_user) else {
        return;
    };
    let host = host(socket);
    let scheme = if tls { "https" } else { "http" };
    let mut text = format!("The registry is ready at {scheme}://{host}. What to type next:\n\n");
    // Writing to a string cannot fail.
    let _ = write!(
        text,
        "  docker login -u {USER} {host}\n  docker tag IMAGE {host}/IMAGE\n  docker push {host}/IMAGE\n"
    );
    let ca = config.state_dir.join("tls").join("ca.crt");
    if tls && ca.exists() {
        let _ = write!(
            text,
            "\nOther machines and other clients trust it with {} as /etc/docker/certs.d/{host}/ca.crt.\n",
            ca.display()
        );
    }
    answer(text.trim_end());
}

/// As a client on this machine calls it.
fn host(socket: &SocketAddr) -> String {
    let port = socket.port();
    match socket.ip() {
        ip if ip.is_loopback() || ip.is_unspecified() => format!("localhost:{port}"),
        IpAddr::V4(ip) => format!("{ip}:{port}"),
        IpAddr::V6(ip) => format!("[{ip}]:{port}"),
    }
}

fn password() -> Result<Secret, FirstStartError> {
    let mut bytes = Zeroizing::new([0; LENGTH]);
    getrandom::fill(&mut *bytes).map_err(FirstStartError::Random)?;
    for byte in bytes.iter_mut() {
        *byte = ALPHABET
            .get(usize::from(*byte) % ALPHABET.len())
            .copied()
            .unwrap_or(b'x');
    }
    Ok(Secret::new(*bytes))
}

fn write(path: &Path, bytes: &[u8]) -> Result<(), FirstStartError> {
    state::write(path, bytes, 0o600).map_err(failed(path))
}

fn failed(path: &Path) -> impl FnOnce(io::Error) -> FirstStartError {
    let path = path.to_owned();
    move |source| FirstStartError::File { path, source }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passwords_are_long_and_never_the_same() {
        let (one, other) = (password().unwrap(), password().unwrap());
        assert_ne!(one, other);
        assert_eq!(one.expose().len(), LENGTH);
        assert!(one.expose().iter().all(|byte| ALPHABET.contains(byte)));
    }

    #[test]
    fn a_client_on_this_machine_calls_it_localhost() {
        for (socket, name) in [
            ("127.0.0.1:5443", "localhost:5443"),
            ("0.0.0.0:443", "localhost:443"),
            ("[::]:443", "localhost:443"),
            ("10.0.0.7:5000", "10.0.0.7:5000"),
            ("[fd00::1]:5000", "[fd00::1]:5000"),
        ] {
            assert_eq!(host(&socket.parse().unwrap()), name);
        }
    }
}
