//! Bridges over AMQP 1.0 to another broker of ours.

use super::relay::Relay;
use super::rig::*;
use crate::harness::*;
use host::bridge::{Direction, Route};
use std::collections::BTreeSet;
use std::net::SocketAddr;

fn amqp(address: SocketAddr) -> String {
    format!("amqp://{address}")
}

#[test]
fn topics_cross_both_ways_under_their_names_there() {
    let Some(there) = Broker::start() else { return };
    let prefixed = |direction, filter: &str| Route {
        local_prefix: "site/".into(),
        remote_prefix: "all/7/".into(),
        ..route(direction, filter)
    };
    let routes = [prefixed(Direction::Out, "up/#"), prefixed(Direction::In, "down/#")];
    let Some(here) = with(vec![bridge("b", &amqp(there.at("amqp")), &routes)]) else { return };
    until_up(&here, "b");
    let mut far = connect(V5).at(there.address()).open();
    far.subscribe("all/#", 2);
    let mut near = connect(V5).at(here.address()).open();
    near.subscribe("site/down/#", 2);
    for qos in [0, 1] {
        let message = Publish::new("site/up/a", "1", qos).with(Property::text(property::CONTENT_TYPE, "text/plain"));
        near.publish(&message);
        let came = far.expect("all/7/up/a", "1", qos);
        assert_eq!(came.properties.text(property::CONTENT_TYPE), Some("text/plain"));
        far.say("all/7/down/b", "2", qos);
        far.expect("all/7/down/b", "2", qos);
        near.expect("site/down/b", "2", qos);
    }
}

#[test]
fn what_goes_both_ways_does_not_go_round() {
    let Some(there) = Broker::start() else { return };
    let Some(here) = with(vec![bridge("b", &amqp(there.at("amqp")), &[route(Direction::Both, "x/#")])]) else { return };
    until_up(&here, "b");
    let mut far = connect(V5).at(there.address()).open();
    let mut near = connect(V5).at(here.address()).open();
    for client in [&mut far, &mut near] {
        client.subscribe("x/#", 1);
    }
    near.say("x/1", "out", 1);
    near.expect("x/1", "out", 1);
    far.expect("x/1", "out", 1);
    until(&here, "b", |bridge| bridge["looped"] == 1);
    far.say("x/1", "in", 1);
    far.expect("x/1", "in", 1);
    near.expect("x/1", "in", 1);
    near.expect_nothing();
    far.expect_nothing();
}

#[test]
fn a_queue_here_feeds_a_topic_there_and_a_queue_there_a_topic_here() {
    let Some(there) = Broker::start() else { return };
    let fixed = |direction, local: &str, remote: &str| Route {
        local: local.into(),
        remote: remote.into(),
        filter: String::new(),
        ..route(direction, "")
    };
    let routes = [fixed(Direction::Out, "/queues/jobs", "jobs/done"), fixed(Direction::In, "news", "/queues/news")];
    let Some(here) = with(vec![bridge("b", &amqp(there.at("amqp")), &routes)]) else { return };
    until_up(&here, "b");
    let mut far = connect(V5).at(there.address()).open();
    far.subscribe("jobs/#", 1);
    let mut near = connect(V5).at(here.address()).open();
    near.subscribe("news", 1);
    near.say("/queues/jobs", "7", 1);
    assert_eq!(far.take().text(), "7");
    far.say("/queues/news", "8", 1);
    assert_eq!(near.take().text(), "8");
}

#[test]
fn a_queue_that_a_bridge_fills_is_there_before_anybody_takes_from_it() {
    let Some(there) = Broker::start() else { return };
    let into = Route {
        local: "/queues/here".into(),
        remote: "/queues/there".into(),
        filter: String::new(),
        ..route(Direction::In, "")
    };
    let Some(here) = with(vec![bridge("b", &amqp(there.at("amqp")), &[into])]) else { return };
    until_up(&here, "b");
    let mut far = connect(V5).at(there.address()).open();
    far.say("/queues/there", "9", 1);
    until(&here, "b", |bridge| bridge["received"] == 1);
    let queues = here.admin().get("/api/v1/queues").expect(200).json();
    let queue = &queues["items"][0];
    assert_eq!((&queue["address"], &queue["waiting"]), (&"/queues/here".into(), &1.into()), "{queues}");
}

#[test]
fn nothing_is_lost_when_either_side_restarts() {
    let Some(mut there) = Broker::start() else { return };
    let relay = Relay::to(there.at("amqp"));
    let routes = [route(Direction::Out, "out/#"), route(Direction::In, "in/#")];
    let Some(mut here) = with(vec![bridge("b", &amqp(relay.address()), &routes)]) else { return };
    until_up(&here, "b");
    connect(V5).id("counts").kept().at(there.address()).open().subscribe("out/#", 1);
    connect(V5).id("counts").kept().at(here.address()).open().subscribe("in/#", 1);
    let say = |broker: &Broker, topic: &str, numbers: std::ops::Range<u32>| {
        let mut publisher = connect(V5).at(broker.address()).open();
        numbers.for_each(|number| publisher.say(topic, &number.to_string(), 1));
    };
    say(&here, "out/a", 0..50);
    say(&there, "in/a", 0..50);
    relay.cut();
    say(&here, "out/a", 50..100);
    say(&there, "in/a", 50..100);
    here = here.restart();
    relay.open(there.at("amqp"));
    say(&here, "out/a", 100..150);
    there = there.restart();
    relay.open(there.at("amqp"));
    say(&there, "in/a", 100..150);
    until_empty(&here, "b");
    for (broker, what) in [(&there, "out"), (&here, "in")] {
        let mut counter = connect(V5).id("counts").kept().at(broker.address()).resume();
        let mut seen = BTreeSet::new();
        while seen.len() < 150 {
            seen.insert(counter.take().text().parse::<u32>().expect(what));
        }
    }
}
