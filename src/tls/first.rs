//! The certificate that dockgate makes itself where the configuration names none.
//!
//! `state_dir/tls` holds `ca.crt`, `ca.key`, `server.crt` and `server.key`. The folder appears whole or not at all, the
//! server certificate is renewed by one rename, and what somebody else put there is never overwritten. Without `ca.key`
//! (an operator may well take it away) a valid server certificate goes on working; it just cannot be renewed.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa,
    Issuer, KeyPair, KeyUsagePurpose,
};
use rustls::pki_types::UnixTime;

use crate::config::CertificateFiles;
use crate::state;

use super::error::{Error, Warning};
use super::file;
use super::x509::{Certificate, unix};

const WHAT: &str = "own certificate";
const DAY: Duration = Duration::from_secs(24 * 3600);
/// Clients are told to trust it once, so it should outlive the machine.
const CA_DAYS: u32 = 3650;
/// With the day before, a day less than the 825 beyond which Apple's clients accept no certificate, of a private CA either.
const SERVER_DAYS: u32 = 823;
/// How long before its end a server certificate is made anew.
const RENEW_DAYS: u32 = 30;

/// The files below `state_dir`, whether they exist or not.
pub(super) fn files(state_dir: &Path) -> CertificateFiles {
    let dir = state_dir.join("tls");
    CertificateFiles {
        certificate: dir.join("server.crt"),
        key: dir.join("server.key"),
    }
}

/// The pair that was made before, if it was; nothing is made.
pub(crate) fn found_own_certificate(state_dir: &Path) -> Option<CertificateFiles> {
    let files = files(state_dir);
    (files.certificate.exists() && files.key.exists()).then_some(files)
}

/// Makes what is missing and renews what ends soon.
pub(super) fn ensure(state_dir: &Path, now: UnixTime) -> Result<CertificateFiles, Error> {
    let dir = state_dir.join("tls");
    let server = files(state_dir);
    let present = |name: &str| dir.join(name).exists();
    let ca = (present("ca.crt"), present("ca.key"));
    match (present("server.crt"), present("server.key")) {
        (false, false) if ca == (false, false) => make_all(state_dir, &dir, now)?,
        (true, true) => {
            if ends_soon(&server.certificate, now)? && ca == (true, true) {
                issue(&dir, now)?;
            }
        }
        (true, false) => {
            return Err(half(&dir, "server.crt", "server.key"));
        }
        // the key comes first when the pair is made, so a crash leaves it alone
        (false, _) => match ca {
            (true, true) => issue(&dir, now)?,
            (true, false) => return Err(half(&dir, "ca.crt", "ca.key")),
            (false, true) => return Err(half(&dir, "ca.key", "ca.crt")),
            (false, false) => return Err(half(&dir, "server.key", "server.crt")),
        },
    }
    Ok(server)
}

/// Takes the keys from the eyes of everybody on the machine, and tells of those that were open to them. Where that fails,
/// whoever reads the key tells.
pub(super) fn withdraw(state_dir: &Path) -> Vec<Warning> {
    let keys = ["ca.key", "server.key"].map(|name| state_dir.join("tls").join(name));
    let open = keys
        .iter()
        .filter(|key| state::withdraw(key).unwrap_or(false));
    open.map(|key| Warning::new(key, "everybody on this machine could read this key; that right is taken away now. If somebody may have used it, remove the folder, so that everything is made anew (clients must then trust the new ca.crt)"))
        .collect()
}

fn half(dir: &Path, there: &str, missing: &str) -> Error {
    Error::file(
        WHAT,
        dir,
        format!(
            "holds {there} and not {missing}: put {missing} back, or remove the folder so that everything is made anew (clients must then trust the new ca.crt)"
        ),
    )
}

fn ends_soon(path: &Path, now: UnixTime) -> Result<bool, Error> {
    let chain = file::certificates(WHAT, path)?;
    let leaf = chain.first().and_then(|der| Certificate::parse(der).ok());
    let leaf = leaf.ok_or_else(|| Error::file(WHAT, path, "cannot be read: remove it"))?;
    Ok(now.as_secs() + (DAY * RENEW_DAYS).as_secs() >= unix(leaf.not_after).as_secs())
}

/// Makes the folder beside its place and moves it there, so that a crash leaves nothing half made.
fn make_all(state_dir: &Path, dir: &Path, now: UnixTime) -> Result<(), Error> {
    let fresh = state_dir.join(".tls.new");
    folder(state_dir)?;
    if fresh.exists() {
        fs::remove_dir_all(&fresh).map_err(make(&fresh))?;
    }
    folder(&fresh)?;
    let key = generate(&fresh)?;
    let name = host_name().unwrap_or_else(|| "localhost".to_owned());
    let params = authority(&format!("dockgate CA of {name}"), now);
    let certificate = params.self_signed(&key).map_err(broken(&fresh))?;
    write(&fresh.join("ca.key"), key.serialize_pem().as_bytes(), 0o600)?;
    write(&fresh.join("ca.crt"), certificate.pem().as_bytes(), 0o644)?;
    issue(&fresh, now)?;
    match fs::rename(&fresh, dir) {
        Ok(()) => state::sync(state_dir).map_err(make(state_dir)),
        // another process was faster: what it made is as good
        Err(_) if dir.join("server.crt").exists() => {
            fs::remove_dir_all(&fresh).map_err(make(&fresh))
        }
        Err(source) => Err(make(dir)(source)),
    }
}

