//! Between the broker's words and the contract's. What comes from a guest is checked like what comes from a socket.

use super::bindings::exports::pliant::broker::topic_mapping::Scope as WitScope;
use super::bindings::exports::pliant::broker::will_handling::{WillParam, WillResult};
use super::bindings::pliant::broker::types as wit;
use super::limits::Limits;
use crate::client::{Client, Departure, Protocol, Scope};
use crate::message::{Envelope, Guarantee, Message, Properties, Refusal, RefusalKind, Time, Will};
use crate::topic::{Limits as TopicLimits, NameError, Topic};
use smallvec::SmallVec;

/// User properties as the bindings want them.
pub(super) type Pairs<'a> = SmallVec<[(&'a str, &'a str); 8]>;

/// Bytes of a text property or of correlation data (MQTT 5.0, 1.5.4 and 1.5.6).
const PROPERTY_BYTES_MAX: usize = 65_535;

/// When what is worthless from the start has expired: whatever thread looks at its clock, that was before.
const LONG_AGO: Time = Time(1);

/// Longer or deeper no topic can be (MQTT 5.0, 4.7.3), whatever the operator allows.
const TOPICS: TopicLimits = TopicLimits { bytes_max: 65_535, levels_max: 65_536 };

/// Bytes of a reason that is shown to a client.
const REASON_BYTES_MAX: usize = 1_024;

fn protocol(protocol: Protocol) -> wit::Protocol {
    match protocol {
        Protocol::Mqtt => wit::Protocol::Mqtt,
        Protocol::Amqp => wit::Protocol::Amqp,
        Protocol::Http => wit::Protocol::Http,
        Protocol::Module => wit::Protocol::Module,
    }
}

pub(super) fn guarantee_out(guarantee: Guarantee) -> wit::Guarantee {
    match guarantee {
        Guarantee::AtMostOnce => wit::Guarantee::AtMostOnce,
        Guarantee::AtLeastOnce => wit::Guarantee::AtLeastOnce,
        Guarantee::ExactlyOnce => wit::Guarantee::ExactlyOnce,
    }
}

fn guarantee_in(guarantee: wit::Guarantee) -> Guarantee {
    match guarantee {
        wit::Guarantee::AtMostOnce => Guarantee::AtMostOnce,
        wit::Guarantee::AtLeastOnce => Guarantee::AtLeastOnce,
        wit::Guarantee::ExactlyOnce => Guarantee::ExactlyOnce,
    }
}

pub(super) fn departure(departure: Departure) -> wit::Departure {
    match departure {
        Departure::Clean => wit::Departure::Farewell,
        Departure::ConnectionLost => wit::Departure::ConnectionLost,
        Departure::KeepAliveExpired => wit::Departure::KeepAliveExpired,
        Departure::ProtocolViolation => wit::Departure::ProtocolViolation,
        Departure::OnRequest => wit::Departure::OnRequest,
        Departure::TakenOver => wit::Departure::TakenOver,
        Departure::ClosedByBroker => wit::Departure::ClosedByBroker,
        Departure::BrokerDown => wit::Departure::BrokerDown,
    }
}

pub(super) fn refusal(refusal: wit::Refusal) -> Refusal {
    let kind = match refusal.kind {
        wit::RefusalKind::NotAuthorized => RefusalKind::NotAuthorized,
        wit::RefusalKind::TopicInvalid => RefusalKind::TopicInvalid,
        wit::RefusalKind::PayloadInvalid => RefusalKind::PayloadInvalid,
        wit::RefusalKind::QuotaExceeded => RefusalKind::QuotaExceeded,
        wit::RefusalKind::NotSupported => RefusalKind::NotSupported,
        wit::RefusalKind::Unspecified => RefusalKind::Unspecified,
    };
    let mut reason = refusal.reason;
    reason.truncate(reason.floor_char_boundary(REASON_BYTES_MAX));
    Refusal { kind, reason }
}

pub(super) fn client(client: &Client) -> wit::Client<'_> {
    wit::Client {
        id: client.known_as(),
        identity: client.scope.identity.as_deref(),
        protocol: protocol(client.scope.protocol),
        listener: &client.scope.listener,
        peer: &client.peer,
    }
}

