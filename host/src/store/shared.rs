//! What those who submit changes share with the thread that writes them: what waits, how far the disk has got, and who is told.

use super::change::{Change, Sequence};
use super::page::{Page, Wanted};
use super::{Durability, Limits};
use crate::metrics::Metrics;
use parking_lot::{Condvar, Mutex, MutexGuard, RwLock};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// On a full disk so much has to be removed before anything more is taken.
const SPARE_BYTES: i64 = 1 << 20;

pub(super) type Callback = Box<dyn Fn(Sequence) + Send + Sync>;
/// Who asked for a page.
pub(super) type Then = Box<dyn FnOnce(Page) + Send>;

/// Who asked for a component.
pub(super) type ThenComponent = Box<dyn FnOnce(Option<Arc<[u8]>>) + Send>;

/// What somebody wants to read, and who.
pub(super) enum Read {
    Page(Wanted, Then),
    /// A component, by its digest.
    Component(Box<str>, ThenComponent),
}

/// What the writer shares with those who submit.
pub(super) struct Shared {
    pub(super) pending: Mutex<Pending>,
    /// The writer waits here.
    pub(super) wake: Condvar,
    /// Those who wait for the disk wait here.
    done: Condvar,
    /// What [`super::Store::committed`] says.
    pub(super) acknowledged: AtomicU64,
    pub(super) on_disk: AtomicU64,
    pub(super) backlog: AtomicUsize,
    pub(super) backlog_bytes: AtomicUsize,
    pub(super) healthy: AtomicBool,
    /// Another file, or none, is where the store was.
    pub(super) misplaced: AtomicBool,
    /// The reserve is used up.
    pub(super) low: AtomicBool,
    /// While it is: bytes of rows that were removed, less those that were written.
    pub(super) freed: AtomicI64,
    /// While it is: how far that may go below zero for little things.
    little: AtomicI64,
    /// What waits when the disk turns out to be full is written out of the reserve: half of that is for those who empty queues.
    backlog_bytes_max: usize,
    callbacks: RwLock<Vec<Callback>>,
    durability: Durability,
    pub limits: Limits,
    pub(super) metrics: Arc<Metrics>,
}

/// Changes that wait, in the order in which they came.
pub(super) struct Pending {
    pub(super) changes: Vec<Change>,
    pub(super) units: Vec<Unit>,
    pub(super) reads: Vec<Read>,
    pub(super) submitted: Sequence,
    /// Since when the first of them waits, and the first of those that the writer has in hand.
    pub(super) since: Option<Instant>,
    pub(super) in_hand_since: Option<Instant>,
    /// The writer sleeps until so many changes are there; `usize::MAX`: it does not sleep.
    pub(super) wake_at: usize,
    /// Do not gather any longer.
    pub(super) hurry: bool,
    /// Somebody waits for something of it.
    pub(super) awaited: bool,
    pub(super) closing: bool,
}

/// The changes of one submission, which are written together or not at all.
#[derive(Debug, Clone, Copy)]
pub(super) struct Unit {
    /// Where they end in the list of changes.
    pub(super) end: usize,
    pub(super) bytes: usize,
}

impl Shared {
    pub fn new(durability: Durability, limits: Limits, metrics: Arc<Metrics>) -> Self {
        let pending = Pending {
            changes: Vec::new(),
            units: Vec::new(),
            reads: Vec::new(),
            submitted: 0,
            since: None,
            in_hand_since: None,
            wake_at: usize::MAX,
            hurry: false,
            awaited: false,
            closing: false,
        };
        let half = usize::try_from(limits.reserve_bytes / 2).ok().filter(|half| *half > 0);
        let backlog_bytes_max = limits.backlog_bytes_max.min(half.unwrap_or(usize::MAX));
        Self {
            backlog_bytes_max,
            pending: Mutex::new(pending),
            wake: Condvar::new(),
            done: Condvar::new(),
            acknowledged: AtomicU64::new(0),
            on_disk: AtomicU64::new(0),
            backlog: AtomicUsize::new(0),
            backlog_bytes: AtomicUsize::new(0),
            healthy: AtomicBool::new(true),
            misplaced: AtomicBool::new(false),
            low: AtomicBool::new(false),
            freed: AtomicI64::new(0),
            little: AtomicI64::new(0),
            callbacks: RwLock::new(Vec::new()),
            durability,
            limits,
            metrics,
        }
    }

