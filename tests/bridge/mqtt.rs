//! Bridges over MQTT to another broker of ours: what crosses, under which name, and what a restart costs.

use super::relay::Relay;
use super::rig::*;
use crate::doors::rig::until as until_it_is;
use crate::harness::*;
use host::bridge::{Direction, MqttVersion, Route};
use std::collections::BTreeMap;

#[test]
fn messages_cross_both_ways_at_every_qos_and_do_not_come_back() {
    let Some(there) = Broker::start() else { return };
    let Some(here) = with(vec![bridge("b", &mqtt(there.address()), &[route(Direction::Both, "x/#")])]) else { return };
    until_up(&here, "b");
    for (from, to) in [(&here, &there), (&there, &here)] {
        let mut subscriber = connect(V5).at(to.address()).open();
        subscriber.subscribe("x/#", 2);
        let mut publisher = connect(V5).at(from.address()).open();
        publisher.subscribe("x/#", 2);
        for qos in [0, 1, 2] {
            let payload = format!("{qos}");
            publisher.say("x/1", &payload, qos);
            publisher.expect("x/1", &payload, qos);
            subscriber.expect("x/1", &payload, qos);
        }
        publisher.say("y", "does not cross", 1);
        publisher.say("x/2", "fence", 1);
        subscriber.expect("x/2", "fence", 1);
        publisher.expect("x/2", "fence", 1);
        publisher.expect_nothing();
    }
}

#[test]
fn every_property_crosses_with_the_name_of_the_broker_it_left() {
    let Some(there) = Broker::start() else { return };
    let Some(here) = with(vec![bridge("b", &mqtt(there.address()), &[route(Direction::Out, "p")])]) else { return };
    let mut subscriber = connect(V5).at(there.address()).open();
    subscriber.subscribe("p", 2);
    let message = Publish::new("p", "text", 1)
        .with(Property::Byte(property::PAYLOAD_FORMAT, 1))
        .with(Property::Four(property::MESSAGE_EXPIRY, 100))
        .with(Property::text(property::CONTENT_TYPE, "text/plain"))
        .with(Property::text(property::RESPONSE_TOPIC, "answers"))
        .with(Property::Binary(property::CORRELATION_DATA, b"7".to_vec()))
        .with(Property::user("a", "1"))
        .with(Property::user("a", "2"));
    connect(V5).at(here.address()).open().publish(&message);
    let came = subscriber.take().properties;
    let node = std::fs::read_to_string(here.data().join("node.id")).unwrap();
    assert_eq!(came.user(), [("a", "1"), ("a", "2"), (host::bridge::VIA, node.trim())]);
    assert_eq!(came.number(property::PAYLOAD_FORMAT), Some(1));
    assert_eq!(came.text(property::CONTENT_TYPE), Some("text/plain"));
    assert_eq!(came.text(property::RESPONSE_TOPIC), Some("answers"));
    assert_eq!(came.binary(property::CORRELATION_DATA), Some(&b"7"[..]));
    let left = came.number(property::MESSAGE_EXPIRY);
    assert!(left.is_some_and(|seconds| (1..=100).contains(&seconds)), "{left:?}");
}

/// Over MQTT nothing of QoS 0 is kept for who is away, a bridge neither (4.3.1).
#[test]
fn what_a_bridge_misses_at_qos_0_is_counted() {
    let Some(there) = Broker::start() else { return };
    let relay = Relay::to(there.address());
    let routes = [Route { qos: 0, ..route(Direction::Out, "low/#") }, route(Direction::Out, "high/#")];
    let Some(here) = with(vec![bridge("b", &mqtt(relay.address()), &routes)]) else { return };
    until_up(&here, "b");
    relay.cut();
    until(&here, "b", |bridge| bridge["state"] != "connected");
    let mut publisher = connect(V5).at(here.address()).open();
    for (topic, qos) in [("low/a", 0), ("low/b", 1), ("high/a", 0), ("high/b", 1), ("nobody", 0)] {
        publisher.say(topic, "x", qos);
    }
    let admin = here.admin();
    until_it_is("three of them are counted", || {
        admin.get("/metrics").expect(200).text().contains("\npliant_messages_dropped_total 3\n")
    });
    assert_eq!(standing(&here, "b")["waiting"], 1);
}

