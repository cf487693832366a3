//! Holds bytes against the type system (1.6) before anything is made of them: known codes, sizes and counts that agree with
//! the bytes, text that is text, maps with pairs and no key twice. Time is linear in the bytes and the stack has a bound.

use super::code;
use std::collections::HashSet;
use std::fmt;

/// What is wrong with an encoding.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Malformed {
    /// The value goes on after the bytes end.
    Truncated,
    /// No type has this code.
    Code(u8),
    /// A size or count does not agree with what is there.
    Count,
    /// A boolean that is neither, or a number that is no character.
    Value,
    /// Not UTF-8.
    Text,
    /// Not ASCII.
    Symbol,
    /// Two entries have one key.
    DuplicateKey,
    /// Values lie in each other too deep.
    Depth,
    /// Too many values.
    Elements,
}

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Truncated => "a value goes on after the bytes end",
            Self::Code(code) => return write!(f, "no type has the code 0x{code:02x}"),
            Self::Count => "a size or count does not agree with what is there",
            Self::Value => "a value is outside its type",
            Self::Text => "a string is not UTF-8",
            Self::Symbol => "a symbol is not ASCII",
            Self::DuplicateKey => "a map has one key twice",
            Self::Depth => "values lie in each other too deep",
            Self::Elements => "too many values",
        })
    }
}

/// How much a check may meet.
#[derive(Debug, Clone, Copy)]
pub struct Budget {
    /// Levels of values within values.
    pub depth: u32,
    /// Values.
    pub elements: u32,
}

/// Up to so many keys are compared one by one.
const FEW_KEYS: usize = 16;

/// Checks one value at the start of `bytes`; its length.
pub fn value(bytes: &[u8], budget: &mut Budget) -> Result<usize, Malformed> {
    let Budget { depth, .. } = *budget;
    at(bytes, 0, depth, &mut budget.elements)
}

/// Checks the value at `start`; where it ends.
fn at(bytes: &[u8], start: usize, depth: u32, elements: &mut u32) -> Result<usize, Malformed> {
    let (code, body) = constructor(bytes, start, depth, elements)?;
    let nested = depth.saturating_sub((body - start > 1).into());
    content(bytes, code, body, nested, elements)
}

/// Reads a constructor with its descriptors; the code, and where what it describes begins.
fn constructor(bytes: &[u8], start: usize, depth: u32, elements: &mut u32) -> Result<(u8, usize), Malformed> {
    let first = *bytes.get(start).ok_or(Malformed::Truncated)?;
    if first != code::DESCRIBED {
        return Ok((first, start + 1));
    }
    let depth = depth.checked_sub(1).ok_or(Malformed::Depth)?;
    let described = at(bytes, start + 1, depth, elements)?;
    constructor(bytes, described, depth, elements)
}

/// Checks what follows the constructor; where it ends.
fn content(bytes: &[u8], code: u8, body: usize, depth: u32, elements: &mut u32) -> Result<usize, Malformed> {
    *elements = elements.checked_sub(1).ok_or(Malformed::Elements)?;
    match code {
        0xC0..=0xFF => compound(bytes, code, body, depth, elements),
        0xA0..=0xBF => variable(bytes, code, body),
        _ => {
            let width = fixed_width(code).ok_or(Malformed::Code(code))?;
            let end = body + width;
            let content = bytes.get(body..end).ok_or(Malformed::Truncated)?;
            match code {
                code::BOOLEAN if content[0] > 1 => Err(Malformed::Value),
                code::CHAR if char::from_u32(be_u32(content)).is_none() => Err(Malformed::Value),
                _ => Ok(end),
            }
        }
    }
}

/// Bytes after the constructor of a type of fixed width.
pub(super) fn fixed_width(code: u8) -> Option<usize> {
    match code {
        0x40..=0x45 => Some(0),
        0x50..=0x56 => Some(1),
        0x60 | 0x61 => Some(2),
        0x70..=0x74 => Some(4),
        0x80..=0x84 => Some(8),
        0x94 | 0x98 => Some(16),
        _ => None,
    }
}

/// The size that stands at `body`, and where what it counts begins.
pub(super) fn sized(bytes: &[u8], code: u8, body: usize) -> Option<(usize, usize)> {
    if code & 0x10 == 0 {
        return Some((usize::from(*bytes.get(body)?), body + 1));
    }
    Some((be_u32(bytes.get(body..body + 4)?) as usize, body + 4))
}

fn be_u32(bytes: &[u8]) -> u32 {
    bytes.iter().take(4).fold(0, |n, byte| n << 8 | u32::from(*byte))
}

fn variable(bytes: &[u8], code: u8, body: usize) -> Result<usize, Malformed> {
    let (size, start) = sized(bytes, code, body).ok_or(Malformed::Truncated)?;
    let end = start.checked_add(size).ok_or(Malformed::Truncated)?;
    let content = bytes.get(start..end).ok_or(Malformed::Truncated)?;
    match code {
        code::BINARY_8 | code::BINARY_32 => Ok(end),
        code::STRING_8 | code::STRING_32 if simdutf8::basic::from_utf8(content).is_ok() => Ok(end),
        code::STRING_8 | code::STRING_32 => Err(Malformed::Text),
        code::SYMBOL_8 | code::SYMBOL_32 if content.is_ascii() => Ok(end),
        code::SYMBOL_8 | code::SYMBOL_32 => Err(Malformed::Symbol),
        _ => Err(Malformed::Code(code)),
    }
}