    /// `awaited`: somebody waits for it to be on disk.
    pub fn submit(&self, changes: impl IntoIterator<Item = Change>, awaited: bool) -> Sequence {
        let mut pending = self.pending.lock();
        // What a panic in the iterator left behind belongs to nobody.
        let start = pending.units.last().map_or(0, |unit| unit.end);
        pending.changes.truncate(start);
        pending.changes.extend(changes);
        let end = pending.changes.len();
        if end == start {
            return 0;
        }
        let bytes = pending.changes[start..].iter().map(size).sum();
        pending.units.push(Unit { end, bytes });
        pending.submitted += 1;
        let sequence = pending.submitted;
        self.backlog.fetch_add(end - start, Ordering::Relaxed);
        let waiting_bytes = self.backlog_bytes.fetch_add(bytes, Ordering::Relaxed) + bytes;
        if self.durability == Durability::Relaxed && self.keeps_up(&mut pending) {
            self.acknowledged.fetch_max(sequence, Ordering::AcqRel);
        }
        let full = end >= pending.wake_at || waiting_bytes >= self.limits.batch_bytes_max;
        self.awaited(&mut pending, awaited, full);
        sequence
    }

    /// Whether what is submitted now may be acknowledged before it is on disk. While the disk is slower than those who
    /// submit it may not, or a crash would cost more than an interval or two.
    fn keeps_up(&self, pending: &mut Pending) -> bool {
        let now = Instant::now();
        let since = *pending.since.get_or_insert(now);
        let oldest = pending.in_hand_since.unwrap_or(since);
        self.is_healthy() && now - oldest <= self.limits.relaxed_interval * 2
    }

    /// Notes whether somebody waits, and wakes the writer if it may not sleep any longer.
    fn awaited(&self, pending: &mut Pending, awaited: bool, full: bool) {
        pending.awaited |= awaited;
        let asleep = pending.wake_at != usize::MAX;
        if asleep && (full || awaited && self.durability == Durability::Commit) {
            pending.wake_at = usize::MAX;
            self.wake.notify_one();
        }
    }

    /// Has something read after the next commit.
    pub fn read(&self, what: Read) {
        let mut pending = self.pending.lock();
        pending.reads.push(what);
        pending.wake_at = usize::MAX;
        self.wake.notify_one();
    }

    pub fn committed(&self) -> Sequence {
        self.acknowledged.load(Ordering::Acquire)
    }

    /// Whoever asks is going to wait for it.
    pub fn submitted(&self) -> Sequence {
        let mut pending = self.pending.lock();
        if !pending.units.is_empty() {
            self.awaited(&mut pending, true, false);
        }
        pending.submitted
    }

    pub fn on_disk(&self) -> Sequence {
        self.on_disk.load(Ordering::Acquire)
    }

    /// Whether all that was submitted is where the next start finds it.
    pub fn is_all_on_disk(&self) -> bool {
        !self.misplaced.load(Ordering::Acquire) && self.on_disk() >= self.submitted()
    }

    pub fn is_healthy(&self) -> bool {
        self.healthy.load(Ordering::Acquire)
    }

    pub fn backlog(&self) -> usize {
        self.backlog.load(Ordering::Relaxed)
    }

    pub fn is_full(&self) -> bool {
        self.backlog() >= self.limits.backlog_changes_max
            || self.backlog_bytes.load(Ordering::Relaxed) >= self.backlog_bytes_max
    }

