//! A message that is too long to be written at once. Its rest stays in the message that all receivers share and is written as
//! the socket takes it, so that many who take nothing do not each have a copy of it. What else is said meanwhile goes behind it.

use super::same::encoded;
use crate::message::Message;

/// Bytes after the fixed header from which on a PUBLISH is long.
pub(super) const LONG: usize = 256 * 1024;

/// See the head of this file.
#[derive(Debug)]
pub(super) struct Long {
    message: Message,
    /// The client's version has properties.
    has_properties: bool,
    /// Of properties and payload.
    written: usize,
    /// What goes behind it.
    pub behind: Vec<u8>,
}

impl Long {
    /// One of which all was written that comes before the properties that are the same for everybody.
    pub fn new(message: Message, has_properties: bool) -> Self {
        Self { message, has_properties, written: 0, behind: Vec::new() }
    }

    /// Goes on until `out` has `enough` bytes; true: there is more.
    pub fn go_on(&mut self, enough: usize, out: &mut Vec<u8>) -> bool {
        let properties = match self.has_properties {
            true => encoded(&self.message),
            false => &[],
        };
        let mut before = 0;
        for part in [properties, self.message.payload()] {
            let from = self.written.saturating_sub(before).min(part.len());
            let count = (part.len() - from).min(enough.saturating_sub(out.len()));
            out.extend_from_slice(&part[from..from + count]);
            self.written += count;
            before += part.len();
        }
        self.written < before
    }
}
