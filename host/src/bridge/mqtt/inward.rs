//! Messages that come in: into the hall, and answered in their order once they are on disk.
//!
//! A message that the hall does not take now cannot be sent back: MQTT has no word for that which would not lose it. It
//! waits here, unanswered, and so do the answers to those behind it (4.6.0-2, 4.6.0-3); messages of other topics are taken
//! all the same, until the other broker has as many unanswered as it may have (its receive maximum is the bridge's window).

use super::super::held::{Entry, Held};
use super::super::retry::Retry;
use super::super::settings::Settings;
use super::super::{VIA, seat};
use super::codec::In;
use super::connection::{ANSWERS_MAX, Connection, is_its_id};
use crate::broker::Answer;
use crate::dialogue::{Event, Handle, Publish, Request};
use crate::message::{Guarantee, RefusalKind};
use crate::metrics::RouteState;
use crate::store::Sequence;
use std::collections::VecDeque;
use std::time::Instant;

/// See the head of this file.
pub struct Inbox {
    held: Held<In>,
    /// Waits for room in the hall, which takes nothing else of this client meanwhile.
    parked: Option<Entry<In>>,
    answers: VecDeque<Due>,
    next: u64,
    is_stuck: bool,
}

/// An answer.
struct Due {
    order: u64,
    handle: Handle,
    guarantee: Guarantee,
    /// May be given when so much is on disk; none: not yet.
    after: Option<Sequence>,
}

impl Inbox {
    pub fn new(settings: &Settings) -> Self {
        let held = Held::new(Retry::new(settings));
        Self { held, parked: None, answers: VecDeque::new(), next: 0, is_stuck: false }
    }

    /// Whether another message may come.
    pub fn has_room(&self) -> bool {
        self.answers.len() < ANSWERS_MAX && self.held.len() < ANSWERS_MAX
    }

    /// What waits for the hall, in bytes.
    pub fn bytes(&self) -> usize {
        self.held.bytes()
    }

    pub fn is_parked(&self) -> bool {
        self.parked.is_some()
    }

    pub fn due(&self) -> Option<Instant> {
        self.held.due()
    }

    /// Gives a message its place among the answers.
    fn enter(&mut self, handle: Handle, guarantee: Guarantee, after: Option<Sequence>) -> u64 {
        self.next += 1;
        let order = self.next;
        if guarantee != Guarantee::AtMostOnce {
            self.answers.push_back(Due { order, handle, guarantee, after });
        }
        order
    }

    /// The message of this place may be answered when so much is on disk.
    fn taken(&mut self, order: u64, after: Sequence) {
        if let Ok(at) = self.answers.binary_search_by_key(&order, |due| due.order) {
            self.answers[at].after = Some(after);
        }
    }
}

