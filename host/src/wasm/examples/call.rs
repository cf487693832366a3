//! One call of one function of a module, as an example says, and what came of it.

use super::super::chain::Chain;
use super::super::hooks::{Action, Credentials, Happening, Loss};
use super::super::pool::Guests;
use super::decision;
use super::document::Example;
use crate::client::{Client, Departure};
use crate::message::{Message, Time, Will};
use crate::topic::{Filter, Limits, Topic};
use serde_json::{Value as Json, json};
use std::sync::Arc;

/// Hooks of which there are examples, for people.
const KNOWN: &str = "routing, retain-policy, delivery, will-handling.on-register, will-handling.on-departure, \
                     topic-mapping.publish-topic, topic-mapping.subscribe-filter, topic-mapping.deliver-name, \
                     access.authenticate, access.authorize, translation.to-amqp, translation.from-amqp, events and \
                     timers";

/// One call, with all that it is given.
pub(super) struct Call<'a> {
    pub(super) chain: &'a Chain,
    pub(super) guests: &'a mut Guests,
    pub(super) example: &'a Example,
    pub(super) client: Client,
    pub(super) now: Time,
}

impl Call<'_> {
    pub(super) fn make(&mut self, clock: Time, topics: &Limits) -> Result<Json, String> {
        let example = self.example;
        let topic = example.topic.as_str();
        let hook = example.hook.as_str();
        match hook {
            "topic-mapping.publish-topic" | "topic-mapping.subscribe-filter" | "topic-mapping.deliver-name" => {
                Ok(self.name(hook, topic))
            }
            "access.authenticate" | "access.authorize" => self.access(hook, topic),
            "retain-policy.on-subscribe" => {
                Ok(decision::replay(self.chain.replay(self.guests, &self.client, topic, example.matching)))
            }
            "events" | "events.on-events" => self.event(topics),
            "timers" | "timers.on-tick" => {
                let wishes = self.chain.tick_all(self.guests, clock);
                Ok(decision::wishes(&wishes, self.now))
            }
            "translation.to-amqp" => self.sent_to_amqp(topic, topics),
            "translation.from-amqp" => self.sent_from_amqp(topic, topics),
            _ => self.message(hook, topics),
        }
    }

    /// Where no other name is given that the receiver is shown, it is the topic.
    fn sent_to_amqp(&mut self, name: &str, topics: &Limits) -> Result<Json, String> {
        let message = self.given(topics)?;
        let name = if name.is_empty() { message.topic().as_str() } else { name };
        let form = self.chain.to_amqp(self.guests, name, &message);
        Ok(decision::form(form, message.payload()))
    }

    fn sent_from_amqp(&mut self, topic: &str, topics: &Limits) -> Result<Json, String> {
        let sections = self.example.amqp.as_ref().ok_or("a message of AMQP is needed, as amqp")?.sections()?;
        let topic = Topic::new(topic, topics).map_err(|error| format!("topic: {error}"))?;
        let made = self.chain.from_amqp(self.guests, topic.as_str(), &sections);
        Ok(decision::crossed(made, self.now))
    }

    fn name(&mut self, hook: &str, name: &str) -> Json {
        let (chain, scope) = (self.chain, &self.client.scope);
        match hook {
            "topic-mapping.publish-topic" => {
                let mapped = chain.publish_topic(self.guests, scope, name);
                decision::named("topic", mapped.map(|mapped| mapped.unwrap_or_else(|| name.to_owned())))
            }
            "topic-mapping.subscribe-filter" => {
                let mapped = chain.subscribe_filter(self.guests, scope, name);
                decision::named("filter", mapped.map(|mapped| mapped.unwrap_or_else(|| name.to_owned())))
            }
            _ => {
                let shown = chain.deliver_name(self.guests, scope, name);
                decision::named("name", Ok(shown.unwrap_or_else(|| name.to_owned())))
            }
        }
    }

    fn access(&mut self, hook: &str, topic: &str) -> Result<Json, String> {
        let example = self.example;
        if hook == "access.authenticate" {
            let credentials = Credentials {
                client: &self.client,
                username: example.username.as_deref(),
                password: example.password.as_deref().map(str::as_bytes),
                certificate_subject: example.certificate_subject.as_deref(),
            };
            return Ok(decision::identity(self.chain.authenticate(self.guests, credentials)));
        }
        let action = match example.action.as_deref() {
            Some("publish") | None => Action::Publish,
            Some("subscribe") => Action::Subscribe,
            Some("receive") => Action::Receive,
            Some(other) => return Err(format!("action: `{other}` is none of publish, subscribe, receive")),
        };
        Ok(json!({ "may": self.chain.authorize(self.guests, &self.client, action, topic) }))
    }

    fn event(&mut self, topics: &Limits) -> Result<Json, String> {
        let example = self.example;
        let client = Arc::new(self.client.clone());
        let filter = || Filter::new(&example.topic, topics).map_err(|error| format!("topic: {error}"));
        let happening = match example.event.as_deref().ok_or("an event is needed")? {
            "connected" => Happening::Connected(client),
            "disconnected" => Happening::Disconnected(client, self.departure()?),
            "subscribed" => Happening::Subscribed(client, filter()?),
            "unsubscribed" => Happening::Unsubscribed(client, filter()?),
            "unroutable" => Happening::Lost(self.given(topics)?, Loss::Unroutable),
            "expired" => Happening::Lost(self.given(topics)?, Loss::Expired),
            "queue-full" => Happening::Lost(self.given(topics)?, Loss::QueueFull),
            "rejected" => Happening::Lost(self.given(topics)?, Loss::Rejected),
            other => return Err(format!("event: `{other}` is none that there is")),
        };
        Ok(decision::wishes(&self.chain.tell(self.guests, &[happening]), self.now))
    }

    fn given(&self, topics: &Limits) -> Result<Message, String> {
        self.example.message.as_ref().ok_or("a message is needed")?.message(self.now, topics)
    }

    fn departure(&self) -> Result<Departure, String> {
        Ok(match self.example.departure.as_deref() {
            Some("farewell") => Departure::Clean,
            Some("connection-lost") | None => Departure::ConnectionLost,
            Some("keep-alive-expired") => Departure::KeepAliveExpired,
            Some("protocol-violation") => Departure::ProtocolViolation,
            Some("on-request") => Departure::OnRequest,
            Some("taken-over") => Departure::TakenOver,
            Some("closed-by-broker") => Departure::ClosedByBroker,
            Some("broker-down") => Departure::BrokerDown,
            Some(other) => return Err(format!("departure: `{other}` is none that there is")),
        })
    }

    fn message(&mut self, hook: &str, topics: &Limits) -> Result<Json, String> {
        let (chain, now) = (self.chain, self.now);
        let known = [
            "routing",
            "routing.on-publish",
            "retain-policy",
            "retain-policy.on-publish",
            "delivery",
            "delivery.on-deliver",
            "will-handling.on-register",
            "will-handling.on-departure",
        ];
        if !known.contains(&hook) {
            return Err(format!("hook: there are no examples for `{hook}`, but for {KNOWN}"));
        }
        let message = self.given(topics)?;
        let (guests, client) = (&mut *self.guests, &self.client);
        Ok(match hook {
            "routing" | "routing.on-publish" => decision::routing(&chain.route(guests, client, message), now),
            "retain-policy" | "retain-policy.on-publish" => decision::retention(chain.retain(guests, client, &message)),
            "delivery" | "delivery.on-deliver" => {
                let (guarantee, retain) = (message.envelope().guarantee, message.envelope().retain);
                decision::leaves(&chain.leaves(guests, client, &message, guarantee, retain), now)
            }
            "will-handling.on-register" => {
                let will = Will { message, delay_seconds: self.example.delay_seconds.unwrap_or(0) };
                decision::will(chain.will_registered(guests, client, will), now)
            }
            _ => {
                let how = self.departure()?;
                let will = Will { message, delay_seconds: self.example.delay_seconds.unwrap_or(0) };
                let published = chain.will_due(self.guests, &self.client, will, how);
                decision::publish(published.iter(), now)
            }
        })
    }
}
