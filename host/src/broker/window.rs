//! Deliveries under way on one mailbox: sent above at-most-once and not yet settled, in the order in which they were sent.
//!
//! Each has a number, ascending in the mailbox, and a handle that follows from it, so that the same handle is found again
//! after a restart without having been written down. Only where a delivery is stuck for 65,535 others is a handle taken
//! that does not follow.

use super::queued::{NOT_SUBMITTED, Queued};
use super::spares::{self, UNDER_WAY};
use crate::dialogue::Handle;
use crate::message::Guarantee;
use crate::store::{Change, MailboxId, Sequence};
use std::collections::VecDeque;

/// How far a delivery has got.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// Sent, not acknowledged.
    Sent,
    /// Exactly-once: the receiver has it.
    Received,
    /// Over; stays until those before it are over, too.
    Settled,
}

/// What of a delivery was sent on this connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Here {
    /// Nothing yet.
    #[default]
    Nothing,
    /// The message: it takes a place until it is settled.
    Message,
    /// Its release, again: that takes none (MQTT 5.0, 4.9).
    Release,
}

/// One delivery under way.
#[derive(Debug)]
pub struct InFlight {
    /// What was sent.
    pub queued: Queued,
    /// Names it on the wire.
    pub handle: Handle,
    /// How far it has got.
    pub phase: Phase,
    /// What this connection knows of it.
    pub here: Here,
}

/// The deliveries under way.
#[derive(Debug, Default)]
pub struct Window {
    flights: VecDeque<InFlight>,
    /// Of `flights`, those at the front that were sent on this connection.
    resent: usize,
    /// Behind those there may be releases that are to be sent again.
    releases: bool,
    /// Messages that were sent on this connection and are not settled.
    outstanding: u16,
    /// Of `flights`, those that are over.
    settled: usize,
    /// Whether a handle is under way that does not follow from its number.
    irregular: bool,
}

/// The handle that follows from a number.
pub fn handle_of(number: u64) -> Handle {
    ((number - 1) % 65_535 + 1) as Handle
}

/// Unsettled deliveries of earlier connections, releases among them, beside which new messages may be sent.
const UNSETTLED_MIN: u16 = 1_024;
/// One handle is always free for the next message.
const UNSETTLED_MAX: u16 = 65_534;

impl Window {
    /// Messages that were sent on this connection and are not settled.
    pub fn outstanding(&self) -> u16 {
        self.outstanding
    }

    /// Whether a new message may be sent to a client that takes so many at once. One that has most of them and never completes the
    /// exchange gets no more of them with each connection (MQTT 5.0, 4.9, speaks of those sent on this one only).
    pub fn has_place(&self, window_max: u16) -> bool {
        let unsettled = self.flights.len() - self.settled;
        self.outstanding < window_max && unsettled < usize::from(window_max.clamp(UNSETTLED_MIN, UNSETTLED_MAX))
    }

    /// How many are not settled.
    pub fn len(&self) -> usize {
        self.flights.iter().filter(|flight| flight.phase != Phase::Settled).count()
    }

    /// A new connection: everything under way is to be sent again.
    pub fn restart(&mut self) {
        self.flights.retain(|flight| flight.phase != Phase::Settled);
        self.settled = 0;
        // Modules are asked again about what is sent again.
        for flight in &mut self.flights {
            flight.queued.cleared = 0;
            flight.here = Here::Nothing;
        }
        self.resent = 0;
        self.releases = true;
        self.outstanding = 0;
    }

    /// The next one to send again, left where it is. Without room for a message that is a release, which takes no place, and
    /// need not wait for its turn [MQTT-4.4.0-1].
    pub fn peek_resend(&mut self, room: bool) -> Option<&InFlight> {
        let at = self.next_resend(room)?;
        self.flights.get(at)
    }

    fn next_resend(&mut self, room: bool) -> Option<usize> {
        let is_done = |flight: &InFlight| flight.phase == Phase::Settled || flight.here == Here::Release;
        while self.flights.get(self.resent).is_some_and(is_done) {
            self.resent += 1;
        }
        let first = self.flights.get(self.resent)?;
        if room || first.phase == Phase::Received {
            return Some(self.resent);
        }
        if !self.releases {
            return None;
        }
        let is_next = |flight: &InFlight| flight.phase == Phase::Received && flight.here == Here::Nothing;
        let ahead = self.flights.iter().skip(self.resent).position(is_next);
        self.releases = ahead.is_some();
        ahead.map(|ahead| self.resent + ahead)
    }

