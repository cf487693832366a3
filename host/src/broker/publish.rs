//! One message from its arrival to the mailboxes. Every path takes this one: clients, wills, HTTP and modules' wishes.
//!
//! Topic mapping and matching are one look-up for a name seen before ([`super::route`]). Then routing modules decide, then
//! the retain policy, then copies go to mailboxes ([`super::deliver`]). What the publisher hears waits for the disk where
//! anything durable came of it.

use super::attach::Link;
use super::deliver::Full;
use super::retain::Keep;
use super::route::Route;
use super::worker::Worker;
use super::{Answer, Broker};
use crate::client::{Client, Protocol, Scope};
use crate::dialogue::{Event, Handle, Publish, Routed};
use crate::message::{Envelope, Guarantee, Message, Refusal, RefusalKind, Time};
use crate::store::{MailboxId, Sequence};
use crate::wasm::{Chain, EventKinds, Outcome, Wish};
use std::collections::VecDeque;
use std::sync::{Arc, OnceLock};

/// What became of a message.
pub(super) enum Passed {
    /// It was taken; durable effects are on disk after the sequence.
    Taken(Sequence, Routed),
    /// It was not.
    Refused(Refusal),
    /// Decided upon, but a queue is full.
    Full(Box<Decided>, Full),
}

/// A message about which every module has been asked.
pub(super) struct Decided {
    pub message: Message,
    pub keep: Keep,
    pub wishes: Vec<Wish>,
}

/// A publication that waits for room in a queue.
pub(super) struct Parked {
    decided: Box<Decided>,
    guarantee: Guarantee,
    handle: Handle,
    since: Time,
}

impl Broker {
    pub(super) fn publish(&self, worker: &mut Worker, link: &mut Link, now: Time, publish: Publish<'_>) -> Answer {
        let (Some(attachment), Some(client)) = (link.attachment.clone(), link.client.clone()) else {
            return Answer::None;
        };
        worker.refresh_for(self, &client.id);
        worker.tally.received += 1;
        worker.tally.received_bytes += publish.payload.len() as u64;
        let (guarantee, handle) = (publish.guarantee, publish.handle);
        let mut seen = None;
        if guarantee == Guarantee::ExactlyOnce {
            let state = attachment.mailbox.lock();
            if state.seen.contains(&handle) {
                drop(state);
                // The first copy may still be on its way to the disk.
                let after = self.store.submitted();
                return Answer::Say(after, published(handle, guarantee, Ok(Routed::Matched)));
            }
            if state.seen.len() >= self.limits.unreleased_max {
                let refusal = Refusal::new(RefusalKind::QuotaExceeded, "too many publications are not released");
                return Answer::Say(0, published(handle, guarantee, Err(refusal)));
            }
            seen = Some((attachment.mailbox.id, handle));
        }
        let scope = link.scope.clone();
        let passed = match self.route(worker, &scope, publish.name) {
            Ok(route) => {
                let message = self.make(&route, now, attachment.mailbox.id, publish);
                match message {
                    Some(message) => self.pass(worker, now, &client, message, route, seen),
                    None => Passed::Taken(self.note_seen(seen, &attachment.mailbox), Routed::NoSubscriber),
                }
            }
            Err(refusal) => Passed::Refused(refusal),
        };
        self.answer(worker, link, now, passed, guarantee, handle)
    }

    /// Tries again after a wait.
    pub fn resume(&self, worker: &mut Worker, link: &mut Link, now: Time) -> Answer {
        let Some(parked) = link.parked.take() else { return Answer::None };
        let Parked { decided, guarantee, handle, since } = *parked;
        let own = link.attachment.as_ref().filter(|_| guarantee == Guarantee::ExactlyOnce);
        let seen = own.map(|attachment| (attachment.mailbox.id, handle));
        let passed = self.carry_out(worker, now, decided, seen);
        let passed = match passed {
            Passed::Full(..) if now.since(since) > self.limits.publisher_wait_milliseconds_max => {
                Passed::Refused(Refusal::new(RefusalKind::QuotaExceeded, "a receiver's queue stays full"))
            }
            passed => passed,
        };
        let answer = self.answer(worker, link, now, passed, guarantee, handle);
        if let Some(parked) = &mut link.parked {
            parked.since = since;
        }
        answer
    }

