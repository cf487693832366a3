//! Messages in plain words ([`crate::sections`]) to and from the wire: for those that cross between protocols.

use super::codec::check::{self, Budget};
use super::codec::read::{Reader, Value as Raw};
use super::codec::{code, write};
use super::condition::Fields;
use super::limits::Limits;
use super::sections::{Body as Found, Id, Properties, Sections as Scanned, properties};
use crate::dialogue::Notes;
use crate::sections::{Body, Encoding, Form, Pairs, Sections, Value};
use std::sync::Arc;

/// See the head of this file.
#[derive(Debug)]
pub struct Wording(pub Arc<Limits>);

impl Encoding for Wording {
    fn read(&self, encoded: &[u8]) -> Result<Sections, String> {
        let scanned = Scanned::scan(encoded, &self.0).map_err(|why| why.description.unwrap_or_default())?;
        let properties = scanned.properties();
        let id = |id: Id<'_>| match id {
            Id::Ulong(number) => Value::Ulong(number),
            Id::Uuid(uuid) => Value::Uuid(uuid),
            Id::Binary(bytes) => Value::Binary(bytes.to_vec()),
            Id::String(text) => Value::Text(text.to_owned()),
        };
        let text = |text: Option<&str>| text.map(str::to_owned);
        let body = match scanned.body() {
            Found::Nothing => Body::Data(Vec::new()),
            Found::Data(bytes) => Body::Data(bytes.to_vec()),
            Found::DataMany(_) => Body::Data(scanned.data().unwrap_or_default().into_owned()),
            Found::Value(raw) => Body::Value(value(&raw)),
            Found::Sequence(parts) => Body::Sequence(parts.map(|part| part.raw.to_vec()).collect()),
        };
        Ok(Sections {
            message_annotations: pairs(scanned.message_annotations()),
            message_id: properties.message_id.map(id),
            user_id: properties.user_id.map(<[u8]>::to_vec),
            to: text(properties.to),
            subject: text(properties.subject),
            reply_to: text(properties.reply_to),
            correlation_id: properties.correlation_id.map(id),
            content_type: text(properties.content_type),
            content_encoding: text(properties.content_encoding),
            absolute_expiry_time: properties.absolute_expiry_time,
            creation_time: properties.creation_time,
            group_id: text(properties.group_id),
            group_sequence: properties.group_sequence,
            reply_to_group_id: text(properties.reply_to_group_id),
            application_properties: pairs(scanned.application_properties()),
            body,
            footer: pairs(scanned.footer()),
            ..Sections::default()
        })
    }

    fn write(&self, form: &Form, payload: &[u8]) -> Result<Vec<u8>, String> {
        let mut out = Vec::with_capacity(payload.len() + 256);
        let head = &form.head;
        map(0x72, &head.message_annotations, write::symbol, &mut out);
        properties(&fields(head)?, &mut out);
        map(0x74, &head.application_properties, write::string, &mut out);
        match &form.body {
            None => {
                write::descriptor(0x75, &mut out);
                write::binary(payload, &mut out);
            }
            Some(Body::Data(bytes)) => {
                write::descriptor(0x75, &mut out);
                write::binary(bytes, &mut out);
            }
            Some(Body::Value(value)) => {
                write::descriptor(0x77, &mut out);
                put(value, &mut out);
            }
            Some(Body::Sequence(lists)) => {
                for list in lists {
                    write::descriptor(0x76, &mut out);
                    out.extend_from_slice(list);
                }
            }
        }
        map(0x78, &head.footer, write::symbol, &mut out);
        // What a module encoded itself is trusted no more than what comes from a client.
        Scanned::scan(&out, &self.0).map_err(|why| why.description.unwrap_or_default())?;
        Ok(out)
    }

    fn annotated(&self, encoded: &[u8], notes: &[u8]) -> Option<Vec<u8>> {
        let (mut out, behind) = annotated(encoded, None, notes, &self.0)?;
        out.extend_from_slice(behind);
        // What receivers wrote may be more than a message may have.
        Scanned::scan(&out, &self.0).ok()?;
        Some(out)
    }
}

