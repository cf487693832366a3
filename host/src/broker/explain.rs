//! What would become of a message, or what modules would make of an event, decision by decision. Nothing is published, and what
//! modules change meanwhile is not kept.

use super::Broker;
use super::publish::RESERVED;
use super::queues::is_address_of_queue;
use super::retain::Keep;
use super::route::{Route, Single, Target};
use super::worker::Worker;
use crate::client::{Client, Departure};
use crate::dialogue::Publish;
use crate::message::{Envelope, Message, Time};
use crate::topic::Filter;
use crate::wasm::{Action, Decision, Happening, Leaves, Loss, Outcome, Wish};
use std::sync::Arc;

/// Subscribers that are named.
const SUBSCRIBERS_MAX: usize = 1_000;
/// Subscribers whose copies modules are asked about.
const DELIVERIES_MAX: usize = 32;

/// One message, explained.
#[derive(Debug, Default)]
pub struct Explanation {
    /// The generation of modules that was asked.
    pub generation: u64,
    /// The broker's topic; none: the name was refused.
    pub topic: Option<String>,
    /// What each module said, in order; about copies and events see below.
    pub decisions: Vec<Decision>,
    /// What becomes of the message, in one sentence.
    pub outcome: String,
    /// What becomes of the topic's last value.
    pub retained: &'static str,
    /// Client ids (or `$share/GROUP/FILTER`) that would get a copy. At most 1,000.
    pub subscribers: Vec<String>,
    /// What modules say of these copies; of the first 32 that they want to see.
    pub deliveries: Vec<Delivery>,
    /// What AMQP receivers get, if there are any.
    pub translation: Vec<Decision>,
    /// What modules say of the message being lost, if nobody gets it.
    pub events: Vec<Decision>,
    /// What modules wish to be published beside it.
    pub wishes: Vec<String>,
}

/// One copy, explained.
#[derive(Debug, serde::Serialize)]
pub struct Delivery {
    /// Who gets it, or would.
    pub client: String,
    /// In order.
    pub decisions: Vec<Decision>,
    /// What becomes of it.
    pub outcome: String,
}

/// Something that modules might be told.
#[derive(Debug, Clone)]
pub enum Occasion {
    /// A client was let in.
    Connected,
    /// A client is gone.
    Disconnected(Departure),
    /// A client subscribed.
    Subscribed(Filter),
    /// A client gave up a subscription.
    Unsubscribed(Filter),
    /// The time of every timer has come.
    Timer,
}

impl Broker {
    /// Explains one message.
    pub fn explain(&self, worker: &mut Worker, now: Time, client: &Client, publish: &Publish<'_>) -> Explanation {
        worker.refresh_for(self, &client.id);
        worker.rehearse(|worker| {
            let generation = worker.chain.generation();
            let mut explanation = Explanation { generation, retained: "left alone", ..Explanation::default() };
            explanation.outcome = self.explain_into(worker, now, client, publish, &mut explanation);
            if explanation.decisions.is_empty() {
                explanation.decisions = worker.told();
            }
            explanation
        })
    }

    /// Explains what modules would make of an event about this client, or of their timers.
    pub fn explain_occasion(&self, worker: &mut Worker, now: Time, client: Client, occasion: Occasion) -> Explanation {
        worker.refresh(self);
        worker.rehearse(|worker| {
            let (chain, client) = (worker.chain.clone(), Arc::new(client));
            let happening = match occasion {
                Occasion::Connected => Some(Happening::Connected(client)),
                Occasion::Disconnected(how) => Some(Happening::Disconnected(client, how)),
                Occasion::Subscribed(filter) => Some(Happening::Subscribed(client, filter)),
                Occasion::Unsubscribed(filter) => Some(Happening::Unsubscribed(client, filter)),
                Occasion::Timer => None,
            };
            let wishes = match happening {
                Some(happening) => chain.tell(&mut worker.guests, &[happening]),
                None => chain.tick_all(&mut worker.guests, now),
            };
            let decisions = worker.told();
            let outcome = match decisions.len() {
                0 => "no module is asked".to_owned(),
                modules => format!("told to {modules}, {} to publish", wishes.len()),
            };
            let generation = chain.generation();
            Explanation { generation, decisions, outcome, wishes: topics(&wishes), ..Explanation::default() }
        })
    }

