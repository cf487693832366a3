//! Retained messages on their way to new subscriptions of a mailbox, while there are such.

use super::mailbox::State;
use super::queued::Queued;
use crate::dialogue::Subscription;
use crate::message::Message;
use crate::rare::Blank;
use std::collections::VecDeque;

/// See the head of this file.
#[derive(Default)]
pub struct Replaying {
    /// On their way.
    pub replayed: VecDeque<Queued>,
    /// To be fetched when `replayed` is empty.
    pub replays: VecDeque<Replay>,
}

/// Retained messages still to be sent for one new subscription.
#[derive(Debug, Clone)]
pub struct Replay {
    /// For which.
    pub subscription: Subscription,
    /// The last topic that was sent.
    pub after: Option<crate::topic::Topic>,
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
    /// Whether nothing is left.
    pub fn is_over(&self) -> bool {
        self.replayed.is_empty() && self.replays.is_empty()
    }
}

impl Blank for Replaying {
    fn blank() -> &'static Self {
        static BLANK: Replaying = Replaying { replayed: VecDeque::new(), replays: VecDeque::new() };
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
