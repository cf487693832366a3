//! What the standard allows and few clients use: each row has its clause.

use super::link::{Terms, resumed, symbols};
use super::peer::Peer;
use super::raw::*;
use super::resume::waiting;
use super::value::Value;
use super::{address, own};
use crate::harness::{Broker, guests, unique};

/// An array of symbols that has none.
const EMPTY: [&[u8]; 2] = [&[0xF0, 0, 0, 0, 5, 0, 0, 0, 0, 0xA3], &[0xE0, 2, 0, 0xB3]];

/// Arrays of lists, arrays, maps and described values.
fn arrays() -> Vec<Vec<u8>> {
    let all = [
        "F0 0000000A 00000002 C0 0100 020141",
        "F0 00000019 00000002 F0 00000007 00000002 520102 00000005 00000000 52",
        "F0 00000009 00000001 C1 03024344",
        "F0 0000000A 00000002 00539952 0102",
        "E0 0A 02 00A30171A1 0161 0162",
        "F0 0000000C 00000001 00539900539852 01",
    ];
    all.into_iter().map(hex).collect()
}

/// A frame of this performative with one field beside those that it needs.
fn with(code: u8, needed: &[&[u8]], at: usize, value: &[u8]) -> Vec<u8> {
    let mut fields = needed.to_vec();
    fields.resize(fields.len().max(at + 1), NULL);
    fields[at] = value;
    frame(0, &performative(code, &fields))
}

fn source_of(address: &[u8], at: usize, value: &[u8]) -> Vec<u8> {
    let mut fields = [NULL; 11];
    fields[0] = address;
    fields[at] = value;
    performative(0x28, &fields)
}

/// 1.4: null and an array without elements say the same in a field that may have several values.
#[test]
fn a_field_with_several_values_may_have_none() {
    let Some(address) = address() else { return };
    let node = string(&unique("none"));
    for empty in EMPTY {
        for at in 5..=8 {
            let mut peer = Peer::connect(address);
            peer.send(
                &[
                    AMQP,
                    &with(0x10, &[&string("c")], at, empty),
                    &with(0x11, &[NULL, &uint(0), &uint(9), &uint(9)], 5 + at % 2, empty),
                ]
                .concat(),
            );
            peer.await_header();
            peer.expect(0x10);
            peer.expect(0x11);
        }
        let mut peer = Peer::begun(address);
        let (here, there) = (performative(0x29, &[&string("here")]), source("here"));
        let target_of = |caps: &[u8]| performative(0x29, &[&node, NULL, NULL, NULL, NULL, NULL, caps]);
        let coordinator = performative(0x30, &[empty]);
        let receiving = |source: &[u8], at: usize, value: &[u8], handle: u32| {
            with(0x12, &[&string(&format!("in{handle}")), &uint(handle), TRUE, NULL, NULL, source, &here], at, value)
        };
        let sending = |target: &[u8], handle: u32| {
            let name = string(&format!("out{handle}"));
            with(0x12, &[&name, &uint(handle), FALSE, NULL, NULL, &there, target, NULL, NULL, &uint(0)], 11, empty)
        };
        let attaches = [
            receiving(&source_of(&node, 9, empty), 12, NULL, 0),
            receiving(&source_of(&node, 10, empty), 12, empty, 1),
            receiving(&source_of(&node, 10, NULL), 11, empty, 2),
            sending(&target_of(empty), 3),
            sending(&coordinator, 4),
        ];
        for (handle, attach) in attaches.into_iter().enumerate() {
            peer.send(&attach);
            let answer = Value::read(&peer.find(0x12)).0;
            let own = if handle < 3 { answer.field(5) } else { answer.field(6) };
            assert_ne!(*own, Value::Null, "link {handle} is refused");
            if handle < 3 {
                assert_eq!((own.field(9), own.field(10)), (&Value::Null, &Value::Null));
            }
        }
        peer.send(&close());
        peer.find(0x18);
    }
}

