//! How examples are written, in JSON or anything that reads as the same (the command line reads TOML, too).

use super::amqp::ExampleSections;
use crate::client::{Client, Protocol, Scope};
use crate::message::{Envelope, Guarantee, Message, Properties, Time};
use crate::topic::{Limits, Topic};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;
use std::collections::BTreeMap;

/// A file of examples.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Examples {
    /// The configuration of those that have none of their own; none: that of the deployment, or `{}`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub config: Option<Json>,
    /// In the order in which they are run; they do not see each other.
    #[serde(rename = "example", alias = "examples")]
    pub examples: Vec<Example>,
}

/// One call of one function of a module.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Example {
    /// For people; empty: its place in the file.
    #[serde(default)]
    pub name: String,
    /// Interface and function, such as `routing.on-publish`; the function may be left out where an interface has one.
    pub hook: String,
    /// The module's configuration.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub config: Option<Json>,
    /// Milliseconds since 1970 that the module's clock shows. Default 0.
    #[serde(default)]
    pub clock: u64,
    /// What the module keeps beforehand, as text.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub state: BTreeMap<String, String>,
    /// What is retained.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub retained: Vec<ExampleMessage>,
    /// What servers outside answer. Their hosts are granted, and nobody else is there.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub http: Vec<ExampleAnswer>,
    /// Publisher, subscriber or owner of a will.
    #[serde(default)]
    pub client: ExampleClient,
    /// The message or will at hand.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<ExampleMessage>,
    /// The message at hand of `translation.from-amqp`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub amqp: Option<ExampleSections>,
    /// The name, filter or topic at hand, for functions that are given just that. Of `translation.to-amqp`: the name that the
    /// receiver is shown, if not the topic; of `translation.from-amqp`: the broker's topic for the address.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub topic: String,
    /// Of `retain-policy.on-subscribe`.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub matching: u64,
    /// How the client went: `connection-lost` and so on. Default `connection-lost`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub departure: Option<String>,
    /// Of a will.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delay_seconds: Option<u32>,
    /// Of `access.authenticate`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub username: Option<String>,
    /// Of `access.authenticate`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub password: Option<String>,
    /// Of `access.authenticate`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub certificate_subject: Option<String>,
    /// Of `access.authorize`: `publish`, `subscribe` or `receive`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub action: Option<String>,
    /// Of `events.on-events`: `connected`, `disconnected`, `subscribed`, `unsubscribed` (about `client` and `topic`), or one
    /// of the losses of `message`: `unroutable`, `expired`, `queue-full`, `rejected`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub event: Option<String>,
    /// What the decision must contain: each field that is written here, and nothing is said of the others.
    #[serde(default)]
    pub expect: Json,
}

fn is_zero(number: &u64) -> bool {
    *number == 0
}

/// A server's answer in an example.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ExampleAnswer {
    /// The whole URL of the request.
    pub url: String,
    /// Such as 200.
    pub status: u16,
    /// As text.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub body: String,
}

/// A client in an example.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[expect(missing_docs, reason = "as in `types.wit`")]
pub struct ExampleClient {
    pub id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub identity: Option<String>,
    pub protocol: String,
    pub listener: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub peer: String,
}

impl Default for ExampleClient {
    fn default() -> Self {
        Self {
            id: "client".into(),
            identity: None,
            protocol: "mqtt".into(),
            listener: "mqtt".into(),
            peer: String::new(),
        }
    }
}

impl ExampleClient {
    /// A client as an example would have it.
    pub fn of(client: &Client) -> Self {
        let protocol = match client.scope.protocol {
            Protocol::Mqtt => "mqtt",
            Protocol::Amqp => "amqp",
            Protocol::Http => "http",
            Protocol::Module => "module",
        };
        Self {
            id: client.known_as().into(),
            identity: client.scope.identity.as_deref().map(str::to_owned),
            protocol: protocol.into(),
            listener: (*client.scope.listener).into(),
            peer: String::new(),
        }
    }

    pub(super) fn client(&self) -> Result<Client, String> {
        let protocol = match self.protocol.as_str() {
            "mqtt" => Protocol::Mqtt,
            "amqp" => Protocol::Amqp,
            "http" => Protocol::Http,
            "module" => Protocol::Module,
            other => return Err(format!("client.protocol: `{other}` is none of mqtt, amqp, http, module")),
        };
        let identity = self.identity.as_deref().map(Into::into);
        let scope = Scope { listener: self.listener.as_str().into(), protocol, identity }.into();
        Ok(Client { id: self.id.as_str().into(), container: None, scope, peer: self.peer.as_str().into() })
    }
}

/// A message in an example. Text where the payload is text, base64 where it is not.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[expect(missing_docs, reason = "as in `types.wit`")]
pub struct ExampleMessage {
    pub topic: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub payload: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub payload_base64: Option<String>,
    pub qos: u8,
    pub retain: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expiry_seconds: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub content_type: Option<String>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub payload_is_text: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub response_topic: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub correlation_data_base64: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub user_properties: Vec<(String, String)>,
}

impl ExampleMessage {
    /// A message as an example would have it.
    pub fn of(message: &Message, now: Time) -> Self {
        let envelope = message.envelope();
        let properties = envelope.properties.as_deref().cloned().unwrap_or_default();
        let text = std::str::from_utf8(message.payload()).map(str::to_owned).ok();
        Self {
            topic: envelope.topic.to_string(),
            payload_base64: text.is_none().then(|| STANDARD.encode(message.payload())),
            payload: text,
            qos: envelope.guarantee.level(),
            retain: envelope.retain,
            expiry_seconds: message.expiry_seconds(now),
            content_type: properties.content_type.map(Into::into),
            payload_is_text: properties.payload_is_text == Some(true),
            response_topic: properties.response_topic.map(Into::into),
            correlation_data_base64: properties.correlation_data.map(|data| STANDARD.encode(data)),
            user_properties: properties.user.into_iter().map(|(name, value)| (name.into(), value.into())).collect(),
        }
    }

    pub(super) fn message(&self, now: Time, limits: &Limits) -> Result<Message, String> {
        let topic = Topic::new(&self.topic, limits).map_err(|error| format!("message.topic: {error}"))?;
        let guarantee = Guarantee::from_level(self.qos).ok_or("message.qos: 0, 1 or 2")?;
        let decoded = |text: &String| STANDARD.decode(text).map_err(|error| format!("base64: {error}"));
        let payload = match (&self.payload, &self.payload_base64) {
            (Some(_), Some(_)) => return Err("message: payload and payload_base64 exclude each other".to_owned()),
            (Some(text), None) => text.clone().into_bytes(),
            (None, Some(text)) => decoded(text)?,
            (None, None) => Vec::new(),
        };
        let boxed = |text: &Option<String>| text.as_deref().map(Box::from);
        let properties = Properties {
            content_type: boxed(&self.content_type),
            payload_is_text: self.payload_is_text.then_some(true),
            response_topic: boxed(&self.response_topic),
            correlation_data: self.correlation_data_base64.as_ref().map(decoded).transpose()?.map(Into::into),
            user: self.user_properties.iter().map(|(n, v)| (n.as_str().into(), v.as_str().into())).collect(),
        };
        let envelope = Envelope {
            topic,
            guarantee,
            retain: self.retain,
            expires: self.expiry_seconds.map(|seconds| now.plus_seconds(seconds)),
            properties: (!properties.is_empty()).then(|| Box::new(properties)),
            hops: 0,
        };
        Ok(Message::new(envelope, 0, &payload))
    }
}
