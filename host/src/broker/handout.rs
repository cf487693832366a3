//! What a mailbox hands to the connection that drains it: again what was under way, then retained messages, then what
//! waits, in order and as far as window, disk and modules let it.

use super::mailbox::{Mailbox, Outlet, State};
use super::queued::{NOT_SUBMITTED, Queued};
use super::replaying::Replaying;
use super::spares::{WAITING, shed};
use super::window::{InFlight, Phase};
use crate::dialogue::{Delivery, Outgoing};
use crate::message::{FormMissing, Guarantee, Message, Time};
use crate::store::{Change, MailboxId, Sequence};
use crate::wasm::Loss;
use std::collections::VecDeque;
use std::sync::Arc;

/// What is left after a drain.
#[derive(Default)]
pub struct Drained {
    /// For the store; nobody waits for them.
    pub changes: Vec<Change>,
    /// The mailbox leaves nothing to the store until it has those.
    pub untold: bool,
    /// The store is to be asked for these entries.
    pub page: Option<(u64, u64)>,
    /// Publishers that may go on.
    pub unblocked: Vec<Arc<dyn Outlet>>,
    /// Somebody has looked at many entries and comes again for the others.
    pub goes_on: Option<Arc<dyn Outlet>>,
    /// More is in the store.
    pub waits_for_page: bool,
    /// The retained store has to be asked for more.
    pub wants_replay: bool,
    /// The next entry is not there in the form in which it is wanted.
    pub wants_form: bool,
    /// The next entry may leave when so much is on disk; 0: nothing waits for the disk.
    pub awaits: Sequence,
    /// Copies handed out.
    pub sent: u64,
    /// Payload bytes of those.
    pub sent_bytes: u64,
    /// Copies that expired here.
    pub expired: u64,
    /// Those, and what has no form, if somebody wants to be told.
    pub lost: Vec<(Message, Loss)>,
    /// Copies that have no form for their receiver.
    pub formless: u64,
    /// Entries of a queue that have none.
    pub set_aside: Vec<Queued>,
    /// Copies that are too large for their receiver.
    pub oversize: u64,
    /// A receiver that cannot take what is for nobody else.
    pub ends: Option<Arc<dyn Outlet>>,
    /// Modules have to be asked about the next copy.
    pub wants_decision: bool,
    /// A receiver had its part of what is shared out, and gets more with the next round.
    pub has_its_part: bool,
    /// A delivery is not sent again, and its handle is still to be released.
    pub abandoned: bool,
}

impl Drained {
    /// Whether it is copies that were handed out, and nothing else.
    #[inline]
    pub fn is_plain(&self) -> bool {
        let counts = self.expired | self.formless | self.oversize | self.awaits;
        let flags = self.untold
            | self.wants_replay
            | self.wants_form
            | self.wants_decision
            | self.abandoned
            | self.page.is_some()
            | self.goes_on.is_some()
            | self.ends.is_some();
        let left = self.changes.len() | self.unblocked.len() | self.lost.len();
        counts == 0 && left == 0 && !flags
    }

    /// A copy is given up that its receiver cannot be told.
    pub(super) fn has_no_form(&mut self, queued: &Queued, tell: bool) {
        self.formless += 1;
        if tell {
            self.lost.push((queued.message.clone(), Loss::Rejected));
        }
    }
}

/// What a drain is to keep to.
#[derive(Debug, Clone, Copy)]
pub struct Terms {
    /// The time.
    pub now: Time,
    /// So much is on disk.
    pub committed: Sequence,
    /// Copies leave that are cleared under this generation of delivery modules; 0: all.
    pub delivery: u64,
    /// Keep what is given up, for those who want to be told.
    pub tell_lost: bool,
}

impl Mailbox {
    /// Gives up what has expired at the front of the queue.
    pub fn drop_expired(&self, now: Time, tell: bool, drained: &mut Drained) {
        let mut state = self.lock();
        // What is not with the store yet is left to whoever takes it there.
        while state.queue.front().is_some_and(|first| first.is_too_late(now) && first.after != NOT_SUBMITTED) {
            let Some(queued) = state.queue.pop_front() else { break };
            self.count(&queued, false);
            self.expire(&queued, tell, drained);
        }
        Self::look_into_store(&mut state, drained);
    }

