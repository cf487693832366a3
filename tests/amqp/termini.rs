//! What a source or target asks for is done: outcomes, annotations, sharing, expiry, dynamic and anonymous nodes.

use super::link::{Terms, source_with, symbols};
use super::peer::Peer;
use super::raw::*;
use super::value::Value;
use super::{address, own};
use crate::harness::{Broker, Property, Publish, V5, connect, unique};

const ACCEPTED_CODE: i128 = 0x24;
const REJECTED: i128 = 0x25;

pub fn to(address: &str) -> Terms<'static> {
    Terms { node: Some(target(address)), ..Terms::default() }
}

fn from(address: &str) -> Terms<'static> {
    Terms { node: Some(source(address)), ..Terms::default() }
}

fn send(peer: &mut Peer, handle: u32, id: u32, text: &str) {
    peer.send(&transfer(handle, Some(id), Some(&id.to_be_bytes()), false, false, &message(text.as_bytes())));
    assert_eq!(peer.disposition().field(4).code(), ACCEPTED_CODE, "{text}");
}

/// 3.5.3: what is settled without a state has the default outcome of its source.
#[test]
fn a_delivery_settled_without_a_word_has_the_default_outcome() {
    let Some(address) = address() else { return };
    for (outcome, comes_again) in [(0x24, false), (0x25, false), (0x26, true), (0x27, true), (0, true)] {
        let node = format!("/queues/{}", unique("default"));
        let mut peer = Peer::begun(address);
        peer.sender("out", 0, &to(&node));
        send(&mut peer, 0, 0, "m");
        let encoded = performative(outcome, &[]);
        let encoded = (outcome != 0).then_some(&encoded[..]);
        let asked = source_with(&node, 0, "session-end", encoded, &[]);
        let answer = peer.receiver("in", 1, &Terms { node: Some(asked), ..Terms::default() });
        assert_eq!(answer.field(5).field(8).code(), i128::from(outcome), "the source as it is in force");
        let got = peer.delivery();
        peer.send(&disposition(true, got.id, got.id, true, NULL));
        if comes_again {
            let again = peer.delivery();
            assert_eq!(again.text(), "m", "{outcome:x}");
            peer.send(&disposition(true, again.id, again.id, true, ACCEPTED));
        } else {
            assert!(peer.is_drained(1, 1), "{outcome:x}");
        }
    }
}

/// Azure's clients name nodes so: what they send was taken for a topic of that name, and lost.
#[test]
fn a_url_is_the_node_of_its_path_and_is_answered_as_it_was_written() {
    let Some(address) = address() else { return };
    let name = unique("url");
    let (long, short) = (format!("amqps://host:5671//queues/{name}"), format!("amqps://host/queues/{name}"));
    let mut peer = Peer::begun(address);
    let answer = peer.sender("out", 0, &to(&long));
    assert_eq!(answer.field(6).field(0).text(), long);
    send(&mut peer, 0, 0, "first");
    peer.sender("anonymous", 1, &to(""));
    let says = described(0x73, &list(&[NULL, NULL, &string(&short)]));
    peer.send(&transfer(1, Some(1), Some(b"t"), false, false, &[&says[..], &message(b"second")].concat()));
    assert_eq!(peer.disposition().field(4).code(), ACCEPTED_CODE);
    let answer = peer.receiver("in", 2, &from(&short));
    assert_eq!(answer.field(5).field(0).text(), short);
    assert_eq!([peer.delivery().text(), peer.delivery().text()], ["first", "second"]);
    let answer = peer.receiver("topic", 3, &from(&format!("amqp://host/{name}/t")));
    assert_eq!(answer.field(5).field(0).text(), format!("amqp://host/{name}/t"));
    connect(V5).open().say(&format!("{name}/t"), "third", 0);
    assert_eq!(peer.delivery().text(), "third");
}

