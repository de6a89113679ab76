//! What is kept below `state_dir/acme`: for each authority a folder with the account, in it for each set of names a folder
//! with the certificate, the order that is under way, and how long the authority does not want to hear of us.
//!
//! A certificate and its key are one file, so that they change together or not at all. What cannot be read is moved aside,
//! never overwritten.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::config;
use crate::state;
use crate::tls::Issued;

use super::account::Saved;
use super::error::Error;

/// Nothing here comes near.
const LARGEST: u64 = 256 * 1024;

/// An order that was begun: what is needed to go on with it after a restart.
#[derive(Deserialize, Serialize)]
pub(super) struct Begun {
    /// The order's URL.
    pub(super) url: String,
    /// The key of the certificate, PEM.
    pub(super) key: String,
}

/// The files of one authority and one set of names.
#[derive(Clone, Debug)]
pub(super) struct Store {
    account: PathBuf,
    folder: PathBuf,
    certificate: PathBuf,
}

/// Nobody else orders the same certificate while this is held.
#[derive(Debug)]
pub(super) struct Turn(
    #[expect(dead_code, reason = "the lock lives as long as the file is open")] Option<File>,
);

impl Store {
    pub(super) fn new(section: &config::Acme) -> Self {
        Self {
            account: section.account_folder.join("account.json"),
            folder: section.certificate_folder.clone(),
            certificate: section.certificate_file(),
        }
    }

    /// The right to order, among all processes over this folder; `None` while another has it.
    pub(super) async fn turn(&self) -> Result<Option<Turn>, Error> {
        let folder = self.folder.clone();
        blocking(move || {
            state::folder(&folder).map_err(failed(&folder, "made"))?;
            let path = folder.join("lock");
            let mut options = OpenOptions::new();
            let options = options.create(true).truncate(false).write(true).mode(0o600);
            let file = options.open(&path).map_err(failed(&path, "opened"))?;
            match flock(&file, FlockOperation::NonBlockingLockExclusive) {
                Ok(()) => Ok(Some(Turn(Some(file)))),
                Err(Errno::WOULDBLOCK) => Ok(None),
                // A file system without locks has one process over it, or two certificates.
                Err(_) => Ok(Some(Turn(None))),
            }
        })
        .await
    }

    /// The certificate that is there.
    pub(super) async fn certificate(&self) -> Result<Option<Issued>, Error> {
        let path = self.certificate.clone();
        blocking(move || Issued::read(&path).map_err(Error::of_tls)).await
    }

    /// Puts a certificate in force: chain and key, whole, if it is for these names.
    pub(super) async fn put_certificate(
        &self,
        chain: String,
        key: Zeroizing<String>,
        names: Vec<String>,
    ) -> Result<Issued, Error> {
        let store = self.clone();
        blocking(move || {
            let candidate = store.folder.join("candidate.pem");
            let bundle = Zeroizing::new(format!("{}\n{}", chain.trim_end(), *key));
            write(&candidate, bundle.as_bytes())?;
            let issued = Issued::read(&candidate)
                .map_err(|faults| Error::WrongCertificate(Error::of_tls(faults).to_string()))?;
            let issued = issued.ok_or_else(|| Error::WrongCertificate("it is gone".to_owned()))?;
            if let Some(name) = names.iter().find(|name| !issued.names.contains(name)) {
                return Err(Error::WrongCertificate(format!("it is not for {name}")));
            }
            let there = Issued::read(&store.certificate);
            let ours = |there: &Issued| names.iter().all(|name| there.names.contains(name));
            if !there.is_ok_and(|there| there.as_ref().is_none_or(ours)) {
                set_aside(&store.certificate)?;
            }
            fs::rename(&candidate, &store.certificate)
                .and_then(|()| state::sync(&store.folder))
                .map_err(failed(&store.certificate, "written"))?;
            for done in [store.order_file(), store.wait_file()] {
                remove(&done)?;
            }
            Ok(issued)
        })
        .await
    }

    /// The account of before.
    pub(super) async fn account(&self) -> Result<Option<Saved>, Error> {
        let path = self.account.clone();
        blocking(move || read(&path, Saved::is_whole)).await
    }

