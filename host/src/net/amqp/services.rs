//! Wills and sessions by messages (the design of EnMasse): the will service and the subscription service.
//!
//! | Address | What a client sends there |
//! |---|---|
//! | `$mqtt.lwtservice`, `$mqtt.willservice`, `$lwt` | its will (subject `will`) or `will-clear`; the name of the link is its client id |
//! | `$mqtt.subscriptionservice`, `$subctrl` | `list`, `close`, `subscribe`, `unsubscribe`, with `$mqtt.to.ID.publish` as correlation-id |
//!
//! What comes for a session is received from `$mqtt.to.ID.publish`, and answers from `$mqtt.to.ID.control`.

use super::publish::publication;
use super::side::Side;
use super::words;
use crate::amqp::sections::{Body, Id, RawValue, Sections};
use crate::amqp::{AmqpError, Error, error};
use crate::broker::{Outlet, PublishBare};
use crate::client::{Client, Departure};
use crate::dialogue::{RetainHandling, SubscribeFilter, SubscribeOptions, WillRequest};
use crate::message::{Bare, Guarantee, Time};
use crate::sections::{self, Encoding, Form, Value};
use crate::store::Sequence;
use std::sync::Arc;

/// A service of the broker's own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Service {
    /// Keeps wills.
    Wills,
    /// Keeps sessions.
    Sessions,
}

/// A will that a link stands for.
#[derive(Debug)]
pub(super) struct WillLink {
    /// Under which the hall keeps it.
    pub owner: u64,
    /// Whose it is: the name of the link.
    pub client: Arc<Client>,
    /// A detach without an error publishes it, since this client cannot say otherwise.
    pub second_mode: bool,
}

/// The service of an address, by its name in the design's text or by one of its older ones.
pub(super) fn service(address: &str) -> Option<Service> {
    match address {
        "$mqtt.lwtservice" | "$mqtt.willservice" | "$lwt" => Some(Service::Wills),
        "$mqtt.subscriptionservice" | "$subctrl" => Some(Service::Sessions),
        _ => None,
    }
}

/// The client id in `$mqtt.to.ID.publish`.
pub(super) fn publish_address(address: &str) -> Option<&str> {
    address.strip_prefix("$mqtt.to.")?.strip_suffix(".publish").filter(|id| !id.is_empty())
}

impl Side {
    /// Another name for this client: the one of its session or will.
    pub(super) fn named(&self, id: &str) -> Option<Arc<Client>> {
        self.client.as_ref().map(|client| Arc::new(Client { id: id.into(), ..(**client).clone() }))
    }

    /// A message to the will service.
    pub(super) fn will_request(
        &mut self,
        now: Time,
        link: &WillLink,
        message: &Sections<'_>,
    ) -> Result<Sequence, Error> {
        let context = self.context.clone();
        let mut worker = context.worker.borrow_mut();
        let properties = message.properties();
        match properties.subject {
            Some("will-clear") => return Ok(context.broker.clear_will(&mut worker, link.owner)),
            Some("will") => {}
            _ => return Err(error(AmqpError::DecodeError, "neither a will nor a will-clear")),
        }
        let invalid = |why: &str| error(AmqpError::DecodeError, why);
        let to = properties.to.ok_or_else(|| invalid("a will needs a topic (`to`)"))?;
        let payload = match message.body() {
            Body::Nothing => Default::default(),
            Body::Value(value) if value.is_null() => Default::default(),
            _ => message.data().ok_or_else(|| invalid("the body of a will is data"))?,
        };
        let facts = publication(message, to, Guarantee::AtLeastOnce, self.origin);
        let expiry_seconds =
            facts.expiry_milliseconds.map(|left| u32::try_from(left.div_ceil(1000)).unwrap_or(u32::MAX));
        let will = WillRequest {
            name: to.into(),
            guarantee: facts.guarantee,
            retain: facts.retain,
            expiry_seconds,
            properties: None,
            payload: payload.into_owned().into(),
            delay_seconds: number(message.message_annotation("x-opt-mqtt-will-delay")).unwrap_or(0),
        };
        let kept = context.broker.leave_will(&mut worker, now, link.owner, &link.client, &will);
        kept.map_err(|refusal| words::refused(&refusal))
    }

    /// A will's link is gone. `clean`: it was detached without an error.
    pub(super) fn will_link_gone(&mut self, now: Time, link: &WillLink, clean: bool) {
        let context = self.context.clone();
        let mut worker = context.worker.borrow_mut();
        if clean && !link.second_mode {
            context.broker.clear_will(&mut worker, link.owner);
        } else {
            context.broker.will_is_due(&mut worker, now, link.owner, Departure::ConnectionLost);
        }
    }

