//! `retained`: the last value of a topic.

use super::super::bindings::pliant::broker::retained::{Host, Message};
use super::super::instance::Cell;
use super::super::translate;

impl Host for Cell {
    fn get(&mut self, topic: String) -> wasmtime::Result<Option<Message>> {
        self.spend()?;
        let message = self.services.retained.get().and_then(|lookup| lookup(&topic));
        Ok(message.map(|message| translate::message_out(&message, (self.services.clock)())))
    }
}
