//! Reading, and going on where a connection broke.

use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures_util::stream::{self, BoxStream};
use futures_util::{StreamExt, TryStreamExt};
use object_store::{GetOptions, GetRange, GetResult};

use super::super::{ByteStream, Error, Key};
use super::backend::Backend;
use super::copy;
use super::fault;

/// An object that breaks off this often without one byte in between is given up.
const ATTEMPTS: u32 = 4;

/// All bytes of a small object.
pub(super) async fn whole(
    backend: &Arc<Backend>,
    key: &Key,
    most: u64,
) -> Result<Option<Bytes>, Error> {
    let Some(got) = get(backend, key, GetOptions::default()).await? else {
        return Ok(None);
    };
    if got.meta.size > most {
        return Err(Error::Corrupt {
            key: key.clone(),
            what: "it is far too long for what it should be",
        });
    }
    let size = got.meta.size;
    let mut bytes = BytesMut::with_capacity(usize::try_from(size).unwrap_or(0));
    let mut body = Reading::new(backend, key, got, 0..size).into_stream();
    while let Some(more) = body.try_next().await? {
        bytes.extend_from_slice(&more);
    }
    Ok(Some(bytes.freeze()))
}

/// A range of an object.
pub(super) async fn stream(
    backend: &Arc<Backend>,
    key: &Key,
    range: Range<u64>,
) -> Result<Option<ByteStream>, Error> {
    let short = || Error::Corrupt {
        key: key.clone(),
        what: "it is shorter than it was",
    };
    if range.is_empty() {
        let size = backend.size(key).await?;
        return Ok(size.map(|_| stream::empty().boxed()));
    }
    let options = GetOptions::default().with_range(Some(GetRange::Bounded(range.clone())));
    let got = match get(backend, key, options).await {
        Ok(Some(got)) if got.range == range => got,
        Ok(Some(_)) => return Err(short()),
        Ok(None) => return Ok(None),
        Err(error @ Error::Failed { .. }) => {
            // Each store has its own words for a range beyond the end.
            return match backend.size(key).await? {
                Some(size) if size < range.end => Err(short()),
                _ => Err(error),
            };
        }
        Err(error) => return Err(error),
    };
    Ok(Some(Reading::new(backend, key, got, range).into_stream()))
}

async fn get(
    backend: &Backend,
    key: &Key,
    options: GetOptions,
) -> Result<Option<GetResult>, Error> {
    match backend.objects.get_opts(&backend.path(key)?, options).await {
        Ok(got) if copy::is_pending(&got.extensions) => Ok(None),
        Ok(got) => Ok(Some(got)),
        Err(error) if fault::is_missing(&error) => Ok(None),
        Err(error) => Err(backend.fault(key, "read", &error)),
    }
}

/// An object that is being read.
struct Reading {
    backend: Arc<Backend>,
    key: Key,
    /// Which of the objects that may come to lie under this name.
    tag: Option<String>,
    body: BoxStream<'static, object_store::Result<Bytes>>,
    /// What is still to come.
    left: Range<u64>,
    /// Breaks since the last byte.
    broken: u32,
}

impl Reading {
    fn new(backend: &Arc<Backend>, key: &Key, got: GetResult, left: Range<u64>) -> Self {
        Self {
            backend: Arc::clone(backend),
            key: key.clone(),
            tag: got.meta.e_tag.clone(),
            body: got.into_stream(),
            left,
            broken: 0,
        }
    }

    fn into_stream(self) -> ByteStream {
        stream::try_unfold(self, |mut reading| async move {
            Ok(reading.next().await?.map(|bytes| (bytes, reading)))
        })
        .boxed()
    }

    async fn next(&mut self) -> Result<Option<Bytes>, Error> {
        loop {
            if self.left.is_empty() {
                return Ok(None);
            }
            let fault = match self.body.next().await {
                Some(Ok(bytes)) if bytes.is_empty() => continue,
                Some(Ok(mut bytes)) => {
                    let left = usize::try_from(self.left.end - self.left.start);
                    bytes.truncate(left.unwrap_or(usize::MAX));
                    self.left.start += bytes.len() as u64;
                    self.broken = 0;
                    return Ok(Some(bytes));
                }
                Some(Err(error)) => self.backend.fault(&self.key, "read", &error),
                None => Error::Unavailable {
                    key: self.key.clone(),
                    source: "the answer ended early".into(),
                },
            };
            self.broken += 1;
            if self.broken >= ATTEMPTS {
                return Err(fault);
            }
            self.go_on().await?;
        }
    }

    /// Asks for what is still to come.
    async fn go_on(&mut self) -> Result<(), Error> {
        tokio::time::sleep(Duration::from_millis(100) * 4_u32.pow(self.broken - 1)).await;
        let options = GetOptions::default()
            .with_range(Some(GetRange::Bounded(self.left.clone())))
            .with_if_match(self.tag.clone());
        let path = self.backend.path(&self.key)?;
        let changed = Error::Corrupt {
            key: self.key.clone(),
            what: "it was replaced or removed while it was read",
        };
        match self.backend.objects.get_opts(&path, options).await {
            Ok(got) if got.range == self.left => self.body = got.into_stream(),
            Ok(_) => return Err(changed),
            Err(error) if fault::is_missing(&error) || fault::is_overtaken(&error) => {
                return Err(changed);
            }
            Err(error) => return Err(self.backend.fault(&self.key, "read", &error)),
        }
        Ok(())
    }
}