    pub fn is_out_of_space(&self) -> bool {
        self.low.load(Ordering::Relaxed) && self.spare() < SPARE_BYTES
    }

    pub fn has_room_for_little(&self) -> bool {
        !self.low.load(Ordering::Relaxed) || self.spare() > -self.little.load(Ordering::Relaxed)
    }

    /// On a full disk: bytes that went, less those that came or are about to.
    fn spare(&self) -> i64 {
        self.freed.load(Ordering::Relaxed) - self.backlog_bytes.load(Ordering::Relaxed) as i64
    }

    pub fn on_commit(&self, callback: Callback) {
        self.callbacks.write().push(callback);
    }

    pub fn forget_callbacks(&self) {
        self.callbacks.write().clear();
    }

    /// Waits until all that was submitted is on disk; false: the store fails, or the time is over.
    pub fn flush(&self, patience: Duration) -> bool {
        let deadline = Instant::now() + patience;
        let mut pending = self.pending.lock();
        let goal = pending.submitted;
        while self.on_disk() < goal {
            pending.hurry = true;
            self.wake.notify_one();
            if !self.is_healthy() || self.done.wait_until(&mut pending, deadline).timed_out() {
                return self.on_disk() >= goal;
            }
        }
        true
    }

    /// Asks the writer to finish.
    pub fn begin_closing(&self) {
        self.pending.lock().closing = true;
        self.wake.notify_one();
    }

    /// Waits for more, as long as it may: until the batch is full, or somebody cannot wait.
    pub(super) fn gather(&self, pending: &mut MutexGuard<'_, Pending>) {
        let relaxed = self.durability == Durability::Relaxed;
        let interval = if relaxed { self.limits.relaxed_interval } else { self.limits.later_interval };
        let deadline = Instant::now() + interval;
        let enough = self.limits.batch_changes_max;
        let may_wait = |pending: &Pending| {
            let awaited = pending.awaited && !relaxed;
            let wanted = awaited || pending.hurry || pending.closing || !pending.reads.is_empty();
            let bytes = self.backlog_bytes.load(Ordering::Relaxed);
            !wanted && pending.changes.len() < enough && bytes < self.limits.batch_bytes_max
        };
        while may_wait(pending) {
            pending.wake_at = enough;
            if self.wake.wait_until(pending, deadline).timed_out() {
                return;
            }
        }
    }

    pub(super) fn tell(&self) {
        // Taken and let go, so that nobody who is about to wait misses the call.
        drop(self.pending.lock());
        self.done.notify_all();
        let committed = self.committed();
        let told = catch_unwind(AssertUnwindSafe(|| {
            for callback in self.callbacks.read().iter() {
                callback(committed);
            }
        }));
        if told.is_err() {
            tracing::error!("a listener of the store panicked");
        }
    }

    /// The reserve was given back, of so many bytes.
    pub fn begin_low(&self, bytes: u64) {
        tracing::error!(
            "the disk is full: what would have to be kept is refused until it has room; the reserve is used to finish what \
             was begun and to empty queues"
        );
        self.freed.store(0, Ordering::Relaxed);
        self.little.store(i64::try_from(bytes / 4).unwrap_or(i64::MAX), Ordering::Relaxed);
        self.low.store(true, Ordering::Release);
    }

    pub(super) fn become_healthy(&self) {
        match self.low.load(Ordering::Relaxed) {
            true => tracing::warn!("the store writes out of its reserve; the disk is full still"),
            false => tracing::info!("the store works again"),
        }
        self.healthy.store(true, Ordering::Release);
    }
}

/// Bytes in memory, roughly.
fn size(change: &Change) -> usize {
    let more = match change {
        Change::Logged(_, message) | Change::Retained(message, _) => message.size(),
        Change::Will(_, record) => record.will.message.size(),
        Change::ModuleVersion(version) => version.component.len() + version.config.len(),
        Change::State(_, key, value, _) => key.len() + value.len(),
        _ => 0,
    };
    std::mem::size_of::<Change>() + more
}
