//! Packets of a connected client: what they ask of the hall, and how broken ones end the connection.

use super::harness::{C3, C5, C31, Connection, code};
use crate::client::Departure;
use crate::mqtt::{Limits, Violation};
use Violation::*;

#[test]
fn good_packets_become_requests() {
    for (connect, bytes, expected) in [
        (
            C3,
            &b"\x30\x05\0\x01ahi"[..],
            "Publish(Publish { name: \"a\", guarantee: AtMostOnce, retain: false, handle: 0,",
        ),
        (
            C3,
            b"\x33\x07\0\x01a\0\x05hi",
            "Publish(Publish { name: \"a\", guarantee: AtLeastOnce, retain: true, handle: 5,",
        ),
        (C3, b"\x40\x02\0\x05", "Settle(5, Acknowledged)"),
        (C5, b"\x40\x03\0\x05\x80", "Settle(5, Acknowledged)"),
        (C3, b"\x50\x02\0\x05", "Received(5)"),
        (C5, b"\x50\x03\0\x05\x10", "Received(5)"),
        (C5, b"\x50\x03\0\x05\x80", "Settle(5, Refused)"), // MQTT-4.3.3-4
        (C3, b"\x62\x02\0\x05", "Release(5)"),
        (C31, b"\x6A\x02\0\x05", "Release(5)"),
        (C5, b"\x62\x03\0\x05\x92", "Release(5)"),
        (C3, b"\x70\x02\0\x05", "Settle(5, Completed)"),
        (C5, b"\x70\x03\0\x05\x92", "Settle(5, Completed)"),
        (C3, b"\xE0\0", "Detach(Detach { departure: Clean, expiry_seconds: None })"),
        (C5, b"\xE0\0", "Detach(Detach { departure: Clean, expiry_seconds: None })"),
        (C5, b"\xE0\x01\x04", "Detach(Detach { departure: OnRequest, expiry_seconds: None })"), // 3.14.2.1
        (C5, b"\xE0\x01\x82", "Detach(Detach { departure: OnRequest, expiry_seconds: None })"),
        (C5, b"\xE0\x07\0\x05\x11\0\0\0\0", "Detach(Detach { departure: Clean, expiry_seconds: Some(0) })"),
    ] {
        let mut c = Connection::open(connect);
        c.send(bytes);
        assert_eq!(c.violation, None, "{bytes:02X?}");
        assert!(c.requests[0].starts_with(expected), "{bytes:02X?}: {:?}", c.requests);
    }
}

#[test]
fn subscriptions_are_taken_apart() {
    const ALL: &str = "no_local: false, retain_as_published: false, retain_handling: Always, identifier: None";
    for (connect, bytes, expected) in [
        (
            C3,
            &b"\x82\x06\0\x01\0\x01a\x01"[..],
            format!("name: \"a\", share: None, options: SubscribeOptions {{ guarantee: AtLeastOnce, {ALL}"),
        ),
        (
            C31,
            b"\x8A\x06\0\x01\0\x01a\xFD",
            format!("name: \"a\", share: None, options: SubscribeOptions {{ guarantee: AtLeastOnce, {ALL}"),
        ),
        (
            C5,
            b"\x82\x0A\0\x01\x03\x0B\xC8\x01\0\x01a\x2E",
            "name: \"a\", share: None, options: SubscribeOptions { guarantee: ExactlyOnce, no_local: true, \
             retain_as_published: true, retain_handling: Never, identifier: Some(200)"
                .into(),
        ),
        (
            C5,
            b"\x82\x10\0\x01\0\0\x0A$share/g/b\0",
            format!("name: \"b\", share: Some(\"g\"), options: SubscribeOptions {{ guarantee: AtMostOnce, {ALL}"),
        ),
        (
            C3,
            b"\x82\x0F\0\x01\0\x0A$share/g/b\0",
            format!("name: \"b\", share: Some(\"g\"), options: SubscribeOptions {{ guarantee: AtMostOnce, {ALL}"),
        ),
        // T06, T07: the hall refuses these, filter by filter.
        (
            C5,
            b"\x82\x08\0\x01\0\0\x02a#\0",
            format!("name: \"a#\", share: None, options: SubscribeOptions {{ guarantee: AtMostOnce, {ALL}"),
        ),
        (
            C5,
            b"\x82\x0E\0\x01\0\0\x08$share/g\0",
            format!("name: \"\", share: None, options: SubscribeOptions {{ guarantee: AtMostOnce, {ALL}"),
        ),
        (
            C5,
            b"\x82\x0F\0\x01\0\0\x09$share//a\0",
            format!("name: \"\", share: None, options: SubscribeOptions {{ guarantee: AtMostOnce, {ALL}"),
        ),
        (
            C5,
            b"\x82\x0F\0\x01\0\0\x09$share/g/\0",
            format!("name: \"\", share: Some(\"g\"), options: SubscribeOptions {{ guarantee: AtMostOnce, {ALL}"),
        ),
        (
            C5,
            b"\x82\x10\0\x01\0\0\x0A$share/+/a\0",
            format!("name: \"\", share: None, options: SubscribeOptions {{ guarantee: AtMostOnce, {ALL}"),
        ),
    ] {
        let mut c = Connection::open(connect);
        c.send(bytes);
        let whole = format!("Subscribe(Subscribe {{ handle: 1, filters: [SubscribeFilter {{ {expected} }} }}] }})");
        assert_eq!(c.requests, [whole], "{bytes:02X?} {:?}", c.violation);
    }
}

