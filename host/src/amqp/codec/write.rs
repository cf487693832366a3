//! Writes the few types that the busy frames and sections are made of, each in its shortest form.

use super::code;

/// Null.
#[inline]
pub fn null(out: &mut Vec<u8>) {
    out.push(code::NULL);
}

/// A boolean.
#[inline]
pub fn boolean(value: bool, out: &mut Vec<u8>) {
    out.push(if value { code::TRUE } else { code::FALSE });
}

/// A ubyte.
pub fn ubyte(value: u8, out: &mut Vec<u8>) {
    out.extend_from_slice(&[code::UBYTE, value]);
}

/// A uint.
#[inline]
pub fn uint(value: u32, out: &mut Vec<u8>) {
    match u8::try_from(value) {
        Ok(0) => out.push(code::UINT_0),
        Ok(byte) => out.extend_from_slice(&[code::UINT_SMALL, byte]),
        Err(_) => {
            out.push(code::UINT);
            out.extend_from_slice(&value.to_be_bytes());
        }
    }
}

/// A ulong.
pub fn ulong(value: u64, out: &mut Vec<u8>) {
    match u8::try_from(value) {
        Ok(0) => out.push(code::ULONG_0),
        Ok(byte) => out.extend_from_slice(&[code::ULONG_SMALL, byte]),
        Err(_) => {
            out.push(code::ULONG);
            out.extend_from_slice(&value.to_be_bytes());
        }
    }
}

/// Milliseconds since 1970.
pub fn timestamp(value: i64, out: &mut Vec<u8>) {
    out.push(code::TIMESTAMP);
    out.extend_from_slice(&value.to_be_bytes());
}

/// A UUID.
pub fn uuid(value: &[u8; 16], out: &mut Vec<u8>) {
    out.push(code::UUID);
    out.extend_from_slice(value);
}

/// Bytes.
#[inline]
pub fn binary(value: &[u8], out: &mut Vec<u8>) {
    variable(code::BINARY_8, value, out);
}

/// A string.
pub fn string(value: &str, out: &mut Vec<u8>) {
    variable(code::STRING_8, value.as_bytes(), out);
}

/// A symbol. What is not ASCII has no form as one and is left out.
pub fn symbol(value: &str, out: &mut Vec<u8>) {
    if value.is_ascii() {
        variable(code::SYMBOL_8, value.as_bytes(), out);
    } else {
        null(out);
    }
}

/// Symbols, as a field with several values has them (1.4): null if there are none. Each has up to 255 bytes.
pub fn symbols(all: &[&str], out: &mut Vec<u8>) {
    if all.is_empty() {
        return null(out);
    }
    let mut items = vec![code::SYMBOL_8];
    for one in all {
        let size = u8::try_from(one.len()).unwrap_or(u8::MAX);
        items.push(size);
        items.extend_from_slice(&one.as_bytes()[..size.into()]);
    }
    out.push(code::ARRAY_32);
    out.extend_from_slice(&u32::try_from(items.len() + 4).unwrap_or(u32::MAX).to_be_bytes());
    out.extend_from_slice(&u32::try_from(all.len()).unwrap_or(u32::MAX).to_be_bytes());
    out.extend_from_slice(&items);
}

/// `short` is the code of the form with a size of one byte.
#[inline]
fn variable(short: u8, value: &[u8], out: &mut Vec<u8>) {
    match u8::try_from(value.len()) {
        Ok(size) => out.extend_from_slice(&[short, size]),
        Err(_) => {
            out.push(short | 0x10);
            // No message comes near 4 GiB: `message_bytes_max` stands before.
            out.extend_from_slice(&u32::try_from(value.len()).unwrap_or(u32::MAX).to_be_bytes());
        }
    }
    out.extend_from_slice(value);
}

/// The descriptor of one of the standard's own types.
#[inline]
pub fn descriptor(code: u8, out: &mut Vec<u8>) {
    out.extend_from_slice(&[code::DESCRIBED, code::ULONG_SMALL, code]);
}

/// A list of up to 255 bytes. `write` gets them, and says how many elements it wrote. A longer one is moved up.
#[inline]
pub fn list(out: &mut Vec<u8>, write: impl FnOnce(&mut Vec<u8>) -> u8) {
    compound(code::LIST_8, out, |out| u32::from(write(out)));
}

/// A map: as [`list`], but the count is of pairs.
pub fn map(out: &mut Vec<u8>, write: impl FnOnce(&mut Vec<u8>) -> u32) {
    compound(code::MAP_8, out, |out| 2 * write(out));
}

#[inline]
fn compound(short: u8, out: &mut Vec<u8>, write: impl FnOnce(&mut Vec<u8>) -> u32) {
    let start = out.len();
    out.extend_from_slice(&[short, 0, 0]);
    let count = write(out);
    let size = out.len() - start - 2;
    match (u8::try_from(size), u8::try_from(count)) {
        (Ok(size), Ok(count)) => {
            out[start + 1] = size;
            out[start + 2] = count;
        }
        _ => {
            out[start] = short | 0x10;
            let size = u32::try_from(size + 3).unwrap_or(u32::MAX).to_be_bytes();
            let count = count.to_be_bytes();
            let head = size.into_iter().chain(count);
            out.splice(start + 1..start + 3, head);
        }
    }
}
