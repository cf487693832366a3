//! What crosses an AMQP bridge is never of a higher quality of service, for MQTT's subscribers behind it, than it was published
//! at or its route carries.

use super::foreign::{self, Foreign};
use super::relay::Relay;
use super::rig::*;
use crate::amqp::peer::Peer;
use crate::amqp::raw;
use crate::amqp::value::Value;
use crate::harness::*;
use host::bridge::{Direction, Route};

/// The address of the raw writer's links.
const ADDRESS: &str = "a/b";

/// Of a message: whether it is durable, and the QoS that it says.
fn told(message: &[u8]) -> (bool, Option<i128>) {
    let sections = Value::sections(message);
    let find = |code| sections.iter().find(|section| section.code() == code).cloned().unwrap_or(Value::Null);
    let level = match find(0x72) {
        Value::Described(_, map) => match map.get("x-opt-mqtt-qos") {
            Value::Number(level) => Some(*level),
            _ => None,
        },
        _ => None,
    };
    (*find(0x70).field(0) == Value::Bool(true), level)
}

#[test]
fn a_route_out_over_amqp_heeds_its_qos() {
    for most in [0u8, 1, 2] {
        let foreign = Foreign::start();
        let way = Route { qos: most, remote: "there".into(), ..route(Direction::Out, ADDRESS) };
        let Some(here) = with(vec![bridge("b", &foreign.url(), &[way])]) else { return };
        let mut peer = foreign.receives();
        until_up(&here, "b");
        let mut next = |published: i128, what: &str| {
            let (_, message) = foreign::next(&mut peer);
            let (durable, level) = told(&message);
            let effective = level.unwrap_or(durable.into());
            assert_eq!((effective, durable), (published.min(most.into()), published > 0), "{what} over {most}");
        };
        let mut mqtt = connect(V5).at(here.address()).open();
        for qos in [0, 1, 2] {
            mqtt.say(ADDRESS, "by mqtt", qos);
            next(qos.into(), "MQTT");
        }
        let mut publisher = Peer::sending(here.at("amqp"), "publisher", (0, 0));
        let header = |durable: bool| raw::described(0x70, &raw::list(&[if durable { raw::TRUE } else { raw::FALSE }]));
        let says = |level: u8| raw::described(0x72, &raw::map(&[&raw::symbol("x-opt-mqtt-qos"), &raw::ubyte(level)]));
        let messages =
            [(0, [header(false), Vec::new()]), (1, [header(true), Vec::new()]), (2, [header(true), says(2)])];
        for (id, (published, head)) in (0..).zip(messages) {
            let message = [&head.concat()[..], &raw::message(b"by amqp")].concat();
            foreign::give(&mut publisher, id, &message, 1000);
            next(published, "AMQP");
        }
        until(&here, "b", |bridge| bridge["sent"].as_u64() >= Some(1) || most > 0);
    }
}

/// After a restart, too, the session behind a route is none of a client's, which would keep no QoS 0 message for one who is away.
#[test]
fn what_waits_for_the_other_side_waits_after_a_restart_as_before() {
    for restarts in [false, true] {
        let Some(there) = Broker::start() else { return };
        let relay = Relay::to(there.at("amqp"));
        let url = format!("amqp://{}", relay.address());
        let Some(here) = with(vec![bridge("b", &url, &[route(Direction::Out, "q/#")])]) else { return };
        until_up(&here, "b");
        let mut far = connect(V5).at(there.address()).open();
        far.subscribe("q/#", 2);
        relay.cut();
        until(&here, "b", |bridge| bridge["state"] != "connected");
        let here = if restarts { here.restart() } else { here };
        let mut near = connect(V5).at(here.address()).open();
        for qos in [0, 1, 2] {
            near.say("q/x", &qos.to_string(), qos);
        }
        relay.open(there.at("amqp"));
        for qos in [0, 1, 2] {
            assert_eq!(far.take().text(), qos.to_string(), "restarts {restarts}");
        }
        until(&here, "b", |bridge| bridge["sent"] == 3 && bridge["waiting"] == 0);
    }
}
