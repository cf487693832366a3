//! Bad input that the machine has to meet by itself. The ids are those of the project's list of known faults of brokers.

use super::raw::*;
use super::rig::{Rig, Said, profile};
use crate::amqp::{Action, Limits, SaslOutcome, Step};

const FRAMING: &str = "amqp:connection:framing-error";
const DECODE: &str = "amqp:decode-error";
const INVALID: &str = "amqp:invalid-field";
const NOT_ALLOWED: &str = "amqp:not-allowed";
const LIMIT: &str = "amqp:resource-limit-exceeded";

/// The connection ends with this condition, and the client hears it.
fn closes(rig: &mut Rig, bytes: &[u8], condition: &str, row: &str) {
    assert_eq!(rig.fault(bytes), condition, "{row}");
    assert_eq!(rig.condition(), condition, "{row}: not told");
    assert!(rig.feed(&begin(9)).unwrap().is_empty() && rig.out.is_empty(), "{row}: still there");
}

/// The session ends with this condition; the connection lives.
fn ends(rig: &mut Rig, bytes: &[u8], condition: &str, row: &str) {
    let actions = rig.feed(bytes).unwrap();
    assert!(matches!(actions.last(), Some(Action::Ended { error: Some(_), .. })), "{row}: {actions:?}");
    assert_eq!(rig.condition(), condition, "{row}");
    // What was under way is not heard until the client ends the session, too.
    assert!(rig.feed(&attach_sender("late", 9, (0, 0))).unwrap().is_empty());
    assert!(rig.feed(&[end(0), begin(0)].concat()).unwrap().is_empty());
    rig.attached(&attach_sender("again", 0, (0, 0)), None);
}

/// The link ends with this condition; the session lives.
fn detaches(rig: &mut Rig, bytes: &[u8], condition: &str, row: &str) {
    let actions = rig.feed(bytes).unwrap();
    assert!(matches!(actions.last(), Some(Action::Detach(detach)) if detach.by_machine), "{row}: {actions:?}");
    assert_eq!(rig.condition(), condition, "{row}");
    rig.attached(&attach_sender("again", 500, (0, 0)), None);
}

#[test]
fn a01_a_wrong_header_is_answered_with_the_right_one() {
    for bytes in [&hex("414D5150 01010000")[..], &hex("414D5150 00010001"), b"GET /", &hex("100D00044D515454")] {
        let mut rig = Rig::new();
        rig.fault(bytes);
        assert!(matches!(rig.said()[..], [Said::Header(0)]), "{bytes:?}");
    }
}

#[test]
fn a02_to_a06_frames_that_are_none() {
    for (row, bytes) in [
        ("A02", "00000007 02000000"),
        ("A02", "00000000"),
        ("A03", "00000008 01000000"),
        ("A04", "00000008 FF000000"),
        ("A05", "FFFFFFFF 02000000"),
        ("A06", "00000008 027F0000"),
    ] {
        let mut before = Rig::new();
        before.feed(AMQP).unwrap();
        closes(&mut before, &hex(bytes), FRAMING, row);
        closes(&mut Rig::begun(), &hex(bytes), FRAMING, row);
    }
    let mut rig = Rig::new();
    rig.feed(AMQP).unwrap();
    closes(&mut rig, &hex("00002001"), FRAMING, "A05: 8,193 bytes before open");
}

#[test]
fn a07_layers_do_not_mix() {
    let mut rig = Rig::new();
    rig.feed(SASL).unwrap();
    rig.fault(&open("c"));
    assert!(rig.performatives().is_empty());

    let init = sasl_frame(&performative(0x41, &[&symbol("ANONYMOUS")]));
    closes(&mut Rig::begun(), &init, NOT_ALLOWED, "a SASL frame after SASL");

    let mut rig = Rig::new();
    rig.feed(&[SASL, &init].concat()).unwrap();
    rig.machine.sasl_outcome(SaslOutcome::Ok, None, &mut rig.out);
    rig.said();
    rig.fault(SASL);
    assert!(matches!(rig.said()[..], [Said::Header(0)]), "a second SASL header");
}

