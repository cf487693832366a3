//! The few ways in which MQTT writes values, onto the end of a buffer.

/// The greatest value of a variable byte integer, and so the greatest remaining length (1.5.5).
pub const VARIABLE_MAX: usize = 268_435_455;

/// Bytes that a variable byte integer takes.
#[inline]
pub fn variable_len(value: usize) -> usize {
    match value {
        0..=0x7F => 1,
        0x80..=0x3FFF => 2,
        0x4000..=0x1F_FFFF => 3,
        _ => 4,
    }
}

/// A variable byte integer of at most [`VARIABLE_MAX`].
#[inline]
pub fn variable(out: &mut Vec<u8>, mut value: usize) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// Bytes with their length before them. What is longer than 65,535 bytes is cut: callers do not come here with more.
#[inline]
pub fn data(out: &mut Vec<u8>, data: &[u8]) {
    let length = u16::try_from(data.len()).unwrap_or(u16::MAX);
    out.extend_from_slice(&length.to_be_bytes());
    out.extend_from_slice(&data[..usize::from(length)]);
}

/// A property of two bytes.
pub fn two_bytes(out: &mut Vec<u8>, identifier: u8, value: u16) {
    let [a, b] = value.to_be_bytes();
    out.extend_from_slice(&[identifier, a, b]);
}

/// A property of four bytes.
pub fn four_bytes(out: &mut Vec<u8>, identifier: u8, value: u32) {
    let [a, b, c, d] = value.to_be_bytes();
    out.extend_from_slice(&[identifier, a, b, c, d]);
}

/// A property that is text or bytes.
pub fn property(out: &mut Vec<u8>, identifier: u8, value: &[u8]) {
    out.push(identifier);
    data(out, value);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mqtt::packet::reader::Reader;

    #[test]
    fn variable_byte_integers_come_back() {
        for value in [0, 1, 127, 128, 16_383, 16_384, 2_097_151, 2_097_152, VARIABLE_MAX] {
            let mut out = Vec::new();
            variable(&mut out, value);
            assert_eq!(out.len(), variable_len(value));
            assert_eq!(Reader::new(&out).variable(), Ok(value as u32));
        }
    }
}
