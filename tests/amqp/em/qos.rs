//! QoS between the protocols, and exactly-once links that are cut: EM-20, EM-21.

use super::client::{ACCEPTED, Attached, Client, Link, Post, Said};
use super::publish_of;
use super::sessions::{subscribe, with_service};
use crate::amqp::raw;
use crate::amqp::{address, own};
use crate::harness::{self, V5, client, connect, unique};
use std::net::SocketAddr;

#[test]
fn em_20_the_lower_of_two_qos_holds_in_every_direction() {
    let Some(address) = address() else { return };
    let (id, topic) = (unique("em20"), unique("em20"));
    let mut amqp = with_service(address, &id);
    amqp.receiver("in", &publish_of(&id), 100);
    let mut publisher = connect(V5).open();
    for granted in 0..=2u8 {
        let name = format!("{topic}/{granted}");
        let mut mqtt = client(V5);
        mqtt.subscribe(&name, granted);
        subscribe(&mut amqp, &id, &[(&name, granted)]);
        amqp.sender(&name, &name);
        let second = format!("{name}-second");
        amqp.attach(&second, &name, true, &Link { settles: (0, 1), ..Link::default() }).expect("a link");
        for published in 0..=2u8 {
            let lower = published.min(granted);
            // From AMQP, by the annotation; QoS 2 on a link of its own, as in the design.
            let from = if published == 2 { &second } else { &name };
            let said = amqp.send(from, &Post::of(b"from amqp").qos(published).durable(published > 0));
            assert_eq!(said, Said::Accepted { settled: published < 2 });
            assert!(!mqtt.expect(&name, "from amqp", lower).retain);
            let got = amqp.take("in");
            assert_eq!((got.qos(), &got.payload[..], got.to()), (Some(lower.into()), &b"from amqp"[..], &name[..]));
            assert_eq!(got.header.field(0).is_true(), lower > 0, "durable");
            // From MQTT.
            publisher.say(&name, "from mqtt", published);
            mqtt.expect(&name, "from mqtt", lower);
            let got = amqp.take("in");
            assert_eq!((got.qos(), &got.payload[..], got.to()), (Some(lower.into()), &b"from mqtt"[..], &name[..]));
            assert_eq!(got.header.field(0).is_true(), lower > 0, "durable");
            assert!(!got.settled, "a delivery of the design is unsettled");
        }
        // A settled transfer is one that nobody answers.
        let (_, bytes) = amqp.transfer_bytes(&name, b"settled", true, &Post::of(b"settled").bytes());
        amqp.peer.send(&bytes);
        mqtt.expect(&name, "settled", 0);
        assert_eq!(amqp.take("in").qos(), Some(0));
    }
    amqp.expect_nothing();
}

/// What nobody was promised is not kept for a session that is away, in either protocol.
#[test]
fn at_most_once_is_not_kept_for_a_session_that_is_away() {
    let Some(address) = address() else { return };
    let (id, topic) = (unique("away"), unique("away"));
    let mut amqp = with_service(address, &id);
    subscribe(&mut amqp, &id, &[(&topic, 1)]);
    let mut publisher = connect(V5).open();
    publisher.say(&topic, "lost", 0);
    publisher.say(&topic, "kept", 1);
    amqp.receiver("in", &publish_of(&id), 10);
    assert_eq!(amqp.take("in").payload, b"kept");
    amqp.expect_nothing();
}

const TAG: &[u8] = b"tag";

fn remembers(state: Option<&[u8]>) -> Option<Vec<u8>> {
    Some(raw::map(&[&raw::binary(TAG), state.unwrap_or(raw::NULL)]))
}

/// A sending link of the same name and container each time.
fn attach(address: SocketAddr, id: &str, topic: &str, unsettled: Option<Vec<u8>>) -> (Client, Attached) {
    let mut client = Client::connect(address, id);
    let link = Link { settles: (0, 1), unsettled, ..Link::default() };
    let attached = client.attach("out", topic, true, &link).expect("a link");
    (client, attached)
}

fn transfer(client: &mut Client) -> u32 {
    let (id, bytes) = client.transfer_bytes("out", TAG, false, &Post::of(b"once").qos(2).durable(true).bytes());
    client.peer.send(&bytes);
    id
}

/// The sender has heard the outcome in an attach and settles: a transfer of no bytes that says so (2.6.13).
fn settle_resumed(client: &mut Client) {
    let delivery = client.new_delivery();
    let fields: [&[u8]; 10] = [
        &raw::uint(0),
        &raw::uint(delivery),
        &raw::binary(TAG),
        &raw::uint(0),
        raw::TRUE,
        raw::FALSE,
        raw::NULL,
        &raw::described(0x24, &raw::list(&[])),
        raw::TRUE,
        raw::FALSE,
    ];
    client.peer.send(&raw::frame(0, &raw::performative(0x14, &fields)));
    client.settled_inbox();
}

