//! Publications that are kept as their publisher encoded them, and the other form of a message where it crosses over.

use super::attach::Link;
use super::publish::{Passed, Publication};
use super::route::Route;
use super::tags::Slot;
use super::worker::Worker;
use super::{Answer, Broker};
use crate::dialogue::{Event, Routed};
use crate::message::{Bare, Envelope, Guarantee, Message, Refusal, RefusalKind, Time};
use crate::store::Sequence;

/// A message as its publisher encoded it, with what the hall has to know of it.
#[derive(Debug)]
pub struct PublishBare<'a> {
    /// Where to, in the client's words.
    pub name: &'a str,
    /// For receivers of other protocols.
    pub guarantee: Guarantee,
    /// Keep it as the topic's last value.
    pub retain: bool,
    /// Milliseconds until the message is worthless; none: never.
    pub expiry_milliseconds: Option<u64>,
    /// What the publisher is promised, and whether there is any content.
    pub bare: Bare,
    /// The number under which the client publishes.
    pub origin: u64,
    /// The message.
    pub encoded: &'a [u8],
}

/// What became of it.
#[derive(Debug)]
pub enum Taken {
    /// It was taken; its durable effects are on disk after the sequence.
    Yes(Sequence, Routed),
    /// It was not.
    No(Refusal),
    /// It waits for room in somebody's queue: read nothing more from this client, and call [`Broker::resume_bare`] when its
    /// outlet is woken.
    Parked,
}

impl Broker {
    /// Takes a message as its publisher encoded it; if it is exactly-once, under the tag that it was admitted with, which is
    /// kept until [`Broker::forget_tag`]. The caller flushes the worker after a batch.
    pub fn publish_bare(
        &self,
        worker: &mut Worker,
        link: &mut Link,
        now: Time,
        publish: PublishBare<'_>,
        slot: Option<Slot<'_>>,
    ) -> Taken {
        self.begin_tagged(worker, slot.as_ref());
        let taken = self.take_bare(worker, link, now, publish);
        self.tagged(worker, slot, taken)
    }

    fn take_bare(&self, worker: &mut Worker, link: &mut Link, now: Time, publish: PublishBare<'_>) -> Taken {
        let Some(client) = &link.client else { return Taken::Yes(0, Routed::NoSubscriber) };
        worker.refresh_for(self, &client.id);
        worker.tally.received += 1;
        worker.tally.received_bytes += publish.encoded.len() as u64;
        let guarantee = publish.bare.handover;
        let publication = Publication { guarantee, handle: 0, since: now };
        let mut staged = worker.stage();
        let mut refused = None;
        let mut refuse = |refusal: Refusal| {
            // Whoever waits for no answer may have to hear of it in another way.
            let is_for_good = matches!(refusal.kind, RefusalKind::NotAuthorized | RefusalKind::TopicInvalid);
            refused = (guarantee == Guarantee::AtMostOnce && is_for_good).then(|| refusal.clone());
            Passed::Refused(refusal)
        };
        let passed = match self.route(worker, &link.scope, publish.name) {
            Ok(route) => match self.may_publish(worker, client, &mut link.permits, &route.topic) {
                Ok(()) => match make(&route, now, publish) {
                    Some(message) if route.wants_routing && self.takes_long(worker, link, &message) => {
                        self.commit(worker, staged);
                        let answer = self.send_round(worker, link, (message, route), publication);
                        return taken(link, answer);
                    }
                    Some(message) => self.pass(worker, now, client, message, route, &mut staged),
                    None => Passed::Taken(Routed::NoSubscriber),
                },
                Err(refusal) => refuse(refusal),
            },
            Err(refusal) => refuse(refusal),
        };
        let answer = self.answer(worker, link, passed, staged, publication);
        match refused {
            Some(refusal) => Taken::No(refusal),
            None => taken(link, answer),
        }
    }

    /// Tries again after a wait.
    pub fn resume_bare(&self, worker: &mut Worker, link: &mut Link, now: Time, slot: Option<Slot<'_>>) -> Taken {
        self.begin_tagged(worker, slot.as_ref());
        let answer = self.resume(worker, link, now);
        self.tagged(worker, slot, taken(link, answer))
    }

    fn tagged(&self, worker: &mut Worker, slot: Option<Slot<'_>>, taken: Taken) -> Taken {
        let Some(slot) = slot else { return taken };
        let after = self.end_tagged(worker, slot, matches!(taken, Taken::Yes(..)));
        match taken {
            Taken::Yes(_, routed) => Taken::Yes(after, routed),
            other => other,
        }
    }

    /// A number under which a connection publishes, so that its own receivers can leave that out.
    pub fn origin(&self) -> u64 {
        self.directory.next_id()
    }
}

/// An at-most-once publication that was let through has no answer.
fn taken(link: &Link, answer: Answer) -> Taken {
    match answer {
        Answer::Parked => Taken::Parked,
        Answer::Say(after, Event::Published { outcome: Ok(routed), .. }) => Taken::Yes(after, routed),
        Answer::Say(_, Event::Published { outcome: Err(refusal), .. }) => Taken::No(refusal),
        _ => {
            debug_assert!(!link.is_parked());
            Taken::Yes(0, Routed::Matched)
        }
    }
}

/// The message, unless nothing can come of it.
pub(super) fn make(route: &Route, now: Time, publish: PublishBare<'_>) -> Option<Message> {
    let asked = publish.retain || !matches!(route.unflagged, crate::wasm::RetainAsk::Never);
    if route.targets.is_empty() && !route.is_queue && !asked && !route.wants_routing {
        return None;
    }
    let envelope = Envelope {
        topic: route.topic.clone(),
        guarantee: publish.guarantee,
        retain: publish.retain,
        expires: publish.expiry_milliseconds.map(|milliseconds| now.plus_milliseconds(milliseconds)),
        properties: None,
        hops: 0,
    };
    Some(Message::bare(envelope, publish.bare, publish.origin, publish.encoded))
}
