//! Properties of MQTT 5.0 (2.2.2): which there are, how each is written, and a reader that lets none pass that is
//! unknown, misplaced, repeated or out of range.

use super::reader::Reader;
use crate::mqtt::violation::Violation;

/// Property identifiers (table 2-4).
pub mod id {
    pub const PAYLOAD_FORMAT: u8 = 0x01;
    pub const MESSAGE_EXPIRY: u8 = 0x02;
    pub const CONTENT_TYPE: u8 = 0x03;
    pub const RESPONSE_TOPIC: u8 = 0x08;
    pub const CORRELATION_DATA: u8 = 0x09;
    pub const SUBSCRIPTION_IDENTIFIER: u8 = 0x0B;
    pub const SESSION_EXPIRY: u8 = 0x11;
    pub const ASSIGNED_CLIENT_IDENTIFIER: u8 = 0x12;
    pub const SERVER_KEEP_ALIVE: u8 = 0x13;
    pub const AUTHENTICATION_METHOD: u8 = 0x15;
    pub const AUTHENTICATION_DATA: u8 = 0x16;
    pub const REQUEST_PROBLEM_INFORMATION: u8 = 0x17;
    pub const WILL_DELAY: u8 = 0x18;
    pub const REQUEST_RESPONSE_INFORMATION: u8 = 0x19;
    pub const RESPONSE_INFORMATION: u8 = 0x1A;
    pub const SERVER_REFERENCE: u8 = 0x1C;
    pub const REASON_STRING: u8 = 0x1F;
    pub const RECEIVE_MAXIMUM: u8 = 0x21;
    pub const TOPIC_ALIAS_MAXIMUM: u8 = 0x22;
    pub const TOPIC_ALIAS: u8 = 0x23;
    pub const MAXIMUM_QOS: u8 = 0x24;
    pub const RETAIN_AVAILABLE: u8 = 0x25;
    pub const USER_PROPERTY: u8 = 0x26;
    pub const MAXIMUM_PACKET_SIZE: u8 = 0x27;
    pub const WILDCARD_AVAILABLE: u8 = 0x28;
    pub const IDENTIFIERS_AVAILABLE: u8 = 0x29;
    pub const SHARED_AVAILABLE: u8 = 0x2A;
}

/// A set of property identifiers, all of which are below 64.
pub const fn set(ids: &[u8]) -> u64 {
    let mut bits = 0;
    let mut index = 0;
    while index < ids.len() {
        bits |= 1 << ids[index];
        index += 1;
    }
    bits
}

/// The properties that every acknowledgement may have.
pub const REASON: u64 = set(&[id::REASON_STRING, id::USER_PROPERTY]);

/// The value of a property.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Value<'b> {
    /// One byte, or a variable byte integer, or two or four bytes.
    Number(u32),
    /// UTF-8 text.
    Text(&'b str),
    /// Bytes.
    Data(&'b [u8]),
    /// A user property.
    Pair(&'b str, &'b str),
}

/// Bytes of the user properties of one packet, names and values: who has them to copy, such as a module, has room for them.
const USER_BYTES_MAX: usize = 512 << 10;

/// The properties of one packet, one after the other.
#[derive(Debug)]
pub struct Properties<'b> {
    reader: Reader<'b>,
    allowed: u64,
    seen: u64,
    user_left: usize,
    user_bytes_left: usize,
}

impl<'b> Properties<'b> {
    /// Reads the length of the properties, and takes them out of `reader`. At most `user_max` user properties may be among
    /// them.
    pub fn take(reader: &mut Reader<'b>, allowed: u64, user_max: usize) -> Result<Self, Violation> {
        let length = reader.variable()?;
        let bytes = reader.take(length as usize)?;
        let reader = Reader::new(bytes);
        Ok(Self { reader, allowed, seen: 0, user_left: user_max, user_bytes_left: USER_BYTES_MAX })
    }

    /// The next property.
    pub fn next(&mut self) -> Result<Option<(u8, Value<'b>)>, Violation> {
        if self.reader.is_empty() {
            return Ok(None);
        }
        let identifier = self.reader.u8()?;
        let value = value(identifier, &mut self.reader)?;
        let bit = 1_u64 << identifier;
        if self.allowed & bit == 0 {
            return Err(Violation::MisplacedProperty);
        }
        if let Value::Pair(name, value) = value {
            self.user_left = self.user_left.checked_sub(1).ok_or(Violation::TooManyUserProperties)?;
            let left = self.user_bytes_left.checked_sub(name.len() + value.len());
            self.user_bytes_left = left.ok_or(Violation::TooManyUserProperties)?;
        } else if self.seen & bit != 0 {
            return Err(Violation::RepeatedProperty);
        }
        self.seen |= bit;
        if is_in_range(identifier, value) { Ok(Some((identifier, value))) } else { Err(Violation::PropertyValue) }
    }

