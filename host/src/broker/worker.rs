//! What one thread needs to work for the broker, taken without a lock.

use super::Broker;
use super::link_names;
use super::mailbox::Outlet;
use super::routes::Routes;
use super::staged::Staged;
use crate::message::Time;
use crate::wasm::{Chain, Guests, Spent};
use std::borrow::Cow;
use std::sync::Arc;

/// See the head of this file.
pub struct Worker {
    /// Warm instances of modules.
    pub guests: Guests,
    /// The plan that holds now.
    plan: Arc<Chain>,
    /// What the message at hand follows: the plan, or the side of its canary.
    pub(super) chain: Arc<Chain>,
    pub(super) routes: Routes,
    /// Outlets to flush at the end of the batch.
    pub(super) touched: Vec<Arc<dyn Outlet>>,
    /// For the store, waited for by nobody.
    pub(super) later: Staged,
    /// An empty one that keeps its memory from request to request.
    pub(super) spare: Option<Staged>,
    pub(super) tally: Tally,
    /// See [`Worker::work`].
    pub(super) work: u64,
    /// Where durable effects go while a transaction is carried out.
    pub(super) gathering: Option<Staged>,
}

/// Figures of one batch, added to the shared ones at its end.
#[derive(Default)]
pub(super) struct Tally {
    pub packets: u64,
    pub received: u64,
    pub received_bytes: u64,
    pub unroutable: u64,
    pub dropped: u64,
}

impl Worker {
    pub(super) fn new(broker: &Broker) -> Self {
        Self {
            guests: Guests::new(&broker.modules),
            plan: broker.modules.chain(),
            chain: broker.modules.chain(),
            routes: Routes::new(broker.limits.routes_remembered_max, broker.limits.routes_remembered_bytes_max),
            touched: Vec::new(),
            later: Staged::default(),
            spare: None,
            tally: Tally::default(),
            work: 0,
            gathering: None,
        }
    }

    /// The same on a thread that may wait for servers outside.
    pub(super) fn patient(mut self) -> Self {
        self.guests = self.guests.patient();
        self
    }

    /// Begins a unit of changes.
    pub(super) fn stage(&mut self) -> Staged {
        self.spare.take().unwrap_or_default()
    }

    /// Takes up the newest chain. Called between messages only: one message sees one generation.
    #[inline(always)]
    pub(super) fn refresh(&mut self, broker: &Broker) {
        if broker.modules.generation() != self.plan.generation() {
            self.plan = broker.modules.chain();
            self.follow_plan();
        } else if self.plan.is_split() {
            self.follow_plan();
        }
    }

    #[cold]
    fn follow_plan(&mut self) {
        self.chain = self.plan.clone();
    }

    /// As [`Worker::refresh`], for what this client does.
    #[inline(always)]
    pub(super) fn refresh_for(&mut self, broker: &Broker, client: &str) {
        self.refresh(broker);
        if self.plan.is_split() {
            self.chain = self.plan.side_of(&who(client)).clone();
        }
    }

    /// The chain that another client follows, of the plan at hand.
    pub(super) fn chain_for(&self, client: &str) -> Arc<Chain> {
        if self.plan.is_split() { self.plan.side_of(&who(client)).clone() } else { self.plan.clone() }
    }

    /// What modules took on this thread so far.
    #[inline]
    pub fn spent(&self) -> Spent {
        self.guests.spent()
    }

    /// What the hall did on this thread so far for those who asked, roughly: copies of messages, filters held against topics,
    /// retained values looked at. One of these takes a part of a microsecond.
    #[inline]
    pub fn work(&self) -> u64 {
        self.work
    }

    /// Counts what a protocol room looked at for its client, as work.
    #[inline]
    pub fn has_looked_at(&mut self, things: usize) {
        self.work += things as u64;
    }

    /// Counts a packet of whatever protocol.
    #[inline]
    pub fn packet_read(&mut self) {
        self.tally.packets += 1;
    }

    /// Ends a batch: tells the store, and sends what the batch put into mailboxes. To how many clients.
    pub fn flush(&mut self, broker: &Broker, now: Time) -> usize {
        broker.submit_later(&mut self.later);
        broker.weigh();
        let tally = std::mem::take(&mut self.tally);
        let metrics = &broker.metrics;
        metrics.packets_received_total.add(tally.packets);
        metrics.messages_received_total.add(tally.received);
        metrics.payload_received_bytes_total.add(tally.received_bytes);
        metrics.messages_unroutable_total.add(tally.unroutable);
        metrics.messages_dropped_total.add(tally.dropped);
        // A flush may touch nothing further: no guest runs and nothing is published on the way out.
        let touched = self.touched.len();
        for outlet in self.touched.drain(..) {
            outlet.flush(now);
        }
        touched
    }
}

/// Whose a mailbox is: those of an AMQP client's links bear its name, so that what it receives follows the same version as what it
/// sends.
fn who(id: &str) -> Cow<'_, str> {
    link_names::container(id).map_or(id.into(), Cow::from)
}

#[cfg(test)]
mod tests {
    use super::super::Limits;
    use super::super::tests::hall;
    use super::*;
    use crate::dialogue::{Request, Unsubscribe};
    use crate::message::Guarantee::AtMostOnce;

    /// Connections take turns by it.
    #[test]
    fn copies_filters_on_the_way_and_subscriptions_count_as_work() {
        let mut hall = hall(Limits::default());
        let (mut one, _) = hall.attach("one", true, 0, 10);
        let (mut two, _) = hall.attach("two", true, 0, 10);
        let mut spent = 0;
        let mut step = |worker: &Worker| worker.work() - std::mem::replace(&mut spent, worker.work());
        for number in 0..100 {
            hall.subscribe(&mut one, &format!("+/{number}"), AtMostOnce);
            hall.subscribe(&mut two, &format!("{}y/z", "+/".repeat(number)), AtMostOnce);
        }
        assert!((6_600..=7_600).contains(&step(&hall.worker)), "each filter and each of its levels");
        hall.publish(&mut one, "a/1", AtMostOnce, 0, b"");
        assert!((2..=10).contains(&step(&hall.worker)));
        for _ in 0..10 {
            hall.publish(&mut one, "a/1", AtMostOnce, 0, b"");
        }
        assert_eq!(step(&hall.worker), 10, "the way is known");
        hall.publish(&mut one, &"y/".repeat(90), AtMostOnce, 0, b"");
        assert!(step(&hall.worker) > 90, "nobody gets it, and many filters were looked at");
        let filters = (0..100).map(|number| (format!("+/{number}").into(), None)).collect();
        hall.ask(&mut one, Request::Unsubscribe(Unsubscribe { handle: 1, filters }));
        assert_eq!(step(&hall.worker), 200);
    }
}
