//! AMQP messages cross a bridge as their publishers encoded them, whatever stands in them; what no broker can take is
//! rejected with words, and the route goes on. (3.2: the bare message is not changed on the way.)

use super::foreign::{self, Foreign};
use super::rig::*;
use crate::amqp::peer::Peer;
use crate::amqp::raw;
use crate::amqp::value::Value;
use crate::harness::*;
use host::bridge::{Direction, Route};

const ACCEPTED: i128 = 0x24;
const REJECTED: i128 = 0x25;

/// The address of the raw writer's links.
const ADDRESS: &str = "a/b";

/// So many lists, each in the one before.
fn nested(levels: usize) -> Vec<u8> {
    // From the inside: a level is a size, a count and what is in it.
    let whole = 9 * levels;
    let levels = (1..=levels).map(|level| {
        let size = (whole - 9 * level + 4) as u32;
        [&[0xD0][..], &size.to_be_bytes(), &u32::from(9 * level < whole).to_be_bytes()].concat()
    });
    levels.flatten().collect()
}

fn text(text: &str) -> Vec<u8> {
    raw::described(0x77, &raw::string(text))
}

/// Legal messages that a client library may not be able to read, or to write as they were.
fn odd() -> Vec<Vec<u8>> {
    let list = raw::list(&[raw::TRUE, &raw::string("x")]);
    let body = raw::message(b"x");
    let with = |code: u8, pairs: &[&[u8]]| raw::described(code, &raw::map(pairs));
    let empty_array = raw::hex("e0 02 00 40");
    let described_items = raw::hex("e0 0a 02 00 a3 01 78 a1 01 61 01 62");
    vec![
        [with(0x74, &[&raw::string("list"), &list]), body.clone()].concat(),
        [with(0x74, &[&raw::string("map"), &raw::map(&[&raw::string("k"), raw::NULL])]), body.clone()].concat(),
        raw::described(0x77, &empty_array),
        raw::described(0x77, &described_items),
        [with(0x72, &[&raw::symbol("x-opt-own"), &empty_array]), body.clone()].concat(),
        [body.clone(), with(0x78, &[&raw::symbol("f"), &described_items])].concat(),
        [raw::message(b""), raw::message(b"two"), raw::message(b"")].concat(),
        [raw::described(0x76, &list), raw::described(0x76, &raw::list(&[]))].concat(),
        // Described twice, the long way; a body of many parts.
        raw::described(0x77, &raw::described(0x99, &raw::described(0x98, raw::TRUE))),
        raw::message(&vec![0x53; 300_000]),
    ]
}

/// A receiving client of a broker of ours.
fn receiver(broker: &Broker) -> Peer {
    let mut peer = Peer::begun(broker.at("amqp"));
    peer.send(&raw::attach_receiver("receiver", 0, (0, 0)));
    peer.find(0x12);
    peer.send(&raw::flow(0, 2048, Some((0, 0, 1000, false, false))));
    peer
}

/// The address in the properties, which stand behind header and message annotations.
fn to_of(message: &[u8]) -> Option<String> {
    let (_, behind) = Value::read(message);
    let (_, behind) = Value::read(behind);
    behind.starts_with(&[0x00, 0x53, 0x73]).then(|| Value::read(behind).0.field(2).text().to_owned())
}

fn assert_same(came: &[u8], sent: &[u8], at: usize) {
    // Message annotations are written anew, with the mark.
    let behind = if at == 4 { raw::message(b"x") } else { sent.to_vec() };
    assert!(
        came.ends_with(&behind),
        "{at}: {:02x?} of {:02x?}",
        &came[..came.len().min(200)],
        &sent[..sent.len().min(99)]
    );
    if at == 4 {
        assert!(came.windows(9).any(|window| window == b"x-opt-own"), "{came:02x?}");
    }
}

#[test]
fn what_goes_too_deep_is_rejected_with_words_and_the_route_goes_on() {
    let foreign = Foreign::start();
    let Some(here) = with(vec![bridge("b", &foreign.url(), &[route(Direction::In, ADDRESS)])]) else { return };
    let mut subscriber = connect(V5).at(here.address()).open();
    subscriber.subscribe(ADDRESS, 1);
    let mut peer = foreign.sends();
    let annotations = raw::described(0x72, &raw::map(&[&raw::symbol("x-opt-deep"), &nested(5000)]));
    let messages = [
        text("before"),
        raw::described(0x77, &nested(5000)),
        [annotations, text("deep above")].concat(),
        raw::hex("00 53 77 ff"),
        text("behind"),
    ];
    for (id, message) in messages.iter().enumerate() {
        foreign::give(&mut peer, id as u32, message, 20_000);
    }
    let outcomes = foreign::outcomes(&mut peer, messages.len());
    for (at, (code, words)) in outcomes.iter().enumerate() {
        assert_eq!(*code, if [1, 2, 3].contains(&at) { REJECTED } else { ACCEPTED }, "{at}: {words}");
        assert!(![1, 2].contains(&at) || words.contains("too deep"), "{words}");
    }
    subscriber.expect(ADDRESS, "before", 0);
    subscriber.expect(ADDRESS, "behind", 0);
    let bridge = standing(&here, "b");
    assert_eq!((&bridge["refused"], &bridge["connections"]), (&3.into(), &1.into()), "{bridge}");
}

