//! Links that come back with deliveries that are not settled (2.6.13), in both directions, over a lost connection and over a
//! restart of the broker; stealing, and how long a terminus stays (3.5.6).

use super::link::{Terms, resumed, source_with};
use super::own;
use super::peer::Peer;
use super::raw::*;
use super::value::Value;
use super::{Broker, address};
use crate::harness::{Process, unique};
use std::net::SocketAddr;

const SECOND: (u8, u8) = (0, 1);

fn sends_to(node: &str, unsettled: Option<Vec<u8>>) -> Terms<'static> {
    Terms { node: Some(target(node)), settles: SECOND, unsettled, ..Terms::default() }
}

fn receives(node: &str, unsettled: Option<Vec<u8>>) -> Terms<'static> {
    Terms { node: Some(source_with(node, 2, "never", None, &[])), settles: SECOND, unsettled, ..Terms::default() }
}

/// The tags in the unsettled map of an attach, with the number of their state; 0: none.
pub fn unsettled(attach: &Value) -> Vec<(Vec<u8>, i128)> {
    match attach.field(7) {
        Value::Null => Vec::new(),
        Value::Map(pairs) => pairs.iter().map(|(tag, state)| (tag.bytes().to_vec(), state.code())).collect(),
        other => panic!("{other:?} is no map"),
    }
}

/// Everything that waits in a queue, by whoever comes next.
pub fn waiting(address: SocketAddr, node: &str) -> Vec<String> {
    let mut peer = Peer::begun(address);
    peer.link("rest", 0, true, &Terms { node: Some(source(node)), ..Terms::default() });
    peer.send(&flow(0, 2048, Some((0, 0, 100, true, false))));
    let mut texts = Vec::new();
    loop {
        let body = peer.frame().expect("the broker hung up");
        match body[2] {
            0x14 => {
                let (head, payload) = Value::read(&body);
                let id = u32::try_from(head.field(1).number()).expect("an id");
                peer.send(&disposition(true, id, id, true, ACCEPTED));
                let Value::Described(_, data) = Value::sections(payload).pop().expect("a body") else {
                    panic!("no data")
                };
                texts.push(String::from_utf8_lossy(data.bytes()).into_owned());
            }
            0x13 if *Value::read(&body).0.field(4) != Value::Null => return texts,
            _ => {}
        }
    }
}

/// Cut before the answer, after the answer, with the sender's word, and after it: the message is there once.
#[test]
fn em21_a_sender_that_settles_second_is_cut_at_each_step_and_over_a_restart() {
    for (restarts, tag) in [(false, &b"tag"[..]), (true, b"tag"), (true, b"")] {
        let Some((mut broker, mut address)) = own() else { return };
        let (node, container) = (format!("/queues/{}", unique("second")), unique("container"));
        let text = message(b"once");
        let again = |broker: Broker| if restarts { broker.restart() } else { broker };
        let mut peer = Peer::of(address, &container);
        peer.sender("out", 0, &sends_to(&node, None));
        // Cut before its answer.
        peer.send(&transfer(0, Some(0), Some(tag), false, false, &text));
        drop(peer);
        broker = again(broker);
        address = broker.at("amqp");
        let mut peer = Peer::of(address, &container);
        let answer = peer.sender("out", 0, &sends_to(&node, Some(map(&[&binary(tag), NULL]))));
        if unsettled(&answer).is_empty() {
            // It never came, so it is sent anew.
            peer.send(&transfer(0, Some(0), Some(tag), false, false, &text));
            assert_eq!(peer.disposition().field(4).code(), 0x24);
        }
        // Cut after its answer.
        drop(peer);
        broker = again(broker);
        address = broker.at("amqp");
        let mut peer = Peer::of(address, &container);
        let answer = peer.sender("out", 0, &sends_to(&node, Some(map(&[&binary(tag), NULL]))));
        assert_eq!(unsettled(&answer), [(tag.to_vec(), 0x24)], "what the broker thinks of it");
        // Sent again as if the answer had been lost: it is answered, and not taken twice.
        peer.send(&resumed(0, 0, tag, false, NULL, false, &text));
        let said = peer.disposition();
        assert_eq!((said.field(4).code(), said.field(3)), (0x24, &Value::Bool(false)));
        // The sender knows; cut with its word.
        peer.send(&disposition(false, 0, 0, true, ACCEPTED));
        peer.send(&close());
        peer.find(0x18);
        broker = again(broker);
        address = broker.at("amqp");
        let mut peer = Peer::of(address, &container);
        let answer = peer.sender("out", 0, &sends_to(&node, Some(map(&[&binary(tag), ACCEPTED]))));
        assert_eq!(unsettled(&answer), []);
        peer.send(&close());
        peer.find(0x18);
        assert_eq!(waiting(address, &node), ["once"], "restarts: {restarts}");
    }
}

