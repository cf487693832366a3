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
        let mut fields = content.list().ok_or_else(|| decode("properties are not a list"))?;
        let fields = &mut fields;
        let read = Self {
            message_id: optional(fields, "message-id", Id::read)?,
            user_id: optional(fields, "user-id", Value::as_binary)?,
            to: optional(fields, "to", Value::as_str)?,
            subject: optional(fields, "subject", Value::as_str)?,
            reply_to: optional(fields, "reply-to", Value::as_str)?,
            correlation_id: optional(fields, "correlation-id", Id::read)?,
            content_type: optional(fields, "content-type", Value::as_symbol)?,
            content_encoding: optional(fields, "content-encoding", Value::as_symbol)?,
            absolute_expiry_time: optional(fields, "absolute-expiry-time", Value::as_timestamp)?,
            creation_time: optional(fields, "creation-time", Value::as_timestamp)?,
            group_id: optional(fields, "group-id", Value::as_str)?,
            group_sequence: optional(fields, "group-sequence", Value::as_uint)?,
            reply_to_group_id: optional(fields, "reply-to-group-id", Value::as_str)?,
        };
        if fields.is_finished() { Ok(read) } else { Err(decode("properties: more fields than there are")) }
    }
}

fn optional<'m, T>(
    fields: &mut Reader<'m>,
    name: &str,
    read: impl FnOnce(&Value<'m>) -> Option<T>,
) -> Result<Option<T>, Bad> {
    match fields.field() {
        Some(value) => read(&value).map(Some).ok_or_else(|| decode(format!("properties: {name} is not of its type"))),
        None => Ok(None),
    }
}