/// 3.4.5: annotations of `modified` are merged into the message's, the bare message stays as it is.
#[test]
fn what_a_receiver_notes_on_a_message_is_there_when_it_comes_again() {
    let Some(address) = address() else { return };
    let node = format!("/queues/{}", unique("noted"));
    let mut peer = Peer::begun(address);
    peer.sender("out", 0, &to(&node));
    let own = described(0x72, &map(&[&symbol("x-old"), &string("kept"), &symbol("x-both"), &string("before")]));
    let payload = [&own[..], &message(b"m")].concat();
    peer.send(&transfer(0, Some(0), Some(b"t"), false, false, &payload));
    peer.find(0x15);
    peer.receiver("in", 1, &from(&node));
    let mut got = peer.delivery();
    for (key, text) in [("x-both", "after"), ("x-new", "1"), ("x-new", "2")] {
        let notes = map(&[&symbol(key), &string(text)]);
        let modified = performative(0x27, &[TRUE, FALSE, &notes]);
        peer.send(&disposition(true, got.id, got.id, true, &modified));
        got = peer.delivery();
    }
    let annotations = got.section(0x72);
    let said = |key: &str| annotations.get(key).text().to_owned();
    assert_eq!((said("x-old"), said("x-both"), said("x-new")), ("kept".into(), "after".into(), "2".into()));
    assert_eq!(got.text(), "m");
    assert_eq!(got.section(0x70).field(4).number(), 3, "delivery-count");
    peer.send(&disposition(true, got.id, got.id, true, ACCEPTED));
}

/// A receiver that is not to get a message again does not, another one does.
#[test]
fn what_is_undeliverable_here_goes_elsewhere() {
    let Some(address) = address() else { return };
    let node = format!("/queues/{}", unique("elsewhere"));
    let mut peer = Peer::begun(address);
    peer.sender("out", 0, &to(&node));
    send(&mut peer, 0, 0, "m");
    peer.receiver("in", 1, &from(&node));
    let got = peer.delivery();
    peer.send(&disposition(true, got.id, got.id, true, &performative(0x27, &[FALSE, TRUE])));
    assert!(peer.is_drained(1, 1));
    let mut other = Peer::begun(address);
    other.receiver("in", 0, &from(&node));
    let again = other.delivery();
    assert_eq!(again.text(), "m");
    other.send(&disposition(true, again.id, again.id, true, ACCEPTED));
}

/// Capability `shared`: links of one name share what comes, `|` and what follows only tells them apart.
#[test]
fn a_shared_subscription_gives_each_message_to_one_and_outlives_them() {
    let Some((broker, address)) = own() else { return };
    for capabilities in [&["shared"][..], &["shared", "global"]] {
        let (node, name, container) = (unique("shared"), unique("sub"), unique("container"));
        let asked = || Terms { node: Some(source_with(&node, 2, "never", None, capabilities)), ..Terms::default() };
        let of =
            |number: usize| if capabilities.len() > 1 { format!("{container}{number}") } else { container.clone() };
        let mut one = Peer::of(address, &of(1));
        let mut two = Peer::of(address, &of(2));
        one.receiver(&name, 0, &asked());
        two.link(&format!("{name}|2"), 0, true, &asked());
        two.send(&flow(0, 2048, Some((0, 0, 1, false, false))));
        let mut out = Peer::begun(address);
        out.sender("out", 0, &to(&node));
        for id in 0..4 {
            send(&mut out, 0, id, &id.to_string());
        }
        let mut texts = vec![two.delivery().text()];
        texts.extend((0..3).map(|_| one.delivery().text()));
        texts.sort();
        assert_eq!(texts, ["0", "1", "2", "3"], "{capabilities:?}");
        // What they had and did not settle comes to whoever is next, and so does what comes meanwhile.
        for mut peer in [one, two] {
            peer.send(&detach(0, false));
            peer.find(0x16);
        }
        send(&mut out, 0, 4, "4");
        let mut next = Peer::of(address, &of(3));
        let answer = next.link(&format!("{name}|9"), 0, true, &asked());
        let Value::List(told) = answer.field(5).field(10) else { panic!("no capabilities: {answer:?}") };
        assert_eq!(told.len(), capabilities.len(), "{told:?}");
        next.send(&flow(0, 2048, Some((0, 0, 100, false, false))));
        let texts: Vec<String> = (0..5).map(|_| next.delivery().text()).collect();
        assert_eq!(texts, ["0", "1", "2", "3", "4"], "{capabilities:?}");
        // Another condition under the same name is another subscription, and that one is in use.
        let mut wrong = Peer::of(address, &of(4));
        let other = source_with(&unique("other"), 2, "never", None, capabilities);
        wrong.link(&name, 0, true, &Terms { node: Some(other), ..Terms::default() });
        assert_eq!(wrong.refusal(), "amqp:invalid-field");
    }
    drop(broker);
}

