//! The fixed header: first byte and remaining length, read from bytes that may end anywhere.

use super::{Version, kind};
use crate::mqtt::violation::Violation;

/// The first two to five bytes of a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    /// Bytes of the header itself.
    pub bytes: usize,
    /// Bytes that follow.
    pub remaining: usize,
}

impl Header {
    /// Length of the whole packet.
    pub fn total(self) -> usize {
        self.bytes + self.remaining
    }

    /// Whether the length is in its shortest form (MQTT-1.5.5-1).
    pub fn is_minimal(self) -> bool {
        self.bytes == 2 || self.remaining >> (7 * (self.bytes - 2)) != 0
    }
}

/// Reads the remaining length of the packet that begins with `bytes`; none: more bytes are needed. Reads at most five
/// bytes (F01).
#[inline]
pub fn read(bytes: &[u8]) -> Result<Option<Header>, Violation> {
    match bytes {
        [_, length, ..] if *length < 0x80 => Ok(Some(Header { bytes: 2, remaining: usize::from(*length) })),
        _ => read_long(bytes),
    }
}

fn read_long(bytes: &[u8]) -> Result<Option<Header>, Violation> {
    let mut remaining = 0;
    for (index, byte) in bytes.iter().skip(1).take(4).enumerate() {
        remaining |= usize::from(byte & 0x7F) << (7 * index);
        if *byte < 0x80 {
            return Ok(Some(Header { bytes: index + 2, remaining }));
        }
    }
    if bytes.len() >= 5 { Err(Violation::LengthTooLong) } else { Ok(None) }
}

/// Where a DISCONNECT begins, among whole packets or behind them.
pub fn find_goodbye(bytes: &[u8]) -> Option<usize> {
    let mut at = 0;
    while let Some(first) = bytes.get(at) {
        if first >> 4 == kind::DISCONNECT {
            return Some(at);
        }
        at += read(&bytes[at..]).ok()??.total();
    }
    None
}