/// 1.6.24, 2.8.14: a map of properties has any values, arrays of anything too; what a receiver writes on a message (3.4.5)
/// comes with it as it was written.
#[test]
fn a_map_of_properties_has_any_values() {
    let Some(address) = address() else { return };
    for value in arrays() {
        let about = map(&[&symbol("x-known"), &string("kept"), &symbol("x-any"), &value]);
        let mut peer = Peer::connect(address);
        let begin = with(0x11, &[NULL, &uint(0), &uint(2048), &uint(2048)], 7, &about);
        peer.send(&[AMQP, &with(0x10, &[&string("c")], 9, &about), &begin].concat());
        peer.await_header();
        peer.expect(0x10);
        peer.expect(0x11);
        let node = format!("/queues/{}", unique("any"));
        let out =
            [&string("out")[..], &uint(0), FALSE, NULL, NULL, &source("here"), &target(&node), NULL, NULL, &uint(0)];
        peer.send(&with(0x12, &out, 13, &about));
        peer.expect(0x12);
        peer.expect(0x13);
        peer.send(&transfer(0, Some(0), Some(b"t"), false, false, &message(b"m")));
        peer.disposition();
        peer.receiver("in", 1, &Terms { node: Some(source(&node)), ..Terms::default() });
        let first = peer.delivery();
        let modified = performative(0x27, &[TRUE, FALSE, &about]);
        peer.send(&disposition(true, first.id, first.id, true, &modified));
        let body = peer.find(0x14);
        assert!(body.windows(value.len()).any(|window| window == value), "{value:02x?} in {body:02x?}");
        let error = performative(0x1D, &[&symbol("x:y"), NULL, &about]);
        let rejected = performative(0x25, &[&error]);
        peer.send(&disposition(true, first.id + 1, first.id + 1, true, &rejected));
        let props = [&uint(2)[..], &uint(2048), &uint(1), &uint(2048), &uint(1), &uint(2), &uint(9), NULL, FALSE, TRUE];
        peer.send(&with(0x13, &props, 10, &about));
        peer.find(0x13);
        peer.send(&with(0x16, &[&uint(1), TRUE], 2, &error));
        peer.find(0x16);
        peer.send(&with(0x18, &[], 0, &error));
        assert_eq!(*Value::read(&peer.find(0x18)).0.field(0), Value::Null);
    }
}

/// 4.5.1: what a controller asks of a coordinator is a wish; it hears which of it is granted.
#[test]
fn a_coordinator_is_there_whatever_is_asked_of_it() {
    let Some(address) = address() else { return };
    for (asked, granted) in [
        (&["x:other"][..], false),
        (&["amqp:local-transactions", "x:other"], true),
        (&["amqp:local-transactions"], true),
    ] {
        let mut peer = Peer::begun(address);
        let coordinator = performative(0x30, &[&symbols(asked)]);
        let answer = peer.sender("co", 0, &Terms { node: Some(coordinator), ..Terms::default() });
        assert_eq!(answer.field(6).code(), 0x30, "{asked:?}");
        let expected = Value::Text("amqp:local-transactions".into());
        let told = match answer.field(6).field(0) {
            Value::Null => false,
            Value::List(all) => *all == [expected],
            one => *one == expected,
        };
        assert_eq!(told, granted, "{asked:?}");
    }
}

/// 2.7.5: a transfer may say `first` on a link that is settled second, and is settled with its outcome then; the other way
/// round is illegal, and a third mode there is not.
#[test]
fn a_transfer_may_be_settled_sooner_than_its_link_says_and_not_later() {
    let Some(address) = address() else { return };
    let sent = |id: u32, mode: u8| {
        let (id, mode) = (uint(id), ubyte(mode));
        let fields: [&[u8]; 7] = [&uint(0), &id, &binary(b"t"), &uint(0), FALSE, FALSE, &mode];
        frame(0, &[&performative(0x14, &fields)[..], &message(b"m")].concat())
    };
    let node = format!("/queues/{}", unique("mode"));
    let mut peer = Peer::begun(address);
    peer.sender("out", 0, &Terms { node: Some(target(&node)), settles: (0, 1), ..Terms::default() });
    for (id, mode, settled) in [(0, 0, true), (1, 1, false), (2, 0, true)] {
        peer.send(&sent(id, mode));
        let said = peer.disposition();
        assert_eq!((said.field(4).code(), said.field(3)), (0x24, &Value::Bool(settled)), "mode {mode}");
        peer.send(&disposition(false, id, id, true, ACCEPTED));
        if !settled {
            peer.disposition();
        }
    }
    assert_eq!(waiting(address, &node), ["m", "m", "m"]);
    let mut peer = Peer::sending(address, "first", (0, 0));
    peer.send(&sent(0, 1));
    assert_eq!(peer.refusal(), "amqp:invalid-field");
    let mut peer = Peer::sending(address, "first", (0, 0));
    peer.send(&sent(0, 7));
    assert_eq!(Value::read(&peer.find(0x17)).0.field(0).field(0).text(), "amqp:invalid-field");
}

