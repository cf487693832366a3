//! What clients leave to be published when they are gone.

use super::publisher;
use super::staged::Staged;
use super::worker::Worker;
use super::{Broker, deadlines::Due, keeping};
use crate::client::{Client, Departure};
use crate::dialogue::WillRequest;
use crate::message::{Envelope, Message, Refusal, RefusalKind, Time, Will};
use crate::store::{Change, MailboxId, WillRecord};
use crate::wasm::Action;
use hashbrown::HashMap;
use parking_lot::Mutex;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// How often somebody who leaves a will looks whether the one before it has been published. That takes as long as the
/// modules that see it.
const LOOKS: u32 = 1 << 20;
/// Bytes of the payload of a will: modules are handed a copy. Over MQTT it has 64 KiB at most.
const WILL_BYTES_MAX: usize = 1 << 20;
/// The same of all of it, with its topic and its properties.
const WHOLE_WILL_BYTES_MAX: usize = 2 << 20;

/// All wills, by the mailbox of their owner. Bounded by the mailboxes, and in bytes: those that are held, and all others.
#[derive(Default)]
pub struct Wills {
    pub(super) table: Mutex<HashMap<MailboxId, Place>>,
    /// Bytes of those that are held.
    pub(super) held_bytes: AtomicUsize,
    /// Bytes of those that wait for their owner's departure, or for their delay after it. Changed under the lock of the table.
    kept_bytes: AtomicUsize,
}

/// Where a will is.
pub(super) enum Place {
    Kept(WillRecord),
    /// It was due and found no room. It is under a number of its own: its owner may have come back, and left another one.
    Held(WillRecord),
    /// It is being published. The store has it until its publication is handed over; another one must not take its place
    /// there before that.
    Leaving,
}

/// What a request did to a will.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Touched {
    /// It came, went or became due.
    Changed,
    /// It was published.
    Published,
}

impl Wills {
    /// Takes one back from the store.
    pub fn restore(&self, owner: MailboxId, will: WillRecord) {
        self.put(owner, Place::Kept(will));
    }

    /// Puts one in its place.
    pub(super) fn put(&self, owner: MailboxId, place: Place) {
        let mut table = self.table.lock();
        self.count(&place, true);
        if let Some(old) = table.insert(owner, place) {
            self.count(&old, false);
        }
    }

    /// Counts one in or out, under the lock.
    pub(super) fn count(&self, place: &Place, more: bool) {
        let Place::Kept(record) = place else { return };
        let bytes = record.will.message.size();
        match more {
            true => self.kept_bytes.fetch_add(bytes, Ordering::Relaxed),
            false => self.kept_bytes.fetch_sub(bytes, Ordering::Relaxed),
        };
    }

    /// Bytes of those that wait for their owner's departure, or for their delay.
    pub(super) fn kept_bytes(&self) -> usize {
        self.kept_bytes.load(Ordering::Relaxed)
    }

    /// Whether there is one.
    pub fn is_kept(&self, owner: MailboxId) -> bool {
        self.table.lock().contains_key(&owner)
    }
}

impl Broker {
    /// Asks the modules about a will; none: they want none kept.
    pub(super) fn register_will(
        &self,
        worker: &mut Worker,
        now: Time,
        owner: &Arc<Client>,
        will: &WillRequest,
    ) -> Result<Option<Will>, Refusal> {
        if will.payload.len() > WILL_BYTES_MAX {
            let reason = format!("a will has up to {WILL_BYTES_MAX} bytes");
            return Err(Refusal::new(RefusalKind::QuotaExceeded, reason));
        }
        if keeping::weight(will) > WHOLE_WILL_BYTES_MAX {
            let reason = format!("a will has up to {WHOLE_WILL_BYTES_MAX} bytes with its properties");
            return Err(Refusal::new(RefusalKind::QuotaExceeded, reason));
        }
        let chain = worker.chain.clone();
        let topic = self.mapped(&chain, &mut worker.guests, &owner.scope, &will.name)?;
        self.check(worker, owner, Action::Publish, topic.as_str())?;
        let envelope = Envelope {
            topic,
            guarantee: will.guarantee,
            retain: will.retain,
            expires: will.expiry_seconds.map(|seconds| now.plus_seconds(seconds)),
            properties: will.properties.clone(),
            hops: 0,
        };
        let message = Message::new(envelope, 0, &will.payload);
        let will = Will { message, delay_seconds: will.delay_seconds };
        let kept = chain.will_registered(&mut worker.guests, owner, will)?;
        if kept.as_ref().is_some_and(|will| will.message.topic().is_reserved()) {
            let reason = "a module gave the will a topic that is the broker's own";
            return Err(Refusal::new(RefusalKind::NotAuthorized, reason));
        }
        Ok(kept)
    }

