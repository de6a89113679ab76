//! `[registry]`: the embedded registry and where it keeps its content.

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::section::Section;

/// An upload that nobody touched for this long is removed, as by registry:2's `uploadpurging`.
const UPLOAD_EXPIRY: Duration = Duration::from_secs(168 * 3600);

/// The embedded registry.
#[derive(Clone, Debug, PartialEq)]
pub struct Registry {
    /// Where content is kept.
    pub storage: Storage,
    /// Whether manifests, tags and blobs may be deleted; `false`: 405.
    pub delete: bool,
    /// Nothing may be written: 405.
    pub read_only: bool,
    /// Blobs in a bucket are answered by a redirect to a presigned URL of the bucket.
    pub redirect: bool,
    /// An upload that nobody touched for this long is removed.
    pub upload_expiry: Duration,
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
#[derive(Clone, Debug, Default, PartialEq, Eq)]
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
    pub secret_key: Option<String>,
    /// `sessiontoken`
    pub session_token: Option<String>,
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
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Azure {
    /// `accountname`
    pub account: String,
    /// `accountkey`; without it managed or workload identity.
    pub key: Option<String>,
    /// `container`
    pub container: String,
    /// `realm`: the domain, `core.windows.net` unless it is another cloud; or a whole URL of an emulator.
    pub realm: Option<String>,
    /// `credentials.clientid`, `.tenantid`, `.secret`: a service principal.
    pub client_id: Option<String>,
    /// See `client_id`.
    pub tenant_id: Option<String>,
    /// See `client_id`.
    pub secret: Option<String>,
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
            upload_expiry: UPLOAD_EXPIRY,
        }
    }
}

/// The embedded registry.
pub(super) fn read(section: &Section<'_>, state_dir: &Path) -> Registry {
    let standard = Registry::on_disk(state_dir);
    Registry {
        storage: standard.storage,
        delete: section.boolean("delete").unwrap_or(standard.delete),
        read_only: section.boolean("read_only").unwrap_or(standard.read_only),
        ..standard
    }
}