    pub(super) fn answer(
        &self,
        worker: &mut Worker,
        link: &mut Link,
        now: Time,
        passed: Passed,
        guarantee: Guarantee,
        handle: Handle,
    ) -> Answer {
        let (after, outcome) = match passed {
            Passed::Taken(after, routed) => {
                worker.tally.unroutable += u64::from(routed == Routed::NoSubscriber);
                (after, Ok(routed))
            }
            Passed::Refused(refusal) => {
                self.metrics.messages_refused_total.add(1);
                (0, Err(refusal))
            }
            Passed::Full(decided, full) => {
                if full.waits_for(decided.message.publisher()) {
                    self.metrics.publishers_paused_total.add(1);
                    full.mailbox.lock().blocked.push(link.outlet.clone());
                    link.parked = Some(Box::new(Parked { decided, guarantee, handle, since: now }));
                    return Answer::Parked;
                }
                self.metrics.messages_refused_total.add(1);
                (0, Err(Refusal::new(RefusalKind::QuotaExceeded, "a receiver's queue is full")))
            }
        };
        if guarantee == Guarantee::AtMostOnce {
            return Answer::None;
        }
        if outcome.is_ok()
            && guarantee == Guarantee::ExactlyOnce
            && let Some(attachment) = &link.attachment
        {
            attachment.mailbox.lock().seen.insert(handle);
        }
        Answer::Say(after, published(handle, guarantee, outcome))
    }

    /// A message that nobody gets still counts as seen.
    fn note_seen(&self, seen: Option<(MailboxId, Handle)>, mailbox: &super::Mailbox) -> Sequence {
        match seen {
            Some((id, handle)) if mailbox.is_durable() => self.store.submit([crate::store::Change::Seen(id, handle)]),
            _ => 0,
        }
    }

    /// Asks the modules about a message and carries out what they say.
    pub(super) fn pass(
        &self,
        worker: &mut Worker,
        now: Time,
        publisher: &Client,
        message: Message,
        route: Arc<Route>,
        seen: Option<(MailboxId, Handle)>,
    ) -> Passed {
        let chain = worker.chain.clone();
        let (mut message, mut route, mut wishes) = (message, route, Vec::new());
        if route.wants_routing {
            let shown = match self.shown(worker, &message) {
                Ok(shown) => shown,
                Err(refusal) => return Passed::Refused(refusal),
            };
            let verdict = chain.route(&mut worker.guests, publisher, shown.clone());
            wishes = verdict.wishes;
            match verdict.outcome {
                Outcome::Pass(passed) if passed.topic().is_reserved() => {
                    let reason = "a module gave it a topic that is the broker's own";
                    return Passed::Refused(Refusal::new(RefusalKind::NotAuthorized, reason));
                }
                Outcome::Pass(passed) => {
                    if passed.topic() != &route.topic {
                        route = self.route_of(worker, passed.topic());
                    }
                    // What no module changed goes on as its publisher encoded it.
                    if !passed.is(&shown) {
                        message = passed;
                    }
                }
                Outcome::Refuse(refusal) => return Passed::Refused(refusal),
                Outcome::Discard => {
                    self.metrics.messages_discarded_total.add(1);
                    let after = self.grant(worker, now, &chain, wishes);
                    return Passed::Taken(after, Routed::Matched);
                }
            }
        }
        let keep = match self.retention(worker, now, &chain, publisher, &message, &route) {
            Ok(keep) => keep,
            Err(refusal) => return Passed::Refused(refusal),
        };
        match self.deliver(worker, now, &message, &route, keep, seen) {
            Ok((after, routed)) => Passed::Taken(after.max(self.grant(worker, now, &chain, wishes)), routed),
            Err(full) => Passed::Full(Box::new(Decided { message, keep, wishes }), full),
        }
    }

    /// Carries out what the modules said, after a wait. Who subscribes may have changed meanwhile.
    fn carry_out(
        &self,
        worker: &mut Worker,
        now: Time,
        decided: Box<Decided>,
        seen: Option<(MailboxId, Handle)>,
    ) -> Passed {
        let route = self.route_of(worker, decided.message.topic());
        match self.deliver(worker, now, &decided.message, &route, decided.keep, seen) {
            Ok((after, routed)) => {
                let chain = worker.chain.clone();
                Passed::Taken(after.max(self.grant(worker, now, &chain, decided.wishes)), routed)
            }
            Err(full) => Passed::Full(decided, full),
        }
    }

    /// Publishes what modules wish for, and what other modules wish for because of that, up to a bound.
    pub(super) fn grant(&self, worker: &mut Worker, now: Time, chain: &Arc<Chain>, wishes: Vec<Wish>) -> Sequence {
        if wishes.is_empty() {
            return 0;
        }
        let mut after = 0;
        let mut granted = 0;
        let mut waiting: VecDeque<Wish> = wishes.into();
        while let Some(wish) = waiting.pop_front() {
            if granted == self.limits.wishes_per_message_max {
                self.metrics.module_wishes_refused_total.add(waiting.len() as u64 + 1);
                break;
            }
            granted += 1;
            self.metrics.module_wishes_total.add(1);
            after = after.max(self.grant_one(worker, now, chain, wish, &mut waiting));
        }
        after
    }

