//! The threads that serving needs. Without them tokio would end the program in a panic.

use std::io;
use std::sync::{Arc, Mutex};
use std::thread;

/// One writes the log, one the access log, and one does what blocks. Of those that block more are started when they can be had;
/// while serving, the look at the files of the configuration each second never lets all of them go, so that what blocks has one
/// to wait for when the system gives no other.
const BESIDE: usize = 3;

/// The system refuses one of them.
#[derive(Debug, thiserror::Error)]
#[error(
    "cannot start the {needed} threads that serving needs; raise the limit of tasks (TasksMax= of the unit, the pids limit of the \
     container, ulimit -u)"
)]
pub(super) struct Refused {
    /// How many.
    needed: usize,
    /// Its word.
    source: io::Error,
}

/// Has as many threads at once as serving starts with, for a moment.
///
/// # Errors
/// They cannot be had.
pub(super) fn rehearse() -> Result<(), Refused> {
    // tokio has one for each processor.
    let needed = thread::available_parallelism().map_or(1, Into::into) + BESIDE;
    start(needed).map_err(|source| Refused { needed, source })
}

fn start(count: usize) -> io::Result<()> {
    let stage = Arc::new(Mutex::new(()));
    let threads = {
        let _closed = stage.lock();
        let start = |_| {
            let stage = Arc::clone(&stage);
            thread::Builder::new().spawn(move || drop(stage.lock()))
        };
        (0..count).map(start).collect::<io::Result<Vec<_>>>()?
    };
    for thread in threads {
        // It has done nothing that could fail.
        let _ = thread.join();
    }
    Ok(())
}