/// 2.6.3 and 2.6.12: a receiver that names no source finds what it left under the name of its link, and may end it.
#[test]
fn a_receiver_without_a_source_finds_its_subscription() {
    let Some(address) = address() else { return };
    let (node, name, container) = (unique("again"), unique("sub"), unique("container"));
    let mut peer = Peer::of(address, &container);
    peer.link(&name, 0, true, &Terms { node: Some(source_with(&node, 2, "never", None, &[])), ..Terms::default() });
    peer.send(&detach(0, false));
    peer.find(0x16);
    let mut out = Peer::begun(address);
    out.sender("out", 0, &to(&node));
    send(&mut out, 0, 0, "m");
    let answer = peer.receiver(&name, 0, &Terms::default());
    assert_eq!(answer.field(5).field(0).text(), node);
    assert_eq!(peer.delivery().text(), "m");
    peer.send(&detach(0, true));
    peer.find(0x16);
    // A15: there is none any more.
    let answer = peer.link(&name, 0, true, &Terms::default());
    assert_eq!(answer.field(5), &Value::Null);
    assert_eq!(peer.refusal(), "amqp:not-found");
}

/// A source with a condition on the colour of messages, that stays.
pub fn selecting(node: &str, selector: &str) -> Terms<'static> {
    let name = symbol("apache.org:selector-filter:string");
    let filter = [&[0x00][..], &name, &string(selector)].concat();
    let fields: [&[u8]; 8] =
        [&string(node), &uint(2), &symbol("never"), &uint(0), FALSE, NULL, NULL, &map(&[&symbol("s"), &filter])];
    Terms { node: Some(performative(0x28, &fields)), ..Terms::default() }
}

pub fn coloured(colour: &str) -> Vec<u8> {
    let properties = described(0x74, &map(&[&string("colour"), &string(colour)]));
    [&properties[..], &message(colour.as_bytes())].concat()
}

/// 3.5.3: the filter is part of the terminus that is kept, and the answer says which is in place.
#[test]
fn a_receiver_without_a_source_finds_the_condition_of_its_subscription() {
    let Some(address) = address() else { return };
    let (node, name, container) = (unique("again"), unique("sub"), unique("container"));
    let mut peer = Peer::of(address, &container);
    let asked = peer.link(&name, 0, true, &selecting(&node, "colour = 'red'"));
    peer.send(&detach(0, false));
    peer.find(0x16);
    let answer = peer.receiver(&name, 0, &Terms::default());
    assert_ne!(answer.field(5).field(7), &Value::Null);
    assert_eq!(answer.field(5).field(7), asked.field(5).field(7));
    let mut out = Peer::begun(address);
    out.sender("out", 0, &to(&node));
    for (id, colour) in [(0, "blue"), (1, "red")] {
        out.send(&transfer(0, Some(id), Some(&[1]), false, false, &coloured(colour)));
        out.find(0x15);
    }
    assert_eq!(peer.delivery().text(), "red");
    assert!(peer.is_drained(0, 1));
}

