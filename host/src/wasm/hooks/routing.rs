//! `routing`: decides over one message, between the publisher and the subscribers.

use super::super::bindings::exports::pliant::broker::routing as wit;
use super::super::chain::{Chain, OnFailure};
use super::super::fault;
use super::super::instance::Payload;
use super::super::meter::Hook;
use super::super::modules::Inner;
use super::super::pool::{Ask, Guests};
use super::super::translate::{self, Incoming};
use super::Wish;
use crate::client::Client;
use crate::message::{Message, Refusal};
use wasmtime::component::Resource;

/// What the modules made of a message.
#[derive(Debug)]
pub struct Verdict {
    /// Of the message itself.
    pub outcome: Outcome,
    /// What the modules want published too, each one hop older; those past [`super::super::Limits::hops_max`] are
    /// already left out and counted. Empty if the message was refused.
    pub wishes: Vec<Wish>,
}

/// What becomes of the message.
#[derive(Debug)]
pub enum Outcome {
    /// It goes on: itself, or what came in its place.
    Pass(Message),
    /// Its publisher hears that it was taken, and nobody gets it.
    Discard,
    /// Its publisher hears this.
    Refuse(Refusal),
}

/// One module's decision, checked.
struct Decided {
    step: Step,
    also: Vec<Message>,
}

enum Step {
    Keep,
    Change(Message),
    Discard,
    Refuse(Refusal),
}

impl Chain {
    /// Whether any module wants to see messages of this topic. Holds for a topic as long as the generation.
    pub fn wants_routing(&self, topic: &str) -> bool {
        self.closed.routing || self.routing.iter().any(|link| link.version.manifest.routing.covers(topic))
    }

    /// Whether a module that is to see messages of this topic takes long, as its last calls were.
    pub fn takes_long(&self, topic: &str) -> bool {
        let mut routing = self.routing.iter().map(|link| &link.version);
        routing.any(|version| version.pace.is_long(topic) && version.manifest.routing.covers(topic))
    }

    /// Asks the modules in order, each about what the former made of the message.
    pub fn route(&self, guests: &mut Guests, publisher: &Client, message: Message) -> Verdict {
        if self.closed.routing {
            return Verdict { outcome: Outcome::Refuse(fault::refusal()), wishes: Vec::new() };
        }
        let mut current = message;
        let mut wishes = Vec::new();
        let mut is_first = true;
        for link in &self.routing {
            if !link.version.manifest.routing.covers(current.topic().as_str()) {
                continue;
            }
            if !std::mem::take(&mut is_first) {
                guests.goes_on();
            }
            let ask =
                Ask { chain: self, link, hook: Hook::Route, message: Some(&current), about: current.topic().as_str() };
            let step = match route_one(guests, &ask, publisher, &current) {
                Some(decided) => {
                    wishes.extend(Wish::of(link, decided.also));
                    decided.step
                }
                None => match link.on_failure {
                    OnFailure::Refuse => Step::Refuse(fault::refusal()),
                    OnFailure::Bypass => Step::Keep,
                    OnFailure::Discard => Step::Discard,
                },
            };
            match step {
                Step::Keep => {}
                Step::Change(message) => current = message,
                Step::Discard => return finish(guests, Outcome::Discard, wishes),
                Step::Refuse(refusal) => return Verdict { outcome: Outcome::Refuse(refusal), wishes: Vec::new() },
            }
        }
        finish(guests, Outcome::Pass(current), wishes)
    }
}

/// Wishes past the hop limit end here, so that loops end.
fn finish(guests: &Guests, outcome: Outcome, mut wishes: Vec<Wish>) -> Verdict {
    Wish::within_bounds(guests, &mut wishes);
    Verdict { outcome, wishes }
}

fn route_one(guests: &mut Guests, ask: &Ask<'_>, publisher: &Client, message: &Message) -> Option<Decided> {
    let pairs = translate::pairs(message.envelope());
    guests.ask(
        ask,
        |inner, exports, store| match &exports.routing {
            Some(guest) => {
                let envelope = translate::envelope(message, &pairs, || (inner.clock)());
                guest.call_on_publish(store, translate::client(publisher), envelope, Resource::<Payload>::new_borrow(0))
            }
            None => Ok(wit::Decision { verdict: wit::Verdict::Keep, also: Vec::new() }),
        },
        |inner, decision| match decision {
            // What most messages get needs neither the time nor a look at bounds.
            wit::Decision { verdict: wit::Verdict::Keep, also } if also.is_empty() => {
                Ok(Decided { step: Step::Keep, also: Vec::new() })
            }
            decision => judge(inner, message, decision),
        },
        show,
    )
}

fn judge(inner: &Inner, message: &Message, decision: wit::Decision) -> Result<Decided, String> {
    let hops = message.envelope().hops;
    let mut left = inner.limits.wish_bytes_max;
    let incoming = Incoming { limits: &inner.limits, now: (inner.clock)(), about: Some(message), hops };
    let step = match decision.verdict {
        wit::Verdict::Keep => Step::Keep,
        wit::Verdict::Readdress(envelope) => {
            let envelope = incoming.envelope(envelope)?;
            Step::Change(Message::new(envelope, message.publisher(), message.payload()))
        }
        wit::Verdict::Replace(new) => Step::Change(incoming.message(new, message.publisher(), &mut left)?),
        wit::Verdict::Discard => Step::Discard,
        wit::Verdict::Refuse(refusal) => Step::Refuse(translate::refusal(refusal)),
    };
    let wishes = Incoming { hops: hops.saturating_add(1), about: None, ..incoming };
    Ok(Decided { step, also: wishes.messages(decision.also, &mut left)? })
}

fn show(decided: &Decided) -> String {
    let also = match decided.also.len() {
        0 => String::new(),
        n => format!(", and {n} more to publish"),
    };
    match &decided.step {
        Step::Keep => format!("keep{also}"),
        Step::Change(message) => {
            format!("pass on {:?} with {} bytes{also}", message.topic(), message.payload().len())
        }
        Step::Discard => format!("discard{also}"),
        Step::Refuse(refusal) => format!("refuse: {}", refusal.reason),
    }
}