    /// The same behind what lasts longer. It looks at every entry that is in memory, so once a second.
    #[cold]
    pub fn drop_all_expired(&self, now: Time, tell: bool, drained: &mut Drained) {
        let mut state = self.lock();
        if now < state.looked_through_next {
            return;
        }
        state.looked_through_next = now.plus_seconds(1);
        let is_over = |queued: &Queued| queued.is_too_late(now) && queued.after != NOT_SUBMITTED;
        if !state.queue.iter().any(is_over) {
            return;
        }
        let (over, stay): (VecDeque<_>, VecDeque<_>) = std::mem::take(&mut state.queue).into_iter().partition(is_over);
        state.queue = stay;
        for queued in over {
            state.consuming.changed().and_then(|consuming| consuming.promised.remove(&queued.number));
            self.count(&queued, false);
            self.expire(&queued, tell, drained);
        }
        state.note_untold(drained);
        Self::look_into_store(&mut state, drained);
    }

    /// What is next may be in the store, and have expired, too.
    fn look_into_store(state: &mut State, drained: &mut Drained) {
        let gap = state.gap_begins_after();
        if gap != u64::MAX && state.queue.front().is_none_or(|first| first.number > gap) {
            drained.page = state.next_page(true);
        }
    }

    /// Puts a copy under way, if it has to be settled. Receivers of AMQP settle also what was published at less: if they had
    /// the mailbox before, it has copies of that kind (MQTT-3.8.4-8).
    #[inline(always)]
    fn send(&self, state: &mut State, mut queued: Queued, changes: &mut Vec<Change>) -> Outgoing {
        if queued.message.envelope().guarantee < queued.guarantee {
            self.lower(&mut queued, changes);
        }
        Outgoing::Deliver(match queued.guarantee {
            Guarantee::AtMostOnce => queued.into_delivery(),
            _ => self.put_under_way(state, queued, changes),
        })
    }

    /// Nobody settles what is at-most-once: it is over, and was not sent before as far as its receiver can tell
    /// (MQTT-3.3.1-2).
    #[cold]
    fn lower(&self, queued: &mut Queued, changes: &mut Vec<Change>) {
        queued.guarantee = queued.message.envelope().guarantee;
        if queued.guarantee == Guarantee::AtMostOnce {
            queued.forget(self.id, changes);
            queued.duplicate = false;
        }
    }

    fn put_under_way(&self, state: &mut State, mut queued: Queued, changes: &mut Vec<Change>) -> Delivery {
        if queued.number == 0 {
            queued.number = state.next_number;
            state.next_number += 1;
        }
        let stored = queued.stored.then_some(queued.number);
        let flight = state.window.send(queued);
        if let Some(number) = stored
            && (flight.handle != super::window::handle_of(number) || flight.queued.is_noted_under_way())
        {
            changes.push(Change::QueuedHandle(self.id, number, flight.handle));
        }
        flight.queued.delivery(flight.handle)
    }

    /// Gives a copy up whose time is over.
    pub(super) fn expire(&self, queued: &Queued, tell: bool, drained: &mut Drained) {
        drained.expired += 1;
        if tell {
            drained.lost.push((queued.message.clone(), Loss::Expired));
        }
        queued.forget(self.id, &mut drained.changes);
    }

    /// Something was about to leave that may not: its time is over, or it has no form for the receiver.
    #[cold]
    fn give_up(&self, queued: &Queued, is_too_late: bool, tell_lost: bool, drained: &mut Drained) {
        if is_too_late {
            self.expire(queued, tell_lost, drained);
        } else {
            drained.has_no_form(queued, tell_lost);
            queued.forget(self.id, &mut drained.changes);
        }
    }

    /// Hands out what may leave now, in order, until `sink` has had enough (returns false).
    pub fn drain(
        &self,
        attachment: u64,
        terms: Terms,
        limits: &super::Limits,
        sink: &mut impl FnMut(Outgoing) -> bool,
    ) -> Drained {
        let Terms { now, committed, delivery, tell_lost } = terms;
        let mut drained = Drained::default();
        let mut guard = self.lock();
        let state = &mut *guard;
        if state.attachment != attachment {
            return drained;
        }
        state.touched = false;
        if state.awaited <= committed {
            state.awaited = 0;
        }
        let is_paused = state.is_paused(delivery, now);
        if state.window.has_resend() && !resend(self.id, state, terms, &mut drained, sink) {
            return drained;
        }
        loop {
            if state.replaying.get().is_some_and(Replaying::is_to_be_fetched) {
                drained.wants_replay = true;
                break;
            }
            let room = state.window.has_place(state.window_max);
            let Some((source, is_replayed)) = state.next_source(room, committed) else {
                // An entry on its way to the store is looked at again by whoever takes it there.
                let after = state.queue.front().map_or(0, |next| next.after);
                if room && after > committed && after != NOT_SUBMITTED && state.awaited == 0 {
                    drained.awaits = after;
                    state.awaited = after;
                }
                break;
            };
            // Looked at where it lies: to move it is what costs most here.
            let Some(next) = source.front() else { break };
            let (is_too_late, form) = (next.is_too_late(now), next.content().in_form(false).err());
            drained.wants_decision = !is_too_late && !next.is_cleared(delivery);
            drained.wants_form = !is_too_late && form == Some(FormMissing::NotYet);
            if drained.wants_decision || drained.wants_form {
                drained.wants_decision &= !is_paused;
                drained.wants_form &= !is_paused;
                break;
            }
            if !is_replayed {
                self.count(next, false);
            }
            let bytes = next.message.payload().len() as u64;
            let Some(queued) = source.pop_front() else { break };
            if is_too_late || form.is_some() {
                self.give_up(&queued, is_too_late, tell_lost, &mut drained);
                continue;
            }
            drained.sent += 1;
            drained.sent_bytes += bytes;
            if !sink(self.send(state, queued, &mut drained.changes)) {
                break;
            }
        }
        drained.page = state.next_page(false);
        shed(&mut state.queue, &WAITING);
        shed(&mut state.express, &WAITING);
        self.note_window(state);
        state.end_replaying();
        if !state.blocked.is_blank() && self.has_room_again(limits) {
            drained.unblocked.extend(state.take_blocked());
        }
        drained
    }
}

