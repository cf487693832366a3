//! Publications that are kept as their publisher encoded them, and the other form of a message where it crosses over.

use super::attach::Link;
use super::publish::{Passed, Publication};
use super::route::Route;
use super::worker::Worker;
use super::{Answer, Broker};
use crate::dialogue::{Event, Routed};
use crate::message::{Bare, Envelope, Guarantee, Message, Refusal, RefusalKind, Time};
use crate::store::{Change, Sequence};

/// Tags by link.
pub(super) type Tags = hashbrown::HashMap<Box<str>, hashbrown::HashSet<Box<[u8]>>>;

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
    /// Takes a message as its publisher encoded it; if it is exactly-once, under this tag of its link, which is kept until
    /// [`Broker::forget_tag`]. The caller flushes the worker after a batch.
    pub fn publish_bare(
        &self,
        worker: &mut Worker,
        link: &mut Link,
        now: Time,
        publish: PublishBare<'_>,
        tag: Option<(&str, &[u8])>,
    ) -> Taken {
        let Some(client) = link.client.clone() else { return Taken::Yes(0, Routed::NoSubscriber) };
        if tag.is_some_and(|(link, _)| !self.has_room_for_tag(link)) {
            return Taken::No(Refusal::new(RefusalKind::QuotaExceeded, "too many messages are not settled"));
        }
        worker.refresh(self);
        worker.tally.received += 1;
        worker.tally.received_bytes += publish.encoded.len() as u64;
        let guarantee = publish.bare.handover;
        let scope = link.scope.clone();
        self.begin_tagged(worker, tag);
        let mut staged = worker.stage();
        let passed = match self.route(worker, &scope, publish.name) {
            Ok(route) => match self.may_publish(worker, link, &route.topic) {
                Ok(()) => match make(&route, now, publish) {
                    Some(message) => self.pass(worker, now, &client, message, route, &mut staged),
                    None => Passed::Taken(Routed::NoSubscriber),
                },
                Err(refusal) => Passed::Refused(refusal),
            },
            Err(refusal) => Passed::Refused(refusal),
        };
        let answer = self.answer(worker, link, passed, staged, Publication { guarantee, handle: 0, since: now });
        self.end_tagged(worker, tag, taken(link, answer))
    }

    /// Tries again after a wait.
    pub fn resume_bare(&self, worker: &mut Worker, link: &mut Link, now: Time, tag: Option<(&str, &[u8])>) -> Taken {
        self.begin_tagged(worker, tag);
        let answer = self.resume(worker, link, now);
        self.end_tagged(worker, tag, taken(link, answer))
    }

    /// Tags of a link count like a client's unreleased publications, links like mailboxes.
    fn has_room_for_tag(&self, link: &str) -> bool {
        let tags = self.tags.lock();
        match tags.get(link) {
            Some(of_link) => of_link.len() < self.limits.unreleased_max,
            None => tags.len() < self.limits.mailboxes_max,
        }
    }

    /// What comes of an exactly-once publication is told to the store together with its tag.
    fn begin_tagged(&self, worker: &mut Worker, tag: Option<(&str, &[u8])>) {
        if tag.is_some() {
            worker.gathering = Some(Box::default());
        }
    }

    fn end_tagged(&self, worker: &mut Worker, tag: Option<(&str, &[u8])>, taken: Taken) -> Taken {
        let Some((link, tag)) = tag else { return taken };
        let Some(staged) = worker.gathering.take() else { return taken };
        let mut staged = *staged;
        let Taken::Yes(_, routed) = taken else {
            // Nothing came of it but what modules wished for on the way.
            self.commit(worker, staged);
            return taken;
        };
        self.tags.lock().entry(link.into()).or_default().insert(tag.into());
        staged.change(Change::Tag(link.into(), tag.into()));
        Taken::Yes(self.commit(worker, staged), routed)
    }

    /// From now on publications of an exactly-once link count that come from this connection, and no others: what an earlier
    /// connection still has to read was said to be unknown when its client came back (2.6.13), and comes again.
    pub fn own_tags(&self, link: &str, origin: u64) {
        self.tag_owners.lock().insert(link.into(), origin);
    }

    /// Whether this connection is the one that publishes on the link.
    pub fn owns_tags(&self, link: &str, origin: u64) -> bool {
        self.tag_owners.lock().get(link) == Some(&origin)
    }

    /// The link of this connection is over.
    pub fn disown_tags(&self, link: &str, origin: u64) {
        let mut owners = self.tag_owners.lock();
        if owners.get(link) == Some(&origin) {
            owners.remove(link);
        }
    }

    /// Whether an exactly-once publication under this tag was taken and its publisher may not know it yet.
    pub fn has_tag(&self, link: &str, tag: &[u8]) -> bool {
        self.tags.lock().get(link).is_some_and(|tags| tags.contains(tag))
    }

    /// All such tags of a link.
    pub fn tags(&self, link: &str) -> Vec<Box<[u8]>> {
        self.tags.lock().get(link).map_or_else(Vec::new, |tags| tags.iter().cloned().collect())
    }

    /// Its publisher knows.
    pub fn forget_tag(&self, link: &str, tag: &[u8]) {
        let mut tags = self.tags.lock();
        let Some(of_link) = tags.get_mut(link) else { return };
        if !of_link.remove(tag) {
            return;
        }
        if of_link.is_empty() {
            tags.remove(link);
        }
        drop(tags);
        self.store.submit([Change::TagGone(link.into(), tag.into())]);
    }

    /// A number under which a connection publishes, so that its own receivers can leave that out.
    pub fn origin(&self) -> u64 {
        self.directory.next_id()
    }
}

/// An at-most-once publication has no answer.
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
    if route.targets.is_empty() && !asked && !route.wants_routing {
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