/// 3.5.3: a source's messages are those of its address. What waited for the subscription that had the name of the link before
/// is over with it.
#[test]
fn a_subscription_to_another_address_is_another_one() {
    let Some(address) = address() else { return };
    let (first, second, container) = (unique("first"), unique("second"), unique("container"));
    let mut peer = Peer::of(address, &container);
    let mut out = Peer::begun(address);
    for (handle, node) in [(0, &first), (1, &second)] {
        peer.link("sub", 0, true, &Terms { node: Some(source_with(node, 2, "never", None, &[])), ..Terms::default() });
        peer.send(&detach(0, false));
        peer.find(0x16);
        out.sender(node, handle, &to(node));
        send(&mut out, handle, handle, node);
    }
    peer.receiver("sub", 0, &Terms { node: Some(source_with(&second, 2, "never", None, &[])), ..Terms::default() });
    assert_eq!(peer.delivery().text(), second);
    assert!(peer.is_drained(0, 1));
}

/// A durable subscription that comes back with another address or condition is held to those.
#[test]
fn a_subscription_follows_what_its_receiver_wants_now() {
    let Some((broker, address)) = own() else { return };
    let (first, second, container) = (unique("first"), unique("second"), unique("container"));
    let mut peer = Peer::of(address, &container);
    peer.link("sub", 0, true, &selecting(&first, "colour = 'red'"));
    peer.send(&close());
    peer.find(0x18);
    let publish = |address, node: &str| {
        let mut out = Peer::begun(address);
        out.sender("out", 0, &to(node));
        for (id, colour) in ["red", "blue"].iter().enumerate() {
            let id = u32::try_from(id).expect("few");
            out.send(&transfer(0, Some(id), Some(&[1]), false, false, &coloured(colour)));
            out.find(0x15);
        }
    };
    // The condition is there again before its receiver is.
    let broker = broker.restart();
    let address = broker.at("amqp");
    publish(address, &first);
    let mut peer = Peer::of(address, &container);
    peer.receiver("sub", 0, &selecting(&first, "colour = 'red'"));
    assert_eq!(peer.delivery().text(), "red");
    assert!(peer.is_drained(0, 1));
    peer.send(&close());
    peer.find(0x18);
    let mut peer = Peer::of(address, &container);
    peer.receiver("sub", 0, &selecting(&second, "colour = 'blue'"));
    publish(address, &first);
    publish(address, &second);
    let got = peer.delivery();
    assert_eq!(got.text(), "blue");
    peer.send(&disposition(true, got.id, got.id, true, ACCEPTED));
    assert!(peer.is_drained(0, 1));
}

/// 3.5.8: what a receiver wants of a queue comes, however much of what it does not want stands before it, in memory or in the
/// store, and what it looks at is translated on the way; browsing is no different.
#[test]
fn what_a_receiver_selects_is_found_behind_a_long_queue() {
    let started = Broker::start_with(|config| config.broker.queue_resident_max = 64);
    let Some(broker) = started else { return };
    let node = format!("/queues/{}", unique("long"));
    let mut publisher = connect(V5).at(broker.address()).open();
    let mut fill = |count: u16, colour: &str| {
        let publish = Publish::new(&node, colour, 1).with(Property::user("colour", colour));
        for sent in (0..count).step_by(100) {
            let under_way: Vec<u16> = (sent..count.min(sent + 100)).map(|_| publisher.send_publish(&publish)).collect();
            under_way.into_iter().for_each(|id| drop(publisher.acked(0x40, id)));
        }
    };
    fill(1_500, "blue");
    let mut peer = Peer::of(broker.at("amqp"), "selects");
    peer.receiver("red", 0, &selecting(&node, "colour = 'red'"));
    for _ in 0..3 {
        fill(1, "red");
        let got = peer.delivery();
        assert_eq!(got.text(), "red");
        peer.send(&disposition(true, got.id, got.id, true, ACCEPTED));
        fill(200, "blue");
    }
    // All that is left is there for whoever wants it, in order.
    peer.send(&close());
    peer.find(0x18);
    let mut peer = Peer::of(broker.at("amqp"), "drains");
    peer.link("all", 0, true, &from(&node));
    peer.send(&flow(0, 4096, Some((0, 0, 2_100, false, false))));
    for _ in 0..2_100 {
        assert_eq!(peer.delivery().text(), "blue");
    }
}

