//! Our reading of a packet against that of `mqttbytes` and of `rumqttc`: whether it is taken, and for the reason that we
//! give where only we refuse it. Each known difference is a row of a table with a packet that shows it; a difference that is
//! in none fails.

use super::harness::{C3, C5};
use super::random::likely_packet;
use crate::message::Time;
use crate::mqtt::{Inbound, Step, Violation};
use bytes::BytesMut;
use proptest::prelude::*;
use std::sync::Arc;

/// Rules that these libraries do not ask for, or not both of them: they read the packet, we do not. Each with a packet of 5.0
/// or an older version that shows it.
const LENIENT: &[(Violation, bool, &[u8])] = &[
    // Values that a server must look at, and a codec need not.
    (Violation::AliasInvalid, true, b"\x30\x07\0\x01a\x03\x23\0\0"),
    (Violation::AliasUnknown, true, b"\x30\x06\0\0\x03\x23\0\x05"),
    (Violation::AuthenticationMethod, true, b"\x10\x11\0\x04MQTT\x05\x02\0\x3C\x03\x15\0\0\0\x01a"),
    (Violation::ClientIdMissing, false, b"\x10\x0C\0\x04MQTT\x04\0\0\x3C\0\0"),
    (Violation::ConnectFlags, false, b"\x10\x0D\0\x04MQTT\x04\x03\0\x3C\0\x01a"),
    (Violation::DuplicateOfQosZero, false, b"\x38\x04\0\x01a1"),
    (Violation::FilterEmpty, false, b"\xA2\x04\0\x01\0\0"),
    (Violation::FilterInvalid, false, b"\xA2\x06\0\x01\0\x02a+"),
    (Violation::FilterMissing, false, b"\xA2\x02\0\x01"),
    (Violation::IdentifierZero, true, b"\x70\x02\0\0"),
    (Violation::NoAuthentication, true, b"\x10\x12\0\x04MQTT\x05\x02\0\x3C\x04\x16\0\x01x\0\x01a"),
    (Violation::PasswordWithoutUserName, false, b"\x10\x10\0\x04MQTT\x04\x42\0\x3C\0\x01a\0\x01p"),
    (Violation::PropertyValue, true, b"\x30\x08\0\x01a\x02\x01\x02hi"),
    (Violation::ReasonCode, true, b"\xE0\x02\x9A\0"),
    (Violation::ResponseTopic, true, b"\x30\x08\0\x01a\x04\x08\0\x01+"),
    (Violation::SessionExpiryRaised, true, b"\xE0\x07\0\x05\x11\0\0\0\x01"),
    (Violation::SharedNoLocal, true, b"\x82\x10\0\x01\0\0\x0A$share/g/a\x05"),
    (Violation::SubscribeOptions, false, b"\x82\x06\0\x01\0\x01a\x80"),
    (Violation::TopicMissing, false, b"\x30\x02\0\0"),
    (Violation::TopicWildcard, false, b"\x30\x03\0\x01#"),
    (Violation::WillTopic, false, b"\x10\x13\0\x04MQTT\x04\x06\0\x3C\0\x01a\0\x01+\0\x01x"),
    // Packets of a server.
    (Violation::ServerPacket, false, b"\x20\x02\0\0"),
    // Faults of theirs (see `packet/mqttbytes_faults.rs`).
    (Violation::ClientId, false, b"\x10\x0D\0\x04MQTT\x04\x02\0\x3C\0\x01\x0B"),
    (Violation::ForbiddenCharacter, false, b"\x30\x03\0\x01\x7F"),
    (Violation::MisplacedProperty, true, b"\x30\x06\0\x01a\x02\x0B\x05"),
    (Violation::NotUtf8, true, b"\x30\x04\0\x01\x80\0"),
    (Violation::NullCharacter, false, b"\x30\x03\0\x01\0"),
    (Violation::NumberNotMinimal, true, b"\x62\x82\0\0\x01"),
    (Violation::RepeatedProperty, true, b"\x30\x08\0\x01a\x04\x01\0\x01\0"),
    (Violation::ReservedFlags, false, b"\xEC\0"),
    (Violation::TrailingBytes, false, b"\xC0\x01\0"),
    (Violation::Truncated, true, b"\xE0\x06\0\x01\x1F\0\x01a"),
    (Violation::UnknownProperty, true, b"\x82\x09\0\x01\x03\x0B\x05\0\x01a\x2D"),
];

