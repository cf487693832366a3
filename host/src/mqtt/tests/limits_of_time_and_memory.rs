//! Deadlines, and what a connection costs while it does nothing.

use super::harness::{C3, C5, Connection};
use crate::message::Time;
use crate::mqtt::{Inbound, Limits, Outbound, Violation};

#[test]
fn silence_has_an_end() {
    let clamp = Limits { keep_alive_seconds_max: 100, ..Limits::default() };
    let asking = |seconds: u8, version: u8| {
        let mut connect = if version == 5 { C5.to_vec() } else { C3.to_vec() };
        connect[11] = seconds;
        connect
    };
    for (row, connect, limits, expected) in [
        ("MQTT-3.1.2-24 of 3.1.1", asking(60, 4), Limits::default(), Some(Time(5_000 + 90_000))),
        ("MQTT-3.1.2-22", asking(60, 5), Limits::default(), Some(Time(5_000 + 90_000))),
        ("none wanted", asking(0, 5), Limits::default(), None),
        ("W08", asking(0, 5), clamp.clone(), Some(Time(5_000 + 150_000))),
        ("W08", asking(200, 5), clamp.clone(), Some(Time(5_000 + 150_000))),
        ("W08, cannot be told", asking(200, 4), clamp, Some(Time(5_000 + 300_000))),
    ] {
        let mut c = Connection::new(limits);
        assert_eq!((c.inbound.deadline(), c.inbound.silence()), (Some(Time(10_000)), Violation::ConnectTimeout)); // F15
        c.now = Time(5_000);
        c.send(&connect);
        assert_eq!((c.inbound.deadline(), c.inbound.silence()), (expected, Violation::KeepAliveExpired), "{row}");
        c.now = Time(7_000);
        c.send(b"\xC0\0");
        assert_eq!(c.inbound.deadline(), expected.map(|time| time.plus_seconds(2)), "{row}");
        c.send(b"\xE0\0");
        assert_eq!(c.inbound.deadline(), None);
    }
}

#[test]
fn bytes_of_an_unfinished_packet_do_not_count_as_life() {
    let mut c = Connection::open(C3);
    let before = c.inbound.deadline();
    c.now = Time(60_000);
    c.send(b"\x30\x7F\0");
    assert_eq!(c.inbound.deadline(), before);
}

/// A client that sends a long PUBLISH over a thin line cannot send PINGREQ amid it; one that trickles is silent.
#[test]
fn a_thousand_bytes_of_an_unfinished_packet_count_as_life() {
    let mut c = Connection::open(C3);
    let publish = [&b"\x30\x84\x27\0\x01a"[..], &[b'x'; 4993]].concat();
    let mut heard = 0;
    for (at, length, heard_at) in [
        (10_000, 999, 0),
        (20_000, 1_000, 20_000),
        (30_000, 1_001, 20_000),
        (40_000, 1_999, 20_000),
        (50_000, 2_000, 50_000),
        (60_000, 4_000, 60_000),
        (70_000, publish.len() - 1, 60_000),
        (80_000, publish.len(), 80_000),
    ] {
        c.now = Time(at);
        c.send(&publish[..length]);
        assert_eq!(c.inbound.deadline(), Some(Time(heard_at + 90_000)), "{length} bytes");
        heard = heard_at;
    }
    assert_eq!((heard, c.requests.len()), (80_000, 1));
    // The next packet begins at nothing.
    c.now = Time(90_000);
    c.send(&publish[..1_000]);
    assert_eq!(c.inbound.deadline(), Some(Time(180_000)));
}

#[test]
fn the_silent_are_told_in_5() {
    let mut c = Connection::open(C5);
    c.outbound.as_mut().unwrap().violation(&Violation::KeepAliveExpired, &mut c.sent);
    assert_eq!(c.sent[2], 0x8D);
}

#[test]
fn an_idle_connection_is_small() {
    assert!(size_of::<Inbound>() <= 112, "{}", size_of::<Inbound>());
    assert!(size_of::<Outbound>() <= 56, "{}", size_of::<Outbound>());
}
