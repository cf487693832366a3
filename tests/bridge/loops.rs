//! Messages do not go round, whatever the bridges.

use super::relay::Relay;
use super::rig::*;
use crate::harness::*;
use host::bridge::Direction;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};

#[test]
fn two_bridges_that_face_each_other_bring_nothing_back() {
    // Each side has a bridge that sends all to the other.
    let relay = Relay::closed();
    let Some(b) = with(vec![bridge("to-a", &mqtt(relay.address()), &[route(Direction::Out, "l/#")])]) else { return };
    let Some(a) = with(vec![bridge("to-b", &mqtt(b.address()), &[route(Direction::Out, "l/#")])]) else { return };
    relay.open(a.address());
    until_up(&a, "to-b");
    until_up(&b, "to-a");
    let mut at_a = connect(V5).at(a.address()).open();
    at_a.subscribe("l/#", 2);
    let mut at_b = connect(V5).at(b.address()).open();
    at_b.subscribe("l/#", 2);
    for qos in [0, 1, 2] {
        at_a.say("l/1", "round", qos);
        at_a.expect("l/1", "round", qos);
        at_b.expect("l/1", "round", qos);
    }
    until(&b, "to-a", |bridge| bridge["looped"] == 3 && bridge["waiting"] == 0);
    at_a.expect_nothing();
    at_b.expect_nothing();
}

#[test]
fn a_ring_of_three_brokers_ends_where_it_began() {
    let relay = Relay::closed();
    let out = [route(Direction::Out, "l/#")];
    let Some(c) = with(vec![bridge("on", &mqtt(relay.address()), &out)]) else { return };
    let Some(b) = with(vec![bridge("on", &mqtt(c.address()), &out)]) else { return };
    let Some(a) = with(vec![bridge("on", &mqtt(b.address()), &out)]) else { return };
    relay.open(a.address());
    for broker in [&a, &b, &c] {
        until_up(broker, "on");
    }
    let mut clients = [&a, &b, &c].map(|broker| connect(V5).at(broker.address()).open());
    for client in &mut clients {
        client.subscribe("l/#", 1);
    }
    clients[0].say("l/1", "round", 1);
    for client in &mut clients {
        client.expect("l/1", "round", 1);
    }
    until(&c, "on", |bridge| bridge["looped"] == 1);
    for client in &mut clients {
        client.expect_nothing();
    }
}

#[test]
fn two_brokers_that_fetch_from_each_other_do_not_go_round() {
    for by_amqp in [false, true] {
        let at = |broker: &Broker| if by_amqp { broker.at("amqp") } else { broker.address() };
        let url = |address| if by_amqp { format!("amqp://{address}") } else { mqtt(address) };
        let relay = Relay::closed();
        let fetches = [route(Direction::In, "l/#")];
        let Some(b) = with(vec![bridge("of-a", &url(relay.address()), &fetches)]) else { return };
        let Some(a) = with(vec![bridge("of-b", &url(at(&b)), &fetches)]) else { return };
        relay.open(at(&a));
        until_up(&a, "of-b");
        until_up(&b, "of-a");
        let mut at_b = connect(V5).at(b.address()).open();
        at_b.subscribe("l/#", 1);
        let mut at_a = connect(V5).at(a.address()).open();
        at_a.say("l/1", "round", 1);
        at_b.expect("l/1", "round", 1);
        // The bridge says whose broker it is that the message left.
        until(&b, "of-a", |bridge| bridge["received"] == 1 && bridge["looped"] == 0);
        until(&a, "of-b", |bridge| bridge["received"] == 0 && bridge["looped"] == 1);
        at_b.expect_nothing();
    }
}

