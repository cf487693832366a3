//! CONNECT and what may go wrong with it; CONNACK.

use super::harness::{C3, C5, C31, Connection, code};
use crate::client::{Client, Departure, Protocol, Scope};
use crate::dialogue::{Attached, Event, Request};
use crate::message::{Guarantee, Properties, Refusal, RefusalKind, Time};
use crate::mqtt::{Action, Inbound, Limits, Outcome, Step, Violation};
use std::sync::Arc;

/// What CONNECT asks of the hall.
fn attach(bytes: &[u8], limits: Limits) -> crate::dialogue::Attach {
    let mut inbound = Inbound::new(Arc::new(limits), "mqtt".into(), "127.0.0.1:1".into(), Time(0));
    match inbound.receive(Time(0), bytes) {
        Ok(Step::Packet { length, action: Action::Request(Request::Attach(attach)) }) => {
            assert_eq!(length, bytes.len());
            *attach
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_client_is_described() {
    for (bytes, clean, expiry_seconds, window, per_subscription) in [
        (C31, true, 0, 1024, false),
        (C3, true, 0, 1024, false),
        (b"\x10\x0D\0\x04MQTT\x04\0\0\x3C\0\x01a", false, u32::MAX, 1024, false),
        (C5, true, 0, 1024, true),
        (b"\x10\x13\0\x04MQTT\x05\0\0\x3C\x05\x11\0\0\0\x09\0\x01a", false, 9, 1024, true), // MQTT-3.1.2-23
        (b"\x10\x11\0\x04MQTT\x05\x02\0\x3C\x03\x21\0\x05\0\x01a", true, 0, 5, true),       // MQTT-3.3.4-9
    ] {
        let attach = attach(bytes, Limits::default());
        let found = (attach.clean, attach.expiry_seconds, attach.window, attach.per_subscription);
        assert_eq!(found, (clean, expiry_seconds, window, per_subscription), "{bytes:02X?}");
        let scope = Scope { listener: "mqtt".into(), protocol: Protocol::Mqtt, identity: None }.into();
        assert_eq!(attach.client, Client { id: "a".into(), container: None, scope, peer: "127.0.0.1:1".into() });
        assert!(attach.will.is_none() && attach.credentials.is_none());
    }
}

#[test]
fn a_will_and_credentials_are_read() {
    let v5 = b"\x10\x2E\0\x04MQTT\x05\xEE\0\x3C\0\0\x01a\x11\x18\0\0\0\x05\x02\0\0\0\x07\x26\0\x01k\0\x01v\
        \0\x01t\0\x02hi\0\x01u\0\x02\0\xFF";
    let attach = attach(v5, Limits::default());
    let will = attach.will.unwrap();
    assert_eq!((&*will.name, &*will.payload, will.guarantee), ("t", &b"hi"[..], Guarantee::AtLeastOnce));
    assert_eq!((will.retain, will.delay_seconds, will.expiry_seconds), (true, 5, Some(7)));
    assert_eq!(will.properties.unwrap().user, [("k".into(), "v".into())]);
    let credentials = attach.credentials.unwrap();
    assert_eq!(credentials.user_name.as_deref(), Some("u"));
    assert_eq!(credentials.password.as_deref(), Some(&b"\0\xFF"[..])); // passwords are bytes
    assert!(!format!("{credentials:?}").contains("255"));
}

#[test]
fn a_will_keeps_what_it_says_of_its_payload() {
    let bytes = b"\x10\x19\0\x04MQTT\x05\x06\0\x3C\0\0\x01a\x04\x09\0\x01c\0\x01t\0\x01p";
    let properties = *attach(bytes, Limits::default()).will.unwrap().properties.unwrap();
    assert_eq!(properties, Properties { correlation_data: Some(b"c"[..].into()), ..Properties::default() });
}

#[test]
fn old_clients_may_leave_credentials_out() {
    // MQTT 3.1, CONNECT: the remaining length takes precedence over the flags.
    let attach = attach(b"\x10\x0F\0\x06MQIsdp\x03\xC2\0\x3C\0\x01a", Limits::default());
    assert!(attach.credentials.is_none());
}

/// Rows of CONNECT packets that are refused: statement or row of the bad inputs, bytes, violation, CONNACK's code.
const REFUSED: &[(&str, &[u8], Violation, Option<u8>)] = &[
    ("F02, MQTT-1.5.5-1", b"\x10\x8E\0\0\x04MQTT\x05\x02\0\x3C\0\0\x01a", Violation::NumberNotMinimal, Some(0x81)),
    ("F04", b"\x80\xFF\xFF\xFF\x7F", Violation::NotConnect, None),
    ("F04, at byte 1", b"\x80", Violation::NotConnect, None),
    ("F05, MQTT-3.1.0-1", b"\x40\x02\0\x01", Violation::NotConnect, None),
    ("F05", b"\x30\x03\0\x01a", Violation::NotConnect, None),
    ("F05", b"\xE0\0", Violation::NotConnect, None),
    ("F01", b"\x10\xFF\xFF\xFF\xFF\x01", Violation::LengthTooLong, None),
    ("F06", b"\0\0", Violation::NotConnect, None),
    ("F06", b"\xF0\0", Violation::NotConnect, None),
    ("F07", b"\x1F\x0D\0\x04MQTT\x04\x02\0\x3C\0\x01a", Violation::ReservedFlags, None),
    ("F12", b"\x10\x06\0\x04MQTT", Violation::Truncated, None),
    ("F13", b"\x10\x0E\0\x04MQTT\x04\x02\0\x3C\0\x01a\0", Violation::TrailingBytes, None),
    ("F13", b"\x10\x0F\0\x04MQTT\x05\x02\0\x3C\0\0\x01a\0", Violation::TrailingBytes, Some(0x81)),
    ("F14", b"\x10\x0D\0\x04MQTT\x04\x02\0\x3C\xFF\xFFa", Violation::Truncated, None),
    (
        "F16, MQTT-3.1.2-22 of 3.1.1",
        b"\x10\x10\0\x04MQTT\x04\x42\0\x3C\0\x01a\0\x01p",
        Violation::PasswordWithoutUserName,
        None,
    ),
    ("F17, MQTT-3.1.2-3", b"\x10\x0D\0\x04MQTT\x04\x03\0\x3C\0\x01a", Violation::ConnectFlags, None),
    ("F17", b"\x10\x0E\0\x04MQTT\x05\x03\0\x3C\0\0\x01a", Violation::ConnectFlags, Some(0x81)),
    ("F18, MQTT-3.1.2-11", b"\x10\x0D\0\x04MQTT\x04\x0A\0\x3C\0\x01a", Violation::WillFlags, None),
    ("F18, MQTT-3.1.2-13", b"\x10\x0D\0\x04MQTT\x04\x22\0\x3C\0\x01a", Violation::WillFlags, None),
    ("F18, MQTT-3.1.2-12", b"\x10\x13\0\x04MQTT\x04\x1E\0\x3C\0\x01a\0\x01t\0\x01p", Violation::WillFlags, None),
    ("F19", b"\x10\x0D\0\x04MQTT\x04\x82\0\x3C\0\x01a", Violation::Truncated, None),
    ("F20", b"\x10\x10\0\x04MQTT\x04\x82\0\x3C\0\x01a\0\x01\xFF", Violation::NotUtf8, None),
    ("F21, MQTT-3.1.2-1", b"\x10\x0D\0\x04MQTU\x04\x02\0\x3C\0\x01a", Violation::ProtocolName, None),
    ("F21, MQTT-3.1.2-2", b"\x10\x0D\0\x04MQTT\x06\x02\0\x3C\0\x01a", Violation::ProtocolLevel, Some(0x84)),
    ("F21", b"\x10\x0D\0\x04MQTT\x03\x02\0\x3C\0\x01a", Violation::ProtocolMismatch, Some(1)),
    ("no bridge's level", b"\x10\x0D\0\x04MQTT\x83\x02\0\x3C\0\x01a", Violation::ProtocolMismatch, Some(1)),
    ("no bridge's level", b"\x10\x0D\0\x04MQTT\x85\x02\0\x3C\0\x01a", Violation::ProtocolLevel, Some(0x84)),
    ("F22, MQTT-3.1.3-8 of 3.1.1", b"\x10\x0C\0\x04MQTT\x04\0\0\x3C\0\0", Violation::ClientIdMissing, Some(2)),
    ("F22, 3.1", b"\x10\x0E\0\x06MQIsdp\x03\x02\0\x3C\0\0", Violation::ClientIdMissing, Some(2)),
    ("F23", b"\x10\x0F\0\x04MQTT\x05\x02\0\x3C\0\0\x02a\0", Violation::ClientId, Some(0x85)),
    ("F23", b"\x10\x0E\0\x04MQTT\x04\x02\0\x3C\0\x02\r\n", Violation::ClientId, None),
    ("P01", b"\x10\x0E\0\x04MQTT\x05\x02\0\x3C\x7F\0\x01a", Violation::Truncated, Some(0x81)),
    (
        "P03",
        b"\x10\x14\0\x04MQTT\x05\x02\0\x3C\x06\x21\0\x01\x21\0\x01\0\x01a",
        Violation::RepeatedProperty,
        Some(0x82),
    ),
    ("P04", b"\x10\x11\0\x04MQTT\x05\x02\0\x3C\x03\x21\0\0\0\x01a", Violation::PropertyValue, Some(0x82)),
    ("P05", b"\x10\x13\0\x04MQTT\x05\x02\0\x3C\x05\x27\0\0\0\0\0\x01a", Violation::PropertyValue, Some(0x82)),
    (
        "P12",
        b"\x10\x1A\0\x04MQTT\x05\x06\0\x3C\0\0\x01a\x05\x11\0\0\0\0\0\x01t\0\x01p",
        Violation::MisplacedProperty,
        Some(0x82),
    ),
    ("P13", b"\x10\x12\0\x04MQTT\x05\x02\0\x3C\x04\x16\0\x01d\0\x01a", Violation::NoAuthentication, Some(0x82)),
    (
        "MQTT-4.12.0-1",
        b"\x10\x12\0\x04MQTT\x05\x02\0\x3C\x04\x15\0\x01m\0\x01a",
        Violation::AuthenticationMethod,
        Some(0x8C),
    ),
    (
        "P14",
        b"\x10\x19\0\x04MQTT\x05\x06\0\x3C\0\0\x01a\x04\x08\0\x01#\0\x01t\0\x01p",
        Violation::ResponseTopic,
        Some(0x82),
    ),
    (
        "will to a wildcard",
        b"\x10\x15\0\x04MQTT\x05\x06\0\x3C\0\0\x01a\0\0\x01#\0\x01p",
        Violation::WillTopic,
        Some(0x90),
    ),
    ("will to nothing", b"\x10\x12\0\x04MQTT\x04\x06\0\x3C\0\x01a\0\0\0\x01p", Violation::WillTopic, None),
    ("U01 in a will", b"\x10\x13\0\x04MQTT\x04\x06\0\x3C\0\x01a\0\x01\0\0\x01p", Violation::NullCharacter, None),
];

#[test]
fn bad_first_packets_are_refused() {
    for (row, bytes, violation, connack) in REFUSED {
        let mut c = Connection::new(Limits::default());
        c.send(bytes);
        assert_eq!(c.violation, Some(*violation), "{row}");
        assert_eq!(code(&c.sent), connack.map(|code| (0x20, code)), "{row}");
        assert_eq!(c.departure, Some(Departure::ProtocolViolation));
        assert!(c.requests.is_empty(), "{row}");
    }
}

#[test]
fn levels_that_nobody_speaks_are_answered_in_the_form_of_5() {
    let mut c = Connection::new(Limits::default());
    c.send(b"\x10\x0D\0\x04MQTT\x02\x02\0\x3C\0\x01a");
    assert_eq!(c.sent, b"\x20\x03\0\x84\0");
}

#[test]
fn every_prefix_of_a_connect_waits_for_more() {
    // F12
    for connect in [C3, C5, C31] {
        for end in 0..connect.len() {
            let mut c = Connection::new(Limits::default());
            c.send(&connect[..end]);
            assert_eq!((c.violation, c.sent.len(), c.requests.len()), (None, 0, 0), "{end}");
        }
    }
}

#[test]
fn a_length_is_believed_only_within_its_bound() {
    // F03
    let mut inbound = Inbound::new(Arc::default(), "mqtt".into(), "p".into(), Time(0));
    assert_eq!(inbound.receive(Time(0), b"\x10\xFF\xFF\xFF\x7F").unwrap_err(), Violation::PacketTooLarge);
    assert!(matches!(inbound.receive(Time(0), b"\x10\x0D\0"), Ok(Step::NeedMore { length: Some(15) })));
    assert!(matches!(inbound.receive(Time(0), b"\x10"), Ok(Step::NeedMore { length: None })));
}

#[test]
fn long_client_identifiers_are_taken() {
    // F23
    let mut connect = vec![0x10, 0x8B, 0x80, 0x04, 0, 4];
    connect.extend_from_slice(b"MQTT\x04\x02\0\x3C\xFF\xFF");
    connect.resize(connect.len() + 65_535, b'/');
    assert_eq!(attach(&connect, Limits::default()).client.id.len(), 65_535);
    let mut c = Connection::new(Limits { client_id_bytes_max: 23, ..Limits::default() });
    c.send(&connect);
    assert_eq!((c.violation, &*c.sent), (Some(Violation::ClientIdTooLong), &b"\x20\x02\0\x02"[..]));
}

#[test]
fn old_clients_may_set_flags_that_mean_nothing() {
    let mut c = Connection::new(Limits::default());
    c.send(b"\x14\x0F\0\x06MQIsdp\x03\x01\0\x3C\0\x01a");
    assert_eq!(c.sent, b"\x20\x02\0\0");
}

#[test]
fn a_second_connect_ends_the_connection() {
    // F10, MQTT-3.1.0-2
    for (connect, expected) in [(C3, None), (C5, Some((0xE0, 0x82)))] {
        let mut c = Connection::open(connect);
        c.send(connect);
        assert_eq!((c.violation, code(&c.sent)), (Some(Violation::SecondConnect), expected));
    }
}

fn attached(resumed: bool, assigned: bool, expiry_seconds: u32) -> Event {
    let scope = Scope { listener: "mqtt".into(), protocol: Protocol::Mqtt, identity: None }.into();
    let client = Arc::new(Client { id: "made-up".into(), container: None, scope, peer: "p".into() });
    Event::Attached(Attached { client, resumed, assigned, expiry_seconds, proof: None })
}

/// What a client hears that is let in.
fn greeted(connect: &[u8], limits: Limits, event: &Event) -> Vec<u8> {
    let mut inbound = Inbound::new(Arc::new(limits), "mqtt".into(), "p".into(), Time(0));
    inbound.receive(Time(0), connect).unwrap();
    let mut out = Vec::new();
    assert_eq!(inbound.outbound().event(event, &mut out), Outcome::Said);
    out
}

#[test]
fn a_client_is_told_what_it_was_granted() {
    let small =
        || Limits { packet_bytes_max: 0x1000, receive_maximum: 20, topic_alias_maximum: 0, ..Limits::default() };
    let expiring = b"\x10\x13\0\x04MQTT\x05\0\xFF\xFF\x05\x11\0\0\0\x09\0\x01a";
    let asking = b"\x10\x10\0\x04MQTT\x05\x02\0\x3C\x02\x19\x01\0\x01a";
    let clamping = || Limits { keep_alive_seconds_max: 300, ..small() };
    let informing = || Limits { response_information: "r".into(), ..small() };
    for (row, connect, limits, event, expected) in [
        ("3.1", C31, small(), attached(true, false, 0), &b"\x20\x02\0\0"[..]),
        ("MQTT-3.2.2-2 of 3.1.1", C3, small(), attached(true, false, 0), b"\x20\x02\x01\0"),
        ("3.1.1", C3, small(), attached(false, false, 0), b"\x20\x02\0\0"),
        ("5.0", C5, small(), attached(false, false, 0), b"\x20\x0B\0\0\x08\x21\0\x14\x27\0\0\x10\0"),
        ("MQTT-3.2.2-3", C5, small(), attached(true, false, 0), b"\x20\x0B\x01\0\x08\x21\0\x14\x27\0\0\x10\0"),
        (
            "MQTT-3.2.2-16",
            C5,
            small(),
            attached(false, true, 0),
            b"\x20\x15\0\0\x12\x21\0\x14\x27\0\0\x10\0\x12\0\x07made-up",
        ),
        (
            "3.2.2.3.2",
            expiring,
            small(),
            attached(false, false, 5),
            b"\x20\x10\0\0\x0D\x11\0\0\0\x05\x21\0\x14\x27\0\0\x10\0",
        ),
        ("3.2.2.3.2", expiring, small(), attached(false, false, 9), b"\x20\x0B\0\0\x08\x21\0\x14\x27\0\0\x10\0"),
        (
            "W08, MQTT-3.2.2-21",
            expiring,
            clamping(),
            attached(false, false, 9),
            b"\x20\x0E\0\0\x0B\x21\0\x14\x27\0\0\x10\0\x13\x01\x2C",
        ),
        (
            "a keep-alive within the bound",
            C5,
            clamping(),
            attached(false, false, 0),
            b"\x20\x0B\0\0\x08\x21\0\x14\x27\0\0\x10\0",
        ),
        (
            "3.2.2.3.15",
            asking,
            informing(),
            attached(false, false, 0),
            b"\x20\x0F\0\0\x0C\x21\0\x14\x27\0\0\x10\0\x1A\0\x01r",
        ),
        ("MQTT-3.1.2-28", C5, informing(), attached(false, false, 0), b"\x20\x0B\0\0\x08\x21\0\x14\x27\0\0\x10\0"),
    ] {
        let mut found = greeted(connect, limits, &event);
        let mut expected = expected.to_vec();
        // The order of properties is free.
        found.sort_unstable();
        expected.sort_unstable();
        assert_eq!(found, expected, "{row}");
    }
}

#[test]
fn a_greeting_that_does_not_fit_is_not_sent() {
    // P05, MQTT-3.1.2-24
    for bytes in 1..=5 {
        let mut connect = b"\x10\x13\0\x04MQTT\x05\x02\0\x3C\x05\x27\0\0\0\x01\0\x01a".to_vec();
        connect[17] = bytes;
        let mut c = Connection::new(Limits::default());
        c.send(&connect);
        c.outbound.as_mut().unwrap().violation(&Violation::KeepAliveExpired, &mut c.sent);
        assert_eq!((c.closed, c.sent.len()), (true, 0));
    }
}

#[test]
fn a_client_is_told_why_it_may_not_come_in() {
    use RefusalKind::*;
    for (kind, old, new) in [
        (NotAuthorized, 5, 0x87),
        (TopicInvalid, 5, 0x90),
        (PayloadInvalid, 5, 0x99),
        (QuotaExceeded, 3, 0x97),
        (NotSupported, 3, 0x83),
        (Unavailable, 3, 0x88),
        (Unspecified, 3, 0x80),
    ] {
        for (connect, expected) in [(C3, old), (C5, new)] {
            let mut inbound = Inbound::new(Arc::default(), "mqtt".into(), "p".into(), Time(0));
            inbound.receive(Time(0), connect).unwrap();
            let mut out = Vec::new();
            let event = Event::Refused(Refusal::new(kind, "no"));
            assert_eq!(inbound.outbound().event(&event, &mut out), Outcome::MustClose);
            assert_eq!(code(&out), Some((0x20, expected)), "{kind:?}");
        }
    }
}

#[test]
fn a_rule_broken_before_the_greeting_is_told_in_it() {
    let mut inbound = Inbound::new(Arc::default(), "mqtt".into(), "p".into(), Time(0));
    inbound.receive(Time(0), C5).unwrap();
    let mut outbound = inbound.outbound();
    let violation = inbound.receive(Time(0), b"\x36\0").unwrap_err();
    let mut out = Vec::new();
    outbound.violation(&violation, &mut out);
    assert_eq!(code(&out), Some((0x20, 0x81)));
}