fn compound(bytes: &[u8], code: u8, body: usize, depth: u32, elements: &mut u32) -> Result<usize, Malformed> {
    let depth = depth.checked_sub(1).ok_or(Malformed::Depth)?;
    let (size, start) = sized(bytes, code, body).ok_or(Malformed::Truncated)?;
    let end = start.checked_add(size).filter(|end| *end <= bytes.len()).ok_or(Malformed::Truncated)?;
    let within = &bytes[..end];
    let (count, first) = sized(within, code, start).ok_or(Malformed::Count)?;
    let last = match code {
        code::LIST_8 | code::LIST_32 => list(within, first, count, depth, elements)?,
        code::MAP_8 | code::MAP_32 => map(within, first, count, depth, elements)?,
        code::ARRAY_8 | code::ARRAY_32 => array(within, first, count, depth, elements)?,
        _ => return Err(Malformed::Code(code)),
    };
    if last == end { Ok(end) } else { Err(Malformed::Count) }
}

fn list(bytes: &[u8], first: usize, count: usize, depth: u32, elements: &mut u32) -> Result<usize, Malformed> {
    let mut here = first;
    for _ in 0..count {
        here = at(bytes, here, depth, elements).map_err(within)?;
    }
    Ok(here)
}

fn map(bytes: &[u8], first: usize, count: usize, depth: u32, elements: &mut u32) -> Result<usize, Malformed> {
    if count % 2 == 1 || count > bytes.len() - first {
        return Err(Malformed::Count);
    }
    let mut keys = Keys::default();
    let mut here = first;
    for _ in 0..count / 2 {
        let value = at(bytes, here, depth, elements).map_err(within)?;
        keys.add(&bytes[here..value])?;
        here = at(bytes, value, depth, elements).map_err(within)?;
    }
    Ok(here)
}

fn array(bytes: &[u8], first: usize, count: usize, depth: u32, elements: &mut u32) -> Result<usize, Malformed> {
    let (code, mut here) = constructor(bytes, first, depth, elements).map_err(within)?;
    // Elements without bytes of their own cost nothing to look at, but whoever reads them makes something of each.
    if fixed_width(code) == Some(0) {
        let count = u32::try_from(count).map_err(|_| Malformed::Elements)?;
        *elements = elements.checked_sub(count).ok_or(Malformed::Elements)?;
        return Ok(here);
    }
    for _ in 0..count {
        here = content(bytes, code, here, depth, elements).map_err(within)?;
    }
    Ok(here)
}

/// What goes on after its list ends does not agree with that list.
fn within(malformed: Malformed) -> Malformed {
    if malformed == Malformed::Truncated { Malformed::Count } else { malformed }
}

/// A value that was checked, whichever of its type's encodings it has: the code of the longest, and the bytes that differ.
type Key<'b> = (u8, &'b [u8]);

/// The same for the same value (1.6.23), but for lists, maps, arrays and described values: these are as they are encoded.
fn key(encoded: &[u8]) -> Key<'_> {
    let (code, body) = encoded.split_first().map_or((0, encoded), |(code, body)| (*code, body));
    match code {
        0xA0..=0xAF => (code | 0x10, body.get(1..).unwrap_or_default()),
        0xB0..=0xBF => (code, body.get(4..).unwrap_or_default()),
        code::TRUE => (code::BOOLEAN, &[1]),
        code::FALSE => (code::BOOLEAN, &[0]),
        code::UINT | code::UINT_SMALL | code::UINT_0 => (code::UINT, digits(body)),
        code::ULONG | code::ULONG_SMALL | code::ULONG_0 => (code::ULONG, digits(body)),
        code::INT | code::INT_SMALL => (code::INT, signed(body)),
        code::LONG | code::LONG_SMALL => (code::LONG, signed(body)),
        _ => (code, body),
    }
}

/// A number without the zeros that it begins with.
fn digits(body: &[u8]) -> &[u8] {
    &body[body.iter().take_while(|byte| **byte == 0).count()..]
}

/// The same for one with a sign, which is that of the first byte that is left.
fn signed(mut body: &[u8]) -> &[u8] {
    while let [first @ (0 | 0xFF), rest @ ..] = body
        && rest.first().is_some_and(|next| (next ^ first) & 0x80 == 0)
    {
        body = rest;
    }
    body
}

/// The keys of a map.
#[derive(Default)]
struct Keys<'b> {
    few: smallvec::SmallVec<[Key<'b>; FEW_KEYS]>,
    many: HashSet<Key<'b>>,
}

impl<'b> Keys<'b> {
    fn add(&mut self, encoded: &'b [u8]) -> Result<(), Malformed> {
        let key = key(encoded);
        let known = if self.many.is_empty() { self.few.contains(&key) } else { !self.many.insert(key) };
        if known {
            return Err(Malformed::DuplicateKey);
        }
        if self.many.is_empty() {
            self.few.push(key);
            if self.few.len() == FEW_KEYS {
                self.many.extend(self.few.drain(..));
            }
        }
        Ok(())
    }
}