#[test]
fn a_loop_over_both_protocols_ends_where_it_began() {
    // One sends by AMQP, the other by MQTT: the marks cross over with the messages.
    let relay = Relay::closed();
    let out = [route(Direction::Out, "l/#")];
    let Some(b) = with(vec![bridge("to-a", &mqtt(relay.address()), &out)]) else { return };
    let Some(a) = with(vec![bridge("to-b", &format!("amqp://{}", b.at("amqp")), &out)]) else { return };
    relay.open(a.address());
    until_up(&a, "to-b");
    until_up(&b, "to-a");
    let mut at_a = connect(V5).at(a.address()).open();
    let mut at_b = connect(V5).at(b.address()).open();
    for client in [&mut at_a, &mut at_b] {
        client.subscribe("l/#", 1);
    }
    at_a.say("l/1", "from a", 1);
    at_a.expect("l/1", "from a", 1);
    at_b.expect("l/1", "from a", 1);
    until(&b, "to-a", |bridge| bridge["looped"] == 1 && bridge["waiting"] == 0);
    at_b.say("l/1", "from b", 1);
    at_b.expect("l/1", "from b", 1);
    at_a.expect("l/1", "from b", 1);
    until(&a, "to-b", |bridge| bridge["looped"] == 1 && bridge["waiting"] == 0);
    at_a.expect_nothing();
    at_b.expect_nothing();
}

#[test]
fn a_broker_that_is_bridged_to_itself_comes_to_rest() {
    for by_amqp in [false, true] {
        let relay = Relay::closed();
        let url = if by_amqp { format!("amqp://{}", relay.address()) } else { mqtt(relay.address()) };
        let Some(own) = with(vec![bridge("self", &url, &[route(Direction::Both, "s/#")])]) else { return };
        relay.open(if by_amqp { own.at("amqp") } else { own.address() });
        until_up(&own, "self");
        let mut client = connect(V5).at(own.address()).open();
        client.subscribe("s/#", 1);
        client.say("s/1", "round", 1);
        client.expect("s/1", "round", 1);
        until(&own, "self", |bridge| bridge["looped"].as_u64() >= Some(2) && bridge["waiting"] == 0);
        // What went out, and what was fetched, came once.
        for _ in 0..2 {
            client.expect("s/1", "round", 1);
        }
        client.expect_nothing();
    }
}

/// A packet of the raw broker below, with its length before it.
fn packet(first: u8, body: &[u8]) -> Vec<u8> {
    [&[first, u8::try_from(body.len()).expect("a short packet")], body].concat()
}

/// A QoS 0 message of it.
fn says(topic: &str, payload: &str) -> Vec<u8> {
    let length = u16::try_from(topic.len()).expect("a short topic").to_be_bytes();
    packet(0x30, &[&length[..], topic.as_bytes(), &[0], payload.as_bytes()].concat())
}

/// What the session of a bridge kept comes before its first question is answered. By then the bridge does not know which broker it
/// comes from, and would bring it back there.
#[test]
fn what_comes_before_the_other_broker_has_said_who_it_is_bears_its_name_all_the_same() {
    let other = TcpListener::bind("127.0.0.1:0").expect("a port");
    let url = mqtt(other.local_addr().expect("it is bound"));
    let Some(here) = with(vec![bridge("b", &url, &[route(Direction::In, "l/#")])]) else { return };
    let mut client = connect(V5).at(here.address()).open();
    client.subscribe("l/#", 1);
    let (mut stream, _) = other.accept().expect("the bridge comes");
    let next = |stream: &mut TcpStream| -> Vec<u8> {
        let mut buffer = [0; 4096];
        let count = stream.read(&mut buffer).expect("it says something");
        buffer[..count].to_vec()
    };
    // CONNECT, which is answered with a session and what it kept; then SUBSCRIBE and PINGREQ, however they are cut.
    assert_eq!(next(&mut stream)[0], 0x10);
    stream.write_all(&[packet(0x20, &[1, 0, 0]), says("l/1", "kept")].concat()).expect("it listens");
    let mut asked = Vec::new();
    while !asked.ends_with(&[0xC0, 0]) {
        asked.extend(next(&mut stream));
    }
    assert_eq!(asked[0], 0x82);
    let node = says(&format!("$SYS/broker/{}", host::bridge::NODE_TOPIC), "other-node");
    let suback = packet(0x90, &[asked[2], asked[3], 0, 0, 0]);
    stream.write_all(&[node, suback, packet(0xD0, &[]), says("l/2", "live")].concat()).expect("it listens");
    for (topic, payload) in [("l/1", "kept"), ("l/2", "live")] {
        let came = client.expect(topic, payload, 0).properties;
        assert_eq!(came.user(), [(host::bridge::VIA, "other-node")], "{payload}");
    }
}
