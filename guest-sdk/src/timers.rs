//! The timers hook: called about as often as the manifest asked.

use alloc::vec::Vec;

use crate::lifecycle::Module;
use crate::types::Message;

/// Called about every `tick_milliseconds` of the manifest, on one instance at a time.
pub trait Timers: Module {
    /// `now_milliseconds` since 1970-01-01T00:00:00Z. What is returned is published.
    fn on_tick(&self, now_milliseconds: u64) -> Vec<Message>;
}

#[cfg(target_family = "wasm")]
impl<M: Timers> crate::worlds::ticker::exports::pliant::broker::timers::Guest for crate::Exported<M> {
    fn on_tick(now_milliseconds: u64) -> Vec<Message> {
        crate::instance::with(|module: &M| module.on_tick(now_milliseconds))
    }
}