impl State {
    /// From where the next copy may be taken, and whether it is retained: such ones first, then by arrival, but at-most-once ones
    /// need not wait for the window or the disk (MQTT 5.0, 4.6 and 4.9).
    fn next_source(&mut self, room: bool, committed: Sequence) -> Option<(&mut VecDeque<Queued>, bool)> {
        let ready = |queued: &Queued| queued.guarantee == Guarantee::AtMostOnce || (room && queued.after <= committed);
        if let Some(next) = self.replaying.get().and_then(|replaying| replaying.replayed.front()) {
            return match ready(next) {
                true => Some((&mut self.replaying.change().replayed, true)),
                false if self.express.is_empty() => None,
                false => Some((&mut self.express, false)),
            };
        }
        let gap = self.gap_begins_after();
        let waiting = self.queue.front().filter(|queued| ready(queued) && queued.number <= gap);
        let waiting = waiting.map(|queued| queued.arrival);
        let express = self.express.front().map(|queued| queued.arrival);
        let source = match (waiting, express) {
            (Some(waiting), Some(express)) if express < waiting => &mut self.express,
            (Some(_), _) => &mut self.queue,
            (None, Some(_)) => &mut self.express,
            (None, None) => return None,
        };
        Some((source, false))
    }
}

/// Sends again what was under way when the last connection ended; false if `sink` has had enough, or modules have to be
/// asked first.
fn resend(
    mailbox: MailboxId,
    state: &mut State,
    terms: Terms,
    drained: &mut Drained,
    sink: &mut impl FnMut(Outgoing) -> bool,
) -> bool {
    loop {
        let room = state.window.outstanding() < state.window_max;
        let is_next = |flight: &InFlight| flight.phase == Phase::Sent && !flight.queued.is_cleared(terms.delivery);
        if state.window.peek_resend(room).is_some_and(is_next) {
            drained.wants_decision = !state.is_paused(terms.delivery, terms.now);
            return false;
        }
        // What came back from the store has not been put into the receiver's form in this life.
        let unsent = state.window.peek_resend(room).filter(|flight| flight.phase == Phase::Sent);
        match unsent.map(|flight| (flight.handle, flight.queued.content().in_form(false).err())) {
            Some((_, Some(FormMissing::NotYet))) => {
                drained.wants_form = !state.is_paused(terms.delivery, terms.now);
                return false;
            }
            Some((handle, Some(FormMissing::Impossible))) => {
                drained.abandoned = true;
                if let Some(queued) = state.window.abandon(handle, mailbox, &mut drained.changes) {
                    drained.has_no_form(&queued, terms.tell_lost);
                    queued.forget(mailbox, &mut drained.changes);
                }
                continue;
            }
            Some((_, None)) | None => {}
        }
        if let Some(after) = state.window.release_waits_for(room, terms.committed) {
            if after != NOT_SUBMITTED && state.awaited == 0 {
                (drained.awaits, state.awaited) = (after, after);
            }
            return false;
        }
        // Without room what needs none may pass.
        let Some(flight) = state.window.resend(room) else { return !room || !state.window.has_resend() };
        let outgoing = match flight.phase {
            Phase::Received => Outgoing::Release(flight.handle),
            _ => {
                drained.sent += 1;
                drained.sent_bytes += flight.queued.message.payload().len() as u64;
                Outgoing::Deliver(Delivery { duplicate: true, ..flight.queued.delivery(flight.handle) })
            }
        };
        if !sink(outgoing) {
            return false;
        }
    }
}