/// 2.7.5: "The receiver MUST ignore resumed deliveries that are not in its local unsettled map."
#[test]
fn a_resumed_delivery_that_is_not_known_is_not_published() {
    let Some(address) = address() else { return };
    for mode in [0, 1] {
        let node = format!("/queues/{}", unique("unknown"));
        let mut peer = Peer::begun(address);
        peer.sender("out", 0, &Terms { node: Some(target(&node)), settles: (0, mode), ..Terms::default() });
        peer.send(&resumed(0, 0, b"t", false, NULL, false, &message(b"unknown")));
        let said = peer.disposition();
        assert_eq!((said.field(4).code(), said.field(3)), (0x26, &Value::Bool(true)), "mode {mode}");
        peer.send(&transfer(0, Some(1), Some(b"t"), false, false, &message(b"new")));
        assert_eq!(peer.disposition().field(4).code(), 0x24);
        assert_eq!(waiting(address, &node), ["new"], "mode {mode}");
    }
}

/// 2.6.7, 2.7.4: a flow needs no window, so that a drain and an echo are answered without one.
#[test]
fn a_drain_is_answered_while_the_window_is_shut() {
    let Some(address) = address() else { return };
    let node = format!("/queues/{}", unique("shut"));
    let mut peer = Peer::begun(address);
    peer.link("in", 0, true, &Terms { node: Some(source(&node)), ..Terms::default() });
    peer.send(&flow(0, 0, Some((0, 0, 5, true, false))));
    let answer = Value::read(&peer.find(0x13)).0;
    let numbers = |answer: &Value| (answer.field(5).number(), answer.field(6).number());
    assert_eq!((numbers(&answer), answer.field(8)), ((5, 0), &Value::Bool(true)));
    // With a message that waits the credit is kept for it, and an echo is answered all the same.
    peer.sender("out", 1, &Terms { node: Some(target(&node)), ..Terms::default() });
    peer.send(&transfer(1, Some(0), Some(b"t"), false, false, &message(b"m")));
    peer.disposition();
    peer.send(&flow(0, 0, Some((0, 5, 5, true, true))));
    assert_eq!(numbers(&Value::read(&peer.find(0x13)).0), (5, 5));
    peer.send(&flow(0, 10, None));
    assert_eq!(peer.delivery().text(), "m");
    assert_eq!(numbers(&Value::read(&peer.find(0x13)).0), (10, 0));
}

/// 2.6.7: the broker lets a session have only so many deliveries that are not settled. Whoever drains need not settle some to hear
/// that no more will come, and gets the rest for new credit.
#[test]
fn a_drain_is_answered_where_too_much_is_unsettled() {
    let Some(broker) = Broker::start_with(|config| config.amqp.unsettled_max = 4) else { return };
    let address = broker.at("amqp");
    let node = "/queues/many";
    let mut out = Peer::begun(address);
    out.sender("out", 0, &Terms { node: Some(target(node)), ..Terms::default() });
    for id in 0..7 {
        out.send(&transfer(0, Some(id), Some(&[id as u8]), false, false, &message(id.to_string().as_bytes())));
        out.disposition();
    }
    let mut peer = Peer::begun(address);
    peer.link("in", 0, true, &Terms { node: Some(source(node)), ..Terms::default() });
    // Delivery-count, credit, available.
    let said = |peer: &mut Peer| {
        let answer = Value::read(&peer.find(0x13)).0;
        assert_eq!(answer.field(8), &Value::Bool(true));
        [5, 6, 7].map(|at| answer.field(at).number())
    };
    // All at once, and once more where nothing can be sent from the beginning.
    peer.send(&flow(0, 100, Some((0, 0, 10, true, false))));
    let texts: Vec<String> = (0..4).map(|_| peer.delivery().text()).collect();
    assert_eq!((texts.concat().as_str(), said(&mut peer)), ("0123", [10, 0, 3]));
    peer.send(&flow(4, 100, Some((0, 10, 5, true, true))));
    assert_eq!(said(&mut peer), [15, 0, 3]);
    peer.send(&disposition(true, 0, 3, true, ACCEPTED));
    peer.send(&flow(4, 100, Some((0, 15, 5, true, false))));
    let texts: Vec<String> = (0..3).map(|_| peer.delivery().text()).collect();
    assert_eq!((texts.concat().as_str(), said(&mut peer)), ("456", [20, 0, 0]));
}

