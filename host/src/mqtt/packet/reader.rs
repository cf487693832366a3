//! A cursor over the bytes of one packet. It never reads past their end and never copies.

use super::text;
use crate::mqtt::violation::Violation;

/// What is left of a packet.
#[derive(Debug, Clone, Copy)]
pub struct Reader<'b> {
    rest: &'b [u8],
}

type Read<T> = Result<T, Violation>;

impl<'b> Reader<'b> {
    /// From the first byte after the fixed header.
    pub fn new(body: &'b [u8]) -> Self {
        Self { rest: body }
    }

    /// Whether everything was read.
    pub fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    /// Everything that was not read.
    pub fn rest(self) -> &'b [u8] {
        self.rest
    }

    /// That nothing is left (F13).
    pub fn end(self) -> Read<()> {
        if self.rest.is_empty() { Ok(()) } else { Err(Violation::TrailingBytes) }
    }

    /// So many bytes.
    #[inline]
    pub fn take(&mut self, count: usize) -> Read<&'b [u8]> {
        let (taken, rest) = self.rest.split_at_checked(count).ok_or(Violation::Truncated)?;
        self.rest = rest;
        Ok(taken)
    }

    /// One byte.
    #[inline]
    pub fn u8(&mut self) -> Read<u8> {
        let (first, rest) = self.rest.split_first().ok_or(Violation::Truncated)?;
        self.rest = rest;
        Ok(*first)
    }

    /// Two bytes (1.5.2).
    #[inline]
    pub fn u16(&mut self) -> Read<u16> {
        let (first, rest) = self.rest.split_first_chunk().ok_or(Violation::Truncated)?;
        self.rest = rest;
        Ok(u16::from_be_bytes(*first))
    }

    /// Four bytes (1.5.3).
    pub fn u32(&mut self) -> Read<u32> {
        let (first, rest) = self.rest.split_first_chunk().ok_or(Violation::Truncated)?;
        self.rest = rest;
        Ok(u32::from_be_bytes(*first))
    }

    /// A variable byte integer of at most four bytes, in its shortest form (1.5.5, MQTT-1.5.5-1).
    pub fn variable(&mut self) -> Read<u32> {
        let mut value = 0;
        for shift in [0, 7, 14, 21] {
            let byte = self.u8()?;
            value |= u32::from(byte & 0x7F) << shift;
            if byte < 0x80 {
                return if byte == 0 && shift > 0 { Err(Violation::NumberNotMinimal) } else { Ok(value) };
            }
        }
        Err(Violation::NumberNotMinimal)
    }

    /// Bytes with a length before them (1.5.6).
    #[inline]
    pub fn data(&mut self) -> Read<&'b [u8]> {
        let length = self.u16()?;
        self.take(usize::from(length))
    }

    /// Text with a length before it (1.5.4).
    pub fn text(&mut self) -> Read<&'b str> {
        text::text(self.data()?)
    }

    /// A packet identifier (MQTT-2.2.1-3).
    #[inline]
    pub fn identifier(&mut self) -> Read<u16> {
        match self.u16()? {
            0 => Err(Violation::IdentifierZero),
            identifier => Ok(identifier),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variable_byte_integers_are_strict() {
        // MQTT-1.5.5-1
        for (bytes, expected) in [
            (&[0x00][..], Ok(0)),
            (&[0x7F], Ok(127)),
            (&[0x80, 0x01], Ok(128)),
            (&[0xFF, 0xFF, 0xFF, 0x7F], Ok(268_435_455)),
            (&[0x80, 0x00], Err(Violation::NumberNotMinimal)),
            (&[0x80, 0x80, 0x80, 0x00], Err(Violation::NumberNotMinimal)),
            (&[0x80, 0x80, 0x80, 0x80, 0x01], Err(Violation::NumberNotMinimal)),
            (&[0x80], Err(Violation::Truncated)),
            (&[], Err(Violation::Truncated)),
        ] {
            assert_eq!(Reader::new(bytes).variable(), expected, "{bytes:02X?}");
        }
    }

    #[test]
    fn a_length_past_the_end_is_an_error() {
        // F14
        assert_eq!(Reader::new(&[0xFF, 0xFF, 0x61]).data(), Err(Violation::Truncated));
        assert_eq!(Reader::new(&[0x00]).u16(), Err(Violation::Truncated));
        assert_eq!(Reader::new(&[0x00, 0x01]).u32(), Err(Violation::Truncated));
    }
}