    /// All that are to be sent again, oldest first.
    pub fn unsent(&mut self) -> impl Iterator<Item = &mut InFlight> {
        self.flights.iter_mut().skip(self.resent).filter(|flight| flight.phase == Phase::Sent)
    }

    /// What [`Window::peek_resend`] shows, as sent.
    pub fn resend(&mut self, room: bool) -> Option<&InFlight> {
        let at = self.next_resend(room)?;
        if at == self.resent {
            self.resent += 1;
        }
        let flight = self.flights.get_mut(at)?;
        flight.here = match flight.phase {
            Phase::Received => Here::Release,
            Phase::Sent | Phase::Settled => {
                self.outstanding += 1;
                Here::Message
            }
        };
        Some(flight)
    }

    /// Whether something is to be sent again.
    pub fn has_resend(&self) -> bool {
        self.resent < self.flights.len()
    }

    /// Whether a handle is under way.
    pub fn is_used(&self, handle: Handle) -> bool {
        self.position(handle).is_some()
    }

    /// Puts a delivery under way, under the handle that follows from its number, or the next one free.
    pub fn send(&mut self, queued: Queued) -> &InFlight {
        let mut handle = handle_of(queued.number);
        let regular =
            self.flights.front().is_none_or(|first| queued.number.saturating_sub(first.queued.number) < 65_535);
        if !regular || self.irregular {
            while self.is_used(handle) {
                handle = handle_of(u64::from(handle) + 1);
                self.irregular = true;
            }
        }
        self.push(InFlight { queued, handle, phase: Phase::Sent, here: Here::Message });
        self.resent = self.flights.len();
        self.outstanding += 1;
        &self.flights[self.flights.len() - 1]
    }

    /// Takes one back from the store, not yet sent on this connection.
    pub fn restore(&mut self, flight: InFlight) {
        self.irregular |= flight.handle != handle_of(flight.queued.number);
        self.releases = true;
        self.push(flight);
    }

    /// Somebody else has taken a delivery that the receiver may know under the handle that follows from its number: nothing is
    /// left of it but the release. Only while no connection drains the window.
    pub fn owe(&mut self, mut queued: Queued) {
        if queued.stored {
            queued.after = NOT_SUBMITTED;
        }
        let at = self.flights.partition_point(|flight| flight.queued.number < queued.number);
        let handle = handle_of(queued.number);
        self.releases = true;
        self.flights.insert(at, InFlight { queued, handle, phase: Phase::Received, here: Here::Nothing });
    }

    fn push(&mut self, flight: InFlight) {
        spares::push(&mut self.flights, flight, &UNDER_WAY);
    }

    /// The delivery under this handle, if it is under way.
    pub fn get(&mut self, handle: Handle) -> Option<&mut InFlight> {
        let at = self.position(handle)?;
        self.flights.get_mut(at)
    }

    /// Ends the delivery under this handle without having sent it again, as far as this side can. One that is exactly-once
    /// and was sent before may stand among what the receiver has and waits for the release of: the handle stays under way
    /// until that is answered, or the receiver would take a later message under it for this one (MQTT 5.0, 4.3.3). What the
    /// store has to know goes into `changes`; the release waits for it ([`Window::abandonment_noted`]).
    ///
    /// Any other is over, and comes back.
    #[must_use]
    pub fn abandon(&mut self, handle: Handle, mailbox: MailboxId, changes: &mut Vec<Change>) -> Option<Queued> {
        let at = self.position(handle)?;
        let flight = &mut self.flights[at];
        if flight.queued.guarantee != Guarantee::ExactlyOnce {
            return self.settle(handle);
        }
        if flight.phase == Phase::Sent {
            flight.phase = Phase::Received;
            if flight.queued.stored {
                flight.queued.after = NOT_SUBMITTED;
                changes.push(Change::QueuedReceived(mailbox, flight.queued.number));
            }
        }
        if at + 1 == self.resent {
            self.resent = at;
        }
        if std::mem::take(&mut self.flights[at].here) == Here::Message {
            self.outstanding = self.outstanding.saturating_sub(1);
        }
        self.releases = true;
        None
    }

