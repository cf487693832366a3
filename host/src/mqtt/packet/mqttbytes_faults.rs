//! Where `mqttbytes` 0.6 is more lenient than the specification, or wrong: one row a fault, with what we do instead. A row
//! that fails after an update of that crate is a fault less.

use crate::message::Time;
use crate::mqtt::{Inbound, Violation};
use bytes::BytesMut;
use mqttbytes::{Error, v4, v5};
use std::sync::Arc;

const C3: &[u8] = b"\x10\x0D\0\x04MQTT\x04\x02\0\x3C\0\x01a";
const C5: &[u8] = b"\x10\x0E\0\x04MQTT\x05\x02\0\x3C\0\0\x01a";

/// Our reading: of the packet alone if it is a CONNECT, else after one.
fn ours(connect: &[u8], bytes: &[u8]) -> Result<(), Violation> {
    let mut inbound = Inbound::new(Arc::default(), "l".into(), "p".into(), Time(0));
    if bytes[0] >> 4 != 1 {
        inbound.receive(Time(0), connect).unwrap();
    }
    inbound.receive(Time(0), bytes).map(|_| ())
}

fn theirs(connect: &[u8], bytes: &[u8]) -> Result<(), Error> {
    let stream = &mut BytesMut::from(bytes);
    if connect == C5 { v5::read(stream, 1000).map(|_| ()) } else { v4::read(stream, 1000).map(|_| ()) }
}

#[test]
fn its_faults_are_kept_out() {
    use Violation::*;
    for (fault, connect, bytes, we, they) in [
        ("no MQTT 3.1", C3, &b"\x10\x0F\0\x06MQIsdp\x03\x02\0\x3C\0\x01a"[..], Ok(()), Err(Error::InvalidProtocol)),
        ("no AUTH", C5, b"\xF0\x02\x18\0", Err(NoAuthentication), Err(Error::InvalidPacketType(15))),
        ("DISCONNECT 5.0 without a body is refused", C5, b"\xE0\0", Ok(()), Err(Error::PayloadRequired)),
        ("reserved flag bits are accepted", C3, b"\x80\x06\0\x01\0\x01a\0", Err(ReservedFlags), Ok(())),
        ("reserved flag bits are accepted", C5, b"\x41\x02\0\x01", Err(ReservedFlags), Ok(())),
        ("DUP with QoS 0 is accepted", C3, b"\x38\x04\0\x01a1", Err(DuplicateOfQosZero), Ok(())),
        ("trailing bytes are accepted", C3, b"\x10\x0E\0\x04MQTT\x04\x02\0\x3C\0\x01a\0", Err(TrailingBytes), Ok(())),
        ("trailing bytes are accepted", C3, b"\xC0\x01\0", Err(TrailingBytes), Ok(())),
        (
            "duplicate properties are accepted",
            C5,
            b"\x30\x0C\0\x01a\x06\x23\0\x01\x23\0\x01hi",
            Err(RepeatedProperty),
            Ok(()),
        ),
        (
            "a property past the property length is accepted",
            C5,
            b"\x30\x08\0\x01a\x01\x01\x01hi",
            Err(Truncated),
            Ok(()),
        ),
        ("U+0000 in a text is accepted", C3, b"\x30\x06\0\x03a\0b1", Err(NullCharacter), Ok(())),
        ("an empty SUBSCRIBE is accepted", C3, b"\x82\x02\0\x01", Err(FilterMissing), Ok(())),
        ("an empty SUBSCRIBE is accepted", C5, b"\x82\x03\0\x01\0", Err(FilterMissing), Ok(())),
        ("an identifier of 0 is accepted", C3, b"\x82\x06\0\0\0\x01a\0", Err(IdentifierZero), Ok(())),
        (
            "a length cut short is waited for",
            C5,
            b"\x30\x04\0\x01a\x80",
            Err(Truncated),
            Err(Error::InsufficientBytes(1)),
        ),
        (
            "a password must be text",
            C3,
            b"\x10\x13\0\x04MQTT\x04\xC2\0\x3C\0\x01a\0\x01u\0\x01\xFF",
            Ok(()),
            Err(Error::TopicNotUtf8),
        ),
        ("a user name of no characters is lost", C3, b"\x10\x0F\0\x04MQTT\x04\x82\0\x3C\0\x01a\0\0", Ok(()), Ok(())),
        (
            "a password without a user name is accepted",
            C3,
            b"\x10\x10\0\x04MQTT\x04\x42\0\x3C\0\x01a\0\x01p",
            Err(PasswordWithoutUserName),
            Ok(()),
        ),
        (
            "the reserved connect flag is accepted",
            C3,
            b"\x10\x0D\0\x04MQTT\x04\x03\0\x3C\0\x01a",
            Err(ConnectFlags),
            Ok(()),
        ),
        ("a wildcard in a topic name is accepted", C3, b"\x30\x04\0\x01#1", Err(TopicWildcard), Ok(())),
    ] {
        assert_eq!(ours(connect, bytes), we, "{fault}");
        assert_eq!(theirs(connect, bytes), they, "{fault}");
    }
}

#[test]
fn it_counts_a_subscription_identifier_one_byte_too_long() {
    let bytes = b"\x30\x0C\0\x01a\x06\x0B\x01\x0B\x02\x0B\x03hi";
    let Ok(v5::Packet::Publish(read)) = v5::read(&mut BytesMut::from(&bytes[..]), 1000) else { panic!() };
    assert_eq!(&*read.payload, b"\x0B\x03hi"); // the third identifier has become payload
}

#[test]
fn its_connack_of_5_needs_properties() {
    let mut out = BytesMut::new();
    v5::ConnAck::new(v5::ConnectReturnCode::Success, false).write(&mut out).unwrap();
    assert_eq!(&out[..], b"\x20\x02\0\0"); // a byte too short: control.rs always gives it properties
}

#[test]
#[should_panic = "char boundary"]
fn its_matching_panics_on_a_topic_that_does_not_begin_with_ascii() {
    mqttbytes::matches("ß/a", "#");
}
