//! `[registry]`: the embedded registry and where it keeps its content.

use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::secret::Secret;

use super::section::Section;
use super::source::shown;

/// An upload that nobody touched for this long is removed, as by registry:2's `uploadpurging`.
const UPLOAD_EXPIRY: Duration = Duration::from_secs(168 * 3600);

/// Slow lines push big layers for hours, and docker waits between its attempts.
const LEAST_EXPIRY: Duration = Duration::from_secs(3600);

/// docker has 5 layers under way for each push: 200 builders that share one user fit.
const UPLOADS_PER_USER: usize = 1000;

/// registry:2's own; a part is held in memory while it is sent.
const CHUNK: u64 = 10 << 20;

/// S3 takes no smaller part but for the last.
const LEAST_CHUNK: u64 = 5 << 20;

/// Several parts of an upload are held at once, and there are many uploads.
const MOST_CHUNK: u64 = 1 << 30;

/// The embedded registry.
#[derive(Clone, Debug, PartialEq)]
#[expect(clippy::struct_excessive_bools, reason = "each is a setting")]
pub struct Registry {
    /// Where content is kept.
    pub storage: Storage,
    /// Whether manifests, tags and blobs may be deleted; `false`: 405.
    pub delete: bool,
    /// Nothing may be written: 405.
    pub read_only: bool,
    /// Blobs in a bucket are answered by a redirect to a presigned URL of the bucket.
    pub redirect: bool,
    /// Bytes of blobs are compared with their digest while they are sent.
    pub verify: bool,
    /// An upload that nobody touched for this long is removed.
    pub upload_expiry: Duration,
    /// Uploads that one user may have open, and one address of those without a name; beyond: 429.
    pub uploads_per_user: usize,
}

/// Where the embedded registry keeps its content.
#[derive(Clone, Debug, PartialEq)]
pub enum Storage {
    /// A folder in the layout of registry:2; `docker/registry/v2` lies below it.
    FileSystem {
        /// The folder.
        root: PathBuf,
    },
    /// Nothing is kept beyond the life of the process.
    Memory,
    /// A bucket of S3 or of a store that speaks its protocol.
    S3(S3),
    /// A container of Azure Blob Storage.
    Azure(Azure),
    /// A bucket of Google Cloud Storage.
    Gcs(Gcs),
}

/// A bucket of S3, with the names of registry:2's settings.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct S3 {
    /// `bucket`
    pub bucket: String,
    /// `region`
    pub region: String,
    /// `regionendpoint`: another service than Amazon's, as URL.
    pub endpoint: Option<String>,
    /// `accesskey`; without it the role of the instance, the task or the environment.
    pub access_key: Option<String>,
    /// `secretkey`
    pub secret_key: Option<Secret>,
    /// `sessiontoken`
    pub session_token: Option<Secret>,
    /// `forcepathstyle`: the bucket stands in the path and not in the host name. Default: true with an endpoint.
    pub path_style: Option<bool>,
    /// `secure`: TLS to an endpoint without a scheme.
    pub secure: bool,
    /// `skipverify`: the certificate of the endpoint is not checked.
    pub skip_verify: bool,
    /// `encrypt`: server-side encryption, with `keyid` by that KMS key.
    pub encrypt: bool,
    /// `keyid`
    pub kms_key: Option<String>,
    /// `storageclass`
    pub storage_class: Option<String>,
    /// `chunksize`: bytes of one part of an upload; 5 MiB to 5 GiB.
    pub chunk_size: u64,
    /// `rootdirectory`: prefix of all keys.
    pub root: String,
}

/// A container of Azure Blob Storage, with the names of registry:2's settings.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Azure {
    /// `accountname`
    pub account: String,
    /// `accountkey`; without it managed or workload identity.
    pub key: Option<Secret>,
    /// `container`
    pub container: String,
    /// `realm`: the domain, `core.windows.net` unless it is another cloud; or a whole URL of an emulator.
    pub realm: Option<String>,
    /// `credentials.clientid`, `.tenantid`, `.secret`: a service principal.
    pub client_id: Option<String>,
    /// See `client_id`.
    pub tenant_id: Option<String>,
    /// See `client_id`.
    pub secret: Option<Secret>,
    /// `rootdirectory`: prefix of all keys.
    pub root: String,
}

