//! Bad input over a socket. The ids are those of the project's list of known faults of brokers; the machine's own rows go
//! deeper, these see that the broker hangs up, says why, and serves the next client.

use super::link::{Terms, attach};
use super::peer::{Peer, is_served, says};
use super::raw::*;
use super::value::Value;
use super::{Broker, address};
use crate::doors::rig::{Authority, figure_of, listener, resident, until};
use crate::harness::wire::{Web, upgrade};
use crate::harness::{Process, V5, V311, connect, unique};
use host::config::{ClientCertificate, Listener, ProtocolName, Transport};
use std::io::Write as _;
use std::net::TcpStream;
use std::sync::OnceLock;
use std::time::Duration;

const FRAMING: &str = "amqp:connection:framing-error";
const DECODE: &str = "amqp:decode-error";
const INVALID: &str = "amqp:invalid-field";
const NOT_ALLOWED: &str = "amqp:not-allowed";

/// A broker with further ways in, which lives as long as this process.
fn further() -> Option<&'static (Broker, Authority)> {
    static BROKER: OnceLock<Option<(Broker, Authority)>> = OnceLock::new();
    let start = || {
        let authority = Authority::new();
        authority.sign("server", "localhost");
        let tls = authority.tls(ClientCertificate::None);
        let broker = Broker::start_with(move |config| {
            for (name, transport) in [("amqps", Transport::Tls), ("amqp-ws", Transport::Ws)] {
                let protocol = ProtocolName::Amqp;
                config.listeners.push(Listener { protocol, tls: tls.clone(), ..listener(name, transport) });
            }
        })?;
        Some((broker, authority))
    };
    BROKER.get_or_init(start).as_ref()
}

/// What a client does on a new connection, over TCP, TLS and WebSocket; others are served afterwards.
fn on_each_way(mut row: impl FnMut(&str, Peer)) {
    let Some(address) = address() else { return };
    row("TCP", Peer::connect(address));
    is_served(address);
    let Some((broker, authority)) = further() else { return };
    row("TLS", Peer::on(Box::new(authority.dial(broker.at("amqps"), None))));
    let socket = TcpStream::connect(broker.at("amqp-ws")).expect("a broker that listens");
    row("WebSocket", Peer::on(Box::new(Web::open(socket, &upgrade("/mqtt", "amqp", "")).expect("a WebSocket"))));
    is_served(broker.at("amqp"));
}

/// Bytes on a new connection end it with this condition; none: there are no words for it.
fn ends(row: &str, bytes: &[u8], condition: Option<&str>) {
    on_each_way(|way, mut peer| {
        peer.send(bytes);
        let said = peer.until_closed();
        if let Some(condition) = condition {
            assert!(says(&said, condition), "{row}, {way}: {}", String::from_utf8_lossy(&said));
        }
    });
}

fn opened(rest: &[u8]) -> Vec<u8> {
    [AMQP, &open("bad"), &begin(0), rest].concat()
}

#[test]
fn a01_wrong_headers_are_answered_with_the_right_one() {
    for bytes in [&hex("414D5150 01010000")[..], b"GET / HTTP/1.1\r\n\r\n"] {
        on_each_way(|way, mut peer| {
            peer.send(bytes);
            assert_eq!(peer.until_closed(), AMQP, "{bytes:?}, {way}");
        });
    }
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
    ends("2.4.1", &[AMQP, &frame(5, &performative(0x10, &[&string("c")]))].concat(), Some(NOT_ALLOWED));
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
    on_each_way(|way, peer| {
        let mut peer = peer.begins().sends(row, (0, 0));
        peer.send(bytes);
        let body = peer.find(code);
        assert!(says(&body, condition), "{row}, {way}: {}", String::from_utf8_lossy(&body));
        peer.send(&begin(3));
        peer.find(0x11);
    });
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
    // Whatever is read in one go is held against the credit that there was: of so many, some go comes to more than that.
    let burst: Vec<u8> = (0..3_000u32).flat_map(|id| send(Some(id), Some(&id.to_be_bytes()))).collect();
    stops("A16", 0x16, &burst, "amqp:link:transfer-limit-exceeded");
}

#[test]
fn a19_a_message_without_end_is_cut() {
    let part = |id: Option<u32>| transfer(0, id, id.map(|_| &b"t"[..]), false, true, &[0; 100_000]);
    let bytes: Vec<u8> = (0..200).flat_map(|n| part((n == 0).then_some(0))).collect();
    stops("A19", 0x16, &bytes, "amqp:link:message-size-exceeded");
}

