//! Turns a message that crosses between MQTT and AMQP 1.0 into one of the other protocol.
//!
//! Called once a message and direction; what stays within a protocol never comes here. It has no configuration. What becomes of
//! each field is told by `pliant_guest::translation::usual`, where other modules find the same.
#![cfg_attr(target_family = "wasm", no_std)]

#[cfg(test)]
mod tests;

use pliant_guest::prelude::*;
use pliant_guest::translation::usual;

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
        Ok(usual::to_amqp(envelope))
    }

    fn from_amqp(&self, topic: &str, message: AmqpMessage) -> Result<(Envelope, Vec<u8>), Refusal> {
        Ok(usual::from_amqp(topic, message))
    }
}

pliant_guest::export!(Translate with translation);