/// Checks the first byte of a packet after CONNECT: type and flags (MQTT-2.1.3-1). Known before the length is, so that
/// nothing is read on behalf of a packet that cannot be.
///
/// MQTT 3.1 leaves the flags of most packets unused and lets a client set DUP where it sends again, so only the QoS of
/// SUBSCRIBE, UNSUBSCRIBE and PUBREL is checked there.
pub fn check_first(first: u8, version: Version) -> Result<(), Violation> {
    let flags = first & 0x0F;
    let wanted = match first >> 4 {
        kind::PUBLISH => {
            return match flags & 0b0110 {
                0b0110 => Err(Violation::QosInvalid),
                0 if flags & 0b1000 != 0 => Err(Violation::DuplicateOfQosZero),
                _ => Ok(()),
            };
        }
        kind::PUBREL | kind::SUBSCRIBE | kind::UNSUBSCRIBE => 0b0010,
        kind::CONNECT => return Err(Violation::SecondConnect),
        kind::CONNACK | kind::SUBACK | kind::UNSUBACK | kind::PINGRESP => return Err(Violation::ServerPacket),
        kind::AUTH if version < Version::V5 => return Err(Violation::ReservedType),
        0 => return Err(Violation::ReservedType),
        _ => 0,
    };
    let fits = if version == Version::V31 { flags & 0b0110 == wanted || wanted == 0 } else { flags == wanted };
    if fits { Ok(()) } else { Err(Violation::ReservedFlags) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_goodbye_is_found_where_a_packet_begins_and_nowhere_else() {
        for (bytes, at) in [
            (&[0xE0, 0][..], Some(0)),
            (&[0x30, 3, 0xE0, 0, 0, 0xE0, 2, 0, 0], Some(5)),
            (&[0x30, 3, 0xE0, 0, 0], None),
            (&[0x30, 0x83], None),
            (&[0x30, 9, 0xE0, 0], None),
            (&[0x30, 0x80, 0x80, 0x80, 0x80, 0xE0], None),
            (&[], None),
        ] {
            assert_eq!(find_goodbye(bytes), at, "{bytes:02X?}");
        }
    }

    #[test]
    fn remaining_lengths_are_read() {
        for (bytes, expected) in [
            (&[][..], Ok(None)),
            (&[0x30], Ok(None)),
            (&[0x30, 0x00], Ok(Some((2, 0)))),
            (&[0x30, 0x7F, 0x01], Ok(Some((2, 127)))),
            (&[0x30, 0x80], Ok(None)),
            (&[0x30, 0x80, 0x01], Ok(Some((3, 128)))),
            (&[0x30, 0xFF, 0xFF, 0xFF, 0x7F], Ok(Some((5, 268_435_455)))),
            (&[0x30, 0xFF, 0xFF, 0xFF], Ok(None)),
            (&[0x10, 0xFF, 0xFF, 0xFF, 0xFF], Err(Violation::LengthTooLong)), // F01
            (&[0x10, 0xFF, 0xFF, 0xFF, 0xFF, 0x01], Err(Violation::LengthTooLong)),
        ] {
            assert_eq!(read(bytes).map(|h| h.map(|h| (h.bytes, h.remaining))), expected, "{bytes:02X?}");
        }
    }

    #[test]
    fn longer_forms_are_noticed() {
        // MQTT-1.5.5-1
        for (bytes, minimal) in [
            (&[0x30, 0x00][..], true),
            (&[0x30, 0x80, 0x00], false),
            (&[0x30, 0xFF, 0x00], false),
            (&[0x30, 0x80, 0x01], true),
            (&[0x30, 0x80, 0x80, 0x80, 0x00], false),
            (&[0x30, 0x80, 0x80, 0x80, 0x01], true),
        ] {
            assert_eq!(read(bytes).unwrap().unwrap().is_minimal(), minimal, "{bytes:02X?}");
        }
    }

    #[test]
    fn first_bytes_are_checked() {
        use Version::{V5, V31, V311};
        for (first, version, expected) in [
            (0x30, V5, Ok(())),
            (0x3D, V5, Ok(())),
            (0x36, V311, Err(Violation::QosInvalid)), // F08, MQTT-3.3.1-4
            (0x38, V311, Err(Violation::DuplicateOfQosZero)), // F09, MQTT-3.3.1-2
            (0x62, V311, Ok(())),
            (0x60, V311, Err(Violation::ReservedFlags)), // F07, MQTT-3.6.1-1
            (0x6A, V311, Err(Violation::ReservedFlags)),
            (0x6A, V31, Ok(())),                       // 3.1 sends PUBREL again with DUP
            (0x80, V5, Err(Violation::ReservedFlags)), // MQTT-3.8.1-1
            (0x80, V31, Err(Violation::ReservedFlags)),
            (0xA0, V5, Err(Violation::ReservedFlags)), // MQTT-3.10.1-1
            (0xC1, V5, Err(Violation::ReservedFlags)),
            (0xE1, V5, Err(Violation::ReservedFlags)), // MQTT-3.14.1-1
            (0x41, V5, Err(Violation::ReservedFlags)),
            (0x10, V5, Err(Violation::SecondConnect)), // F10, MQTT-3.1.0-2
            (0x20, V5, Err(Violation::ServerPacket)),  // F11
            (0x90, V5, Err(Violation::ServerPacket)),
            (0xB0, V5, Err(Violation::ServerPacket)),
            (0xD0, V5, Err(Violation::ServerPacket)),
            (0x00, V5, Err(Violation::ReservedType)), // F06
            (0xF0, V311, Err(Violation::ReservedType)),
            (0xF0, V5, Ok(())),
            (0xF1, V5, Err(Violation::ReservedFlags)), // MQTT-3.15.1-1
        ] {
            assert_eq!(check_first(first, version), expected, "{first:02X} {version:?}");
        }
    }
}
