//! Transfer, disposition and flow: read where they lie, written without allocation.

use super::{Bad, check, invalid};
use crate::amqp::codec::read::{Reader, Value};
use crate::amqp::codec::write;
use crate::amqp::limits::Limits;

/// 2.7.5
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct TransferFrame<'b> {
    /// Of the link.
    pub handle: u32,
    /// Given with the first frame of a delivery.
    pub delivery_id: Option<u32>,
    /// Given with the first frame of a delivery.
    pub tag: Option<&'b [u8]>,
    /// Given with the first frame of a delivery.
    pub format: Option<u32>,
    /// The sender has forgotten it.
    pub settled: Option<bool>,
    /// Another frame of this delivery follows.
    pub more: bool,
    /// When its receiver settles, if not as the link says.
    pub receiver_settles: Option<u8>,
    /// What the sender thinks of it, encoded.
    pub state: Option<&'b [u8]>,
    /// It stood in an unsettled map.
    pub resume: bool,
    /// The delivery will not be finished.
    pub aborted: bool,
}

/// 2.7.6
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DispositionFrame<'b> {
    /// The one who says it is the receiver of these deliveries.
    pub by_receiver: bool,
    /// Delivery-id.
    pub first: u32,
    /// Delivery-id; the same as `first` if only one is meant.
    pub last: u32,
    /// Who says it has forgotten them.
    pub settled: bool,
    /// What they have become, encoded.
    pub state: Option<&'b [u8]>,
}

/// 2.7.4
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct FlowFrame<'b> {
    /// Transfer-id that is expected next; none: nothing has come yet.
    pub next_incoming_id: Option<u32>,
    /// Transfer frames that are taken.
    pub incoming_window: u32,
    /// Transfer-id that is sent next.
    pub next_outgoing_id: u32,
    /// Transfer frames that wait.
    pub outgoing_window: u32,
    /// Of a link; none: only the session is meant.
    pub handle: Option<u32>,
    /// How far the link is.
    pub delivery_count: Option<u32>,
    /// How much further it may go.
    pub link_credit: Option<u32>,
    /// Deliveries that wait.
    pub available: Option<u32>,
    /// Use the credit up.
    pub drain: bool,
    /// An answer is wanted.
    pub echo: bool,
    /// Anything else, encoded.
    pub properties: Option<&'b [u8]>,
}

/// A field that may be absent, but is of this type if it is there.
#[inline]
fn optional<'b, T>(
    reader: &mut Reader<'b>,
    name: &str,
    read: impl FnOnce(&Value<'b>) -> Option<T>,
) -> Result<Option<T>, Bad> {
    match reader.field() {
        None => Ok(None),
        Some(value) => read(&value).map(Some).ok_or_else(|| invalid(format!("{name} is not of its type"))),
    }
}

/// A field that has to be there.
#[inline]
fn mandatory<'b, T>(reader: &mut Reader<'b>, name: &str, read: impl FnOnce(&Value<'b>) -> Option<T>) -> Result<T, Bad> {
    optional(reader, name, read)?.ok_or_else(|| invalid(format!("{name} is missing")))
}

/// A field that stays encoded.
fn encoded<'b>(reader: &mut Reader<'b>, limits: &Limits) -> Result<Option<&'b [u8]>, Bad> {
    let Some(value) = reader.field() else { return Ok(None) };
    check(value.raw, limits)?;
    Ok(Some(value.raw))
}

/// Nothing may follow the last field.
fn end(reader: &mut Reader<'_>) -> Result<(), Bad> {
    if reader.is_finished() {
        Ok(())
    } else {
        Err(invalid("a performative has too many fields, or they are cut short"))
    }
}

impl<'b> TransferFrame<'b> {
    /// Reads the fields.
    #[inline]
    pub fn read(mut fields: Reader<'b>, limits: &Limits) -> Result<Self, Bad> {
        let fields = &mut fields;
        let handle = mandatory(fields, "handle", Value::as_uint)?;
        let delivery_id = optional(fields, "delivery-id", Value::as_uint)?;
        let tag = optional(fields, "delivery-tag", Value::as_binary)?;
        let format = optional(fields, "message-format", Value::as_uint)?;
        let settled = optional(fields, "settled", Value::as_bool)?;
        let more = optional(fields, "more", Value::as_bool)?.unwrap_or(false);
        let receiver_settles = optional(fields, "rcv-settle-mode", Value::as_ubyte)?;
        let state = encoded(fields, limits)?;
        let resume = optional(fields, "resume", Value::as_bool)?.unwrap_or(false);
        let aborted = optional(fields, "aborted", Value::as_bool)?.unwrap_or(false);
        optional(fields, "batchable", Value::as_bool)?;
        end(fields)?;
        Ok(Self { handle, delivery_id, tag, format, settled, more, receiver_settles, state, resume, aborted })
    }

