//! The end of mailboxes with long queues, in slices, so that nobody waits behind a million deletions.
//!
//! Such a mailbox is out of the directory at once, and the store knows that it is over; a restart goes on with it.

use super::Broker;
use super::gap::{PAGE, Sent, queued};
use super::queued::Queued;
use crate::message::Time;
use crate::store::{Change, MailboxId, Rest};
use parking_lot::Mutex;
use std::collections::VecDeque;
use std::sync::Arc;

/// Entries forgotten at once.
pub(super) const SLICE: usize = 1024;
/// Milliseconds between two slices.
const PAUSE: u64 = 5;

/// Mailboxes that end, oldest first. Bounded by the mailboxes that there were.
#[derive(Default)]
pub struct Reaper {
    over: Mutex<VecDeque<Over>>,
}

struct Over {
    id: MailboxId,
    entries: VecDeque<Queued>,
    /// What the store has beside them.
    rest: Option<Rest>,
    /// A page is on its way.
    is_asked: bool,
}

impl Reaper {
    /// One more that ends. The caller has told the store that it is over.
    pub fn add(&self, id: MailboxId, entries: Vec<Queued>, rest: Option<Rest>) {
        self.over.lock().push_back(Over { id, entries: entries.into(), rest, is_asked: false });
    }
}

impl Broker {
    /// Forgets the next slice; returns when to come again, if there is more.
    pub(super) fn reap(&self, now: Time) -> Option<Time> {
        let mut over = self.reaper.over.lock();
        let one = over.front_mut()?;
        let again = Some(now.plus_milliseconds(PAUSE));
        if one.is_asked || self.store.backlog() > SLICE || !self.store.is_healthy() {
            return again;
        }
        if one.entries.is_empty()
            && let Some(rest) = one.rest
        {
            one.is_asked = true;
            drop(over);
            self.fetch_for_the_reaper(rest);
            return again;
        }
        let count = one.entries.len().min(SLICE);
        let mut changes = Vec::with_capacity(count * 2 + 1);
        for entry in one.entries.drain(..count) {
            entry.forget(one.id, &mut changes);
        }
        let is_done = one.entries.is_empty() && one.rest.is_none();
        if is_done {
            changes.push(Change::MailboxGone(one.id));
            over.pop_front();
        }
        drop(over);
        self.store.submit(changes);
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
            one.entries.extend(page.entries.into_iter().map(|loaded| queued(loaded, Sent::default())));
        };
        self.store.read_queue(id, (rest.after, rest.to), PAGE, Box::new(then));
    }
}
