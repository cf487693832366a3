//! PUBACK, PUBREC, PUBREL and PUBCOMP: an identifier, and in 5.0 perhaps a reason.

use super::property::{self, Properties, id};
use super::reader::Reader;
use super::{Version, kind, writer};
use crate::mqtt::violation::Violation;

/// Reads identifier and reason code (0 where none stands, as in 3.x). What else is said is checked and dropped.
#[inline]
pub fn read(packet: u8, body: &[u8], version: Version, user_max: usize) -> Result<(u16, u8), Violation> {
    if let [high, low] = body {
        return match u16::from_be_bytes([*high, *low]) {
            0 => Err(Violation::IdentifierZero),
            handle => Ok((handle, 0)),
        };
    }
    read_long(packet, body, version, user_max)
}

fn read_long(packet: u8, body: &[u8], version: Version, user_max: usize) -> Result<(u16, u8), Violation> {
    let mut reader = Reader::new(body);
    let handle = reader.identifier()?;
    if version < Version::V5 {
        reader.end()?;
        return Ok((handle, 0));
    }
    let reason = reader.u8()?;
    if !reader.is_empty() {
        Properties::take(&mut reader, property::REASON, user_max)?.check()?;
        reader.end()?;
    }
    let known = match packet {
        kind::PUBREL | kind::PUBCOMP => matches!(reason, 0x00 | 0x92),
        _ => matches!(reason, 0x00 | 0x10 | 0x80 | 0x83 | 0x87 | 0x90 | 0x91 | 0x97 | 0x99),
    };
    if known { Ok((handle, reason)) } else { Err(Violation::ReasonCode) }
}

/// Appends the packet that begins with `first`, in its shortest form. A reason code is for 5.0 only.
#[inline]
pub fn write(out: &mut Vec<u8>, first: u8, handle: u16, reason: u8) {
    let [high, low] = handle.to_be_bytes();
    if reason == 0 {
        out.extend_from_slice(&[first, 2, high, low]);
    } else {
        out.extend_from_slice(&[first, 3, high, low, reason]);
    }
}

/// Appends the packet with words for people, for 5.0.
pub fn write_with_text(out: &mut Vec<u8>, first: u8, handle: u16, reason: u8, text: &str) {
    let properties = 3 + text.len();
    out.push(first);
    writer::variable(out, 3 + writer::variable_len(properties) + properties);
    out.extend_from_slice(&handle.to_be_bytes());
    out.push(reason);
    writer::variable(out, properties);
    writer::property(out, id::REASON_STRING, text.as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;
    use Version::{V5, V311};

    #[test]
    fn packets_are_read() {
        for (packet, version, body, expected) in [
            (kind::PUBACK, V311, &[0x12, 0x34][..], Ok((0x1234, 0))),
            (kind::PUBACK, V311, &[0, 0], Err(Violation::IdentifierZero)),
            (kind::PUBACK, V311, &[], Err(Violation::Truncated)),
            (kind::PUBACK, V311, &[1], Err(Violation::Truncated)),
            (kind::PUBACK, V311, &[0, 1, 0], Err(Violation::TrailingBytes)),
            (kind::PUBACK, V5, &[0, 1], Ok((1, 0))),
            (kind::PUBACK, V5, &[0, 1, 0x80], Ok((1, 0x80))),
            (kind::PUBREC, V5, &[0, 1, 0x10, 0], Ok((1, 0x10))),
            (kind::PUBREC, V5, &[0, 1, 0xFF, 0], Err(Violation::ReasonCode)),
            (kind::PUBREC, V5, &[0, 1, 0, 1], Err(Violation::Truncated)),
            (kind::PUBREC, V5, &[0, 1, 0, 0, 0], Err(Violation::TrailingBytes)),
            (kind::PUBREL, V5, &[0, 1, 0x92], Ok((1, 0x92))),
            (kind::PUBREL, V5, &[0, 1, 0x80], Err(Violation::ReasonCode)),
            (kind::PUBCOMP, V5, &[0, 1, 0x20], Err(Violation::ReasonCode)),
            (kind::PUBCOMP, V5, &[0, 1, 0, 4, 0x1F, 0, 1, b'p'], Ok((1, 0))),
            (kind::PUBCOMP, V5, &[0, 1, 0, 2, 0x01, 0], Err(Violation::MisplacedProperty)),
        ] {
            assert_eq!(read(packet, body, version, 5), expected, "{packet} {version:?} {body:02X?}");
        }
    }

    #[test]
    fn packets_are_written() {
        let mut out = Vec::new();
        write(&mut out, 0x40, 0x1234, 0);
        write(&mut out, 0x50, 1, 0x10);
        write_with_text(&mut out, 0x40, 1, 0x87, "no");
        assert_eq!(out, b"\x40\x02\x12\x34\x50\x03\0\x01\x10\x40\x09\0\x01\x87\x05\x1F\0\x02no");
    }
}
