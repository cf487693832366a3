//! `delivery`: decides over one copy of a message, on its way to one subscriber.

use super::super::bindings::exports::pliant::broker::delivery::Outcome as WitOutcome;
use super::super::chain::{Chain, Link, OnFailure};
use super::super::instance::Payload;
use super::super::meter::Hook;
use super::super::pool::{Ask, Guests};
use super::super::translate::{self, Incoming};
use crate::client::Client;
use crate::message::{Envelope, Guarantee, Message};
use std::sync::Arc;
use wasmtime::component::Resource;

/// What becomes of a copy.
#[derive(Debug, Clone)]
pub enum Leaves {
    /// It leaves as it is.
    AsItIs,
    /// This one leaves in its place: topic, guarantee and retain flag are those of the copy.
    Instead(Message),
    /// It does not leave.
    Not,
    /// A module failed: it does not leave now.
    NotNow,
}

impl Chain {
    /// Whether any module wants to see copies of messages of this topic.
    pub fn wants_delivery(&self, topic: &str) -> bool {
        self.closed.delivery || self.delivery.iter().any(|link| link.version.manifest.delivery.covers(topic))
    }

    /// A number that changes whenever another answer to [`Chain::wants_delivery`], [`Chain::authorize`] or
    /// [`Chain::deliver_name`] is possible; 0: no module has these hooks.
    pub fn delivery_generation(&self) -> u64 {
        if self.has_delivery() || self.wants_access() { self.plan_generation() } else { 0 }
    }

    /// The generation under which copies of this topic may leave without a question, whoever gets them; 0: modules are to
    /// be asked.
    pub fn clears_delivery(&self, topic: &str) -> u64 {
        // Beside a canary it depends on the subscriber.
        if self.is_one_of_two() || self.wants_delivery(topic) { 0 } else { self.delivery_generation() }
    }

    /// How often modules had an answer about something on its way out so far: the sign that those which fail on one thing work.
    pub fn answered(&self) -> u64 {
        const HOOKS: [Hook; 4] = [Hook::Deliver, Hook::Authorize, Hook::ToAmqp, Hook::FromAmqp];
        let links = self.delivery.iter().chain(&self.access).chain(&self.translation);
        let answered = |link: &Arc<Link>| link.version.answered(&HOOKS);
        links.map(answered).sum()
    }

    /// Asks the modules in order, each about what the former made of the copy. What a failure means
    /// for the copy follows from the policy of the module.
    pub fn leaves(
        &self,
        guests: &mut Guests,
        subscriber: &Client,
        message: &Message,
        guarantee: Guarantee,
        retain: bool,
    ) -> Leaves {
        if self.closed.delivery {
            return Leaves::NotNow;
        }
        let mut instead: Option<Message> = None;
        for link in &self.delivery {
            if !link.version.manifest.delivery.covers(message.topic().as_str()) {
                continue;
            }
            let current = instead.as_ref().unwrap_or(message).clone();
            let pairs = translate::pairs(current.envelope());
            let ask = Ask {
                chain: self,
                link,
                hook: Hook::Deliver,
                message: Some(&current),
                about: current.topic().as_str(),
            };
            let answer = guests.ask(
                &ask,
                |inner, exports, store| match &exports.delivery {
                    Some(guest) => {
                        let mut envelope = translate::envelope(&current, &pairs, || (inner.clock)());
                        envelope.guarantee = translate::guarantee_out(guarantee);
                        envelope.retain = retain;
                        let payload = Resource::<Payload>::new_borrow(0);
                        guest.call_on_deliver(store, translate::client(subscriber), envelope, payload)
                    }
                    None => Ok(WitOutcome::Pass),
                },
                |inner, outcome| match outcome {
                    WitOutcome::Pass => Ok(Leaves::AsItIs),
                    WitOutcome::Withhold => Ok(Leaves::Not),
                    WitOutcome::Replace(new) => {
                        let hops = current.envelope().hops;
                        let incoming =
                            Incoming { limits: &inner.limits, now: (inner.clock)(), about: Some(&current), hops };
                        let new = incoming.message(new, message.publisher(), &mut { inner.limits.wish_bytes_max })?;
                        let original = message.envelope();
                        let envelope = Envelope {
                            topic: original.topic.clone(),
                            guarantee: original.guarantee,
                            retain: original.retain,
                            ..new.envelope().clone()
                        };
                        Ok(Leaves::Instead(Message::new(envelope, message.publisher(), new.payload())))
                    }
                },
                |leaves| match leaves {
                    Leaves::AsItIs => "deliver".to_owned(),
                    Leaves::Instead(message) => format!("deliver {} other bytes", message.payload().len()),
                    Leaves::Not | Leaves::NotNow => "withhold".to_owned(),
                },
            );
            match answer {
                Some(Leaves::AsItIs) => {}
                Some(Leaves::Instead(new)) => instead = Some(new),
                Some(leaves) => return leaves,
                None => match link.on_failure {
                    OnFailure::Bypass => {}
                    OnFailure::Discard => return Leaves::Not,
                    OnFailure::Refuse => return Leaves::NotNow,
                },
            }
        }
        instead.map_or(Leaves::AsItIs, Leaves::Instead)
    }
}
