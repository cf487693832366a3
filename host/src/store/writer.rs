//! The one thread that writes. It takes all changes that wait, makes them one transaction, and tells how far the disk
//! has got. While one batch is being synced the next one gathers. There is no timer where somebody waits; what nobody
//! waits for gathers for a little while, so that a queue that drains costs a commit now and then.
//!
//! After an error nothing is acknowledged until the database was closed, opened again and verified, and the batch that
//! failed was written again, whole and unchanged. All changes may be applied twice, so it does not matter how much of
//! the failed attempt had reached the disk.

use super::apply::Batch;
use super::change::{Change, Sequence};
use super::coalesce::Coalescer;
use super::open::{Opener, corrupted};
use super::page::{self, Page, Several, Wanted};
use super::reserve::is_full;
use super::row::Counters;
use super::{Durability, Limits};
use crate::metrics::Metrics;
use parking_lot::{Condvar, Mutex, MutexGuard, RwLock};
use redb::Database;
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// On a full disk so much has to be removed before anything more is taken.
const SPARE_BYTES: i64 = 1 << 20;

/// How often a writer with nothing to do looks whether its file is still there.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);

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
    pending: Mutex<Pending>,
    /// The writer waits here.
    wake: Condvar,
    /// Those who wait for the disk wait here.
    done: Condvar,
    /// What [`super::Store::committed`] says.
    acknowledged: AtomicU64,
    on_disk: AtomicU64,
    backlog: AtomicUsize,
    backlog_bytes: AtomicUsize,
    healthy: AtomicBool,
    /// Another file, or none, is where the store was.
    misplaced: AtomicBool,
    /// The reserve is used up.
    low: AtomicBool,
    /// While it is: bytes of rows that were removed, less those that were written.
    freed: AtomicI64,
    callbacks: RwLock<Vec<Callback>>,
    durability: Durability,
    pub limits: Limits,
    metrics: Arc<Metrics>,
}

/// Changes that wait, in the order in which they came.
struct Pending {
    changes: Vec<Change>,
    units: Vec<Unit>,
    reads: Vec<Read>,
    submitted: Sequence,
    /// Since when the first of them waits, and the first of those that the writer has in hand.
    since: Option<Instant>,
    in_hand_since: Option<Instant>,
    /// The writer sleeps until so many changes are there; `usize::MAX`: it does not sleep.
    wake_at: usize,
    /// Do not gather any longer.
    hurry: bool,
    /// Somebody waits for something of it.
    awaited: bool,
    closing: bool,
}

/// The changes of one submission, which are written together or not at all.
#[derive(Debug, Clone, Copy)]
struct Unit {
    /// Where they end in the list of changes.
    end: usize,
    bytes: usize,
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
        Self {
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
            || self.backlog_bytes.load(Ordering::Relaxed) >= self.limits.backlog_bytes_max
    }