/// Annotations, as [`annotated`] takes them; none: there are none.
pub fn notes(annotations: &Fields) -> Option<Notes> {
    if annotations.is_empty() {
        return None;
    }
    serde_amqp::to_vec(annotations).ok().map(Notes::new)
}

/// The message from the annotations on, with others in place of what it had under their names: this flag, and what
/// receivers want written on it (3.4.5), one map after the other: the last ones win.
pub fn annotated<'k>(
    kept: &'k [u8],
    flag: Option<(&str, bool)>,
    notes: &[u8],
    limits: &Limits,
) -> Option<(Vec<u8>, &'k [u8])> {
    let scanned = Scanned::scan(kept, limits).ok()?;
    let mut pairs: Vec<(Raw<'_>, Raw<'_>)> = scanned.message_annotations().collect();
    for note in Reader::new(notes) {
        let Some(mut map) = note.map() else { continue };
        while let (Some(key), Some(value)) = (map.next(), map.next()) {
            pairs.retain(|(other, _)| !is_same_key(other, &key));
            pairs.push((key, value));
        }
    }
    let mut out = Vec::with_capacity(notes.len() + 256);
    write::descriptor(0x72, &mut out);
    write::map(&mut out, |out| {
        let mut count = 0;
        if let Some((name, truth)) = flag {
            write::symbol(name, out);
            write::boolean(truth, out);
            count += 1;
        }
        for (key, value) in &pairs {
            if flag.is_some_and(|(name, _)| key.as_symbol() == Some(name)) {
                continue;
            }
            out.extend_from_slice(key.raw);
            out.extend_from_slice(value.raw);
            count += 1;
        }
        count
    });
    Some((out, scanned.behind_annotations()))
}

/// Keys of annotations are symbols or numbers, each of which may be written in several ways.
fn is_same_key(a: &Raw<'_>, b: &Raw<'_>) -> bool {
    match (a.as_symbol(), b.as_symbol()) {
        (Some(a), Some(b)) => a == b,
        (None, None) => a.as_ulong() == b.as_ulong(),
        _ => false,
    }
}

fn pairs<'m>(found: impl Iterator<Item = (Raw<'m>, Raw<'m>)>) -> Pairs {
    let name = |key: &Raw<'_>| key.as_symbol().or_else(|| key.as_str()).map(str::to_owned);
    found.filter_map(|(key, raw)| Some((name(&key)?, value(&raw)))).collect()
}

fn value(raw: &Raw<'_>) -> Value {
    let encoded = || Value::Encoded(raw.raw.to_vec());
    let number = |make: fn(i128) -> Value| raw.as_integer().map(make).unwrap_or(Value::Null);
    match raw.code {
        code::NULL => Value::Null,
        code::TRUE | code::FALSE | code::BOOLEAN => raw.as_bool().map_or_else(encoded, Value::Boolean),
        code::UBYTE => number(|n| Value::Ubyte(n as u8)),
        code::USHORT => number(|n| Value::Ushort(n as u16)),
        code::UINT_0 | code::UINT_SMALL | code::UINT => number(|n| Value::Uint(n as u32)),
        code::ULONG_0 | code::ULONG_SMALL | code::ULONG => number(|n| Value::Ulong(n as u64)),
        0x51 => number(|n| Value::Byte(n as i8)),
        0x61 => number(|n| Value::Short(n as i16)),
        code::INT_SMALL | 0x71 => number(|n| Value::Int(n as i32)),
        code::LONG_SMALL | 0x81 => number(|n| Value::Long(n as i64)),
        0x72 => raw.as_float().map_or_else(encoded, |n| Value::Float(n as f32)),
        0x82 => raw.as_float().map_or_else(encoded, Value::Double),
        code::CHAR => raw.as_char().map_or_else(encoded, Value::Char),
        code::TIMESTAMP => raw.as_timestamp().map_or_else(encoded, Value::Timestamp),
        code::UUID => raw.as_uuid().map_or_else(encoded, Value::Uuid),
        code::BINARY_8 | code::BINARY_32 => raw.as_binary().map_or_else(encoded, |b| Value::Binary(b.to_vec())),
        code::STRING_8 | code::STRING_32 => raw.as_str().map_or_else(encoded, |s| Value::Text(s.to_owned())),
        code::SYMBOL_8 | code::SYMBOL_32 => raw.as_symbol().map_or_else(encoded, |s| Value::Symbol(s.to_owned())),
        _ => encoded(),
    }
}