/// A sender that resumes only to settle or to abort says so with a transfer; what it forgot itself is forgotten, too.
#[test]
fn a_sender_that_comes_back_ends_what_it_left_open_in_each_way() {
    let Some(address) = address() else { return };
    let (node, container) = (format!("/queues/{}", unique("ends")), unique("container"));
    let tags: [&[u8]; 3] = [b"settled", b"aborted", b"forgotten"];
    let mut peer = Peer::of(address, &container);
    peer.sender("out", 0, &sends_to(&node, None));
    for (id, tag) in (0..).zip(tags) {
        peer.send(&transfer(0, Some(id), Some(tag), false, false, &message(tag)));
        peer.disposition();
    }
    drop(peer);
    let mut peer = Peer::of(address, &container);
    let map_of_two = map(&[&binary(tags[0]), NULL, &binary(tags[1]), NULL]);
    let answer = peer.sender("out", 0, &sends_to(&node, Some(map_of_two)));
    let mut known: Vec<Vec<u8>> = unsettled(&answer).into_iter().map(|(tag, _)| tag).collect();
    known.sort();
    assert_eq!(known, [b"aborted", b"settled"]);
    peer.send(&resumed(0, 0, tags[0], true, ACCEPTED, false, &[]));
    peer.send(&resumed(0, 1, tags[1], false, NULL, true, &[]));
    peer.send(&close());
    peer.find(0x18);
    let mut peer = Peer::of(address, &container);
    let all = map(&[&binary(tags[0]), NULL, &binary(tags[1]), NULL, &binary(tags[2]), NULL]);
    assert_eq!(unsettled(&peer.sender("out", 0, &sends_to(&node, Some(all)))), []);
    assert_eq!(waiting(address, &node), ["settled", "aborted", "forgotten"]);
}

