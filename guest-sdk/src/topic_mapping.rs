//! The topic-mapping hook: the names clients use for topics, and the ones the broker uses.

use alloc::string::String;

pub use crate::worlds::topic_mapper::exports::pliant::broker::topic_mapping::Scope;

use crate::lifecycle::Module;
use crate::types::Refusal;

/// The names under which clients know a topic, and the one under which the broker does.
///
/// Each function is pure: for one configuration, the same arguments always give the same
/// answer. The host remembers answers, so a mapped topic costs a table look-up and no call.
pub trait TopicMapping: Module {
    /// The broker's topic for a name that a client publishes to.
    ///
    /// # Errors
    /// Refuses the message.
    fn publish_topic(&self, scope: &Scope, name: &str) -> Result<String, Refusal>;

    /// The broker's filter for one that a client subscribes to, without `$share/group/`.
    ///
    /// # Errors
    /// Refuses the subscription.
    fn subscribe_filter(&self, scope: &Scope, filter: &str) -> Result<String, Refusal>;

    /// The name to show a subscriber for a topic of the broker.
    fn deliver_name(&self, scope: &Scope, topic: &str) -> String;
}

#[cfg(target_family = "wasm")]
mod export {
    use super::{Refusal, Scope, String, TopicMapping};
    use crate::worlds::topic_mapper::exports::pliant::broker::topic_mapping::Guest;

    impl<M: TopicMapping> Guest for crate::Exported<M> {
        fn publish_topic(scope: Scope, name: String) -> Result<String, Refusal> {
            crate::instance::with(|module: &M| module.publish_topic(&scope, &name))
        }

        fn subscribe_filter(scope: Scope, filter: String) -> Result<String, Refusal> {
            crate::instance::with(|module: &M| module.subscribe_filter(&scope, &filter))
        }

        fn deliver_name(scope: Scope, topic: String) -> String {
            crate::instance::with(|module: &M| module.deliver_name(&scope, &topic))
        }
    }
}