    pub(super) async fn save_account(&self, saved: &Saved) -> Result<(), Error> {
        let (path, text) = (self.account.clone(), written(saved)?);
        blocking(move || write(&path, text.as_bytes())).await
    }

    /// The order that was begun and not finished.
    pub(super) async fn order(&self) -> Result<Option<Begun>, Error> {
        let path = self.order_file();
        blocking(move || read(&path, |begun: &Begun| begun.url.starts_with("https://"))).await
    }

    pub(super) async fn save_order(&self, begun: &Begun) -> Result<(), Error> {
        let (path, text) = (self.order_file(), written(begun)?);
        blocking(move || write(&path, text.as_bytes())).await
    }

    /// The order came to nothing.
    pub(super) async fn drop_order(&self) -> Result<(), Error> {
        let path = self.order_file();
        blocking(move || remove(&path)).await
    }

    /// Remembers for how long the authority does not want to hear of us, over restarts too.
    pub(super) async fn hold_back(&self, wait: Duration) -> Result<(), Error> {
        let path = self.wait_file();
        let until = SystemTime::now() + wait;
        let until = until.duration_since(UNIX_EPOCH).unwrap_or_default();
        blocking(move || write(&path, format!("{}\n", until.as_secs()).as_bytes())).await
    }

    /// How long that still is; what cannot be read holds nobody back.
    pub(super) async fn held_back(&self) -> Duration {
        let path = self.wait_file();
        let read = blocking(move || fs::read_to_string(&path).map_err(failed(&path, "read")));
        let text = read.await.unwrap_or_default();
        let until = text.trim().parse().ok().map(Duration::from_secs);
        let until = until.and_then(|until| UNIX_EPOCH.checked_add(until));
        let left = until.and_then(|until| until.duration_since(SystemTime::now()).ok());
        left.unwrap_or_default().min(super::error::LONGEST_WAIT)
    }

    fn order_file(&self) -> PathBuf {
        self.folder.join("order.json")
    }

    fn wait_file(&self) -> PathBuf {
        self.folder.join("wait-until")
    }
}

/// Files may lie on a slow or dead file system.
pub(super) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Error> + Send + 'static,
) -> Result<T, Error> {
    let done = tokio::task::spawn_blocking(work).await;
    done.unwrap_or_else(|error| Err(Error::Crypto(error.to_string())))
}

fn written(document: &impl Serialize) -> Result<Zeroizing<String>, Error> {
    let text = serde_json::to_string_pretty(document).map(|text| text + "\n");
    text.map(Zeroizing::new)
        .map_err(|error| Error::Crypto(error.to_string()))
}

fn write(path: &Path, bytes: &[u8]) -> Result<(), Error> {
    if let Some(folder) = path.parent() {
        state::folder(folder).map_err(failed(folder, "made"))?;
    }
    state::write(path, bytes, 0o600).map_err(failed(path, "written"))
}

fn remove(path: &Path) -> Result<(), Error> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(failed(path, "removed")(error))
        }
        _ => Ok(()),
    }
}

/// A document that is whole; `None` where there is none. One that is not is moved aside and told, once.
fn read<T: DeserializeOwned>(
    path: &Path,
    is_whole: impl FnOnce(&T) -> bool,
) -> Result<Option<T>, Error> {
    let metadata = match fs::metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        found => found.map_err(failed(path, "read"))?,
    };
    if metadata.is_file() && metadata.len() <= LARGEST {
        let bytes = fs::read(path).map(Zeroizing::new);
        let bytes = bytes.map_err(failed(path, "read"))?;
        if let Ok(document) = serde_json::from_slice(&bytes)
            && is_whole(&document)
        {
            return Ok(Some(document));
        }
    }
    Err(Error::Damaged {
        path: path.to_owned(),
        aside: set_aside(path)?,
    })
}