/// What we take and they do not, or not both of them: such packets are let be other than they read them.
const STRICT: &[(&str, bool, &[u8])] = &[
    ("MQTT 3.1", false, b"\x10\x0F\0\x06MQIsdp\x03\x02\0\x3C\0\x01a"),
    ("a bridge", false, b"\x10\x0D\0\x04MQTT\x84\x02\0\x3C\0\x01a"),
    ("a password that is no text", false, b"\x10\x13\0\x04MQTT\x04\xC2\0\x3C\0\x01a\0\x01u\0\x01\xFF"),
    ("a password that is no text", true, b"\x10\x14\0\x04MQTT\x05\xC2\0\x3C\0\0\x01a\0\x01u\0\x01\xFF"),
    ("a DISCONNECT of 5.0 without a body", true, b"\xE0\0"),
    ("a DISCONNECT of 5.0 without a length of properties", true, b"\xE0\x01\x04"),
];

fn ours(connect: &[u8], packet: &[u8]) -> Result<bool, Violation> {
    let mut inbound = Inbound::new(Arc::default(), "l".into(), "p".into(), Time(0));
    if packet[0] >> 4 != 1 {
        inbound.receive(Time(0), connect).expect("a good CONNECT");
    }
    inbound.receive(Time(0), packet).map(|step| matches!(step, Step::Packet { .. }))
}

fn theirs(is_v5: bool, packet: &[u8]) -> [(&'static str, bool); 2] {
    let stream = || BytesMut::from(packet);
    match is_v5 {
        true => [
            ("mqttbytes", mqttbytes::v5::read(&mut stream(), 1000).is_ok()),
            ("rumqttc", rumqttc::v5::mqttbytes::v5::Packet::read(&mut stream(), Some(1000)).is_ok()),
        ],
        false => [
            ("mqttbytes", mqttbytes::v4::read(&mut stream(), 1000).is_ok()),
            ("rumqttc", rumqttc::mqttbytes::v4::Packet::read(&mut stream(), 1000).is_ok()),
        ],
    }
}

fn compare(is_v5: bool, packet: &[u8]) -> Result<(), String> {
    let ours = ours(if is_v5 { C5 } else { C3 }, packet);
    // They panic on some packets, which is a difference too: we do not.
    let Ok(theirs) = std::panic::catch_unwind(|| theirs(is_v5, packet)) else { return Ok(()) };
    for (library, takes) in theirs {
        match (&ours, takes) {
            (Ok(true), true) | (Ok(false) | Err(_), false) => {}
            (Ok(true), false) if STRICT.iter().any(|row| row.1 == is_v5 && row.2[0] >> 4 == packet[0] >> 4) => {}
            (Err(violation), true) if LENIENT.iter().any(|row| row.0 == *violation) => {}
            _ => return Err(format!("{library} takes it: {takes}; we: {ours:?}; {packet:02X?}, 5.0: {is_v5}")),
        }
    }
    Ok(())
}

proptest! {
    #[test]
    fn each_difference_is_a_known_one(packet in likely_packet(), is_v5: bool) {
        prop_assert_eq!(compare(is_v5, &packet), Ok(()));
    }
}

/// A row that fails after an update of these libraries is a difference less.
#[test]
fn each_row_of_the_tables_is_true() {
    let one_of_them = |is_v5, packet, taken| theirs(is_v5, packet).iter().any(|(_, takes)| *takes == taken);
    for (violation, is_v5, packet) in LENIENT {
        assert_eq!(ours(if *is_v5 { C5 } else { C3 }, packet), Err(*violation), "{packet:02X?}");
        assert!(one_of_them(*is_v5, packet, true), "{violation:?}: none of them takes {packet:02X?}");
    }
    for (what, is_v5, packet) in STRICT {
        assert_eq!(ours(if *is_v5 { C5 } else { C3 }, packet), Ok(true), "{what}");
        assert!(one_of_them(*is_v5, packet, false), "{what}: both of them take {packet:02X?}");
    }
}

/// Packets as clients send them: here all three agree, or the table says why not.
#[test]
fn well_formed_packets_are_taken_by_all() {
    for (is_v5, packet) in [
        (false, C3),
        (true, C5),
        (false, b"\x30\x05\0\x01ahi"),
        (true, b"\x30\x06\0\x01a\0hi"),
        (false, b"\x3D\x07\0\x01a\0\x07hi"),
        (true, b"\x35\x0B\0\x01a\0\x07\x03\x23\0\x01hi"),
        (false, b"\x40\x02\0\x01"),
        (true, b"\x62\x02\0\x01"),
        (false, b"\x82\x06\0\x01\0\x01a\x01"),
        (true, b"\x82\x07\0\x01\0\0\x01a\x2D"),
        (false, b"\xA2\x05\0\x01\0\x01a"),
        (true, b"\xA2\x06\0\x01\0\0\x01a"),
        (false, b"\xC0\0"),
        (false, b"\xE0\0"),
    ] {
        assert_eq!(ours(if is_v5 { C5 } else { C3 }, packet), Ok(true), "{packet:02X?}");
        for (library, takes) in theirs(is_v5, packet) {
            assert!(takes, "{library}: {packet:02X?}");
        }
    }
}
