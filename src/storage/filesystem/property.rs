//! What holds of every state of an upload that a disk may hold.

use bytes::Bytes;
use sha2::{Digest as _, Sha256};

use super::saved::Saved;

/// A file as it is, and one whose checksum fits whatever stands before it: what is read is what would be written.
pub(crate) fn saved(data: &[u8]) {
    let body = [b"dockgate upload 1\n", data].concat();
    let sum = Sha256::digest(&body);
    for file in [data.to_vec(), [&body[..], &sum].concat()] {
        let file = Bytes::from(file);
        if let Some(saved) = Saved::decode(&file) {
            assert_eq!(saved.encode(), file);
        } else {
            assert!(
                file.len() < 58 || !file.starts_with(&body),
                "a good file is not read"
            );
        }
    }
}
