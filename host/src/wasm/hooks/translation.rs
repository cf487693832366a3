//! `translation`: what a message becomes where it crosses between AMQP and the rest.

use super::super::bindings::exports::pliant::broker::translation as wit;
use super::super::chain::{Chain, OnFailure};
use super::super::fault;
use super::super::instance::Payload;
use super::super::meter::Hook;
use super::super::pool::{Ask, Guests};
use super::super::translate::{self, Incoming};
use crate::message::{Envelope, Message, Refusal};
use crate::sections::{Body, Form, Sections, Value};
use wasmtime::component::Resource;

/// Name and value as the bindings want them.
type Pairs<'a> = Vec<(&'a str, wit::AmqpValueParam<'a>)>;

impl Chain {
    /// Whether any module translates. If not, the two functions below answer none, and a message cannot cross.
    pub fn wants_translation(&self) -> bool {
        self.translation.is_some()
    }

    /// What an AMQP receiver gets for a message that did not come by AMQP; none: no module translates. `name` is the topic
    /// as the receiver is shown it. A refusal gives the message up for AMQP receivers; a failure is one whatever the policy.
    /// The answer depends on the arguments alone and may be remembered, but not one during which [`Guests::failures`]
    /// changed.
    pub fn to_amqp(&self, guests: &mut Guests, name: &str, message: &Message) -> Result<Option<Form>, Refusal> {
        let Some(link) = &self.translation else { return Ok(None) };
        let pairs = translate::pairs(message.envelope());
        let ask = Ask { chain: self, link, hook: Hook::ToAmqp, message: Some(message), about: name };
        let answer = guests.ask(
            &ask,
            |inner, exports, store| match &exports.translation {
                Some(guest) => {
                    let mut envelope = translate::envelope(message, &pairs, || (inner.clock)());
                    envelope.topic = name;
                    guest.call_to_amqp(store, envelope, Resource::<Payload>::new_borrow(0)).map(Some)
                }
                None => Ok(None),
            },
            |inner, answer| match answer {
                None => Ok(Ok(None)),
                Some(Ok(form)) => {
                    let mut left = inner.limits.wish_bytes_max;
                    let given = sections_in(form.head, &mut left)?;
                    // What these say is the broker's: the message's own time, and what befalls one delivery.
                    let head = Sections {
                        ttl: message.envelope().expires.map(|at| at.milliseconds_from((inner.clock)())),
                        delivery_count: 0,
                        delivery_annotations: Vec::new(),
                        ..given
                    };
                    let body = form.body.map(|body| body_in(body, &mut left)).transpose()?;
                    Ok(Ok(Some(Form { head, body })))
                }
                Some(Err(refusal)) => Ok(Err(translate::refusal(refusal))),
            },
            |answer| match answer {
                Ok(Some(form)) => in_words(form, message),
                Ok(None) => "none".to_owned(),
                Err(refusal) => format!("refuse: {}", refusal.reason),
            },
        );
        answer.unwrap_or_else(|| Err(fault::refusal()))
    }

    /// What everybody else gets for a message that came by AMQP: envelope and payload; none: no module translates, or it
    /// failed and its binding says to go on without it. `topic` is the broker's topic of the address it was sent to.
    pub fn from_amqp(
        &self,
        guests: &mut Guests,
        topic: &str,
        sections: &Sections,
    ) -> Result<Option<(Envelope, Vec<u8>)>, Refusal> {
        let Some(link) = &self.translation else { return Ok(None) };
        let lists = Lists::new(sections);
        let ask = Ask { chain: self, link, hook: Hook::FromAmqp, message: None, about: topic };
        let answer = guests.ask(
            &ask,
            |_, exports, store| match &exports.translation {
                Some(guest) => guest.call_from_amqp(store, topic, lists.message(sections)).map(Some),
                None => Ok(None),
            },
            |inner, answer| match answer {
                None => Ok(Ok(None)),
                Some(Ok((envelope, payload))) => {
                    let incoming = Incoming { limits: &inner.limits, now: (inner.clock)(), about: None, hops: 0 };
                    Ok(Ok(Some((incoming.envelope(envelope)?, payload))))
                }
                Some(Err(refusal)) => Ok(Err(translate::refusal(refusal))),
            },
            |answer| match answer {
                Ok(Some((envelope, payload))) => format!("{:?} with {} bytes", envelope.topic, payload.len()),
                Ok(None) => "none".to_owned(),
                Err(refusal) => format!("refuse: {}", refusal.reason),
            },
        );
        match answer {
            Some(answer) => answer,
            None if link.on_failure == OnFailure::Bypass => Ok(None),
            None => Err(fault::refusal()),
        }
    }
}

