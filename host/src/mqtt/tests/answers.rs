//! Events, and the packets they become in each version.

use super::harness::{C3, C5, C31, Connection, code};
use crate::dialogue::{Closed, Event, Routed};
use crate::message::{Guarantee, Refusal, RefusalKind};
use crate::mqtt::{Limits, Outcome, Violation};
use Outcome::{MustClose, Said};

fn no(kind: RefusalKind) -> Refusal {
    Refusal::new(kind, "no")
}

fn published(guarantee: Guarantee, outcome: Result<Routed, Refusal>) -> Event {
    Event::Published { handle: 5, guarantee, outcome }
}

/// A 5.0 client that does not want reasons in words.
const TERSE: &[u8] = b"\x10\x10\0\x04MQTT\x05\x02\0\x3C\x02\x17\0\0\x01a";
/// A 5.0 client that takes 20 bytes at most.
const NARROW: &[u8] = b"\x10\x13\0\x04MQTT\x05\x02\0\x3C\x05\x27\0\0\0\x14\0\x01a";

#[test]
fn events_are_written() {
    use Guarantee::{AtLeastOnce, ExactlyOnce};
    use RefusalKind::*;
    let quota = || Err(no(QuotaExceeded));
    let refused = || Err(no(QuotaExceeded));
    for (connect, event, expected, outcome) in [
        (C3, published(AtLeastOnce, Ok(Routed::Matched)), &b"\x40\x02\0\x05"[..], Said),
        (C3, published(AtLeastOnce, Ok(Routed::NoSubscriber)), b"\x40\x02\0\x05", Said),
        (C5, published(AtLeastOnce, Ok(Routed::NoSubscriber)), b"\x40\x03\0\x05\x10", Said),
        (C5, published(ExactlyOnce, Ok(Routed::Matched)), b"\x50\x02\0\x05", Said),
        (C5, published(ExactlyOnce, quota()), b"\x50\x09\0\x05\x97\x05\x1F\0\x02no", Said),
        (TERSE, published(ExactlyOnce, quota()), b"\x50\x03\0\x05\x97", Said), // MQTT-3.1.2-29
        (C3, published(ExactlyOnce, quota()), b"", MustClose),
        (C31, published(AtLeastOnce, quota()), b"", MustClose),
        (C3, Event::Released(5, true), b"\x70\x02\0\x05", Said),
        (C3, Event::Released(5, false), b"\x70\x02\0\x05", Said), // Q05
        (C5, Event::Released(5, false), b"\x70\x02\0\x05", Said),
        (C5, Event::Release(5, true), b"\x62\x02\0\x05", Said),
        (C5, Event::Release(5, false), b"\x62\x02\0\x05", Said),
        (
            C3,
            Event::Subscribed { handle: 5, granted: vec![Ok(ExactlyOnce), refused()] },
            b"\x90\x04\0\x05\x02\x80",
            Said,
        ),
        (
            C31,
            Event::Subscribed { handle: 5, granted: vec![Ok(ExactlyOnce), refused()] },
            b"\x90\x04\0\x05\x02\0",
            Said,
        ),
        (
            TERSE,
            Event::Subscribed { handle: 5, granted: vec![Ok(AtLeastOnce), refused()] },
            b"\x90\x05\0\x05\0\x01\x97",
            Said,
        ),
        (C5, Event::Subscribed { handle: 5, granted: vec![refused()] }, b"\x90\x09\0\x05\x05\x1F\0\x02no\x97", Said),
        (C3, Event::Unsubscribed { handle: 5, removed: vec![Ok(false)] }, b"\xB0\x02\0\x05", Said),
        (C5, Event::Unsubscribed { handle: 5, removed: vec![Ok(true), Ok(false)] }, b"\xB0\x05\0\x05\0\0\x11", Said),
        (TERSE, Event::Unsubscribed { handle: 5, removed: vec![Err(no(TopicInvalid))] }, b"\xB0\x04\0\x05\0\x8F", Said),
        (C3, Event::Closed(Closed::TakenOver), b"", MustClose),
        (C5, Event::Closed(Closed::TakenOver), b"\xE0\x01\x8E", MustClose), // MQTT-3.1.4-3
        (C5, Event::Closed(Closed::ByOperator), b"\xE0\x01\x98", MustClose),
        (C5, Event::Closed(Closed::ShuttingDown), b"\xE0\x01\x8B", MustClose),
        (TERSE, Event::Closed(Closed::HandleMisused), b"\xE0\x01\x82", MustClose), // Q06
        (NARROW, Event::Closed(Closed::HandleMisused), b"\xE0\x01\x82", MustClose),
        (TERSE, Event::Closed(Closed::QuotaExceeded), b"\xE0\x01\x97", MustClose),
        (C5, Event::Closed(Closed::NotAuthorized("no".into())), b"\xE0\x07\x87\x05\x1F\0\x02no", MustClose),
        (TERSE, Event::Closed(Closed::NotAuthorized("no".into())), b"\xE0\x01\x87", MustClose), // MQTT-3.1.2-29
    ] {
        let mut c = Connection::open(connect);
        assert_eq!((c.tell(&event), &c.sent[..]), (outcome, expected), "{event:?}");
    }
}

