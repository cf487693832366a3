//! Messages on their way to a client.

use super::harness::{C3, C5, Connection};
use crate::dialogue::{Closed, Delivery, Event, Identifiers, Outgoing};
use crate::message::{Envelope, Guarantee, Message, Properties, Time};
use crate::mqtt::packet::header;
use crate::mqtt::{Outcome, Written};
use crate::topic::{Limits, Topic};

fn message(topic: &str, expires: Option<Time>, properties: Option<Properties>) -> Message {
    let topic = Topic::new(topic, &Limits::default()).unwrap();
    let properties = properties.map(Box::new);
    let envelope = Envelope { topic, guarantee: Guarantee::ExactlyOnce, retain: false, expires, properties, hops: 0 };
    Message::new(envelope, 0, b"hi")
}

fn delivery(message: Message) -> Delivery {
    Delivery {
        message,
        name: None,
        guarantee: Guarantee::AtMostOnce,
        retain: false,
        duplicate: false,
        handle: 0,
        identifiers: Identifiers::new(),
    }
}

fn delivered(connect: &[u8], now: Time, delivery: Delivery) -> Vec<u8> {
    let mut c = Connection::open(connect);
    let written = c.outbound.as_mut().unwrap().deliver(now, &Outgoing::Deliver(delivery), &mut c.sent);
    assert_eq!(written, Written::Whole);
    c.sent
}

#[test]
fn messages_are_written() {
    let plain = || delivery(message("a/b", None, None));
    let text = || Properties { payload_is_text: Some(false), ..Properties::default() };
    for (row, connect, delivery, expected) in [
        ("3.1.1", C3, plain(), &b"\x30\x07\0\x03a/bhi"[..]),
        ("5.0", C5, plain(), b"\x30\x08\0\x03a/b\0hi"),
        ("another name", C3, Delivery { name: Some("c".into()), ..plain() }, b"\x30\x05\0\x01chi"),
        ("retained", C3, Delivery { retain: true, ..plain() }, b"\x31\x07\0\x03a/bhi"),
        ("MQTT-3.3.1-2", C3, Delivery { duplicate: true, ..plain() }, b"\x30\x07\0\x03a/bhi"),
        (
            "MQTT-3.3.1-1",
            C3,
            Delivery { duplicate: true, guarantee: Guarantee::AtLeastOnce, handle: 5, ..plain() },
            b"\x3A\x09\0\x03a/b\0\x05hi",
        ),
        (
            "QoS 2",
            C5,
            Delivery { guarantee: Guarantee::ExactlyOnce, handle: 5, ..plain() },
            b"\x34\x0A\0\x03a/b\0\x05\0hi",
        ),
        (
            "MQTT-3.3.4-3, -4",
            C5,
            Delivery { identifiers: Identifiers::from_slice(&[1, 300]), ..plain() },
            b"\x30\x0D\0\x03a/b\x05\x0B\x01\x0B\xAC\x02hi",
        ),
        ("MQTT-3.3.2-4", C5, delivery(message("a", None, Some(text()))), b"\x30\x08\0\x01a\x02\x01\0hi"),
        ("3.1.1 has no properties", C3, delivery(message("a", None, Some(text()))), b"\x30\x05\0\x01ahi"),
        ("MQTT-3.3.2-6", C5, delivery(message("a", Some(Time(9_500)), None)), b"\x30\x0B\0\x01a\x05\x02\0\0\0\x09hi"),
    ] {
        assert_eq!(delivered(connect, Time(1000), delivery), expected, "{row}");
    }
}

#[test]
fn properties_reach_the_subscriber() {
    // MQTT-3.3.2-15, -16, -17, -18, -20
    let properties = Properties {
        content_type: Some("t".into()),
        payload_is_text: Some(true),
        response_topic: Some("r".into()),
        correlation_data: Some(b"\0\xFF"[..].into()),
        user: vec![("k".into(), "2".into()), ("k".into(), "1".into())],
    };
    let expected = b"\x30\x23\0\x01a\x1D\x01\x01\x03\0\x01t\x08\0\x01r\x09\0\x02\0\xFF\
        \x26\0\x01k\0\x012\x26\0\x01k\0\x011hi";
    assert_eq!(delivered(C5, Time(0), delivery(message("a", None, Some(properties)))), expected);
}

#[test]
fn properties_that_are_no_mqtt_are_left_out() {
    // A43
    let properties = Properties {
        content_type: Some("a\0b".into()),
        correlation_data: Some(vec![0; 70_000].into()),
        user: vec![("a".repeat(70_000).into(), "".into()), ("k".into(), "\u{7}".into()), ("k".into(), "v".into())],
        ..Properties::default()
    };
    assert_eq!(
        delivered(C5, Time(0), delivery(message("a", None, Some(properties)))),
        b"\x30\x0D\0\x01a\x07\x26\0\x01k\0\x01vhi"
    );
}

#[test]
fn a_release_is_sent_again() {
    let mut c = Connection::open(C3);
    let written = c.outbound.as_mut().unwrap().deliver(Time(0), &Outgoing::Release(7), &mut c.sent);
    assert_eq!(written, Written::Whole);
    assert_eq!(c.sent, b"\x62\x02\0\x07");
}