#[test]
fn prefixes_are_taken_off_and_put_on_both_ways() {
    let Some(there) = Broker::start() else { return };
    let prefixed = |direction, filter: &str| Route {
        local_prefix: "site/".into(),
        remote_prefix: "all/7/".into(),
        ..route(direction, filter)
    };
    let routes = [prefixed(Direction::Out, "up/#"), prefixed(Direction::In, "down/+")];
    let Some(here) = with(vec![bridge("b", &mqtt(there.address()), &routes)]) else { return };
    until_up(&here, "b");
    let mut far = connect(V5).at(there.address()).open();
    far.subscribe("#", 2);
    let mut near = connect(V5).at(here.address()).open();
    near.subscribe("#", 2);
    near.say("site/up/a/b", "1", 1);
    near.expect("site/up/a/b", "1", 1);
    far.expect("all/7/up/a/b", "1", 1);
    far.say("all/7/down/c", "2", 2);
    far.expect("all/7/down/c", "2", 2);
    near.expect("site/down/c", "2", 2);
    far.say("all/7/down/c/d", "no", 1);
    far.expect("all/7/down/c/d", "no", 1);
    near.expect_nothing();
}

#[test]
fn retained_messages_cross_as_such() {
    let Some(there) = Broker::start() else { return };
    let mut far = connect(V5).at(there.address()).open();
    far.publish(&Publish::new("down/kept", "before", 1).retained());
    let routes = [route(Direction::In, "down/#"), route(Direction::Out, "up/#")];
    let Some(here) = with(vec![bridge("b", &mqtt(there.address()), &routes)]) else { return };
    until(&here, "b", |bridge| bridge["received"] == 1);
    let mut near = connect(V5).at(here.address()).open();
    near.publish(&Publish::new("up/kept", "now", 1).retained());
    until(&here, "b", |bridge| bridge["sent"] == 1);
    far.subscribe("up/#", 1);
    assert!(far.expect("up/kept", "now", 1).retain);
    near.subscribe("down/#", 1);
    assert!(near.expect("down/kept", "before", 1).retain);
}

#[test]
fn a_bridge_speaks_3_1_1_too() {
    let Some(there) = Broker::start() else { return };
    let routes = [route(Direction::Out, "up/#"), route(Direction::In, "down/#")];
    let mut settings = bridge("old", &mqtt(there.address()), &routes);
    settings.version = Some(MqttVersion::V311);
    let Some(here) = with(vec![settings]) else { return };
    until_up(&here, "old");
    let mut far = connect(V311).at(there.address()).open();
    far.subscribe("up/#", 2);
    let mut near = connect(V5).at(here.address()).open();
    near.subscribe("down/#", 2);
    for qos in [0, 1, 2] {
        near.say("up/1", "x", qos);
        far.expect("up/1", "x", qos);
        far.say("down/1", "y", qos);
        near.expect("down/1", "y", qos);
    }
}

/// How often each number came, until the fence; at most once levels are left out of it.
fn count(subscriber: &mut Client, messages: u32) -> BTreeMap<(u8, u32), u32> {
    let mut seen = BTreeMap::new();
    let mut fences = 0;
    // One fence for each QoS: they may pass each other where one is sent again.
    while fences < 2 || seen.len() < messages as usize {
        let message = subscriber.take();
        if message.text() == "fence" {
            fences += 1;
        } else {
            *seen.entry((message.qos, message.text().parse().expect("a number"))).or_insert(0) += 1;
        }
    }
    seen
}

