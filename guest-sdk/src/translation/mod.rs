//! The translation hook: turns a message of one protocol into one of the other.

pub mod usual;

use alloc::vec::Vec;

pub use crate::worlds::translator::exports::pliant::broker::translation::{AmqpBody, AmqpForm, AmqpMessage, AmqpValue};

use crate::lifecycle::Module;
use crate::types::{Envelope, Payload, Refusal};

impl AmqpMessage {
    /// A message with nothing but a body.
    pub fn new(body: AmqpBody) -> Self {
        AmqpMessage {
            durable: false,
            priority: None,
            ttl: None,
            delivery_count: 0,
            delivery_annotations: Vec::new(),
            message_annotations: Vec::new(),
            message_id: None,
            user_id: None,
            to: None,
            subject: None,
            reply_to: None,
            correlation_id: None,
            content_type: None,
            content_encoding: None,
            absolute_expiry_time: None,
            creation_time: None,
            group_id: None,
            group_sequence: None,
            reply_to_group_id: None,
            application_properties: Vec::new(),
            body,
            footer: Vec::new(),
        }
    }
}

/// Turns a message of one protocol into one of the other, where it crosses over. [`usual`] does what the bundled module does.
pub trait Translation: Module {
    /// What goes to an AMQP receiver for a message that did not come by AMQP.
    ///
    /// # Errors
    /// The message is not delivered to AMQP receivers.
    fn to_amqp(&self, envelope: &Envelope, payload: &Payload) -> Result<AmqpForm, Refusal>;

    /// What goes to everybody else for a message that came by AMQP. `topic` is the broker's topic
    /// for the address it was sent to.
    ///
    /// # Errors
    /// Refuses the message to its sender.
    #[allow(clippy::wrong_self_convention, reason = "the contract's name")]
    fn from_amqp(&self, topic: &str, message: AmqpMessage) -> Result<(Envelope, Vec<u8>), Refusal>;
}

#[cfg(target_family = "wasm")]
mod export {
    use alloc::string::String;

    use super::{AmqpForm, AmqpMessage, Envelope, Payload, Refusal, Translation, Vec};
    use crate::worlds::{every_module::pliant::broker::types, translator::exports::pliant::broker::translation::Guest};

    impl<M: Translation> Guest for crate::Exported<M> {
        fn to_amqp(envelope: Envelope, payload: &types::Payload) -> Result<AmqpForm, Refusal> {
            crate::instance::with(|module: &M| module.to_amqp(&envelope, &Payload::of(payload)))
        }

        fn from_amqp(topic: String, message: AmqpMessage) -> Result<(Envelope, Vec<u8>), Refusal> {
            crate::instance::with(|module: &M| module.from_amqp(&topic, message))
        }
    }
}
