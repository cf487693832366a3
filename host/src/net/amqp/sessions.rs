//! The subscription service: sessions that are listed, filled and ended by messages.
//!
//! | Annotation of a request | Type | What it asks for |
//! |---|---|---|
//! | `x-opt-mqtt-session-expiry` on `list`, `subscribe` | seconds | how long the session outlives its receiver; none: for ever |
//! | `x-opt-mqtt-integer-qos` on `list` | boolean | QoS in the answer as ubyte and not as text |
//! | `x-opt-mqtt-no-local`, `x-opt-mqtt-retain-as-published` on `subscribe` | boolean | as in MQTT 5.0, 3.8.3.1 |
//! | `x-opt-mqtt-retain-handling` on `subscribe` | 0 to 2 | likewise |
//! | `x-opt-mqtt-subscription-id` on `subscribe` | 1 to 268,435,455 | comes with each message as delivery annotation |
//!
//! A `subscribe` or `unsubscribe` with a `reply-to` is answered there with a map of filter to reason code (MQTT 5.0, 2.4). A
//! `subscribe` is all or nothing, unless its link desires [`EACH`].

use super::address;
use super::services::{self, Own};
use super::side::{End, Side};
use super::words;
use crate::amqp::sections::{Body, Id, Properties, RawValue, Sections};
use crate::amqp::{AmqpError, Error, Wording, error};
use crate::broker::{PublishBare, SessionInfo, may_be_called};
use crate::client::Client;
use crate::dialogue::{RetainHandling, SubscribeFilter, SubscribeOptions};
use crate::message::{Bare, Guarantee, Refusal, RefusalKind, Time};
use crate::sections::{self, Encoding, Form, Value};
use crate::store::Sequence;
use std::ops::RangeInclusive;
use std::sync::Arc;

/// Capability of a link to the subscription service: what may be subscribed to is, though something else was refused, and the
/// answer tells which.
pub(super) const EACH: &str = "x-opt-mqtt-filter-results";
/// Most filters of one request, as many as an MQTT client's packet would hold.
const FILTERS_MAX: usize = 10_000;

/// Who asks how.
#[derive(Debug, Clone)]
pub(super) struct Asking {
    /// The name of the link: the client id of a request that does not say one.
    pub link: Box<str>,
    /// Results are wanted for each filter.
    pub each: bool,
}

/// What an answer says.
struct Answer {
    subject: &'static str,
    /// Whether the session was there before.
    present: Option<bool>,
    body: Vec<u8>,
}

impl Side {
    /// A message to the subscription service.
    pub(super) fn session_request(
        &mut self,
        now: Time,
        asking: &Asking,
        message: &Sections<'_>,
    ) -> Result<Sequence, Error> {
        let properties = message.properties();
        let subject = properties.subject.unwrap_or_default();
        if !matches!(subject, "list" | "list_topics" | "close" | "subscribe" | "unsubscribe") {
            return Err(error(AmqpError::NotImplemented, "the subscription service does not know this subject"));
        }
        let id = match properties.correlation_id {
            Some(Id::String(name)) => services::own(address::node(name))
                .map(|own| own.id().to_owned())
                .ok_or_else(|| wrong("correlation-id is not $mqtt.to.ID.publish"))?,
            Some(_) => return Err(wrong("correlation-id is not $mqtt.to.ID.publish")),
            None => asking.link.to_string(),
        };
        let client = self.named(&id).ok_or_else(|| wrong("the connection is not open"))?;
        // A receiver's subscription is its terminus (part 3, 3.5): it ends with a detach, and a session of that name nobody
        // could take.
        may_be_called(&client).map_err(refused)?;
        match subject {
            "list" | "list_topics" => self.list(now, &client, message, &properties),
            "close" => {
                let context = self.context.clone();
                let mut worker = context.worker.borrow_mut();
                context.broker.session_end(&mut worker, now, &client, self.origin).map_err(refused)
            }
            "subscribe" => self.session_subscribe(now, asking.each, &client, message, &properties),
            _ => self.session_unsubscribe(now, &client, message, &properties),
        }
    }

