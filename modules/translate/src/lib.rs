//! Turns a message that crosses between MQTT and AMQP 1.0 into one of the other protocol.
//!
//! Called once a message and direction; what stays within a protocol never comes here. It has no configuration.
//!
//! | MQTT | AMQP 1.0 | and back |
//! |---|---|---|
//! | topic | `to` | the address it was sent to |
//! | QoS | `x-opt-mqtt-qos`, `durable` where it is above 0 | the same, else `durable` |
//! | retain | `x-opt-retain-message` | the same |
//! | message expiry | `ttl` | `ttl` |
//! | content type | `content-type`, if ASCII | the same |
//! | payload format 1 | `x-opt-mqtt-payload-format` = 1 | the same, or a body that is one string |
//! | response topic | `reply-to` | the same, if it is a topic name |
//! | correlation data | `correlation-id`: a UUID if it is a `urn:uuid:`, else binary | binary, string and number as bytes, a UUID as `urn:uuid:` |
//! | user properties | `application-properties`; if a name repeats also all of them, in order, in `x-opt-mqtt-user-properties` | the latter, else what is text, number, truth or time |
//! | payload | one data section | bytes, strings; any other body as AMQP encodes it, with the content type `message/vnd.rabbitmq.amqp` |
//!
//! What has no form on the other side is left out: `message-id`, `user-id`, `subject`, groups, `content-encoding`.
#![cfg_attr(target_family = "wasm", no_std)]

mod encode;
mod from_amqp;
mod to_amqp;

#[cfg(test)]
mod tests;

use pliant_guest::prelude::*;

/// Annotation: QoS.
pub(crate) const QOS: &str = "x-opt-mqtt-qos";
/// Annotation: retain.
pub(crate) const RETAIN: &str = "x-opt-retain-message";
/// Annotation: payload format.
pub(crate) const FORMAT: &str = "x-opt-mqtt-payload-format";
/// Annotation: all user properties in order, names and values in turn.
pub(crate) const USER_PROPERTIES: &str = "x-opt-mqtt-user-properties";
/// Content type of bodies that only AMQP knows.
pub(crate) const ENCODED: &str = "message/vnd.rabbitmq.amqp";

/// See the head of this file.
#[derive(Debug)]
pub struct Translate;

impl Module for Translate {
    type Config = NoConfig;

    fn new(_: NoConfig) -> Result<Self, Refusal> {
        Ok(Self)
    }
}

impl Translation for Translate {
    fn to_amqp(&self, envelope: &Envelope, _: &Payload) -> Result<AmqpForm, Refusal> {
        Ok(to_amqp::form(envelope))
    }

    fn from_amqp(&self, topic: &str, message: AmqpMessage) -> Result<(Envelope, Vec<u8>), Refusal> {
        Ok(from_amqp::message(topic, message))
    }
}

pliant_guest::export!(Translate with translation);
