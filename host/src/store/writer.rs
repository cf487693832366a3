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
use super::page::{self, Several};
use super::reserve::is_full;
use super::row::Counters;
use super::shared::{Read, Shared, Unit};
use parking_lot::MutexGuard;
use redb::Database;
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

/// How often a writer with nothing to do looks whether its file is still there.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);

/// Changes and bytes of a batch where larger ones find no room: what they free is there for the next one.
const NARROW: (usize, usize) = (64, 64 << 10);

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
    /// An attempt has failed, and nothing was committed since.
    unsure: bool,
    /// The disk had no room for a batch, and no reserve: smaller ones may fit.
    is_narrow: bool,
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
            unsure: false,
            is_narrow: false,
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
                let Some(end) = self.commit_from(done) else { return };
                let changes = self.start_of(done)..self.units[end - 1].end;
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
    fn set_aside(&mut self) {
        if self.opener.reserve.set_aside().is_ok() {
            tracing::info!("the disk has room again");
            self.is_narrow = false;
            self.shared.low.store(false, Ordering::Release);
            self.shared.tell();
        }
    }

    /// The units from `first` to before the returned one fit a batch. One that is too large is a batch by itself.
    fn batch_end(&self, first: usize) -> usize {
        let limits = &self.shared.limits;
        let (changes_max, bytes_max) = match self.is_narrow {
            true => NARROW,
            false => (limits.batch_changes_max, limits.batch_bytes_max),
        };
        let start = self.start_of(first);
        let mut bytes = 0;
        for (place, unit) in self.units.iter().enumerate().skip(first) {
            bytes += unit.bytes;
            let full = unit.end - start > changes_max || bytes > bytes_max;
            if full && place > first {
                return place;
            }
        }
        self.units.len()
    }

    fn start_of(&self, unit: usize) -> usize {
        unit.checked_sub(1).map_or(0, |before| self.units[before].end)
    }

    /// Tries until a batch that begins with this unit is on disk. Where it ends; none: the store is closed before that.
    fn commit_from(&mut self, first: usize) -> Option<usize> {
        loop {
            let end = self.batch_end(first);
            let changes = self.start_of(first)..self.units[end - 1].end;
            let attempt = catch_unwind(AssertUnwindSafe(|| self.attempt(changes)));
            match attempt.unwrap_or_else(|_| Err(corrupted("the database panicked"))) {
                Ok(()) => return Some(end),
                Err(error) => self.fail(&error),
            }
            if !self.recover() {
                return None;
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
        // What a failed attempt left may look as if it were done, and is not on disk.
        if !changed && !self.unsure {
            return Ok(transaction.abort()?);
        }
        transaction.commit()?;
        self.unsure = false;
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
        self.unsure = true;
        let is_full = matches!(error, redb::Error::Io(error) if is_full(error));
        if is_full {
            match self.opener.reserve.give_up() {
                Some(bytes) => self.shared.begin_low(bytes),
                // Not even the reserve is enough for it.
                None => self.is_narrow = true,
            }
        }
        if self.shared.healthy.swap(false, Ordering::AcqRel) {
            tracing::error!(%error, "the store fails; nothing durable is acknowledged until it works again");
            if matches!(error, redb::Error::Io(error) if error.kind() == std::io::ErrorKind::FileTooLarge) {
                tracing::error!("the system bounds the size of files: raise that (ulimit -f, LimitFSIZE=)");
            }
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
                opener.forget_remembered();
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