/// An anonymous relay: each message says where to, and a queue is made on first use.
#[test]
fn a_message_to_a_queue_without_a_link_of_its_own_waits_there() {
    let Some(address) = address() else { return };
    let node = format!("/queues/{}", unique("relay"));
    let mut peer = Peer::begun(address);
    peer.sender("out", 0, &Terms { node: Some(performative(0x29, &[NULL])), ..Terms::default() });
    let properties = described(0x73, &list(&[NULL, NULL, &string(&node)]));
    peer.send(&transfer(0, Some(0), Some(b"a"), false, false, &[&properties[..], &message(b"m")].concat()));
    assert_eq!(peer.disposition().field(4).code(), ACCEPTED_CODE);
    peer.receiver("in", 1, &from(&node));
    assert_eq!(peer.delivery().text(), "m");
    // Without an address there is nothing to do with it.
    peer.send(&transfer(0, Some(1), Some(b"b"), false, false, &message(b"m")));
    assert_eq!(peer.disposition().field(4).code(), REJECTED);
}

/// AMQP JMS Mapping 1.0: `x-opt-jms-dest` says of what kind the address of a message is, where its link has no target that could
/// have the capability `queue`.
#[test]
fn a_message_that_says_that_it_is_for_a_queue_makes_it() {
    let Some(address) = address() else { return };
    let [queue, topic] = [unique("jms-queue"), unique("jms-topic")];
    let mut peer = Peer::begun(address);
    peer.sender("out", 0, &Terms { node: Some(performative(0x29, &[NULL])), ..Terms::default() });
    for (id, node) in [(0, &queue), (1, &topic)] {
        let kind = described(0x72, &map(&[&symbol("x-opt-jms-dest"), &[0x51, id]]));
        let properties = described(0x73, &list(&[NULL, NULL, &string(node)]));
        let all = [&kind[..], &properties, &message(node.as_bytes())].concat();
        peer.send(&transfer(0, Some(u32::from(id)), Some(&[id]), false, false, &all));
        assert_eq!(peer.disposition().field(4).code(), ACCEPTED_CODE);
    }
    let as_queue = |node: &str| {
        let fields: [&[u8]; 11] =
            [&string(node), NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, &symbol("queue")];
        Terms { node: Some(performative(0x28, &fields)), ..Terms::default() }
    };
    peer.receiver("in", 1, &as_queue(&queue));
    assert_eq!(peer.delivery().text(), queue);
    peer.receiver("other", 2, &as_queue(&topic));
    assert!(peer.is_drained(2, 0), "nobody was subscribed to the topic");
}

/// A dynamic node lives as long as its link, and is what it was made as, whoever takes it for a queue.
#[test]
fn a_dynamic_node_goes_with_its_link() {
    let Some(address) = address() else { return };
    let mut peer = Peer::begun(address);
    let dynamic = performative(0x28, &[NULL, NULL, NULL, NULL, TRUE]);
    let answer = peer.receiver("replies", 0, &Terms { node: Some(dynamic), ..Terms::default() });
    let node = answer.field(5).field(0).text().to_owned();
    let fields: [&[u8]; 7] = [&string(&node), NULL, NULL, NULL, NULL, NULL, &symbol("queue")];
    let asks_for_a_queue = Terms { node: Some(performative(0x29, &fields)), ..Terms::default() };
    let mut other = Peer::begun(address);
    other.sender("answers", 0, &asks_for_a_queue);
    send(&mut other, 0, 0, "one");
    assert_eq!(peer.delivery().text(), "one");
    peer.send(&detach(0, true));
    peer.find(0x16);
    // Nothing is kept for it.
    send(&mut other, 0, 1, "two");
    peer.receiver("late", 1, &from(&node));
    assert!(peer.is_drained(1, 0));
}

