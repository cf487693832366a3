//! Wills that are due: their publication, and what becomes of one for which there is no room.
//!
//! Nobody is left who could be told that a will was refused. A session's full queue takes it all the same, within bounds. One
//! for which there is no room even so, or a full disk, is held, in the store as well, and tried again: at first every second.
//! It is asked about anew each time, as it is after a restart. What its owner may not publish, or a module refuses, is over.

use super::Broker;
use super::deliver::Full;
use super::mailbox::Mailbox;
use super::publish::{Decided, Decision, RESERVED};
use super::retain::Keep;
use super::route::{Route, Target};
use super::staged::Staged;
use super::wills::{Place, Touched, left_by};
use super::worker::Worker;
use crate::client::{Client, Departure};
use crate::dialogue::Routed;
use crate::message::{Envelope, Message, Time, Will};
use crate::store::{MailboxId, WillRecord};
use crate::wasm::Action;
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// Milliseconds after which one that is held is tried again: an eighth of the time since it was due, within these bounds.
const PAUSE_MILLISECONDS: std::ops::RangeInclusive<u64> = 1_000..=10_000;

/// What comes of a will, once all modules were asked.
type Outcome = Vec<(Decided, Arc<Route>)>;

impl Broker {
    /// Publishes a will whose owner is gone, now. Its publication and its end are one unit: a crash leaves both or none.
    pub(super) fn fire_will(&self, worker: &mut Worker, now: Time, id: MailboxId, staged: &mut Staged) {
        let Some((record, how, was_held)) = self.take_due(id) else { return };
        if !was_held {
            self.claims.will_over(id, &record.owner.id);
        }
        let bytes = record.will.message.size();
        match self.publish_will(worker, now, &record, how, staged) {
            Ok(()) => {
                staged.will(id, Touched::Published);
                if was_held {
                    self.wills.held_bytes.fetch_sub(bytes, Ordering::Relaxed);
                }
            }
            Err(_) if was_held => self.hold_will(now, id, record),
            Err(full) => {
                staged.will(id, Touched::Published);
                self.begin_to_hold(now, record, &full, staged);
            }
        }
    }

    /// The will of a connection that was let in and lost its place before it could leave it there: it counts like any other
    /// [MQTT-3.1.2-8].
    pub(super) fn will_of_ousted(
        &self,
        worker: &mut Worker,
        now: Time,
        mailbox: &Mailbox,
        owner: &Arc<Client>,
        will: Will,
        staged: &mut Staged,
    ) {
        let how = Departure::TakenOver;
        let state = mailbox.lock();
        if will.delay_seconds > 0 && !state.gone {
            // The session goes on, and whoever is in it has come in time [MQTT-3.1.3-9]. Nobody yet: whoever comes, or ends it,
            // finds the will.
            if state.outlet.is_none() && !self.wills.is_kept(mailbox.id) {
                self.put_will(staged, mailbox.id, owner, will, now);
                self.owner_leaves(now, mailbox.id, how, u32::MAX);
                drop(state);
                self.owner_left(worker, now, mailbox.id, staged);
            }
            return;
        }
        drop(state);
        let record = WillRecord { due: Some((now, how)), ..left_by(owner, will, now) };
        if let Err(full) = self.publish_will(worker, now, &record, how, staged) {
            self.begin_to_hold(now, record, &full, staged);
        }
    }

    /// Takes a will out that is due, and how its owner went; whether it was held.
    fn take_due(&self, id: MailboxId) -> Option<(WillRecord, Departure, bool)> {
        let mut table = self.wills.table.lock();
        let place = table.get_mut(&id)?;
        let (Place::Kept(WillRecord { due: Some((_, how)), .. }) | Place::Held(WillRecord { due: Some((_, how)), .. })) =
            *place
        else {
            return None;
        };
        self.wills.count(place, false);
        match std::mem::replace(place, Place::Leaving) {
            Place::Kept(record) => Some((record, how, false)),
            Place::Held(record) => Some((record, how, true)),
            Place::Leaving => None,
        }
    }

    /// Publishes all that comes of a will, as the modules say that its owner follows, whoever's departure or thread this is.
    fn publish_will(
        &self,
        worker: &mut Worker,
        now: Time,
        record: &WillRecord,
        how: Departure,
        staged: &mut Staged,
    ) -> Result<(), Full> {
        let own = worker.chain_for(&record.owner.id);
        let at_hand = std::mem::replace(&mut worker.chain, own);
        let published = self.publish_all_of_will(worker, now, record, how, staged);
        worker.chain = at_hand;
        published
    }