    /// A message to the subscription service.
    pub(super) fn session_request(&mut self, now: Time, message: &Sections<'_>) -> Result<Sequence, Error> {
        let properties = message.properties();
        let subject = properties.subject.unwrap_or_default();
        if !matches!(subject, "list" | "close" | "subscribe" | "unsubscribe") {
            return Err(error(AmqpError::NotImplemented, "the subscription service does not know this subject"));
        }
        let wrong = |why: &str| error(AmqpError::PreconditionFailed, why);
        let id = match properties.correlation_id {
            Some(Id::String(address)) => publish_address(address),
            _ => None,
        };
        let id = id.ok_or_else(|| wrong("correlation-id is not $mqtt.to.ID.publish"))?;
        let client = self.named(id).ok_or_else(|| wrong("the connection is not open"))?;
        let context = self.context.clone();
        let refused = |refusal| words::refused(&refusal);
        match subject {
            "list" => {
                let filters = context.broker.session_filters(&client).map_err(refused)?;
                self.answer_list(now, &properties, filters.unwrap_or_default())
            }
            "close" => context.broker.session_end(&mut context.worker.borrow_mut(), now, &client).map_err(refused),
            "subscribe" => {
                let filters = wanted(message).ok_or_else(|| wrong("the body is not a map of filters"))?;
                let outlet: Arc<dyn Outlet> = self.outlet.clone();
                let mut worker = context.worker.borrow_mut();
                context.broker.session_subscribe(&mut worker, now, &outlet, &client, filters).map_err(refused)
            }
            _ => {
                let names = unwanted(message).ok_or_else(|| wrong("the body names no filters"))?;
                let mut worker = context.worker.borrow_mut();
                context.broker.session_unsubscribe(&mut worker, &client, &names).map_err(refused)
            }
        }
    }

    /// Tells what a session is subscribed to.
    fn answer_list(
        &mut self,
        now: Time,
        asked: &crate::amqp::sections::Properties<'_>,
        filters: Vec<(String, Guarantee)>,
    ) -> Result<Sequence, Error> {
        let Some(to) = asked.reply_to else { return Ok(0) };
        let correlation = match asked.correlation_id {
            Some(Id::String(text)) => Some(Value::Text(text.to_owned())),
            _ => None,
        };
        let head = sections::Sections {
            to: Some(to.to_owned()),
            subject: Some("subscriptions".to_owned()),
            correlation_id: correlation,
            ..Default::default()
        };
        let body = Some(sections::Body::Value(Value::Encoded(text_map(&filters))));
        let context = self.context.clone();
        let written = crate::amqp::Wording(context.amqp.clone()).write(&Form { head, body }, &[]);
        let encoded = written.map_err(|why| error(AmqpError::InternalError, why))?;
        let bare = Bare { handover: Guarantee::AtLeastOnce, blank: false, durable: false, priority: 4 };
        let publish = PublishBare {
            name: to,
            guarantee: Guarantee::AtLeastOnce,
            retain: false,
            expiry_milliseconds: None,
            bare,
            origin: self.origin,
            encoded: &encoded,
        };
        let mut worker = context.worker.borrow_mut();
        context.broker.publish_bare(&mut worker, &mut self.publisher, now, publish, None);
        Ok(0)
    }
}

fn number(value: Option<RawValue<'_>>) -> Option<u32> {
    value?.as_integer().and_then(|number| u32::try_from(number).ok())
}

/// A map of filters to QoS, as a number or as text.
fn wanted(message: &Sections<'_>) -> Option<Vec<SubscribeFilter>> {
    let mut items = message.value()?.map()?;
    let mut filters = Vec::new();
    while let Some(name) = items.next() {
        let value = items.next()?;
        let level = value.as_integer().or_else(|| value.as_str()?.trim().parse().ok())?;
        let guarantee = Guarantee::from_level(u8::try_from(level).ok()?)?;
        let options = SubscribeOptions { guarantee, retain_handling: RetainHandling::Always, ..Default::default() };
        filters.push(SubscribeFilter { name: name.as_str()?.into(), share: None, options });
    }
    Some(filters)
}

/// A list of filters, one filter, or the keys of a map.
fn unwanted(message: &Sections<'_>) -> Option<Vec<String>> {
    let value = message.value()?;
    if let Some(one) = value.as_str() {
        return Some(vec![one.to_owned()]);
    }
    let mut names = Vec::new();
    if let Some(mut keys) = value.map() {
        while let Some(key) = keys.next() {
            keys.next()?;
            names.push(key.as_str()?.to_owned());
        }
        return Some(names);
    }
    for item in value.elements()? {
        names.push(item.as_str()?.to_owned());
    }
    Some(names)
}

/// A map of texts to the digit of a QoS, as text: what the design's own gateway reads.
fn text_map(filters: &[(String, Guarantee)]) -> Vec<u8> {
    let mut items = Vec::new();
    for (name, guarantee) in filters {
        for text in [name.as_str(), ["0", "1", "2"][usize::from(guarantee.level())]] {
            items.push(0xB1);
            items.extend_from_slice(&u32::try_from(text.len()).unwrap_or(u32::MAX).to_be_bytes());
            items.extend_from_slice(text.as_bytes());
        }
    }
    let size = u32::try_from(items.len() + 4).unwrap_or(u32::MAX);
    let count = u32::try_from(filters.len() * 2).unwrap_or(u32::MAX);
    let mut map = vec![0xD1];
    map.extend_from_slice(&size.to_be_bytes());
    map.extend_from_slice(&count.to_be_bytes());
    map.extend_from_slice(&items);
    map
}