/// 3.5.3, 3.5.4: a dynamic node with the capability of a queue is one: what is sent waits, and goes to one receiver. It goes
/// with its link (3.5.10), and nothing more is taken for it.
#[test]
fn a_dynamic_node_that_is_to_be_a_queue_is_one() {
    let Some(address) = address() else { return };
    for (at_receiver, capability) in [(false, "temporary-queue"), (false, "queue"), (true, "temporary-queue")] {
        let mut owner = Peer::begun(address);
        let (code, place) = if at_receiver { (0x28, 10) } else { (0x29, 6) };
        let mut fields: Vec<&[u8]> = vec![NULL; place];
        let asked = symbols(&[capability, "temporary-topic"]);
        fields[4] = TRUE;
        fields.push(&asked);
        let terms = Terms { node: Some(performative(code, &fields)), ..Terms::default() };
        let answer = owner.link("node", 0, at_receiver, &terms);
        let own = answer.field(if at_receiver { 5 } else { 6 });
        assert_eq!(*own.field(place), Value::List(vec![Value::Text(capability.into())]), "it is no topic");
        let node = own.field(0).text().to_owned();
        let mut other = Peer::begun(address);
        other.sender("out", 0, &to(&node));
        send(&mut other, 0, 0, "one");
        send(&mut other, 0, 1, "two");
        let receivers = if at_receiver { vec![0] } else { vec![1, 2] };
        let peer = if at_receiver { &mut owner } else { &mut other };
        let mut got = Vec::new();
        for handle in receivers {
            if !at_receiver {
                peer.link(&format!("in{handle}"), handle, true, &from(&node));
            }
            let credit = if at_receiver { 2 } else { 1 };
            peer.send(&flow(0, 2048, Some((handle, 0, credit, false, false))));
            got.extend((0..credit).map(|_| peer.delivery().text()));
        }
        assert_eq!(got, ["one", "two"], "each goes to one of them");
        owner.send(&detach(0, true));
        owner.find(0x16);
        other.send(&transfer(0, Some(2), Some(b"late"), false, false, &message(b"late")));
        assert_eq!(other.disposition().field(4).field(0).field(0).text(), "amqp:not-found");
        let mut late = Peer::begun(address);
        late.link("late", 0, true, &from(&node));
        assert_eq!(late.refusal(), "amqp:not-found");
        // What only looks alike is a topic as any other.
        for (handle, topic) in [(1, format!("plant{node}")), (2, "/temporary/queues/7".to_owned())] {
            late.sender(&topic, handle, &to(&topic));
            send(&mut late, handle, handle, "to a topic");
        }
    }
}

/// 2.6.3: a target that cannot be had is answered with none, and the link ends: what is sent there settled would be gone
/// without a word.
#[test]
fn a_sender_to_what_is_no_address_is_refused() {
    let Some(address) = address() else { return };
    let (invalid, long) = ("amqp:invalid-field", "x".repeat(65_536));
    let wrong = [("a/+", invalid), ("#/a", invalid), ("a\0b", invalid), (&long, invalid)];
    for (name, why) in wrong.into_iter().chain([("$SYS/x", "amqp:unauthorized-access")]) {
        let mut peer = Peer::begun(address);
        let answer = peer.link("out", 0, false, &to(name));
        assert_eq!(answer.field(6), &Value::Null, "{name:.9}");
        assert_eq!(peer.refusal(), why, "{name:.9}");
        peer.send(&detach(0, true));
        peer.sender("next", 1, &to("a"));
    }
}

/// 3.5.3, 3.5.4: what a terminus is told to be capable of it is; other wishes are not said again.
#[test]
fn a_terminus_is_answered_with_the_capabilities_that_it_has() {
    let Some(address) = address() else { return };
    let (node, topic) = (format!("/queues/{}", unique("capable")), unique("capable"));
    let told = |asked: &[&str], address_of: &str, is_receiver: bool| {
        let fields: [&[u8]; 7] = [&string(address_of), NULL, NULL, NULL, NULL, NULL, &symbols(asked)];
        let node = match is_receiver {
            true => source_with(address_of, 0, "session-end", None, asked),
            false => performative(0x29, &fields),
        };
        let answer = Peer::begun(address).link("l", 0, is_receiver, &Terms { node: Some(node), ..Terms::default() });
        let field = if is_receiver { answer.field(5).field(10) } else { answer.field(6).field(6) };
        match field {
            Value::Null => Vec::new(),
            Value::List(all) => all.iter().map(|one| one.text().to_owned()).collect(),
            one => vec![one.text().to_owned()],
        }
    };
    for is_receiver in [false, true] {
        assert_eq!(told(&["queue", "weird"], &node, is_receiver), ["queue"]);
        assert_eq!(told(&["weird"], &node, is_receiver), [""; 0]);
        assert_eq!(told(&["topic", "weird"], &topic, is_receiver), ["topic"]);
        assert_eq!(told(&["topic"], &node, is_receiver), [""; 0], "it is a queue");
    }
    assert_eq!(told(&["shared", "global", "topic", "odd"], &topic, true), ["shared", "global", "topic"]);
    assert_eq!(told(&["shared"], &topic, false), [""; 0], "only subscriptions are");
}

