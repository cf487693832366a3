//! The routing hook: decides over one message, between the publisher and the subscribers.

use alloc::vec::Vec;

pub use crate::worlds::router::exports::pliant::broker::routing::{Decision, Verdict};

use crate::lifecycle::Module;
use crate::types::{Client, Envelope, Message, Payload, Refusal};

/// Decides over one message, between the publisher and the subscribers.
pub trait Routing: Module {
    /// Called once a message that the manifest's `routing` filters match, after topic mapping and
    /// authorization and before retaining and matching, whatever brought the message in. The
    /// publisher's acknowledgement waits for the answer.
    fn on_publish(&self, publisher: &Client, envelope: Envelope, payload: &Payload) -> Decision;
}

impl Decision {
    /// Let it pass as it is.
    pub fn keep() -> Self {
        Verdict::Keep.into()
    }

    /// Let it pass under another envelope, its payload untouched.
    pub fn readdress(envelope: Envelope) -> Self {
        Verdict::Readdress(envelope).into()
    }

    /// Let this one pass in its place.
    pub fn replace(message: Message) -> Self {
        Verdict::Replace(message).into()
    }

    /// Accept it from the publisher and let nobody have it.
    pub fn discard() -> Self {
        Verdict::Discard.into()
    }

    /// Refuse it to the publisher.
    pub fn refuse(refusal: Refusal) -> Self {
        Verdict::Refuse(refusal).into()
    }

    /// The same, and publish this one too.
    #[must_use]
    pub fn also(mut self, message: Message) -> Self {
        self.also.push(message);
        self
    }
}

impl From<Verdict> for Decision {
    fn from(verdict: Verdict) -> Self {
        Decision { verdict, also: Vec::new() }
    }
}

#[cfg(target_family = "wasm")]
mod export {
    use super::{Decision, Routing};
    use crate::types::{Client, Envelope, Payload};
    use crate::worlds::{every_module::pliant::broker::types, router::exports::pliant::broker::routing::Guest};

    impl<M: Routing> Guest for crate::Exported<M> {
        fn on_publish(publisher: Client, envelope: Envelope, payload: &types::Payload) -> Decision {
            crate::instance::with(|module: &M| module.on_publish(&publisher, envelope, &Payload::of(payload)))
        }
    }
}
