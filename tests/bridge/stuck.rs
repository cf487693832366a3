//! A full session, or a refused link, on either side of a bridge costs its own topic, or route, and nothing is lost by it.

use super::rig::*;
use crate::harness::*;
use host::bridge::{Direction, Route};
use serde_json::Value as Json;

/// Copies that wait for somebody who is away.
const FULL: usize = 20;

/// A broker whose queues are short, with a bridge to another one: `in/#` comes, `out/#` goes.
fn pair(by_amqp: bool, short_here: bool) -> Option<(Broker, Broker)> {
    let shorten = move |config: &mut host::config::Config| config.broker.queue_messages_max = FULL;
    let there = if short_here { Broker::start() } else { Broker::start_with(shorten) }?;
    let url = if by_amqp { format!("amqp://{}", there.at("amqp")) } else { mqtt(there.address()) };
    let routes = [Direction::In, Direction::Out].map(|direction| {
        let filter = if direction == Direction::In { "in/#" } else { "out/#" };
        Route { qos: 1, ..route(direction, filter) }
    });
    let settings = bridge("b", &url, &routes);
    let here = Broker::start_with(move |config| {
        config.bridges = vec![settings.clone()];
        if short_here {
            shorten(config);
        }
    })?;
    until_up(&here, "b");
    Some((here, there))
}

/// One of a bridge's routes, by direction.
fn of<'j>(bridge: &'j Json, direction: &str) -> &'j Json {
    let routes = bridge["routes"].as_array().expect("a list");
    let ours = |route: &&Json| route["name"].as_str().is_some_and(|name| name.starts_with(direction));
    routes.iter().find(ours).unwrap_or_else(|| panic!("no route {direction} in {bridge}"))
}

/// Fills the queue of somebody who is away at `to` with more than it takes, by way of `from`.
fn fill(from: &Broker, to: &Broker, topic: &str) {
    let mut absent = connect(V5).id("absent").kept().at(to.address()).open();
    absent.subscribe(topic, 1);
    // What comes first is not to be on its way to it any more.
    absent.disconnect();
    let mut publisher = connect(V5).at(from.address()).open();
    (0..FULL + 10).for_each(|number| publisher.say(topic, &number.to_string(), 1));
}

/// Takes what waited, all of it and in order.
fn take_all(to: &Broker) {
    let mut back = connect(V5).id("absent").kept().at(to.address()).resume();
    for number in 0..FULL + 10 {
        assert_eq!(back.take().text(), number.to_string());
    }
    back.expect_nothing();
}

#[test]
fn a_full_session_here_costs_its_own_topic_and_nothing_is_lost() {
    for by_amqp in [false, true] {
        let Some((here, there)) = pair(by_amqp, true) else { return };
        fill(&there, &here, "in/dead");
        until(&here, "b", |bridge| of(bridge, "in")["state"] == "stuck" && of(bridge, "in")["held"] == 10);
        let mut near = connect(V5).at(here.address()).open();
        near.subscribe("in/live", 1);
        let mut far = connect(V5).at(there.address()).open();
        far.subscribe("out/#", 1);
        for number in 0..5 {
            far.say("in/live", &number.to_string(), 1);
            near.expect("in/live", &number.to_string(), 1);
            near.say("out/x", &number.to_string(), 1);
            far.expect("out/x", &number.to_string(), 1);
        }
        let bridge = standing(&here, "b");
        assert_eq!((&bridge["state"], &bridge["connections"]), (&"connected".into(), &1.into()), "{bridge}");
        assert!(of(&bridge, "in")["reason"].as_str().is_some_and(|reason| !reason.is_empty()), "{bridge}");
        let metrics = here.admin().get("/metrics").expect(200);
        assert!(
            metrics.text().contains("pliant_bridge_route_held_messages{bridge=\"b\",route=\"in in/#\"} 10"),
            "{}",
            metrics.text()
        );
        take_all(&here);
        until(&here, "b", |bridge| of(bridge, "in")["state"] == "up" && of(bridge, "in")["held"] == 0);
    }
}

#[test]
fn a_full_session_there_does_not_end_the_connection_and_nothing_is_lost() {
    for by_amqp in [false, true] {
        let Some((here, there)) = pair(by_amqp, false) else { return };
        fill(&here, &there, "out/dead");
        until(&here, "b", |bridge| of(bridge, "out")["state"] == "stuck");
        let mut near = connect(V5).at(here.address()).open();
        near.subscribe("in/#", 1);
        let mut far = connect(V5).at(there.address()).open();
        far.subscribe("out/live", 1);
        far.say("in/x", "goes on", 1);
        near.expect("in/x", "goes on", 1);
        near.say("out/live", "goes on", 1);
        far.expect("out/live", "goes on", 1);
        let bridge = standing(&here, "b");
        assert_eq!((&bridge["state"], &bridge["connections"]), (&"connected".into(), &1.into()), "{bridge}");
        take_all(&there);
        until(&here, "b", |bridge| of(bridge, "out")["state"] == "up" && bridge["waiting"] == 0);
        assert_eq!(standing(&here, "b")["refused"], 0);
    }
}

#[test]
fn a_refused_link_costs_its_own_route() {
    let Some(there) = Broker::start() else { return };
    let bad = Route {
        local: "x".into(),
        // Of a service that is not there.
        remote: "$mqtt.nothing".into(),
        filter: String::new(),
        ..route(Direction::In, "")
    };
    let routes = [bad, route(Direction::In, "in/#"), route(Direction::Out, "out/#")];
    let Some(here) = with(vec![bridge("b", &format!("amqp://{}", there.at("amqp")), &routes)]) else { return };
    until_up(&here, "b");
    let mut near = connect(V5).at(here.address()).open();
    near.subscribe("in/#", 1);
    let mut far = connect(V5).at(there.address()).open();
    far.subscribe("out/#", 1);
    far.say("in/x", "1", 1);
    near.expect("in/x", "1", 1);
    near.say("out/x", "2", 1);
    far.expect("out/x", "2", 1);
    let bridge = standing(&here, "b");
    assert_eq!((&bridge["state"], &bridge["connections"]), (&"connected".into(), &1.into()), "{bridge}");
    let routes = bridge["routes"].as_array().expect("a list");
    let states: Vec<&str> = routes.iter().filter_map(|route| route["state"].as_str()).collect();
    assert_eq!(states, ["up", "broken", "up"]);
    assert!(routes[1]["reason"].as_str().is_some_and(|reason| reason.contains("$mqtt.nothing")), "{bridge}");
}