/// Cut before its outcome, after it, and after it is settled: the receiver gets it once, under one tag.
#[test]
fn em22_a_receiver_that_settles_second_is_cut_at_each_step_and_over_a_restart() {
    for (restarts, of_queue) in [(false, false), (true, false), (true, true)] {
        let Some((mut broker, mut address)) = own() else { return };
        let (name, container) = (unique("node"), unique("container"));
        let node = if of_queue { format!("/queues/{name}") } else { name };
        let again = |broker: Broker| if restarts { broker.restart() } else { broker };
        let mut peer = Peer::of(address, &container);
        peer.receiver("in", 0, &receives(&node, None));
        peer.sender("out", 1, &Terms { node: Some(target(&node)), settles: SECOND, ..Terms::default() });
        peer.send(&transfer(1, Some(0), Some(b"t"), false, false, &message(b"once")));
        let first = peer.delivery();
        assert!(!first.resume && !first.settled);
        // Cut before its outcome: it comes again, and is known by its tag.
        drop(peer);
        broker = again(broker);
        address = broker.at("amqp");
        let mut peer = Peer::of(address, &container);
        let answer = peer.receiver("in", 0, &receives(&node, Some(map(&[&binary(&first.tag), NULL]))));
        assert_eq!(unsettled(&answer), [(first.tag.clone(), 0)]);
        let second = peer.delivery();
        assert_eq!((second.resume, &second.tag, &second.state), (true, &first.tag, &Value::Null));
        drop(peer);
        // It had a part of it: it comes from the beginning, and that is said.
        let mut peer = Peer::of(address, &container);
        let part = performative(0x23, &[&uint(0), &ulong(3)]);
        peer.receiver("in", 0, &receives(&node, Some(map(&[&binary(&first.tag), &part]))));
        let third = peer.delivery();
        assert_eq!((third.resume, third.state.code(), third.text().as_str()), (true, 0x23, "once"));
        // Cut after its outcome, before or after the broker has settled it.
        peer.send(&disposition(true, third.id, third.id, false, ACCEPTED));
        let settled = peer.find(0x15);
        assert_eq!(Value::read(&settled).0.field(3), &Value::Bool(true));
        drop(peer);
        broker = again(broker);
        address = broker.at("amqp");
        let mut peer = Peer::of(address, &container);
        let answer = peer.receiver("in", 0, &receives(&node, Some(map(&[&binary(&first.tag), ACCEPTED]))));
        assert_eq!(unsettled(&answer), []);
        assert!(peer.is_drained(0, 0), "restarts: {restarts}");
    }
}

/// The broker never heard the outcome that the receiver has in its map: the entry ends, and does not come again.
#[test]
fn an_outcome_that_was_lost_on_its_way_is_told_by_the_map() {
    let Some(address) = address() else { return };
    for (state, comes_again) in [(0x24, false), (0x25, false), (0x26, true)] {
        let (node, container) = (unique("lost"), unique("container"));
        let mut peer = Peer::of(address, &container);
        peer.receiver("in", 0, &receives(&node, None));
        peer.sender("out", 1, &Terms { node: Some(target(&node)), ..Terms::default() });
        peer.send(&transfer(1, Some(0), Some(b"t"), false, false, &message(b"m")));
        let got = peer.delivery();
        drop(peer);
        let mut peer = Peer::of(address, &container);
        let map = map(&[&binary(&got.tag), &performative(state, &[])]);
        let answer = peer.receiver("in", 0, &receives(&node, Some(map)));
        assert_eq!(unsettled(&answer), []);
        if comes_again {
            let again = peer.delivery();
            assert_eq!((again.resume, again.text().as_str()), (false, "m"));
        } else {
            assert!(peer.is_drained(0, 0), "{state:x}");
        }
    }
}

/// 2.6.1, 2.6.13: what a former connection still says comes too late. Its client has heard that it is unknown, and sends it
/// again.
#[test]
fn a_former_connection_publishes_nothing_more_on_an_exactly_once_link() {
    let Some((broker, address)) = own() else { return };
    let (node, container) = (format!("/queues/{}", unique("late")), unique("container"));
    let mut old = Peer::of(address, &container);
    old.sender("out", 0, &sends_to(&node, None));
    let mut new = Peer::of(address, &container);
    let answer = new.sender("out", 0, &sends_to(&node, Some(map(&[&binary(b"tag"), NULL]))));
    assert_eq!(unsettled(&answer), []);
    new.send(&transfer(0, Some(0), Some(b"tag"), false, false, &message(b"once")));
    assert_eq!(new.disposition().field(4).code(), 0x24);
    new.send(&disposition(false, 0, 0, true, ACCEPTED));
    old.send(&transfer(0, Some(0), Some(b"tag"), false, false, &message(b"once")));
    old.find(0x16);
    new.send(&close());
    new.find(0x18);
    assert_eq!(waiting(address, &node), ["once"]);
    drop(broker);
}

