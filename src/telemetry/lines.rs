//! Lines on their way to a stream that may be slow, full or gone: the process never waits for it.

use std::io::{self, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::thread;
use std::time::Duration;

use tokio::time::Instant;

use crate::confine;
use crate::metrics::Count;

/// Lines that may wait; at 200 bytes each as many as `MAX_BYTES`.
const MAX_LINES: usize = 16 * 1024;
/// Bytes that may wait: a second or two of a busy gate, and all that a stuck log collector can cost.
const MAX_BYTES: usize = 4 * 1024 * 1024;
/// Bytes written at once where more than one line waits.
const BATCH: usize = 64 * 1024;

/// The near end of a bounded queue with one writing thread behind it.
#[derive(Clone, Debug)]
pub(super) struct Lines {
    sender: SyncSender<Command>,
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    waiting: AtomicUsize,
    lost: AtomicU64,
    /// All of them since the start.
    all_lost: Count,
}

impl Shared {
    fn lose(&self, lines: u64) {
        self.lost.fetch_add(lines, Ordering::Relaxed);
        self.all_lost.add(lines);
    }
}

#[derive(Debug)]
enum Command {
    Line(Vec<u8>),
    Flush(SyncSender<()>),
}

impl Lines {
    /// Starts the thread `name` that writes to `out` until the last clone of the result is dropped. Lines that are lost
    /// are counted in `all_lost` too.
    pub(super) fn start(
        name: &str,
        out: impl Write + Send + 'static,
        all_lost: Count,
    ) -> io::Result<Self> {
        let (sender, receiver) = sync_channel(MAX_LINES);
        let shared = Arc::new(Shared {
            all_lost,
            ..Shared::default()
        });
        let writer = Writer {
            receiver,
            shared: Arc::clone(&shared),
            out,
            torn: false,
        };
        thread::Builder::new()
            .name(name.to_owned())
            .spawn(move || {
                confine::nothing();
                writer.run();
            })?;
        Ok(Self { sender, shared })
    }

    /// Hands over one line, its line feed included; `false`: there is no room and the line is lost.
    pub(super) fn push(&self, line: Vec<u8>) -> bool {
        let length = line.len();
        let waiting = self.shared.waiting.fetch_add(length, Ordering::Relaxed);
        if waiting + length <= MAX_BYTES && self.sender.try_send(Command::Line(line)).is_ok() {
            return true;
        }
        self.shared.waiting.fetch_sub(length, Ordering::Relaxed);
        self.shared.lose(1);
        false
    }

    /// Whether `take_lost` would tell of any.
    pub(super) fn has_lost(&self) -> bool {
        self.shared.lost.load(Ordering::Relaxed) > 0
    }

    /// The lines lost since the last call, for want of room or because the stream refused them.
    pub(super) fn take_lost(&self) -> u64 {
        self.shared.lost.swap(0, Ordering::Relaxed)
    }

    /// Blocks until everything handed over so far is written, `patience` at the most; whether it is.
    pub(super) fn flush(&self, patience: Duration) -> bool {
        let deadline = Instant::now() + patience;
        let (done, written) = sync_channel(1);
        let mut command = Command::Flush(done);
        while let Err(error) = self.sender.try_send(command) {
            use std::sync::mpsc::TrySendError::{Disconnected, Full};
            command = match error {
                Full(command) if Instant::now() < deadline => command,
                Full(_) | Disconnected(_) => return false,
            };
            thread::sleep(Duration::from_millis(2));
        }
        let left = deadline.saturating_duration_since(Instant::now());
        !matches!(
            written.recv_timeout(left),
            Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected)
        )
    }
}

struct Writer<W> {
    receiver: Receiver<Command>,
    shared: Arc<Shared>,
    out: W,
    /// The stream failed in the middle of a line.
    torn: bool,
}

impl<W: Write> Writer<W> {
    fn run(mut self) {
        let mut batch = Vec::new();
        while let Ok(first) = self.receiver.recv() {
            let mut next = Some(first);
            let mut lines = 0;
            let mut flushed = Vec::new();
            while let Some(command) = next {
                match command {
                    Command::Line(line) => {
                        lines += 1;
                        batch.extend_from_slice(&line);
                    }
                    Command::Flush(done) => flushed.push(done),
                }
                next = (batch.len() < BATCH)
                    .then(|| self.receiver.try_recv().ok())
                    .flatten();
            }
            let through = self.write(&batch);
            self.shared.lose(lines - through.min(lines));
            self.shared
                .waiting
                .fetch_sub(batch.len(), Ordering::Relaxed);
            // A burst of long lines is not a reason to keep their room for ever.
            batch = Vec::new();
            for done in flushed {
                // Whoever asked may have lost patience.
                let _ = done.try_send(());
            }
        }
    }