fn map(section: u8, pairs: &Pairs, key: fn(&str, &mut Vec<u8>), out: &mut Vec<u8>) {
    if pairs.is_empty() {
        return;
    }
    write::descriptor(section, out);
    write::map(out, |out| {
        let mut count = 0;
        for (name, value) in pairs {
            key(name, out);
            put(value, out);
            count += 1;
        }
        count
    });
}

fn put(value: &Value, out: &mut Vec<u8>) {
    let mut fixed = |code: u8, bytes: &[u8]| {
        out.push(code);
        out.extend_from_slice(bytes);
    };
    match value {
        Value::Null => write::null(out),
        Value::Boolean(truth) => write::boolean(*truth, out),
        Value::Ubyte(n) => write::ubyte(*n, out),
        Value::Uint(n) => write::uint(*n, out),
        Value::Ulong(n) => write::ulong(*n, out),
        Value::Ushort(n) => fixed(code::USHORT, &n.to_be_bytes()),
        Value::Byte(n) => fixed(0x51, &n.to_be_bytes()),
        Value::Short(n) => fixed(0x61, &n.to_be_bytes()),
        Value::Int(n) => fixed(0x71, &n.to_be_bytes()),
        Value::Long(n) => fixed(0x81, &n.to_be_bytes()),
        Value::Float(n) => fixed(0x72, &n.to_be_bytes()),
        Value::Double(n) => fixed(0x82, &n.to_be_bytes()),
        Value::Char(c) => fixed(code::CHAR, &u32::from(*c).to_be_bytes()),
        Value::Timestamp(n) => write::timestamp(*n, out),
        Value::Uuid(uuid) => write::uuid(uuid, out),
        Value::Binary(bytes) => write::binary(bytes, out),
        Value::Text(text) => write::string(text, out),
        Value::Symbol(text) => write::symbol(text, out),
        Value::Encoded(bytes) => match one_value(bytes) {
            true => out.extend_from_slice(bytes),
            false => write::null(out),
        },
    }
}

/// Whether these bytes are exactly one value.
fn one_value(bytes: &[u8]) -> bool {
    let elements = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
    let mut budget = Budget { depth: 32, elements };
    check::value(bytes, &mut budget).is_ok_and(|length| length == bytes.len()) && Reader::new(bytes).next().is_some()
}

fn fields(head: &Sections) -> Result<Properties<'_>, String> {
    fn id(value: Option<&Value>) -> Result<Option<Id<'_>>, String> {
        Ok(Some(match value {
            None | Some(Value::Null) => return Ok(None),
            Some(Value::Ulong(number)) => Id::Ulong(*number),
            Some(Value::Uuid(uuid)) => Id::Uuid(*uuid),
            Some(Value::Binary(bytes)) => Id::Binary(bytes),
            Some(Value::Text(text)) => Id::String(text),
            Some(_) => return Err("an id is of a type that ids do not have".into()),
        }))
    }
    Ok(Properties {
        message_id: id(head.message_id.as_ref())?,
        user_id: head.user_id.as_deref(),
        to: head.to.as_deref(),
        subject: head.subject.as_deref(),
        reply_to: head.reply_to.as_deref(),
        correlation_id: id(head.correlation_id.as_ref())?,
        content_type: head.content_type.as_deref(),
        content_encoding: head.content_encoding.as_deref(),
        absolute_expiry_time: head.absolute_expiry_time,
        creation_time: head.creation_time,
        group_id: head.group_id.as_deref(),
        group_sequence: head.group_sequence,
        reply_to_group_id: head.reply_to_group_id.as_deref(),
    })
}
