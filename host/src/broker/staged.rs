//! What one request does to durable state, gathered and handed to the store as one unit: all of it is written, or none.
//!
//! A message with its copies, the last value of its topic, what modules wish because of it and its publisher's handle
//! are one unit; so are a will with its own removal, and a mailbox that ends with the copies that are handed on.

use super::Broker;
use super::mailbox::{Mailbox, Submitted};
use super::wills::Touched;
use super::worker::Worker;
use crate::message::{Message, Time};
use crate::store::{Change, MailboxId, Sequence};
use crate::topic::Topic;
use smallvec::SmallVec;
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// See the head of this file. Whoever begins one hands it to [`Broker::commit`]. It moves several times a message, so it
/// is a pointer.
#[derive(Default)]
pub(super) struct Staged(Box<Unit>);

#[derive(Default)]
struct Unit {
    changes: Vec<Change>,
    /// Durable copies whose place in the store is not known yet.
    copies: SmallVec<[(Arc<Mailbox>, u64); 4]>,
    /// Messages that go into the log; each has one use more than its copies until the unit is submitted.
    logged: SmallVec<[Message; 1]>,
    /// Topics whose last value changed.
    retained: SmallVec<[Topic; 1]>,
    /// Mailboxes whose will came or went.
    wills: SmallVec<[(MailboxId, Touched); 1]>,
    /// Nobody gets a copy before all of it is on disk.
    is_transaction: bool,
}

impl Staged {
    /// What a transaction does: a copy that left before a crash would be of one that never was, and whose publisher does it again.
    pub fn of_transaction() -> Self {
        Self(Box::new(Unit { is_transaction: true, ..Unit::default() }))
    }

    /// One more change.
    pub fn change(&mut self, change: Change) {
        self.0.changes.push(change);
    }

    /// Where changes are put by others.
    pub fn changes(&mut self) -> &mut Vec<Change> {
        &mut self.0.changes
    }

    /// The last value of this topic is another one now, or gone.
    pub fn retained(&mut self, topic: &Topic) {
        self.0.retained.push(topic.clone());
    }

    /// The will of this mailbox is another one now, or gone.
    pub fn will(&mut self, owner: MailboxId, touched: Touched) {
        self.0.wills.push((owner, touched));
    }

    /// Whether a will came, went or is published.
    pub fn touches_wills(&self) -> bool {
        !self.0.wills.is_empty()
    }

    /// Whether this request publishes the will of this mailbox.
    pub fn publishes_will(&self, owner: MailboxId) -> bool {
        self.0.wills.contains(&(owner, Touched::Published))
    }

    /// A durable copy is in its mailbox under this number.
    pub fn copy(&mut self, mailbox: &Arc<Mailbox>, number: u64) {
        self.0.copies.push((mailbox.clone(), number));
    }

    /// Takes over what another one has.
    pub fn append(&mut self, other: &mut Self) {
        self.0.changes.append(&mut other.0.changes);
        self.0.copies.extend(other.0.copies.drain(..));
        self.0.logged.extend(other.0.logged.drain(..));
        self.0.retained.extend(other.0.retained.drain(..));
        self.0.wills.extend(other.0.wills.drain(..));
    }

    /// Whether no mailbox, last value or will has to hear of it.
    pub fn is_only_changes(&self) -> bool {
        self.0.copies.is_empty() && self.0.logged.is_empty() && self.0.retained.is_empty() && self.0.wills.is_empty()
    }

    fn is_empty(&self) -> bool {
        self.0.changes.is_empty() && self.is_only_changes()
    }
}

impl Drop for Staged {
    fn drop(&mut self) {
        debug_assert!(self.is_empty() || std::thread::panicking(), "changes that nobody told the store about");
    }
}

impl Broker {
    /// Gives the message a place in the log and one use of it for the copy that follows.
    pub(super) fn log(&self, message: &Message, staged: &mut Staged) -> u64 {
        if message.log_id() == 0 {
            message.set_logged(self.next_log_id.fetch_add(1, Ordering::Relaxed), 1);
            staged.0.logged.push(message.clone());
        }
        message.add_log_use();
        message.log_id()
    }

    /// Tells the store and the mailboxes. What was staged is on disk after the returned sequence; 0: nothing was.
    /// While a transaction is gathered, all of it is one unit, told by whoever ends it.
    #[inline(always)]
    pub(super) fn commit(&self, worker: &mut Worker, staged: Staged) -> Sequence {
        if staged.is_empty() {
            worker.spare = Some(staged);
            return 0;
        }
        self.commit_changes(worker, staged)
    }

    fn commit_changes(&self, worker: &mut Worker, mut staged: Staged) -> Sequence {
        if let Some(gathered) = &mut worker.gathering {
            gathered.append(&mut staged);
            worker.spare = Some(staged);
            return 0;
        }
        let after = self.submit(&mut staged);
        self.announce(worker, staged, after);
        after
    }

    /// Tells the store what nobody waits for.
    pub(super) fn submit_later(&self, staged: &mut Staged) {
        if staged.is_only_changes() && !staged.0.changes.is_empty() {
            self.store.submit_later(staged.0.changes.drain(..));
        } else {
            self.submit(staged);
        }
    }

    /// The first half of [`Broker::commit`]; takes no lock of a mailbox, so it may be called under one.
    pub(super) fn submit(&self, staged: &mut Staged) -> Sequence {
        if staged.is_empty() {
            return 0;
        }
        let Unit { changes, logged, retained, wills, .. } = &mut *staged.0;
        changes.extend(logged.iter().map(|message| Change::Logged(message.log_id(), message.clone())));
        if retained.is_empty() && wills.is_empty() {
            return self.store.submit(changes.drain(..));
        }
        // What memory holds now, and not what this request made of it: whoever tells the store last tells the latest.
        let _in_order = (!retained.is_empty()).then(|| self.retained.in_order());
        changes.extend(retained.drain(..).map(|topic| self.retained.change(&topic)));
        let mut will_of = (!wills.is_empty()).then(|| self.wills_in_order());
        if let Some(will_of) = &mut will_of {
            changes.extend(wills.drain(..).filter_map(will_of));
        }
        self.store.submit(changes.drain(..))
    }

    /// The second half: the mailboxes hear when their copies may leave.
    pub(super) fn announce(&self, worker: &mut Worker, mut staged: Staged, after: Sequence) {
        let waits = std::mem::take(&mut staged.0.is_transaction);
        for (mailbox, number) in staged.0.copies.drain(..) {
            match mailbox.submitted(number, after, waits, &self.limits) {
                Submitted::Known => {}
                Submitted::Await(outlet) => self.await_answer(after, outlet),
                Submitted::Flush(outlet) => worker.touched.push(outlet),
            }
            if mailbox.takes_held_long() {
                self.deadlines.long(Time(0), mailbox.id);
            }
        }
        for message in staged.0.logged.drain(..) {
            if message.drop_log_use() {
                worker.later.change(Change::LoggedGone(message.log_id()));
            }
        }
        worker.spare = Some(staged);
    }
}