/// A bucket of Google Cloud Storage, with the names of registry:2's settings.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Gcs {
    /// `bucket`
    pub bucket: String,
    /// `keyfile`: JSON key of a service account; without it the identity of the machine.
    pub key_file: Option<PathBuf>,
    /// Another service than Google's, as URL (an emulator).
    pub endpoint: Option<String>,
    /// `rootdirectory`: prefix of all keys.
    pub root: String,
}

impl Registry {
    /// The one that nobody said anything about.
    pub(super) fn on_disk(state_dir: &Path) -> Self {
        Self {
            storage: Storage::FileSystem {
                root: state_dir.join("registry"),
            },
            delete: true,
            read_only: false,
            redirect: false,
            verify: false,
            upload_expiry: UPLOAD_EXPIRY,
            uploads_per_user: UPLOADS_PER_USER,
        }
    }
}

/// The words for storages; each has a table of its own name.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    FileSystem,
    Memory,
    S3,
    Azure,
    Gcs,
}

/// The embedded registry; `None` after a fault.
pub(super) fn read(section: &Section<'_>, state_dir: &Path) -> Option<Registry> {
    let standard = Registry::on_disk(state_dir);
    let words = [
        ("filesystem", Kind::FileSystem),
        ("s3", Kind::S3),
        ("azure", Kind::Azure),
        ("gcs", Kind::Gcs),
        ("memory", Kind::Memory),
    ];
    let kind = section.choice("storage", &words);
    let understood = kind.is_some() || !section.has("storage");
    let kind = kind.unwrap_or(Kind::FileSystem);
    let storage = storage(section, kind, state_dir);
    if understood {
        refuse_other_storages(section, kind);
    }
    let redirect = section.boolean("redirect").unwrap_or(false);
    if redirect && understood && matches!(kind, Kind::FileSystem | Kind::Memory) {
        let text = "is true, and only buckets have addresses of their own; remove it, or keep content in a bucket";
        section.fault("redirect", text);
    }
    let uploads_per_user = section.count("uploads_per_user", 1..=1_000_000);
    let upload_expiry = section.duration("upload_expiry", LEAST_EXPIRY);
    Some(Registry {
        storage: storage?,
        delete: section.boolean("delete").unwrap_or(standard.delete),
        read_only: section.boolean("read_only").unwrap_or(standard.read_only),
        redirect,
        verify: section.boolean("verify").unwrap_or(standard.verify),
        upload_expiry: upload_expiry.unwrap_or(standard.upload_expiry),
        uploads_per_user: uploads_per_user.unwrap_or(standard.uploads_per_user),
    })
}

/// Every table is read, so that every key is known, and the chosen one counts.
fn storage(section: &Section<'_>, kind: Kind, state_dir: &Path) -> Option<Storage> {
    let filesystem = section.optional("filesystem", |table| table.path("rootdirectory"));
    let s3 = section.optional("s3", s3);
    let azure = section.optional("azure", azure);
    let gcs = section.optional("gcs", gcs);
    let missing = |key: &'static str| {
        let text = format!("is missing; write [registry.{key}] and the bucket in it");
        section.fault(key, text);
    };
    match kind {
        Kind::FileSystem => {
            let root = filesystem.flatten();
            Some(Storage::FileSystem {
                root: root.unwrap_or_else(|| state_dir.join("registry")),
            })
        }
        Kind::Memory => Some(Storage::Memory),
        Kind::S3 => {
            if s3.is_none() {
                missing("s3");
            }
            s3.flatten().map(Storage::S3)
        }
        Kind::Azure => {
            if azure.is_none() {
                missing("azure");
            }
            azure.flatten().map(Storage::Azure)
        }
        Kind::Gcs => {
            if gcs.is_none() {
                missing("gcs");
            }
            gcs.flatten().map(Storage::Gcs)
        }
    }
}

fn refuse_other_storages(section: &Section<'_>, kind: Kind) {
    let tables = [
        ("filesystem", Kind::FileSystem),
        ("s3", Kind::S3),
        ("azure", Kind::Azure),
        ("gcs", Kind::Gcs),
    ];
    for (key, table) in tables {
        if table != kind && section.has(key) {
            let text = format!(
                "has no effect, because another storage is chosen; write storage = \"{key}\" or remove it"
            );
            section.fault(key, text);
        }
    }
}

