//! What the type system allows (1.6.24) and `serde_amqp` cannot read, put in a form that it can, for bytes that were checked.
//!
//! - An array without elements in a field that may have several values (`multiple`) says as much as null (1.4).
//! - Arrays of described or compound values, which only maps of `any` can have, become null there: the broker knows no key
//!   with such a value.

use crate::amqp::codec::code;
use crate::amqp::codec::read::{Reader, Value};
use std::borrow::Cow;

/// A performative, a state of a delivery or a map of properties, as `serde_amqp` reads it.
pub fn plain(raw: &[u8]) -> Cow<'_, [u8]> {
    let may_have_array = raw.iter().any(|byte| matches!(*byte, code::ARRAY_8 | code::ARRAY_32));
    match Reader::new(raw).next().filter(|_| may_have_array) {
        Some(value) => {
            let mut out = Vec::with_capacity(raw.len() + 16);
            field(&value, &mut out);
            Cow::Owned(out)
        }
        None => Cow::Borrowed(raw),
    }
}

/// A field of a composite value, or the value itself.
fn field(value: &Value<'_>, out: &mut Vec<u8>) {
    match value.code {
        code::ARRAY_8 | code::ARRAY_32 if is_empty_of_symbols(value) => out.push(code::NULL),
        code::MAP_8 | code::MAP_32 => map(value, out),
        code::DESCRIBED => described(value, out),
        _ => out.extend_from_slice(value.raw),
    }
}

/// Source, target, error and the like.
fn described(value: &Value<'_>, out: &mut Vec<u8>) {
    let mut inside = Reader::new(value.body);
    let (Some(descriptor), Some(content)) = (inside.next(), inside.next()) else {
        return out.extend_from_slice(value.raw);
    };
    out.push(code::DESCRIBED);
    out.extend_from_slice(descriptor.raw);
    match content.list() {
        Some(fields) => compound(code::LIST_32, fields, out, |_, one, out| field(one, out)),
        None => field(&content, out),
    }
}

/// A map of `any`, or of described values: filters, what is unsettled.
fn map(value: &Value<'_>, out: &mut Vec<u8>) {
    let Some(pairs) = value.map() else { return out.extend_from_slice(value.raw) };
    compound(code::MAP_32, pairs, out, |at, one, out| {
        if at % 2 == 0 || is_readable(one) {
            return out.extend_from_slice(one.raw);
        }
        let start = out.len();
        if one.code == code::DESCRIBED {
            described(one, out);
        }
        let is_well = Reader::new(&out[start..]).next().is_some_and(|made| is_readable(&made));
        if !is_well {
            out.truncate(start);
            out.push(code::NULL);
        }
    });
}

/// Writes a list or map of as many values.
pub(super) fn compound(code: u8, values: Reader<'_>, out: &mut Vec<u8>, write: impl Fn(u32, &Value<'_>, &mut Vec<u8>)) {
    out.push(code);
    let start = out.len();
    out.extend_from_slice(&[0; 8]);
    let mut count = 0_u32;
    for value in values {
        write(count, &value, out);
        count += 1;
    }
    // It lay in one frame, so that its length is a u32.
    let size = u32::try_from(out.len() - start - 4).unwrap_or(u32::MAX);
    out[start..start + 4].copy_from_slice(&size.to_be_bytes());
    out[start + 4..start + 8].copy_from_slice(&count.to_be_bytes());
}

/// All fields that may have several values have symbols.
fn is_empty_of_symbols(value: &Value<'_>) -> bool {
    matches!(value.array(), Some((0, code::SYMBOL_8 | code::SYMBOL_32, _)))
}

/// Whether `serde_amqp` reads it for what it is. Values lie in each other as deep as the check allows.
fn is_readable(value: &Value<'_>) -> bool {
    match value.code {
        code::ARRAY_8 | code::ARRAY_32 => value.array().is_some_and(|(_, of, _)| (0x40..0xC0).contains(&of)),
        code::DESCRIBED => Reader::new(value.body).all(|one| is_readable(&one)),
        _ => value.elements().is_none_or(|mut all| all.all(|one| is_readable(&one))),
    }
}
