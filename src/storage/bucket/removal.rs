//! Removing.

use std::collections::VecDeque;

use futures_util::StreamExt;
use futures_util::stream::{self, TryStreamExt};
use object_store::ObjectStoreExt;
use object_store::path::Path;

use super::super::{Error, Key};
use super::backend::Backend;
use super::fault;

/// Names that are kept in memory at a time; there are more only below the largest repositories.
const MOST: usize = 50_000;

/// What one request removes, where a store can remove many with one.
const BATCH: usize = 1000;

/// Removes one object that is there, or was.
pub(super) async fn one(backend: &Backend, key: &Key) -> Result<(), Error> {
    match backend.objects.delete(&backend.path(key)?).await {
        Ok(()) => Ok(()),
        Err(error) if fault::is_missing(&error) => Ok(()),
        Err(error) => Err(backend.fault(key, "removed", &error)),
    }
}

/// Removes all below a folder, from the last name to the first; those that one request removes go together.
pub(super) async fn below(backend: &Backend, folder: &Key) -> Result<(), Error> {
    loop {
        let (mut last, all) = last_names(backend, folder).await?;
        while !last.is_empty() {
            let batch = last.split_off(last.len().saturating_sub(BATCH));
            let batch: Vec<_> = batch.into_iter().rev().collect();
            remove(backend, folder, batch).await?;
        }
        if all {
            return Ok(());
        }
    }
}

async fn remove(backend: &Backend, folder: &Key, batch: Vec<Path>) -> Result<(), Error> {
    let batch = stream::iter(batch.into_iter().map(Ok)).boxed();
    let mut removed = backend.objects.delete_stream(batch);
    let mut failed = None;
    while let Some(one) = removed.next().await {
        match one {
            Err(error) if !fault::is_missing(&error) => {
                failed.get_or_insert_with(|| backend.fault(folder, "removed", &error));
            }
            _ => {}
        }
    }
    failed.map_or(Ok(()), Err)
}

/// The last names below a folder, and whether they are all.
async fn last_names(backend: &Backend, folder: &Key) -> Result<(VecDeque<Path>, bool), Error> {
    let path = backend.path(folder)?;
    let mut names = VecDeque::new();
    let mut all = true;
    let mut objects = backend.objects.list(Some(&path));
    while let Some(object) = objects
        .try_next()
        .await
        .map_err(|error| backend.fault(folder, "listed", &error))?
    {
        if names.len() == MOST {
            names.pop_front();
            all = false;
        }
        names.push_back(object.location);
    }
    Ok((names, all))
}
