//! What would become of a message, decision by decision. Nothing is published, nothing is kept.

use super::Broker;
use super::retain::Keep;
use super::route::Target;
use super::worker::Worker;
use crate::client::Client;
use crate::dialogue::Publish;
use crate::message::{Envelope, Message, Time};
use crate::wasm::{Action, Decision, Outcome};
use std::sync::Arc;

/// One message, explained.
#[derive(Debug)]
pub struct Explanation {
    /// The generation of modules that was asked.
    pub generation: u64,
    /// The broker's topic; none: the name was refused.
    pub topic: Option<String>,
    /// What each module said, in order.
    pub decisions: Vec<Decision>,
    /// What becomes of the message, in one sentence.
    pub outcome: String,
    /// What becomes of the topic's last value.
    pub retained: &'static str,
    /// Client ids (or `$share/GROUP/FILTER`) that would get a copy. At most 1,000.
    pub subscribers: Vec<String>,
    /// What modules wish to be published beside it.
    pub wishes: Vec<String>,
}

impl Broker {
    /// Explains one message.
    pub fn explain(&self, worker: &mut Worker, now: Time, client: &Client, publish: &Publish<'_>) -> Explanation {
        worker.refresh_for(self, &client.id);
        let chain = worker.chain.clone();
        worker.guests.trace = Some(Vec::new());
        let mut explanation = Explanation {
            generation: chain.generation(),
            topic: None,
            decisions: Vec::new(),
            outcome: String::new(),
            retained: "left alone",
            subscribers: Vec::new(),
            wishes: Vec::new(),
        };
        explanation.outcome = self.explain_into(worker, now, client, publish, &mut explanation);
        explanation.decisions = worker.guests.trace.take().unwrap_or_default();
        explanation
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
            explanation.wishes = verdict.wishes.iter().map(|wish| wish.message.topic().to_string()).collect();
            match verdict.outcome {
                Outcome::Pass(passed) => message = passed,
                Outcome::Discard => return "discarded by a module".into(),
                Outcome::Refuse(refusal) => return format!("refused: {}", refusal.reason),
            }
            explanation.topic = Some(message.topic().to_string());
        }
        let route = Arc::new(self.find_way(&chain, &mut worker.guests, message.topic().clone()));
        match self.retention(worker, now, &chain, client, &message, &route) {
            Ok(Keep::No) => {}
            Ok(Keep::Set(_)) => explanation.retained = "set",
            Ok(Keep::Delete) => explanation.retained = "deleted",
            Err(refusal) => return format!("refused: {}", refusal.reason),
        }
        explanation.subscribers = route
            .targets
            .iter()
            .take(1000)
            .map(|target| match target {
                Target::Single(single) => single.mailbox.lock().client.id.to_string(),
                Target::Group(group, ..) => format!("{group:?}"),
            })
            .collect();
        match route.targets.len() {
            0 => "no subscriber".into(),
            1 => "delivered to 1 subscriber".into(),
            more => format!("delivered to {more} subscribers"),
        }
    }
}
