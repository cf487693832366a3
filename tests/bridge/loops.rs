//! Messages do not go round, whatever the bridges.

use super::relay::Relay;
use super::rig::*;
use crate::harness::*;
use host::bridge::Direction;

#[test]
fn two_bridges_that_face_each_other_bring_nothing_back() {
    // Each side has a bridge that sends all to the other.
    let Some(first) = Broker::start() else { return };
    let relay = Relay::to(first.address());
    drop(first);
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
    let Some(first) = Broker::start() else { return };
    let relay = Relay::to(first.address());
    drop(first);
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
        let Some(first) = Broker::start() else { return };
        let at = |broker: &Broker| if by_amqp { broker.at("amqp") } else { broker.address() };
        let url = |address| if by_amqp { format!("amqp://{address}") } else { mqtt(address) };
        let relay = Relay::to(at(&first));
        drop(first);
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
    let Some(first) = Broker::start() else { return };
    let relay = Relay::to(first.address());
    drop(first);
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
        let Some(first) = Broker::start() else { return };
        let relay = Relay::to(first.address());
        drop(first);
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
