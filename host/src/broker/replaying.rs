//! Retained messages on their way to new subscriptions of a mailbox, while there are such.

use super::mailbox::State;
use super::queued::Queued;
use crate::dialogue::Subscription;
use crate::message::Message;
use crate::rare::Blank;
use crate::topic::Filter;
use std::collections::{BTreeMap, VecDeque};

/// See the head of this file.
#[derive(Default)]
pub struct Replaying {
    /// On their way.
    pub replayed: VecDeque<Queued>,
    /// To be fetched when `replayed` is empty.
    pub replays: Replays,
}

/// What is still to be fetched, in the order in which clients subscribed; one for each filter, so that a client that subscribes
/// again and again without taking anything has no more of it.
#[derive(Default)]
pub struct Replays {
    waiting: BTreeMap<u64, Replay>,
    /// Their numbers.
    numbers: BTreeMap<Filter, u64>,
    last: u64,
}

impl Replays {
    /// One more, in place of the one for the same filter: this one has all that was left of that.
    pub fn push(&mut self, replay: Replay) {
        self.last += 1;
        let filter = replay.subscription.filter.clone();
        if let Some(old) = self.numbers.insert(filter, self.last) {
            self.waiting.remove(&old);
        }
        self.waiting.insert(self.last, replay);
    }

    /// The one that is fetched next.
    pub fn first_mut(&mut self) -> Option<&mut Replay> {
        self.waiting.first_entry().map(|first| first.into_mut())
    }

    /// That one is done.
    pub fn pop(&mut self) {
        if let Some((_, replay)) = self.waiting.pop_first() {
            self.numbers.remove(&replay.subscription.filter);
        }
    }

    /// The subscription is gone.
    pub fn remove(&mut self, filter: &Filter) {
        if let Some(number) = self.numbers.remove(filter) {
            self.waiting.remove(&number);
        }
    }

    /// Those that fit stay.
    pub fn retain(&mut self, fits: impl Fn(&Replay) -> bool) {
        self.waiting.retain(|_, replay| fits(replay));
        self.numbers.retain(|_, number| self.waiting.contains_key(number));
    }

    /// Those that were begun last, and have no end yet, end with this value.
    pub fn end_at(&mut self, last: u64) {
        let begun = self.waiting.values_mut().rev().take_while(|replay| replay.until == u64::MAX);
        begun.for_each(|replay| replay.until = last);
    }

    /// How many there are.
    #[cfg(test)]
    pub fn len(&self) -> usize {
        self.waiting.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }
}

/// Retained messages still to be sent for one new subscription.
#[derive(Debug, Clone)]
pub struct Replay {
    /// For which.
    pub subscription: Subscription,
    /// Where to go on.
    pub after: Option<super::retained::Start>,
    /// Values up to this number are left out.
    pub since: u64,
    /// Number of the value that was stored last when the client subscribed: later ones come live.
    pub until: u64,
    /// Only what is at-most-once here: the rest is in the queue.
    pub others_only: bool,
    /// If given: exactly these, instead of a walk through the store.
    pub chosen: Option<VecDeque<Message>>,
    /// Somebody is fetching the next ones: nothing leaves before they are there.
    pub is_asked: bool,
}

impl Replaying {
    /// Whether nothing is there, and more is to come.
    pub fn is_to_be_fetched(&self) -> bool {
        self.replayed.is_empty() && !self.replays.is_empty()
    }

    /// Whether nothing is left.
    pub fn is_over(&self) -> bool {
        self.replayed.is_empty() && self.replays.is_empty()
    }
}

impl Blank for Replaying {
    fn blank() -> &'static Self {
        static BLANK: Replaying = Replaying {
            replayed: VecDeque::new(),
            replays: Replays { waiting: BTreeMap::new(), numbers: BTreeMap::new(), last: 0 },
        };
        &BLANK
    }
}

impl State {
    /// Nothing is kept for it once all of it has left.
    pub fn end_replaying(&mut self) {
        if self.replaying.get().is_some_and(Replaying::is_over) {
            self.replaying.clear();
        }
    }
}