/// What has come of messages that are not whole counts like messages that wait: past the mark on memory whoever makes it
/// more has to go, and nobody else does.
#[test]
fn a20_messages_that_are_not_whole_count_at_the_mark_on_memory() {
    let Some(broker) = Process::start_with(&["broker.memory_bytes_max=8388608"], None) else { return };
    let alarms = || figure_of(&broker.admin(), "pliant_memory_alarms_total");
    let part = |id: Option<u32>| transfer(0, id, id.map(|_| &b"t"[..]), false, true, &[0; 100_000]);
    let mut long = Peer::sending(broker.amqp(), "long", (0, 0));
    (0..90).for_each(|n| long.send(&part((n == 0).then_some(0))));
    until("the mark is passed", || alarms() == 1);
    let mut small = Peer::sending(broker.amqp(), "small", (0, 0));
    is_served(broker.amqp());
    (0..10).for_each(|_| long.send(&part(None)));
    assert!(says(&long.until_closed(), "amqp:resource-limit-exceeded"));
    small.send(&transfer(0, Some(0), Some(b"t"), false, false, &message(b"m")));
    assert_eq!(Value::read(&small.find(0x15)).0.field(4).code(), 0x24);
}

/// Whoever has all answers wait and goes on asking is not read from in the end.
#[test]
fn a_client_that_asks_and_does_not_read_is_not_answered_without_end() {
    const MOST: usize = 96 << 20;
    let Some(broker) = Process::start() else { return };
    let mut asks = TcpStream::connect(broker.amqp()).expect("the broker listens");
    asks.set_write_timeout(Some(Duration::from_secs(2))).expect("a patience");
    asks.write_all(&[AMQP, &open("asks"), &begin(0)].concat()).expect("it is read");
    let before = resident(broker.id());
    let again = [begin(1), end(1)].concat().repeat(1_000);
    let mut sent = 0;
    while sent < MOST && asks.write_all(&again).is_ok() {
        sent += again.len();
    }
    let grown = resident(broker.id()).saturating_sub(before);
    assert!(grown < 24 << 20, "{grown} bytes after {sent}");
    is_served(broker.amqp());
}