/// What a receiver gets, for people.
fn in_words(form: &Form, message: &Message) -> String {
    let head = &form.head;
    let body = match &form.body {
        None => format!("{} bytes of data", message.payload().len()),
        Some(Body::Data(bytes)) => format!("{} bytes of data", bytes.len()),
        Some(Body::Value(Value::Text(text))) => format!("a text of {} bytes", text.len()),
        Some(Body::Value(_)) => "a value".to_owned(),
        Some(Body::Sequence(lists)) => format!("{} sequences", lists.len()),
    };
    let named = |what: &str, text: &Option<String>| text.as_ref().map(|text| format!(", {what} {text:?}"));
    let durable = if head.durable { ", durable" } else { "" };
    let of =
        [named("subject", &head.subject), named("content type", &head.content_type), named("reply to", &head.reply_to)];
    let of: String = of.into_iter().flatten().collect();
    let counts =
        [("message annotations", &head.message_annotations), ("application properties", &head.application_properties)];
    let counts = counts.into_iter().filter(|(_, pairs)| !pairs.is_empty());
    let counts: String = counts.map(|(what, pairs)| format!(", {what}: {}", pairs.len())).collect();
    format!("to {:?}: {body}{durable}{of}{counts}", head.to.as_deref().unwrap_or_default())
}

/// The lists of a message in the shape that the bindings borrow.
struct Lists<'a> {
    delivery_annotations: Pairs<'a>,
    message_annotations: Pairs<'a>,
    application_properties: Pairs<'a>,
    footer: Pairs<'a>,
    sequence: Vec<&'a [u8]>,
}

impl<'a> Lists<'a> {
    fn new(sections: &'a Sections) -> Self {
        let pairs = |pairs: &'a [(String, Value)]| {
            pairs.iter().map(|(name, value)| (name.as_str(), value_out(value))).collect::<Pairs<'a>>()
        };
        Self {
            delivery_annotations: pairs(&sections.delivery_annotations),
            message_annotations: pairs(&sections.message_annotations),
            application_properties: pairs(&sections.application_properties),
            footer: pairs(&sections.footer),
            sequence: match &sections.body {
                Body::Sequence(lists) => lists.iter().map(Vec::as_slice).collect(),
                Body::Data(_) | Body::Value(_) => Vec::new(),
            },
        }
    }

    fn message(&'a self, sections: &'a Sections) -> wit::AmqpMessageParam<'a> {
        wit::AmqpMessageParam {
            durable: sections.durable,
            priority: sections.priority,
            ttl: sections.ttl,
            delivery_count: sections.delivery_count,
            delivery_annotations: &self.delivery_annotations,
            message_annotations: &self.message_annotations,
            message_id: sections.message_id.as_ref().map(value_out),
            user_id: sections.user_id.as_deref(),
            to: sections.to.as_deref(),
            subject: sections.subject.as_deref(),
            reply_to: sections.reply_to.as_deref(),
            correlation_id: sections.correlation_id.as_ref().map(value_out),
            content_type: sections.content_type.as_deref(),
            content_encoding: sections.content_encoding.as_deref(),
            absolute_expiry_time: sections.absolute_expiry_time,
            creation_time: sections.creation_time,
            group_id: sections.group_id.as_deref(),
            group_sequence: sections.group_sequence,
            reply_to_group_id: sections.reply_to_group_id.as_deref(),
            application_properties: &self.application_properties,
            body: match &sections.body {
                Body::Data(bytes) => wit::AmqpBodyParam::Data(bytes),
                Body::Value(value) => wit::AmqpBodyParam::Value(value_out(value)),
                Body::Sequence(_) => wit::AmqpBodyParam::Sequence(&self.sequence),
            },
            footer: &self.footer,
        }
    }
}

fn value_out(value: &Value) -> wit::AmqpValueParam<'_> {
    use wit::AmqpValueParam as Out;
    match value {
        Value::Null => Out::Null,
        Value::Boolean(value) => Out::Boolean(*value),
        Value::Ubyte(value) => Out::Ubyte(*value),
        Value::Ushort(value) => Out::Ushort(*value),
        Value::Uint(value) => Out::Uint(*value),
        Value::Ulong(value) => Out::Ulong(*value),
        Value::Byte(value) => Out::Byte(*value),
        Value::Short(value) => Out::Short(*value),
        Value::Int(value) => Out::Int(*value),
        Value::Long(value) => Out::Long(*value),
        Value::Float(value) => Out::Float(*value),
        Value::Double(value) => Out::Double(*value),
        Value::Char(value) => Out::Character(*value),
        Value::Timestamp(value) => Out::Timestamp(*value),
        Value::Uuid(bytes) => Out::Uuid(bytes),
        Value::Binary(bytes) => Out::Binary(bytes),
        Value::Text(text) => Out::Text(text),
        Value::Symbol(text) => Out::Symbol(text),
        Value::Encoded(bytes) => Out::Encoded(bytes),
    }
}