    fn list(
        &mut self,
        now: Time,
        client: &Arc<Client>,
        message: &Sections<'_>,
        asked: &Properties<'_>,
    ) -> Result<Sequence, Error> {
        let context = self.context.clone();
        let found = self.session(client)?;
        let mut after = 0;
        if let Some(seconds) = number(message, "x-opt-mqtt-session-expiry") {
            let mut worker = context.worker.borrow_mut();
            after = context.broker.session_expires(&mut worker, now, client, seconds).map_err(refused)?;
        }
        // One that is there only because this connection has attached to it was not there before.
        let made_now = |is_empty: bool| is_empty && self.made_session(&client.id);
        let present = found.as_ref().is_some_and(|info| !made_now(info.is_empty));
        let filters = found.map(|info| info.filters).unwrap_or_default();
        let answer = match asked.subject {
            Some("list_topics") => Answer { subject: "topics", present: None, body: names(&filters) },
            _ => {
                let integers = truth(message, "x-opt-mqtt-integer-qos");
                let pairs = filters.iter().map(|(name, guarantee)| (name.as_str(), guarantee.level()));
                Answer { subject: "subscriptions", present: Some(present), body: map(pairs, integers) }
            }
        };
        Ok(after.max(self.answer(now, client, asked, answer)?))
    }

    fn session_subscribe(
        &mut self,
        now: Time,
        each: bool,
        client: &Arc<Client>,
        message: &Sections<'_>,
        asked: &Properties<'_>,
    ) -> Result<Sequence, Error> {
        let options = options(message)?;
        let filters = wanted(message, &options).ok_or_else(|| wrong("the body is not a map of filters to QoS"))?;
        if filters.len() > FILTERS_MAX {
            return Err(error(AmqpError::ResourceLimitExceeded, "too many filters at once"));
        }
        let said: Vec<String> = filters.iter().map(in_full).collect();
        let context = self.context.clone();
        let outlet = self.way_out();
        let (mut after, granted) = {
            let mut worker = context.worker.borrow_mut();
            let asked = context.broker.session_subscribe(&mut worker, now, &outlet, client, filters, each);
            asked.map_err(refused)?
        };
        let first_refusal = granted.iter().find_map(|one| one.as_ref().err().cloned());
        if asked.reply_to.is_some() {
            let code = |one: &Result<Guarantee, Refusal>| match one {
                Ok(_) if first_refusal.is_some() && !each => 0x80,
                Ok(guarantee) => guarantee.level(),
                Err(refusal) => reason(refusal),
            };
            let pairs = said.iter().zip(&granted).map(|(name, one)| (name.as_str(), code(one)));
            let answer = Answer { subject: "subscribed", present: None, body: map(pairs, true) };
            after = after.max(self.answer(now, client, asked, answer)?);
        }
        if let Some(refusal) = first_refusal.filter(|_| !each) {
            return Err(refused(refusal));
        }
        if let Some(seconds) = number(message, "x-opt-mqtt-session-expiry") {
            let mut worker = context.worker.borrow_mut();
            let set = context.broker.session_expires(&mut worker, now, client, seconds).map_err(refused)?;
            after = after.max(set);
        }
        Ok(after)
    }

    fn session_unsubscribe(
        &mut self,
        now: Time,
        client: &Arc<Client>,
        message: &Sections<'_>,
        asked: &Properties<'_>,
    ) -> Result<Sequence, Error> {
        let names = unwanted(message).ok_or_else(|| wrong("the body names no filters"))?;
        let context = self.context.clone();
        let before = self.session(client)?.map(|info| info.filters).unwrap_or_default();
        let mut after = {
            let mut worker = context.worker.borrow_mut();
            context.broker.session_unsubscribe(&mut worker, client, &names).map_err(refused)?
        };
        if asked.reply_to.is_some() {
            let code = |name: &String| if before.iter().any(|(known, _)| known == name) { 0x00 } else { 0x11 };
            let pairs = names.iter().map(|name| (name.as_str(), code(name)));
            let answer = Answer { subject: "unsubscribed", present: None, body: map(pairs, true) };
            after = after.max(self.answer(now, client, asked, answer)?);
        }
        Ok(after)
    }

    /// What is known of a session of the client's, or of the mailbox of one of its links.
    pub(super) fn session(&self, client: &Client) -> Result<Option<SessionInfo>, Error> {
        self.context.broker.session(&mut self.context.worker.borrow_mut(), client).map_err(refused)
    }

    /// Whether this connection attached to a session that was not there.
    fn made_session(&self, id: &str) -> bool {
        self.links.iter().flatten().any(|(_, end)| match end {
            End::Outgoing(receiver) => receiver.made_session && receiver.mailbox() == id,
            _ => false,
        })
    }

