//! `retained`: the last value of a topic.

use super::super::bindings::pliant::broker::retained::{Host, Message};
use super::super::instance::Cell;
use super::super::translate;

impl Host for Cell {
    fn get(&mut self, topic: String) -> Option<Message> {
        let lookup = self.services.retained.get()?;
        let message = lookup(&topic)?;
        Some(translate::message_out(&message, (self.services.clock)()))
    }
}