#[test]
fn a08_what_only_a_server_says_proves_nothing() {
    let challenge = performative(0x42, &[&binary(b"x")]);
    for body in [performative(0x44, &[&ubyte(0)]), challenge, performative(0x40, &[&symbol("PLAIN")])] {
        let mut rig = Rig::new();
        rig.feed(SASL).unwrap();
        assert_eq!(rig.fault(&sasl_frame(&body)), INVALID);
        assert!(rig.feed(&[AMQP, &open("c")].concat()).unwrap().is_empty());
        assert!(rig.performatives().is_empty());
    }
}

#[test]
fn a09_a_bad_init_is_answered_with_an_outcome() {
    let init = |mechanism: &str| sasl_frame(&performative(0x41, &[&symbol(mechanism), &binary(b"")]));
    let mut rig = Rig::new();
    rig.feed(SASL).unwrap();
    assert_eq!(rig.fault(&init("GSSAPI")), INVALID);
    let said = rig.said();
    let Some(Said::Sasl(0x44, body)) = said.last() else { panic!("{said:?}") };
    assert!(body.ends_with(&[0x50, 1]) || body.windows(2).any(|w| w == [0x50, 1]), "{body:?}");

    let mut rig = Rig::new();
    rig.feed(&[SASL, &init("PLAIN")].concat()).unwrap();
    rig.machine.sasl_challenge(b"", &mut rig.out);
    assert_eq!(rig.fault(&init("PLAIN")), INVALID, "init twice");

    let mut rig = Rig::new();
    rig.feed(SASL).unwrap();
    let long = sasl_frame(&performative(0x41, &[&symbol("PLAIN"), &binary(&[0; 65_536])]));
    assert_eq!(rig.fault(&long), FRAMING);
}

#[test]
fn a10_an_array_of_nothing_is_not_counted_out() {
    let mut rig = Rig::new();
    rig.feed(SASL).unwrap();
    let bytes = hex("00000018 02010000 005341 C00B01 F000000005FFFFFFFF40");
    assert_eq!(rig.fault(&bytes), DECODE);
    let open = hex("00000018 02000000 005310 C00B01 F000000005FFFFFFFF40");
    let mut rig = Rig::new();
    rig.feed(AMQP).unwrap();
    closes(&mut rig, &open, DECODE, "A10 in open");
}

#[test]
fn a11_open_has_rules() {
    let open = |fields: &[&[u8]]| [AMQP, &frame(0, &performative(0x10, fields))].concat();
    closes(&mut Rig::new(), &open(&[&string("c"), NULL, &uint(511)]), INVALID, "max-frame-size");
    closes(&mut Rig::new(), &open(&[&string("c"), NULL, NULL, NULL, &uint(1)]), INVALID, "idle-time-out");
    closes(&mut Rig::new(), &open(&[]), INVALID, "no container-id");
    // Proton's engine sends an empty one unless it is told another, and nothing forbids that.
    assert!(Rig::new().feed(&open(&[&string("")])).is_ok());
    closes(&mut Rig::begun(), &super::raw::open("c"), NOT_ALLOWED, "twice");
}

/// 1.6.23: "A map in which there exist two identical key values is invalid", whichever encodings they have.
#[test]
fn a_key_that_is_there_twice_is_found_in_any_encoding() {
    let open = |pairs: &[&[u8]]| {
        let fields: [&[u8]; 10] = [&string("c"), NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, &map(pairs)];
        [AMQP, &frame(0, &performative(0x10, &fields))].concat()
    };
    for (one, other) in [
        ("A30161", "B30000000161"),
        ("A10161", "B10000000161"),
        ("43", "5200"),
        ("5201", "7000000001"),
        ("44", "800000000000000000"),
        ("5405", "7100000005"),
        ("54FF", "71FFFFFFFF"),
        ("5580", "81FFFFFFFFFFFFFF80"),
        ("41", "5601"),
    ] {
        let inner = map(&[&hex(one), NULL, &hex(other), NULL]);
        closes(&mut Rig::new(), &open(&[&symbol("k"), &inner]), DECODE, one);
    }
    for (one, other) in [("A30161", "A10161"), ("43", "44"), ("5480", "7100000080"), ("5400", "5200"), ("42", "43")] {
        let inner = map(&[&hex(one), NULL, &hex(other), NULL]);
        assert!(Rig::new().feed(&open(&[&symbol("k"), &inner])).is_ok(), "{one} and {other} differ");
    }
}

