//! `retained`: the last value of a topic.

use super::super::bindings::pliant::broker::retained::{Host, Message};
use super::super::instance::Cell;
use super::super::translate;

impl Host for Cell {
    fn get(&mut self, topic: String) -> wasmtime::Result<Option<Message>> {
        self.spend()?;
        self.spend_retained(1, 0)?;
        let message = self.services.retained.get().and_then(|lookup| lookup(&topic));
        let Some(message) = message else { return Ok(None) };
        // Before it is copied: one message may be larger than all that the module can have.
        self.spend_retained(0, message.payload().len())?;
        Ok(Some(translate::message_out(&message, (self.services.clock)())))
    }
}