    /// Writes whole lines, and tells how many of them the stream took. One that it took a part of is lost, and what
    /// comes after begins a line of its own: a disk that was full for a moment spoils no line but those that it missed.
    fn write(&mut self, mut batch: &[u8]) -> u64 {
        if batch.is_empty() || (self.torn && self.write_some(b"\n").is_err()) {
            return 0;
        }
        self.torn = false;
        let mut through = 0;
        while let Ok(count @ 1..) = self.write_some(batch) {
            let (written, rest) = batch.split_at(count.min(batch.len()));
            through += written
                .iter()
                .map(|byte| u64::from(*byte == b'\n'))
                .sum::<u64>();
            self.torn = !written.ends_with(b"\n");
            batch = rest;
            if batch.is_empty() {
                break;
            }
        }
        match self.out.flush() {
            Ok(()) => through,
            Err(_) => 0,
        }
    }

    /// As much as the stream takes at once; it may have to be waited for.
    fn write_some(&mut self, bytes: &[u8]) -> io::Result<usize> {
        loop {
            match self.out.write(bytes) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                // Somebody who shares the stream has made it so.
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    thread::sleep(Duration::from_millis(10));
                }
                done => return done,
            }
        }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use std::sync::mpsc::{Receiver, Sender, channel};
    use std::sync::{Arc, Mutex};

    use super::*;

    /// A stream that remembers what was written.
    #[derive(Clone, Default)]
    pub(in crate::telemetry) struct Memory(pub(in crate::telemetry) Arc<Mutex<Vec<u8>>>);

    impl Write for Memory {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    impl Memory {
        pub(in crate::telemetry) fn text(&self) -> String {
            String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
        }
    }

    /// A stream that is stuck until it is told otherwise.
    struct Stuck(Receiver<()>);

    impl Write for Stuck {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let _ = self.0.recv();
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    pub(in crate::telemetry) fn stuck() -> (Sender<()>, impl Write + Send) {
        let (release, stuck) = channel();
        (release, Stuck(stuck))
    }

    struct Gone;

    impl Write for Gone {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(io::ErrorKind::BrokenPipe.into())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    const PATIENCE: Duration = Duration::from_secs(20);

    #[test]
    fn lines_arrive_in_order_and_whole() {
        let memory = Memory::default();
        let lines = Lines::start("test", memory.clone(), Count::default()).unwrap();
        let mut expected = String::new();
        for number in 0..5000 {
            let line = format!("line {number}\n");
            expected.push_str(&line);
            assert!(lines.push(line.into_bytes()));
        }
        assert!(lines.flush(PATIENCE));
        assert_eq!(memory.text(), expected);
        assert_eq!(lines.take_lost(), 0);
    }

    #[test]
    fn p3_a_stuck_stream_costs_bounded_memory_and_no_time() {
        let (release, out) = stuck();
        let lines = Lines::start("test", out, Count::default()).unwrap();
        let pushed = (0..10_000).filter(|_| lines.push(vec![b'x'; 1024])).count();
        // What waits, and the batch in the thread's hand, which counts until it is written.
        assert_eq!(pushed * 1024, MAX_BYTES);
        assert_eq!(lines.take_lost(), 10_000 - pushed as u64);
        assert!(!lines.flush(Duration::from_millis(20)));
        drop(release);
        assert!(lines.flush(PATIENCE));
        assert!(lines.push(b"on again\n".to_vec()));
    }

    /// A disk with so much room.
    #[derive(Clone)]
    struct Disk(Arc<Mutex<(usize, Vec<u8>)>>);

    impl Write for Disk {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let (room, kept) = &mut *self.0.lock().unwrap();
            let some = bytes.len().min(*room);
            if some == 0 {
                return Err(io::ErrorKind::StorageFull.into());
            }
            *room -= some;
            kept.extend_from_slice(&bytes[..some]);
            Ok(some)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn p3_a_full_disk_spoils_no_line_but_those_that_it_missed() {
        let disk = Disk(Arc::new(Mutex::new((13, Vec::new()))));
        let lines = Lines::start("test", disk.clone(), Count::default()).unwrap();
        for line in ["one\n", "two\n", "three and more\n", "four\n"] {
            assert!(lines.push(line.into()));
            assert!(lines.flush(PATIENCE));
        }
        assert_eq!(lines.take_lost(), 2);
        disk.0.lock().unwrap().0 = 1000;
        assert!(lines.push("five\n".into()) && lines.push("six\n".into()));
        assert!(lines.flush(PATIENCE));
        assert_eq!(lines.take_lost(), 0);
        let kept = disk.0.lock().unwrap().1.clone();
        assert_eq!(
            String::from_utf8(kept).unwrap(),
            "one\ntwo\nthree\nfive\nsix\n"
        );
    }

    #[test]
    fn p3_lines_that_a_dead_stream_refuses_are_counted() {
        let lines = Lines::start("test", Gone, Count::default()).unwrap();
        for _ in 0..7 {
            assert!(lines.push(b"line\n".to_vec()));
        }
        assert!(lines.flush(PATIENCE));
        assert_eq!(lines.take_lost(), 7);
    }
}
