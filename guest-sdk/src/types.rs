//! The words every hook uses, with the constructors that make them pleasant.

use alloc::{string::String, vec::Vec};

pub use crate::payload::Payload;
pub use crate::worlds::every_module::pliant::broker::types::{
    Client, Departure, Envelope, Guarantee, Message, Protocol, Refusal, RefusalKind,
};

impl Envelope {
    /// An envelope with nothing but a topic: at most once, not retained, no expiry, no properties.
    pub fn new(topic: impl Into<String>) -> Self {
        Envelope {
            topic: topic.into(),
            guarantee: Guarantee::AtMostOnce,
            retain: false,
            expiry_seconds: None,
            content_type: None,
            payload_is_text: false,
            response_topic: None,
            correlation_data: None,
            user_properties: Vec::new(),
        }
    }

    /// The same with another guarantee.
    #[must_use]
    pub fn guarantee(mut self, guarantee: Guarantee) -> Self {
        self.guarantee = guarantee;
        self
    }

    /// The same, flagged to be retained.
    #[must_use]
    pub fn retained(mut self) -> Self {
        self.retain = true;
        self
    }

    /// The same with one more user property.
    #[must_use]
    pub fn property(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.user_properties.push((name.into(), value.into()));
        self
    }

    /// The value of the first user property of this name.
    pub fn user_property(&self, name: &str) -> Option<&str> {
        self.user_properties.iter().find(|(n, _)| n == name).map(|(_, value)| value.as_str())
    }
}

impl Message {
    /// A message with nothing but a topic and a payload; see [`Envelope::new`].
    pub fn new(topic: impl Into<String>, payload: impl Into<Vec<u8>>) -> Self {
        Message { envelope: Envelope::new(topic), payload: payload.into() }
    }

    /// The same with another guarantee.
    #[must_use]
    pub fn guarantee(mut self, guarantee: Guarantee) -> Self {
        self.envelope.guarantee = guarantee;
        self
    }

    /// The same, flagged to be retained.
    #[must_use]
    pub fn retained(mut self) -> Self {
        self.envelope.retain = true;
        self
    }

    /// The same with one more user property.
    #[must_use]
    pub fn property(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.envelope = self.envelope.property(name, value);
        self
    }
}

impl Protocol {
    /// The name that configurations use: `mqtt`, `amqp`, `http`, `module`.
    pub fn name(self) -> &'static str {
        match self {
            Protocol::Mqtt => "mqtt",
            Protocol::Amqp => "amqp",
            Protocol::Http => "http",
            Protocol::Module => "module",
        }
    }

    /// The protocol of a name, as [`Protocol::name`] has it.
    pub fn from_name(name: &str) -> Option<Self> {
        [Protocol::Mqtt, Protocol::Amqp, Protocol::Http, Protocol::Module]
            .into_iter()
            .find(|protocol| protocol.name() == name)
    }
}

impl Departure {
    /// A short name for people and user properties, such as `connection-lost`.
    pub fn name(self) -> &'static str {
        match self {
            Departure::Farewell => "farewell",
            Departure::ConnectionLost => "connection-lost",
            Departure::KeepAliveExpired => "keep-alive-expired",
            Departure::ProtocolViolation => "protocol-violation",
            Departure::OnRequest => "on-request",
            Departure::TakenOver => "taken-over",
            Departure::ClosedByBroker => "closed-by-broker",
            Departure::BrokerDown => "broker-down",
        }
    }
}

impl Refusal {
    /// A refusal of this kind; the client sees the reason where its protocol has a place for it.
    pub fn new(kind: RefusalKind, reason: impl Into<String>) -> Self {
        Refusal { kind, reason: reason.into() }
    }

    /// The client may not do this.
    pub fn not_authorized(reason: impl Into<String>) -> Self {
        Refusal::new(RefusalKind::NotAuthorized, reason)
    }

    /// The topic or filter will not do.
    pub fn topic_invalid(reason: impl Into<String>) -> Self {
        Refusal::new(RefusalKind::TopicInvalid, reason)
    }

    /// The payload will not do.
    pub fn payload_invalid(reason: impl Into<String>) -> Self {
        Refusal::new(RefusalKind::PayloadInvalid, reason)
    }

    /// The client has used up what it may.
    pub fn quota_exceeded(reason: impl Into<String>) -> Self {
        Refusal::new(RefusalKind::QuotaExceeded, reason)
    }

    /// The module does not do this.
    pub fn not_supported(reason: impl Into<String>) -> Self {
        Refusal::new(RefusalKind::NotSupported, reason)
    }
}

/// A reason and no more: [`RefusalKind::Unspecified`]. Lets `?` turn a message into a refusal.
impl From<String> for Refusal {
    fn from(reason: String) -> Self {
        Refusal::new(RefusalKind::Unspecified, reason)
    }
}

/// A reason and no more: [`RefusalKind::Unspecified`].
impl From<&str> for Refusal {
    fn from(reason: &str) -> Self {
        Refusal::new(RefusalKind::Unspecified, reason)
    }
}