    /// Checks the properties to their end, for packets that say nothing the broker uses.
    pub fn check(mut self) -> Result<(), Violation> {
        while self.next()?.is_some() {}
        Ok(())
    }
}

/// Reads a value; fails for an identifier that does not exist. All identifiers that do are one byte.
fn value<'b>(identifier: u8, reader: &mut Reader<'b>) -> Result<Value<'b>, Violation> {
    Ok(match identifier {
        id::PAYLOAD_FORMAT
        | id::REQUEST_PROBLEM_INFORMATION
        | id::REQUEST_RESPONSE_INFORMATION
        | id::MAXIMUM_QOS
        | id::RETAIN_AVAILABLE
        | id::WILDCARD_AVAILABLE
        | id::IDENTIFIERS_AVAILABLE
        | id::SHARED_AVAILABLE => Value::Number(reader.u8()?.into()),
        id::SERVER_KEEP_ALIVE | id::RECEIVE_MAXIMUM | id::TOPIC_ALIAS_MAXIMUM | id::TOPIC_ALIAS => {
            Value::Number(reader.u16()?.into())
        }
        id::MESSAGE_EXPIRY | id::SESSION_EXPIRY | id::WILL_DELAY | id::MAXIMUM_PACKET_SIZE => {
            Value::Number(reader.u32()?)
        }
        id::SUBSCRIPTION_IDENTIFIER => Value::Number(reader.variable()?),
        id::CONTENT_TYPE
        | id::RESPONSE_TOPIC
        | id::ASSIGNED_CLIENT_IDENTIFIER
        | id::AUTHENTICATION_METHOD
        | id::RESPONSE_INFORMATION
        | id::SERVER_REFERENCE
        | id::REASON_STRING => Value::Text(reader.text()?),
        id::CORRELATION_DATA | id::AUTHENTICATION_DATA => Value::Data(reader.data()?),
        id::USER_PROPERTY => Value::Pair(reader.text()?, reader.text()?),
        _ => return Err(Violation::UnknownProperty),
    })
}

/// Switches are 0 or 1; some numbers must not be 0. An alias of 0 has its own violation and passes here.
fn is_in_range(identifier: u8, value: Value<'_>) -> bool {
    match (identifier, value) {
        (id::RECEIVE_MAXIMUM | id::MAXIMUM_PACKET_SIZE | id::SUBSCRIPTION_IDENTIFIER, Value::Number(number)) => {
            number > 0
        }
        (
            id::PAYLOAD_FORMAT | id::REQUEST_PROBLEM_INFORMATION | id::REQUEST_RESPONSE_INFORMATION,
            Value::Number(number),
        ) => number <= 1,
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(allowed: u64, bytes: &[u8]) -> Result<usize, Violation> {
        let mut reader = Reader::new(bytes);
        let mut properties = Properties::take(&mut reader, allowed, 3)?;
        let mut count = 0;
        while properties.next()?.is_some() {
            count += 1;
        }
        Ok(count)
    }

    #[test]
    fn properties_are_checked() {
        let allowed = set(&[id::RECEIVE_MAXIMUM, id::USER_PROPERTY, id::SUBSCRIPTION_IDENTIFIER, id::PAYLOAD_FORMAT]);
        for (bytes, expected) in [
            (&[0x00][..], Ok(0)),
            (&[0x03, 0x21, 0, 5], Ok(1)),
            (&[0x7F], Err(Violation::Truncated)), // P01
            (&[0xFF, 0xFF, 0xFF, 0xFF, 0x01], Err(Violation::NumberNotMinimal)), // P02
            (&[0x06, 0x21, 0, 5, 0x21, 0, 5], Err(Violation::RepeatedProperty)), // P03
            (&[0x03, 0x21, 0, 0], Err(Violation::PropertyValue)), // P04
            (&[0x02, 0x21, 0], Err(Violation::Truncated)),
            (&[0x05, 0x11, 0, 0, 0, 1], Err(Violation::MisplacedProperty)),
            (&[0x01, 0x11], Err(Violation::Truncated)), // cut short before misplaced
            (&[0x02, 0x04, 0], Err(Violation::UnknownProperty)),
            (&[0x02, 0x80, 0x01], Err(Violation::UnknownProperty)),
            (&[0x02, 0x0B, 0], Err(Violation::PropertyValue)), // P11
            (&[0x03, 0x0B, 0x80, 0x00], Err(Violation::NumberNotMinimal)),
            (&[0x02, 0x01, 2], Err(Violation::PropertyValue)),
            (&[0x0A, 0x26, 0, 0, 0, 0, 0x26, 0, 0, 0, 0], Ok(2)),
            (
                &[0x14, 0x26, 0, 0, 0, 0, 0x26, 0, 0, 0, 0, 0x26, 0, 0, 0, 0, 0x26, 0, 0, 0, 0],
                Err(Violation::TooManyUserProperties), // P09
            ),
        ] {
            assert_eq!(read(allowed, bytes), expected, "{bytes:02X?}");
        }
    }
}
