//! Bad input over a socket. The ids are those of the project's list of known faults of brokers; the machine's own rows go
//! deeper, these see that the broker hangs up, says why, and serves the next client.

use super::address;
use super::peer::{Peer, is_served, says};
use super::raw::*;

const FRAMING: &str = "amqp:connection:framing-error";
const DECODE: &str = "amqp:decode-error";
const INVALID: &str = "amqp:invalid-field";
const NOT_ALLOWED: &str = "amqp:not-allowed";

/// Bytes on a new connection end it with this condition; none: there are no words for it.
fn ends(row: &str, bytes: &[u8], condition: Option<&str>) {
    let Some(address) = address() else { return };
    let mut peer = Peer::connect(address);
    peer.send(bytes);
    let said = peer.until_closed();
    if let Some(condition) = condition {
        assert!(says(&said, condition), "{row}: {}", String::from_utf8_lossy(&said));
    }
    is_served(address);
}

fn opened(rest: &[u8]) -> Vec<u8> {
    [AMQP, &open("bad"), &begin(0), rest].concat()
}

#[test]
fn a01_wrong_headers_are_answered_with_the_right_one() {
    let Some(address) = address() else { return };
    for bytes in [&hex("414D5150 01010000")[..], b"GET / HTTP/1.1\r\n\r\n"] {
        let mut peer = Peer::connect(address);
        peer.send(bytes);
        assert_eq!(peer.until_closed(), AMQP, "{bytes:?}");
    }
    is_served(address);
}

#[test]
fn a02_to_a06_frames_that_are_none() {
    for bytes in
        ["00000007 02000000", "00000008 01000000", "00000008 FF000000", "FFFFFFFF 02000000", "00000008 027F0000"]
    {
        ends(bytes, &[AMQP, &hex(bytes)].concat(), Some(FRAMING));
        ends(bytes, &opened(&hex(bytes)), Some(FRAMING));
    }
}

#[test]
fn a07_to_a10_what_is_wrong_before_open() {
    let anonymous = sasl_frame(&performative(0x41, &[&symbol("ANONYMOUS")]));
    let unknown = sasl_frame(&performative(0x41, &[&symbol("NONSENSE")]));
    let outcome = sasl_frame(&performative(0x44, &[&ubyte(0)]));
    let array = hex("00000018 02010000 005341 C00B01 F000000005FFFFFFFF40");
    ends("A07", &[SASL, &open("c")].concat(), None);
    ends("A07", &opened(&anonymous), Some(NOT_ALLOWED));
    ends("A08", &[SASL, &outcome, AMQP, &open("c")].concat(), None);
    ends("A09", &[SASL, &unknown].concat(), None);
    ends("A10", &[SASL, &array].concat(), None);
}

#[test]
fn a11_to_a14_what_is_wrong_with_open_begin_and_attach() {
    let open_of = |fields: &[&[u8]]| [AMQP, &frame(0, &performative(0x10, fields))].concat();
    ends("A11", &open_of(&[&string("c"), NULL, &uint(511)]), Some(INVALID));
    ends("A11", &open_of(&[&string("c"), NULL, NULL, NULL, &uint(1)]), Some(INVALID));
    ends("A11", &open_of(&[]), Some(INVALID));
    ends("A11", &opened(&open("c")), Some(NOT_ALLOWED));
    ends("A12", &opened(&begin(60_000)), Some(FRAMING));
    ends("A12", &opened(&begin(0)), Some(NOT_ALLOWED));
    ends("A12", &opened(&end(5)), Some(NOT_ALLOWED));
    ends("A14", &opened(&attach_sender("s", 1_000_000, (0, 0))), Some(FRAMING));
}

#[test]
fn a13_sessions_come_and_go() {
    let Some(address) = address() else { return };
    let mut peer = Peer::begun(address);
    for _ in 0..1000 {
        peer.send(&[begin(1), end(1)].concat());
        peer.expect(0x11);
        peer.expect(0x17);
    }
    is_served(address);
}