#[test]
fn unsubscriptions_are_taken_apart() {
    for (connect, bytes, expected) in [
        (C3, &b"\xA2\x08\0\x01\0\x01a\0\x01b"[..], "[(\"a\", None), (\"b\", None)]"),
        (C5, b"\xA2\x0F\0\x01\0\0\x0A$share/g/b", "[(\"b\", Some(\"g\"))]"),
        (C5, b"\xA2\x0E\0\x01\0\0\x09$share//b", "[(\"\", None)]"),
    ] {
        let mut c = Connection::open(connect);
        c.send(bytes);
        assert_eq!(
            c.requests,
            [format!("Unsubscribe(Unsubscribe {{ handle: 1, filters: {expected} }})")],
            "{bytes:02X?}"
        );
    }
}

/// Statement or row of the bad inputs, CONNECT, bytes, violation, reason code in 5.0.
type Row = (&'static str, &'static [u8], &'static [u8], Violation, u8);

const BROKEN: &[Row] = &[
    ("F01", C5, b"\x30\xFF\xFF\xFF\xFF\x01", LengthTooLong, 0x81),
    ("F02, MQTT-1.5.5-1", C5, b"\x30\x84\x80\0\0\x01a\0", NumberNotMinimal, 0x81),
    ("F06", C3, b"\0\0", ReservedType, 0),
    ("F06", C5, b"\x0A\xC0", ReservedType, 0x82),
    ("F06", C3, b"\xF0\0", ReservedType, 0),
    ("F07", C5, b"\x80\x02\0\x01", ReservedFlags, 0x81),
    ("F07", C5, b"\x60\x02\0\x01", ReservedFlags, 0x81),
    ("F07", C5, b"\xA0\x02\0\x01", ReservedFlags, 0x81),
    ("F07", C5, b"\xC1\0", ReservedFlags, 0x81),
    ("F07", C5, b"\xE1\0", ReservedFlags, 0x81),
    ("F08, MQTT-3.3.1-4", C5, b"\x36\x05\0\x01a\0\x01", QosInvalid, 0x81),
    ("F09, MQTT-3.3.1-2", C5, b"\x38\x03\0\x01a", DuplicateOfQosZero, 0x81),
    ("F11", C5, b"\x20\x02\0\0", ServerPacket, 0x82),
    ("F11", C5, b"\x90\x03\0\x01\0", ServerPacket, 0x82),
    ("F11", C5, b"\xB0\x02\0\x01", ServerPacket, 0x82),
    ("F11", C5, b"\xD0\0", ServerPacket, 0x82),
    ("3.12", C5, b"\xC0\x01\0", TrailingBytes, 0x81),
    ("U01", C5, b"\x30\x06\0\x03a\0b\0", NullCharacter, 0x81),
    ("U02", C5, b"\x30\x06\0\x03\xED\xA0\x80\0", NotUtf8, 0x81),
    ("U03", C5, b"\x30\x05\0\x02\xC0\x80\0", NotUtf8, 0x81),
    ("U04", C5, b"\x30\x04\0\x01\xC3\0", NotUtf8, 0x81),
    ("U05", C5, b"\x30\x04\0\x01\x7F\0", ForbiddenCharacter, 0x81),
    ("T01, MQTT-3.3.2-2", C5, b"\x30\x04\0\x01#\0", TopicWildcard, 0x90),
    ("T01", C3, b"\x30\x03\0\x01+", TopicWildcard, 0),
    ("T02", C5, b"\x30\x03\0\0\0", TopicMissing, 0x82),
    ("T06, MQTT-4.7.3-1", C5, b"\x82\x06\0\x01\0\0\0\0", FilterEmpty, 0x82),
    ("T06, MQTT-4.7.1-1", C3, b"\x82\x07\0\x01\0\x02a#\0", FilterInvalid, 0),
    ("T06", C3, b"\x82\x08\0\x01\0\x03#/a\0", FilterInvalid, 0),
    ("T06, MQTT-4.7.1-2", C3, b"\x82\x09\0\x01\0\x04a+/b\0", FilterInvalid, 0),
    ("T06", C3, b"\xA2\x06\0\x01\0\x02a#", FilterInvalid, 0),
    ("T08, MQTT-3.8.3-4", C5, b"\x82\x10\0\x01\0\0\x0A$share/g/b\x04", SharedNoLocal, 0x82),
    ("T11, MQTT-3.8.3-2", C5, b"\x82\x03\0\x01\0", FilterMissing, 0x82),
    ("T11, MQTT-3.8.3-3 of 3.1.1", C3, b"\x82\x02\0\x01", FilterMissing, 0),
    ("T11, MQTT-3.10.3-2", C5, b"\xA2\x03\0\x01\0", FilterMissing, 0x82),
    ("T12", C5, b"\x82\x06\0\x01\0\0\x01a", Truncated, 0x81),
    ("T13, MQTT-2.2.1-3", C5, b"\x82\x07\0\0\0\0\x01a\0", IdentifierZero, 0x82),
    ("T13", C5, b"\x32\x06\0\x01a\0\0\0", IdentifierZero, 0x82),
    ("T13", C5, b"\xA2\x06\0\0\0\0\x01a", IdentifierZero, 0x82),
    ("T14", C5, b"\x32\x03\0\x01a", Truncated, 0x81),
    ("T15, MQTT-3.8.3-5", C5, b"\x82\x07\0\x01\0\0\x01a\xC0", SubscribeOptions, 0x81),
    ("T15, 3.8.3.1", C5, b"\x82\x07\0\x01\0\0\x01a\x30", SubscribeValue, 0x82),
    ("T15, 3.8.3.1", C5, b"\x82\x07\0\x01\0\0\x01a\x03", SubscribeValue, 0x82),
    ("T15, MQTT-3-8.3-4 of 3.1.1", C3, b"\x82\x06\0\x01\0\x01a\x04", SubscribeOptions, 0),
    ("P06", C5, b"\x30\x06\0\0\x03\x23\0\x05", AliasUnknown, 0x82),
    ("P06, MQTT-3.3.2-8", C5, b"\x30\x07\0\x01a\x03\x23\0\0", AliasInvalid, 0x94),
    ("P06, MQTT-3.3.2-9", C5, b"\x30\x07\0\x01a\x03\x23\0\x0B", AliasInvalid, 0x94),
    ("P10", C5, b"\x30\x0A\0\x01a\x05\x11\0\0\0\x001", MisplacedProperty, 0x82),
    ("P11, MQTT-3.3.4-6", C5, b"\x30\x07\0\x01a\x02\x0B\x011", MisplacedProperty, 0x82),
    ("P11", C5, b"\x82\x09\0\x01\x02\x0B\0\0\x01a\0", PropertyValue, 0x82),
    ("P11", C5, b"\x82\x0B\0\x01\x04\x0B\x01\x0B\x01\0\x01a\0", RepeatedProperty, 0x82),
    ("P13", C5, b"\xF0\0", NoAuthentication, 0x82),
    ("P13", C5, b"\xF0\x06\x18\x04\x15\0\x01m", NoAuthentication, 0x82),
    ("P14, MQTT-3.3.2-14", C5, b"\x30\x08\0\x01a\x04\x08\0\x01+", ResponseTopic, 0x82),
    ("P15, 3.14.2.2.2", C5, b"\xE0\x07\0\x05\x11\0\0\0\x01", SessionExpiryRaised, 0x82),
    ("P16", C5, b"\xE0\x01\x05", ReasonCode, 0x82),
    ("3.4.2.1", C5, b"\x40\x03\0\x01\xFF", ReasonCode, 0x82),
    ("3.14, MQTT 3.1.1", C3, b"\xE0\x01\0", TrailingBytes, 0),
    ("MQTT-3.2.2-15", C5, b"\x30\x80\x80\x80\x08", PacketTooLarge, 0x95),
];

#[test]
fn broken_packets_end_the_connection() {
    for (row, connect, bytes, violation, reason) in BROKEN {
        let mut c = Connection::open(connect);
        c.send(bytes);
        assert_eq!(c.violation, Some(*violation), "{row} {bytes:02X?}");
        assert_eq!(code(&c.sent), (*reason != 0).then_some((0xE0, *reason)), "{row}");
        assert_eq!(c.departure, Some(Departure::ProtocolViolation));
        assert!(c.requests.is_empty(), "{row}");
        assert!(!violation.clause().is_empty());
    }
}

fn variable(packet: &mut Vec<u8>, mut number: usize) {
    while number >= 0x80 {
        packet.push(number as u8 | 0x80);
        number >>= 7;
    }
    packet.push(number as u8);
}

/// A packet whose body is `head`, then `count` times `unit`, then `tail`.
fn long_packet(first: u8, head: &[u8], unit: &[u8], count: usize, tail: &[u8]) -> Vec<u8> {
    let mut packet = vec![first];
    variable(&mut packet, head.len() + unit.len() * count + tail.len());
    packet.extend_from_slice(head);
    packet.extend(unit.iter().copied().cycle().take(unit.len() * count));
    packet.extend_from_slice(tail);
    packet
}

#[test]
fn deep_topics_are_refused() {
    // T03
    let mut c = Connection::open(C5);
    c.send(&long_packet(0x30, b"\xFF\xFF", b"/", 65_535, b"\0"));
    assert_eq!((c.violation, code(&c.sent)), (Some(TopicTooDeep), Some((0xE0, 0x90))));
    let mut c = Connection::open(C3);
    c.send(&long_packet(0x30, b"\0\x80", b"a/", 64, b""));
    assert_eq!(c.violation, None); // 65 levels
    c.send(&long_packet(0x30, b"\0\xFE", b"a/", 127, b""));
    assert_eq!(c.violation, None); // 128 levels
    c.send(&long_packet(0x30, b"\x01\0", b"a/", 128, b""));
    assert_eq!(c.violation, Some(TopicTooDeep)); // 129
    // Filters go to the hall, which refuses each for itself.
    let mut c = Connection::open(C3);
    c.send(&long_packet(0x82, b"\0\x01\xFF\xFF", b"/", 65_535, b"\0"));
    assert_eq!((c.violation, c.requests.len()), (None, 1));
    let mut c = Connection::new(Limits::default());
    c.send(&long_packet(0x10, b"\0\x04MQTT\x05\x06\0\x3C\0\0\x01a\0\xFF\xFF", b"/", 65_535, b"\0\x01p"));
    assert_eq!((c.violation, code(&c.sent)), (Some(WillTopic), Some((0x20, 0x90))));
}

#[test]
fn too_many_filters_are_each_refused() {
    // T05
    for (connect, first, head, unit, reason) in [
        (C3, 0x82, &b"\0\x01"[..], &b"\0\x01a\0"[..], Some(0x80)),
        (C5, 0x82, b"\0\x01\0", b"\0\x01a\0", Some(0x97)),
        (C5, 0xA2, b"\0\x01\0", b"\0\x01a", Some(0x83)),
        (C3, 0xA2, b"\0\x01", b"\0\x01a", None),
        (C31, 0x82, b"\0\x01", b"\0\x01a\0", None),
    ] {
        let mut c = Connection::open(connect);
        c.send(&long_packet(first, head, unit, 100_000, b""));
        assert!(c.requests.is_empty());
        let Some(reason) = reason else {
            assert_eq!(c.violation, Some(TooManyFilters));
            continue;
        };
        assert_eq!(c.violation, None);
        assert!(c.sent.len() > 100_000 && c.sent[c.sent.len() - 100_000..].iter().all(|code| *code == reason));
        assert_eq!(c.sent[0], (first & 0xF0) + 0x10);
    }
}

/// [MQTT-3.1.2-24], [MQTT-3.8.4-1]: nothing is done whose answer would not come.
#[test]
fn filters_whose_answer_the_client_does_not_take_are_refused_before_anything_is_done() {
    // Maximum Packet Size 20: 15 codes.
    let connect = b"\x10\x13\0\x04MQTT\x05\x02\0\0\x05\x27\0\0\0\x14\0\x01a";
    for (first, unit) in [(0x82, &b"\0\x01a\0"[..]), (0xA2, b"\0\x01a")] {
        for (count, taken) in [(15, true), (16, false), (40, false)] {
            let mut c = Connection::open(connect);
            c.send(&long_packet(first, b"\0\x01\0", unit, count, b""));
            assert_eq!((c.requests.len(), c.violation.is_none()), (usize::from(taken), taken), "{first:x} {count}");
            if !taken {
                assert_eq!((c.violation, code(&c.sent)), (Some(AnswerTooLarge), Some((0xE0, 0x95))));
            }
        }
    }
}

#[test]
fn many_user_properties_are_refused() {
    // P09
    let mut c = Connection::open(C5);
    c.send(&long_packet(0x30, b"\0\x01a\xD0\x86\x03", b"\x26\0\0\0\0", 10_000, b""));
    assert_eq!((c.violation, code(&c.sent)), (Some(TooManyUserProperties), Some((0xE0, 0x97))));
    // Few, and 512 KiB of them.
    let long = [&b"\x26\0\0\xFF\xFF"[..], &[b'v'; 65_535]].concat();
    for (count, taken) in [(8, true), (9, false)] {
        let mut c = Connection::open(C5);
        let mut properties = Vec::new();
        variable(&mut properties, long.len() * count);
        c.send(&long_packet(0x30, &[&b"\0\x01a"[..], &properties].concat(), &long, count, b""));
        assert_eq!((c.requests.len(), c.violation.is_none()), (usize::from(taken), taken), "{count}");
        if !taken {
            assert_eq!((c.violation, code(&c.sent)), (Some(TooManyUserProperties), Some((0xE0, 0x97))));
        }
    }
}

#[test]
fn an_alias_stands_for_its_topic() {
    // MQTT-3.3.2-12
    let mut c = Connection::open(C5);
    c.send(b"\x30\x0A\0\x04room\x03\x23\0\x01").send(b"\x30\x06\0\0\x03\x23\0\x01");
    assert_eq!(c.requests.len(), 2);
    assert!(c.requests.iter().all(|request| request.contains("name: \"room\"")), "{:?}", c.requests);
}

#[test]
fn aliases_have_a_budget() {
    // P07
    let mut c = Connection::open(C5);
    c.send(&long_packet(0x30, b"\xFF\xFF", b"a", 65_535, b"\x03\x23\0\x01"));
    assert_eq!(c.violation, None);
    c.send(&long_packet(0x30, b"\xFF\xFF", b"b", 65_535, b"\x03\x23\0\x02"));
    assert_eq!((c.violation, code(&c.sent)), (Some(AliasBytes), Some((0xE0, 0x97))));
}

#[test]
fn a_session_that_lasts_may_be_given_another_end() {
    // 3.14.2.2.2
    let mut c = Connection::open(b"\x10\x13\0\x04MQTT\x05\0\0\x3C\x05\x11\0\0\0\x09\0\x01a");
    c.send(b"\xE0\x07\0\x05\x11\0\0\0\x63");
    assert_eq!(c.requests, ["Detach(Detach { departure: Clean, expiry_seconds: Some(99) })"]);
}

#[test]
fn nothing_is_read_after_disconnect() {
    // MQTT-3.14.4-1
    let mut c = Connection::open(C3);
    c.send(b"\xE0\0");
    c.closed = false;
    c.send(b"\x30\x05\0\x01ahi\x36");
    assert_eq!((c.requests.len(), c.violation), (1, None));
}

#[test]
fn receive_maximum_is_enforced() {
    // Q02, MQTT-3.3.4-7
    let limits = || Limits { receive_maximum: 3, receive_maximum_untold: 4, ..Limits::default() };
    for (connect, allowed, reason) in [(C5, 3, Some((0xE0, 0x93))), (C3, 4, None)] {
        let mut c = Connection::open_with(connect, limits());
        for id in 1..=allowed + 1 {
            let properties: &[u8] = if connect == C5 { b"\0" } else { b"" };
            c.send(&[&[0x34, 5 + properties.len() as u8, 0, 1, b'a', 0, id], properties].concat());
            if id <= allowed {
                assert_eq!(c.take_sent(), [0x50, 2, 0, id]);
            }
        }
        assert_eq!((c.violation, code(&c.sent)), (Some(ReceiveMaximum), reason));
    }
}

#[test]
fn the_same_handle_again_is_asked_for_again() {
    // Q01, Q10: the hall knows that it has seen it.
    let mut c = Connection::open_with(C3, Limits { receive_maximum_untold: 1, ..Limits::default() });
    c.send(b"\x34\x06\0\x01a\0\x011").send(b"\x34\x06\0\x01a\0\x012");
    for _ in 0..1000 {
        c.send(b"\x3C\x06\0\x01a\0\x011");
    }
    assert_eq!((c.violation, c.sent.len()), (None, 1002 * 4));
    c.send(b"\x34\x06\0\x01a\0\x011\x34\x06\0\x01a\0\x011"); // MQTT-4.4.0-1
    assert_eq!(c.violation, Some(RepeatedPublish));
}