fn is_forgotten(address: SocketAddr, id: &str, topic: &str) {
    let (_, attached) = attach(address, id, topic, remembers(None));
    assert_eq!(attached.unsettled, []);
}

/// Towards the broker: cut before the transfer is whole, before its outcome, before it is settled, after that; and the third
/// over a restart of the broker.
#[test]
fn em_21_an_exactly_once_link_to_the_broker_is_cut_at_each_step_and_nothing_comes_twice() {
    let Some((broker, address)) = own() else { return };
    let mut mqtt = connect(V5).at(broker.address()).id("watcher").kept().open();
    mqtt.subscribe("once/#", 2);
    let known = vec![(TAG.to_vec(), true)];
    for step in 1..=4 {
        let (id, topic) = (format!("step-{step}"), format!("once/{step}"));
        let (mut client, _) = attach(address, &id, &topic, None);
        if step == 1 {
            client.send_half("out", TAG, &Post::of(b"once").qos(2));
            client.cut();
            let (mut client, attached) = attach(address, &id, &topic, remembers(None));
            assert_eq!(attached.unsettled, [], "half a message is none");
            let delivery = transfer(&mut client);
            assert_eq!(client.outcome("out", delivery), Said::Accepted { settled: false });
            client.peer.send(&raw::disposition(false, delivery, delivery, true, raw::ACCEPTED));
            client.settled_inbox();
            mqtt.expect(&topic, "once", 2);
            client.cut();
            is_forgotten(address, &id, &topic);
            continue;
        }
        let delivery = transfer(&mut client);
        mqtt.expect(&topic, "once", 2);
        if step > 2 {
            assert_eq!(client.outcome("out", delivery), Said::Accepted { settled: false });
        }
        if step == 4 {
            client.peer.send(&raw::disposition(false, delivery, delivery, true, raw::ACCEPTED));
            client.settled_inbox();
        }
        client.cut();
        if step == 4 {
            is_forgotten(address, &id, &topic);
            continue;
        }
        let state = if step == 3 { remembers(Some(raw::ACCEPTED)) } else { remembers(None) };
        let (mut client, attached) = attach(address, &id, &topic, state);
        assert_eq!(attached.unsettled, known, "step {step}");
        settle_resumed(&mut client);
        client.cut();
        is_forgotten(address, &id, &topic);
    }
    let (mut client, _) = attach(address, "restart", "once/restart", None);
    let delivery = transfer(&mut client);
    assert_eq!(client.outcome("out", delivery), Said::Accepted { settled: false });
    mqtt.expect("once/restart", "once", 2);
    mqtt.expect_nothing();
    mqtt.disconnect();
    let broker = broker.restart();
    let address = broker.at("amqp");
    let (mut client, attached) = attach(address, "restart", "once/restart", remembers(None));
    assert_eq!(attached.unsettled, known);
    settle_resumed(&mut client);
    client.cut();
    is_forgotten(address, "restart", "once/restart");
    connect(V5).at(broker.address()).id("watcher").kept().resume().expect_nothing();
}

/// From the broker: cut before the client has the message, before it says so, before the broker settles, after that.
#[test]
fn em_21_an_exactly_once_link_from_the_broker_is_cut_at_each_step_and_nothing_comes_twice() {
    let Some(address) = address() else { return };
    for step in 1..=4 {
        let (id, topic) = (unique("em21"), unique("em21"));
        let mut amqp = with_service(address, &id);
        subscribe(&mut amqp, &id, &[(&topic, 2)]);
        amqp.close();
        let mut publisher = connect(V5).open();
        publisher.say(&topic, "once", 2);
        let (mut amqp, attached) = receiving(address, &id, None);
        assert_eq!(attached.unsettled, []);
        let got = amqp.receive("in");
        assert_eq!((got.qos(), got.settled, &got.payload[..]), (Some(2), false, &b"once"[..]));
        match step {
            3 => amqp.accept(&got),
            4 => amqp.settle_second(&got),
            _ => {}
        }
        if step > 2 {
            amqp.settled_inbox();
        }
        amqp.cut();
        let held = |state: &[u8]| Some(raw::map(&[&raw::binary(&got.tag), state]));
        let unsettled = match step {
            2 => held(raw::NULL),
            3 => held(raw::ACCEPTED),
            _ => None,
        };
        let (mut amqp, attached) = receiving(address, &id, unsettled);
        let known: Vec<(Vec<u8>, bool)> = if step == 2 { vec![(got.tag.clone(), false)] } else { vec![] };
        assert_eq!(attached.unsettled, known, "step {step}");
        if step <= 2 {
            let again = amqp.receive("in");
            assert_eq!((again.tag.clone(), again.resume), (got.tag.clone(), step == 2));
            assert_eq!((again.delivery_count(), &again.payload[..]), (1, &b"once"[..]));
            amqp.settle_second(&again);
        }
        publisher.say(&topic, "next", 2);
        let next = amqp.receive("in");
        assert_eq!((&next.payload[..], next.delivery_count()), (&b"next"[..], 0));
        assert_ne!(next.tag, got.tag);
        amqp.settle_second(&next);
        amqp.expect_nothing();
    }
}

