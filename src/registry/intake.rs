//! The way of a body into the store: in batches, each hashed and written while the next one comes.

use bytes::{Bytes, BytesMut};
use futures_util::future::try_join;
use futures_util::{Stream, StreamExt};

use crate::body::{ClientFault, client_fault};
use crate::oci::Algorithm;
use crate::storage;
use crate::storage::Key;
use crate::storage::Session;

use super::aside::aside;
use super::digester::{Digester, Digests};
use super::room::Room;
use super::{ByteSource, Error};

/// Bytes that are written and hashed at once. Two batches of each upload are in memory, with the frame that overran.
const BATCH: usize = 256 << 10;

/// The same, where all uploads together have gathered too much.
const FEW: usize = 32 << 10;

/// Bytes after which a chunk that goes on is brought to stable storage, so that whatever befalls the process takes
/// no more than these from an upload. At a gigabit one in about two seconds, each of some milliseconds on a disk that
/// keeps up: what is written has to get there in any case.
const SAVE_EVERY: u64 = if cfg!(test) { 1 << 20 } else { 256 << 20 };

/// An upload in hand with its digest.
pub(super) struct Intake {
    pub session: Session,
    pub digester: Digester,
    pub key: Key,
    room: Room,
}

/// How a body ended.
enum End<E> {
    More,
    Complete,
    Broken(E),
}

impl Intake {
    /// Goes on where the session was left. `None` if the state that was kept with it is damaged, foreign, or of another
    /// length: no digest could be trusted.
    pub(super) fn resume(session: Session, key: Key, room: Room) -> Option<Self> {
        let digester = Digester::load(session.state())?;
        (digester.length() == session.offset()).then_some(Self {
            session,
            digester,
            key,
            room,
        })
    }

    /// Takes the whole body, which has to be `expected` bytes long if that is known. What came of a body that breaks
    /// off is saved. After any other error the upload is as it was last saved.
    pub(super) async fn take(
        &mut self,
        mut body: ByteSource<'_>,
        expected: Option<u64>,
    ) -> Result<(), Error> {
        let begin = self.session.offset();
        let room = self.room.clone();
        let (mut batch, mut end) = collect(&room, &mut body).await;
        let mut unsaved = 0;
        loop {
            let came = self.session.offset() - begin + batch.len() as u64;
            if expected.is_some_and(|expected| came > expected) {
                return Err(Error::SizeMismatch);
            }
            unsaved += batch.len() as u64;
            match end {
                End::More => {
                    let save = unsaved >= SAVE_EVERY;
                    let next = async { Ok(collect(&room, &mut body).await) };
                    ((), (batch, end)) = try_join(self.absorb(batch, save), next).await?;
                    unsaved = if save { 0 } else { unsaved };
                }
                End::Complete => {
                    if expected.is_some_and(|expected| came != expected) {
                        return Err(Error::SizeMismatch);
                    }
                    return self.absorb(batch, false).await;
                }
                End::Broken(error) => {
                    // The client's fault is what is told; where the store fails too, less of the upload is kept.
                    let _ = self.absorb(batch, true).await;
                    return Err(client_fault(&*error).unwrap_or(ClientFault::Gone).into());
                }
            }
        }
    }

    async fn absorb(&mut self, batch: Bytes, save: bool) -> Result<(), Error> {
        if !batch.is_empty() {
            let hashing = hash(self.digester.clone(), batch.clone(), &self.key);
            let writing = self.session.write(batch);
            (self.digester, ()) = try_join(hashing, writing).await?;
            if self.room.is_full() {
                self.session.hand_on().await?;
            }
        }
        if save {
            self.session.save(self.digester.save()).await?;
        }
        Ok(())
    }

    /// Both digests of what was written, read once more: only for one that was not asked for before the first byte.
    pub(super) async fn read_back(&mut self) -> Result<Digests, Error> {
        let mut stream = self.session.read_back().await?;
        let mut digester = Digester::new();
        digester.include(Algorithm::Sha512);
        loop {
            let (batch, end) = collect(&self.room, &mut stream).await;
            if !batch.is_empty() {
                digester = hash(digester, batch, &self.key).await?;
            }
            match end {
                End::More => {}
                End::Complete => return Ok(digester.finish()),
                End::Broken(error) => return Err(error.into()),
            }
        }
    }
}

/// The next batch of a stream, and whether more may come.
async fn collect<S, E>(room: &Room, stream: &mut S) -> (Bytes, End<E>)
where
    S: Stream<Item = Result<Bytes, E>> + Unpin,
{
    let mut frames: Vec<Bytes> = Vec::new();
    let mut length = 0;
    let mut part = room.part();
    let end = loop {
        match stream.next().await {
            None => break End::Complete,
            Some(Err(error)) => break End::Broken(error),
            Some(Ok(frame)) => {
                length += frame.len();
                part.grow(frame.len());
                frames.push(frame);
            }
        }
        if length >= if room.is_full() { FEW } else { BATCH } {
            break End::More;
        }
    };
    if frames.len() == 1 {
        return (part.house(frames.swap_remove(0)), end);
    }
    let mut batch = BytesMut::with_capacity(length);
    for frame in frames {
        batch.extend_from_slice(&frame);
    }
    (part.house(batch.freeze()), end)
}

async fn hash(mut digester: Digester, bytes: Bytes, key: &Key) -> Result<Digester, storage::Error> {
    let size = bytes.len();
    let work = move || {
        digester.update(&bytes);
        digester
    };
    aside(size, key, work).await
}