    /// Nothing of it while there is no room for all.
    fn publish_all_of_will(
        &self,
        worker: &mut Worker,
        now: Time,
        record: &WillRecord,
        how: Departure,
        staged: &mut Staged,
    ) -> Result<(), Full> {
        let go = self.judge_will(worker, now, record, how);
        for (decided, route) in &go {
            for (wish, route, keep) in decided.beside.promised() {
                self.has_room_for_will(now, wish, route, keep)?;
            }
            if !decided.beside.is_discarded() {
                self.has_room_for_will(now, &decided.message, route, decided.keep)?;
            }
        }
        for (decided, route) in go {
            // Somebody may have filled a queue since it was looked at: its bound is exceeded, and nothing is lost.
            if !decided.beside.is_discarded() {
                self.metrics.wills_published_total.add(1);
                worker.tally.received += 1;
                worker.tally.received_bytes += decided.message.payload().len() as u64;
            }
            let routed = self.hand_out_all(worker, now, decided, &route, staged);
            worker.tally.unroutable += u64::from(routed == Routed::NoSubscriber);
        }
        Ok(())
    }

    /// The full queue of a session takes wills all the same, up to half as much again: one receiver that is away is not to keep
    /// them from all others.
    fn has_room_for_will(&self, now: Time, message: &Message, route: &Arc<Route>, keep: Keep) -> Result<(), Full> {
        let takes = |target: &Target| match target {
            Target::Single(single) if !single.mailbox.is_consumed() => !single.mailbox.is_overfull(&self.limits),
            target => self.full(now, message, target).is_none(),
        };
        match self.has_room(now, message, route, keep) {
            Err(Full::Queue(_)) if self.store.has_room() && !self.is_short() && route.targets.iter().all(takes) => {
                Ok(())
            }
            found => found,
        }
    }

    fn judge_will(&self, worker: &mut Worker, now: Time, record: &WillRecord, how: Departure) -> Outcome {
        let WillRecord { owner, will, registered, .. } = record;
        let mut outcome = Outcome::default();
        // It may have been allowed when it was left.
        if self.check(worker, owner, Action::Publish, will.message.topic().as_str()).is_err() {
            return outcome;
        }
        let chain = worker.chain.clone();
        let will = Will { message: counted_from(now, *registered, &will.message), ..will.clone() };
        for message in chain.will_due(&mut worker.guests, owner, will, how) {
            if message.topic().is_reserved() {
                tracing::warn!(client = %owner.id.escape_debug(), reason = RESERVED, "a will was refused");
                continue;
            }
            let route = self.route_of_own(worker, &owner.scope, message.topic());
            match self.judge(worker, now, owner, message, route) {
                Decision::Go(mut decided, route) => {
                    // Whatever it was left at: it can be held, and tried again.
                    decided.beside.bind();
                    outcome.push((decided, route));
                }
                Decision::Refused(refusal) => {
                    tracing::warn!(client = %owner.id.escape_debug(), reason = refusal.reason, "a will was refused");
                }
            }
        }
        outcome
    }

    /// Gives a will a place of its own, unless too many have one.
    fn begin_to_hold(&self, now: Time, record: WillRecord, full: &Full, staged: &mut Staged) {
        let (client, reason) = (record.owner.clone(), full.refusal().reason);
        let (client, bytes) = (client.id.escape_debug(), record.will.message.size());
        let most = self.limits.memory_bytes_max / 2;
        if self.wills.held_bytes.fetch_add(bytes, Ordering::Relaxed) + bytes > most {
            self.wills.held_bytes.fetch_sub(bytes, Ordering::Relaxed);
            self.metrics.wills_dropped_total.add(1);
            tracing::warn!(%client, reason, "a will was dropped: too many wait for room");
            return;
        }
        self.metrics.wills_held_total.add(1);
        tracing::warn!(%client, reason, "a will finds no room: it is held, and published when there is some");
        let place = self.directory.next_id();
        self.hold_will(now, place, record);
        staged.will(place, Touched::Changed);
    }

    fn hold_will(&self, now: Time, place: MailboxId, record: WillRecord) {
        let waited = record.due.map_or(0, |(at, _)| now.since(at));
        let pause = (waited / 8).clamp(*PAUSE_MILLISECONDS.start(), *PAUSE_MILLISECONDS.end());
        self.wills.table.lock().insert(place, Place::Held(record));
        self.deadlines.will(now.plus_milliseconds(pause), place);
    }

    /// A will is due, if it is there still.
    pub(super) fn will_due(&self, worker: &mut Worker, now: Time, id: MailboxId) {
        if self.due(id).is_some_and(|(at, _)| at <= now) {
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
