//! What clients leave to be published when they are gone.

use super::staged::Staged;
use super::worker::Worker;
use super::{Broker, deadlines::Due};
use crate::client::{Client, Departure};
use crate::dialogue::WillRequest;
use crate::message::{Envelope, Message, Refusal, Time, Will};
use crate::store::{Change, MailboxId, WillRecord};
use crate::wasm::Action;
use hashbrown::HashMap;
use parking_lot::Mutex;
use std::sync::Arc;

/// All wills, by the mailbox of their owner. Bounded by the mailboxes.
#[derive(Default)]
pub struct Wills {
    table: Mutex<HashMap<MailboxId, WillRecord>>,
}

impl Wills {
    /// Takes one back from the store.
    pub fn restore(&self, owner: MailboxId, will: WillRecord) {
        self.table.lock().insert(owner, will);
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
        chain.will_registered(&mut worker.guests, owner, Will { message, delay_seconds: will.delay_seconds })
    }

    /// Keeps a will, in place of an older one.
    pub(super) fn put_will(&self, staged: &mut Staged, id: MailboxId, owner: &Arc<Client>, will: Will, now: Time) {
        let record = WillRecord { owner: owner.clone(), will, registered: now, due: None };
        self.wills.table.lock().insert(id, record);
        staged.will(id);
    }

    /// The wills as they are; whoever holds this tells the store in the order of what it sees.
    pub(super) fn wills_in_order(&self) -> impl Fn(MailboxId) -> Change + '_ {
        let table = self.wills.table.lock();
        move |id| match table.get(&id) {
            Some(record) => Change::Will(id, Box::new(record.clone())),
            None => Change::WillGone(id),
        }
    }

    /// The owner is back: in time, unless its will was due already and only nobody had come to it yet.
    pub(super) fn owner_is_back(&self, worker: &mut Worker, now: Time, id: MailboxId, staged: &mut Staged) {
        let due = self.wills.table.lock().get(&id).and_then(|record| record.due);
        match due {
            Some((at, _)) if at <= now => self.fire_will(worker, now, id, staged),
            _ => self.cancel_will(id, staged),
        }
    }

    /// The owner is back, or never minded.
    pub(super) fn cancel_will(&self, id: MailboxId, staged: &mut Staged) {
        if self.wills.table.lock().remove(&id).is_some() {
            staged.will(id);
        }
    }

    /// The owner went: its will is dropped, published, or published when its delay or the mailbox is over.
    pub(super) fn owner_left(
        &self,
        worker: &mut Worker,
        now: Time,
        id: MailboxId,
        how: Departure,
        expiry_seconds: u32,
        staged: &mut Staged,
    ) {
        let mut table = self.wills.table.lock();
        let Some(record) = table.get_mut(&id) else { return };
        if how == Departure::Clean {
            drop(table);
            return self.cancel_will(id, staged);
        }
        let wait = record.will.delay_seconds.min(expiry_seconds);
        let at = now.plus_seconds(wait);
        record.due = Some((at, how));
        if wait == 0 {
            drop(table);
            return self.fire_will(worker, now, id, staged);
        }
        staged.will(id);
        drop(table);
        self.deadlines.will(at, id);
    }

    /// Publishes a will whose owner is gone, now. Its publication and its end are one unit: a crash leaves both or none.
    pub(super) fn fire_will(&self, worker: &mut Worker, now: Time, id: MailboxId, staged: &mut Staged) {
        let mut table = self.wills.table.lock();
        let Some((_, how)) = table.get(&id).and_then(|record| record.due) else { return };
        let Some(record) = table.remove(&id) else { return };
        drop(table);
        self.claims.will_over(id, &record.owner.id);
        let chain = worker.chain.clone();
        let WillRecord { owner, will, registered, .. } = record;
        // It may have been allowed when it was left.
        if self.check(worker, &owner, Action::Publish, will.message.topic().as_str()).is_err() {
            staged.will(id);
            return;
        }
        let will = Will { message: counted_from(now, registered, &will.message), ..will };
        for message in chain.will_due(&mut worker.guests, &owner, will, how) {
            self.metrics.wills_published_total.add(1);
            let route = self.route_of(worker, message.topic());
            if let Err(refusal) = self.pass_now(worker, now, &owner, message, route, staged) {
                tracing::warn!(client = %owner.id.escape_debug(), reason = refusal.reason, "a will was refused");
            }
        }
        staged.will(id);
    }

    /// Does what is due; returns when to come again. Call it when that time has come, or more often.
    pub fn tick(&self, worker: &mut Worker, now: Time) -> Option<Time> {
        worker.refresh(self);
        self.recheck_consumers(worker);
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
                None => break,
            }
        }
        worker.flush(self, now);
        self.show_weight();
        let drain = self.drain_due(now);
        [self.deadlines.next(), drain, self.reap(now)].into_iter().flatten().min()
    }

    fn will_due(&self, worker: &mut Worker, now: Time, id: MailboxId) {
        let due = self.wills.table.lock().get(&id).and_then(|record| record.due);
        if due.is_some_and(|(at, _)| at <= now) {
            let mut staged = worker.stage();
            self.fire_will(worker, now, id, &mut staged);
            self.commit(worker, staged);
        }
    }
}

/// A will's expiry counts from its publication.
fn counted_from(now: Time, registered: Time, message: &Message) -> Message {
    let Some(expires) = message.envelope().expires else { return message.clone() };
    let expires = Some(now.plus_milliseconds(expires.since(registered)));
    message.with_envelope(Envelope { expires, ..message.envelope().clone() })
}
