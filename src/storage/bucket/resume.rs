//! Beginning an upload, and taking one up.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future;
use object_store::{GetOptions, PutMode, PutOptions, UpdateVersion};
use tokio::time::{Instant, sleep};

use super::super::{Error, Key, UploadKey};
use super::backend::Backend;
use super::document::{self, Document};
use super::fault;
use super::hold::{Hold, Holds};
use super::session::Session;

/// How long an upload that somebody else has is waited for: as long as it takes to end a request.
const PATIENCE: Duration = Duration::from_secs(1);

/// A state object is shorter than this: 10,000 parts of 100 bytes each.
const LONGEST: u64 = 8 * 1024 * 1024;

/// Writes down that there is an upload.
pub(super) async fn begin(
    backend: &Backend,
    upload: &UploadKey,
    state: &[u8],
) -> Result<(), Error> {
    let now = jiff::Timestamp::now()
        .strftime("%Y-%m-%dT%H:%M:%SZ")
        .to_string();
    let key = upload.state();
    let document = Document::new(state).write(&key)?;
    let started = upload.started_at();
    future::try_join(
        backend.put(&started, Bytes::from(now).into()),
        backend.put(&key, document.into()),
    )
    .await?;
    Ok(())
}

/// What was saved.
pub(super) async fn offset(backend: &Backend, upload: &UploadKey) -> Result<Option<u64>, Error> {
    let state = fetch(backend, &upload.state()).await?;
    Ok(state.map(|(document, _)| document.offset))
}

/// Takes up an upload.
pub(super) async fn resume(
    backend: &Arc<Backend>,
    holds: &Arc<Holds>,
    upload: &UploadKey,
) -> Result<Option<Session>, Error> {
    let busy = || Error::Busy(upload.folder().clone());
    let deadline = Instant::now() + PATIENCE;
    let hold = loop {
        match holds.take(upload.folder()) {
            Some(hold) => break hold,
            None if Instant::now() >= deadline => return Err(busy()),
            None => sleep(PATIENCE / 20).await,
        }
    };
    loop {
        let Some((mut document, version)) = fetch(backend, &upload.state()).await? else {
            return Ok(None);
        };
        if !document.is_held_against(hold.holder()) {
            document.set_holder(Some(hold.holder()));
            let put = put(backend, &upload.state(), &mut document, version).await?;
            if let Some(version) = put {
                return Session::open(backend, hold, document, version)
                    .await
                    .map(Some);
            }
        }
        if Instant::now() >= deadline {
            return Err(busy());
        }
        sleep(PATIENCE / 5).await;
    }
}

/// The state of an upload, and which one.
pub(super) async fn fetch(
    backend: &Backend,
    key: &Key,
) -> Result<Option<(Document, UpdateVersion)>, Error> {
    let path = backend.path(key)?;
    let failed = |error: &object_store::Error| backend.fault(key, "read", error);
    let got = match backend.objects.get_opts(&path, GetOptions::default()).await {
        Ok(got) => got,
        Err(error) if fault::is_missing(&error) => return Ok(None),
        Err(error) => return Err(failed(&error)),
    };
    if got.meta.size > LONGEST {
        return Err(Error::Corrupt {
            key: key.clone(),
            what: "it is far too long for the state of an upload",
        });
    }
    let version = UpdateVersion {
        e_tag: got.meta.e_tag.clone(),
        version: got.meta.version.clone(),
    };
    let bytes = got.bytes().await.map_err(|error| failed(&error))?;
    Ok(Some((Document::read(key, &bytes)?, version)))
}

/// Replaces the state that is `version`; `None` where another one is there.
pub(super) async fn put(
    backend: &Backend,
    key: &Key,
    document: &mut Document,
    version: UpdateVersion,
) -> Result<Option<UpdateVersion>, Error> {
    use std::sync::atomic::Ordering::Relaxed;
    let bytes = document.write(key)?;
    let path = backend.path(key)?;
    let with = |mode| PutOptions {
        mode,
        attributes: backend.attributes.clone(),
        ..PutOptions::default()
    };
    if !backend.unconditional.load(Relaxed) {
        let options = with(PutMode::Update(version));
        let put = backend
            .objects
            .put_opts(&path, bytes.clone().into(), options);
        match put.await {
            Ok(put) => return Ok(Some(put.into())),
            Err(error) if fault::is_overtaken(&error) => return ours(backend, key, &bytes).await,
            Err(error) if fault::is_unknown_to_store(&error) => {
                if !backend.unconditional.swap(true, Relaxed) {
                    tracing::warn!(
                        "{} refuses conditional writes: do not let several processes write to it",
                        backend.place
                    );
                }
            }
            Err(error) => return Err(backend.fault(key, "written", &error)),
        }
    }
    let put = backend
        .objects
        .put_opts(&path, bytes.into(), with(PutMode::Overwrite))
        .await;
    let put = put.map_err(|error| backend.fault(key, "written", &error))?;
    Ok(Some(put.into()))
}

/// A write that was tried again because its answer was lost meets its own result; that is no defeat.
async fn ours(
    backend: &Backend,
    key: &Key,
    wanted: &Bytes,
) -> Result<Option<UpdateVersion>, Error> {
    let got = match backend
        .objects
        .get_opts(&backend.path(key)?, GetOptions::default())
        .await
    {
        Ok(got) => got,
        Err(error) if fault::is_missing(&error) => return Ok(None),
        Err(error) => return Err(backend.fault(key, "read", &error)),
    };
    let version = UpdateVersion {
        e_tag: got.meta.e_tag.clone(),
        version: got.meta.version.clone(),
    };
    if got.meta.size != wanted.len() as u64 {
        return Ok(None);
    }
    let there = got
        .bytes()
        .await
        .map_err(|error| backend.fault(key, "read", &error))?;
    Ok((there == *wanted).then_some(version))
}

/// Gives an upload back, in the background: dropping cannot wait. Should that fail, the lease runs out.
pub(super) fn release(
    backend: Arc<Backend>,
    hold: &Hold,
    mut document: Document,
    version: UpdateVersion,
) {
    let Ok(runtime) = tokio::runtime::Handle::try_current() else {
        return;
    };
    let key = document::state(hold.key());
    document.set_holder(None);
    runtime.spawn(async move {
        // Who took it up in the meantime has replaced the state, and this write fails as it should.
        let released = put(&backend, &key, &mut document, version).await;
        if let Err(error) = released {
            tracing::debug!(%error, "an upload was not given back");
        }
    });
}
