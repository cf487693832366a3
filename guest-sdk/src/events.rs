//! The events hook: told what happened, after it happened.

use alloc::vec::Vec;

pub use crate::worlds::observer::exports::pliant::broker::event_interest::Interest as EventInterest;
pub use crate::worlds::observer::exports::pliant::broker::events::{Event, Loss};

use crate::lifecycle::Module;
use crate::types::Message;

/// Told what happened, after it happened. Nothing can be changed any more, but messages may be
/// published about it.
pub trait Events: Module {
    /// Called with what has gathered since the last call, oldest first. What is returned is published.
    fn on_events(&self, events: Vec<Event>) -> Vec<Message>;

    /// Which events the module wants to be told; all of them unless it says otherwise. Leave out what is not needed:
    /// the broker then does not even note it.
    fn wanted(&self) -> EventInterest {
        EventInterest { clients: true, subscriptions: true, lost: Some(Vec::new()) }
    }
}

#[cfg(target_family = "wasm")]
impl<M: Events> crate::worlds::observer::exports::pliant::broker::events::Guest for crate::Exported<M> {
    fn on_events(events: Vec<Event>) -> Vec<Message> {
        crate::instance::with(|module: &M| module.on_events(events))
    }
}

#[cfg(target_family = "wasm")]
impl<M: Events> crate::worlds::observer::exports::pliant::broker::event_interest::Guest for crate::Exported<M> {
    fn wanted() -> EventInterest {
        crate::instance::with(|module: &M| module.wanted())
    }
}