/// A sending attach without an address, or to a coordinator, whose source has these outcomes.
fn sending(target: &[u8], outcomes: &[&str]) -> Vec<u8> {
    let source = source_of(&string("here"), 9, &symbols(outcomes));
    with(0x12, &[&string("out"), &uint(0), FALSE, NULL, NULL, &source, target, NULL, NULL], 9, &uint(0))
}

/// Anonymous Terminus 1.0, 2.2.2: whoever cannot be told that a message is rejected hears it by the end of the link, and
/// which message it was.
#[test]
fn a_message_without_a_way_ends_its_link_where_it_cannot_be_rejected() {
    let Some(address) = address() else { return };
    let to = |node: &str| {
        let properties = performative(0x73, &[NULL, NULL, &string(node)]);
        [&properties[..], &message(b"m")].concat()
    };
    let rows = [
        (message(b"m"), "amqp:precondition-failed"),
        (to("/queues/"), "amqp:invalid-field"),
        (to("a/#"), "amqp:invalid-field"),
    ];
    for (settled, outcomes) in [(true, &[][..]), (true, &["amqp:rejected:list"]), (false, &["amqp:accepted:list"])] {
        for (text, condition) in &rows {
            let mut peer = Peer::begun(address);
            peer.send(&sending(&performative(0x29, &[NULL]), outcomes));
            peer.find(0x13);
            peer.send(&transfer(0, Some(0), Some(b"tag"), settled, false, text));
            let error = Value::read(&peer.find(0x16)).0.field(2).clone();
            assert_eq!(error.field(0).text(), *condition, "settled: {settled}, {outcomes:?}");
            assert_eq!(error.field(2).get("delivery-tag").bytes(), b"tag");
        }
    }
    for outcomes in [&[][..], &["amqp:accepted:list", "amqp:rejected:list"]] {
        let mut peer = Peer::begun(address);
        peer.send(&sending(&performative(0x29, &[NULL]), outcomes));
        peer.find(0x13);
        for id in 0..2 {
            peer.send(&transfer(0, Some(id), Some(b"tag"), false, false, &to("a/#")));
            assert_eq!(peer.disposition().field(4).code(), 0x25);
        }
    }
}

/// 3.5.3: a sender is told only outcomes that it knows, and that is never that a message was taken which was not.
#[test]
fn a_message_that_is_not_taken_gets_an_outcome_that_its_sender_knows() {
    let Some((broker, address)) = own() else { return };
    let config = "%7B%22filters%22:%5B%22refused%22%5D,%22verdict%22:%22refuse%22,%22payload%22:%22no%22%7D";
    let component = guests::component("router");
    broker.admin().deploy(&format!("/api/v1/modules/m?config={config}"), &component).expect(200);
    let (accepted, released, modified) = ("amqp:accepted:list", "amqp:released:list", "amqp:modified:list");
    let state = |code| performative(code, &[]);
    let failed = performative(0x27, &[TRUE]);
    let rows: [(&[&str], Vec<u8>, Option<i128>); 10] = [
        (&[], NULL.to_vec(), Some(0x25)),
        (&[], state(0x26), Some(0x25)),
        (&[accepted, "amqp:rejected:list"], state(0x26), Some(0x25)),
        (&[accepted, released], state(0x26), Some(0x26)),
        (&[accepted, released], failed, Some(0x27)),
        (&[accepted], state(0x25), Some(0x25)),
        (&[accepted, modified, released], NULL.to_vec(), Some(0x26)),
        (&[accepted, modified], state(0x24), Some(0x27)),
        (&[accepted], state(0x24), None),
        (&[accepted], NULL.to_vec(), None),
    ];
    // Refused as it is read, and by a module on its way.
    let wrong = [b"no message".to_vec(), message(b"no")];
    for (outcomes, default, expected) in rows {
        for (wrong, mode) in wrong.iter().flat_map(|wrong| [(wrong, 0), (wrong, 1)]) {
            let mut peer = Peer::begun(address);
            let mut fields = [NULL; 11];
            let (own, listed) = (string("here"), symbols(outcomes));
            (fields[0], fields[8], fields[9]) = (&own, &default, &listed);
            let target = performative(0x29, &[&string("refused")]);
            let mode = ubyte(mode);
            let needed =
                [&string("out")[..], &uint(0), FALSE, NULL, &mode, &performative(0x28, &fields), &target, NULL, NULL];
            peer.send(&with(0x12, &needed, 9, &uint(0)));
            peer.find(0x13);
            peer.send(&transfer(0, Some(0), Some(b"tag"), false, false, wrong));
            let Some(expected) = expected else {
                let error = Value::read(&peer.find(0x16)).0.field(2).clone();
                assert_eq!(error.field(2).get("delivery-tag").bytes(), b"tag", "{outcomes:?}");
                continue;
            };
            let said = peer.disposition();
            assert_eq!(
                (said.field(4).code(), said.field(3)),
                (expected, &Value::Bool(true)),
                "{outcomes:?} {default:?}"
            );
        }
    }
}

