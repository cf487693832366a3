//! The retain-policy hook: decides what is kept as the last known value of a topic.

pub use crate::worlds::retainer::exports::pliant::broker::retain_policy::{Replay, Retention};

use crate::lifecycle::Module;
use crate::types::{Client, Envelope, Payload};

/// Decides what is kept as the last known value of a topic, and who is shown it.
pub trait RetainPolicy: Module {
    /// Called for each message flagged to be retained, and for those the manifest's
    /// `unflagged_retain` names. Where the manifest says `retain_by_topic`, the answer may look
    /// at the topic and the flag alone: the host remembers it.
    fn on_publish(&self, publisher: &Client, envelope: &Envelope, payload: &Payload) -> Retention;

    /// Which stored values a new subscription is sent; `matching` is how many match. All, unless
    /// the module says otherwise.
    fn on_subscribe(&self, subscriber: &Client, filter: &str, matching: u64) -> Replay {
        let _: (&Client, &str, u64) = (subscriber, filter, matching);
        Replay::All
    }
}

#[cfg(target_family = "wasm")]
mod export {
    use alloc::string::String;

    use super::{Replay, RetainPolicy, Retention};
    use crate::types::{Client, Envelope, Payload};
    use crate::worlds::{every_module::pliant::broker::types, retainer::exports::pliant::broker::retain_policy::Guest};

    impl<M: RetainPolicy> Guest for crate::Exported<M> {
        fn on_publish(publisher: Client, envelope: Envelope, payload: &types::Payload) -> Retention {
            crate::instance::with(|module: &M| module.on_publish(&publisher, &envelope, &Payload::of(payload)))
        }

        fn on_subscribe(subscriber: Client, filter: String, matching: u64) -> Replay {
            crate::instance::with(|module: &M| module.on_subscribe(&subscriber, &filter, matching))
        }
    }
}
