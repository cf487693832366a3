//! The end of mailboxes with long queues, in slices, so that nobody waits behind a million deletions. What waited there for a
//! member of a group goes to the others, slice by slice.
//!
//! Such a mailbox is out of the directory at once, and the store knows that it is over; a restart goes on with it.

use super::Broker;
use super::gap::{PAGE, Sent, queued};
use super::queued::Queued;
use super::worker::Worker;
use crate::dialogue::Subscription;
use crate::message::Time;
use crate::store::{Change, MailboxId, Rest};
use parking_lot::Mutex;
use std::collections::VecDeque;
use std::sync::Arc;

/// Entries forgotten at once.
pub(super) const SLICE: usize = 1024;
/// Entries handed on at once, which takes longer.
const HANDED_ON: usize = 128;
/// Milliseconds between two slices.
const PAUSE: u64 = 5;
/// After so many milliseconds in which the disk had other things to do, a slice has its turn all the same.
const PATIENCE: u64 = 250;

/// Mailboxes that end, oldest first. Bounded by the mailboxes that there were.
#[derive(Default)]
pub struct Reaper {
    over: Mutex<VecDeque<Over>>,
}

/// A mailbox that ends.
pub(super) struct Over {
    id: MailboxId,
    /// The store has it.
    durable: bool,
    entries: VecDeque<Queued>,
    /// How many of them, the first ones, know the group that they came for.
    known: usize,
    /// What the store has beside them.
    rest: Option<Rest>,
    /// How far that was sent.
    sent: Sent,
    /// Among them those that it shared.
    subscriptions: Vec<Subscription>,
    /// A page is on its way.
    is_asked: bool,
    /// Since when the disk has other things to do.
    waits_since: Option<Time>,
}

impl Over {
    /// With what it has in memory.
    pub(super) fn new(id: MailboxId, durable: bool, entries: Vec<Queued>, subscriptions: Vec<Subscription>) -> Self {
        let (known, sent) = (entries.len(), Sent::default());
        Self {
            id,
            durable,
            entries: entries.into(),
            known,
            rest: None,
            sent,
            subscriptions,
            is_asked: false,
            waits_since: None,
        }
    }

    /// All that it has was read from the store.
    pub(super) fn read_before(self) -> Self {
        Self { known: 0, ..self }
    }

    /// And what only the store has.
    pub(super) fn with_rest(self, rest: Option<Rest>, sent: Option<Sent>) -> Self {
        Self { rest, sent: sent.unwrap_or_default(), ..self }
    }

    fn shares(&self) -> bool {
        self.subscriptions.iter().any(|subscription| subscription.share.is_some())
    }
}

impl Reaper {
    /// One more that ends. The caller has told the store that it is over.
    pub(super) fn add(&self, over: Over) {
        self.over.lock().push_back(over);
    }
}

impl Broker {
    /// Works off the next slice; returns when to come again, if there is more.
    pub(super) fn reap(&self, worker: &mut Worker, now: Time) -> Option<Time> {
        let mut over = self.reaper.over.lock();
        let one = over.front_mut()?;
        let again = Some(now.plus_milliseconds(PAUSE));
        let since = *one.waits_since.get_or_insert(now);
        let is_busy = self.store.backlog() > SLICE && (now.since(since) < PATIENCE || self.store.is_full());
        if one.is_asked || is_busy || !self.store.is_healthy() {
            return again;
        }
        one.waits_since = None;
        if one.entries.is_empty()
            && let Some(rest) = one.rest
        {
            one.is_asked = true;
            drop(over);
            self.fetch_for_the_reaper(rest);
            return again;
        }
        let count = one.entries.len().min(if one.shares() { HANDED_ON } else { SLICE });
        let mut slice: Vec<Queued> = one.entries.drain(..count).collect();
        let known = one.known.min(count);
        one.known -= known;
        self.guess_groups(slice[known..].iter_mut(), &one.subscriptions);
        let mut staged = worker.stage();
        for entry in &slice {
            entry.forget(one.id, staged.changes());
        }
        if one.entries.is_empty() && one.rest.is_none() {
            if one.durable {
                staged.change(Change::MailboxGone(one.id));
            }
            over.pop_front();
        }
        drop(over);
        slice.retain(|entry| entry.group.is_some());
        self.hand_on(worker, slice, &mut staged);
        self.commit(worker, staged);
        worker.flush(self, now);
        again
    }

    fn fetch_for_the_reaper(&self, rest: Rest) {
        let Some(id) = self.reaper.over.lock().front().map(|one| one.id) else { return };
        let reaper: Arc<Reaper> = self.reaper.clone();
        let then = move |page: crate::store::Page| {
            let mut over = reaper.over.lock();
            let Some(one) = over.iter_mut().find(|one| one.id == id) else { return };
            one.is_asked = false;
            one.rest = one.rest.filter(|rest| page.to < rest.to).map(|rest| Rest { after: page.to, ..rest });
            let sent = one.sent;
            one.entries.extend(page.entries.into_iter().map(|loaded| queued(loaded, sent)));
        };
        self.store.read_queue(id, (rest.after, rest.to), PAGE, Box::new(then));
    }
}