/// An outcome that a client remembers from before a restart means what it meant then, and not a later message.
#[test]
fn what_a_client_remembers_of_an_earlier_broker_harms_no_later_message() {
    let Some((broker, address)) = own() else { return };
    let mut amqp = with_service(address, "old");
    subscribe(&mut amqp, "old", &[("t", 2)]);
    amqp.close();
    let mut publisher = connect(V5).at(broker.address()).open();
    publisher.say("t", "one", 2);
    let (mut amqp, _) = receiving(address, "old", None);
    let got = amqp.receive("in");
    amqp.settle_second(&got);
    amqp.cut();
    drop(publisher);
    let broker = broker.restart();
    connect(V5).at(broker.address()).open().say("t", "two", 2);
    let unsettled = Some(raw::map(&[&raw::binary(&got.tag), raw::ACCEPTED]));
    let (mut amqp, _) = receiving(broker.at("amqp"), "old", unsettled);
    assert_eq!(amqp.receive("in").payload, b"two");
}

fn receiving(address: SocketAddr, id: &str, unsettled: Option<Vec<u8>>) -> (Client, Attached) {
    let mut amqp = Client::connect(address, id);
    let link = Link { settles: (0, 1), unsettled, ..Link::default() };
    let attached = amqp.attach("in", &publish_of(id), false, &link).expect("a link");
    let flow = amqp.flow_bytes("in", 10);
    amqp.peer.send(&flow);
    (amqp, attached)
}

/// Nobody is told of it.
#[test]
fn a_request_that_is_settled_is_carried_out() {
    let Some(address) = address() else { return };
    let (id, topic) = (unique("settled"), unique("settled"));
    let mut watcher = harness::client(V5);
    watcher.subscribe(&topic, 1);
    let mut amqp = Client::connect(address, &id);
    amqp.sender(&id, "$lwt");
    let (_, bytes) = amqp.transfer_bytes(&id, b"t", true, &Post::will(&topic, b"will", 1, false).bytes());
    amqp.peer.send(&bytes);
    assert_eq!(amqp.send(&id, &Post::will(&topic, b"again", 1, false)), ACCEPTED);
    amqp.cut();
    watcher.expect(&topic, "again", 1);
}

/// MQTT-3.8.4-8: what waits for a session gets to its client at the lower of two QoS, though AMQP's own receivers settle each
/// entry, and whichever way the client comes.
#[test]
fn what_came_while_a_session_was_held_by_amqp_has_its_own_qos_over_mqtt() {
    for restarts in [false, true] {
        let Some((mut broker, address)) = own() else { return };
        let mut amqp = with_service(address, "s");
        subscribe(&mut amqp, "s", &[("q/#", 2), ("one/#", 1)]);
        amqp.attach("second", "q/2", true, &Link { settles: (0, 1), ..Link::default() }).expect("a link");
        let sent = [("q/0", 0), ("q/1", 1), ("second", 2), ("one/0", 0), ("q/0", 0)];
        for (number, (node, qos)) in sent.into_iter().enumerate() {
            if node != "second" {
                amqp.sender(&format!("{node}-{number}"), node);
            }
            let link = if node == "second" { node.to_owned() } else { format!("{node}-{number}") };
            let said = amqp.send(&link, &Post::of(number.to_string().as_bytes()).qos(qos).durable(qos > 0));
            assert_eq!(said, Said::Accepted { settled: node != "second" });
        }
        // One that its AMQP receiver had, and gave back.
        amqp.receiver("in", &publish_of("s"), 1);
        assert_eq!(amqp.receive("in").payload, b"0");
        amqp.close();
        if restarts {
            broker = broker.restart();
        }
        let mut mqtt = connect(V5).at(broker.address()).id("s").kept().resume();
        for (number, (node, qos)) in sent.into_iter().enumerate() {
            let topic = if node == "second" { "q/2" } else { node };
            let got = mqtt.expect(topic, &number.to_string(), qos);
            assert!(qos > 0 || !got.duplicate, "MQTT-3.3.1-2");
        }
        mqtt.disconnect();
        connect(V5).at(broker.address()).id("s").kept().resume().expect_nothing();
    }
}