fn say_some(publisher: &mut Client, topic: &str, numbers: std::ops::Range<u32>) {
    for number in numbers {
        publisher.say(topic, &number.to_string(), (number % 2 + 1) as u8);
    }
}

#[track_caller]
fn assert_all(seen: &BTreeMap<(u8, u32), u32>, messages: u32) {
    for number in 0..messages {
        let qos = (number % 2 + 1) as u8;
        let times = seen.get(&(qos, number)).copied().unwrap_or(0);
        assert!(times >= 1, "{number} at QoS {qos} is lost");
        assert!(qos == 1 || times == 1, "{number} at QoS 2 came {times} times");
    }
}

#[test]
fn nothing_going_out_is_lost_or_doubled_when_either_side_restarts() {
    let Some(mut there) = Broker::start() else { return };
    let relay = Relay::to(there.address());
    let url = mqtt(relay.address());
    let Some(mut here) = with(vec![bridge("b", &url, &[route(Direction::Out, "n/#")])]) else { return };
    connect(V5).id("counts").kept().at(there.address()).open().subscribe("n/#", 2);
    say_some(&mut connect(V5).at(here.address()).open(), "n/a", 0..100);
    relay.cut();
    say_some(&mut connect(V5).at(here.address()).open(), "n/a", 100..200);
    here = here.restart();
    let mut publisher = connect(V5).at(here.address()).open();
    relay.open(there.address());
    say_some(&mut publisher, "n/a", 200..300);
    there = there.restart();
    relay.open(there.address());
    say_some(&mut publisher, "n/a", 300..400);
    relay.cut();
    relay.open(there.address());
    publisher.say("n/a", "fence", 1);
    publisher.say("n/a", "fence", 2);
    let mut counter = connect(V5).id("counts").kept().at(there.address()).resume();
    assert_all(&count(&mut counter, 400), 400);
    until_empty(&here, "b");
}

#[test]
fn nothing_coming_in_is_lost_or_doubled_when_either_side_restarts() {
    let Some(mut there) = Broker::start() else { return };
    let relay = Relay::to(there.address());
    let url = mqtt(relay.address());
    let Some(mut here) = with(vec![bridge("b", &url, &[route(Direction::In, "n/#")])]) else { return };
    until_up(&here, "b");
    connect(V5).id("counts").kept().at(here.address()).open().subscribe("n/#", 2);
    say_some(&mut connect(V5).at(there.address()).open(), "n/a", 0..100);
    relay.cut();
    say_some(&mut connect(V5).at(there.address()).open(), "n/a", 100..200);
    here = here.restart();
    relay.open(there.address());
    say_some(&mut connect(V5).at(there.address()).open(), "n/a", 200..300);
    there = there.restart();
    relay.open(there.address());
    let mut publisher = connect(V5).at(there.address()).open();
    say_some(&mut publisher, "n/a", 300..400);
    relay.cut();
    relay.open(there.address());
    publisher.say("n/a", "fence", 1);
    publisher.say("n/a", "fence", 2);
    let mut counter = connect(V5).id("counts").kept().at(here.address()).resume();
    assert_all(&count(&mut counter, 400), 400);
}

#[test]
fn what_is_published_before_the_first_connection_is_kept_for_it() {
    let Some(there) = Broker::start() else { return };
    let relay = Relay::to(there.address());
    relay.cut();
    let Some(here) = with(vec![bridge("b", &mqtt(relay.address()), &[route(Direction::Out, "n")])]) else { return };
    let mut subscriber = connect(V5).at(there.address()).open();
    subscriber.subscribe("n", 2);
    connect(V5).at(here.address()).open().say("n", "early", 1);
    until(&here, "b", |bridge| bridge["waiting"] == 1 && bridge["last_error"].is_string());
    relay.open(there.address());
    subscriber.expect("n", "early", 1);
    until_empty(&here, "b");
}
