//! The mark on memory: past it nothing is added to what already waits, so that publishers wait or are refused while
//! receivers go on. A queue in which nothing waits goes on as ever: what is sent at once takes no memory for long.

use super::Broker;
use super::mailbox::Mailbox;
use crate::message::live_bytes;
use std::sync::atomic::{AtomicBool, Ordering};

/// Whether the mark is passed.
#[derive(Default)]
pub(super) struct Memory {
    is_short: AtomicBool,
}

impl Broker {
    /// Looks at how much memory messages take. Called once a batch.
    pub(super) fn weigh(&self) {
        let (all, mark) = (live_bytes(), self.limits.memory_bytes_max);
        let live = weighed(all, self.retained.weight(), self.retained_bytes_max());
        let was_short = self.is_short();
        // Not at once when it is a byte below, so that publishers do not start and stop with each message.
        let is_short = live >= if was_short { mark / 8 * 7 } else { mark };
        if is_short == was_short || self.memory.is_short.swap(is_short, Ordering::Relaxed) == is_short {
            return;
        }
        if is_short {
            self.metrics.memory_alarms_total.add(1);
            tracing::warn!(
                bytes = live,
                mark,
                "messages take too much memory: publishers to waiting queues have to wait"
            );
        } else {
            tracing::info!(bytes = live, "messages take less memory again: publishers go on");
        }
    }

    /// Shows how much that is.
    pub(super) fn show_weight(&self) {
        let gauge = &self.metrics.message_bytes;
        gauge.add(i64::try_from(live_bytes()).unwrap_or(i64::MAX) - gauge.get());
        self.weigh();
    }

    /// Most bytes that retained messages may take: the rest of the memory for messages is there for queues.
    pub(super) fn retained_bytes_max(&self) -> usize {
        match self.limits.retained_bytes_max {
            0 => self.limits.memory_bytes_max / 2,
            bytes => bytes.min(self.limits.memory_bytes_max),
        }
    }

    /// Most bytes that all packets that are not yet whole may take together: half of what messages may.
    pub fn partial_bytes_max(&self) -> usize {
        self.limits.memory_bytes_max / 2
    }

    /// Whether the mark is passed.
    pub fn is_short(&self) -> bool {
        self.memory.is_short.load(Ordering::Relaxed)
    }

    /// Whether this mailbox may hold no more than it does, for whatever reason.
    #[inline]
    pub(super) fn is_closed_for_more(&self, mailbox: &Mailbox) -> bool {
        mailbox.is_full(&self.limits) || (self.is_short() && mailbox.depth() > 0)
    }
}

/// What counts for the mark. Of retained messages no more than their part: what an earlier start has taken beyond it is kept, and
/// is not to close the queues of everybody.
fn weighed(all: usize, retained: usize, retained_max: usize) -> usize {
    all.saturating_sub(retained.saturating_sub(retained_max))
}

#[cfg(test)]
mod tests {
    use super::super::Limits;
    use super::super::tests::hall;
    use super::*;
    use crate::broker::Answer;
    use crate::dialogue::{Event, Publish, Request, Subscribe, SubscribeFilter, SubscribeOptions};
    use crate::message::Guarantee;

    /// They were read back at a start, and all queues were closed for as long as they were there.
    #[test]
    fn retained_messages_past_their_part_do_not_count_for_the_mark() {
        assert_eq!(weighed(1_500, 1_400, 500), 600);
        assert_eq!(weighed(1_500, 400, 500), 1_500);
    }

    fn retain(
        hall: &mut super::super::tests::Hall,
        peer: &mut super::super::tests::Peer,
        name: &str,
        bytes: usize,
    ) -> Result<(), String> {
        let payload = vec![b'x'; bytes];
        let (guarantee, handle, expiry_seconds, properties) = (Guarantee::AtLeastOnce, 1, None, None);
        let publish = Publish { name, guarantee, retain: true, handle, expiry_seconds, properties, payload: &payload };
        match hall.ask(peer, Request::Publish(publish)) {
            Answer::Say(_, Event::Published { outcome, .. }) => outcome.map(drop).map_err(|refusal| refusal.reason),
            answer => panic!("{answer:?}"),
        }
    }

    /// Values of one byte were replaced by ones of a megabyte without a bound.
    #[test]
    fn retained_messages_take_their_part_of_the_memory_and_no_more() {
        let mut hall = hall(Limits { retained_bytes_max: 10_000, ..Default::default() });
        let (mut peer, _) = hall.attach("p", true, 0, 10);
        for name in ["a", "b"] {
            retain(&mut hall, &mut peer, name, 4_000).unwrap();
        }
        let refused = Err("retained messages take as much memory as they may (broker.retained_bytes_max)".to_owned());
        assert_eq!(retain(&mut hall, &mut peer, "c", 4_000), refused);
        assert_eq!(retain(&mut hall, &mut peer, "b", 8_000), refused, "one that grows");
        assert_eq!(retain(&mut hall, &mut peer, "b", 4_100), Ok(()), "it fits still");
        assert_eq!(retain(&mut hall, &mut peer, "b", 100), Ok(()));
        assert_eq!(retain(&mut hall, &mut peer, "c", 4_000), Ok(()));
        for name in ["a", "b", "c"] {
            retain(&mut hall, &mut peer, name, 0).unwrap();
        }
        assert_eq!(hall.broker.retained.weight(), 0);
    }

    #[test]
    fn while_memory_is_short_retained_messages_do_not_grow_and_refusals_say_why() {
        let mut hall = hall(Limits::default());
        let (mut subscriber, _) = hall.attach("s", false, 100, 10);
        hall.subscribe(&mut subscriber, "q", Guarantee::AtLeastOnce);
        hall.lose(&mut subscriber);
        let (mut peer, _) = hall.attach("p", true, 0, 10);
        retain(&mut hall, &mut peer, "a", 100).unwrap();
        retain(&mut hall, &mut peer, "q", 100).unwrap();
        // The mark itself is that of the whole process, with its other tests.
        let broker = std::sync::Arc::clone(&hall.broker);
        let short =
            |hall: &mut super::super::tests::Hall, peer: &mut super::super::tests::Peer, name: &str, bytes: usize| {
                broker.memory.is_short.store(true, Ordering::Relaxed);
                retain(hall, peer, name, bytes)
            };
        let refused = Err("messages take too much memory: no more retained messages are taken".to_owned());
        assert_eq!(short(&mut hall, &mut peer, "b", 1), refused);
        assert_eq!(short(&mut hall, &mut peer, "a", 101), refused);
        assert_eq!(short(&mut hall, &mut peer, "a", 99), Ok(()));
        let refused = Err("messages take too much memory".to_owned());
        assert_eq!(short(&mut hall, &mut peer, "q", 1), refused, "something waits there");
        hall.broker.memory.is_short.store(true, Ordering::Relaxed);
        let (mut kept, _) = hall.attach("t", false, 100, 10);
        let options = SubscribeOptions { guarantee: Guarantee::AtLeastOnce, ..Default::default() };
        let filters = vec![SubscribeFilter { name: "#".into(), share: None, options }];
        let answer = hall.ask(&mut kept, Request::Subscribe(Subscribe { handle: 1, filters }));
        let Answer::Say(_, Event::Subscribed { granted, .. }) = answer else { panic!("{answer:?}") };
        assert_eq!(
            granted[0].as_ref().map_err(|refusal| refusal.reason.clone()),
            Err("messages take too much memory".to_owned())
        );
    }
}
