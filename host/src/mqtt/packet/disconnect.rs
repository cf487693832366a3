//! DISCONNECT from a client.

use super::Version;
use super::property::{Properties, Value, id, set};
use super::reader::Reader;
use crate::mqtt::violation::Violation;

/// What a client says on leaving.
#[derive(Debug, PartialEq, Eq)]
pub struct Disconnect {
    /// 0 where none stands, as in 3.x.
    pub reason: u8,
    pub session_expiry: Option<u32>,
}

/// The Server Reference is for the server only (3.14.2.2.5), but harms nobody.
const ALLOWED: u64 = set(&[id::SESSION_EXPIRY, id::REASON_STRING, id::USER_PROPERTY, id::SERVER_REFERENCE]);

/// Reads what follows the fixed header.
pub fn read(body: &[u8], version: Version, user_max: usize) -> Result<Disconnect, Violation> {
    let mut reader = Reader::new(body);
    let mut found = Disconnect { reason: 0, session_expiry: None };
    if version < Version::V5 || reader.is_empty() {
        reader.end()?;
        return Ok(found);
    }
    found.reason = reader.u8()?;
    if !reader.is_empty() {
        let mut properties = Properties::take(&mut reader, ALLOWED, user_max)?;
        while let Some((identifier, value)) = properties.next()? {
            if let (id::SESSION_EXPIRY, Value::Number(seconds)) = (identifier, value) {
                found.session_expiry = Some(seconds);
            }
        }
        reader.end()?;
    }
    // What a client may say (table 3-13).
    let known = matches!(found.reason, 0x00 | 0x04 | 0x80..=0x83 | 0x90 | 0x93..=0x99);
    if known { Ok(found) } else { Err(Violation::ReasonCode) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Version::{V5, V311};

    #[test]
    fn packets_are_read() {
        let ok = |reason, session_expiry| Ok(Disconnect { reason, session_expiry });
        for (version, body, expected) in [
            (V311, &[][..], ok(0, None)),
            (V311, &[0], Err(Violation::TrailingBytes)),
            (V5, &[], ok(0, None)),
            (V5, &[0x04], ok(4, None)),
            (V5, &[0x82, 0], ok(0x82, None)),
            (V5, &[0, 5, 0x11, 0, 0, 0, 9], ok(0, Some(9))),
            (V5, &[0, 4, 0x11, 0, 0, 0], Err(Violation::Truncated)),
            (V5, &[0, 1], Err(Violation::Truncated)),
            (V5, &[0, 0, 0], Err(Violation::TrailingBytes)),
            (V5, &[0x01], Err(Violation::ReasonCode)), // P16
            (V5, &[0x8E], Err(Violation::ReasonCode)),
            (V5, &[0, 2, 0x17, 0], Err(Violation::MisplacedProperty)),
        ] {
            assert_eq!(read(body, version, 5), expected, "{version:?} {body:02X?}");
        }
    }
}