    fn explain_into(
        &self,
        worker: &mut Worker,
        now: Time,
        client: &Client,
        publish: &Publish<'_>,
        explanation: &mut Explanation,
    ) -> String {
        let chain = worker.chain.clone();
        let topic = match self.mapped(&chain, &mut worker.guests, &client.scope, publish.name) {
            Ok(topic) => topic,
            Err(refusal) => return format!("refused: {}", refusal.reason),
        };
        explanation.topic = Some(topic.to_string());
        if let Err(refusal) = self.check(worker, client, Action::Publish, topic.as_str()) {
            return format!("refused: {}", refusal.reason);
        }
        let envelope = Envelope {
            topic: topic.clone(),
            guarantee: publish.guarantee,
            retain: publish.retain,
            expires: publish.expiry_seconds.map(|seconds| now.plus_seconds(seconds)),
            properties: publish.properties.clone(),
            hops: 0,
        };
        let mut message = Message::new(envelope, 0, publish.payload);
        if chain.wants_routing(topic.as_str()) {
            let verdict = chain.route(&mut worker.guests, client, message);
            explanation.wishes = topics(&verdict.wishes);
            match verdict.outcome {
                Outcome::Pass(passed) => message = passed,
                Outcome::Discard => return "discarded by a module".into(),
                Outcome::Refuse(refusal) => return format!("refused: {}", refusal.reason),
            }
            explanation.topic = Some(message.topic().to_string());
            if message.topic().is_reserved() {
                return format!("refused: {RESERVED}");
            }
        }
        let route = Arc::new(self.find_way(&chain, &mut worker.guests, message.topic().clone()));
        match self.retention(worker, now, client, &message, &route) {
            Ok(Keep::No) => {}
            Ok(Keep::Set(_)) => explanation.retained = "set",
            Ok(Keep::Delete) => explanation.retained = "deleted",
            Err(refusal) => return format!("refused: {}", refusal.reason),
        }
        let named = |target: &Target| match target {
            Target::Single(single) => single.mailbox.lock().client.id.to_string(),
            Target::Group(group, ..) => format!("{group:?}"),
        };
        explanation.subscribers = route.targets.iter().take(SUBSCRIBERS_MAX).map(named).collect();
        let is_queue = route.is_queue || (message.topic() == &topic && is_address_of_queue(publish.name));
        let queue = message.topic().as_str();
        let makes_queue = is_queue && self.find_queue(message.topic()).is_none();
        if makes_queue {
            explanation.subscribers.push(queue.to_owned());
        }
        explanation.decisions = worker.told();
        explanation.deliveries = explain_copies(worker, &message, &route);
        if makes_queue || route.targets.iter().any(has_receivers) {
            // Nothing is kept of it; what it says, or why there is none, is noted.
            let _ = chain.to_amqp(&mut worker.guests, message.topic().as_str(), &message);
            explanation.translation = worker.told();
        }
        match explanation.subscribers.len().max(route.targets.len()) {
            1 if makes_queue => "delivered to 1 subscriber, a queue that it makes".into(),
            more if makes_queue => format!("delivered to {more} subscribers, one of them a queue that it makes"),
            0 => {
                let wishes = chain.tell(&mut worker.guests, &[Happening::Lost(message, Loss::Unroutable)]);
                explanation.wishes.extend(topics(&wishes));
                explanation.events = worker.told();
                "no subscriber".into()
            }
            1 => "delivered to 1 subscriber".into(),
            more => format!("delivered to {more} subscribers"),
        }
    }
}

/// Whether any of those that a target stands for has its messages as AMQP writes them.
fn has_receivers(target: &Target) -> bool {
    match target {
        Target::Single(single) => single.mailbox.is_consumed(),
        Target::Group(group, ..) => group.mailboxes().iter().any(|mailbox| mailbox.is_consumed()),
    }
}

/// What modules say of the copies of those who do not share.
fn explain_copies(worker: &mut Worker, message: &Message, route: &Route) -> Vec<Delivery> {
    let singles = route.targets.iter().filter_map(|target| match target {
        Target::Single(single) => Some(single),
        Target::Group(..) => None,
    });
    singles.filter_map(|single| explain_copy(worker, message, single)).take(DELIVERIES_MAX).collect()
}

/// None: no module wants to see it.
fn explain_copy(worker: &mut Worker, message: &Message, single: &Single) -> Option<Delivery> {
    let client = single.mailbox.lock().client.clone();
    let chain = worker.chain_for(&client.id);
    if super::queues::is_queue(&client) || !chain.wants_delivery(message.topic().as_str()) {
        return None;
    }
    let envelope = message.envelope();
    let retain = single.terms.retain_as_published && envelope.retain;
    let guarantee = envelope.guarantee.min(single.terms.guarantee);
    let outcome = match chain.leaves(&mut worker.guests, &client, message, guarantee, retain) {
        Leaves::AsItIs => "delivered as it is".to_owned(),
        Leaves::Instead(made) => format!("delivered with {} other bytes", made.payload().len()),
        Leaves::Not => "withheld".to_owned(),
        Leaves::NotNow => "kept back until the module works again".to_owned(),
    };
    Some(Delivery { client: client.id.to_string(), decisions: worker.told(), outcome })
}

fn topics(wishes: &[Wish]) -> Vec<String> {
    wishes.iter().map(|wish| wish.message.topic().to_string()).collect()
}

impl Worker {
    /// Asks modules for their decisions only, and notes each.
    fn rehearse<R>(&mut self, ask: impl FnOnce(&mut Self) -> R) -> R {
        self.guests.rehearse(true);
        self.guests.trace = Some(Vec::new());
        let answer = ask(self);
        self.guests.trace = None;
        self.guests.rehearse(false);
        answer
    }

    /// What was noted since the last time.
    fn told(&mut self) -> Vec<Decision> {
        self.guests.trace.as_mut().map(std::mem::take).unwrap_or_default()
    }
}