    pub fn is_out_of_space(&self) -> bool {
        let spare = || self.freed.load(Ordering::Relaxed) - self.backlog_bytes.load(Ordering::Relaxed) as i64;
        self.low.load(Ordering::Relaxed) && spare() < SPARE_BYTES
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
    fn gather(&self, pending: &mut MutexGuard<'_, Pending>) {
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

    fn tell(&self) {
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

    /// The reserve was given back.
    pub fn begin_low(&self) {
        tracing::error!(
            "the disk is full: what would have to be kept is refused until it has room; the reserve is used to finish what \
             was begun and to empty queues"
        );
        self.freed.store(0, Ordering::Relaxed);
        self.low.store(true, Ordering::Release);
    }

    fn become_healthy(&self) {
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

/// The thread's own things.
pub(super) struct Writer {
    shared: Arc<Shared>,
    opener: Opener,
    /// None: it failed and could not be opened again yet.
    database: Option<Database>,
    counters: Counters,
    coalescer: Coalescer,
    changes: Vec<Change>,
    units: Vec<Unit>,
    reads: Vec<Read>,
    several: Several,
    /// The units that are done.
    sequence: Sequence,
    /// The store is being closed and failed: what is tried now is tried for the last time.
    last_chance: bool,
}

impl Writer {
    pub fn new(shared: Arc<Shared>, opener: Opener, database: Database, counters: Counters, several: Several) -> Self {
        Self {
            shared,
            opener,
            database: Some(database),
            counters,
            coalescer: Coalescer::default(),
            changes: Vec::new(),
            units: Vec::new(),
            reads: Vec::new(),
            several,
            sequence: 0,
            last_chance: false,
        }
    }

    /// Until the store is closed.
    pub fn run(mut self) {
        self.work();
        if let Err(error) = self.opener.is_in_place() {
            self.shared.misplaced.store(true, Ordering::Release);
            self.fail(&error.into());
        }
    }

    fn work(&mut self) {
        while self.take() {
            let mut done = 0;
            while done < self.units.len() {
                let end = self.batch_end(done);
                let changes = self.start_of(done)..self.units[end - 1].end;
                if !self.commit(changes.clone()) {
                    return;
                }
                let bytes = self.units[done..end].iter().map(|unit| unit.bytes).sum();
                if end == self.units.len() {
                    self.shared.pending.lock().in_hand_since = None;
                }
                self.publish(end - done, changes.len(), bytes);
                done = end;
            }
            self.changes.clear();
            self.units.clear();
            for read in std::mem::take(&mut self.reads) {
                if !self.answer(read) {
                    return;
                }
            }
        }
    }

    /// False: the store is closed before that.
    fn answer(&mut self, read: Read) -> bool {
        let told = match read {
            Read::Page(wanted, then) => {
                let page = self.read(|database, several| page::read(database, &wanted, several));
                let Some((page, damaged)) = page else { return false };
                self.shared.metrics.store_damaged_rows_total.add(damaged as u64);
                catch_unwind(AssertUnwindSafe(|| then(page)))
            }
            Read::Component(digest, then) => {
                let Some(component) = self.read(|database, _| page::component(database, &digest)) else { return false };
                catch_unwind(AssertUnwindSafe(|| then(component)))
            }
        };
        if told.is_err() {
            tracing::error!("somebody who asked the store panicked");
        }
        true
    }

    /// Tries until it was read; none: the store is closed before that.
    fn read<T>(&mut self, read: impl Fn(&Database, &mut Several) -> Result<T, redb::Error>) -> Option<T> {
        loop {
            let several = &mut self.several;
            let database = self.database.as_ref();
            let attempt = catch_unwind(AssertUnwindSafe(|| match database {
                Some(database) => read(database, several),
                None => Err(corrupted("it is not open")),
            }));
            match attempt.unwrap_or_else(|_| Err(corrupted("the database panicked"))) {
                Ok(found) => {
                    if !self.shared.is_healthy() {
                        self.shared.become_healthy();
                    }
                    return Some(found);
                }
                Err(error) => self.fail(&error),
            }
            if !self.recover() {
                return None;
            }
        }
    }

    /// Waits for changes and takes all that there are; false: the store is closed and nothing is left.
    fn take(&mut self) -> bool {
        let shared = self.shared.clone();
        let mut pending = shared.pending.lock();
        while pending.units.is_empty() && pending.reads.is_empty() {
            if pending.closing {
                return false;
            }
            pending.wake_at = 1;
            let low = shared.low.load(Ordering::Relaxed);
            let interval = if low { shared.limits.retry_interval } else { LOOK_INTERVAL };
            let nothing_came = shared.wake.wait_for(&mut pending, interval).timed_out();
            let goes_on = MutexGuard::unlocked(&mut pending, || {
                if low {
                    self.set_aside();
                }
                !nothing_came || self.look()
            });
            if !goes_on {
                return false;
            }
        }
        shared.gather(&mut pending);
        pending.wake_at = usize::MAX;
        (pending.hurry, pending.awaited) = (false, false);
        pending.in_hand_since = pending.since.take();
        std::mem::swap(&mut pending.changes, &mut self.changes);
        std::mem::swap(&mut pending.units, &mut self.units);
        std::mem::swap(&mut pending.reads, &mut self.reads);
        true
    }

    /// Looks whether the file is still in its place, and waits until it is again; false: the store is closed before that.
    fn look(&mut self) -> bool {
        let Err(error) = self.opener.is_in_place() else { return true };
        self.fail(&error.into());
        if !self.recover() {
            return false;
        }
        self.shared.become_healthy();
        self.shared.tell();
        true
    }

    /// Takes room for a full disk again, once it is to be had.
    fn set_aside(&self) {
        if self.opener.reserve.set_aside().is_ok() {
            tracing::info!("the disk has room again");
            self.shared.low.store(false, Ordering::Release);
            self.shared.tell();
        }
    }

    /// The units from `first` to before the returned one fit a batch. One that is too large is a batch by itself.
    fn batch_end(&self, first: usize) -> usize {
        let limits = &self.shared.limits;
        let start = self.start_of(first);
        let mut bytes = 0;
        for (place, unit) in self.units.iter().enumerate().skip(first) {
            bytes += unit.bytes;
            let full = unit.end - start > limits.batch_changes_max || bytes > limits.batch_bytes_max;
            if full && place > first {
                return place;
            }
        }
        self.units.len()
    }

    fn start_of(&self, unit: usize) -> usize {
        unit.checked_sub(1).map_or(0, |before| self.units[before].end)
    }

    /// Tries until it is on disk; false: the store is closed before that.
    fn commit(&mut self, changes: Range<usize>) -> bool {
        loop {
            let attempt = catch_unwind(AssertUnwindSafe(|| self.attempt(changes.clone())));
            match attempt.unwrap_or_else(|_| Err(corrupted("the database panicked"))) {
                Ok(()) => return true,
                Err(error) => self.fail(&error),
            }
            if !self.recover() {
                return false;
            }
        }
    }

    fn attempt(&mut self, changes: Range<usize>) -> Result<(), redb::Error> {
        let changes = &self.changes[changes];
        let skip = self.coalescer.plan(changes);
        if !skip.contains(&false) {
            return Ok(());
        }
        let database = self.database.as_ref().ok_or_else(|| corrupted("it is not open"))?;
        let mut transaction = database.begin_write()?;
        // Payloads are in the hands of strangers: see `set_two_phase_commit`.
        transaction.set_two_phase_commit(true);
        transaction.set_quick_repair(self.shared.limits.quick_repair);
        let mut batch = Batch::new(&transaction, self.counters);
        for (change, skip) in changes.iter().zip(skip) {
            if !skip {
                batch.apply(change)?;
            }
        }
        let (changed, counters, growth) = batch.finish()?;
        if !changed {
            return Ok(transaction.abort()?);
        }
        transaction.commit()?;
        // What went into a file that nobody will find again is not on disk.
        self.opener.is_in_place()?;
        self.shared.metrics.store_commits_total.add(1);
        self.counters = counters;
        self.shared.freed.fetch_sub(growth, Ordering::Relaxed);
        Ok(())
    }

    fn publish(&mut self, units: usize, changes: usize, bytes: usize) {
        let shared = &*self.shared;
        self.last_chance = false;
        self.sequence += units as Sequence;
        shared.acknowledged.fetch_max(self.sequence, Ordering::AcqRel);
        shared.backlog.fetch_sub(changes, Ordering::Relaxed);
        shared.backlog_bytes.fetch_sub(bytes, Ordering::Relaxed);
        shared.metrics.store_changes_total.add(changes as u64);
        if !shared.is_healthy() {
            shared.become_healthy();
        }
        // Whoever waited for the disk finds its change acknowledged, and the store at work: so this comes last.
        shared.on_disk.store(self.sequence, Ordering::Release);
        shared.tell();
    }

    /// From now on nothing is acknowledged.
    fn fail(&mut self, error: &redb::Error) {
        let is_full = matches!(error, redb::Error::Io(error) if is_full(error));
        if is_full && self.opener.reserve.give_up() {
            self.shared.begin_low();
        }
        if self.shared.healthy.swap(false, Ordering::AcqRel) {
            tracing::error!(%error, "the store fails; nothing durable is acknowledged until it works again");
            self.shared.metrics.store_failures_total.add(1);
            self.shared.tell();
        } else {
            tracing::debug!(%error, "the store still fails");
        }
    }

    /// Closes the database, opens it again and verifies all of it; false: the store is closed before that worked.
    fn recover(&mut self) -> bool {
        loop {
            let opener = &self.opener;
            // An open file that has no name any more is the last of what was in it.
            if let Err(error) = opener.is_in_place() {
                tracing::debug!(%error, "the store's file is not back yet");
                self.shared.misplaced.store(true, Ordering::Release);
                if self.wait_before_retry() {
                    return false;
                }
                continue;
            }
            self.shared.misplaced.store(false, Ordering::Release);
            let closed = self.database.take();
            let reopened = catch_unwind(AssertUnwindSafe(|| {
                drop(closed);
                let mut database = opener.reopen()?;
                database.check_integrity()?;
                Ok::<_, redb::DatabaseError>(database)
            }));
            // The last chance of a store that is being closed is the attempt right after the failure.
            let closing = self.wait_before_retry();
            if closing && std::mem::replace(&mut self.last_chance, true) {
                return false;
            }
            match reopened {
                Ok(Ok(database)) => {
                    self.database = Some(database);
                    return true;
                }
                Ok(Err(error)) => tracing::debug!(%error, "the store cannot be opened again yet"),
                Err(_) => tracing::debug!("the store cannot be opened again yet"),
            }
            if closing {
                return false;
            }
        }
    }

    fn wait_before_retry(&self) -> bool {
        let deadline = Instant::now() + self.shared.limits.retry_interval;
        let mut pending = self.shared.pending.lock();
        while !pending.closing && !self.shared.wake.wait_until(&mut pending, deadline).timed_out() {}
        pending.closing
    }
}
