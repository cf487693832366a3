//! Our reading of a packet against that of `mqttbytes` and of `rumqttc`: whether it is taken, and for the reason that we
//! give where only we refuse it. Each known difference is a row of a table; one that is not in it fails.

use super::harness::{C3, C5};
use super::random::likely_packet;
use crate::message::Time;
use crate::mqtt::{Inbound, Step, Violation};
use bytes::BytesMut;
use proptest::prelude::*;
use std::sync::Arc;

/// Rules that these libraries do not ask for: they read the packet, we do not.
const LENIENT: &[Violation] = &[
    // Values that a server must look at, and a codec need not.
    Violation::AliasInvalid,
    Violation::AliasUnknown,
    Violation::ConnectFlags,
    Violation::DuplicateOfQosZero,
    Violation::FilterEmpty,
    Violation::FilterInvalid,
    Violation::FilterMissing,
    Violation::IdentifierZero,
    Violation::NoAuthentication,
    Violation::PropertyValue,
    Violation::ReasonCode,
    Violation::ResponseTopic,
    Violation::SessionExpiryRaised,
    Violation::SharedNoLocal,
    Violation::SubscribeOptions,
    Violation::TopicMissing,
    Violation::TopicWildcard,
    Violation::ClientIdMissing,
    Violation::PasswordWithoutUserName,
    Violation::WillFlags,
    Violation::WillTopic,
    // A second CONNECT, and packets of a server.
    Violation::SecondConnect,
    Violation::ServerPacket,
    // Faults of theirs (see `packet/mqttbytes_faults.rs`).
    Violation::ForbiddenCharacter,
    Violation::MisplacedProperty,
    Violation::NotUtf8,
    Violation::NullCharacter,
    Violation::NumberNotMinimal,
    Violation::RepeatedProperty,
    Violation::ReservedFlags,
    Violation::TrailingBytes,
    Violation::Truncated,
    Violation::UnknownProperty,
];

/// Packet types that we take and they refuse in some form, with the form.
const STRICT: &[(u8, &str)] = &[
    (1, "MQTT 3.1; a password that is no text; a user name without a password"),
    (3, "a payload after several subscription identifiers"),
    (4, "an acknowledgement of 5.0 without property length"),
    (5, "an acknowledgement of 5.0 without property length"),
    (6, "an acknowledgement of 5.0 without property length"),
    (7, "an acknowledgement of 5.0 without property length"),
    (8, "an identifier in SUBSCRIBE of 5.0; user properties"),
    (10, "user properties in UNSUBSCRIBE of 5.0"),
    (14, "a DISCONNECT of 5.0 without a body or without property length"),
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
            (Ok(true), false) if STRICT.iter().any(|(kind, _)| *kind == packet[0] >> 4) => {}
            (Err(violation), true) if LENIENT.contains(violation) => {}
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