#[test]
fn a_message_that_does_not_fit_is_left_out() {
    // MQTT-3.1.2-24, -25
    let mut c = Connection::open(b"\x10\x13\0\x04MQTT\x05\x02\0\x3C\x05\x27\0\0\0\x14\0\x01a");
    let outbound = c.outbound.as_mut().unwrap();
    for (topic, fits) in [("123456789012345", false), ("12345678901234", false), ("1234567890123", true)] {
        let mut out = Vec::new();
        let written = outbound.deliver(Time(0), &Outgoing::Deliver(delivery(message(topic, None, None))), &mut out);
        assert_eq!(written, if fits { Written::Whole } else { Written::TooLarge });
        assert_eq!(out.len(), if fits { 20 } else { 0 });
    }
}

/// A 5.0 client that allows two topic aliases, and 30 bytes.
const ALIASES: &[u8] = b"\x10\x16\0\x04MQTT\x05\x02\0\x3C\x08\x22\0\x02\x27\0\0\0\x1E\0\x01a";

#[test]
fn the_broker_sets_aliases_where_it_may() {
    // MQTT-3.1.2-26, -27; P19 is the row of a client that allows none, above
    let mut c = Connection::open(ALIASES);
    let outbound = c.outbound.as_mut().unwrap();
    for (topic, expected) in [
        ("room/1", &b"\x30\x0E\0\x06room/1\x03\x23\0\x01hi"[..]),
        ("room/1", b"\x30\x08\0\0\x03\x23\0\x01hi"),
        ("room/2", b"\x30\x0E\0\x06room/2\x03\x23\0\x02hi"),
        ("room/3", b"\x30\x0E\0\x06room/3\x03\x23\0\x01hi"), // in the place of the one used longest ago
        ("room/1", b"\x30\x0E\0\x06room/1\x03\x23\0\x02hi"),
        ("abc", b"\x30\x08\0\x03abc\0hi"), // not worth it
        ("12345678901234567890123", b"\x30\x1C\0\x1712345678901234567890123\0hi"), // fits without an alias only
        ("room/1", b"\x30\x08\0\0\x03\x23\0\x02hi"),
    ] {
        let mut out = Vec::new();
        let written = outbound.deliver(Time(0), &Outgoing::Deliver(delivery(message(topic, None, None))), &mut out);
        assert_eq!(written, Written::Whole);
        assert_eq!(out, expected, "{topic}");
    }
}

#[test]
fn an_alias_stands_for_the_name_that_was_shown() {
    let mut c = Connection::open(ALIASES);
    let outbound = c.outbound.as_mut().unwrap();
    let named =
        |name: &str| Outgoing::Deliver(Delivery { name: Some(name.into()), ..delivery(message("topic", None, None)) });
    let mut out = Vec::new();
    for _ in 0..2 {
        assert_eq!(outbound.deliver(Time(0), &named("shown/1"), &mut out), Written::Whole);
    }
    assert_eq!(out, b"\x30\x0F\0\x07shown/1\x03\x23\0\x01hi\x30\x08\0\0\x03\x23\0\x01hi");
}

/// What was written has to leave first: the rest waits in the message that all receivers share, and whatever is said goes behind.
#[test]
fn a_long_message_is_written_in_parts() {
    let long: Vec<u8> = (0..300_000_u32).flat_map(|number| number.to_be_bytes()).collect();
    let user = || (0..5).map(|n| (format!("name {n}").into(), "v".repeat(60_000).into())).collect();
    let properties =
        |is_long: bool| Properties { user: if is_long { user() } else { Vec::new() }, ..Properties::default() };
    // Where the payload is short, the properties are long.
    for (connect, payload, is_long) in
        [(C3, &long, false), (C5, &long, false), (C5, &long, true), (C5, &vec![7; 10], true)]
    {
        let bare = message("a", None, Some(properties(is_long)));
        let shared = Message::new(bare.envelope().clone(), 0, payload);
        let mut c = Connection::open(connect);
        let outbound = c.outbound.as_mut().unwrap();
        let mut all = Vec::new();
        let begun = outbound.deliver(Time(0), &Outgoing::Deliver(delivery(shared)), &mut all);
        assert_eq!(begun, Written::Begun);
        let mut parts = 0;
        loop {
            let mut part = Vec::new();
            let goes_on = outbound.go_on(65_536, &mut part);
            assert!(part.len() == 65_536 || !goes_on, "part {parts} has {} bytes", part.len());
            all.extend_from_slice(&part);
            match parts {
                0 => outbound.pong(&mut all),
                1 => assert_eq!(outbound.event(&Event::Released(5, true), &mut all), Outcome::Said),
                2 => assert_eq!(outbound.event(&Event::Closed(Closed::ByOperator), &mut all), Outcome::MustClose),
                _ => {}
            }
            parts += 1;
            if !goes_on {
                break;
            }
        }
        let last: &[u8] = if connect == C5 { b"\xE0\x01\x98" } else { b"" };
        let behind = [&payload[..], b"\xD0\0\x70\x02\0\x05", last].concat();
        assert!(all.ends_with(&behind), "the rest in its order, and what was said behind it");
        assert_eq!(header::read(&all).unwrap().unwrap().total(), all.len() - behind.len() + payload.len());
        assert!(!outbound.go_on(1, &mut all));
    }
}
