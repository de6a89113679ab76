//! Copying within the store, without a byte passing through here.

use std::time::Duration;

use http::Extensions;
use object_store::ObjectStoreExt;

use super::super::{Error, Key};
use super::backend::Backend;

/// How a store copies.
#[derive(Debug)]
pub(super) enum Copying {
    /// By one request, whatever the size.
    Plain,
}

/// Copies an object of `size` bytes, and returns when the copy is there.
pub(super) async fn copy(backend: &Backend, from: &Key, to: &Key, size: u64) -> Result<(), Error> {
    let (source, target) = (backend.path(from)?, backend.path(to)?);
    match &backend.copying {
        Copying::Plain => {
            let copied = backend.objects.copy(&source, &target).await;
            copied.map_err(|error| backend.fault(to, "written", &error))?;
        }
    }
    match backend.size(to).await? {
        Some(there) if there == size => Ok(()),
        _ => Err(Error::Corrupt {
            key: to.clone(),
            what: "its copy is not as long as what was copied",
        }),
    }
}

/// Whether the object of this answer is still being copied to its place.
pub(super) fn is_pending(_: &Extensions) -> bool {
    false
}

/// Removes multipart uploads that nobody will complete.
pub(super) async fn tidy(_: &Backend, _: Duration) -> Result<(), Error> {
    Ok(())
}