    /// Answers where the client wants it: at its own address, or wherever it may publish.
    fn answer(
        &mut self,
        now: Time,
        client: &Arc<Client>,
        asked: &Properties<'_>,
        answer: Answer,
    ) -> Result<Sequence, Error> {
        let control = format!("$mqtt.to.{}.control", client.id);
        let to = asked.reply_to.map_or(&*control, address::node);
        let id = |id: Id<'_>| match id {
            Id::Ulong(number) => Value::Ulong(number),
            Id::Uuid(uuid) => Value::Uuid(uuid),
            Id::Binary(bytes) => Value::Binary(bytes.to_vec()),
            Id::String(text) => Value::Text(text.to_owned()),
        };
        let present = answer.present.map(|present| ("x-opt-mqtt-session-present".to_owned(), Value::Boolean(present)));
        let head = sections::Sections {
            to: Some(to.to_owned()),
            subject: Some(answer.subject.to_owned()),
            message_id: asked.message_id.map(id),
            correlation_id: asked.correlation_id.map(id),
            message_annotations: present.into_iter().collect(),
            ..Default::default()
        };
        let body = Some(sections::Body::Value(Value::Encoded(answer.body)));
        let context = self.context.clone();
        let written = Wording(context.amqp.clone()).write(&Form { head, body }, &[]);
        let encoded = written.map_err(|why| error(AmqpError::InternalError, why))?;
        if let Some(own) = services::own(to) {
            return self.answer_own(client, own, &encoded);
        }
        let publish = PublishBare {
            name: to,
            guarantee: Guarantee::AtLeastOnce,
            retain: false,
            expiry_milliseconds: None,
            bare: Bare { handover: Guarantee::AtLeastOnce, blank: false, durable: false, priority: 4 },
            origin: self.origin,
            encoded: &encoded,
        };
        let mut worker = context.worker.borrow_mut();
        // What asks is not held up by a full queue of the one who gets the answer.
        let taken = context.broker.publish_bare(&mut worker, &mut self.publisher, now, publish, None);
        if matches!(taken, crate::broker::Taken::Parked) {
            context.broker.give_up(&mut self.publisher);
        }
        Ok(0)
    }

    fn answer_own(&mut self, client: &Arc<Client>, own: Own<'_>, encoded: &[u8]) -> Result<Sequence, Error> {
        let context = self.context.clone();
        let named = self.named(own.id()).ok_or_else(|| wrong("the connection is not open"))?;
        context.broker.may_claim(&mut context.worker.borrow_mut(), &named).map_err(refused)?;
        let name = own.mailbox();
        let after = context.broker.hand(&mut context.worker.borrow_mut(), client, &name, encoded);
        // Before anything that comes later in this batch: the answer leaves ahead of what the session gets.
        let link = self.links.iter().flatten().find_map(|(link, end)| match end {
            End::Outgoing(receiver) if receiver.mailbox() == &*name => Some(*link),
            _ => None,
        });
        if link.is_some() {
            self.wire(|wire| wire.ring(link));
        }
        Ok(after)
    }
}

fn wrong(why: &str) -> Error {
    error(AmqpError::PreconditionFailed, why)
}

fn refused(refusal: Refusal) -> Error {
    words::refused(&refusal)
}

/// As a SUBACK says it (MQTT 5.0, 3.9.3).
fn reason(refusal: &Refusal) -> u8 {
    match refusal.kind {
        RefusalKind::NotAuthorized | RefusalKind::BadCredentials => 0x87,
        RefusalKind::TopicInvalid | RefusalKind::NotFound => 0x8F,
        RefusalKind::QuotaExceeded => 0x97,
        RefusalKind::NotSupported => 0x83,
        RefusalKind::NameInvalid
        | RefusalKind::PayloadInvalid
        | RefusalKind::Unavailable
        | RefusalKind::Unspecified => 0x80,
    }
}

/// A message annotation that is a number, or text that is one.
pub(super) fn number(message: &Sections<'_>, name: &str) -> Option<u32> {
    let value = message.message_annotation(name)?;
    let number = value.as_integer().or_else(|| value.as_str()?.trim().parse().ok())?;
    u32::try_from(number).ok()
}

fn truth(message: &Sections<'_>, name: &str) -> bool {
    message.message_annotation(name).and_then(|value| value.as_bool()).unwrap_or(false)
}

