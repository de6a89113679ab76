//! One bucket as its four faces of `object_store`, and how keys are named in it.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use object_store::list::PaginatedListStore;
use object_store::multipart::MultipartStore;
use object_store::path::Path;
use object_store::signer::Signer;
use object_store::{Attributes, BackoffConfig, ObjectStore, RetryConfig};

use super::super::{Error, Key};
use super::copy::Copying;
use super::fault::{self, Verb};

/// Bytes of one part of an upload where nothing is said: registry:2's default.
pub(super) const CHUNK: u64 = 10 * 1024 * 1024;

/// No store takes longer names, and `object_store` cannot make an address of every length.
const LONGEST: usize = 1024;

/// A bucket.
pub(super) struct Backend {
    pub(super) objects: Arc<dyn ObjectStore>,
    pub(super) parts: Arc<dyn MultipartStore>,
    /// Lists by pages; memory has no pages.
    pub(super) pages: Option<Arc<dyn PaginatedListStore>>,
    pub(super) signer: Option<Arc<dyn Signer>>,
    pub(super) copying: Copying,
    /// What every object that is written is marked with.
    pub(super) attributes: Attributes,
    /// Bytes of the first parts of an upload.
    pub(super) chunk: u64,
    /// Whether a page can begin after a name.
    pub(super) start_after: bool,
    /// Whether the store was found not to know conditional writes.
    pub(super) unconditional: AtomicBool,
    /// The bucket in words for the operator.
    pub(super) place: String,
    /// Stands before every key: empty, or with a slash at its end.
    pub(super) prefix: String,
}

impl fmt::Debug for Backend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Backend")
            .field("place", &self.place)
            .finish_non_exhaustive()
    }
}

impl Backend {
    /// A store of the simplest kind.
    pub(super) fn new<S>(store: &Arc<S>, place: String) -> Self
    where
        S: ObjectStore + MultipartStore,
    {
        Self {
            objects: Arc::<S>::clone(store),
            parts: Arc::<S>::clone(store),
            pages: None,
            signer: None,
            copying: Copying::Plain,
            attributes: Attributes::new(),
            chunk: CHUNK,
            start_after: false,
            unconditional: AtomicBool::new(false),
            place,
            prefix: String::new(),
        }
    }

    /// A store of a cloud, with content below `root`.
    pub(super) fn cloud<S>(store: &Arc<S>, place: String, root: &str) -> Self
    where
        S: ObjectStore + MultipartStore + PaginatedListStore + Signer,
    {
        Self {
            pages: Some(Arc::<S>::clone(store)),
            signer: Some(Arc::<S>::clone(store)),
            prefix: prefix(root),
            start_after: true,
            ..Self::new(store, place)
        }
    }

    /// The name of a key in the bucket.
    pub(super) fn path(&self, key: &Key) -> Result<Path, Error> {
        let failed = |source| Error::Failed {
            key: key.clone(),
            verb: "named",
            source,
        };
        let name = self.name(key);
        if name.len() > LONGEST {
            return Err(failed(
                format!("its name is longer than {LONGEST} bytes").into(),
            ));
        }
        Path::parse(name).map_err(|source| failed(source.into()))
    }

    /// As [`path`](Self::path), as text.
    pub(super) fn name(&self, key: &Key) -> String {
        format!("{}{key}", self.prefix)
    }

    /// What the store said, as one of our errors.
    pub(super) fn fault(&self, key: &Key, verb: Verb, error: &object_store::Error) -> Error {
        fault::judge(&self.place, key, verb, error)
    }
}

/// `rootdirectory` as the beginning of names.
fn prefix(root: &str) -> String {
    match root.trim_matches('/') {
        "" => String::new(),
        root => format!("{root}/"),
    }
}

/// A request is tried again for about as long as a client waits patiently, and no longer.
pub(super) fn retries() -> RetryConfig {
    RetryConfig {
        backoff: BackoffConfig {
            init_backoff: Duration::from_millis(100),
            max_backoff: Duration::from_secs(3),
            base: 2.,
        },
        max_retries: 6,
        retry_timeout: Duration::from_secs(12),
    }
}