/// Found by the campaign of kills. 2.6.13: a delivery that its sender resumes only to settle it was taken before, also where
/// the broker has forgotten that, because its client came back once more before this was read.
#[test]
fn a_delivery_that_is_resumed_to_be_settled_is_never_taken_again() {
    let Some((broker, address)) = own() else { return };
    let (node, container) = (format!("/queues/{}", unique("settles")), unique("container"));
    let mut old = Peer::of(address, &container);
    old.sender("out", 0, &sends_to(&node, None));
    old.send(&transfer(0, Some(0), Some(b"tag"), false, false, &message(b"once")));
    assert_eq!(old.disposition().field(4).code(), 0x24);
    let mut new = Peer::of(address, &container);
    new.sender("out", 0, &sends_to(&node, None));
    old.send(&resumed(0, 1, b"tag", true, ACCEPTED, false, &message(b"once")));
    new.send(&resumed(0, 0, b"tag", true, ACCEPTED, false, &message(b"once")));
    for mut peer in [old, new] {
        peer.send(&close());
        peer.find(0x18);
    }
    assert_eq!(waiting(address, &node), ["once"]);
    drop(broker);
}

/// 2.6.12: a delivery-tag is unique among what either end could take for unsettled. A second delivery under it is no resumption of
/// the first: to acknowledge it would lose it.
#[test]
fn a_second_delivery_under_a_tag_that_is_not_settled_ends_its_link() {
    let Some((broker, address)) = own() else { return };
    let (node, container) = (format!("/queues/{}", unique("twice")), unique("container"));
    let mut peer = Peer::of(address, &container);
    peer.sender("out", 0, &sends_to(&node, None));
    peer.send(&transfer(0, Some(0), Some(b"tag"), false, false, &message(b"first")));
    assert_eq!(peer.disposition().field(4).code(), 0x24);
    peer.send(&disposition(false, 0, 0, true, ACCEPTED));
    assert_eq!(peer.disposition().field(1).number(), 0);
    peer.send(&transfer(0, Some(1), Some(b"tag"), false, false, &message(b"second")));
    assert_eq!(peer.disposition().field(1).number(), 1);
    peer.send(&transfer(0, Some(2), Some(b"tag"), false, false, &message(b"third")));
    assert_eq!(peer.refusal(), "amqp:not-allowed");
    peer.send(&close());
    peer.find(0x18);
    assert_eq!(waiting(address, &node), ["first", "second"]);
    drop(broker);
}

/// The same on a link to the anonymous terminus: what settles says no more where it was for.
#[test]
fn a_relay_stays_when_a_delivery_is_resumed_to_be_settled() {
    let Some(address) = address() else { return };
    let (node, container) = (format!("/queues/{}", unique("relay")), unique("container"));
    let relay = |unsettled| Terms { node: Some(performative(0x29, &[NULL])), ..sends_to("", unsettled) };
    let to = described(0x73, &list(&[NULL, NULL, &string(&node)]));
    let mut old = Peer::of(address, &container);
    old.sender("out", 0, &relay(None));
    old.send(&transfer(0, Some(0), Some(b"tag"), false, false, &[&to[..], &message(b"once")].concat()));
    assert_eq!(old.disposition().field(4).code(), 0x24);
    let mut new = Peer::of(address, &container);
    new.sender("out", 0, &relay(Some(map(&[&binary(b"tag"), ACCEPTED]))));
    new.send(&resumed(0, 0, b"tag", true, ACCEPTED, false, b""));
    new.send(&transfer(0, Some(1), Some(b"next"), false, false, &[&to[..], &message(b"next")].concat()));
    assert_eq!(new.disposition().field(4).code(), 0x24);
    assert_eq!(waiting(address, &node), ["once", "next"]);
}