impl Connection<'_> {
    /// A message comes in.
    pub(super) fn publish(&mut self, mut message: In) -> Result<(), String> {
        let (handle, guarantee) = (message.handle, message.guarantee);
        if is_its_id(&message) {
            self.peer = String::from_utf8(message.payload.to_vec()).ok();
            self.inbox.enter(handle, guarantee, Some(0));
            return Ok(());
        }
        let hops = message.properties.iter().flat_map(|said| &said.user).filter(|(name, _)| &**name == VIA);
        let was_here = hops.clone().any(|(_, node)| **node == *self.plan.node);
        let too_far = hops.count() > self.plan.settings.hops_max as usize;
        let mut ways = self.plan.inward.iter().enumerate();
        let name = ways.find_map(|(at, way)| Some((at, way.inward(&message.topic)?)));
        let Some((route, name)) = name.filter(|_| !was_here && !too_far) else {
            if was_here || too_far {
                self.plan.figures.looped_total.add(1);
            } else {
                // What an earlier configuration subscribed to comes until the other broker forgets it.
                self.plan.figures.refused_total.add(1);
                let (bridge, topic) = (&self.plan.settings.name, &*message.topic);
                tracing::warn!(bridge, topic, "the other broker sends what no route asks for; it is dropped");
            }
            self.inbox.enter(handle, guarantee, Some(0));
            return Ok(());
        };
        // It is the bridge that knows which broker it left: that one may fetch it from here in its turn.
        if let Some(peer) = &self.peer {
            let said = message.properties.get_or_insert_default();
            if said.user.iter().all(|(name, node)| &**name != VIA || **node != **peer) {
                said.user.push((VIA.into(), peer.as_str().into()));
            }
        }
        let order = self.inbox.enter(handle, guarantee, None);
        let bytes = message.payload.len() + name.len();
        let entry = Entry { order, route, topic: name.into(), bytes, item: message };
        let waits = guarantee != Guarantee::AtMostOnce && self.inbox.held.blocks(&entry.topic);
        if waits || self.inbox.is_parked() {
            self.inbox.held.put(entry);
            return Ok(());
        }
        self.offer(entry)
    }

    /// Has the hall take a message, or lets it wait.
    fn offer(&mut self, entry: Entry<In>) -> Result<(), String> {
        let In { guarantee, retain, handle, expiry_seconds, ref properties, ref payload, .. } = entry.item;
        let (name, properties) = (&*entry.topic, properties.clone());
        let publish = Publish { name, guarantee, retain, handle, expiry_seconds, properties, payload };
        let answer = self.seat.ask(Request::Publish(publish));
        self.offered(entry, answer)
    }

    /// What the hall says of a message.
    fn offered(&mut self, entry: Entry<In>, answer: Answer) -> Result<(), String> {
        match answer {
            Answer::Parked => self.inbox.parked = Some(entry),
            Answer::Say(after, Event::Published { outcome: Ok(_), .. }) => {
                self.plan.figures.received_total.add(1);
                self.inbox.taken(entry.order, after);
            }
            Answer::Say(after, Event::Published { outcome: Err(refusal), .. }) => match refusal.kind {
                RefusalKind::NotAuthorized | RefusalKind::TopicInvalid | RefusalKind::PayloadInvalid => {
                    self.plan.figures.refused_total.add(1);
                    let at = self.plan.outward.len() + entry.route;
                    tracing::warn!(
                        bridge = self.plan.settings.name,
                        route = self.plan.figures.routes[at].name,
                        topic = &*entry.topic,
                        reason = refusal.reason,
                        "a message from the other broker is refused here for good; it is dropped"
                    );
                    self.inbox.taken(entry.order, after);
                }
                _ => {
                    let at = self.plan.outward.len() + entry.route;
                    self.plan.note(&self.seat.hall, at, RouteState::Stuck, &refusal.reason);
                    self.inbox.is_stuck = true;
                    self.inbox.held.refused(Instant::now(), entry);
                }
            },
            Answer::Say(_, Event::Closed(why)) => {
                return Err(seat::told(&why));
            }
            _ => self.plan.figures.received_total.add(u64::from(entry.item.guarantee == Guarantee::AtMostOnce)),
        }
        Ok(())
    }

    /// Has the hall look again at what waits for it, where it is time.
    pub(super) fn try_again(&mut self) -> Result<(), String> {
        if let Some(entry) = self.inbox.parked.take() {
            let answer = self.seat.resume();
            self.offered(entry, answer)?;
        }
        self.inbox.held.begin(Instant::now());
        while !self.inbox.is_parked() {
            let Some(entry) = self.inbox.held.next() else { break };
            self.offer(entry)?;
        }
        if self.inbox.is_stuck {
            for (route, _) in self.plan.inward.iter().enumerate() {
                let at = self.plan.outward.len() + route;
                let held = self.inbox.held.count(route);
                let parked = self.inbox.parked.as_ref().filter(|entry| entry.route == route).iter().count();
                self.plan.figures.routes[at].set_held(held + parked);
                if held + parked == 0 {
                    self.plan.unstick(&self.seat.hall, at);
                }
            }
            self.inbox.held.rest();
            self.inbox.is_stuck = self.inbox.held.len() > 0 || self.inbox.is_parked();
        }
        Ok(())
    }

    /// Answers what is on disk, in order.
    pub(super) fn acknowledge(&mut self) -> Result<(), String> {
        while let Some(due) = self.inbox.answers.front() {
            if !due.after.is_some_and(|after| self.seat.is_on_disk(after)) {
                break;
            }
            match due.guarantee {
                Guarantee::ExactlyOnce => self.codec.pubrec(due.handle, &mut self.out)?,
                _ => self.codec.puback(due.handle, &mut self.out)?,
            }
            self.inbox.answers.pop_front();
        }
        Ok(())
    }
}
