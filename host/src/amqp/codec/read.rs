//! Reads values where they lie. Every step is bound by the bytes; what was not checked before gives nothing instead of
//! something wrong.

use super::check::{fixed_width, sized};
use super::code;

/// One value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Value<'b> {
    /// Its format code; of a described value [`code::DESCRIBED`].
    pub code: u8,
    /// What follows the constructor, without its size; of a described value all after the first byte.
    pub body: &'b [u8],
    /// All of it.
    pub raw: &'b [u8],
}

/// Values one after the other.
#[derive(Debug, Clone, Copy)]
pub struct Reader<'b> {
    bytes: &'b [u8],
    /// How many there still are at most: what a list says of itself.
    count: u32,
}

/// What stands before a described value (1.2): the standard's own have a number and a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Descriptor<'b> {
    /// Domain and number.
    Code(u64),
    /// A symbol.
    Name(&'b str),
}

impl<'b> Reader<'b> {
    /// Reads from the start of `bytes`.
    pub fn new(bytes: &'b [u8]) -> Self {
        Self { bytes, count: u32::MAX }
    }

    /// Whether all was read that a list said of itself, and nothing more is there.
    pub fn is_finished(&self) -> bool {
        self.bytes.is_empty() && self.count == 0
    }

    /// What is left.
    pub fn rest(&self) -> &'b [u8] {
        self.bytes
    }

    /// The next value, if there is one and it is not null.
    #[inline]
    pub fn field(&mut self) -> Option<Value<'b>> {
        self.next().filter(|value| value.code != code::NULL)
    }
}

/// Ends where nothing is left, or a value is cut short.
impl<'b> Iterator for Reader<'b> {
    type Item = Value<'b>;

    #[inline]
    fn next(&mut self) -> Option<Value<'b>> {
        let bytes = self.bytes;
        let code = *bytes.first()?;
        let count = self.count.checked_sub(1)?;
        let (start, end) = extent(bytes, code)?;
        let raw = bytes.get(..end)?;
        self.count = count;
        self.bytes = &bytes[end..];
        Some(Value { code, body: &raw[start..], raw })
    }
}

/// Where the content of the value at the start of `bytes` begins, and where it ends.
#[inline]
fn extent(bytes: &[u8], code: u8) -> Option<(usize, usize)> {
    match code {
        code::DESCRIBED => described_end(bytes).map(|end| (1, end)),
        0xA0.. => {
            let (size, start) = sized(bytes, code, 1)?;
            Some((start, start.checked_add(size)?))
        }
        _ => Some((1, 1 + fixed_width(code)?)),
    }
}

/// Walks descriptors, which may be described themselves, without recursion.
fn described_end(bytes: &[u8]) -> Option<usize> {
    let mut at = 0;
    // Each descriptor leaves one value more to walk over.
    let mut values = 1usize;
    while values > 0 {
        let code = *bytes.get(at)?;
        if code == code::DESCRIBED {
            at += 1;
            values += 1;
        } else {
            let (_, end) = extent(&bytes[at..], code)?;
            at = at.checked_add(end)?;
            values -= 1;
        }
    }
    Some(at)
}

impl<'b> Value<'b> {
    /// Whether it is null.
    pub fn is_null(&self) -> bool {
        self.code == code::NULL
    }

    /// A boolean.
    pub fn as_bool(&self) -> Option<bool> {
        match (self.code, self.body) {
            (code::TRUE, _) | (code::BOOLEAN, [1]) => Some(true),
            (code::FALSE, _) | (code::BOOLEAN, [0]) => Some(false),
            _ => None,
        }
    }

    /// A ubyte.
    pub fn as_ubyte(&self) -> Option<u8> {
        match (self.code, self.body) {
            (code::UBYTE, [byte]) => Some(*byte),
            _ => None,
        }
    }

    /// A uint.
    #[inline]
    pub fn as_uint(&self) -> Option<u32> {
        match (self.code, self.body) {
            (code::UINT_0, _) => Some(0),
            (code::UINT_SMALL, [byte]) => Some((*byte).into()),
            (code::UINT, body) => Some(u32::from_be_bytes(body.try_into().ok()?)),
            _ => None,
        }
    }

    /// A ulong.
    pub fn as_ulong(&self) -> Option<u64> {
        match (self.code, self.body) {
            (code::ULONG_0, _) => Some(0),
            (code::ULONG_SMALL, [byte]) => Some((*byte).into()),
            (code::ULONG, body) => Some(u64::from_be_bytes(body.try_into().ok()?)),
            _ => None,
        }
    }