    /// The store has heard of what was abandoned, and has it on disk after this.
    pub fn abandonment_noted(&mut self, after: Sequence) {
        for flight in self.flights.iter_mut().filter(|flight| flight.queued.after == NOT_SUBMITTED) {
            flight.queued.after = after;
        }
    }

    /// What the next release waits for, where it may not leave before it is on disk.
    pub fn release_waits_for(&mut self, room: bool, committed: Sequence) -> Option<Sequence> {
        let next = self.peek_resend(room).filter(|flight| flight.phase == Phase::Received)?;
        (next.queued.after > committed).then_some(next.queued.after)
    }

    /// Ends the delivery under this handle and returns what was sent.
    pub fn settle(&mut self, handle: Handle) -> Option<Queued> {
        let at = self.position(handle)?;
        self.settle_at(at)
    }

    /// The delivery at this place.
    #[inline]
    pub fn at(&self, place: usize) -> Option<&InFlight> {
        self.flights.get(place)
    }

    /// Ends the delivery at this place and returns what was sent.
    #[inline]
    pub fn settle_at(&mut self, at: usize) -> Option<Queued> {
        if self.flights.get(at)?.here == Here::Message {
            self.outstanding = self.outstanding.saturating_sub(1);
        }
        if at > 0 {
            return self.settle_behind(at);
        }
        let flight = self.flights.pop_front()?;
        self.resent = self.resent.saturating_sub(1);
        self.shed();
        Some(flight.queued)
    }

    #[inline(never)]
    fn settle_behind(&mut self, at: usize) -> Option<Queued> {
        let flight = self.flights.get_mut(at)?;
        flight.phase = Phase::Settled;
        let queued = flight.queued.clone();
        self.settled += 1;
        // One that is not answered must not keep all that was settled behind it.
        if self.settled > 64 && self.settled > self.flights.len() / 2 {
            let sent = self.flights.iter().take(self.resent);
            self.resent = sent.filter(|flight| flight.phase != Phase::Settled).count();
            self.flights.retain(|flight| flight.phase != Phase::Settled);
            self.settled = 0;
        }
        Some(queued)
    }