/// Nobody else will ever have a dynamic node's address: a value kept there would stay for ever.
#[test]
fn nothing_is_retained_at_a_dynamic_node() {
    let Some(address) = address() else { return };
    let mut peer = Peer::begun(address);
    let dynamic = performative(0x28, &[NULL, NULL, NULL, NULL, TRUE]);
    let answer = peer.receiver("replies", 0, &Terms { node: Some(dynamic), ..Terms::default() });
    let node = answer.field(5).field(0).text().to_owned();
    let mut other = Peer::begun(address);
    other.sender("answers", 0, &to(&node));
    let kept = described(0x72, &map(&[&symbol("x-opt-retain-message"), TRUE]));
    other.send(&transfer(0, Some(0), Some(b"t"), false, false, &[&kept[..], &message(b"kept")].concat()));
    let said = other.disposition();
    assert_eq!((said.field(4).code(), said.field(4).field(0).field(0).text()), (REJECTED, "amqp:not-allowed"));
    send(&mut other, 0, 1, "live");
    assert_eq!(peer.delivery().text(), "live");
}

/// 2.6.3, 3.5.3: the operator's bound is told in the answer, and holds for who comes back, too.
#[test]
fn a_subscription_is_told_how_long_it_stays_and_stays_no_longer() {
    let Some(broker) = Broker::start_with(|config| config.broker.expiry_seconds_max = 100) else { return };
    let node = unique("bounded");
    for round in 0..3 {
        let mut peer = Peer::of(broker.at("amqp"), "bounded");
        let terms = Terms { node: Some(source_with(&node, 2, "never", None, &[])), ..Terms::default() };
        let told = peer.receiver("sub", 0, &terms).field(5).clone();
        assert_eq!((told.field(2).text(), told.field(3).number()), ("link-detach", 100), "{round}");
        peer.send(&detach(0, false));
        peer.find(0x16);
        let clients = broker.admin().get("/api/v1/clients").expect(200).json();
        let kept = &clients["items"][0];
        assert_eq!(kept["expiry_seconds"], 100, "{kept}");
    }
}

/// JMS 2.0 has both, and clients name their links `sub|global` and `sub|global-volatile1`.
#[test]
fn a_volatile_shared_subscription_leaves_the_durable_one_of_its_name_alone() {
    let Some((_broker, address)) = own() else { return };
    let (node, name) = (unique("both"), unique("sub"));
    let capabilities = ["shared", "global"];
    let durable = || Terms { node: Some(source_with(&node, 2, "never", None, &capabilities)), ..Terms::default() };
    let mut one = Peer::of(address, "one");
    one.link(&format!("{name}|global"), 0, true, &durable());
    one.send(&detach(0, false));
    one.find(0x16);
    let mut out = Peer::begun(address);
    out.sender("out", 0, &to(&node));
    send(&mut out, 0, 0, "kept");
    for node in [&node, &unique("other")] {
        let volatile =
            Terms { node: Some(source_with(node, 0, "link-detach", None, &capabilities)), ..Terms::default() };
        let mut two = Peer::of(address, "two");
        two.receiver(&format!("{name}|global-volatile1"), 0, &volatile);
        two.send(&detach(0, true));
        two.find(0x16);
    }
    let mut again = Peer::of(address, "three");
    again.receiver(&format!("{name}|global"), 0, &durable());
    assert_eq!(again.delivery().text(), "kept");
}
