//! What `compare` and `doctor` need before they can ask: a password, files, addresses, a runtime.

use std::env;
use std::fs::File;
use std::future::Future;
use std::io::{self, Read as _};
use std::path::Path;

use zeroize::Zeroizing;

use crate::config::CertificateFiles;
use crate::oci::RepositoryName;
use crate::probe::{Credentials, Route, Target};
use crate::secret::Secret;
use crate::telemetry::chain;
use crate::tls::{ClientTls, client_config};

use super::line::access::Access;
use super::prompt;

/// Longer passwords are none.
const PASSWORD: u64 = 4096;

/// The user with the password, if a user was named.
pub(super) fn credentials(access: &Access) -> Result<Option<Credentials>, String> {
    let Some(user) = &access.user else {
        return Ok(None);
    };
    if user.is_empty() || user.contains(':') {
        return Err(format!(
            "--user {user:?}: a user name is not empty and has no colon"
        ));
    }
    let password = match &access.password_file {
        Some(path) => from_file(path)?,
        None => prompt::read(&format!("Password of {user}: "))
            .map_err(|fault| format!("the password cannot be read: {fault}; give --password-file"))?
            .ok_or("no password was typed; nothing was asked")?,
    };
    Ok(Some(Credentials {
        user: user.clone(),
        password,
    }))
}

/// The first line.
fn from_file(path: &Path) -> Result<Secret, String> {
    let mut bytes = Zeroizing::new(Vec::new());
    File::open(path)
        .and_then(|file| file.take(PASSWORD + 2).read_to_end(&mut bytes))
        .map_err(|fault| format!("password file {}: cannot be read: {fault}", path.display()))?;
    let line = bytes
        .split(|byte| *byte == b'\n')
        .next()
        .unwrap_or_default();
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    if line.is_empty() {
        return Err(format!(
            "password file {}: its first line is empty",
            path.display()
        ));
    }
    Ok(Secret::new(line))
}

/// The client certificate, if one was named.
pub(super) fn certificate(access: &Access) -> Option<CertificateFiles> {
    let (certificate, key) = access.client_cert.clone().zip(access.client_key.clone())?;
    Some(CertificateFiles { certificate, key })
}

/// TLS with what was named.
pub(super) fn tls(access: &Access) -> Result<ClientTls, Vec<String>> {
    client_config(access.ca.as_deref(), certificate(access).as_ref())
        .map_err(|faults| faults.iter().map(|fault| chain(fault)).collect())
}

/// A registry's address, and the one to connect to in its place.
pub(super) fn target(
    url: &str,
    instead: Option<&str>,
) -> Result<(Target, Option<(String, u16)>), String> {
    let target = Target::parse(url).map_err(|fault| fault.to_string())?;
    let Some(instead) = instead else {
        return Ok((target, None));
    };
    let wrong = |_| format!("{instead:?} is no address to connect to; write HOST or HOST:PORT");
    if instead.contains("://") {
        return Err(format!(
            "{instead:?} is no address to connect to; write HOST or HOST:PORT"
        ));
    }
    let place = Target::parse(&format!("{}://{instead}", target.scheme.as_str())).map_err(wrong)?;
    let has_port = instead
        .rsplit(']')
        .next()
        .is_some_and(|end| end.contains(':'));
    let port = if has_port { place.port } else { target.port };
    Ok((target, Some((place.host, port))))
}

/// A repository's name.
pub(super) fn repository(name: &str) -> Result<RepositoryName, String> {
    RepositoryName::parse(name).map_err(|fault| format!("repository {name:?}: {fault}"))
}

/// What the environment says of proxies. A connection to an address that was named goes there.
pub(super) fn route(target: &Target, instead: bool) -> Route {
    if instead {
        return Route::Direct;
    }
    Route::read(target, |name| env::var(name).ok())
}

/// Runs it to its end; what still looks up a name then is not waited for.
pub(super) fn block_on<T>(future: impl Future<Output = T>) -> io::Result<T> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let done = runtime.block_on(future);
    runtime.shutdown_background();
    Ok(done)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_in_the_place_of_another_has_the_same_port_unless_it_says_so() {
        for (instead, place) in [
            ("10.0.0.5", ("10.0.0.5", 444)),
            ("10.0.0.5:443", ("10.0.0.5", 443)),
            ("[::1]", ("::1", 444)),
            ("[::1]:5443", ("::1", 5443)),
        ] {
            let (_, found) = target("https://r.example:444", Some(instead)).unwrap();
            assert_eq!(found, Some((place.0.to_owned(), place.1)), "{instead}");
        }
        assert!(target("https://r.example", Some("https://10.0.0.5")).is_err());
    }
}