/// What a link with credit does ends its session or link with this condition, and not the connection.
fn stops(row: &str, code: u8, bytes: &[u8], condition: &str) {
    let Some(address) = address() else { return };
    let mut peer = Peer::sending(address, row, (0, 0));
    peer.send(bytes);
    let body = peer.find(code);
    assert!(says(&body, condition), "{row}: {}", String::from_utf8_lossy(&body));
    peer.send(&begin(3));
    peer.find(0x11);
    is_served(address);
}

#[test]
fn a14_to_a25_what_is_wrong_within_a_session() {
    let send = |id, tag: Option<&[u8]>| transfer(0, id, tag, false, false, &message(b"m"));
    stops("A14", 0x17, &attach_sender("other", 0, (0, 0)), "amqp:session:handle-in-use");
    stops("A17", 0x17, &send(None, Some(b"t")), INVALID);
    stops("A18", 0x17, &transfer(9, Some(0), Some(b"t"), false, false, b""), "amqp:session:unattached-handle");
    stops("A22", 0x17, &send(Some(0), Some(&[1; 33])), INVALID);
    let half = transfer(0, Some(0), Some(b"t"), false, true, b"half");
    stops("A21", 0x17, &[half, send(Some(1), Some(b"u"))].concat(), INVALID);
    stops("A25", 0x17, &disposition(true, 0, u32::MAX, true, ACCEPTED), INVALID);
    stops("A25", 0x17, &disposition(true, 1, 0, true, ACCEPTED), INVALID);
    let window: Vec<u8> = (0..600u32).flat_map(|id| send(Some(id), Some(&id.to_be_bytes()))).collect();
    stops("A16", 0x16, &window.repeat(1), "amqp:link:transfer-limit-exceeded");
}

#[test]
fn a19_a_message_without_end_is_cut() {
    let part = |id: Option<u32>| transfer(0, id, id.map(|_| &b"t"[..]), false, true, &[0; 100_000]);
    let bytes: Vec<u8> = (0..200).flat_map(|n| part((n == 0).then_some(0))).collect();
    stops("A19", 0x16, &bytes, "amqp:link:message-size-exceeded");
}

#[test]
fn a27_to_a35_values_that_are_none() {
    let in_open = |value: &[u8]| {
        let fields: [&[u8]; 10] = [&string("c"), NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, value];
        [AMQP, &frame(0, &performative(0x10, &fields))].concat()
    };
    for value in [
        vec![0; 6000],
        hex("D0 00000004 FFFFFFFF"),
        hex("C1 02 01 40"),
        map(&[&symbol("a"), TRUE, &symbol("a"), TRUE]),
        hex("B0 7FFFFFFF"),
        hex("73 00110000"),
        hex("A1 02 C328"),
        hex("A3 02 C3A9"),
        (0..600).fold(hex("45"), |inner, _| list(&[&inner])),
    ] {
        ends("A27 to A35", &in_open(&value), Some(DECODE));
    }
}

#[test]
fn a33_a_message_with_wrong_sections_is_rejected() {
    let Some(address) = address() else { return };
    let header = described(0x70, &list(&[]));
    let data = message(b"x");
    let many: Vec<u8> = (0..10_001).flat_map(|_| hex("005375 A000")).collect();
    let mut peer = Peer::sending(address, "a33", (0, 0));
    for (id, bytes) in [
        [&header[..], &header, &data].concat(),
        [&data[..], &header].concat(),
        many,
        hex("00 A3 11 616d71703a646174613a62696e61727958 A0 01 41"),
        described(0x74, &map(&[&uint(1), TRUE])),
    ]
    .into_iter()
    .enumerate()
    {
        let id = id as u32;
        peer.send(&transfer(0, Some(id), Some(&id.to_be_bytes()), false, false, &bytes));
        let told = peer.find(0x15);
        assert!(says(&told, DECODE), "{id}: {}", String::from_utf8_lossy(&told));
    }
    is_served(address);
}

#[test]
fn a39_empty_frames_are_rationed() {
    let Some(address) = address() else { return };
    let mut peer = Peer::begun(address);
    peer.send(&hex("00000008 02000000").repeat(100_000));
    assert!(says(&peer.until_closed(), "amqp:resource-limit-exceeded"));
    is_served(address);
}
