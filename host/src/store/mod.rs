//! What survives a restart: retained messages, mailboxes with their queues, wills, modules and what they keep.
//!
//! Others hand over [`Change`]s and are told how far the disk has got; everything is read back once, at start. One
//! thread writes, in groups, so that a sync is shared by all who wait for it.
//!
//! | File | Job |
//! |---|---|
//! | `change` | the closed list of facts worth keeping |
//! | `tables` | every table, its key, the format version |
//! | `row` | bytes of each row, encode next to decode, own checksum |
//! | `encoding` | numbers, texts and lists in those bytes |
//! | `apply` | what each change does to the tables |
//! | `removals` | rows that go, in runs |
//! | `coalesce` | which changes of a batch undo each other |
//! | `writer` | one thread: gather waiting changes, one transaction, report the sequence |
//! | `open` | the file, its lock, its modes, what can be wrong with it |
//! | `load` | read back at start what has to be there at once |
//! | `page` | read the rest of long queues while they drain |
//! | `reserve` | room for a full disk |
//! | `maintenance` | check and compact a store that nobody has open |

mod apply;
mod change;
mod coalesce;
mod encoding;
mod load;
mod maintenance;
mod open;
mod page;
mod removals;
mod reserve;
mod row;
mod shared;
mod tables;
mod writer;

#[cfg(test)]
pub(crate) mod tests;

pub use change::*;
pub use load::{Loaded, LoadedEntry, LoadedMailbox, LoadedState, Rest};
pub use maintenance::{Checked, check, compact, salvage};
pub use open::{OpenError, looks_into_a_store};
pub use page::Page;

use crate::message::Time;
use crate::metrics::Metrics;
use open::Opener;
use parking_lot::Mutex;
use redb::StorageBackend;
use shared::{Read, Shared};
use std::io;
use std::path::Path;
use std::sync::{Arc, mpsc};
use std::thread::{self, JoinHandle};
use std::time::Duration;
use writer::Writer;

/// A page of a queue ends behind the entry with which it reaches so many bytes.
const PAGE_BYTES: usize = 4 << 20;

/// Bounds of the store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Memory for pages of the database, in bytes. Default 64 MiB.
    pub cache_bytes: usize,
    /// Most changes in one commit; a submission that is larger is one by itself. Default 4096.
    pub batch_changes_max: usize,
    /// Most bytes in one commit, with the same exception. Default 4 MiB.
    pub batch_bytes_max: usize,
    /// Changes waiting for the disk from which on [`Store::is_full`] asks for patience. Default 262,144.
    pub backlog_changes_max: usize,
    /// The same in bytes, or half of the reserve if that is less. Default 64 MiB.
    pub backlog_bytes_max: usize,
    /// How long changes that nobody waits for may gather. Default 10 ms: a crash that comes before brings deliveries back
    /// whose receivers had settled them so shortly before, as at-least-once has it.
    pub later_interval: Duration,
    /// How long [`Durability::Relaxed`] may gather. Default 1 second.
    pub relaxed_interval: Duration,
    /// How long to wait before a store that failed is opened again. Default 1 second.
    pub retry_interval: Duration,
    /// Room set aside on the disk, in bytes, which is given back when the disk is full: then nothing more is taken, but
    /// receivers can empty their queues. 0: none. Default 64 MiB.
    pub reserve_bytes: u64,
    /// Save with each commit what makes the next start after a crash quick, instead of reading the whole file then.
    /// Default true: with 514 MB on disk it halved that start, and commits took no longer that could be measured.
    pub quick_repair: bool,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            cache_bytes: 64 << 20,
            batch_changes_max: 4096,
            batch_bytes_max: 4 << 20,
            backlog_changes_max: 262_144,
            backlog_bytes_max: 64 << 20,
            later_interval: Duration::from_millis(10),
            relaxed_interval: Duration::from_secs(1),
            retry_interval: Duration::from_secs(1),
            reserve_bytes: 64 << 20,
            quick_repair: true,
        }
    }
}

