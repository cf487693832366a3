//! Packets to bytes, as a client sends them; and bytes written down as hexadecimal digits.

use super::Version;
use super::connect::Connect;
use super::packet::Publish;
use super::property::{Properties, Property};

/// One filter of a SUBSCRIBE with its options byte.
#[derive(Debug, Clone)]
pub struct Subscription {
    filter: String,
    options: u8,
}

impl Subscription {
    /// A filter at this QoS.
    pub fn new(filter: &str, qos: u8) -> Self {
        Self { filter: filter.to_owned(), options: qos }
    }

    /// No Local.
    pub fn no_local(mut self) -> Self {
        self.options |= 0x04;
        self
    }

    /// Retain As Published.
    pub fn retain_as_published(mut self) -> Self {
        self.options |= 0x08;
        self
    }

    /// Retain Handling 0, 1 or 2.
    pub fn retain_handling(mut self, handling: u8) -> Self {
        self.options |= handling << 4;
        self
    }
}

/// The bytes that these hexadecimal digits stand for; spaces are skipped.
pub fn hex(digits: &str) -> Vec<u8> {
    let digits: Vec<u8> = digits.bytes().filter(|byte| !byte.is_ascii_whitespace()).collect();
    let pair = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).expect("hexadecimal digits");
    digits.chunks(2).map(pair).collect()
}

/// A packet of this first byte with its length put before the body.
pub fn raw(first: u8, body: &[u8]) -> Vec<u8> {
    let mut bytes = vec![first];
    variable(&mut bytes, body.len());
    bytes.extend_from_slice(body);
    bytes
}

/// CONNECT.
pub fn connect(options: &Connect) -> Vec<u8> {
    let mut body = Vec::new();
    binary(&mut body, if options.version == Version::V31 { b"MQIsdp" } else { b"MQTT" });
    body.push(options.version as u8);
    let mut flags = u8::from(options.clean) << 1;
    if let Some(will) = &options.will {
        flags |= 0x04 | will.message.qos << 3 | u8::from(will.message.retain) << 5;
    }
    flags |= u8::from(options.password.is_some()) << 6 | u8::from(options.user.is_some()) << 7;
    body.push(flags);
    body.extend(options.keep_alive.to_be_bytes());
    properties(&mut body, options.version, &options.properties);
    binary(&mut body, options.id.as_bytes());
    if let Some(will) = &options.will {
        properties(&mut body, options.version, &will.message.properties);
        binary(&mut body, will.message.topic.as_bytes());
        binary(&mut body, &will.message.payload);
    }
    for field in [&options.user, &options.password].into_iter().flatten() {
        binary(&mut body, field);
    }
    raw(0x10, &body)
}

/// PUBLISH.
pub fn publish(version: Version, message: &Publish) -> Vec<u8> {
    let mut body = Vec::new();
    binary(&mut body, message.topic.as_bytes());
    if message.qos > 0 {
        body.extend(message.id.to_be_bytes());
    }
    properties(&mut body, version, &message.properties);
    body.extend_from_slice(&message.payload);
    let flags = u8::from(message.duplicate) << 3 | message.qos << 1 | u8::from(message.retain);
    raw(0x30 | flags, &body)
}

/// PUBACK, PUBREC, PUBREL or PUBCOMP, told by its first byte; the shortest form.
pub fn ack(version: Version, first: u8, id: u16, code: u8) -> Vec<u8> {
    let mut body = id.to_be_bytes().to_vec();
    if version == Version::V5 && code != 0 {
        body.push(code);
    }
    raw(first, &body)
}

/// SUBSCRIBE.
pub fn subscribe(version: Version, id: u16, given: &Properties, filters: &[Subscription]) -> Vec<u8> {
    let mut body = id.to_be_bytes().to_vec();
    properties(&mut body, version, given);
    for one in filters {
        binary(&mut body, one.filter.as_bytes());
        body.push(one.options);
    }
    raw(0x82, &body)
}

/// UNSUBSCRIBE.
pub fn unsubscribe(version: Version, id: u16, filters: &[&str]) -> Vec<u8> {
    let mut body = id.to_be_bytes().to_vec();
    properties(&mut body, version, &Properties::default());
    for filter in filters {
        binary(&mut body, filter.as_bytes());
    }
    raw(0xA2, &body)
}

/// DISCONNECT; the shortest form.
pub fn disconnect(version: Version, code: u8, given: &Properties) -> Vec<u8> {
    let mut body = Vec::new();
    if version == Version::V5 && (code != 0 || !given.0.is_empty()) {
        body.push(code);
        properties(&mut body, version, given);
    }
    raw(0xE0, &body)
}

fn variable(bytes: &mut Vec<u8>, mut value: usize) {
    assert!(value < 1 << 28, "a variable byte integer past its bound");
    loop {
        let low = (value % 128) as u8;
        value /= 128;
        bytes.push(if value > 0 { low | 0x80 } else { low });
        if value == 0 {
            return;
        }
    }
}

fn binary(bytes: &mut Vec<u8>, value: &[u8]) {
    bytes.extend(u16::try_from(value.len()).expect("at most 65,535 bytes").to_be_bytes());
    bytes.extend_from_slice(value);
}

fn properties(bytes: &mut Vec<u8>, version: Version, given: &Properties) {
    if version != Version::V5 {
        assert!(given.0.is_empty(), "properties in {version:?}");
        return;
    }
    let mut part = Vec::new();
    for property in &given.0 {
        part.push(property.id());
        match property {
            Property::Byte(_, value) => part.push(*value),
            Property::Two(_, value) => part.extend(value.to_be_bytes()),
            Property::Four(_, value) => part.extend(value.to_be_bytes()),
            Property::Variable(_, value) => variable(&mut part, *value as usize),
            Property::Text(_, value) => binary(&mut part, value.as_bytes()),
            Property::Binary(_, value) => binary(&mut part, value),
            Property::User(name, value) => {
                binary(&mut part, name.as_bytes());
                binary(&mut part, value.as_bytes());
            }
        }
    }
    variable(bytes, part.len());
    bytes.extend(part);
}
