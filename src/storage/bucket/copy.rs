//! Copying within the store, without a byte passing through here.

use std::time::Duration;

use futures_util::stream::{self, StreamExt, TryStreamExt};
use http::{Extensions, HeaderMap};
use object_store::multipart::PartId;
use object_store::path::Path;
use object_store::{GetOptions, ObjectStoreExt, PutMultipartOptions};
use tokio::time::{Instant, sleep};

use super::super::{Error, Key};
use super::backend::Backend;
use super::requests::Requests;

/// What is longer is copied in parts of this size, many at a time, because S3 copies one object at the pace of a disk;
/// sizes are registry:2's.
const PART: u64 = 32 * 1024 * 1024;

/// Part copies under way at a time.
const AT_ONCE: usize = 32;

/// S3 takes no more parts.
const PARTS: u64 = 10_000;

/// How long a store may take that copies in the background.
const PATIENCE: Duration = Duration::from_secs(600);

/// How a store copies.
#[derive(Debug)]
pub(super) enum Copying {
    /// By one request, whatever the size.
    Plain,
    /// By parts where it is large, or where objects are marked (with a class of storage) that a plain copy would lose.
    Parts(Requests),
}

/// The object of an answer is still being copied to its place.
#[derive(Clone, Copy, Debug)]
struct Pending(bool);

/// Notes what the head of an answer says of a copy in the background.
pub(super) fn mark(headers: &HeaderMap, extensions: &mut Extensions) {
    if let Some(status) = headers.get("x-ms-copy-status")
        && status != "success"
    {
        extensions.insert(Pending(status == "pending"));
    }
}

/// Whether the object of this answer is not there, because it is still being copied to its place, or never will be.
pub(super) fn is_pending(extensions: &Extensions) -> bool {
    extensions.get::<Pending>().is_some()
}

/// Copies an object of `size` bytes, and returns when the copy is there.
pub(super) async fn copy(backend: &Backend, from: &Key, to: &Key, size: u64) -> Result<(), Error> {
    let (source, target) = (backend.path(from)?, backend.path(to)?);
    match &backend.copying {
        Copying::Parts(requests) if size > PART || (size > 0 && !backend.attributes.is_empty()) => {
            let id = begin(backend, to, &target).await?;
            let copied = by_parts(backend, requests, (&source, &target), &id, size).await;
            if let Err(error) = copied {
                // Parts cost money until they are removed; if this fails too, `tidy` finds them.
                let _ = backend.parts.abort_multipart(&target, &id).await;
                return Err(backend.fault(to, "written", &error));
            }
        }
        Copying::Plain | Copying::Parts(_) => {
            let copied = backend.objects.copy(&source, &target).await;
            copied.map_err(|error| backend.fault(to, "written", &error))?;
        }
    }
    settled(backend, to, &target, size).await
}

async fn begin(backend: &Backend, to: &Key, target: &Path) -> Result<String, Error> {
    let options = PutMultipartOptions {
        attributes: backend.attributes.clone(),
        ..PutMultipartOptions::default()
    };
    let id = backend.parts.create_multipart_opts(target, options).await;
    id.map_err(|error| backend.fault(to, "written", &error))
}

async fn by_parts(
    backend: &Backend,
    requests: &Requests,
    (source, target): (&Path, &Path),
    id: &str,
    size: u64,
) -> object_store::Result<()> {
    let part = PART.max(size.div_ceil(PARTS));
    let parts: Vec<PartId> = stream::iter((0..size.div_ceil(part)).zip(1_u32..))
        .map(|(index, number)| {
            let start = index * part;
            requests.copy_part(source, target, id, number, start..(start + part).min(size))
        })
        .buffered(AT_ONCE)
        .try_collect()
        .await?;
    backend
        .parts
        .complete_multipart(target, &id.to_owned(), parts)
        .await?;
    Ok(())
}

/// Waits until the copy is there, which is at once except where a store copies in the background (Azure, seldom).
async fn settled(backend: &Backend, to: &Key, target: &Path, size: u64) -> Result<(), Error> {
    let failed = |what: &'static str| Error::Failed {
        key: to.clone(),
        verb: "written",
        source: what.into(),
    };
    let deadline = Instant::now() + PATIENCE;
    let mut pause = Duration::from_millis(100);
    loop {
        let options = GetOptions::default().with_head(true);
        let head = backend.objects.get_opts(target, options).await;
        let head = head.map_err(|error| backend.fault(to, "written", &error))?;
        match head.extensions.get::<Pending>() {
            None if head.meta.size == size => return Ok(()),
            None => return Err(failed("its copy is not as long as what was copied")),
            Some(Pending(false)) => return Err(failed("the store gave up copying it")),
            Some(Pending(true)) if Instant::now() >= deadline => {
                return Err(failed("the store takes too long to copy it"));
            }
            Some(Pending(true)) => {}
        }
        sleep(pause).await;
        pause = (pause * 2).min(Duration::from_secs(2));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_finished_copy_is_there() {
        for (status, pending) in [("success", false), ("pending", true), ("failed", true)] {
            let mut headers = HeaderMap::new();
            headers.insert("x-ms-copy-status", status.parse().unwrap());
            let mut extensions = Extensions::new();
            mark(&headers, &mut extensions);
            assert_eq!(is_pending(&extensions), pending, "{status}");
        }
    }
}
