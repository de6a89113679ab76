//! The keys of tokens: the one that signs, those that are believed beside it, and those of before.
//!
//! `state_dir/token.key` is made at first start unless the configuration names a file. `state_dir/token-previous` holds
//! the public keys of the tokens that may still be about, one file each, named by key id: `in-use: LIFETIME` for a key
//! that signs, `until: TIME` for one that was replaced, even while no gate was running.

use std::fs::{self, File};
use std::io::{self, Read as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use jsonwebtoken::{DecodingKey, EncodingKey};
use rustls_pki_types::pem::{PemObject as _, SectionKind};
use sha2::{Digest as _, Sha256};
use zeroize::Zeroizing;

use crate::config;
use crate::state;

use super::super::{Error, Warning};
use super::GRACE;

/// A key or a few of them.
const MAX_FILE: u64 = 64 * 1024;
/// A `SubjectPublicKeyInfo` of P-256 up to the point (RFC 5480 section 2).
const SPKI: [u8; 26] = [
    0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a,
    0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00,
];
/// An uncompressed point.
const POINT: usize = 65;
/// More files than keys were ever changed within a day.
const MAX_PREVIOUS: usize = 16;

/// What tokens are signed with and believed by.
#[derive(Clone)]
pub(super) struct Keys {
    pub(super) kid: String,
    pub(super) signing: EncodingKey,
    /// The signing key's own public half first.
    believed: Vec<Believed>,
}

#[derive(Clone)]
struct Believed {
    kid: String,
    point: Vec<u8>,
    key: DecodingKey,
    /// Seconds since 1970; `None`: for ever.
    until: Option<u64>,
}

impl Keys {
    /// Reads the keys, and makes the one that is to be made. Those of `before` stay believed for as long as their tokens
    /// may live.
    pub(super) fn load(
        settings: &config::Token,
        state_dir: &Path,
        before: Option<&Self>,
        now: u64,
    ) -> Result<(Self, Vec<Warning>), Error> {
        let path = file(settings, state_dir);
        if settings.signing_key.is_none() && !path.exists() {
            make(&path)?;
        }
        // What we made ourselves we set right ourselves; where that fails, and of any other key, `read` tells.
        let withdrawn = settings.signing_key.is_none() && state::withdraw(&path).unwrap_or(false);
        let (mut keys, mut warnings) = read(&path)?;
        if withdrawn {
            warnings.push(Warning::KeyWasExposed { path });
        }
        let gone = now + settings.lifetime.as_secs() + GRACE;
        for old in before.into_iter().flat_map(|before| &before.believed) {
            let until = old.until.unwrap_or(gone);
            keys.believe(&old.point, Some(until));
        }
        let folder = state_dir.join("token-previous");
        if let Err(source) = keys.remember(&folder, settings, now) {
            let path = folder;
            warnings.push(Warning::Previous {
                path,
                why: source.to_string(),
            });
        }
        Ok((keys, warnings))
    }

    /// The key of this id, if it is still believed.
    pub(super) fn find(&self, kid: &str, now: u64) -> Option<&DecodingKey> {
        let found = self.believed.iter().find(|believed| believed.kid == kid)?;
        found
            .until
            .is_none_or(|until| now <= until)
            .then_some(&found.key)
    }

    fn believe(&mut self, point: &[u8], until: Option<u64>) {
        let kid = thumbprint(point);
        if self.believed.iter().all(|known| known.kid != kid) {
            self.believed.push(Believed {
                kid,
                key: DecodingKey::from_ec_der(point),
                point: point.to_vec(),
                until,
            });
        }
    }

    /// Takes up the keys of before that the folder knows, and writes down which there are now.
    fn remember(&mut self, folder: &Path, settings: &config::Token, now: u64) -> io::Result<()> {
        state::folder(folder)?;
        let mine: Vec<String> = self.believed.iter().map(|b| b.kid.clone()).collect();
        for entry in fs::read_dir(folder)?.take(MAX_PREVIOUS) {
            let path = entry?.path();
            let Some((state, point)) = recall(&path) else {
                continue;
            };
            if mine.contains(&thumbprint(&point)) {
                continue;
            }
            let until = match state {
                State::InUse(lifetime) => now + lifetime + GRACE,
                State::Until(until) => until,
            };
            if until < now {
                let _ = fs::remove_file(&path);
                continue;
            }
            self.believe(&point, Some(until));
        }
        for key in &self.believed {
            let state = match key.until {
                None => format!("in-use: {}", settings.lifetime.as_secs()),
                Some(until) => format!("until: {until}"),
            };
            let path = folder.join(&key.kid).with_extension("pem");
            let text = format!(
                "{state}\n{}",
                pem("PUBLIC KEY", &[&SPKI[..], &key.point].concat())
            );
            if fs::read_to_string(&path).ok().as_deref() != Some(&text) {
                state::write(&path, text.as_bytes(), 0o644)?;
            }
        }
        state::sync(folder)
    }
}

/// Where the signing key is.
pub(super) fn file(settings: &config::Token, state_dir: &Path) -> PathBuf {
    settings
        .signing_key
        .clone()
        .unwrap_or_else(|| state_dir.join("token.key"))
}

/// RFC 7638 for a P-256 key.
fn thumbprint(point: &[u8]) -> String {
    let half = |from: usize| {
        let bytes = point.get(from..from + 32).unwrap_or_default();
        URL_SAFE_NO_PAD.encode(bytes)
    };
    let (x, y) = (half(1), half(33));
    let text = format!("{{\"crv\":\"P-256\",\"kty\":\"EC\",\"x\":\"{x}\",\"y\":\"{y}\"}}");
    URL_SAFE_NO_PAD.encode(Sha256::digest(text))
}

/// Reads a file of keys: the first one signs, the others are believed.
fn read(path: &Path) -> Result<(Keys, Vec<Warning>), Error> {
    let wrong = |why: &str| Error::Key {
        path: path.to_path_buf(),
        why: why.to_owned(),
    };
    let failed = |error: io::Error| wrong(&format!("cannot be read: {error}"));
    let metadata = fs::metadata(path).map_err(failed)?;
    // Asked before it is opened: opening a pipe that nobody writes to would wait for ever.
    if !metadata.is_file() {
        return Err(wrong("is not a regular file"));
    }
    // With room for all of it: what a growing buffer leaves behind is not wiped.
    let room = metadata.len().min(MAX_FILE) + 2;
    let room = usize::try_from(room).unwrap_or_default();
    let mut bytes = Zeroizing::new(Vec::with_capacity(room));
    let opened = File::open(path).map_err(failed)?;
    opened
        .take(MAX_FILE + 1)
        .read_to_end(&mut bytes)
        .map_err(failed)?;
    if bytes.len() as u64 > MAX_FILE {
        return Err(wrong("is larger than 64 KiB"));
    }
    let mut keys: Option<Keys> = None;
    for section in <(SectionKind, Vec<u8>)>::pem_slice_iter(&bytes) {
        let (kind, der) = section.map_err(|_| wrong("is not PEM"))?;
        let der = Zeroizing::new(der);
        match (kind, &mut keys) {
            (SectionKind::PrivateKey | SectionKind::EcPrivateKey, keys) => {
                let pair = pair(kind, &der).ok_or_else(|| wrong(NOT_P256))?;
                match keys {
                    None => *keys = Some(signer(&pair).ok_or_else(|| wrong(NOT_P256))?),
                    Some(keys) => keys.believe(pair.public_key().as_ref(), None),
                }
            }
            (SectionKind::PublicKey, Some(keys)) => {
                let point = point(&der).ok_or_else(|| wrong(NOT_P256))?;
                keys.believe(point, None);
            }
            (SectionKind::PublicKey, None) => {
                return Err(wrong(
                    "begins with a public key; the private key that signs comes first",
                ));
            }
            _ => return Err(wrong(NOT_P256)),
        }
    }
    let keys = keys.ok_or_else(|| wrong(NOT_P256))?;
    let exposed = metadata.mode() & 0o007 != 0;
    let path = path.to_path_buf();
    Ok((
        keys,
        exposed
            .then_some(Warning::KeyExposed { path })
            .into_iter()
            .collect(),
    ))
}

const NOT_P256: &str = "holds no ECDSA P-256 key in PEM; make one with `openssl ecparam -name prime256v1 -genkey -noout`";

fn pair(kind: SectionKind, der: &[u8]) -> Option<EcdsaKeyPair> {
    let algorithm = &ECDSA_P256_SHA256_FIXED_SIGNING;
    if kind == SectionKind::PrivateKey {
        EcdsaKeyPair::from_pkcs8(algorithm, der).ok()
    } else {
        EcdsaKeyPair::from_private_key_der(algorithm, der).ok()
    }
}

fn signer(pair: &EcdsaKeyPair) -> Option<Keys> {
    let der = pair.to_pkcs8v1().ok()?;
    let point = pair.public_key().as_ref();
    let mut keys = Keys {
        kid: thumbprint(point),
        signing: EncodingKey::from_ec_der(der.as_ref()),
        believed: Vec::new(),
    };
    keys.believe(point, None);
    Some(keys)
}

fn point(spki: &[u8]) -> Option<&[u8]> {
    let point = spki.strip_prefix(&SPKI)?;
    (point.len() == POINT && point.first() == Some(&4)).then_some(point)
}

enum State {
    InUse(u64),
    Until(u64),
}

/// What a file of the folder says; `None` for one that is not ours.
fn recall(path: &Path) -> Option<(State, Vec<u8>)> {
    if path.extension()? != "pem" || !fs::metadata(path).ok()?.is_file() {
        return None;
    }
    let mut text = String::new();
    let file = File::open(path).ok()?;
    file.take(MAX_FILE).read_to_string(&mut text).ok()?;
    let (key, value) = text.lines().next()?.split_once(": ")?;
    let number = value.parse().ok()?;
    let state = match key {
        "in-use" => State::InUse(number),
        "until" => State::Until(number),
        _ => return None,
    };
    let section = <(SectionKind, Vec<u8>)>::from_pem_slice(text.as_bytes());
    let (kind, der) = section.ok()?;
    let point = point(&der).filter(|_| kind == SectionKind::PublicKey)?;
    Some((state, point.to_vec()))
}

/// Makes the key: complete on the disk or not there, and never over one that another process made meanwhile.
fn make(path: &Path) -> Result<(), Error> {
    let failed = |source: io::Error| Error::MakeKey {
        path: path.to_path_buf(),
        source,
    };
    let broken = |_| failed(io::Error::other("no key could be made"));
    let pair = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &SystemRandom::new());
    let pair = pair.map_err(broken)?;
    let text = Zeroizing::new(pem("PRIVATE KEY", pair.as_ref()));
    let folder = path.parent().unwrap_or(Path::new("."));
    let beside = folder.join(format!(".token.key.{}", std::process::id()));
    let made = || -> io::Result<()> {
        state::folder(folder)?;
        state::fill(&beside, text.as_bytes(), 0o600)?;
        match fs::hard_link(&beside, path) {
            Ok(()) => fs::remove_file(&beside)?,
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => fs::remove_file(&beside)?,
            // A file system without links; two first starts at once are rare enough there.
            Err(_) => fs::rename(&beside, path)?,
        }
        state::sync(folder)
    };
    made().map_err(failed)
}

/// RFC 7468.
fn pem(label: &str, der: &[u8]) -> String {
    let mut body = Zeroizing::new(String::new());
    let encoded = Zeroizing::new(STANDARD.encode(der));
    for (at, letter) in encoded.chars().enumerate() {
        if at > 0 && at % 64 == 0 {
            body.push('\n');
        }
        body.push(letter);
    }
    let body = &*body;
    format!("-----BEGIN {label}-----\n{body}\n-----END {label}-----\n")
}