/// Gives a file another name, under which nothing is.
fn set_aside(path: &Path) -> Result<PathBuf, Error> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    let stamp = now.unwrap_or_default().as_secs();
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    for number in stamp.. {
        let aside = path.with_file_name(format!("{name}.damaged-{number}"));
        if aside.symlink_metadata().is_err() {
            fs::rename(path, &aside).map_err(failed(path, "moved aside"))?;
            return Ok(aside);
        }
    }
    Ok(path.to_owned())
}

fn failed(path: &Path, what: &'static str) -> impl FnOnce(io::Error) -> Error {
    let path = path.to_owned();
    move |source| Error::State { path, what, source }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn store(folder: &Path) -> Store {
        let toml = "[acme]\nnames = [\"a.test\"]\naccept_terms = true\n";
        let loaded = config::Config::parse(toml, folder, &[]).unwrap();
        Store::new(&loaded.config.acme.unwrap())
    }

    fn begun() -> Begun {
        Begun {
            url: "https://ca.test/order/1".to_owned(),
            key: "key".to_owned(),
        }
    }

    #[tokio::test]
    async fn what_cannot_be_read_is_moved_aside_and_told_once() {
        let folder = tempfile::tempdir().unwrap();
        let store = store(folder.path());
        store.save_order(&begun()).await.unwrap();
        let path = store.order_file();
        let mode = fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        fs::write(&path, "{\"url\": \"https://ca").unwrap();
        let told = store.order().await.err().unwrap();
        let Error::Damaged { aside, .. } = &told else {
            panic!("{told}")
        };
        assert_eq!(fs::read(aside).unwrap(), b"{\"url\": \"https://ca");
        assert!(store.order().await.unwrap().is_none());
    }

    #[tokio::test]
    async fn one_orders_at_a_time() {
        let folder = tempfile::tempdir().unwrap();
        let store = store(folder.path());
        let turn = store.turn().await.unwrap();
        assert!(turn.is_some());
        assert!(store.turn().await.unwrap().is_none());
        drop(turn);
        assert!(store.turn().await.unwrap().is_some());
    }

    #[tokio::test]
    async fn a_wait_outlives_the_process_and_ends() {
        let folder = tempfile::tempdir().unwrap();
        let store = store(folder.path());
        assert_eq!(store.held_back().await, Duration::ZERO);
        store.hold_back(Duration::from_secs(900)).await.unwrap();
        let left = store.held_back().await.as_secs();
        assert!((890..=900).contains(&left), "{left}");
        for nonsense in ["", "x", "1", "99999999999999999999", "18446744073709551615"] {
            fs::write(store.wait_file(), nonsense).unwrap();
            assert_eq!(store.held_back().await, Duration::ZERO, "{nonsense}");
        }
    }

    #[tokio::test]
    async fn a_certificate_without_its_key_or_for_another_name_takes_no_place() {
        let folder = tempfile::tempdir().unwrap();
        let store = store(folder.path());
        let pair = |name: &str| {
            let made = rcgen::generate_simple_self_signed([name.to_owned()]).unwrap();
            (
                made.cert.pem(),
                Zeroizing::new(made.signing_key.serialize_pem()),
            )
        };
        let put = |chain: &String, key: &Zeroizing<String>| {
            store.put_certificate(chain.clone(), key.clone(), vec!["a.test".to_owned()])
        };
        let (first, other, elsewhere) = (pair("a.test"), pair("a.test"), pair("b.test"));
        put(&first.0, &first.1).await.unwrap();
        let in_force = fs::read(&store.certificate).unwrap();
        for (chain, key) in [
            (&first.0, &other.1),
            (&elsewhere.0, &elsewhere.1),
            (&"nothing".to_owned(), &first.1),
        ] {
            let error = put(chain, key).await.unwrap_err();
            assert!(matches!(error, Error::WrongCertificate(_)), "{error}");
            assert_eq!(fs::read(&store.certificate).unwrap(), in_force);
        }
        store.save_order(&begun()).await.unwrap();
        put(&other.0, &other.1).await.unwrap();
        assert!(store.order().await.unwrap().is_none(), "the order is done");
        assert_ne!(fs::read(&store.certificate).unwrap(), in_force);
    }
}
