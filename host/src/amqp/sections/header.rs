//! The header of a message (3.2.1): what a broker reads and changes on the way.

use crate::amqp::codec::read::Value;
use crate::amqp::performative::{Bad, decode};

/// See the head of this file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    /// Not to be lost.
    pub durable: bool,
    /// 0 to 255; 4 if nothing was said.
    pub priority: u8,
    /// Milliseconds for which the message is worth something; none: for ever.
    pub ttl_milliseconds: Option<u32>,
    /// Nobody else had it before.
    pub first_acquirer: bool,
    /// Attempts that failed.
    pub delivery_count: u32,
}

impl Default for Header {
    fn default() -> Self {
        Self { durable: false, priority: 4, ttl_milliseconds: None, first_acquirer: false, delivery_count: 0 }
    }
}

impl Header {
    /// Reads the list.
    pub(super) fn read(content: Value<'_>) -> Result<Self, Bad> {
        let wrong = |name: &str| decode(format!("header: {name} is not of its type"));
        let mut fields = content.list().ok_or_else(|| decode("a header is not a list"))?;
        let flag = |name, value: Option<Value<'_>>| {
            value.map_or(Ok(false), |value| value.as_bool().ok_or_else(|| wrong(name)))
        };
        let number = |name, value: Option<Value<'_>>| match value {
            Some(value) => value.as_uint().map(Some).ok_or_else(|| wrong(name)),
            None => Ok(None),
        };
        let durable = flag("durable", fields.field())?;
        let priority = match fields.field() {
            Some(value) => value.as_ubyte().ok_or_else(|| wrong("priority"))?,
            None => 4,
        };
        let ttl_milliseconds = number("ttl", fields.field())?;
        let first_acquirer = flag("first-acquirer", fields.field())?;
        let delivery_count = number("delivery-count", fields.field())?.unwrap_or(0);
        if !fields.is_finished() {
            return Err(decode("header: more fields than there are"));
        }
        Ok(Self { durable, priority, ttl_milliseconds, first_acquirer, delivery_count })
    }
}
