//! The packets that `mqttbytes` writes: CONNACK, SUBACK, UNSUBACK, DISCONNECT.
//!
//! Each function appends a packet. What `mqttbytes` gets wrong is kept from it: a CONNACK 5.0 always has properties
//! (without, it would lack their length), and no text is longer than its length can say.

use super::{Version, kind, writer};
use bytes::BytesMut;
use mqttbytes::{v4, v5};

/// Longest text for people in a packet, in bytes; the rest is cut.
const TEXT_MAX: usize = 1024;

/// What a CONNACK says beside its code, in 5.0.
pub type ConnAckProperties = v5::ConnAckProperties;

/// A CONNACK before 5.0. `code` is 0 to 5.
pub fn connack(resumed: bool, code: u8, out: &mut Vec<u8>) {
    use v4::ConnectReturnCode::*;
    let code = match code {
        0 => Success,
        1 => RefusedProtocolVersion,
        2 => BadClientId,
        3 => ServiceUnavailable,
        4 => BadUserNamePassword,
        _ => NotAuthorized,
    };
    append(out, |buffer| v4::ConnAck::new(code, resumed).write(buffer));
}

/// A CONNACK of 5.0.
pub fn connack_v5(resumed: bool, reason: u8, properties: ConnAckProperties, out: &mut Vec<u8>) {
    let mut packet = v5::ConnAck::new(connect_code(reason), resumed);
    packet.properties = Some(properties);
    append(out, |buffer| packet.write(buffer));
}

fn connect_code(reason: u8) -> v5::ConnectReturnCode {
    use v5::ConnectReturnCode::*;
    match reason {
        0x00 => Success,
        0x81 => MalformedPacket,
        0x82 => ProtocolError,
        0x83 => ImplementationSpecificError,
        0x84 => UnsupportedProtocolVersion,
        0x85 => ClientIdentifierNotValid,
        0x86 => BadUserNamePassword,
        0x87 => NotAuthorized,
        0x88 => ServerUnavailable,
        0x89 => ServerBusy,
        0x8A => Banned,
        0x8C => BadAuthenticationMethod,
        0x90 => TopicNameInvalid,
        0x95 => PacketTooLarge,
        0x97 => QuotaExceeded,
        0x99 => PayloadFormatInvalid,
        0x9C => UseAnotherServer,
        0x9D => ServerMoved,
        0x9F => ConnectionRateExceeded,
        _ => UnspecifiedError,
    }
}

/// A SUBACK: one code for each filter.
pub fn suback(version: Version, handle: u16, reasons: &[u8], text: Option<&str>, out: &mut Vec<u8>) {
    if version == Version::V5 {
        let code =
            |reason: &u8| v5::SubscribeReasonCode::try_from(*reason).unwrap_or(v5::SubscribeReasonCode::Unspecified);
        let mut packet = v5::SubAck::new(handle, reasons.iter().map(code).collect());
        packet.properties =
            text.map(|text| v5::SubAckProperties { reason_string: Some(cut(text)), user_properties: Vec::new() });
        append(out, |buffer| packet.write(buffer));
    } else {
        let code = |reason: &u8| v4::SubscribeReasonCode::try_from(*reason).unwrap_or(v4::SubscribeReasonCode::Failure);
        let packet = v4::SubAck::new(handle, reasons.iter().map(code).collect());
        append(out, |buffer| packet.write(buffer));
    }
}

/// An UNSUBACK: one code for each filter in 5.0, none before.
pub fn unsuback(version: Version, handle: u16, reasons: &[u8], text: Option<&str>, out: &mut Vec<u8>) {
    use v5::UnsubAckReason::*;
    if version < Version::V5 {
        append(out, |buffer| v4::UnsubAck::new(handle).write(buffer));
        return;
    }
    let code = |reason: &u8| match reason {
        0x00 => Success,
        0x11 => NoSubscriptionExisted,
        0x83 => ImplementationSpecificError,
        0x87 => NotAuthorized,
        0x8F => TopicFilterInvalid,
        0x91 => PacketIdentifierInUse,
        _ => UnspecifiedError,
    };
    let mut packet = v5::UnsubAck::new(handle);
    packet.reasons = reasons.iter().map(code).collect();
    packet.properties =
        text.map(|text| v5::UnsubAckProperties { reason_string: Some(cut(text)), user_properties: Vec::new() });
    append(out, |buffer| packet.write(buffer));
}

