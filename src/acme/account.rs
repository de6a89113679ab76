//! The account with the authority. Its key is on the disk before the authority hears of it, so that no crash leaves an
//! account behind whose key nobody has.

use std::fs;
use std::path::Path;

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use instant_acme::Account;
use rustls_pki_types::PrivatePkcs8KeyDer;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::config;

use super::authority::Authority;
use super::error::Error;
use super::jws::Signer;
use super::store::{self, Store};

/// A file of one line.
const LARGEST_KEY_FILE: u64 = 64 * 1024;

/// An account as it lies on the disk.
#[derive(Clone, Deserialize, Serialize)]
pub(super) struct Saved {
    /// The key: PKCS#8 in base64url.
    key: String,
    /// The account's URL, once the authority knows the key.
    url: Option<String>,
    /// What the authority was told last.
    #[serde(default)]
    contact: Vec<String>,
}

impl Saved {
    fn der(&self) -> Option<Zeroizing<Vec<u8>>> {
        BASE64_URL_SAFE_NO_PAD
            .decode(&self.key)
            .ok()
            .map(Zeroizing::new)
    }

    /// Whether its key is one.
    pub(super) fn is_whole(&self) -> bool {
        self.der()
            .is_some_and(|der| Signer::from_pkcs8(&der).is_ok())
    }
}

/// The key of an account that the authority knows from elsewhere.
pub(super) struct Binding {
    pub(super) key_id: String,
    pub(super) key: Zeroizing<Vec<u8>>,
}

impl Binding {
    /// Reads the key, where one is configured.
    pub(super) fn load(section: &config::Acme) -> Result<Option<Self>, Error> {
        let Some(external) = &section.external_account else {
            return Ok(None);
        };
        let path = &external.key_file;
        let fault = |fault: String| Error::Binding {
            path: path.clone(),
            fault,
        };
        let text = read(path).map_err(|error| fault(format!("cannot be read: {error}")))?;
        let line = text.lines().next().unwrap_or_default().trim();
        // Some authorities show it in the other alphabet, or padded.
        let line = line
            .trim_end_matches('=')
            .replace('+', "-")
            .replace('/', "_");
        let key = BASE64_URL_SAFE_NO_PAD.decode(&line);
        let key = key.ok().filter(|key| !key.is_empty()).ok_or_else(|| {
            fault(
                "its first line is not base64url; paste the HMAC key as the authority shows it"
                    .to_owned(),
            )
        })?;
        Ok(Some(Self {
            key_id: external.key_id.clone(),
            key: Zeroizing::new(key),
        }))
    }
}

fn read(path: &Path) -> std::io::Result<Zeroizing<String>> {
    let metadata = fs::metadata(path)?;
    if !metadata.is_file() || metadata.len() > LARGEST_KEY_FILE {
        return Err(std::io::Error::other("it is no file of one line"));
    }
    fs::read_to_string(path).map(Zeroizing::new)
}

/// The account with this authority: the one of before, or a new one.
pub(super) async fn open(
    store: &Store,
    authority: &Authority,
    section: &config::Acme,
) -> Result<Account, Error> {
    let binding = {
        let section = section.clone();
        store::blocking(move || Binding::load(&section)).await?
    };
    let saved = if let Some(saved) = store.account().await? {
        saved
    } else {
        let (_, der) = instant_acme::Key::generate_pkcs8().map_err(|e| authority.error(e))?;
        let saved = Saved {
            key: BASE64_URL_SAFE_NO_PAD.encode(der.secret_pkcs8_der()),
            url: None,
            contact: Vec::new(),
        };
        store.save_account(&saved).await?;
        saved
    };
    let der = saved.der().unwrap_or_default();
    let url = if let Some(url) = &saved.url {
        url.clone()
    } else {
        let signer = Signer::from_pkcs8(&der)?;
        let url = authority
            .register(&signer, &section.contact, binding.as_ref())
            .await?;
        let saved = Saved {
            url: Some(url.clone()),
            contact: section.contact.clone(),
            ..saved.clone()
        };
        store.save_account(&saved).await?;
        url
    };
    let account = Account::builder_with_http(Box::new(authority.clone()))
        .from_parts(
            url.clone(),
            PrivatePkcs8KeyDer::from(der.as_slice()),
            authority.directory().to_owned(),
        )
        .await
        .map_err(|e| authority.error(e))?;
    if saved.url.is_some() && saved.contact != section.contact {
        let contact: Vec<&str> = section.contact.iter().map(String::as_str).collect();
        account
            .update_contacts(&contact)
            .await
            .map_err(|e| authority.error(e))?;
        let saved = Saved {
            contact: section.contact.clone(),
            ..saved
        };
        store.save_account(&saved).await?;
    }
    Ok(account)
}

/// The authority knows the account no more; its key is kept, to be registered again.
pub(super) async fn forget(store: &Store) -> Result<(), Error> {
    let Some(saved) = store.account().await? else {
        return Ok(());
    };
    store.save_account(&Saved { url: None, ..saved }).await
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(text: &str) -> Result<Option<Binding>, Error> {
        let folder = tempfile::tempdir().unwrap();
        let key_file = folder.path().join("eab.key");
        fs::write(&key_file, text).unwrap();
        let toml = format!(
            "[acme]\nnames = [\"a.test\"]\naccept_terms = true\neab_key_id = \"id\"\neab_key_file = \"{}\"\n",
            key_file.display()
        );
        let loaded = config::Config::parse(&toml, folder.path(), &[]).unwrap();
        Binding::load(&loaded.config.acme.unwrap())
    }

    #[test]
    fn a_binding_key_is_read_in_every_spelling() {
        for text in ["-_8", "-_8=", "+/8=\n", "  -_8  \r\nmore"] {
            let binding = load(text).unwrap().unwrap();
            assert_eq!(*binding.key, [0xfb, 0xff], "{text:?}");
        }
        for wrong in ["", "\n", "not base64!", "="] {
            assert!(load(wrong).is_err(), "{wrong:?}");
        }
    }
}