/// 2.7: who gets a field wrong hears which one of what.
#[test]
fn a_field_that_is_wrong_is_named() {
    let rows: [(u8, &[&[u8]], &str); 8] = [
        (0x10, &[&symbol("c")], "open: container-id is not of its type"),
        (0x10, &[&string("c"), NULL, &string("1")], "open: max-frame-size is not of its type"),
        (0x11, &[NULL, &uint(0)], "begin: incoming-window is missing"),
        (0x12, &[], "attach: name is missing"),
        (0x12, &[&string("l"), &uint(0), NULL], "attach: role is missing"),
        (0x12, &[&string("l"), &uint(0), FALSE, &string("x")], "attach: snd-settle-mode is not of its type"),
        (0x16, &[NULL], "detach: handle is missing"),
        (0x18, &[NULL, NULL], "close: more fields than it has"),
    ];
    for (code, fields, words) in rows {
        let mut rig = if code == 0x10 { Rig::new() } else { Rig::begun() };
        if code == 0x10 {
            rig.feed(AMQP).unwrap();
        }
        let _ = rig.feed(&frame(0, &performative(code, fields)));
        let said = String::from_utf8_lossy(&rig.out).into_owned();
        assert!(said.contains(words), "{words}: {said:?}");
    }
}

#[test]
fn a12_sessions_have_rules() {
    closes(&mut Rig::begun(), &begin(256), FRAMING, "above channel-max (2.7.1)");
    closes(&mut Rig::begun(), &begin(0), NOT_ALLOWED, "begin twice");
    closes(&mut Rig::begun(), &end(1), NOT_ALLOWED, "end without begin");
    let forged = frame(1, &performative(0x11, &[&[0x60, 0, 0], &uint(0), &uint(1), &uint(1)]));
    closes(&mut Rig::begun(), &forged, NOT_ALLOWED, "a forged remote-channel");
}

#[test]
fn a14_handles_have_rules() {
    closes(&mut Rig::begun(), &attach_sender("s", 1024, (0, 0)), FRAMING, "above handle-max (2.7.2)");
    let mut rig = Rig::begun();
    rig.attached(&attach_sender("s", 0, (0, 0)), None);
    ends(&mut rig, &attach_sender("t", 0, (0, 0)), "amqp:session:handle-in-use", "A14");
}

/// A link that the machine refuses by itself.
fn refuses(fields: &[&[u8]], condition: &str, row: &str) {
    let mut rig = Rig::begun();
    let actions = rig.feed(&frame(0, &performative(0x12, fields))).unwrap();
    assert!(actions.is_empty(), "{row}: {actions:?}");
    assert_eq!(rig.condition(), condition, "{row}");
    rig.attached(&attach_sender("again", 7, (0, 0)), None);
}

#[test]
fn a15_attach_has_rules() {
    let (name, handle, count) = (string("l"), uint(0), uint(0));
    let (here, there) = (source("a"), target("b"));
    refuses(&[&name, &handle, FALSE, NULL, NULL, &here, NULL, NULL, NULL, &count], INVALID, "no target");
    let dynamic = performative(0x28, &[&string("a"), NULL, NULL, NULL, TRUE]);
    refuses(&[&name, &handle, TRUE, NULL, NULL, &dynamic, &there], INVALID, "dynamic with an address");
    let keys: Vec<Vec<u8>> = (0..5000u32).map(|n| binary(&n.to_be_bytes())).collect();
    let pairs: Vec<&[u8]> = keys.iter().flat_map(|key| [&key[..], NULL]).collect();
    refuses(&[&name, &handle, FALSE, NULL, NULL, &here, &there, &map(&pairs), NULL, &count], LIMIT, "a long map");
    refuses(&[&name, &handle, FALSE, NULL, NULL, &here, &there, NULL, NULL, NULL], INVALID, "no delivery-count");
    for name in [string(""), string(&"x".repeat(5000))] {
        refuses(
            &[&name, &handle, FALSE, NULL, NULL, &here, &there, NULL, NULL, &count],
            INVALID,
            "a name that is none",
        );
    }
}