/// Takes so many bytes off what an answer may still have.
fn take(left: &mut usize, bytes: usize) -> Result<(), String> {
    *left = left.checked_sub(bytes).ok_or("more bytes of a message than a module may return")?;
    Ok(())
}

fn value_in(value: wit::AmqpValueResult, left: &mut usize) -> Result<Value, String> {
    use wit::AmqpValueResult as In;
    Ok(match value {
        In::Null => Value::Null,
        In::Boolean(value) => Value::Boolean(value),
        In::Ubyte(value) => Value::Ubyte(value),
        In::Ushort(value) => Value::Ushort(value),
        In::Uint(value) => Value::Uint(value),
        In::Ulong(value) => Value::Ulong(value),
        In::Byte(value) => Value::Byte(value),
        In::Short(value) => Value::Short(value),
        In::Int(value) => Value::Int(value),
        In::Long(value) => Value::Long(value),
        In::Float(value) => Value::Float(value),
        In::Double(value) => Value::Double(value),
        In::Character(value) => Value::Char(value),
        In::Timestamp(value) => Value::Timestamp(value),
        In::Uuid(bytes) => {
            Value::Uuid(bytes.try_into().map_err(|bytes: Vec<u8>| format!("a UUID of {} bytes", bytes.len()))?)
        }
        In::Binary(bytes) => {
            take(left, bytes.len())?;
            Value::Binary(bytes)
        }
        In::Text(text) => {
            take(left, text.len())?;
            Value::Text(text)
        }
        In::Symbol(text) if !text.is_ascii() => return Err("a symbol that is not ASCII".to_owned()),
        In::Symbol(text) => {
            take(left, text.len())?;
            Value::Symbol(text)
        }
        In::Encoded(bytes) => {
            take(left, bytes.len())?;
            Value::Encoded(bytes)
        }
    })
}

fn body_in(body: wit::AmqpBodyResult, left: &mut usize) -> Result<Body, String> {
    Ok(match body {
        wit::AmqpBodyResult::Data(bytes) => {
            take(left, bytes.len())?;
            Body::Data(bytes)
        }
        wit::AmqpBodyResult::Value(value) => Body::Value(value_in(value, left)?),
        wit::AmqpBodyResult::Sequence(lists) => {
            take(left, lists.iter().map(Vec::len).sum())?;
            Body::Sequence(lists)
        }
    })
}

fn sections_in(message: wit::AmqpMessageResult, left: &mut usize) -> Result<Sections, String> {
    let texts = [&message.to, &message.subject, &message.reply_to, &message.content_type, &message.content_encoding];
    let texts = texts.into_iter().chain([&message.group_id, &message.reply_to_group_id]);
    take(left, texts.flatten().map(String::len).sum())?;
    take(left, message.user_id.as_ref().map_or(0, Vec::len))?;
    let mut pairs = |pairs: Vec<(String, wit::AmqpValueResult)>| {
        let one = |(name, value): (String, wit::AmqpValueResult)| {
            take(left, name.len())?;
            Ok((name, value_in(value, left)?))
        };
        pairs.into_iter().map(one).collect::<Result<Vec<_>, String>>()
    };
    Ok(Sections {
        durable: message.durable,
        priority: message.priority,
        ttl: message.ttl,
        delivery_count: message.delivery_count,
        delivery_annotations: pairs(message.delivery_annotations)?,
        message_annotations: pairs(message.message_annotations)?,
        application_properties: pairs(message.application_properties)?,
        footer: pairs(message.footer)?,
        message_id: message.message_id.map(|value| value_in(value, left)).transpose()?,
        user_id: message.user_id,
        to: message.to,
        subject: message.subject,
        reply_to: message.reply_to,
        correlation_id: message.correlation_id.map(|value| value_in(value, left)).transpose()?,
        content_type: message.content_type,
        content_encoding: message.content_encoding,
        absolute_expiry_time: message.absolute_expiry_time,
        creation_time: message.creation_time,
        group_id: message.group_id,
        group_sequence: message.group_sequence,
        reply_to_group_id: message.reply_to_group_id,
        body: Body::default(),
    })
}