/// 4.3: a controller that does not know the outcome rejected hears of a failed discharge by the end of its link.
#[test]
fn a_discharge_that_fails_ends_the_link_of_a_controller_that_knows_no_rejected() {
    let Some(address) = address() else { return };
    let discharge = described(0x77, &performative(0x32, &[&binary(b"none"), FALSE]));
    let mut peer = Peer::begun(address);
    peer.send(&sending(&performative(0x30, &[]), &["amqp:accepted:list", "amqp:declared:list"]));
    peer.find(0x13);
    peer.send(&transfer(0, Some(0), Some(b"t"), false, false, &discharge));
    assert_eq!(peer.refusal(), "amqp:transaction:unknown-id");
    let mut peer = Peer::begun(address);
    peer.send(&sending(&performative(0x30, &[]), &["amqp:accepted:list", "amqp:rejected:list"]));
    peer.find(0x13);
    peer.send(&transfer(0, Some(0), Some(b"t"), false, false, &discharge));
    assert_eq!(peer.disposition().field(4).code(), 0x25);
}

/// 3.5.3, 3.5.4: the answer says what is in force: a dynamic node goes with its link, and an outcome that nobody knows cannot
/// be chosen.
#[test]
fn the_answer_to_an_attach_says_what_is_in_force() {
    let Some(address) = address() else { return };
    let mut peer = Peer::begun(address);
    let wanted =
        map(&[&symbol("lifetime-policy"), &performative(0x2E, &[]), &symbol("supported-dist-modes"), &symbol("move")]);
    let terminus =
        |code: u8, address: &[u8], dynamic: &[u8]| performative(code, &[address, NULL, NULL, NULL, dynamic, &wanted]);
    let policy = |own: &Value| own.field(5).get("lifetime-policy").code();
    let node = string(&unique("force"));
    for (handle, dynamic) in [(0, true), (1, false)] {
        let (address, flag) = if dynamic { (NULL, TRUE) } else { (&node[..], FALSE) };
        let terms = Terms { node: Some(terminus(0x28, address, flag)), ..Terms::default() };
        let answer = peer.link(&format!("in{handle}"), handle, true, &terms);
        let own = answer.field(5);
        assert_eq!(*own.field(4) == Value::Bool(true), dynamic);
        if dynamic {
            assert_eq!((policy(own), own.field(5).get("supported-dist-modes")), (0x2B, &Value::Null));
        } else {
            assert_eq!(own.field(5), &Value::Null);
        }
        let terms = Terms { node: Some(terminus(0x29, address, flag)), ..Terms::default() };
        let answer = peer.sender(&format!("out{handle}"), handle + 10, &terms);
        assert_eq!(
            if dynamic { policy(answer.field(6)) } else { answer.field(6).field(5).code() },
            if dynamic { 0x2B } else { 0 }
        );
    }
    for (handle, outcomes, told) in [
        (20, &["amqp:accepted:list", "x:y"][..], &["amqp:accepted:list"][..]),
        (21, &["nonsense"], &[]),
        (22, &["amqp:accepted:list", "amqp:modified:list"], &["amqp:accepted:list", "amqp:modified:list"]),
    ] {
        let terms = Terms { node: Some(source_of(&node, 9, &symbols(outcomes))), ..Terms::default() };
        let answer = peer.link(&format!("in{handle}"), handle, true, &terms);
        let all = match answer.field(5).field(9) {
            Value::Null => Vec::new(),
            Value::List(all) => all.clone(),
            one => vec![one.clone()],
        };
        let all: Vec<&str> = all.iter().map(Value::text).collect();
        assert_eq!(all, told, "{outcomes:?}");
    }
}