#[test]
fn a16_to_a18_transfers_have_rules() {
    let with_link = |credit| {
        let mut rig = Rig::begun();
        rig.attached(&attach_sender("s", 0, (0, 0)), Some(credit));
        rig
    };
    let send = |id, tag: Option<&[u8]>| transfer(0, id, tag, false, false, &message(b"m"));
    detaches(&mut with_link(0), &send(Some(0), Some(b"t")), "amqp:link:transfer-limit-exceeded", "A16");
    ends(&mut with_link(1), &send(None, Some(b"t")), INVALID, "A17");
    ends(
        &mut with_link(1),
        &transfer(5, Some(0), Some(b"t"), false, false, b""),
        "amqp:session:unattached-handle",
        "A18",
    );
    ends(&mut with_link(1), &send(Some(0), None), INVALID, "A22: no tag");
    ends(&mut with_link(1), &send(Some(0), Some(&[1; 33])), INVALID, "A22: a long tag");
    ends(&mut with_link(5), &[send(Some(3), Some(b"t")), send(Some(3), Some(b"u"))].concat(), INVALID, "an id twice");
}

#[test]
fn a19_a_message_without_end_has_one() {
    let mut rig = Rig::begun_with(Limits { message_bytes_max: 1000, ..Limits::default() });
    rig.attached(&attach_sender("s", 0, (0, 0)), None);
    let part = |id| transfer(0, id, id.map(|_| &b"t"[..]), false, true, &[0; 400]);
    let bytes = [part(Some(0)), part(None), part(None)].concat();
    detaches(&mut rig, &bytes, "amqp:link:message-size-exceeded", "A19");

    let mut rig = Rig::begun_with(Limits { partial_bytes_max: 1000, ..Limits::default() });
    for link in 0..3 {
        rig.attached(&attach_sender(&format!("s{link}"), link, (0, 0)), None);
        rig.feed(&transfer(link, Some(link), Some(b"t"), false, true, &[0; 333])).unwrap();
    }
    detaches(&mut rig, &transfer(1, None, None, false, true, &[0; 333]), LIMIT, "A19: all links together");
    // Its bytes are free again.
    assert!(rig.feed(&transfer(2, None, None, false, true, &[0; 333])).unwrap().is_empty());
}

#[test]
fn a20_a_message_that_stops_in_the_middle_is_given_up() {
    let mut rig = Rig::begun();
    let link = rig.attached(&attach_sender("s", 0, (0, 0)), None);
    rig.feed(&transfer(0, Some(0), Some(b"t"), false, true, b"half")).unwrap();
    let due = rig.machine.deadline().unwrap();
    assert_eq!(due.since(rig.now), 60_000);
    let action = rig.machine.tick(due, &mut rig.out).unwrap();
    assert!(matches!(action, Some(Action::Detach(detach)) if detach.by_machine && detach.link == link));
    assert_eq!(rig.condition(), LIMIT);
}

#[test]
fn a21_a_delivery_does_not_change_on_the_way() {
    for (id, tag) in [(Some(1), None), (None, Some(&b"other"[..]))] {
        let mut rig = Rig::begun();
        rig.attached(&attach_sender("s", 0, (0, 0)), None);
        let bytes =
            [transfer(0, Some(0), Some(b"t"), false, true, b"half"), transfer(0, id, tag, false, false, b"rest")];
        ends(&mut rig, &bytes.concat(), INVALID, "A21");
    }
}

#[test]
fn a24_the_window_is_meant() {
    let mut rig = Rig::begun_with(Limits { session_window: 2, ..Limits::default() });
    rig.attached(&attach_sender("s", 0, (0, 0)), None);
    let bytes: Vec<u8> = (0..3).flat_map(|id| transfer(0, Some(id), Some(&[id as u8]), false, false, b"")).collect();
    ends(&mut rig, &bytes, "amqp:session:window-violation", "A24");
}

#[test]
fn a25_dispositions_have_rules() {
    let fresh = || {
        let mut rig = Rig::begun();
        let link = rig.attached(&attach_receiver("r", 0, (0, 0)), None);
        rig.feed(&flow(0, 100, Some((0, 0, 100, false, false)))).unwrap();
        rig.deliver(link, 1, false, b"m").unwrap();
        rig.said();
        rig
    };
    ends(&mut fresh(), &disposition(true, 0, u32::MAX, true, ACCEPTED), INVALID, "all of them");
    ends(&mut fresh(), &disposition(true, 0, 0x7FFF_FFFF, true, ACCEPTED), INVALID, "what was never sent");
    ends(&mut fresh(), &disposition(true, 1, 0, true, ACCEPTED), INVALID, "backwards");
    ends(&mut fresh(), &disposition(false, 0, 0, true, ACCEPTED), INVALID, "the wrong role");
}