    /// Any whole number.
    pub fn as_integer(&self) -> Option<i128> {
        let narrow = || {
            let bytes: [u8; 1] = self.body.try_into().ok()?;
            Some(i128::from(i8::from_be_bytes(bytes)))
        };
        match self.code {
            code::UBYTE => self.as_ubyte().map(i128::from),
            code::USHORT => Some(u16::from_be_bytes(self.body.try_into().ok()?).into()),
            code::UINT_0 | code::UINT_SMALL | code::UINT => self.as_uint().map(i128::from),
            code::ULONG_0 | code::ULONG_SMALL | code::ULONG => self.as_ulong().map(i128::from),
            0x51 | code::INT_SMALL | code::LONG_SMALL => narrow(),
            0x61 => Some(i16::from_be_bytes(self.body.try_into().ok()?).into()),
            0x71 => Some(i32::from_be_bytes(self.body.try_into().ok()?).into()),
            0x81 => Some(i64::from_be_bytes(self.body.try_into().ok()?).into()),
            _ => None,
        }
    }

    /// A float or double.
    pub fn as_float(&self) -> Option<f64> {
        match self.code {
            0x72 => Some(f32::from_be_bytes(self.body.try_into().ok()?).into()),
            0x82 => Some(f64::from_be_bytes(self.body.try_into().ok()?)),
            _ => None,
        }
    }

    /// Milliseconds since 1970.
    pub fn as_timestamp(&self) -> Option<i64> {
        match self.code {
            code::TIMESTAMP => Some(i64::from_be_bytes(self.body.try_into().ok()?)),
            _ => None,
        }
    }

    /// A character.
    pub fn as_char(&self) -> Option<char> {
        match self.code {
            code::CHAR => char::from_u32(u32::from_be_bytes(self.body.try_into().ok()?)),
            _ => None,
        }
    }

    /// A UUID.
    pub fn as_uuid(&self) -> Option<[u8; 16]> {
        (self.code == code::UUID).then(|| self.body.try_into().ok())?
    }

    /// Bytes.
    pub fn as_binary(&self) -> Option<&'b [u8]> {
        matches!(self.code, code::BINARY_8 | code::BINARY_32).then_some(self.body)
    }

    /// A string.
    pub fn as_str(&self) -> Option<&'b str> {
        matches!(self.code, code::STRING_8 | code::STRING_32).then(|| simdutf8::basic::from_utf8(self.body).ok())?
    }

    /// A symbol.
    pub fn as_symbol(&self) -> Option<&'b str> {
        let is_symbol = matches!(self.code, code::SYMBOL_8 | code::SYMBOL_32) && self.body.is_ascii();
        is_symbol.then(|| std::str::from_utf8(self.body).ok())?
    }

    /// Of an array: how many elements it has, the constructor of each, and what follows that.
    pub fn array(&self) -> Option<(u32, u8, &'b [u8])> {
        let (count, rest) = match self.code {
            code::ARRAY_8 => self.body.split_first().map(|(count, rest)| (u32::from(*count), rest))?,
            code::ARRAY_32 => self.body.split_first_chunk().map(|(count, rest)| (u32::from_be_bytes(*count), rest))?,
            _ => return None,
        };
        let (of, rest) = rest.split_first()?;
        Some((count, *of, rest))
    }

    /// A symbol, or an array of them: what a field with several values may be (1.4).
    pub fn symbols(&self) -> Option<Vec<&'b str>> {
        let Some((count, of, mut rest)) = self.array() else { return self.as_symbol().map(|one| vec![one]) };
        let mut found = Vec::new();
        for _ in 0..count {
            let (size, start) = sized(rest, of, 0)?;
            let body = rest.get(start..start.checked_add(size)?)?;
            found.push(Value { code: of, body, raw: body }.as_symbol()?);
            rest = &rest[start + size..];
        }
        Some(found)
    }

    /// The descriptor and what it describes.
    pub fn described(&self) -> Option<(Descriptor<'b>, Value<'b>)> {
        if self.code != code::DESCRIBED {
            return None;
        }
        let mut reader = Reader::new(self.body);
        let descriptor = reader.next()?;
        let descriptor = match descriptor.as_ulong() {
            Some(code) => Descriptor::Code(code),
            None => Descriptor::Name(descriptor.as_symbol()?),
        };
        Some((descriptor, reader.next()?))
    }

    /// The elements of a list, or the keys and values of a map in turn.
    pub fn elements(&self) -> Option<Reader<'b>> {
        match self.code {
            code::LIST_0 => Some(Reader { bytes: &[], count: 0 }),
            code::LIST_8 | code::MAP_8 => {
                let (count, bytes) = self.body.split_first()?;
                Some(Reader { bytes, count: (*count).into() })
            }
            code::LIST_32 | code::MAP_32 => {
                let (count, bytes) = self.body.split_first_chunk::<4>()?;
                Some(Reader { bytes, count: u32::from_be_bytes(*count) })
            }
            _ => None,
        }
    }

    /// The elements of a list.
    pub fn list(&self) -> Option<Reader<'b>> {
        matches!(self.code, code::LIST_0 | code::LIST_8 | code::LIST_32).then(|| self.elements())?
    }

    /// The keys and values of a map in turn.
    pub fn map(&self) -> Option<Reader<'b>> {
        matches!(self.code, code::MAP_8 | code::MAP_32).then(|| self.elements())?
    }
}