pub(super) fn scope(scope: &Scope) -> WitScope<'_> {
    WitScope { listener: &scope.listener, protocol: protocol(scope.protocol), identity: scope.identity.as_deref() }
}

/// The user properties of an envelope, for [`envelope`].
pub(super) fn pairs(envelope: &Envelope) -> Pairs<'_> {
    let properties = envelope.properties.as_deref();
    properties.map_or(&[][..], |properties| &properties.user).iter().map(|(name, value)| (&**name, &**value)).collect()
}

/// `now` is asked only where the message can expire.
pub(super) fn envelope<'a>(
    message: &'a Message,
    pairs: &'a [(&'a str, &'a str)],
    now: impl Fn() -> Time,
) -> wit::EnvelopeParam<'a> {
    let envelope = message.envelope();
    let properties = envelope.properties.as_deref();
    wit::EnvelopeParam {
        topic: envelope.topic.as_str(),
        guarantee: guarantee_out(envelope.guarantee),
        retain: envelope.retain,
        expiry_seconds: envelope.expires.and_then(|_| message.expiry_seconds(now())),
        content_type: properties.and_then(|properties| properties.content_type.as_deref()),
        payload_is_text: properties.is_some_and(|properties| properties.payload_is_text == Some(true)),
        response_topic: properties.and_then(|properties| properties.response_topic.as_deref()),
        correlation_data: properties.and_then(|properties| properties.correlation_data.as_deref()),
        user_properties: pairs,
    }
}

pub(super) fn will<'a>(will: &'a Will, pairs: &'a [(&'a str, &'a str)], now: impl Fn() -> Time) -> WillParam<'a> {
    let message = wit::MessageParam { envelope: envelope(&will.message, pairs, now), payload: will.message.payload() };
    WillParam { message, delay_seconds: will.delay_seconds }
}

/// A copy that the guest may keep, for the answer of an import.
pub(super) fn message_out(message: &Message, now: Time) -> wit::MessageResult {
    let envelope = message.envelope();
    let properties = envelope.properties.as_deref().cloned().unwrap_or_default();
    let user = properties.user.into_iter().map(|(name, value)| (name.into_string(), value.into_string()));
    let envelope = wit::EnvelopeResult {
        topic: envelope.topic.as_str().to_owned(),
        guarantee: guarantee_out(envelope.guarantee),
        retain: envelope.retain,
        expiry_seconds: message.expiry_seconds(now),
        content_type: properties.content_type.map(Into::into),
        payload_is_text: properties.payload_is_text == Some(true),
        response_topic: properties.response_topic.map(Into::into),
        correlation_data: properties.correlation_data.map(Into::into),
        user_properties: user.collect(),
    };
    wit::MessageResult { envelope, payload: message.payload().to_vec() }
}

/// What becomes of envelopes and messages that a guest returned.
pub(super) struct Incoming<'a> {
    pub(super) limits: &'a Limits,
    pub(super) now: Time,
    /// The message that the call was about: what is said again of its expiry stays exact.
    pub(super) about: Option<&'a Message>,
    pub(super) hops: u8,
}