#[test]
fn a26_flows_are_taken_as_they_come() {
    let mut rig = Rig::begun();
    let link = rig.attached(&attach_receiver("r", 0, (2, 0)), None);
    rig.said();
    rig.feed(&flow(0, u32::MAX, Some((0, 0, u32::MAX, false, false)))).unwrap();
    assert!(rig.machine.room(link) > 0);
    rig.deliver(link, 1, true, b"m").unwrap();
    // A transfer that was never sent cannot have been seen.
    rig.feed(&flow(50, 10, Some((0, 0, 5, false, false)))).unwrap();
    assert_eq!(rig.machine.room(link), 4);
    rig.feed(&flow(0, 10, Some((0, 0, 5, false, false)))).unwrap();
    assert_eq!(rig.machine.room(link), 4);
    rig.said();
    for _ in 0..100 {
        rig.feed(&flow(1, 10, Some((0, 1, 5, false, true)))).unwrap();
        rig.machine.answer_flow(link, 0, &mut rig.out);
    }
    assert_eq!(rig.performatives().len(), 100);
}

#[test]
fn a27_to_a32_values_that_are_none() {
    let in_open = |value: &[u8]| {
        let mut rig = Rig::with(Limits { opening_frame_bytes_max: 200_000, ..Limits::default() }, profile());
        let properties: [&[u8]; 10] = [&string("c"), NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, value];
        rig.fault(&[AMQP, &frame(0, &performative(0x10, &properties))].concat())
    };
    let nested: Vec<u8> = (0..7000).rev().fold(hex("45"), |inner, _| list(&[&inner]));
    for (row, value) in [
        ("A27", vec![0; 65_536]),
        ("A28", nested),
        ("A29", hex("D0 00000004 FFFFFFFF")),
        ("A30 odd", hex("C1 02 01 40")),
        ("A30 twice", map(&[&symbol("a"), TRUE, &symbol("a"), TRUE])),
        ("A31", hex("B0 7FFFFFFF")),
        ("A31", hex("A1 FF")),
        ("A35", hex("73 00110000")),
        ("A35", hex("A1 02 C328")),
        ("A35", hex("A3 02 C3A9")),
    ] {
        assert_eq!(in_open(&value), DECODE, "{row}");
    }
    let many: Vec<Vec<u8>> =
        (0..100u32).map(|n| [symbol(&n.to_string()), hex("F0 00000005 00010000 40")].concat()).collect();
    let pairs: Vec<&[u8]> = many.iter().map(Vec::as_slice).collect();
    let mut wide = map(&pairs);
    wide[5..9].copy_from_slice(&200u32.to_be_bytes());
    assert_eq!(in_open(&wide), DECODE, "A32");
}

#[test]
fn a39_empty_frames_are_rationed() {
    let mut rig = Rig::begun();
    let empty = hex("00000008 02000000");
    rig.feed(&empty.repeat(2000)).unwrap();
    closes(&mut rig, &empty, LIMIT, "A39");
}

#[test]
fn a_frame_of_nothing_known_closes() {
    closes(&mut Rig::begun(), &frame(0, &performative(0x19, &[])), DECODE, "an unknown performative");
    closes(&mut Rig::begun(), &frame(0, &string("hello")), DECODE, "no performative");
    let trailing = [performative(0x17, &[]), vec![0x40]].concat();
    closes(&mut Rig::begun(), &frame(0, &trailing), DECODE, "something behind it");
    let mut rig = Rig::new();
    rig.feed(AMQP).unwrap();
    closes(&mut rig, &begin(0), NOT_ALLOWED, "begin before open");
}

#[test]
fn every_beginning_of_an_opening_waits_for_the_rest() {
    let bytes = [AMQP, &open("client"), &begin(0), &attach_sender("s", 0, (0, 0))].concat();
    for end in 0..bytes.len() {
        let mut rig = Rig::new();
        rig.feed(&bytes[..end]).unwrap();
        let step = rig.machine.receive(rig.now, b"", &mut rig.out).unwrap();
        assert!(matches!(step, Step::NeedMore { .. }));
    }
}
