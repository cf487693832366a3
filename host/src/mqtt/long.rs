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
        while let Some(rest) = self.rest() {
            let count = rest.len().min(enough.saturating_sub(out.len()));
            if count == 0 {
                return true;
            }
            out.extend_from_slice(&rest[..count]);
            self.written += count;
        }
        false
    }

    /// What comes next, up to the end of the properties or of the payload; none: all was written.
    pub fn rest(&self) -> Option<&[u8]> {
        let properties = match self.has_properties {
            true => encoded(&self.message),
            false => &[],
        };
        match properties.get(self.written..) {
            Some(rest) if !rest.is_empty() => Some(rest),
            _ => self.message.payload().get(self.written - properties.len()..).filter(|rest| !rest.is_empty()),
        }
    }

    /// So much of that was written.
    pub fn has_written(&mut self, count: usize) {
        self.written += count;
    }
}