    /// Keeps a will, in place of an older one.
    pub(super) fn put_will(&self, staged: &mut Staged, id: MailboxId, owner: &Arc<Client>, will: Will, now: Time) {
        self.wills.put(id, Place::Kept(left_by(owner, will, now)));
        staged.will(id, Touched::Changed);
    }

    /// Returns when no will of this mailbox is on its way out. Another thread publishes it, which waits for nobody; a thread
    /// that broke down in the middle is not waited for for ever.
    pub(super) fn await_last_will(&self, id: MailboxId) {
        let is_leaving = || matches!(self.wills.table.lock().get(&id), Some(Place::Leaving));
        for _ in 0..LOOKS {
            if !is_leaving() {
                return;
            }
            std::thread::yield_now();
        }
    }

    /// The wills as they are; whoever holds this tells the store in the order of what it sees. None: somebody else will.
    pub(super) fn wills_in_order(&self) -> impl FnMut((MailboxId, Touched)) -> Option<Change> + '_ {
        let mut table = self.wills.table.lock();
        move |(id, touched)| match table.get(&id) {
            Some(Place::Kept(record) | Place::Held(record)) => Some(Change::Will(id, Box::new(record.clone()))),
            Some(Place::Leaving) if touched == Touched::Changed => None,
            Some(Place::Leaving) => {
                table.remove(&id);
                Some(Change::WillGone(id))
            }
            None => Some(Change::WillGone(id)),
        }
    }

    /// When a will is due, and how its owner went.
    pub(super) fn due(&self, id: MailboxId) -> Option<(Time, Departure)> {
        match self.wills.table.lock().get(&id) {
            Some(Place::Kept(record) | Place::Held(record)) => record.due,
            _ => None,
        }
    }

    /// The owner is back: in time, unless its will was due already and only nobody had come to it yet.
    pub(super) fn owner_is_back(&self, worker: &mut Worker, now: Time, id: MailboxId, staged: &mut Staged) {
        match self.due(id) {
            // One that is not due is of a connection that has come since.
            None => {}
            Some((at, how)) if at <= now && how != Departure::Clean => self.fire_will(worker, now, id, staged),
            Some(_) => self.cancel_due(id, staged),
        }
    }

    /// The owner never minded.
    pub(super) fn cancel_will(&self, id: MailboxId, staged: &mut Staged) {
        self.cancel_if(id, staged, |_| true);
    }

    /// Drops a will whose owner went; not one that another connection has left since.
    fn cancel_due(&self, id: MailboxId, staged: &mut Staged) {
        self.cancel_if(id, staged, |record| record.due.is_some());
    }

    fn cancel_if(&self, id: MailboxId, staged: &mut Staged, is_over: impl Fn(&WillRecord) -> bool) {
        let mut table = self.wills.table.lock();
        if matches!(table.get(&id), Some(Place::Kept(record)) if is_over(record)) {
            table.remove(&id).inspect(|place| self.wills.count(place, false));
            staged.will(id, Touched::Changed);
        }
    }

    /// The owner's mailbox ends: whatever its will waits for is over.
    pub(super) fn owner_ended(&self, worker: &mut Worker, now: Time, id: MailboxId, staged: &mut Staged) {
        if let Some(Place::Kept(record)) = self.wills.table.lock().get_mut(&id) {
            record.due.get_or_insert((now, Departure::TakenOver));
        }
        match self.due(id) {
            Some((_, Departure::Clean)) => self.cancel_due(id, staged),
            _ => self.fire_will(worker, now, id, staged),
        }
    }

    /// The owner goes, in this way. Called under the lock of its mailbox, so that whoever takes that over knows what is to
    /// become of the will; [`Broker::owner_left`] follows.
    pub(super) fn owner_leaves(&self, now: Time, id: MailboxId, how: Departure, expiry_seconds: u32) {
        if let Some(Place::Kept(record)) = self.wills.table.lock().get_mut(&id) {
            let wait = if how == Departure::Clean { 0 } else { record.will.delay_seconds.min(expiry_seconds) };
            record.due.get_or_insert((now.plus_seconds(wait), how));
        }
    }

    /// The owner went: its will is dropped, published, or published when its delay or the mailbox is over.
    pub(super) fn owner_left(&self, worker: &mut Worker, now: Time, id: MailboxId, staged: &mut Staged) {
        // One that is not due is of a connection that took the place since.
        match self.due(id) {
            None => {}
            Some((_, Departure::Clean)) => self.cancel_due(id, staged),
            Some((at, _)) if at <= now => self.fire_will(worker, now, id, staged),
            Some((at, _)) => {
                staged.will(id, Touched::Changed);
                self.deadlines.will(at, id);
            }
        }
    }

    /// Does what is due; returns when to come again. Call it when that time has come, or more often.
    pub fn tick(&self, worker: &mut Worker, now: Time) -> Option<Time> {
        worker.refresh(self);
        self.recheck_consumers(worker);
        self.deadlines.tidy(|at, due| self.is_due_some_day(at, due));
        // Bounded, so that one call does not hold its thread for long.
        for _ in 0..1024 {
            match self.deadlines.pop(now) {
                Some(Due::Will(id)) => self.will_due(worker, now, id),
                Some(Due::Mailbox(id)) => self.expire_mailbox(worker, now, id),
                Some(Due::Retained(topic)) => {
                    if self.retained.remove_expired(&topic, now) {
                        self.metrics.retained_messages.add(-1);
                        worker.later.retained(&topic);
                    }
                }
                Some(Due::DeadLetters(id)) => self.bury_again(worker, now, id),
                Some(Due::Told(id)) => self.carry_out_told(worker, now, id),
                Some(Due::Tags(link)) => self.expire_tags(now, &link),
                Some(Due::Decision(id)) => self.decide_again(id),
                Some(Due::Withheld(id)) => self.look_at_withheld(id, now),
                Some(Due::Long(id)) => self.page_out_again(now, id),
                None => break,
            }
        }
        worker.flush(self, now);
        self.show_weight();
        let drain = self.drain_due(now);
        [self.deadlines.next(), drain, self.reap(worker, now), self.take_out_more(now)].into_iter().flatten().min()
    }

    /// Whether what a deadline was set for is still there.
    fn is_due_some_day(&self, at: Time, due: &Due) -> bool {
        match due {
            Due::Will(id) => self.due(*id).is_some(),
            Due::Retained(topic) => self.retained.expires(topic) == Some(at),
            Due::Tags(link) => self.knows_tags(link),
            Due::Mailbox(id)
            | Due::DeadLetters(id)
            | Due::Told(id)
            | Due::Decision(id)
            | Due::Withheld(id)
            | Due::Long(id) => self.directory.by_id(*id).is_some(),
        }
    }
}

/// A will as it is kept. It counts as published by its owner: for No Local (MQTT 5.0, 3.8.3.1), and for what the owner has
/// retained.
pub(super) fn left_by(owner: &Arc<Client>, will: Will, now: Time) -> WillRecord {
    let will = Will { message: will.message.published_by(publisher::number(&owner.id)), ..will };
    WillRecord { owner: owner.clone(), will, registered: now, due: None }
}
