//! Work that would hold up everybody else on its thread.

use crate::storage;
use crate::storage::Key;

/// Fewer bytes are worked on where they are; a trip to another thread would take longer.
const FEW: usize = 16 << 10;

/// Does `work` on `size` bytes of `key`, on a thread for such work if they are many.
pub(super) async fn aside<T: Send + 'static>(
    size: usize,
    key: &Key,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, storage::Error> {
    if size <= FEW {
        return Ok(work());
    }
    let done = tokio::task::spawn_blocking(work).await;
    // Only while the process ends.
    done.map_err(|error| storage::Error::Unavailable {
        key: key.clone(),
        source: error.into(),
    })
}