#[test]
fn a_frame_that_goes_too_deep_ends_the_connection_with_words() {
    let foreign = Foreign::start();
    let Some(here) = with(vec![bridge("b", &foreign.url(), &[route(Direction::In, ADDRESS)])]) else { return };
    let mut peer = foreign.sends();
    let properties = raw::map(&[&raw::symbol("deep"), &nested(5000)]);
    let flow: [&[u8]; 11] = [
        &raw::uint(0),
        &raw::uint(1),
        &raw::uint(0),
        &raw::uint(1),
        raw::NULL,
        raw::NULL,
        raw::NULL,
        raw::NULL,
        raw::FALSE,
        raw::FALSE,
        &properties,
    ];
    peer.send(&raw::frame(0, &raw::performative(0x13, &flow)));
    until(&here, "b", |bridge| bridge["last_error"].as_str().is_some_and(|error| error.contains("too deep")));
    // It comes back.
    let _peer = foreign.sends();
    until_up(&here, "b");
}

#[test]
fn what_comes_in_is_taken_as_it_is_encoded() {
    let foreign = Foreign::start();
    let Some(here) = with(vec![bridge("b", &foreign.url(), &[route(Direction::In, ADDRESS)])]) else { return };
    let mut receiver = receiver(&here);
    let mut peer = foreign.sends();
    let messages = odd();
    for (id, message) in messages.iter().enumerate() {
        foreign::give(&mut peer, id as u32, message, 100_000);
    }
    for (at, (code, words)) in foreign::outcomes(&mut peer, messages.len()).iter().enumerate() {
        assert_eq!(*code, ACCEPTED, "{at}: {words}");
    }
    for (at, sent) in messages.iter().enumerate() {
        assert_same(&foreign::take(&mut receiver), sent, at);
    }
}

#[test]
fn what_goes_out_leaves_as_it_is_encoded() {
    for remote in ["", "there"] {
        let foreign = Foreign::start();
        let way = Route { remote: remote.into(), ..route(Direction::Out, ADDRESS) };
        let Some(here) = with(vec![bridge("b", &foreign.url(), &[way])]) else { return };
        let mut peer = foreign.receives();
        let mut publisher = Peer::sending(here.at("amqp"), "publisher", (0, 0));
        let messages = odd();
        for (id, message) in messages.iter().enumerate() {
            foreign::give(&mut publisher, id as u32, message, 60_000);
        }
        for (at, (code, words)) in foreign::outcomes(&mut publisher, messages.len()).iter().enumerate() {
            assert_eq!(*code, ACCEPTED, "{at}: {words}");
        }
        for (at, sent) in messages.iter().enumerate() {
            let came = foreign::take(&mut peer);
            assert_same(&came, sent, at);
            let to = to_of(&came);
            assert_eq!(to, remote.is_empty().then(|| ADDRESS.to_owned()), "{at}");
        }
        until(&here, "b", |bridge| bridge["sent"] == messages.len() as u64);
    }
}

#[test]
fn what_another_broker_brings_back_goes_no_further() {
    let foreign = Foreign::start();
    let Some(here) = with(vec![bridge("b", &foreign.url(), &[route(Direction::Out, ADDRESS)])]) else { return };
    let mut peer = foreign.receives();
    let mut publisher = Peer::sending(here.at("amqp"), "publisher", (0, 0));
    foreign::give(&mut publisher, 0, &text("round"), 1000);
    let came = foreign::take(&mut peer);
    // As a shovel does, or a link route.
    foreign::give(&mut publisher, 1, &came, 1000);
    until(&here, "b", |bridge| bridge["looped"] == 1);
    foreign::give(&mut publisher, 2, &text("next"), 1000);
    assert!(foreign::take(&mut peer).ends_with(&text("next")));
}

#[test]
fn a_topic_is_known_without_an_address_in_the_message() {
    let Some(there) = Broker::start() else { return };
    let url = format!("amqp://{}", there.at("amqp"));
    let Some(here) = with(vec![bridge("b", &url, &[route(Direction::In, "a/#")])]) else { return };
    until_up(&here, "b");
    let mut subscriber = connect(V5).at(here.address()).open();
    subscriber.subscribe("#", 1);
    let mut publisher = Peer::sending(there.at("amqp"), "publisher", (0, 0));
    let to = |to: &str| raw::described(0x73, &raw::list(&[raw::NULL, raw::NULL, &raw::string(to)]));
    let durable = raw::described(0x70, &raw::list(&[raw::TRUE]));
    for (id, head) in [Vec::new(), to("a/other"), to("elsewhere")].into_iter().enumerate() {
        let message = [durable.clone(), head, text(&id.to_string())].concat();
        foreign::give(&mut publisher, id as u32, &message, 1000);
        subscriber.expect(ADDRESS, &id.to_string(), 1);
    }
    subscriber.expect_nothing();
    assert_eq!(standing(&here, "b")["refused"], 0);
}