/// 2.6.1: a link of the same name takes the other one's place, within a connection and from another one.
#[test]
fn a_link_is_stolen_with_what_it_had() {
    let Some(address) = address() else { return };
    let (node, container) = (unique("stolen"), unique("container"));
    let mut peer = Peer::of(address, &container);
    peer.receiver("in", 0, &receives(&node, None));
    peer.sender("out", 1, &Terms { node: Some(target(&node)), ..Terms::default() });
    peer.send(&transfer(1, Some(0), Some(b"t"), false, false, &message(b"m")));
    assert_eq!(peer.delivery().text(), "m");
    peer.send(&super::link::attach("in", 2, true, &receives(&node, None)));
    assert_eq!(peer.refusal(), "amqp:link:stolen");
    peer.find(0x12);
    peer.send(&detach(0, false));
    peer.send(&flow(0, 2048, Some((2, 0, 100, false, false))));
    assert_eq!(peer.delivery().text(), "m");
    let mut thief = Peer::of(address, &container);
    thief.receiver("in", 0, &receives(&node, None));
    assert_eq!(peer.refusal(), "amqp:link:stolen");
    assert_eq!(thief.delivery().text(), "m");
}

/// 2.6.1, 2.6.13: a consumer of a queue that comes back before the broker has noticed that it was gone gets again what it
/// remembers, and nobody else does.
#[test]
fn a_consumer_of_a_queue_resumes_beside_its_former_connection_and_others() {
    let Some(address) = address() else { return };
    let (node, container) = (format!("/queues/{}", unique("resumes")), unique("container"));
    let terms = |unsettled| Terms { node: Some(source(&node)), settles: SECOND, unsettled, ..Terms::default() };
    let mut former = Peer::of(address, &container);
    former.receiver("in", 0, &terms(None));
    let mut sender = Peer::begun(address);
    sender.sender("out", 0, &Terms { node: Some(target(&node)), ..Terms::default() });
    sender.send(&transfer(0, Some(0), Some(b"t"), false, false, &message(b"m")));
    let got = former.delivery();
    assert_eq!(got.text(), "m");
    let mut other = Peer::of(address, &unique("other"));
    other.receiver("in", 0, &terms(None));
    let mut back = Peer::of(address, &container);
    let answer = back.receiver("in", 0, &terms(Some(map(&[&binary(&got.tag), NULL]))));
    assert_eq!(unsettled(&answer), [(got.tag.clone(), 0)]);
    assert_eq!(former.refusal(), "amqp:link:stolen");
    let again = back.delivery();
    assert_eq!((again.text().as_str(), &again.tag), ("m", &got.tag));
    back.send(&disposition(true, again.id, again.id, true, ACCEPTED));
    assert_eq!(waiting(address, &node), [""; 0]);
}

/// 2.6.13: a link that goes on at another node has nothing there of what it had at the former one.
#[test]
fn what_a_link_had_of_one_node_says_nothing_of_another() {
    let Some(address) = address() else { return };
    for state in [ACCEPTED, NULL] {
        let container = unique("container");
        let (former, next) = (format!("/queues/{}", unique("former")), format!("/queues/{}", unique("next")));
        let mut sender = Peer::begun(address);
        for (handle, node) in [(0, &former), (1, &next)] {
            sender.sender(node, handle, &Terms { node: Some(target(node)), ..Terms::default() });
            let tag = handle.to_be_bytes();
            sender.send(&transfer(handle, Some(handle), Some(&tag), false, false, &message(node.as_bytes())));
            sender.find(0x15);
        }
        let terms =
            |node: &str, unsettled| Terms { node: Some(source(node)), settles: SECOND, unsettled, ..Terms::default() };
        let mut peer = Peer::of(address, &container);
        peer.receiver("in", 0, &terms(&former, None));
        let got = peer.delivery();
        drop(peer);
        let mut peer = Peer::of(address, &container);
        let answer = peer.receiver("in", 0, &terms(&next, Some(map(&[&binary(&got.tag), state]))));
        assert_eq!(unsettled(&answer), []);
        let other = peer.delivery();
        assert_eq!((other.resume, other.text(), other.tag == got.tag), (false, next.clone(), false));
        assert_eq!(waiting(address, &former), [former]);
    }
}