    fn grant_one(
        &self,
        worker: &mut Worker,
        now: Time,
        chain: &Arc<Chain>,
        wish: Wish,
        waiting: &mut VecDeque<Wish>,
    ) -> Sequence {
        let Wish { module, message: mut wish } = wish;
        if wish.topic().is_reserved() {
            self.metrics.module_wishes_refused_total.add(1);
            return 0;
        }
        let publisher = module_client(module);
        let mut route = self.route_of(worker, wish.topic());
        if route.wants_routing {
            let verdict = chain.route(&mut worker.guests, &publisher, wish);
            waiting.extend(verdict.wishes);
            match verdict.outcome {
                Outcome::Pass(passed) if !passed.topic().is_reserved() => {
                    if passed.topic() != &route.topic {
                        route = self.route_of(worker, passed.topic());
                    }
                    wish = passed;
                }
                Outcome::Pass(_) | Outcome::Refuse(_) | Outcome::Discard => {
                    self.metrics.messages_discarded_total.add(1);
                    return 0;
                }
            }
        }
        let Ok(keep) = self.retention(worker, now, chain, &publisher, &wish, &route) else { return 0 };
        match self.deliver(worker, now, &wish, &route, keep, None) {
            Ok((after, _)) => after,
            Err(_) => {
                // Nobody waits for a wish, so nobody can be made to wait.
                self.metrics.messages_dropped_total.add(1);
                0
            }
        }
    }

    /// Publishes on behalf of somebody who has no connection: HTTP, a will, a module's timer.
    pub fn publish_as(
        &self,
        worker: &mut Worker,
        now: Time,
        client: &Client,
        publish: Publish<'_>,
    ) -> Result<(Sequence, Routed), Refusal> {
        worker.refresh_for(self, &client.id);
        worker.tally.received += 1;
        worker.tally.received_bytes += publish.payload.len() as u64;
        let scope = Arc::new(client.scope.clone());
        let route = self.route(worker, &scope, publish.name)?;
        let Some(message) = self.make(&route, now, 0, publish) else { return Ok((0, Routed::NoSubscriber)) };
        self.publish_message(worker, now, client, message, route)
    }

    /// The message, unless nothing can come of it.
    fn make(&self, route: &Route, now: Time, publisher: MailboxId, publish: Publish<'_>) -> Option<Message> {
        let asked = publish.retain || !matches!(route.unflagged, crate::wasm::RetainAsk::Never);
        let nothing = route.targets.is_empty() && !asked && !route.wants_routing;
        if nothing && !self.modules.wants_events(EventKinds::LOST) {
            return None;
        }
        let envelope = Envelope {
            topic: route.topic.clone(),
            guarantee: publish.guarantee,
            retain: publish.retain,
            expires: publish.expiry_seconds.map(|seconds| now.plus_seconds(seconds)),
            properties: publish.properties,
            hops: 0,
        };
        Some(Message::new(envelope, publisher, publish.payload))
    }

    /// Publishes a message whose topic is the broker's.
    pub(super) fn publish_message(
        &self,
        worker: &mut Worker,
        now: Time,
        client: &Client,
        message: Message,
        route: Arc<Route>,
    ) -> Result<(Sequence, Routed), Refusal> {
        match self.pass(worker, now, client, message, route, None) {
            Passed::Taken(after, routed) => Ok((after, routed)),
            Passed::Refused(refusal) => Err(refusal),
            Passed::Full(..) => Err(Refusal::new(RefusalKind::QuotaExceeded, "a receiver's queue is full")),
        }
    }
}

fn published(handle: Handle, guarantee: Guarantee, outcome: Result<Routed, Refusal>) -> Event {
    Event::Published { handle, guarantee, outcome }
}

/// The publisher of what a module wishes for.
pub(super) fn module_client(module: Arc<str>) -> Client {
    let nothing = nothing();
    let scope = Scope { listener: nothing.clone(), protocol: Protocol::Module, identity: None };
    Client { id: module, scope, peer: nothing }
}

fn nothing() -> Arc<str> {
    static NOTHING: OnceLock<Arc<str>> = OnceLock::new();
    NOTHING.get_or_init(|| "".into()).clone()
}
