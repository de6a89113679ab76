//! Multipart uploads that nobody will complete.

use std::time::{Duration, SystemTime};

use object_store::path::Path;

use super::super::{Error, Key};
use super::backend::Backend;
use super::copy::Copying;
use super::fault;
use super::requests::Unfinished;

/// Removes what is older than `age` and belongs to no upload that is known. Azure forgets such parts by itself after a
/// week; Google needs a rule of the bucket's life cycle.
pub(super) async fn tidy(backend: &Backend, age: Duration) -> Result<(), Error> {
    let Copying::Parts(requests) = &backend.copying else {
        return Ok(());
    };
    let key = Key::repositories();
    let prefix = format!("{}docker/registry/v2/", backend.prefix);
    let mut from = None;
    loop {
        let page = requests.unfinished(&prefix, from).await;
        let page = page.map_err(|error| backend.fault(&key, "listed", &error))?;
        for upload in page.uploads {
            let old = SystemTime::now().duration_since(upload.begun);
            if old.is_ok_and(|old| old > age) && !is_known(backend, &upload).await? {
                remove(backend, &key, &upload).await?;
            }
        }
        from = page.next;
        if from.is_none() {
            return Ok(());
        }
    }
}

/// Whether the state of an upload names it.
async fn is_known(backend: &Backend, upload: &Unfinished) -> Result<bool, Error> {
    let Some((folder, _)) = upload
        .name
        .rsplit_once('/')
        .filter(|(f, _)| f.contains("/_uploads/"))
    else {
        // A copy to its blob: those that run are younger.
        return Ok(false);
    };
    let failed = |error: &object_store::Error| backend.fault(&Key::repositories(), "read", error);
    let Ok(path) = Path::parse(format!("{folder}/dockgate-state")) else {
        return Ok(true);
    };
    let got = match backend
        .objects
        .get_opts(&path, object_store::GetOptions::default())
        .await
    {
        Ok(got) => got,
        Err(error) if fault::is_missing(&error) => return Ok(false),
        Err(error) => return Err(failed(&error)),
    };
    let bytes = got.bytes().await.map_err(|error| failed(&error))?;
    let state = String::from_utf8_lossy(&bytes);
    Ok(state.contains(&upload.id))
}

async fn remove(backend: &Backend, key: &Key, upload: &Unfinished) -> Result<(), Error> {
    let Ok(path) = Path::parse(&upload.name) else {
        return Ok(());
    };
    match backend.parts.abort_multipart(&path, &upload.id).await {
        Err(error) if !fault::is_missing(&error) => Err(backend.fault(key, "removed", &error)),
        _ => Ok(()),
    }
}