/// One disposition may name thousands of deliveries, and carry much: that is kept once.
#[test]
fn a25_a_long_state_of_many_deliveries_is_kept_once() {
    const MANY: u32 = 8_000;
    let Some(broker) = Process::start() else { return };
    let node = unique("many");
    let mut peer = Peer::begun(broker.amqp());
    peer.link("in", 0, true, &Terms { node: Some(source(&node)), ..Terms::default() });
    peer.send(&flow(0, MANY * 2, Some((0, 0, MANY, false, false))));
    let mut sender = Peer::begun(broker.amqp());
    sender.link("out", 0, false, &Terms { node: Some(target(&node)), settles: (1, 0), ..Terms::default() });
    let mut credit = 0;
    for id in 0..MANY {
        while credit == 0 {
            let flow = Value::read(&sender.find(0x13)).0;
            if *flow.field(6) != Value::Null {
                credit = u32::try_from(flow.field(5).number() + flow.field(6).number()).expect("credit") - id;
            }
        }
        sender.send(&transfer(0, Some(id), Some(&id.to_be_bytes()), true, false, &message(b"m")));
        credit -= 1;
    }
    (0..MANY).for_each(|_| drop(peer.find(0x14)));
    let before = resident(broker.id());
    let long = string(&"x".repeat(60_000));
    let notes = performative(0x27, &[FALSE, FALSE, &map(&[&symbol("x-opt-note"), &long])]);
    let why = performative(0x25, &[&performative(0x1d, &[&symbol("a:b"), &long])]);
    peer.send(&disposition(true, 0, MANY / 2 - 1, false, &notes));
    peer.send(&disposition(true, MANY / 2, MANY - 1, false, &why));
    let mut settled = 0;
    while settled < MANY {
        let said = Value::read(&peer.find(0x15)).0;
        let last = if *said.field(2) == Value::Null { said.field(1) } else { said.field(2) };
        settled += u32::try_from(last.number() - said.field(1).number()).expect("a range") + 1;
    }
    let grown = resident(broker.id()).saturating_sub(before);
    // For each delivery of its own it would be 480 MB.
    assert!(grown < 64 << 20, "{grown} bytes");
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

/// A15 over a socket: what a link lacks, or says twice, is told at once, and the next one is served.
#[test]
fn a15_links_that_make_no_sense_are_refused() {
    let Some(address) = address() else { return };
    let dynamic = performative(0x28, &[&string("a"), NULL, NULL, NULL, TRUE]);
    let both = performative(0x29, &[&string("a"), NULL, NULL, NULL, TRUE]);
    for (node, is_receiver) in [(None, true), (None, false), (Some(dynamic), true), (Some(both), false)] {
        let mut peer = Peer::begun(address);
        // Without a source it looks for a subscription that it has left.
        let node_is_missing = node.is_none();
        let answer = peer.link("l", 0, is_receiver, &Terms { node, ..Terms::default() });
        assert_eq!(answer.field(if is_receiver { 5 } else { 6 }), &Value::Null);
        let lookup = node_is_missing && is_receiver;
        assert_eq!(peer.refusal(), if lookup { "amqp:not-found" } else { INVALID });
        peer.send(&detach(0, true));
        peer.sender("next", 1, &Terms { node: Some(target("a")), ..Terms::default() });
    }
}

#[test]
fn a23_an_aborted_message_is_not_published_and_the_next_one_is() {
    let Some(address) = address() else { return };
    let node = unique("aborted");
    let mut peer = Peer::begun(address);
    peer.receiver("in", 0, &Terms { node: Some(source(&node)), ..Terms::default() });
    peer.sender("out", 1, &Terms { node: Some(target(&node)), ..Terms::default() });
    for id in 0..3 {
        peer.send(&transfer(1, Some(id), Some(b"t"), false, true, &message(&[b'x'; 5000])[..3000]));
        peer.send(&aborted(1));
    }
    peer.send(&transfer(1, Some(3), Some(b"u"), false, false, &message(b"whole")));
    assert_eq!(peer.delivery().text(), "whole");
}

#[test]
fn a24_more_transfers_than_the_window_end_the_session() {
    let Some(broker) = Broker::start_with(|config| config.amqp.session_window = 4) else { return };
    let mut peer = Peer::sending(broker.at("amqp"), "a24", (0, 0));
    // One piece, so that the broker has no time to open its window again.
    let part = |n: u32| transfer(0, (n == 0).then_some(0), (n == 0).then_some(&b"t"[..]), false, true, b"x");
    peer.send(&(0..6).flat_map(part).collect::<Vec<u8>>());
    assert!(says(&peer.find(0x17), "amqp:session:window-violation"));
    is_served(broker.at("amqp"));
}

/// 2.5.6: whoever gives credit and never opens its session's window gets nothing, and nobody else waits for it.
#[test]
fn a24_a_window_that_is_never_opened_holds_up_nobody_else() {
    let Some(address) = address() else { return };
    let node = unique("shut");
    let attach = attach("r", 0, true, &Terms { node: Some(source(&node)), ..Terms::default() });
    let mut shut = Peer::connect(address);
    let begin = frame(0, &performative(0x11, &[NULL, &uint(0), &uint(0), &uint(2048)]));
    shut.send(&[AMQP, &open("shut"), &begin, &attach, &flow(0, 0, Some((0, 0, 1000, false, false)))].concat());
    shut.await_header();
    shut.find(0x12);
    let mut other = Peer::begun(address);
    other.send(&[attach, flow(0, 2048, Some((0, 0, 1000, false, false)))].concat());
    other.find(0x12);
    let mut publisher = connect(V5).open();
    for number in 0..100 {
        publisher.say(&node, &number.to_string(), 1);
    }
    let take = |peer: &mut Peer| {
        for number in 0..100u32 {
            let body = peer.find(0x14);
            assert!(body.ends_with(number.to_string().as_bytes()), "{number}: {body:02x?}");
        }
    };
    take(&mut other);
    // An echo is all that comes before the window opens.
    shut.send(&flow(0, 0, Some((0, 0, 1000, false, true))));
    shut.expect(0x13);
    shut.send(&flow(0, 2048, Some((0, 0, 1000, false, false))));
    take(&mut shut);
}

/// 2.5.6: a window that is used up between two messages of a batch, or within one, costs none of them.
#[test]
fn a24_long_messages_go_on_as_the_window_moves() {
    let Some(address) = address() else { return };
    for (window, settled) in [(10, 0), (10, 1), (7, 1)] {
        let node = unique("long");
        let mut peer = Peer::connect(address);
        let begin = frame(0, &performative(0x11, &[NULL, &uint(0), &uint(window), &uint(2048)]));
        let terms = Terms { node: Some(source(&node)), settles: (settled, 0), ..Terms::default() };
        peer.send(&[AMQP, &open(&node), &begin, &attach("r", 0, true, &terms)].concat());
        peer.await_header();
        peer.find(0x12);
        let mut publisher = connect(V5).open();
        // None of them goes before there is credit, then all at once.
        for number in 0..10 {
            publisher.say(&node, &format!("{}-{number}", "z".repeat(400_000)), 1);
        }
        peer.send(&flow(0, window, Some((0, 0, 10, false, false))));
        let (mut frames, mut whole) = (0, 0);
        while whole < 10 {
            let body = peer.find(0x14);
            frames += 1;
            whole += u32::from(body.ends_with(format!("-{whole}").as_bytes()));
            if frames % window == 0 {
                peer.send(&flow(frames, window, None));
            }
        }
    }
}

#[test]
fn a26_flows_that_ask_for_an_echo_get_one_each_and_nothing_else() {
    let Some(address) = address() else { return };
    let mut peer = Peer::begun(address);
    peer.link("in", 0, true, &Terms { node: Some(source(&unique("echo"))), ..Terms::default() });
    // Credit without bound, a next-incoming-id that is long past or never was, and a drain of nothing.
    peer.send(&flow(u32::MAX, 2048, Some((0, 0, u32::MAX, false, false))));
    peer.send(&flow(7, 2048, Some((0, u32::MAX, u32::MAX, false, false))));
    for _ in 0..100 {
        peer.send(&flow(0, 2048, Some((0, 0, 10, false, true))));
    }
    peer.send(&[end(0), begin(0)].concat());
    let mut echoes = 0;
    while let Some(body) = peer.frame() {
        match body[2] {
            0x13 => echoes += 1,
            0x17 => break,
            other => panic!("{other:x}"),
        }
    }
    assert_eq!(echoes, 100);
}

#[test]
fn a41_links_that_come_and_go_by_the_thousand_leave_nothing() {
    let Some(address) = address() else { return };
    let mut peer = Peer::begun(address);
    // More than a connection may have at a time, the detach of one behind the attach of the next.
    let node = Terms { node: Some(target(&unique("storm"))), ..Terms::default() };
    peer.send(&attach("l0", 0, false, &node));
    for n in 1..3000u32 {
        peer.send(&attach(&format!("l{n}"), n % 2, false, &node));
        peer.send(&detach((n + 1) % 2, true));
        if n % 100 == 0 {
            while Value::read(&peer.find(0x12)).0.field(0).text() != format!("l{n}") {}
        }
    }
    // A detach and a close that cross: nothing comes back to life.
    peer.send(&[detach(1, true), detach(1, true), close()].concat());
    let rest = peer.until_closed();
    assert!(!says(&rest, "amqp:resource-limit-exceeded") && !says(&rest, "amqp:session:handle-in-use"));
    is_served(address);
}

#[test]
fn a42_what_fails_again_and_again_ends_with_the_dead_letters() {
    let Some(broker) = Broker::start_with(|config| config.broker.queue_failures_max = 3) else { return };
    let address = broker.at("amqp");
    let node = "/queues/poison";
    let mut peer = Peer::begun(address);
    peer.sender("out", 0, &Terms { node: Some(target(node)), ..Terms::default() });
    peer.send(&transfer(0, Some(0), Some(b"t"), false, false, &message(b"poison")));
    peer.receiver("in", 1, &Terms { node: Some(source(node)), ..Terms::default() });
    // What is only released was not tried, and comes any number of times.
    for _ in 0..10 {
        let got = peer.delivery();
        assert_eq!(got.section(0x70).field(4), &Value::Null);
        peer.send(&disposition(true, got.id, got.id, true, &performative(0x26, &[])));
    }
    for failed in 0..3 {
        let got = peer.delivery();
        let counted = got.section(0x70).field(4).clone();
        assert_eq!(counted, if failed == 0 { Value::Null } else { Value::Number(failed) });
        peer.send(&disposition(true, got.id, got.id, true, &performative(0x27, &[TRUE])));
    }
    let mut dead = Peer::begun(address);
    dead.receiver("dead", 0, &Terms { node: Some(source("/queues/dead-letters")), ..Terms::default() });
    assert_eq!(dead.delivery().text(), "poison");
    assert!(peer.is_drained(1, 13));
}

/// Maps, lists and numbers have no form in MQTT: the subscriber gets a packet that is right, by the rule of the translation.
#[test]
fn a43_what_has_no_form_in_mqtt_follows_a_rule() {
    let Some(address) = address() else { return };
    let node = unique("formless");
    for version in [V311, V5] {
        let mut subscriber = connect(version).open();
        subscriber.subscribe(&node, 1);
        let mut peer = Peer::begun(address);
        peer.sender("out", 0, &Terms { node: Some(target(&node)), ..Terms::default() });
        let header = described(0x70, &list(&[TRUE]));
        let annotations = described(0x72, &map(&[&symbol("x-nested"), &map(&[&string("a"), &list(&[NULL])])]));
        let properties = described(0x74, &map(&[&string("list"), NULL, &string("text"), &string("a\0b")]));
        let bodies = [
            described(0x77, &map(&[&string("k"), &list(&[&ulong(1), TRUE])])),
            [described(0x76, &list(&[NULL])), described(0x76, &list(&[&string("x")]))].concat(),
            described(0x77, NULL),
        ];
        for (id, body) in (0..).zip(bodies) {
            let payload = [&header[..], &annotations, &properties, &body].concat();
            peer.send(&transfer(0, Some(id), Some(&[1]), false, false, &payload));
            assert_eq!(peer.disposition().field(4).code(), 0x24);
            let got = subscriber.take();
            assert_eq!((&*got.topic, got.qos), (&*node, 1));
        }
        subscriber.ping();
    }
}

/// A client that is lost: each delivery that it had goes back once, to its old place.
#[test]
fn a44_what_a_lost_client_had_comes_back_once_and_in_order() {
    let Some(address) = address() else { return };
    let node = format!("/queues/{}", unique("lost"));
    let mut peer = Peer::begun(address);
    peer.sender("out", 0, &Terms { node: Some(target(&node)), ..Terms::default() });
    for id in 0..10u32 {
        peer.send(&transfer(0, Some(id), Some(&id.to_be_bytes()), false, false, &message(id.to_string().as_bytes())));
        peer.disposition();
    }
    let mut lost = Peer::begun(address);
    lost.receiver("in", 0, &Terms { node: Some(source(&node)), ..Terms::default() });
    let had: Vec<u32> = (0..10).map(|_| lost.delivery().id).collect();
    lost.send(&disposition(true, had[3], had[3], true, ACCEPTED));
    lost.send(&flow(10, 2048, Some((0, 10, 0, false, true))));
    lost.find(0x13);
    drop(lost);
    let mut next = Peer::begun(address);
    next.receiver("in", 0, &Terms { node: Some(source(&node)), ..Terms::default() });
    let texts: Vec<String> = (0..9).map(|_| next.delivery().text()).collect();
    assert_eq!(texts, ["0", "1", "2", "4", "5", "6", "7", "8", "9"]);
    assert!(next.is_drained(0, 9));
}

/// Where each row of the list of known faults is: a word that stands in one of the files of rows.
const WHERE: [(&str, &str, &str); 44] = [
    ("A01", "tests/amqp/bad_input.rs", "fn a01_"),
    ("A02", "host/src/amqp/tests/bad_input.rs", "fn a02_to_a06_"),
    ("A03", "tests/amqp/bad_input.rs", "00000008 01000000"),
    ("A04", "tests/amqp/bad_input.rs", "00000008 FF000000"),
    ("A05", "tests/amqp/bad_input.rs", "FFFFFFFF 02000000"),
    ("A06", "tests/amqp/bad_input.rs", "00000008 027F0000"),
    ("A07", "tests/amqp/bad_input.rs", "\"A07\""),
    ("A08", "tests/amqp/bad_input.rs", "\"A08\""),
    ("A09", "host/src/amqp/tests/bad_input.rs", "fn a09_"),
    ("A10", "tests/amqp/bad_input.rs", "\"A10\""),
    ("A11", "tests/amqp/bad_input.rs", "\"A11\""),
    ("A12", "tests/amqp/bad_input.rs", "\"A12\""),
    ("A13", "tests/amqp/bad_input.rs", "fn a13_"),
    ("A14", "tests/amqp/bad_input.rs", "\"A14\""),
    ("A15", "tests/amqp/bad_input.rs", "fn a15_"),
    ("A16", "tests/amqp/bad_input.rs", "\"A16\""),
    ("A17", "tests/amqp/bad_input.rs", "\"A17\""),
    ("A18", "tests/amqp/bad_input.rs", "\"A18\""),
    ("A19", "tests/amqp/bad_input.rs", "fn a19_"),
    ("A20", "host/src/amqp/tests/bad_input.rs", "fn a20_"),
    ("A21", "tests/amqp/bad_input.rs", "\"A21\""),
    ("A22", "tests/amqp/bad_input.rs", "\"A22\""),
    ("A23", "tests/amqp/bad_input.rs", "fn a23_"),
    ("A24", "tests/amqp/bad_input.rs", "fn a24_"),
    ("A25", "tests/amqp/bad_input.rs", "\"A25\""),
    ("A26", "tests/amqp/bad_input.rs", "fn a26_"),
    ("A27", "tests/amqp/bad_input.rs", "vec![0; 6000]"),
    ("A28", "tests/amqp/bad_input.rs", "(0..600).fold"),
    ("A29", "tests/amqp/bad_input.rs", "D0 00000004 FFFFFFFF"),
    ("A30", "tests/amqp/bad_input.rs", "C1 02 01 40"),
    ("A31", "tests/amqp/bad_input.rs", "B0 7FFFFFFF"),
    ("A32", "host/src/amqp/tests/bad_input.rs", "A32"),
    ("A33", "tests/amqp/bad_input.rs", "fn a33_"),
    ("A34", "tests/amqp/bad_input.rs", "616d71703a646174613a62696e61727958"),
    ("A35", "tests/amqp/bad_input.rs", "73 00110000"),
    ("A36", "host/src/amqp/filter/tests.rs", "fn a36_"),
    ("A37", "tests/amqp/sasl.rs", "fn a37_"),
    ("A38", "tests/amqp/sasl.rs", "a37_a38_"),
    ("A39", "tests/amqp/bad_input.rs", "fn a39_"),
    ("A40", "tests/amqp/sasl.rs", "fn a40_"),
    ("A41", "tests/amqp/bad_input.rs", "fn a41_"),
    ("A42", "tests/amqp/bad_input.rs", "fn a42_"),
    ("A43", "tests/amqp/bad_input.rs", "fn a43_"),
    ("A44", "tests/amqp/bad_input.rs", "fn a44_"),
];

/// 2.3.1: what came in one read with it was right, and counts.
#[test]
fn what_stands_before_a_broken_frame_is_carried_out() {
    let Some(address) = address() else { return };
    let garbage = frame(0, &[0x00, 0x53, 0x14, 0xC0, 0xFF, 1, 0x40]);
    for (broken, condition) in [(vec![0, 0, 0, 4, 2, 0, 0, 0], FRAMING), (garbage, DECODE)] {
        let node = unique("before");
        let mut subscriber = connect(V5).open();
        subscriber.subscribe(&node, 1);
        let mut peer = Peer::begun(address);
        peer.sender("out", 0, &Terms { node: Some(target(&node)), settles: (2, 0), ..Terms::default() });
        let header = described(0x70, &list(&[TRUE]));
        let text = |text: &[u8]| [&header[..], &message(text)].concat();
        let settled = transfer(0, Some(0), Some(b"0"), true, false, &text(b"settled"));
        let unsettled = transfer(0, Some(1), Some(b"1"), false, false, &text(b"unsettled"));
        peer.send(&[settled, unsettled, broken].concat());
        subscriber.expect(&node, "settled", 1);
        subscriber.expect(&node, "unsettled", 1);
        let said = peer.until_closed();
        assert!(says(&said, condition), "{}", String::from_utf8_lossy(&said));
    }
}

#[test]
fn every_known_fault_has_its_row() {
    for (at, (id, file, word)) in WHERE.into_iter().enumerate() {
        assert_eq!(id, format!("A{:02}", at + 1));
        let text = std::fs::read_to_string(crate::house::root().join(file)).expect("a file of rows");
        // This list itself does not count.
        let rows = text.split("const WHERE").next().unwrap_or_default();
        assert!(rows.contains(word), "{id}: {word} is not in {file}");
    }
}