    /// Removes everything, oldest first.
    pub fn drain(&mut self) -> impl Iterator<Item = InFlight> + '_ {
        self.resent = 0;
        self.outstanding = 0;
        self.settled = 0;
        self.irregular = false;
        self.flights.drain(..).filter(|flight| flight.phase != Phase::Settled)
    }

    /// What is under way, oldest first.
    pub fn iter(&self) -> impl Iterator<Item = &InFlight> {
        self.flights.iter().filter(|flight| flight.phase != Phase::Settled)
    }

    /// Gives memory back when nothing is under way.
    #[inline(always)]
    fn shed(&mut self) {
        if self.settled > 0 {
            self.shed_settled();
        }
        if self.flights.is_empty() {
            self.irregular = false;
            spares::shed(&mut self.flights, &UNDER_WAY);
        }
    }

    /// Forgets what is settled in front.
    fn shed_settled(&mut self) {
        while self.flights.front().is_some_and(|flight| flight.phase == Phase::Settled) {
            self.flights.pop_front();
            self.resent = self.resent.saturating_sub(1);
            self.settled -= 1;
        }
    }

    /// The place of the delivery under this handle. Handles follow each other, so it is known unless something is missing
    /// between, or one is irregular.
    #[inline(always)]
    pub fn position(&self, handle: Handle) -> Option<usize> {
        let first = self.flights.front()?;
        let is_it = |flight: &InFlight| flight.handle == handle && flight.phase != Phase::Settled;
        if is_it(first) {
            return Some(0);
        }
        self.position_behind(first, handle, is_it)
    }

    #[inline(never)]
    fn position_behind(&self, first: &InFlight, handle: Handle, is_it: impl Fn(&InFlight) -> bool) -> Option<usize> {
        let ahead = (i32::from(handle) - i32::from(first.handle)).rem_euclid(65_535) as usize;
        if self.flights.get(ahead).is_some_and(&is_it) {
            return Some(ahead);
        }
        let number = first.queued.number + ahead as u64;
        let at = self.flights.partition_point(|flight| flight.queued.number < number);
        if self.flights.get(at).is_some_and(&is_it) {
            return Some(at);
        }
        self.flights.iter().position(is_it)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::{Envelope, Guarantee, Message};
    use crate::topic::{Limits, Topic};

    fn queued(number: u64) -> Queued {
        let topic = Topic::new("a", &Limits::default()).unwrap();
        let guarantee = Guarantee::AtLeastOnce;
        let envelope = Envelope { topic, guarantee, retain: false, expires: None, properties: None, hops: 0 };
        Queued { number, guarantee, ..Queued::new(Message::new(envelope, 0, b"")) }
    }

    #[test]
    fn handles_follow_from_numbers_and_are_never_0() {
        for (number, handle) in [(1, 1), (65_535, 65_535), (65_536, 1), (131_071, 1)] {
            assert_eq!(handle_of(number), handle, "{number}");
        }
    }

    #[test]
    fn a_stuck_handle_is_skipped() {
        let mut window = Window::default();
        assert_eq!(window.send(queued(1)).handle, 1);
        let mut used = Vec::new();
        for number in 2..=70_000u64 {
            let handle = window.send(queued(number)).handle;
            assert_ne!(handle, 1);
            used.push(handle);
            if used.len() == 10 {
                for handle in used.drain(..) {
                    assert!(window.settle(handle).is_some());
                }
            }
        }
        assert_eq!(window.settle(1).unwrap().number, 1);
    }

    #[test]
    fn one_that_is_never_answered_does_not_keep_what_was_settled_behind_it() {
        let mut window = Window::default();
        window.send(queued(1));
        let mut sent = VecDeque::new();
        for number in 2..=200_000u64 {
            sent.push_back(window.send(queued(number)).handle);
            // In turns from both ends.
            if number > 100
                && let Some(handle) = if number % 3 == 0 { sent.pop_back() } else { sent.pop_front() }
            {
                assert!(window.settle(handle).is_some(), "{number}");
            }
            assert!(window.flights.len() < 512 && window.len() <= 101, "{number}: {}", window.flights.len());
            assert_eq!(usize::from(window.outstanding()), sent.len() + 1);
        }
        for handle in sent {
            assert_eq!(handle_of(window.settle(handle).unwrap().number), handle);
        }
        assert_eq!(window.settle(1).unwrap().number, 1);
        assert!(window.flights.is_empty() && window.settled == 0 && window.outstanding() == 0);
    }

    #[test]
    fn what_is_under_way_is_sent_again_in_order_and_once() {
        let mut window = Window::default();
        for number in 1..=3 {
            window.send(queued(number));
        }
        window.settle(2);
        window.restart();
        assert_eq!(window.outstanding(), 0);
        assert_eq!(window.resend(true).unwrap().handle, 1);
        assert_eq!(window.resend(true).unwrap().handle, 3);
        assert!(window.resend(true).is_none());
        assert_eq!(window.outstanding(), 2);
        assert!(window.settle(2).is_none());
        assert!(window.settle(3).is_some() && window.settle(1).is_some());
        assert_eq!((window.len(), window.outstanding()), (0, 0));
    }

    /// MQTT 5.0, 4.9: only messages take places.
    #[test]
    fn a_release_is_sent_again_whether_there_is_room_or_not_and_takes_no_place() {
        let mut window = Window::default();
        for number in 1..=5 {
            window.send(queued(number));
        }
        for handle in [2, 4] {
            window.get(handle).unwrap().phase = Phase::Received;
        }
        window.restart();
        assert_eq!(window.resend(true).unwrap().handle, 1);
        for release in [2, 4] {
            assert_eq!(window.resend(false).unwrap().handle, release);
        }
        assert!(window.resend(false).is_none() && window.has_resend());
        assert_eq!(window.outstanding(), 1);
        assert!(window.settle(4).is_some());
        assert_eq!(window.outstanding(), 1);
        assert!(window.settle(1).is_some());
        assert_eq!(window.outstanding(), 0);
        assert_eq!(window.resend(true).unwrap().handle, 3);
        assert_eq!(window.resend(true).unwrap().handle, 5);
        assert!(window.resend(true).is_none() && !window.has_resend());
        assert_eq!((window.len(), window.outstanding()), (3, 2));
    }
}