/// A DISCONNECT of 5.0.
pub fn disconnect(reason: u8, text: Option<&str>, server: Option<&str>, out: &mut Vec<u8>) {
    let mut packet = v5::Disconnect::new();
    packet.reason_code =
        v5::DisconnectReasonCode::try_from(reason).unwrap_or(v5::DisconnectReasonCode::UnspecifiedError);
    packet.properties = (text.is_some() || server.is_some()).then(|| {
        let mut properties = v5::DisconnectProperties::new();
        properties.reason_string = text.map(cut);
        properties.server_reference = server.map(str::to_owned);
        properties
    });
    append(out, |buffer| packet.write(buffer));
}

/// A SUBACK or UNSUBACK in which every filter of many has the same code: one byte each, nothing else.
pub fn refuse_filters(packet: u8, version: Version, handle: u16, reason: u8, count: usize, out: &mut Vec<u8>) {
    let properties = if version == Version::V5 { 1 } else { 0 };
    out.push(packet << 4);
    writer::variable(out, 2 + properties + count);
    out.extend_from_slice(&handle.to_be_bytes());
    debug_assert!(packet == kind::SUBACK || version == Version::V5);
    out.resize(out.len() + properties, 0);
    out.resize(out.len() + count, reason);
}

/// A text as it may stand in a packet.
pub fn cut(text: &str) -> String {
    text[..text.floor_char_boundary(TEXT_MAX)].to_owned()
}

/// `mqttbytes` writes to a buffer of its own kind. It fails only for a packet longer than a length can say; then nothing
/// is appended.
fn append(out: &mut Vec<u8>, write: impl FnOnce(&mut BytesMut) -> Result<usize, mqttbytes::Error>) {
    let mut buffer = BytesMut::new();
    if write(&mut buffer).is_ok() {
        out.extend_from_slice(&buffer);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(write: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
        let mut out = Vec::new();
        write(&mut out);
        out
    }

    #[test]
    fn packets_are_written() {
        let none = v5::ConnAckProperties::new;
        for (out, expected) in [
            (written(|out| connack(true, 0, out)), &b"\x20\x02\x01\0"[..]),
            (written(|out| connack(false, 2, out)), b"\x20\x02\0\x02"),
            (written(|out| connack_v5(false, 0x84, none(), out)), b"\x20\x03\0\x84\0"),
            (written(|out| suback(Version::V311, 0x1234, &[0, 2, 0x80], None, out)), b"\x90\x05\x12\x34\0\x02\x80"),
            (written(|out| suback(Version::V5, 1, &[0, 0x8F], None, out)), b"\x90\x05\0\x01\0\0\x8F"),
            (written(|out| suback(Version::V5, 1, &[0x87], Some("no"), out)), b"\x90\x09\0\x01\x05\x1F\0\x02no\x87"),
            (written(|out| unsuback(Version::V311, 1, &[0], None, out)), b"\xB0\x02\0\x01"),
            (written(|out| unsuback(Version::V5, 1, &[0, 0x11], None, out)), b"\xB0\x05\0\x01\0\0\x11"),
            (written(|out| disconnect(0x81, None, None, out)), b"\xE0\x01\x81"),
            (written(|out| disconnect(0x82, Some("no"), None, out)), b"\xE0\x07\x82\x05\x1F\0\x02no"),
            (written(|out| disconnect(0x9C, None, Some("b"), out)), b"\xE0\x06\x9C\x04\x1C\0\x01b"),
            (
                written(|out| refuse_filters(kind::SUBACK, Version::V5, 1, 0x97, 3, out)),
                b"\x90\x06\0\x01\0\x97\x97\x97",
            ),
            (written(|out| refuse_filters(kind::SUBACK, Version::V311, 1, 0x80, 2, out)), b"\x90\x04\0\x01\x80\x80"),
        ] {
            assert_eq!(out, expected);
        }
    }
}
