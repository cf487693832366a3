//! PUBLISH, the busiest packet: read without allocation (but for properties that are there), written with copies only.

use super::message_properties::{self, MessageProperties};
use super::property::id;
use super::reader::Reader;
use super::{Version, writer};
use crate::message::Guarantee;
use crate::mqtt::violation::Violation;

/// A PUBLISH as it stands in its bytes. The topic may be empty where an alias is given.
#[derive(Debug, PartialEq, Eq)]
pub struct Publish<'b> {
    pub topic: &'b str,
    pub guarantee: Guarantee,
    pub retain: bool,
    pub duplicate: bool,
    /// 0 for QoS 0.
    pub handle: u16,
    pub properties: MessageProperties,
    pub payload: &'b [u8],
}

/// Reads what follows the fixed header. The first byte has passed [`check_first`](super::header::check_first).
/// `topic_name` does what [`text::topic_name`](super::text::topic_name) does.
#[inline]
pub fn read<'b>(
    first: u8,
    body: &'b [u8],
    version: Version,
    user_max: usize,
    topic_name: impl FnOnce(&'b [u8]) -> Result<&'b str, Violation>,
) -> Result<Publish<'b>, Violation> {
    let mut reader = Reader::new(body);
    let topic = topic_name(reader.data()?)?;
    let guarantee = Guarantee::from_level((first >> 1) & 0b11).ok_or(Violation::QosInvalid)?;
    let handle = if guarantee == Guarantee::AtMostOnce { 0 } else { reader.identifier()? };
    let properties =
        if version == Version::V5 { properties(&mut reader, user_max)? } else { MessageProperties::default() };
    if topic.is_empty() && properties.alias.is_none() {
        return Err(Violation::TopicMissing);
    }
    Ok(Publish {
        topic,
        guarantee,
        retain: first & 0b0001 != 0,
        duplicate: first & 0b1000 != 0,
        handle,
        properties,
        payload: reader.rest(),
    })
}

#[inline]
fn properties(reader: &mut Reader<'_>, user_max: usize) -> Result<MessageProperties, Violation> {
    if let [0, ..] = reader.rest() {
        reader.u8()?;
        return Ok(MessageProperties::default());
    }
    message_properties::read(reader, message_properties::PUBLISH, user_max)
}

/// A PUBLISH to be written.
#[derive(Debug)]
pub struct Parts<'a> {
    /// Type, DUP, QoS and RETAIN.
    pub first: u8,
    /// Empty where an alias stands for it.
    pub topic: &'a str,
    /// Written if it is not 0.
    pub handle: u16,
    /// None before 5.0.
    pub properties: Option<PropertyParts<'a>>,
    pub payload: &'a [u8],
}

/// The properties of a PUBLISH to be written.
#[derive(Debug, Default)]
pub struct PropertyParts<'a> {
    /// Those that are the same for every subscriber, already in MQTT's form.
    pub encoded: &'a [u8],
    pub expiry_seconds: Option<u32>,
    /// Written if it is not 0.
    pub alias: u16,
    pub identifiers: &'a [u32],
}

impl PropertyParts<'_> {
    /// Bytes without their length.
    fn len(&self) -> usize {
        let expiry = if self.expiry_seconds.is_some() { 5 } else { 0 };
        let alias = if self.alias == 0 { 0 } else { 3 };
        let identifiers: usize = self.identifiers.iter().map(|number| 1 + writer::variable_len(*number as usize)).sum();
        self.encoded.len() + expiry + alias + identifiers
    }

    /// Writes all but what is the same for every subscriber.
    fn write_own(&self, out: &mut Vec<u8>) {
        if self.alias != 0 {
            writer::two_bytes(out, id::TOPIC_ALIAS, self.alias);
        }
        if let Some(seconds) = self.expiry_seconds {
            writer::four_bytes(out, id::MESSAGE_EXPIRY, seconds);
        }
        for identifier in self.identifiers {
            out.push(id::SUBSCRIPTION_IDENTIFIER);
            writer::variable(out, *identifier as usize);
        }
    }
}