#[test]
fn refusals_have_the_codes_of_their_packet() {
    use RefusalKind::*;
    for (kind, publish, subscribe, unsubscribe) in [
        (NotAuthorized, 0x87, 0x87, 0x87),
        (TopicInvalid, 0x90, 0x8F, 0x8F),
        (PayloadInvalid, 0x99, 0x80, 0x80),
        (QuotaExceeded, 0x97, 0x97, 0x83),
        (NotSupported, 0x83, 0x83, 0x83),
        (Unavailable, 0x83, 0x83, 0x83),
        (Unspecified, 0x80, 0x80, 0x80),
    ] {
        let mut c = Connection::open(TERSE);
        let _ = c.tell(&published(Guarantee::AtLeastOnce, Err(no(kind))));
        let _ = c.tell(&Event::Subscribed { handle: 5, granted: vec![Err(no(kind))] });
        let _ = c.tell(&Event::Unsubscribed { handle: 5, removed: vec![Err(no(kind))] });
        assert_eq!(c.sent, [0x40, 3, 0, 5, publish, 0x90, 4, 0, 5, 0, subscribe, 0xB0, 4, 0, 5, 0, unsubscribe]);
    }
}

#[test]
fn words_that_do_not_fit_are_left_out() {
    // MQTT-3.4.2-2, MQTT-3.9.2-1, MQTT-3.14.2-3
    let long = || Refusal::new(RefusalKind::QuotaExceeded, "a reason that takes more than twenty bytes");
    let mut c = Connection::open(NARROW);
    assert_eq!(c.tell(&published(Guarantee::AtLeastOnce, Err(long()))), Said);
    assert_eq!(c.tell(&Event::Subscribed { handle: 5, granted: vec![Err(long())] }), Said);
    assert_eq!(c.take_sent(), b"\x40\x03\0\x05\x97\x90\x04\0\x05\0\x97");
    assert_eq!(c.tell(&Event::Subscribed { handle: 5, granted: (0..16).map(|_| Err(long())).collect() }), MustClose);
    c.closed = false;
    c.send(b"\x36\0");
    assert_eq!(c.sent, b"\xE0\x01\x81");
    let mut c = Connection::open(C5);
    let _ = c.tell(&published(Guarantee::AtLeastOnce, Err(Refusal::new(RefusalKind::Unspecified, "é".repeat(5000)))));
    assert_eq!(c.sent.len(), 3 + 2 + 1 + 2 + 1 + 2 + 1024);
}

#[test]
fn words_that_are_no_text_are_left_out() {
    let mut c = Connection::open(C5);
    let _ = c.tell(&published(Guarantee::AtLeastOnce, Err(Refusal::new(RefusalKind::Unspecified, "a\nb"))));
    assert_eq!(c.sent, b"\x40\x03\0\x05\x80");
}

#[test]
fn unknown_identifiers_are_told_on_demand() {
    // Q05, 3.7.2.1
    let limits = Limits { tell_unknown_identifiers: true, ..Limits::default() };
    for (connect, expected) in
        [(C3, &b"\x70\x02\0\x05\x62\x02\0\x05"[..]), (C5, b"\x70\x03\0\x05\x92\x62\x03\0\x05\x92")]
    {
        let mut c = Connection::open_with(connect, limits.clone());
        let _ = c.tell(&Event::Released(5, false));
        let _ = c.tell(&Event::Release(5, false));
        assert_eq!(c.sent, expected);
    }
}

#[test]
fn a_refused_handle_can_be_used_again_and_again() {
    let mut c = Connection::open_with(C5, Limits { receive_maximum: 1, ..Limits::default() });
    c.refuse = Some(RefusalKind::NotAuthorized);
    for _ in 0..5 {
        c.send(b"\x34\x06\0\x01a\0\x01\0");
    }
    assert_eq!(c.violation, None);
}

#[test]
fn a_flow_of_each_quality_is_answered() {
    for (connect, empty) in [(C3, &b""[..]), (C5, b"\0")] {
        let mut c = Connection::open_with(
            connect,
            Limits { receive_maximum: 1, receive_maximum_untold: 1, ..Limits::default() },
        );
        let packet = |first, id| [&[first, 5 + empty.len() as u8, 0, 1, b'a', 0, id], empty].concat();
        for id in 1..=3 {
            c.send(&packet(0x32, id)).send(&packet(0x34, id)).send(&[0x62, 2, 0, id]).send(b"\xC0\0");
            assert_eq!(c.take_sent(), [0x40, 2, 0, id, 0x50, 2, 0, id, 0x70, 2, 0, id, 0xD0, 0]);
        }
        assert_eq!(c.violation, None);
    }
}

#[test]
fn the_last_word_is_said_once() {
    let mut c = Connection::open(C5);
    let _ = c.tell(&Event::Closed(Closed::TakenOver));
    c.closed = false;
    c.send(b"\x36\0");
    assert_eq!((c.violation, code(&c.sent)), (Some(Violation::QosInvalid), Some((0xE0, 0x8E))));
}
