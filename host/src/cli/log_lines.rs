//! Lines of the log on their way to standard error: through one thread and a bounded queue, so that a log which nobody reads,
//! or which cannot be written, holds nobody up and ends nothing. What finds no place, or fails, is lost and counted.
//!
//! The crate `tracing-appender` has such a thread, too. It counts no lines that could not be written, and what it says when its
//! queue stays full goes to standard output by `println!`, which panics where that is closed.

use crate::metrics::Metrics;
use std::io::{self, ErrorKind, Write};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

/// Bytes of lines that wait: some 20,000 lines. More are lost.
const WAITING_BYTES_MAX: usize = 4 << 20;
/// What a waiting line takes beside its bytes.
const LINE_OVERHEAD_BYTES: usize = 64;

/// The way in, and what is known of those that are lost.
pub(super) struct Lines {
    queue: Sender<Entry>,
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    /// Bytes that wait.
    waiting: AtomicUsize,
    /// Lines that were lost since the log said so.
    untold: AtomicU64,
    /// Lines that were lost and are in no metric.
    uncounted: AtomicU64,
    metrics: OnceLock<Arc<Metrics>>,
}

enum Entry {
    Line(Box<[u8]>),
    /// Everything before it was written, or failed.
    Mark(SyncSender<()>),
}

/// What the log says when it goes on.
type Told = fn(u64) -> String;

impl Lines {
    /// Starts the thread.
    ///
    /// # Errors
    /// What the system says.
    pub fn start(out: impl Write + Send + 'static, told: Told) -> io::Result<Self> {
        let (queue, entries) = channel();
        let shared = Arc::new(Shared::default());
        let thread = Writer { out, told, shared: shared.clone(), torn: false };
        // It ends with the process.
        drop(std::thread::Builder::new().name("log".to_owned()).spawn(move || thread.run(&entries))?);
        Ok(Self { queue, shared })
    }

    /// Hands on one line, or several in one piece.
    pub fn say(&self, line: &[u8]) {
        let room = |waiting: usize| (waiting < WAITING_BYTES_MAX).then_some(waiting + line.len() + LINE_OVERHEAD_BYTES);
        if self.shared.waiting.fetch_update(Ordering::Relaxed, Ordering::Relaxed, room).is_err()
            || self.queue.send(Entry::Line(line.into())).is_err()
        {
            self.shared.lose();
        }
    }

    /// Waits until what was handed on is written; not longer than this.
    pub fn finish(&self, patience: Duration) {
        let (done, written) = sync_channel(1);
        if self.queue.send(Entry::Mark(done)).is_ok() {
            // Nobody reads the log any more, and there is nobody to tell it to.
            let _ = written.recv_timeout(patience);
        }
    }

    /// Counts lost lines there from now on, with those that are lost already.
    pub fn count_in(&self, metrics: Arc<Metrics>) {
        let _ = self.shared.metrics.set(metrics);
        self.shared.count(0);
    }
}

impl Write for &Lines {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.say(line);
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Shared {
    fn lose(&self) {
        self.untold.fetch_add(1, Ordering::Relaxed);
        self.count(1);
    }

    fn count(&self, lost: u64) {
        self.uncounted.fetch_add(lost, Ordering::AcqRel);
        if let Some(metrics) = self.metrics.get() {
            metrics.log_lines_lost_total.add(self.uncounted.swap(0, Ordering::AcqRel));
        }
    }
}

struct Writer<W> {
    out: W,
    told: Told,
    shared: Arc<Shared>,
    /// The last line was cut off in the middle.
    torn: bool,
}

impl<W: Write> Writer<W> {
    fn run(mut self, entries: &Receiver<Entry>) {
        for entry in entries {
            match entry {
                Entry::Line(line) => {
                    self.line(&line);
                    self.shared.waiting.fetch_sub(line.len() + LINE_OVERHEAD_BYTES, Ordering::Relaxed);
                }
                // Whoever asked may have gone.
                Entry::Mark(done) => drop(done.try_send(())),
            }
        }
    }

    fn line(&mut self, line: &[u8]) {
        if !self.write(line) {
            return self.shared.lose();
        }
        let lost = self.shared.untold.swap(0, Ordering::Relaxed);
        let told = self.told;
        if lost > 0 && !self.write(told(lost).as_bytes()) {
            self.shared.untold.fetch_add(lost, Ordering::Relaxed);
        }
    }

    fn write(&mut self, line: &[u8]) -> bool {
        if self.torn && !self.bytes(b"\n") {
            return false;
        }
        self.torn = false;
        self.bytes(line)
    }

    fn bytes(&mut self, bytes: &[u8]) -> bool {
        let mut rest = bytes;
        while !rest.is_empty() {
            match self.out.write(rest) {
                Ok(0) => break,
                Ok(written) => rest = &rest[written..],
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(_) => break,
            }
        }
        self.torn |= !rest.is_empty() && rest.len() < bytes.len();
        rest.is_empty() && self.out.flush().is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use parking_lot::Mutex;

    /// A log that takes so many bytes, and one that says when it is asked to take the first.
    struct Disk(Arc<Mutex<(usize, Vec<u8>)>>);

    impl Write for Disk {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let (room, content) = &mut *self.0.lock();
            let taken = bytes.len().min(*room);
            *room -= taken;
            content.extend_from_slice(&bytes[..taken]);
            if taken == 0 { Err(ErrorKind::StorageFull.into()) } else { Ok(taken) }
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// A log that nobody reads until somebody does.
    struct Pipe(Receiver<()>, Arc<Mutex<Vec<u8>>>);

    impl Write for Pipe {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            // An error: it is read for ever.
            let _ = self.0.recv();
            self.1.lock().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    const PATIENCE: Duration = Duration::from_secs(60);

    fn told(lost: u64) -> String {
        format!("{lost} lost\n")
    }

    #[test]
    fn lines_that_cannot_be_written_are_counted_and_told_when_it_goes_on() {
        let disk = Arc::new(Mutex::new((8, Vec::new())));
        let lines = Lines::start(Disk(disk.clone()), told).unwrap();
        let metrics = Arc::new(Metrics::default());
        for line in ["first\n", "second\n", "third\n"] {
            lines.say(line.as_bytes());
        }
        lines.finish(PATIENCE);
        lines.count_in(metrics.clone());
        assert_eq!(metrics.log_lines_lost_total.get(), 2);
        disk.lock().0 = 1000;
        lines.say(b"fourth\n");
        lines.say(b"fifth\n");
        lines.finish(PATIENCE);
        assert_eq!(String::from_utf8_lossy(&disk.lock().1), "first\nse\nfourth\n2 lost\nfifth\n");
        assert_eq!(metrics.log_lines_lost_total.get(), 2);
    }

    #[test]
    fn a_log_that_nobody_reads_holds_up_nobody_and_takes_so_much_memory() {
        let (read, reader) = channel();
        let written = Arc::new(Mutex::new(Vec::new()));
        let lines = Lines::start(Pipe(reader, written.clone()), told).unwrap();
        let metrics = Arc::new(Metrics::default());
        lines.count_in(metrics.clone());
        let line = [b'x'; 1 << 20];
        for _ in 0..10 {
            lines.say(&line);
        }
        assert_eq!(metrics.log_lines_lost_total.get(), 6, "four are 256 bytes more than may wait");
        lines.finish(Duration::ZERO);
        drop(read);
        lines.finish(PATIENCE);
        let written = written.lock();
        assert_eq!(written.len(), (4 << 20) + "6 lost\n".len());
        assert!(written[1 << 20..].starts_with(b"6 lost\n"));
    }
}