/// 2.7.5: who is sent a delivery as resumed that it does not have ignores it. What was resumed and given back is new.
#[test]
fn what_was_resumed_and_given_back_comes_again_as_a_new_delivery() {
    let Some(address) = address() else { return };
    let (node, container) = (unique("given"), unique("container"));
    let mut peer = Peer::of(address, &container);
    peer.receiver("in", 0, &receives(&node, None));
    peer.sender("out", 1, &Terms { node: Some(target(&node)), ..Terms::default() });
    peer.send(&transfer(1, Some(0), Some(b"t"), false, false, &message(b"m")));
    let got = peer.delivery();
    drop(peer);
    let mut peer = Peer::of(address, &container);
    let part = performative(0x23, &[&uint(0), &ulong(3)]);
    peer.receiver("in", 0, &receives(&node, Some(map(&[&binary(&got.tag), &part]))));
    let resumed = peer.delivery();
    assert!(resumed.resume && resumed.state.code() == 0x23);
    peer.send(&disposition(true, resumed.id, resumed.id, true, &performative(0x26, &[])));
    let again = peer.delivery();
    assert_eq!((again.resume, &again.state), (false, &Value::Null));
}

/// 2.6.13: an outcome that the map tells is worth as much as one of a disposition.
#[test]
fn an_outcome_in_the_map_does_what_it_says() {
    let Some((broker, address)) = own() else { return };
    let (node, container) = (format!("/queues/{}", unique("told")), unique("container"));
    let terms = |unsettled| Terms { node: Some(source(&node)), settles: SECOND, unsettled, ..Terms::default() };
    let mut sender = Peer::begun(address);
    sender.sender("out", 0, &Terms { node: Some(target(&node)), ..Terms::default() });
    for (id, text) in ["rejected", "elsewhere"].into_iter().enumerate() {
        let tag = [id as u8];
        sender.send(&transfer(0, Some(id as u32), Some(&tag), false, false, &message(text.as_bytes())));
        sender.find(0x15);
    }
    let mut peer = Peer::of(address, &container);
    peer.receiver("in", 0, &terms(None));
    let (rejected, elsewhere) = (peer.delivery(), peer.delivery());
    let mut peer = Peer::of(address, &container);
    let told = map(&[
        &binary(&rejected.tag),
        &performative(0x25, &[]),
        &binary(&elsewhere.tag),
        &performative(0x27, &[TRUE, TRUE]),
    ]);
    peer.receiver("in", 0, &terms(Some(told)));
    assert!(peer.is_drained(0, 0), "nothing is left for it");
    let mut other = Peer::begun(address);
    other.receiver("other", 0, &terms(None));
    let got = other.delivery();
    assert_eq!((got.text().as_str(), got.section(0x70).field(4).number()), ("elsewhere", 1));
    assert_eq!(waiting(address, "/queues/dead-letters"), ["rejected"]);
    drop(broker);
}

/// 2.7.3: whose map is not complete may have more than it says, and gets nothing new until it has said all.
#[test]
fn a_receiver_with_an_incomplete_map_is_sent_nothing_new() {
    let Some(address) = address() else { return };
    let (node, container) = (unique("incomplete"), unique("container"));
    let mut peer = Peer::of(address, &container);
    peer.receiver("in", 0, &receives(&node, None));
    let mut sender = Peer::begun(address);
    sender.sender("out", 0, &Terms { node: Some(target(&node)), ..Terms::default() });
    for id in 0..3 {
        sender.send(&transfer(0, Some(id), Some(&[id as u8]), false, false, &message(b"m")));
        sender.find(0x15);
    }
    let all: Vec<_> = (0..3).map(|_| peer.delivery()).collect();
    drop(peer);
    let mut peer = Peer::of(address, &container);
    let terms = receives(&node, Some(map(&[&binary(&all[1].tag), NULL])));
    peer.receiver("in", 0, &Terms { is_incomplete: true, ..terms });
    let resumed = peer.delivery();
    assert!(resumed.resume && resumed.tag == all[1].tag);
    assert!(peer.is_drained(0, 1), "nothing but what it has named");
    peer.send(&detach(0, false));
    let tags: Vec<Vec<u8>> = all.iter().map(|one| one.tag.clone()).collect();
    let known: Vec<Vec<u8>> = tags.iter().flat_map(|tag| [binary(tag), NULL.to_vec()]).collect();
    let known: Vec<&[u8]> = known.iter().map(Vec::as_slice).collect();
    peer.find(0x16);
    peer.link("in", 0, true, &receives(&node, Some(map(&known))));
    peer.send(&flow(1, 2048, Some((0, 0, 100, false, false))));
    for tag in tags {
        let got = peer.delivery();
        assert!(got.resume && got.tag == tag);
    }
}

