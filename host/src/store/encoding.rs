//! Compact bytes: how numbers, texts and lists stand in a row, and how they are read back without trusting any of it.

/// A row that is not what was once written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub(super) struct Damage(pub &'static str);

/// Appends a number: seven bits a byte, the lowest first, the highest bit saying that more follow.
pub(super) fn number(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// Appends bytes behind their length.
pub(super) fn bytes(out: &mut Vec<u8>, value: &[u8]) {
    number(out, value.len() as u64);
    out.extend_from_slice(value);
}

/// Appends a text behind its length.
pub(super) fn text(out: &mut Vec<u8>, value: &str) {
    bytes(out, value.as_bytes());
}

/// Appends whether there is a value, and the value.
pub(super) fn option<T>(out: &mut Vec<u8>, value: Option<T>, write: impl FnOnce(&mut Vec<u8>, T)) {
    out.push(u8::from(value.is_some()));
    if let Some(value) = value {
        write(out, value);
    }
}

/// Reads what the functions above wrote. Whatever the bytes are, it neither panics nor allocates.
#[derive(Debug)]
pub(super) struct Decoder<'a>(&'a [u8]);

impl<'a> Decoder<'a> {
    /// Starts at the first byte.
    pub fn new(row: &'a [u8]) -> Self {
        Self(row)
    }

    /// The next so many bytes.
    pub fn take(&mut self, count: usize) -> Result<&'a [u8], Damage> {
        let (head, rest) = self.0.split_at_checked(count).ok_or(Damage("the row ends too early"))?;
        self.0 = rest;
        Ok(head)
    }

    /// All that is left.
    pub fn rest(&mut self) -> &'a [u8] {
        std::mem::take(&mut self.0)
    }

    /// One byte.
    pub fn byte(&mut self) -> Result<u8, Damage> {
        Ok(self.take(1)?[0])
    }

    /// A byte that is 0 or 1.
    pub fn flag(&mut self) -> Result<bool, Damage> {
        match self.byte()? {
            0 => Ok(false),
            1 => Ok(true),
            _ => Err(Damage("a flag is neither 0 nor 1")),
        }
    }

    /// See [`number`].
    pub fn number(&mut self) -> Result<u64, Damage> {
        let mut value = 0_u64;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            let bits = u64::from(byte & 0x7f);
            if shift == 63 && bits > 1 {
                break;
            }
            value |= bits << shift;
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(Damage("a number is too large"))
    }

    /// A number that fits a smaller type.
    pub fn small<T: TryFrom<u64>>(&mut self) -> Result<T, Damage> {
        T::try_from(self.number()?).map_err(|_| Damage("a number is too large"))
    }

    /// See [`bytes`].
    pub fn bytes(&mut self) -> Result<&'a [u8], Damage> {
        let length = self.small()?;
        self.take(length)
    }

    /// See [`text`].
    pub fn text(&mut self) -> Result<&'a str, Damage> {
        simdutf8::basic::from_utf8(self.bytes()?).map_err(|_| Damage("a text is not UTF-8"))
    }

    /// See [`option`].
    pub fn option<T>(&mut self, read: impl FnOnce(&mut Self) -> Result<T, Damage>) -> Result<Option<T>, Damage> {
        if self.flag()? { read(self).map(Some) } else { Ok(None) }
    }

    /// As many items as a number in front of them says; the list grows with what is there, not with what is declared.
    pub fn list<T>(&mut self, mut each: impl FnMut(&mut Self) -> Result<T, Damage>) -> Result<Vec<T>, Damage> {
        let count = self.number()?;
        let mut items = Vec::new();
        for _ in 0..count {
            let before = self.0.len();
            items.push(each(self)?);
            if self.0.len() == before {
                return Err(Damage("a list has items without bytes"));
            }
        }
        Ok(items)
    }

    /// Whether everything was read.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Nothing may be left.
    pub fn finish(self) -> Result<(), Damage> {
        if self.0.is_empty() { Ok(()) } else { Err(Damage("the row goes on after its end")) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_come_back() {
        for value in [0, 1, 127, 128, 16_383, 16_384, u64::from(u32::MAX), u64::MAX - 1, u64::MAX] {
            let mut out = Vec::new();
            number(&mut out, value);
            let mut decoder = Decoder::new(&out);
            assert_eq!(decoder.number(), Ok(value));
            assert_eq!(decoder.finish(), Ok(()));
        }
    }

    #[test]
    fn nothing_is_trusted() {
        let long = [0xff_u8; 11];
        assert!(Decoder::new(&long).number().is_err(), "number over 64 bits");
        assert!(Decoder::new(&[0x80]).number().is_err(), "number cut short");
        assert!(Decoder::new(&[0xff, 0xff, 0xff, 0xff, 0x0f, 1]).bytes().is_err(), "length past the end");
        assert!(Decoder::new(&[2, 0xff, 0xfe]).text().is_err(), "not UTF-8");
        assert!(Decoder::new(&[2]).flag().is_err(), "flag");
        assert!(Decoder::new(&[0xff, 0xff, 0xff, 0xff, 0x0f]).list(|_| Ok(())).is_err(), "list of nothing");
        assert!(Decoder::new(&[0]).finish().is_err(), "more than was asked for");
    }
}