/// Makes the server certificate with the CA of the folder. The server's key is made once and kept.
fn issue(dir: &Path, now: UnixTime) -> Result<(), Error> {
    let ca_path = dir.join("ca.crt");
    let chain = file::certificates(WHAT, &ca_path)?;
    let ca = chain.first().and_then(|der| Certificate::parse(der).ok());
    let ca = ca.ok_or_else(|| Error::file(WHAT, &ca_path, "cannot be read"))?;
    let ca_key = read_key(&dir.join("ca.key"))?;
    let foreign = || {
        Error::file(
            WHAT,
            &ca_path,
            "was not made by dockgate together with ca.key, so no server certificate can be made with it: name your own certificate in the configuration, or remove the folder",
        )
    };
    let name = ca.common_name().ok_or_else(foreign)?;
    let params = authority(&name, now);
    let issuer = Issuer::from_params(&params, &ca_key);

    let key_path = dir.join("server.key");
    let key = if key_path.exists() {
        read_key(&key_path)?
    } else {
        let key = generate(dir)?;
        write(&key_path, key.serialize_pem().as_bytes(), 0o600)?;
        key
    };
    let certificate = server(now)
        .map_err(broken(dir))?
        .signed_by(&key, &issuer)
        .map_err(broken(dir))?;
    let made = Certificate::parse(certificate.der()).map_err(|_| foreign())?;
    if made.issuer != ca.subject || super::judgement::signed_by(&made.signed, ca.key).is_err() {
        return Err(foreign());
    }
    write(&dir.join("server.crt"), certificate.pem().as_bytes(), 0o644)
}

fn authority(name: &str, now: UnixTime) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    dates(&mut params, now, CA_DAYS);
    params
}

fn server(now: UnixTime) -> Result<CertificateParams, rcgen::Error> {
    let host = host_name();
    let mut names: Vec<String> = ["localhost", "127.0.0.1", "::1"].map(str::to_owned).into();
    names.extend(host.clone().filter(|name| name != "localhost"));
    let mut params = CertificateParams::new(names)?;
    params.distinguished_name = DistinguishedName::new();
    let name = host.unwrap_or_else(|| "localhost".to_owned());
    params.distinguished_name.push(DnType::CommonName, name);
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    params.use_authority_key_identifier_extension = true;
    dates(&mut params, now, SERVER_DAYS);
    Ok(params)
}

/// From yesterday on: the clocks of clients are not all right.
fn dates(params: &mut CertificateParams, now: UnixTime, days: u32) {
    let now = SystemTime::UNIX_EPOCH + Duration::from_secs(now.as_secs());
    params.not_before = (now - DAY).into();
    params.not_after = (now + DAY * days).into();
}

/// The machine's own name, where it is a DNS name.
fn host_name() -> Option<String> {
    let name = fs::read_to_string("/proc/sys/kernel/hostname").ok()?;
    let name = name.trim().to_ascii_lowercase();
    // the common name of a certificate holds 64 characters (RFC 5280 appendix A.1)
    let usable = !name.is_empty()
        && name.len() <= 48
        && rustls::pki_types::DnsName::try_from(name.as_str()).is_ok();
    usable.then_some(name)
}

fn generate(dir: &Path) -> Result<KeyPair, Error> {
    KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).map_err(broken(dir))
}

fn read_key(path: &Path) -> Result<KeyPair, Error> {
    let (key, _) = file::key(WHAT, path)?;
    KeyPair::try_from(&key).map_err(|_| {
        Error::file(
            WHAT,
            path,
            "is not a key that certificates can be made with",
        )
    })
}

fn folder(path: &Path) -> Result<(), Error> {
    state::folder(path).map_err(make(path))
}

fn write(path: &Path, bytes: &[u8], mode: u32) -> Result<(), Error> {
    state::write(path, bytes, mode).map_err(make(path))
}

fn make(path: &Path) -> impl FnOnce(io::Error) -> Error {
    let path: PathBuf = path.to_owned();
    move |source| Error::Make { path, source }
}

fn broken(path: &Path) -> impl FnOnce(rcgen::Error) -> Error {
    let path: PathBuf = path.to_owned();
    move |error| Error::file(WHAT, path, format!("could not be made: {error}"))
}
