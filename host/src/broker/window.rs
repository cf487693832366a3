//! Deliveries under way on one mailbox: sent above at-most-once and not yet settled, in the order in which they were sent.
//!
//! Each has a number, ascending in the mailbox, and a handle that follows from it, so that the same handle is found again
//! after a restart without having been written down. Only where a delivery is stuck for 65,535 others is a handle taken
//! that does not follow.

use super::queued::Queued;
use crate::dialogue::Handle;
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

/// One delivery under way.
#[derive(Debug)]
pub struct InFlight {
    /// What was sent.
    pub queued: Queued,
    /// Names it on the wire.
    pub handle: Handle,
    /// How far it has got.
    pub phase: Phase,
}

/// The deliveries under way.
#[derive(Debug, Default)]
pub struct Window {
    flights: VecDeque<InFlight>,
    /// Of `flights`, those at the front that were sent on this connection.
    resent: usize,
    /// Sent on this connection and not settled.
    outstanding: u16,
    /// Whether a handle is under way that does not follow from its number.
    irregular: bool,
}

/// The handle that follows from a number.
pub fn handle_of(number: u64) -> Handle {
    ((number - 1) % 65_535 + 1) as Handle
}

impl Window {
    /// Sent on this connection and not settled.
    pub fn outstanding(&self) -> u16 {
        self.outstanding
    }

    /// How many are not settled.
    pub fn len(&self) -> usize {
        self.flights.iter().filter(|flight| flight.phase != Phase::Settled).count()
    }

    /// A new connection: everything under way is to be sent again.
    pub fn restart(&mut self) {
        self.flights.retain(|flight| flight.phase != Phase::Settled);
        // Modules are asked again about what is sent again.
        for flight in &mut self.flights {
            flight.queued.cleared = 0;
        }
        self.resent = 0;
        self.outstanding = 0;
    }

    /// The next one to send again, left where it is.
    pub fn peek_resend(&self) -> Option<&InFlight> {
        self.flights.iter().skip(self.resent).find(|flight| flight.phase != Phase::Settled)
    }

    /// All that are to be sent again, oldest first.
    pub fn unsent(&mut self) -> impl Iterator<Item = &mut InFlight> {
        self.flights.iter_mut().skip(self.resent).filter(|flight| flight.phase == Phase::Sent)
    }

    /// The next one to send again, if any.
    pub fn resend(&mut self) -> Option<&InFlight> {
        while self.flights.get(self.resent).is_some_and(|flight| flight.phase == Phase::Settled) {
            self.resent += 1;
        }
        let flight = self.flights.get(self.resent)?;
        self.resent += 1;
        self.outstanding += 1;
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
        self.push(InFlight { queued, handle, phase: Phase::Sent });
        self.resent = self.flights.len();
        self.outstanding += 1;
        &self.flights[self.flights.len() - 1]
    }

    /// Takes one back from the store, not yet sent on this connection.
    pub fn restore(&mut self, flight: InFlight) {
        self.irregular |= flight.handle != handle_of(flight.queued.number);
        self.push(flight);
    }

    fn push(&mut self, flight: InFlight) {
        self.flights.push_back(flight);
    }

    /// The delivery under this handle, if it is under way.
    pub fn get(&mut self, handle: Handle) -> Option<&mut InFlight> {
        let at = self.position(handle)?;
        self.flights.get_mut(at)
    }

    /// Ends the delivery under this handle and returns what was sent.
    pub fn settle(&mut self, handle: Handle) -> Option<Queued> {
        let at = self.position(handle)?;
        if at < self.resent {
            self.outstanding = self.outstanding.saturating_sub(1);
        }
        if at == 0 {
            let flight = self.flights.pop_front()?;
            self.resent = self.resent.saturating_sub(1);
            self.shed();
            return Some(flight.queued);
        }
        let flight = self.flights.get_mut(at)?;
        flight.phase = Phase::Settled;
        Some(flight.queued.clone())
    }

    /// Removes everything, oldest first.
    pub fn drain(&mut self) -> impl Iterator<Item = InFlight> + '_ {
        self.resent = 0;
        self.outstanding = 0;
        self.irregular = false;
        self.flights.drain(..).filter(|flight| flight.phase != Phase::Settled)
    }

    /// What is under way, oldest first.
    pub fn iter(&self) -> impl Iterator<Item = &InFlight> {
        self.flights.iter().filter(|flight| flight.phase != Phase::Settled)
    }

    /// Gives memory back when nothing is under way.
    fn shed(&mut self) {
        while self.flights.front().is_some_and(|flight| flight.phase == Phase::Settled) {
            self.flights.pop_front();
            self.resent = self.resent.saturating_sub(1);
        }
        if self.flights.is_empty() {
            self.irregular = false;
            if self.flights.capacity() > 64 {
                self.flights = VecDeque::new();
            }
        }
    }

    /// Handles follow each other, so the place is known unless one is irregular.
    fn position(&self, handle: Handle) -> Option<usize> {
        let first = self.flights.front()?;
        let is_it = |flight: &InFlight| flight.handle == handle && flight.phase != Phase::Settled;
        let ahead = (i32::from(handle) - i32::from(first.handle)).rem_euclid(65_535) as usize;
        if self.flights.get(ahead).is_some_and(is_it) {
            return Some(ahead);
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
    fn what_is_under_way_is_sent_again_in_order_and_once() {
        let mut window = Window::default();
        for number in 1..=3 {
            window.send(queued(number));
        }
        window.settle(2);
        window.restart();
        assert_eq!(window.outstanding(), 0);
        assert_eq!(window.resend().unwrap().handle, 1);
        assert_eq!(window.resend().unwrap().handle, 3);
        assert!(window.resend().is_none());
        assert_eq!(window.outstanding(), 2);
        assert!(window.settle(2).is_none());
        assert!(window.settle(3).is_some() && window.settle(1).is_some());
        assert_eq!((window.len(), window.outstanding()), (0, 0));
    }
}
