//! The properties of a message (3.2.4): part of the bare message, so that nobody changes them on the way.

use crate::amqp::codec::read::{Reader, Value};
use crate::amqp::performative::{Bad, decode};

/// See the head of this file. All fields may be absent.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Properties<'m> {
    /// Names the message within its application.
    pub message_id: Option<Id<'m>>,
    /// Who made it, for the broker to check.
    pub user_id: Option<&'m [u8]>,
    /// Where to.
    pub to: Option<&'m str>,
    /// What about.
    pub subject: Option<&'m str>,
    /// Where an answer is expected.
    pub reply_to: Option<&'m str>,
    /// What it answers.
    pub correlation_id: Option<Id<'m>>,
    /// MIME type.
    pub content_type: Option<&'m str>,
    /// MIME encoding.
    pub content_encoding: Option<&'m str>,
    /// Milliseconds since 1970.
    pub absolute_expiry_time: Option<i64>,
    /// Milliseconds since 1970.
    pub creation_time: Option<i64>,
    /// The group that it is part of.
    pub group_id: Option<&'m str>,
    /// Its place there.
    pub group_sequence: Option<u32>,
    /// The group that an answer is to be part of.
    pub reply_to_group_id: Option<&'m str>,
}

/// A message id (3.2.11 to 3.2.14).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Id<'m> {
    /// A number.
    Ulong(u64),
    /// A UUID.
    Uuid([u8; 16]),
    /// Bytes.
    Binary(&'m [u8]),
    /// Text.
    String(&'m str),
}

impl<'m> Id<'m> {
    fn read(value: &Value<'m>) -> Option<Self> {
        let number = || value.as_ulong().map(Self::Ulong);
        let bytes = || value.as_binary().map(Self::Binary);
        value.as_str().map(Self::String).or_else(number).or_else(bytes).or_else(|| value.as_uuid().map(Self::Uuid))
    }
}

impl<'m> Properties<'m> {
    /// Reads the list.
    pub(super) fn read(content: Value<'m>) -> Result<Self, Bad> {
        let mut fields = content.list().ok_or_else(wrong)?;
        let fields = &mut fields;
        let read = Self {
            message_id: optional(fields, Id::read)?,
            user_id: optional(fields, Value::as_binary)?,
            to: optional(fields, Value::as_str)?,
            subject: optional(fields, Value::as_str)?,
            reply_to: optional(fields, Value::as_str)?,
            correlation_id: optional(fields, Id::read)?,
            content_type: optional(fields, Value::as_symbol)?,
            content_encoding: optional(fields, Value::as_symbol)?,
            absolute_expiry_time: optional(fields, Value::as_timestamp)?,
            creation_time: optional(fields, Value::as_timestamp)?,
            group_id: optional(fields, Value::as_str)?,
            group_sequence: optional(fields, Value::as_uint)?,
            reply_to_group_id: optional(fields, Value::as_str)?,
        };
        if fields.is_finished() { Ok(read) } else { Err(wrong()) }
    }
}

fn optional<'m, T>(fields: &mut Reader<'m>, read: impl FnOnce(&Value<'m>) -> Option<T>) -> Result<Option<T>, Bad> {
    match fields.field() {
        Some(value) => read(&value).map(Some).ok_or_else(wrong),
        None => Ok(None),
    }
}

fn wrong() -> Bad {
    decode("properties have a field of a wrong type")
}
