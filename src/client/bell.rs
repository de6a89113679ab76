//! Wakes whoever drives a connection, but not for what he does to it himself.
//!
//! Handing over a request, and asking for a piece of a body, wake the connection. Who does it drives the connection right
//! afterwards, so the task would be woken for what is done already: each request would be gone through twice more.

use std::cell::Cell;
use std::sync::Arc;
use std::task::{Context, Wake, Waker};

use futures_util::task::AtomicWaker;

thread_local! {
    /// This thread is doing something to a connection that it drives next.
    static QUIET: Cell<bool> = const { Cell::new(false) };
}

/// Of one connection.
pub(super) struct Bell {
    driver: Arc<Driver>,
    /// The same, as it is given to the connection.
    waker: Waker,
}

/// Who drives the connection at the moment.
#[derive(Default)]
struct Driver(AtomicWaker);

impl Default for Bell {
    fn default() -> Self {
        let driver = Arc::<Driver>::default();
        Self {
            waker: Waker::from(Arc::clone(&driver)),
            driver,
        }
    }
}

impl Bell {
    /// From now on it rings for this task. What is polled with it has to be polled again after anything that was done
    /// [`quietly`].
    pub(super) fn rings_for(&self, cx: &Context<'_>) -> Context<'_> {
        self.driver.0.register(cx.waker());
        Context::from_waker(&self.waker)
    }
}

impl Wake for Driver {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        // Other threads bring what the driver does not know yet.
        if !QUIET.get() {
            self.0.wake();
        }
    }
}

/// Does something to a connection that is driven next. No bell of this thread rings meanwhile.
pub(super) fn quietly<T>(does: impl FnOnce() -> T) -> T {
    /// However it ends.
    struct Quiet;

    impl Drop for Quiet {
        fn drop(&mut self) {
            QUIET.set(false);
        }
    }

    QUIET.set(true);
    let _quiet = Quiet;
    does()
}

#[cfg(test)]
mod tests {
    use std::panic::catch_unwind;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::thread;

    use super::*;

    #[derive(Default)]
    struct Counted(AtomicUsize);

    impl Wake for Counted {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// A bell, what it gives to the connection, and how often the task was woken.
    fn bell() -> (Bell, Waker, Arc<Counted>) {
        let (bell, task) = (Bell::default(), Arc::<Counted>::default());
        let waker = Waker::from(Arc::clone(&task));
        let given = bell.rings_for(&Context::from_waker(&waker)).waker().clone();
        (bell, given, task)
    }

    #[test]
    fn the_task_is_woken_for_what_others_do_and_not_for_its_own() {
        let (_bell, given, task) = bell();
        quietly(|| given.wake_by_ref());
        assert_eq!(task.0.load(Ordering::Relaxed), 0);
        given.wake();
        assert_eq!(task.0.load(Ordering::Relaxed), 1);
    }

    #[test]
    fn another_thread_is_heard_while_this_one_is_quiet() {
        let (_bell, given, task) = bell();
        quietly(|| thread::spawn(move || given.wake()).join().unwrap());
        assert_eq!(task.0.load(Ordering::Relaxed), 1);
    }

    #[test]
    fn who_drove_before_is_not_woken() {
        let (bell, given, before) = bell();
        let task = Arc::<Counted>::default();
        bell.rings_for(&Context::from_waker(&Waker::from(Arc::clone(&task))));
        given.wake();
        assert_eq!(before.0.load(Ordering::Relaxed), 0);
        assert_eq!(task.0.load(Ordering::Relaxed), 1);
    }

    #[test]
    fn what_breaks_leaves_no_silence_behind() {
        let (_bell, given, task) = bell();
        assert!(catch_unwind(|| quietly(|| panic!("broken"))).is_err());
        given.wake();
        assert_eq!(task.0.load(Ordering::Relaxed), 1);
    }
}