/// 2.6.6: a link that is closed leaves nothing, and that is on disk when its client hears of it: a subscription, what
/// exactly-once publications are remembered by, and a will that is taken back.
#[test]
fn what_a_closed_link_had_is_gone_for_good_when_that_is_said() {
    let Some(mut broker) = Process::start() else { return };
    let container = unique("container");
    let mut peer = Peer::of(broker.amqp(), &container);
    peer.receiver("in", 0, &receives("node", None));
    peer.sender("out", 1, &sends_to("node", None));
    peer.send(&transfer(1, Some(0), Some(b"tag"), false, false, &message(b"m")));
    peer.find(0x15);
    for handle in 0..2 {
        peer.send(&detach(handle, true));
        peer.find(0x16);
    }
    broker = broker.kill_and_start();
    let mut peer = Peer::of(broker.amqp(), &container);
    assert_eq!(*peer.link("in", 0, true, &Terms::default()).field(5), Value::Null);
    let answer = peer.link("out", 1, false, &sends_to("node", Some(map(&[&binary(b"tag"), NULL]))));
    assert_eq!(unsettled(&answer), []);
}

/// 2.4.3: whoever closes a connection says why, also to a client that has no link, or only one to send on.
#[test]
fn clients_hear_that_the_broker_goes() {
    let Some((broker, address)) = own() else { return };
    let mut idle = Peer::begun(address);
    let mut sender = Peer::begun(address);
    sender.sender("out", 0, &Terms { node: Some(target("node")), ..Terms::default() });
    let broker = broker.restart();
    for peer in [&mut idle, &mut sender] {
        assert!(super::peer::says(&peer.until_closed(), "amqp:connection:forced"));
    }
    drop(broker);
}

/// 3.5.6: what a terminus survives.
#[test]
fn a_terminus_stays_as_long_as_its_policy_says() {
    let Some(address) = address() else { return };
    // Policy, whether it survives: a detach, the end of the session, the connection.
    for (policy, expected) in [
        ("link-detach", [false, false, false]),
        ("session-end", [true, false, false]),
        ("connection-close", [true, true, false]),
        ("never", [true, true, true]),
    ] {
        for (way, survives) in expected.into_iter().enumerate() {
            let (node, container) = (unique("stays"), unique("container"));
            let asked = || Terms { node: Some(source_with(&node, 2, policy, None, &[])), ..Terms::default() };
            let mut out = Peer::begun(address);
            out.sender("out", 0, &Terms { node: Some(target(&node)), ..Terms::default() });
            let mut peer = Peer::of(address, &container);
            peer.link("in", 0, true, &asked());
            match way {
                0 => {
                    peer.send(&detach(0, false));
                    peer.find(0x16);
                }
                1 => {
                    peer.send(&[end(0), begin(0)].concat());
                    peer.find(0x17);
                    peer.find(0x11);
                }
                _ => {
                    peer.send(&close());
                    peer.find(0x18);
                    peer = Peer::of(address, &container);
                }
            }
            out.send(&transfer(0, Some(0), Some(b"t"), false, false, &message(b"m")));
            out.find(0x15);
            peer.receiver("in", 0, &asked());
            assert_eq!(!peer.is_drained(0, 0), survives, "{policy}, way {way}");
        }
    }
}
