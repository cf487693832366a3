//! Bytes to packets, strictly: what the broker sends must be well formed to the last bit.

use super::Version;
use super::packet::{Ack, Connack, Farewell, Granted, Packet, Publish};
use super::property::{self, Properties, Property};

/// Takes the first packet off `bytes`; none: it is not whole yet. Panics on what no server may send.
pub fn take(bytes: &mut Vec<u8>, version: Version) -> Option<Packet> {
    let (length, header) = frame(bytes)?;
    let whole: Vec<u8> = bytes.drain(..header + length).collect();
    let mut body = Body { bytes: &whole[header..], version };
    let packet = decode(whole[0], &mut body);
    assert!(body.bytes.is_empty(), "bytes after the end of {packet:?}: {:02x?}", body.bytes);
    Some(packet)
}

/// Remaining length and the size of the fixed header, once the whole packet is there.
fn frame(bytes: &[u8]) -> Option<(usize, usize)> {
    let mut length = 0;
    for (at, byte) in bytes.iter().skip(1).take(4).enumerate() {
        length |= usize::from(byte & 0x7F) << (7 * at);
        if byte & 0x80 == 0 {
            return (bytes.len() >= at + 2 + length).then_some((length, at + 2));
        }
    }
    assert!(bytes.len() < 5, "a remaining length of more than four bytes: {:02x?}", &bytes[..5]);
    None
}

fn decode(first: u8, body: &mut Body) -> Packet {
    let flags = first & 0x0F;
    if first >> 4 != 3 {
        assert_eq!(flags, if first >> 4 == 6 { 2 } else { 0 }, "flags of packet {first:02x}");
    }
    match first >> 4 {
        2 => Packet::Connack(connack(body)),
        3 => Packet::Publish(publish(flags, body)),
        4 => Packet::Puback(ack(body)),
        5 => Packet::Pubrec(ack(body)),
        6 => Packet::Pubrel(ack(body)),
        7 => Packet::Pubcomp(ack(body)),
        9 => Packet::Suback(granted(body, true)),
        11 => Packet::Unsuback(granted(body, body.version == Version::V5)),
        13 => Packet::Pingresp,
        14 => Packet::Disconnect(farewell(body)),
        15 => Packet::Auth(farewell(body)),
        kind => panic!("a server sends no packet of type {kind}"),
    }
}

fn connack(body: &mut Body) -> Connack {
    let flags = body.byte();
    assert!(flags <= 1, "CONNACK flags {flags:02x}");
    let code = body.byte();
    Connack { present: flags == 1, code, properties: body.properties() }
}

fn publish(flags: u8, body: &mut Body) -> Publish {
    let qos = (flags >> 1) & 3;
    assert!(qos < 3, "QoS 3");
    let topic = body.text();
    let id = if qos > 0 { body.two() } else { 0 };
    assert!(qos == 0 || id != 0, "packet identifier 0");
    let properties = body.properties();
    let payload = std::mem::take(&mut body.bytes).to_vec();
    Publish { topic, qos, retain: flags & 1 == 1, duplicate: flags & 8 == 8, id, properties, payload }
}

fn ack(body: &mut Body) -> Ack {
    let id = body.two();
    let code = if body.bytes.is_empty() { 0 } else { body.code() };
    let properties = if body.bytes.is_empty() { Properties::default() } else { body.properties() };
    Ack { id, code, properties }
}

fn granted(body: &mut Body, codes: bool) -> Granted {
    let id = body.two();
    let properties = body.properties();
    let rest = if codes { std::mem::take(&mut body.bytes).to_vec() } else { Vec::new() };
    Granted { id, codes: rest, properties }
}

fn farewell(body: &mut Body) -> Farewell {
    assert_eq!(body.version, Version::V5, "a server of 3.1.1 sends no DISCONNECT and no AUTH");
    let code = if body.bytes.is_empty() { 0 } else { body.code() };
    let properties = if body.bytes.is_empty() { Properties::default() } else { body.properties() };
    Farewell { code, properties }
}

/// What is left of a packet.
struct Body<'a> {
    bytes: &'a [u8],
    version: Version,
}

impl<'a> Body<'a> {
    fn take(&mut self, length: usize) -> &'a [u8] {
        assert!(length <= self.bytes.len(), "a packet that ends too early");
        let (taken, rest) = self.bytes.split_at(length);
        self.bytes = rest;
        taken
    }

    fn byte(&mut self) -> u8 {
        self.take(1)[0]
    }

    /// A reason code of an acknowledgement, which only 5.0 has.
    fn code(&mut self) -> u8 {
        assert_eq!(self.version, Version::V5, "a reason code in 3.1.1");
        self.byte()
    }

    fn two(&mut self) -> u16 {
        u16::from_be_bytes(self.take(2).try_into().unwrap())
    }

    fn four(&mut self) -> u32 {
        u32::from_be_bytes(self.take(4).try_into().unwrap())
    }

    fn variable(&mut self) -> u32 {
        let mut value = 0;
        for shift in [0, 7, 14, 21] {
            let byte = self.byte();
            value |= u32::from(byte & 0x7F) << shift;
            if byte & 0x80 == 0 {
                return value;
            }
        }
        panic!("a variable byte integer of more than four bytes");
    }

    fn binary(&mut self) -> Vec<u8> {
        let length = self.two();
        self.take(usize::from(length)).to_vec()
    }

    fn text(&mut self) -> String {
        String::from_utf8(self.binary()).expect("a string of the broker that is not UTF-8")
    }

    fn properties(&mut self) -> Properties {
        if self.version != Version::V5 {
            return Properties::default();
        }
        let length = self.variable() as usize;
        let mut part = Body { bytes: self.take(length), version: self.version };
        let mut all = Properties::default();
        while !part.bytes.is_empty() {
            let property = part.property();
            let repeatable = matches!(property.id(), property::USER_PROPERTY | property::SUBSCRIPTION_IDENTIFIER);
            assert!(repeatable || all.count(property.id()) == 0, "{property:?} stands there twice");
            all.0.push(property);
        }
        all
    }

    fn property(&mut self) -> Property {
        let id = self.byte();
        match id {
            0x01 | 0x17 | 0x19 | 0x24 | 0x25 | 0x28 | 0x29 | 0x2A => Property::Byte(id, self.byte()),
            0x13 | 0x21 | 0x22 | 0x23 => Property::Two(id, self.two()),
            0x02 | 0x11 | 0x18 | 0x27 => Property::Four(id, self.four()),
            0x0B => Property::Variable(id, self.variable()),
            0x03 | 0x08 | 0x12 | 0x15 | 0x1A | 0x1C | 0x1F => Property::Text(id, self.text()),
            0x09 | 0x16 => Property::Binary(id, self.binary()),
            0x26 => Property::User(self.text(), self.text()),
            id => panic!("property {id:02x} does not exist"),
        }
    }
}
