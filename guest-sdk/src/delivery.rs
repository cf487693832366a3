//! The delivery hook: decides over one copy of a message, on its way to one subscriber.

pub use crate::worlds::deliverer::exports::pliant::broker::delivery::Outcome;

use crate::lifecycle::Module;
use crate::types::{Client, Envelope, Payload};

/// Decides over one copy of a message, on its way to one subscriber.
pub trait Delivery: Module {
    /// Called once a subscriber, when the copy leaves for the wire. Name filters in the
    /// manifest's `delivery`: what they do not match is delivered without a call.
    fn on_deliver(&self, subscriber: &Client, envelope: Envelope, payload: &Payload) -> Outcome;
}

#[cfg(target_family = "wasm")]
mod export {
    use super::{Delivery, Outcome};
    use crate::types::{Client, Envelope, Payload};
    use crate::worlds::{deliverer::exports::pliant::broker::delivery::Guest, every_module::pliant::broker::types};

    impl<M: Delivery> Guest for crate::Exported<M> {
        fn on_deliver(subscriber: Client, envelope: Envelope, payload: &types::Payload) -> Outcome {
            crate::instance::with(|module: &M| module.on_deliver(&subscriber, envelope, &Payload::of(payload)))
        }
    }
}