/// What the annotations of a request to subscribe say, for all its filters.
fn options(message: &Sections<'_>) -> Result<SubscribeOptions, Error> {
    let within = |name: &str, range: RangeInclusive<u32>, why: &str| match number(message, name) {
        Some(number) if range.contains(&number) => Ok(Some(number)),
        None if message.message_annotation(name).is_none_or(|value| value.is_null()) => Ok(None),
        _ => Err(wrong(why)),
    };
    let handling = "x-opt-mqtt-retain-handling is 0, 1 or 2";
    let identifier = "x-opt-mqtt-subscription-id is a number of 1 to 268,435,455";
    Ok(SubscribeOptions {
        no_local: truth(message, "x-opt-mqtt-no-local"),
        retain_as_published: truth(message, "x-opt-mqtt-retain-as-published"),
        retain_handling: match within("x-opt-mqtt-retain-handling", 0..=2, handling)? {
            Some(1) => RetainHandling::IfNew,
            Some(2) => RetainHandling::Never,
            _ => RetainHandling::Always,
        },
        identifier: within("x-opt-mqtt-subscription-id", 1..=268_435_455, identifier)?,
        ..Default::default()
    })
}

/// A map of filters to QoS, as a number or as text.
fn wanted(message: &Sections<'_>, options: &SubscribeOptions) -> Option<Vec<SubscribeFilter>> {
    let mut items = message.value()?.map()?;
    let mut filters = Vec::new();
    while let Some(name) = items.next() {
        let value = items.next()?;
        let level = value.as_integer().or_else(|| text(&value)?.trim().parse().ok())?;
        let guarantee = Guarantee::from_level(u8::try_from(level).ok()?)?;
        let (share, name) = share_of(text(&name)?);
        filters.push(SubscribeFilter { name: name.into(), share, options: SubscribeOptions { guarantee, ..*options } });
    }
    Some(filters)
}

/// `$share/GROUP/FILTER` taken apart (MQTT 5.0, 4.8.2). One without a group, or a filter, is an empty filter, which is refused.
fn share_of(name: &str) -> (Option<Box<str>>, &str) {
    let Some(rest) = name.strip_prefix("$share/") else { return (None, name) };
    match rest.split_once('/') {
        Some((group, filter)) if !group.is_empty() && !group.contains(['+', '#']) => (Some(group.into()), filter),
        _ => (None, ""),
    }
}

fn in_full(filter: &SubscribeFilter) -> String {
    match &filter.share {
        Some(share) => format!("$share/{share}/{}", filter.name),
        None => filter.name.to_string(),
    }
}

/// A list of filters, one filter, or the keys of a map; a sequence of those counts as a list.
fn unwanted(message: &Sections<'_>) -> Option<Vec<String>> {
    let mut names = Vec::new();
    if let Body::Sequence(parts) = message.body() {
        for part in parts {
            for item in part.list()? {
                names.push(text(&item)?.to_owned());
            }
        }
        return Some(names);
    }
    let value = message.value()?;
    if let Some(one) = text(&value) {
        return Some(vec![one.to_owned()]);
    }
    if let Some(mut keys) = value.map() {
        while let Some(key) = keys.next() {
            keys.next()?;
            names.push(text(&key)?.to_owned());
        }
        return Some(names);
    }
    for item in value.list()? {
        names.push(text(&item)?.to_owned());
    }
    Some(names)
}

fn text<'m>(value: &RawValue<'m>) -> Option<&'m str> {
    value.as_str().or_else(|| value.as_symbol())
}

/// A map of texts to numbers: as text, which the design's own gateway reads, or as ubytes.
fn map<'n>(pairs: impl Iterator<Item = (&'n str, u8)>, as_numbers: bool) -> Vec<u8> {
    let mut items = Vec::new();
    let mut count = 0;
    for (name, number) in pairs {
        string(name, &mut items);
        match as_numbers {
            true => items.extend_from_slice(&[0x50, number]),
            false => string(&number.to_string(), &mut items),
        }
        count += 2;
    }
    compound(0xD1, count, &items)
}

fn names(filters: &[(String, Guarantee)]) -> Vec<u8> {
    let mut items = Vec::new();
    filters.iter().for_each(|(name, _)| string(name, &mut items));
    compound(0xD0, u32::try_from(filters.len()).unwrap_or(u32::MAX), &items)
}

fn string(text: &str, out: &mut Vec<u8>) {
    out.push(0xB1);
    out.extend_from_slice(&u32::try_from(text.len()).unwrap_or(u32::MAX).to_be_bytes());
    out.extend_from_slice(text.as_bytes());
}

fn compound(code: u8, count: u32, items: &[u8]) -> Vec<u8> {
    let size = u32::try_from(items.len() + 4).unwrap_or(u32::MAX);
    [&[code][..], &size.to_be_bytes(), &count.to_be_bytes(), items].concat()
}
