//! The few AMQP encodings that the module writes and reads itself (AMQP 1.0, part 1).

use crate::prelude::*;

/// A list of texts, names and values in turn.
pub fn texts(pairs: &[(String, String)]) -> Vec<u8> {
    let mut items = Vec::new();
    for text in pairs.iter().flat_map(|(name, value)| [name, value]) {
        variable(0xB1, text.as_bytes(), &mut items);
    }
    let mut list = vec![0xD0];
    list.extend_from_slice(&length(items.len() + 4));
    list.extend_from_slice(&length(pairs.len() * 2));
    list.extend_from_slice(&items);
    list
}

fn length(bytes: usize) -> [u8; 4] {
    u32::try_from(bytes).unwrap_or(u32::MAX).to_be_bytes()
}

fn variable(code: u8, bytes: &[u8], out: &mut Vec<u8>) {
    out.push(code);
    out.extend_from_slice(&length(bytes.len()));
    out.extend_from_slice(bytes);
}

/// User properties of one message: as many as the broker takes of an MQTT client.
pub const PAIRS_MAX: usize = 1_000;

/// Reads what [`texts`] wrote, in any of the forms of a list of strings. Of a longer list the first [`PAIRS_MAX`] pairs: what is read
/// instead of a list has each name once, so that more would be lost.
pub fn read_texts(list: &[u8]) -> Option<Vec<(String, String)>> {
    let mut rest = match list {
        [0xC0, _, _, rest @ ..] => rest,
        [0xD0, _, _, _, _, _, _, _, _, rest @ ..] => rest,
        [0x45] => return Some(Vec::new()),
        _ => return None,
    };
    let mut texts = Vec::new();
    while !rest.is_empty() && texts.len() < 2 * PAIRS_MAX {
        let (size, behind) = match rest {
            [0xA1, size, behind @ ..] => (usize::from(*size), behind),
            [0xB1, a, b, c, d, behind @ ..] => (u32::from_be_bytes([*a, *b, *c, *d]) as usize, behind),
            _ => return None,
        };
        let (text, behind) = behind.split_at_checked(size)?;
        texts.push(core::str::from_utf8(text).ok()?.to_owned());
        rest = behind;
    }
    let mut texts = texts.into_iter();
    let mut pairs = Vec::new();
    while let Some(name) = texts.next() {
        pairs.push((name, texts.next()?));
    }
    Some(pairs)
}

/// Body sections as they stand on the wire.
pub fn body(body: &AmqpBody) -> Vec<u8> {
    let mut out = Vec::new();
    match body {
        AmqpBody::Data(bytes) => {
            out.extend_from_slice(&[0x00, 0x53, 0x75]);
            variable(0xB0, bytes, &mut out);
        }
        AmqpBody::Value(value) => {
            out.extend_from_slice(&[0x00, 0x53, 0x77]);
            write(value, &mut out);
        }
        AmqpBody::Sequence(lists) => {
            for list in lists {
                out.extend_from_slice(&[0x00, 0x53, 0x76]);
                out.extend_from_slice(list);
            }
        }
    }
    out
}

fn write(value: &AmqpValue, out: &mut Vec<u8>) {
    let mut fixed = |code: u8, bytes: &[u8]| {
        out.push(code);
        out.extend_from_slice(bytes);
    };
    match value {
        AmqpValue::Null => fixed(0x40, &[]),
        AmqpValue::Boolean(truth) => fixed(if *truth { 0x41 } else { 0x42 }, &[]),
        AmqpValue::Ubyte(n) => fixed(0x50, &[*n]),
        AmqpValue::Ushort(n) => fixed(0x60, &n.to_be_bytes()),
        AmqpValue::Uint(n) => fixed(0x70, &n.to_be_bytes()),
        AmqpValue::Ulong(n) => fixed(0x80, &n.to_be_bytes()),
        AmqpValue::Byte(n) => fixed(0x51, &n.to_be_bytes()),
        AmqpValue::Short(n) => fixed(0x61, &n.to_be_bytes()),
        AmqpValue::Int(n) => fixed(0x71, &n.to_be_bytes()),
        AmqpValue::Long(n) => fixed(0x81, &n.to_be_bytes()),
        AmqpValue::Float(n) => fixed(0x72, &n.to_be_bytes()),
        AmqpValue::Double(n) => fixed(0x82, &n.to_be_bytes()),
        AmqpValue::Character(c) => fixed(0x73, &u32::from(*c).to_be_bytes()),
        AmqpValue::Timestamp(n) => fixed(0x83, &n.to_be_bytes()),
        AmqpValue::Uuid(uuid) => fixed(0x98, uuid),
        AmqpValue::Binary(bytes) => variable(0xB0, bytes, out),
        AmqpValue::Text(text) => variable(0xB1, text.as_bytes(), out),
        AmqpValue::Symbol(text) => variable(0xB3, text.as_bytes(), out),
        AmqpValue::Encoded(bytes) => out.extend_from_slice(bytes),
    }
}

/// The bytes of a UUID in its usual form, which is the one that comes back: upper case and signs are other texts.
pub fn uuid(text: &str) -> Option<[u8; 16]> {
    let places = [8, 13, 18, 23];
    if text.len() != 36 || !text.is_ascii() || places.iter().any(|at| text.as_bytes()[*at] != b'-') {
        return None;
    }
    let digits: String = text.chars().filter(|c| *c != '-').collect();
    if digits.len() != 32 {
        return None;
    }
    let uuid = u128::from_str_radix(&digits, 16).ok()?.to_be_bytes();
    (uuid_text(&uuid) == text).then_some(uuid)
}

/// A UUID in its usual form.
pub fn uuid_text(uuid: &[u8]) -> String {
    let mut text = String::new();
    for (at, byte) in uuid.iter().enumerate() {
        if matches!(at, 4 | 6 | 8 | 10) {
            text.push('-');
        }
        text.push_str(&format!("{byte:02x}"));
    }
    text
}
