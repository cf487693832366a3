//! Entries that go back to their places in a queue: whoever had them has not dealt with them.

use super::mailbox::{Mailbox, State};
use super::queued::Queued;

impl Mailbox {
    /// Puts an entry to its old place.
    pub fn put_back(&self, state: &mut State, queued: Queued) {
        state.look_again_from(queued.number);
        self.put_in_place(state, queued);
    }

    /// The same where nobody needs to look at it anew.
    pub fn put_in_place(&self, state: &mut State, queued: Queued) {
        self.count(&queued, true);
        let at = state.queue.partition_point(|other| other.number < queued.number);
        state.queue.insert(at, queued);
    }

    /// Puts many to their old places in one go: one by one each would move all that have come back before it, while everybody
    /// waits for the queue.
    pub fn put_all_back(&self, state: &mut State, mut returned: Vec<Queued>) {
        returned.sort_unstable_by_key(|queued| queued.number);
        let (Some(first), Some(last)) = (returned.first(), returned.last()) else { return };
        let (first, last) = (first.number, last.number);
        state.look_again_from(first);
        returned.iter().for_each(|queued| self.count(queued, true));
        let queue = &mut state.queue;
        let from = queue.partition_point(|other| other.number < first);
        let to = queue.partition_point(|other| other.number < last);
        // Moves the shorter side; what stands among those that return comes to the front.
        queue.rotate_left(from);
        returned.extend(queue.drain(..to - from));
        // Two runs, each in order.
        returned.sort_by_key(|queued| queued.number);
        returned.into_iter().rev().for_each(|queued| queue.push_front(queued));
        queue.rotate_right(from);
    }
}

impl State {
    /// Receivers that take entries away look at this one again, and at all behind it.
    fn look_again_from(&mut self, number: u64) {
        let consumers = self.consuming.changed().into_iter().flat_map(|consuming| &mut consuming.consumers);
        for consumer in consumers.filter(|consumer| !consumer.browses) {
            consumer.seen_to = consumer.seen_to.min(number.saturating_sub(1));
        }
    }
}
