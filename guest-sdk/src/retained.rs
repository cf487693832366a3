//! What is kept at the moment.

use crate::types::Message;

/// The retained message of exactly this topic.
pub fn get(topic: &str) -> Option<Message> {
    #[cfg(target_family = "wasm")]
    return crate::worlds::every_module::pliant::broker::retained::get(topic);
    #[cfg(not(target_family = "wasm"))]
    return crate::testing::stand_in(|host| host.retained.get(topic).cloned());
}
