//! A bucket that ends with the process.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use object_store::Attributes;
use object_store::memory::InMemory;

use super::backend::{Backend, CHUNK};
use super::copy::Copying;

pub(super) fn open() -> Backend {
    let store = Arc::new(InMemory::new());
    Backend {
        objects: store.clone(),
        parts: store,
        pages: None,
        signer: None,
        copying: Copying::Plain,
        attributes: Attributes::new(),
        chunk: CHUNK,
        start_after: false,
        unconditional: AtomicBool::new(false),
        place: "memory".to_owned(),
        prefix: String::new(),
    }
}