impl Incoming<'_> {
    pub(super) fn envelope(&self, envelope: wit::EnvelopeResult) -> Result<Envelope, String> {
        self.envelope_within(&self.limits.topics, envelope)
    }

    fn envelope_within(&self, topics: &TopicLimits, mut envelope: wit::EnvelopeResult) -> Result<Envelope, String> {
        let topic = Topic::new(&envelope.topic, topics)
            .map_err(|error| format!("topic {:?}: {error}", shortened(&envelope.topic)))?;
        match envelope.response_topic.as_ref().map(|name| Topic::new(name, &self.limits.topics)) {
            None | Some(Ok(_)) => {}
            // Nobody could answer there. How long it is may be a client's choice, which is not to make the module fail.
            Some(Err(NameError::TooLong | NameError::TooDeep)) => envelope.response_topic = None,
            Some(Err(error)) => return Err(format!("response topic: {error}")),
        }
        let properties = Properties {
            content_type: envelope.content_type.map(|text| boxed("content type", text)).transpose()?,
            payload_is_text: self.text_or_bytes(envelope.payload_is_text),
            response_topic: envelope.response_topic.map(String::into_boxed_str),
            correlation_data: envelope.correlation_data.map(correlation).transpose()?,
            user: envelope
                .user_properties
                .into_iter()
                .map(|(name, value)| Ok((boxed("user property", name)?, boxed("user property", value)?)))
                .collect::<Result<_, String>>()?,
        };
        let expires = match (envelope.expiry_seconds, self.about) {
            (None, _) => None,
            (Some(left), Some(about)) if about.expiry_seconds(self.now) == Some(left) => about.envelope().expires,
            (Some(0), _) => Some(LONG_AGO),
            (Some(left), _) => Some(self.now.plus_seconds(left)),
        };
        Ok(Envelope {
            topic,
            guarantee: guarantee_in(envelope.guarantee),
            retain: envelope.retain,
            expires,
            properties: (!properties.is_empty()).then(|| Box::new(properties)),
            hops: self.hops,
        })
    }

    /// The contract knows text and the rest; whoever declared bytes stays told so.
    fn text_or_bytes(&self, text: bool) -> Option<bool> {
        let said = || self.about?.envelope().properties.as_ref()?.payload_is_text;
        if text { Some(true) } else { said().filter(|text| !text) }
    }

    /// `left` is how many bytes the answer may still have.
    pub(super) fn message(
        &self,
        message: wit::MessageResult,
        publisher: u64,
        left: &mut usize,
    ) -> Result<Message, String> {
        self.message_within(&self.limits.topics, message, publisher, left)
    }

    fn message_within(
        &self,
        topics: &TopicLimits,
        message: wit::MessageResult,
        publisher: u64,
        left: &mut usize,
    ) -> Result<Message, String> {
        let envelope = self.envelope_within(topics, message.envelope)?;
        let properties = envelope.properties.as_ref().map_or(0, |properties| properties.size());
        let size = message.payload.len() + envelope.topic.as_str().len() + properties;
        *left = left.checked_sub(size).ok_or("more bytes of messages than a module may return")?;
        Ok(Message::new(envelope, publisher, &message.payload))
    }

    pub(super) fn messages(&self, messages: Vec<wit::MessageResult>, left: &mut usize) -> Result<Vec<Message>, String> {
        self.messages_within(&self.limits.topics, messages, left)
    }

    /// Messages that come true one by one: of a topic that is past the operator's bounds the caller makes an unmet wish
    /// ([`super::hooks::Wish::within_bounds`]).
    pub(super) fn wishes(&self, messages: Vec<wit::MessageResult>, left: &mut usize) -> Result<Vec<Message>, String> {
        self.messages_within(&TOPICS, messages, left)
    }

    fn messages_within(
        &self,
        topics: &TopicLimits,
        messages: Vec<wit::MessageResult>,
        left: &mut usize,
    ) -> Result<Vec<Message>, String> {
        if messages.len() > self.limits.wishes_max {
            return Err(format!("{} messages, {} are allowed", messages.len(), self.limits.wishes_max));
        }
        messages.into_iter().map(|message| self.message_within(topics, message, 0, left)).collect()
    }

    pub(super) fn will(&self, will: WillResult, publisher: u64) -> Result<Will, String> {
        let mut left = self.limits.wish_bytes_max;
        let message = self.message(will.message, publisher, &mut left)?;
        Ok(Will { message, delay_seconds: will.delay_seconds })
    }
}

fn boxed(what: &str, text: String) -> Result<Box<str>, String> {
    if text.len() > PROPERTY_BYTES_MAX {
        return Err(format!("a {what} of {} bytes", text.len()));
    }
    if text.contains('\0') {
        return Err(format!("a {what} with U+0000"));
    }
    Ok(text.into_boxed_str())
}

fn correlation(data: Vec<u8>) -> Result<Box<[u8]>, String> {
    if data.len() > PROPERTY_BYTES_MAX {
        return Err(format!("correlation data of {} bytes", data.len()));
    }
    Ok(data.into_boxed_slice())
}

/// Enough of a text to recognise it in a log line.
pub(super) fn shortened(text: &str) -> &str {
    &text[..text.floor_char_boundary(80)]
}