impl Parts<'_> {
    /// Bytes after the fixed header.
    pub fn remaining(&self) -> usize {
        let handle = if self.handle == 0 { 0 } else { 2 };
        let properties = self.properties.as_ref().map_or(0, |properties| {
            let len = properties.len();
            writer::variable_len(len) + len
        });
        2 + self.topic.len() + handle + properties + self.payload.len()
    }

    /// Appends the packet. `remaining` is [`Self::remaining`], at most [`writer::VARIABLE_MAX`].
    #[inline]
    pub fn write(&self, remaining: usize, out: &mut Vec<u8>) {
        out.reserve(5 + remaining);
        self.write_head(remaining, out);
        if let Some(properties) = &self.properties {
            out.extend_from_slice(properties.encoded);
        }
        out.extend_from_slice(self.payload);
    }

    /// Appends what comes before [`PropertyParts::encoded`] and the payload.
    #[inline]
    pub fn write_head(&self, remaining: usize, out: &mut Vec<u8>) {
        out.push(self.first);
        writer::variable(out, remaining);
        writer::data(out, self.topic.as_bytes());
        if self.handle != 0 {
            out.extend_from_slice(&self.handle.to_be_bytes());
        }
        if let Some(properties) = &self.properties {
            writer::variable(out, properties.len());
            properties.write_own(out);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::text;
    use super::*;
    use Guarantee::{AtLeastOnce, AtMostOnce, ExactlyOnce};
    use Version::{V5, V311};

    #[test]
    fn good_packets_are_read() {
        for (first, version, body, topic, guarantee, handle, payload) in [
            (0x30, V311, &b"\0\x01ahi"[..], "a", AtMostOnce, 0, &b"hi"[..]),
            (0x31, V311, b"\0\x01a", "a", AtMostOnce, 0, b""),
            (0x32, V311, b"\0\x01a\x12\x34hi", "a", AtLeastOnce, 0x1234, b"hi"),
            (0x3C, V311, b"\0\x01t\0\x01hi", "t", ExactlyOnce, 1, b"hi"), // Q03
            (0x30, V5, b"\0\x01a\0hi", "a", AtMostOnce, 0, b"hi"),
            (0x32, V5, b"\0\x01a\0\x01\x02\x01\x01hi", "a", AtLeastOnce, 1, b"hi"),
            (0x30, V5, b"\0\0\x03\x23\0\x01hi", "", AtMostOnce, 0, b"hi"),
        ] {
            let read = read(first, body, version, 10, text::topic_name).unwrap();
            assert_eq!((read.topic, read.guarantee, read.handle, read.payload), (topic, guarantee, handle, payload));
            assert_eq!((read.retain, read.duplicate), (first & 1 != 0, first & 8 != 0));
        }
    }

    #[test]
    fn bad_packets_are_refused() {
        for (first, version, body, expected) in [
            (0x30, V311, &b""[..], Violation::Truncated),
            (0x30, V311, b"\0\x02a", Violation::Truncated),
            (0x30, V311, b"\0\0", Violation::TopicMissing), // T02, MQTT-4.7.3-1
            (0x30, V5, b"\0\0\0", Violation::TopicMissing), // T02
            (0x30, V311, b"\0\x01#", Violation::TopicWildcard), // T01, MQTT-3.3.2-2
            (0x30, V311, b"\0\x01+", Violation::TopicWildcard),
            (0x30, V311, b"\0\x03a\0b", Violation::NullCharacter), // U01
            (0x32, V311, b"\0\x01a", Violation::Truncated),        // T14
            (0x32, V311, b"\0\x01a\0\0", Violation::IdentifierZero), // T13, MQTT-2.2.1-3
            (0x34, V5, b"\0\x01a\0\0\0", Violation::IdentifierZero),
            (0x30, V5, b"\0\x01a", Violation::Truncated), // no property length
            (0x30, V5, b"\0\x01a\x05\x11\0\0\0\x001", Violation::MisplacedProperty), // P10
            (0x30, V5, b"\0\x01a\x02\x0B\x011", Violation::MisplacedProperty), // P11, MQTT-3.3.4-6
            (0x30, V5, b"\0\x01a\x04\x08\0\x01#", Violation::ResponseTopic), // P14, MQTT-3.3.2-14
            (0x30, V5, b"\0\x01a\x03\x08\0\0", Violation::ResponseTopic),
            (0x30, V5, b"\0\x01a\x06\x23\0\x01\x23\0\x01", Violation::RepeatedProperty),
        ] {
            assert_eq!(read(first, body, version, 10, text::topic_name).unwrap_err(), expected, "{body:02X?}");
        }
    }

    #[test]
    fn packets_are_written() {
        let plain = |handle, properties| Parts { first: 0x30, topic: "a/b", handle, properties, payload: b"hi" };
        let with =
            |alias, expiry_seconds| PropertyParts { encoded: &[1, 1], expiry_seconds, alias, identifiers: &[200] };
        for (parts, expected) in [
            (plain(0, None), &b"\x30\x07\0\x03a/bhi"[..]),
            (plain(0x1234, None), b"\x30\x09\0\x03a/b\x12\x34hi"),
            (plain(0, Some(PropertyParts::default())), b"\x30\x08\0\x03a/b\0hi"),
            (plain(0, Some(with(0, None))), b"\x30\x0D\0\x03a/b\x05\x0B\xC8\x01\x01\x01hi"),
            (
                plain(1, Some(with(7, Some(9)))),
                b"\x30\x17\0\x03a/b\0\x01\x0D\x23\0\x07\x02\0\0\0\x09\x0B\xC8\x01\x01\x01hi",
            ),
        ] {
            let mut out = Vec::new();
            parts.write(parts.remaining(), &mut out);
            assert_eq!(out, expected, "{parts:?}");
        }
    }
}