    /// Writes the performative; the payload follows in the same frame. All fields that a first frame needs stand in every
    /// frame: the standard does not ask for it, but some clients do.
    #[inline]
    pub fn write(&self, out: &mut Vec<u8>) {
        write::descriptor(0x14, out);
        write::list(out, |out| {
            write::uint(self.handle, out);
            write::uint(self.delivery_id.unwrap_or_default(), out);
            write::binary(self.tag.unwrap_or_default(), out);
            write::uint(self.format.unwrap_or_default(), out);
            write::boolean(self.settled.unwrap_or_default(), out);
            write::boolean(self.more, out);
            if self.state.is_none() && !self.resume {
                return 6;
            }
            write::null(out);
            match self.state {
                Some(state) => out.extend_from_slice(state),
                None => write::null(out),
            }
            write::boolean(self.resume, out);
            9
        });
    }
}

impl<'b> DispositionFrame<'b> {
    /// Reads the fields.
    #[inline]
    pub fn read(mut fields: Reader<'b>, limits: &Limits) -> Result<Self, Bad> {
        let fields = &mut fields;
        let by_receiver = mandatory(fields, "role", Value::as_bool)?;
        let first = mandatory(fields, "first", Value::as_uint)?;
        let last = optional(fields, "last", Value::as_uint)?.unwrap_or(first);
        let settled = optional(fields, "settled", Value::as_bool)?.unwrap_or(false);
        let state = encoded(fields, limits)?;
        optional(fields, "batchable", Value::as_bool)?;
        end(fields)?;
        Ok(Self { by_receiver, first, last, settled, state })
    }

    /// Writes the performative.
    #[inline]
    pub fn write(&self, out: &mut Vec<u8>) {
        write::descriptor(0x15, out);
        write::list(out, |out| {
            write::boolean(self.by_receiver, out);
            write::uint(self.first, out);
            if self.last == self.first {
                write::null(out);
            } else {
                write::uint(self.last, out);
            }
            write::boolean(self.settled, out);
            let Some(state) = self.state else { return 4 };
            out.extend_from_slice(state);
            5
        });
    }
}

impl<'b> FlowFrame<'b> {
    /// Reads the fields.
    pub fn read(mut fields: Reader<'b>, limits: &Limits) -> Result<Self, Bad> {
        let fields = &mut fields;
        let next_incoming_id = optional(fields, "next-incoming-id", Value::as_uint)?;
        let incoming_window = mandatory(fields, "incoming-window", Value::as_uint)?;
        let next_outgoing_id = mandatory(fields, "next-outgoing-id", Value::as_uint)?;
        let outgoing_window = mandatory(fields, "outgoing-window", Value::as_uint)?;
        let handle = optional(fields, "handle", Value::as_uint)?;
        let delivery_count = optional(fields, "delivery-count", Value::as_uint)?;
        let link_credit = optional(fields, "link-credit", Value::as_uint)?;
        let available = optional(fields, "available", Value::as_uint)?;
        let drain = optional(fields, "drain", Value::as_bool)?.unwrap_or(false);
        let echo = optional(fields, "echo", Value::as_bool)?.unwrap_or(false);
        let properties = encoded(fields, limits)?;
        end(fields)?;
        let window = Self { next_incoming_id, incoming_window, next_outgoing_id, outgoing_window, ..Self::default() };
        Ok(Self { handle, delivery_count, link_credit, available, drain, echo, properties, ..window })
    }

    /// Writes the performative.
    pub fn write(&self, out: &mut Vec<u8>) {
        let optional = |value: Option<u32>, out: &mut Vec<u8>| match value {
            Some(value) => write::uint(value, out),
            None => write::null(out),
        };
        write::descriptor(0x13, out);
        write::list(out, |out| {
            optional(self.next_incoming_id, out);
            write::uint(self.incoming_window, out);
            write::uint(self.next_outgoing_id, out);
            write::uint(self.outgoing_window, out);
            if self.handle.is_none() {
                return 4;
            }
            optional(self.handle, out);
            optional(self.delivery_count, out);
            optional(self.link_credit, out);
            optional(self.available, out);
            write::boolean(self.drain, out);
            9
        });
    }
}