fn s3(section: &Section<'_>) -> Option<S3> {
    let bucket = needed(section, "bucket");
    let endpoint = section.parsed("regionendpoint", endpoint);
    let region = section.parsed("region", word);
    if region.is_none() && endpoint.is_none() && !section.has("region") {
        section.fault(
            "region",
            "is missing; write the bucket's region, such as \"us-east-1\"",
        );
    }
    let keys = pair(section, "accesskey", "secretkey");
    let kms_key = section.parsed("keyid", word);
    let encrypt = section.boolean("encrypt").unwrap_or(false);
    if kms_key.is_some() && !encrypt {
        section.fault(
            "keyid",
            "has no effect without encrypt = true; add that, or remove it",
        );
    }
    Some(S3 {
        region: region.unwrap_or_else(|| "us-east-1".into()),
        endpoint,
        access_key: keys.0,
        secret_key: keys.1.map(Secret::new),
        session_token: section.parsed("sessiontoken", word).map(Secret::new),
        path_style: section.boolean("forcepathstyle"),
        secure: section.boolean("secure").unwrap_or(true),
        skip_verify: section.boolean("skipverify").unwrap_or(false),
        encrypt,
        kms_key,
        storage_class: section.parsed("storageclass", word),
        chunk_size: section
            .size("chunksize", LEAST_CHUNK..=MOST_CHUNK)
            .unwrap_or(CHUNK),
        root: root(section),
        bucket: bucket?,
    })
}

fn azure(section: &Section<'_>) -> Option<Azure> {
    let (account, container) = (needed(section, "accountname"), needed(section, "container"));
    let principal = section.optional("credentials", |table| {
        [
            needed(table, "clientid"),
            needed(table, "tenantid"),
            needed(table, "secret"),
        ]
    });
    if principal.is_some() && section.has("accountkey") {
        let text = "stands beside [registry.azure.credentials]; keep one of them";
        section.fault("accountkey", text);
    }
    let [client_id, tenant_id, secret] = principal.unwrap_or_default();
    Some(Azure {
        key: section.parsed("accountkey", word).map(Secret::new),
        realm: section.parsed("realm", word),
        client_id,
        tenant_id,
        secret: secret.map(Secret::new),
        root: root(section),
        account: account?,
        container: container?,
    })
}

fn gcs(section: &Section<'_>) -> Option<Gcs> {
    let bucket = needed(section, "bucket");
    Some(Gcs {
        key_file: section.path("keyfile"),
        endpoint: section.parsed("endpoint", endpoint),
        root: root(section),
        bucket: bucket?,
    })
}

fn needed(section: &Section<'_>, key: &'static str) -> Option<String> {
    let value = section.parsed(key, word);
    if value.is_none() && !section.has(key) && !section.is_misshapen() {
        section.fault(key, "is missing; give it a value");
    }
    value
}

/// Two that go together or not at all.
fn pair(
    section: &Section<'_>,
    one: &'static str,
    other: &'static str,
) -> (Option<String>, Option<String>) {
    for (there, missing) in [(one, other), (other, one)] {
        if section.has(there) && !section.has(missing) {
            section.fault(there, format!("has no {missing}; write both, or neither"));
        }
    }
    (section.parsed(one, word), section.parsed(other, word))
}

/// A prefix of all names in a bucket; slashes at its ends say nothing.
fn root(section: &Section<'_>) -> String {
    let plain = |text: &str| {
        let inner = text.trim_matches('/').to_owned();
        let good = |part: &str| !matches!(part, "" | "." | "..");
        if inner.is_empty() || (inner.split('/').all(good) && word(&inner).is_ok()) {
            return Ok(inner);
        }
        Err(format!(
            "{} is no prefix of names; write one such as \"registry\"",
            shown(text)
        ))
    };
    section.parsed("rootdirectory", plain).unwrap_or_default()
}

/// What a header or a URL can carry. Never repeated in a message: it may be a key.
fn word(text: &str) -> Result<String, String> {
    if text.bytes().all(|b| b.is_ascii_graphic()) {
        return Ok(text.to_owned());
    }
    Err("holds a space or a character beyond ASCII; is it whole, and in one line?".into())
}

/// `http://` or `https://` and a host; without a scheme `secure` decides.
fn endpoint(text: &str) -> Result<String, String> {
    let bare = text.split_once("://").map_or(text, |(_, rest)| rest);
    let scheme = text.split_once("://").map(|(scheme, _)| scheme);
    let good = matches!(scheme, None | Some("http" | "https"))
        && !bare.contains('@')
        && format!("http://{bare}").parse::<http::Uri>().is_ok();
    if good {
        return Ok(text.trim_end_matches('/').to_owned());
    }
    Err(format!(
        "{} is not the address of a service; write one such as \"https://s3.example.com\"",
        shown(text)
    ))
}
