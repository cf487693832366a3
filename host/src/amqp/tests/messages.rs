//! Sections of messages.

use super::raw::*;
use crate::amqp::sections::{self, Body, Header, Id, Properties, Sections};
use crate::amqp::{Limits, Symbol, Value};

fn full() -> Vec<u8> {
    [
        described(0x70, &list(&[TRUE, &ubyte(9), &uint(5000), TRUE, &uint(2)])),
        described(0x71, &map(&[&symbol("x-opt-hop"), TRUE])),
        described(0x72, &map(&[&symbol("x-opt-kept"), &uint(7)])),
        described(0x73, &list(&[&ulong(12), &binary(b"me"), &string("to"), NULL, &string("back")])),
        described(0x74, &map(&[&string("colour"), &string("red"), &string("size"), &uint(3)])),
        described(0x75, &binary(b"one")),
        described(0x75, &binary(b"two")),
        described(0x78, &map(&[&symbol("x-sum"), &uint(1)])),
    ]
    .concat()
}

#[test]
fn all_sections_are_found_where_they_lie() {
    let bytes = full();
    let found = Sections::scan(&bytes, &Limits::default()).unwrap();
    let header =
        Header { durable: true, priority: 9, ttl_milliseconds: Some(5000), first_acquirer: true, delivery_count: 2 };
    assert_eq!(found.header(), header);
    let properties = found.properties();
    assert_eq!((properties.message_id, properties.user_id), (Some(Id::Ulong(12)), Some(&b"me"[..])));
    assert_eq!((properties.to, properties.subject, properties.reply_to), (Some("to"), None, Some("back")));
    assert_eq!(found.application_property("size").and_then(|v| v.as_uint()), Some(3));
    assert_eq!(found.message_annotation("x-opt-kept").and_then(|v| v.as_uint()), Some(7));
    assert_eq!(found.data().as_deref(), Some(&b"onetwo"[..]));
    assert!(matches!(found.body(), Body::DataMany(parts) if parts.count() == 2));
    let at = |code: u8| bytes.windows(10).position(|w| w == [0, 0x80, 0, 0, 0, 0, 0, 0, 0, code]).unwrap();
    assert_eq!(found.kept(), &bytes[at(0x72)..]);
    assert_eq!(found.bare(), &bytes[at(0x73)..at(0x78)]);
}

#[test]
fn a_message_may_be_nothing_but_a_body() {
    for (bytes, bare) in [(message(b"x"), message(b"x").len()), (described(0x77, NULL), 11), (Vec::new(), 0)] {
        let found = Sections::scan(&bytes, &Limits::default()).unwrap();
        assert_eq!((found.bare().len(), found.kept()), (bare, &bytes[..]));
        assert_eq!(found.properties(), Properties::default());
    }
}

#[test]
fn what_is_no_message_is_refused() {
    let header = described(0x70, &list(&[]));
    let data = message(b"x");
    for (why, bytes) in [
        ("two headers", [&header[..], &header, &data].concat()),
        ("out of order", [&data[..], &header].concat()),
        ("two kinds of body", [&data[..], &described(0x77, NULL)].concat()),
        ("two values", [described(0x77, NULL), described(0x77, NULL)].concat()),
        ("an unknown section", [&data[..], &described(0x79, NULL)].concat()),
        ("no section", vec![0x41]),
        ("a string as data", described(0x75, &string("x"))),
        ("a name that only begins like one", hex("00 A3 11 616d71703a646174613a62696e61727958 A0 01 41")),
        ("a key that is no string", described(0x74, &map(&[&uint(1), TRUE]))),
        ("an odd map", hex("00 53 74 C1 02 01 40")),
        ("a key twice", described(0x74, &map(&[&string("a"), TRUE, &string("a"), TRUE]))),
        ("a property of a wrong type", described(0x73, &list(&[TRUE]))),
        ("too many properties", described(0x73, &list(&[NULL; 14]))),
        ("a string that is not UTF-8", hex("00 53 77 A1 02 C3 28")),
        ("a symbol that is not ASCII", hex("00 53 77 A3 02 C3 A9")),
        ("no character", hex("00 53 77 73 00 11 00 00")),
        ("cut short", hex("00 53 75 A0 05 41")),
        ("a length beyond all bytes", hex("00 53 75 B0 7F FF FF FF")),
        ("a count beyond all bytes", hex("00 53 76 D0 00 00 00 04 FF FF FF FF")),
        ("many of nothing", hex("00 53 77 F0 00 00 00 05 FF FF FF FF 40")),
    ] {
        assert!(Sections::scan(&bytes, &Limits::default()).is_err(), "{why}");
    }
    for (bytes, why) in [
        (described(0x73, &list(&[NULL, &string("guest")])), "properties: user-id is not of its type"),
        (described(0x70, &list(&[TRUE, &string("4")])), "header: priority is not of its type"),
    ] {
        let refused = Sections::scan(&bytes, &Limits::default()).unwrap_err();
        assert_eq!(refused.description.as_deref(), Some(why), "whoever sent it has to know which field");
    }
    let many: Vec<u8> = (0..1025).flat_map(|_| message(b"")).collect();
    assert!(Sections::scan(&many, &Limits::default()).is_err());
}

#[test]
fn what_is_written_is_read_back() {
    let mut bytes = Vec::new();
    let header = Header { ttl_milliseconds: Some(9), ..Header::default() };
    sections::header(&header, &mut bytes);
    let (key, value) = (Symbol::from("x-opt-a"), Value::Uint(5));
    sections::message_annotations([(&key, &value)], &mut bytes);
    let long = "s".repeat(300);
    let properties = Properties {
        message_id: Some(Id::Uuid([3; 16])),
        to: Some(&long),
        correlation_id: Some(Id::Binary(b"c")),
        content_type: Some("text/plain"),
        absolute_expiry_time: Some(-1),
        group_sequence: Some(1000),
        ..Properties::default()
    };
    sections::properties(&properties, &mut bytes);
    sections::application_properties([("k", &Value::Bool(true)), ("l", &Value::String("v".into()))], &mut bytes);
    sections::data(&[1; 300], &mut bytes);
    let found = Sections::scan(&bytes, &Limits::default()).unwrap();
    assert_eq!((found.header(), found.properties()), (header, properties));
    assert_eq!(found.application_properties().count(), 2);
    assert_eq!(found.message_annotation("x-opt-a").and_then(|v| v.as_uint()), Some(5));
    assert_eq!(found.data().as_deref(), Some(&[1; 300][..]));
}

#[test]
fn the_standard_s_own_types_read_what_is_written() {
    use fe2o3_amqp_types::messaging::{Header as TheirHeader, Properties as Theirs};
    let mut bytes = Vec::new();
    sections::header(&Header { durable: true, delivery_count: 3, ..Header::default() }, &mut bytes);
    let header: TheirHeader = serde_amqp::from_slice(&bytes).unwrap();
    assert_eq!((header.durable, header.delivery_count, header.priority.0), (true, 3, 4));
    bytes.clear();
    let properties = Properties { subject: Some("s"), creation_time: Some(77), ..Properties::default() };
    sections::properties(&properties, &mut bytes);
    let theirs: Theirs = serde_amqp::from_slice(&bytes).unwrap();
    assert_eq!(theirs.subject.as_deref(), Some("s"));
    assert_eq!(theirs.creation_time.map(|t| t.milliseconds()), Some(77));
}
