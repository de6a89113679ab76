//! Blobs that are compared with their digest while they are read.

use bytes::Bytes;
use futures_util::{StreamExt, stream};

use crate::oci::Digest;
use crate::storage;
use crate::storage::{ByteStream, Key};

use super::digester::Digester;

/// What is left of a blob, and what was seen of it.
struct Reading {
    bytes: ByteStream,
    digester: Digester,
    /// Sent when more has come, or when all is well.
    held: Option<Bytes>,
    key: Key,
    digest: Digest,
}

/// The same bytes, all of a blob: the last piece of it comes once they are known to be those that its name says.
pub(super) fn verified(bytes: ByteStream, key: Key, digest: Digest) -> ByteStream {
    let mut digester = Digester::new();
    digester.include(digest.algorithm());
    let reading = Reading {
        bytes,
        digester,
        held: None,
        key,
        digest,
    };
    let pieces = stream::try_unfold(Some(reading), |reading| async move {
        match reading {
            Some(reading) => reading.next().await,
            None => Ok(None),
        }
    });
    pieces.boxed()
}

impl Reading {
    /// The next piece, and what is left after it.
    async fn next(mut self) -> Result<Option<(Bytes, Option<Self>)>, storage::Error> {
        while let Some(piece) = self.bytes.next().await {
            let piece = piece?;
            self.digester.update(&piece);
            if let Some(before) = self.held.replace(piece) {
                return Ok(Some((before, Some(self))));
            }
        }
        let digests = self.digester.finish();
        if digests.like(&self.digest) != Some(&self.digest) {
            let what = "its bytes are not those that its name says";
            return Err(storage::Error::Corrupt {
                key: self.key,
                what,
            });
        }
        Ok(self.held.map(|last| (last, None)))
    }
}