/// What acknowledged means.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Durability {
    /// Synced to disk.
    #[default]
    Commit,
    /// Handed to the writer, which syncs within [`Limits::relaxed_interval`]. A crash loses what came after the last
    /// sync, and nothing else; what is on disk is as consistent as ever. Where the disk is slower than that, acknowledged is
    /// what is synced, until it has caught up: no more than two intervals are at stake.
    Relaxed,
}

/// The store. Cheap to clone; closed with its last clone or by [`Store::close`].
#[derive(Clone)]
pub struct Store(Arc<Inner>);

struct Inner {
    shared: Arc<Shared>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl Store {
    /// Opens the store in a data directory and reads it, but for the rest of long queues; makes what is missing. `now` decides what has expired.
    pub fn open(
        directory: &Path,
        limits: &Limits,
        durability: Durability,
        metrics: Arc<Metrics>,
        now: Time,
    ) -> Result<(Self, Loaded), OpenError> {
        let opener = Opener::directory(directory, limits.cache_bytes, limits.reserve_bytes)?;
        Self::start(opener, limits, durability, metrics, now)
    }

    /// The same on any storage. `make` is called at once, and again after each failure; it must give access to the same
    /// bytes each time.
    pub fn with_backend<B: StorageBackend>(
        make: impl Fn() -> io::Result<B> + Send + 'static,
        limits: &Limits,
        durability: Durability,
        metrics: Arc<Metrics>,
        now: Time,
    ) -> Result<(Self, Loaded), OpenError> {
        let opener = Opener::backend(make, limits.cache_bytes);
        Self::start(opener, limits, durability, metrics, now)
    }

    /// An empty one that forgets all when it is closed, for tests and benches.
    pub fn in_memory(limits: &Limits, durability: Durability, metrics: Arc<Metrics>) -> (Self, Loaded) {
        let make = || Ok(redb::backends::InMemoryBackend::new());
        Self::with_backend(make, limits, durability, metrics, Time(0)).expect("memory neither fails nor is damaged")
    }

    fn start(
        opener: Opener,
        limits: &Limits,
        durability: Durability,
        metrics: Arc<Metrics>,
        now: Time,
    ) -> Result<(Self, Loaded), OpenError> {
        let head = load::Head::SMALL;
        let open = || opener.open_and(|database| load::load(database, now, head, true));
        let mut low = false;
        let (database, (loaded, counters, several)) = match open() {
            // The disk may be full: to begin takes a page or two.
            Err(OpenError::Unusable { .. }) if opener.reserve.give_up().is_some() => {
                low = true;
                open()?
            }
            opened => opened?,
        };
        metrics.store_damaged_rows_total.add(loaded.damaged as u64);
        let shared = Arc::new(Shared::new(durability, limits.clone(), metrics));
        let aside = if low { Ok(()) } else { opener.reserve.set_aside_some() };
        // The reserve may have been used up before this start: then what is left has to do for emptying queues.
        let low = low || aside.as_ref().is_err_and(reserve::is_full);
        match aside {
            // Whatever is left belongs to those who empty queues.
            _ if low => shared.begin_low(0),
            Ok(()) => {}
            Err(error) => tracing::warn!(%error, "no room can be set aside for a full disk"),
        }
        let writer = Writer::new(shared.clone(), opener, database, counters, several);
        let thread = thread::Builder::new().name("store".into()).spawn(move || writer.run());
        let thread = Mutex::new(Some(thread.map_err(OpenError::Thread)?));
        Ok((Self(Arc::new(Inner { shared, thread })), loaded))
    }

    /// Hands changes over; never waits for the disk. All of them are written together or not at all, after all that
    /// was submitted before. Returns the number that [`Store::committed`] reaches when they are on disk; 0 if there
    /// were none. The iterator runs under a lock: it should do nothing but hand out what is there.
    pub fn submit(&self, changes: impl IntoIterator<Item = Change>) -> Sequence {
        self.0.shared.submit(changes, true)
    }

    /// The same for changes that nobody is going to wait for: they are written with the next ones for which somebody does,
    /// or after [`Limits::later_interval`].
    pub fn submit_later(&self, changes: impl IntoIterator<Item = Change>) {
        self.0.shared.submit(changes, false);
    }

    /// Reads entries of a queue that [`LoadedMailbox::rest`] told of: up to `most` of those with numbers after `after` and
    /// up to `to`. `then` is called with them on the writer's thread, after its next commit; it must not wait for the store.
    /// Not called if the store is closed before that.
    pub fn read_queue(
        &self,
        mailbox: MailboxId,
        (after, to): (u64, u64),
        most: usize,
        then: Box<dyn FnOnce(Page) + Send>,
    ) {
        let wanted = page::Wanted { mailbox, after, to, most, bytes: PAGE_BYTES };
        self.0.shared.read(Read::Page(wanted, then));
    }

    /// Reads the bytes of a component that some version of a module names. None: there are none of this digest, they are
    /// damaged, or `patience` is over. Waits for the disk.
    pub fn read_component(&self, digest: &str, patience: Duration) -> Option<Arc<[u8]>> {
        let (sender, receiver) = mpsc::sync_channel(1);
        // Who does not wait any more does not want it any more.
        let then = move |component| drop(sender.send(component));
        self.0.shared.read(Read::Component(digest.into(), Box::new(then)));
        receiver.recv_timeout(patience).ok().flatten()
    }

    /// Submissions with this number and smaller ones may be acknowledged. Never goes back.
    pub fn committed(&self) -> Sequence {
        self.0.shared.committed()
    }

    /// The number of the last submission, for whoever is going to wait for it.
    pub fn submitted(&self) -> Sequence {
        self.0.shared.submitted()
    }

    /// Has `callback` called on the writer's thread after each commit with what [`Store::committed`] says now, and
    /// with the same number as before when the store begins to fail. It must neither wait for the store nor call this.
    pub fn on_commit(&self, callback: Box<dyn Fn(Sequence) + Send + Sync>) {
        self.0.shared.on_commit(callback);
    }

    /// Whether the disk does its duty. If not, nothing is acknowledged; what is submitted waits for better times.
    pub fn is_healthy(&self) -> bool {
        self.0.shared.is_healthy()
    }

    /// Changes waiting for the disk.
    pub fn backlog(&self) -> usize {
        self.0.shared.backlog()
    }

    /// Whether so much waits for the disk that nothing more should be taken from publishers. Submitting is possible
    /// still: whoever has begun something can finish it.
    pub fn is_full(&self) -> bool {
        self.0.shared.is_full()
    }

    /// Whether the disk does its duty, has room and keeps up: whatever has to be kept may be taken.
    pub fn has_room(&self) -> bool {
        self.is_healthy() && !self.is_full() && !self.is_out_of_space()
    }

    /// Whether the disk is full: the reserve is used up, and no more was deleted than written since.
    pub fn is_out_of_space(&self) -> bool {
        self.0.shared.is_out_of_space()
    }

    /// Whether something little may be taken on a full disk: as long as no more than a quarter of the reserve went for such.
    /// The rest is for what settles and deletes.
    pub fn has_room_for_little(&self) -> bool {
        self.is_healthy() && self.0.shared.has_room_for_little()
    }

    /// Waits until all that was submitted so far is on disk; false: the store fails or `patience` is over.
    pub fn flush_blocking(&self, patience: Duration) -> bool {
        self.0.shared.flush(patience)
    }

    /// Writes what waits and closes the file; returns whether everything is on disk. A store that fails gets one more
    /// chance. What is submitted later is lost.
    pub fn close(&self) -> bool {
        self.0.close()
    }
}

impl Inner {
    fn close(&self) -> bool {
        self.shared.begin_closing();
        if let Some(thread) = self.thread.lock().take()
            && thread.thread().id() != thread::current().id()
        {
            // The thread catches panics where they can happen; one elsewhere shows in what is not on disk.
            let _ = thread.join();
            self.shared.forget_callbacks();
        }
        self.shared.is_all_on_disk()
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.close();
    }
}
