//! Writes sections, in the order in which they have to be called: header, delivery annotations, message annotations,
//! properties, application properties, body, footer.

use super::header::Header;
use super::properties::{Id, Properties};
use crate::amqp::codec::write;
use serde_amqp::Value;
use serde_amqp::primitives::Symbol;

/// Writes a header (3.2.1); fields that have their default are left out.
pub fn header(header: &Header, out: &mut Vec<u8>) {
    write::descriptor(0x70, out);
    write::list(out, |out| {
        let fields = fields_of(header);
        if fields == 0 {
            return 0;
        }
        write::boolean(header.durable, out);
        if fields > 1 {
            if header.priority == 4 { write::null(out) } else { write::ubyte(header.priority, out) }
        }
        if fields > 2 {
            option(header.ttl_milliseconds, out, write::uint);
        }
        if fields > 3 {
            write::boolean(header.first_acquirer, out);
        }
        if fields > 4 {
            write::uint(header.delivery_count, out);
        }
        fields
    });
}

/// How many fields have to be written.
fn fields_of(header: &Header) -> u8 {
    let said = [
        header.durable,
        header.priority != 4,
        header.ttl_milliseconds.is_some(),
        header.first_acquirer,
        header.delivery_count > 0,
    ];
    said.iter().rposition(|said| *said).map_or(0, |last| last as u8 + 1)
}

/// Writes delivery annotations (3.2.2): keys and values. Nothing for none.
pub fn delivery_annotations<'a>(pairs: impl IntoIterator<Item = (&'a Symbol, &'a Value)>, out: &mut Vec<u8>) {
    annotations(0x71, pairs, out);
}

/// Writes message annotations (3.2.3): keys and values. Nothing for none.
pub fn message_annotations<'a>(pairs: impl IntoIterator<Item = (&'a Symbol, &'a Value)>, out: &mut Vec<u8>) {
    annotations(0x72, pairs, out);
}

/// Writes a footer (3.2.9): keys and values. Nothing for none.
pub fn footer<'a>(pairs: impl IntoIterator<Item = (&'a Symbol, &'a Value)>, out: &mut Vec<u8>) {
    annotations(0x78, pairs, out);
}

fn annotations<'a>(section: u8, pairs: impl IntoIterator<Item = (&'a Symbol, &'a Value)>, out: &mut Vec<u8>) {
    let mut pairs = pairs.into_iter().peekable();
    if pairs.peek().is_none() {
        return;
    }
    write::descriptor(section, out);
    write::map(out, |out| {
        let mut count = 0;
        for (key, value) in pairs {
            write::symbol(key.as_str(), out);
            any(value, out);
            count += 1;
        }
        count
    });
}

/// Writes properties (3.2.4). Nothing if there are none.
pub fn properties(properties: &Properties<'_>, out: &mut Vec<u8>) {
    if *properties == Properties::default() {
        return;
    }
    write::descriptor(0x73, out);
    write::list(out, |out| {
        id(properties.message_id, out);
        option(properties.user_id, out, write::binary);
        option(properties.to, out, write::string);
        option(properties.subject, out, write::string);
        option(properties.reply_to, out, write::string);
        id(properties.correlation_id, out);
        option(properties.content_type, out, write::symbol);
        option(properties.content_encoding, out, write::symbol);
        option(properties.absolute_expiry_time, out, write::timestamp);
        option(properties.creation_time, out, write::timestamp);
        option(properties.group_id, out, write::string);
        option(properties.group_sequence, out, write::uint);
        option(properties.reply_to_group_id, out, write::string);
        13
    });
}

fn option<T>(value: Option<T>, out: &mut Vec<u8>, write: impl FnOnce(T, &mut Vec<u8>)) {
    match value {
        Some(value) => write(value, out),
        None => write::null(out),
    }
}

fn id(id: Option<Id<'_>>, out: &mut Vec<u8>) {
    match id {
        None => write::null(out),
        Some(Id::Ulong(number)) => write::ulong(number, out),
        Some(Id::Uuid(uuid)) => write::uuid(&uuid, out),
        Some(Id::Binary(bytes)) => write::binary(bytes, out),
        Some(Id::String(text)) => write::string(text, out),
    }
}

/// Writes application properties (3.2.5): keys and values. Nothing for none.
pub fn application_properties<'a>(pairs: impl IntoIterator<Item = (&'a str, &'a Value)>, out: &mut Vec<u8>) {
    let mut pairs = pairs.into_iter().peekable();
    if pairs.peek().is_none() {
        return;
    }
    write::descriptor(0x74, out);
    write::map(out, |out| {
        let mut count = 0;
        for (key, value) in pairs {
            write::string(key, out);
            any(value, out);
            count += 1;
        }
        count
    });
}

/// Writes a body of bytes (3.2.6).
#[inline]
pub fn data(bytes: &[u8], out: &mut Vec<u8>) {
    write::descriptor(0x75, out);
    write::binary(bytes, out);
}

/// Writes a body of one value (3.2.8).
pub fn value(value: &Value, out: &mut Vec<u8>) {
    write::descriptor(0x77, out);
    any(value, out);
}

fn any(value: &Value, out: &mut Vec<u8>) {
    match serde_amqp::to_vec(value) {
        Ok(bytes) => out.extend_from_slice(&bytes),
        Err(_) => write::null(out),
    }
}
