//! What another broker refuses for good costs that message only, and the log says which one it was.

use super::foreign::{self, Foreign};
use super::mosquitto::{self, Refusal};
use super::relay::Relay;
use super::rig::*;
use crate::amqp::peer::Peer;
use crate::amqp::raw;
use crate::doors::rig::until as until_it_is;
use crate::harness::*;
use host::bridge::{Direction, MqttVersion, Released, Route, Settings};

#[test]
fn a_reason_that_is_not_in_the_standards_table_is_an_answer_like_others() {
    for (reason, refused) in [(0x95, true), (0x87, true), (0xC3, false), (0x97, false)] {
        let there = mosquitto::start(1000, Refusal::Answer(reason));
        let Some(here) = with(vec![bridge("b", &mqtt(there), &[route(Direction::Out, "x/#")])]) else { return };
        until_up(&here, "b");
        let mut publisher = connect(V5).at(here.address()).open();
        let long = "l".repeat(2000);
        for qos in [1, 2] {
            publisher.say("x/before", "short", qos);
            publisher.say("x/long", &long, qos);
            publisher.say("x/behind", "short", qos);
        }
        if refused {
            until(&here, "b", |bridge| bridge["waiting"] == 0 && bridge["sent"] == 4 && bridge["refused"] == 2);
        } else {
            until(&here, "b", |bridge| bridge["sent"] == 4 && bridge["routes"][0]["state"] == "stuck");
        }
        let bridge = standing(&here, "b");
        assert_eq!((&bridge["state"], &bridge["connections"]), (&"connected".into(), &1.into()), "{bridge}");
    }
}

/// [MQTT-3.8.4-6]: who leaves codes out may have left anything out.
#[test]
fn an_answer_that_is_not_to_all_subscriptions_ends_the_connection() {
    for version in [MqttVersion::V5, MqttVersion::V311] {
        let there = mosquitto::start(1000, Refusal::Close);
        let routes = ["unanswered/#", "a/#"].map(|filter| route(Direction::In, filter));
        let settings = Settings { version: Some(version), ..bridge("b", &mqtt(there), &routes) };
        let Some(here) = with(vec![settings]) else { return };
        let says = |error: &str| error.contains("subscriptions with") && error.contains("codes");
        until(&here, "b", |bridge| {
            bridge["connections"].as_u64() >= Some(2) && bridge["last_error"].as_str().is_some_and(says)
        });
    }
}

#[test]
fn the_log_names_topic_and_route_of_what_is_refused_for_good() {
    let foreign = Foreign::start();
    let there = mosquitto::start(1000, Refusal::Answer(0x95));
    let settings = |name: &str, url: &str| {
        let routes = r#"routes=[{direction="out",filter="x/#",qos=1}]"#;
        [format!("url={url}"), routes.to_owned()].map(|setting| format!("bridge.{name}.{setting}"))
    };
    let settings = [settings("amqp", &foreign.url()), settings("mqtt", &mqtt(there))].concat();
    let settings: Vec<&str> = settings.iter().map(String::as_str).collect();
    let Some(here) = Process::start_with(&settings, None) else { return };
    let mut peer = foreign.receives();
    until_of(&here.admin(), "mqtt", |bridge| bridge["state"] == "connected");
    connect(V5).at(here.address()).open().say("x/long", &"l".repeat(2000), 1);
    let (id, _) = foreign::next(&mut peer);
    let error = raw::performative(0x1D, &[&raw::symbol("amqp:not-allowed"), &raw::string("never")]);
    peer.send(&raw::disposition(true, id, id, true, &raw::performative(0x25, &[&error])));
    for (name, words) in [("amqp", "amqp:not-allowed: never"), ("mqtt", "packet too large (0x95)")] {
        until_it_is(name, || {
            let log = here.log();
            let mut lines = log.lines().filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok());
            lines.any(|line| {
                line["bridge"] == name
                    && line["topic"] == "x/long"
                    && line["route"] == "out x/#"
                    && line["reason"].as_str().is_some_and(|reason| reason.contains(words))
            })
        });
    }
}

/// With 3.1.1 a broker has no other way (3.3.5), and of 5.0 some take it: the message comes first in each connection.
#[test]
fn a_message_over_which_the_connection_ends_each_time_does_not_keep_others_back() {
    let rows = [
        (MqttVersion::V5, Refusal::Disconnect(0x95), true),
        (MqttVersion::V5, Refusal::Disconnect(0x83), false),
        (MqttVersion::V5, Refusal::Close, false),
        (MqttVersion::V311, Refusal::Close, false),
    ];
    for (version, refusal, is_dropped) in rows {
        let there = mosquitto::start(1000, refusal);
        let settings = Settings {
            version: Some(version),
            retry_milliseconds_min: 10,
            retry_milliseconds_max: 60_000,
            ..bridge("b", &mqtt(there), &[route(Direction::Out, "x/#")])
        };
        let Some(here) = with(vec![settings]) else { return };
        until_up(&here, "b");
        let mut publisher = connect(V5).at(here.address()).open();
        let long = "l".repeat(2000);
        for number in 0..40 {
            publisher.say(&format!("x/{number}"), "short", 1 + number % 2);
            // More than one, so that the next is found while the first waits.
            if number % 16 == 8 {
                publisher.say(&format!("x/long/{number}"), &long, 1 + number / 16);
            }
        }
        if is_dropped {
            until(&here, "b", |bridge| bridge["waiting"] == 0 && bridge["refused"] == 2);
        } else {
            until(&here, "b", |bridge| bridge["waiting"] == 2 && bridge["routes"][0]["held"] == 2);
            let bridge = standing(&here, "b");
            assert_eq!((&bridge["refused"], &bridge["routes"][0]["state"]), (&0.into(), &"stuck".into()), "{bridge}");
            let reason = bridge["routes"][0]["reason"].as_str().unwrap_or_default();
            assert!(reason.contains("x/long/"), "{bridge}");
        }
    }
}

/// RabbitMQ releases what it has no queue for; without this a publisher to such a topic keeps all others back, for good.
#[test]
fn what_another_broker_releases_keeps_its_own_topic_back_or_is_dropped_as_the_route_says() {
    let released = raw::performative(0x26, &[]);
    for (what, expected) in [(Released::Kept, ["1", "2"]), (Released::Dropped, ["3", "4"])] {
        let foreign = Foreign::start();
        let way = Route { released: what, remote: "there".into(), ..route(Direction::Out, "x/#") };
        let Some(here) = with(vec![bridge("b", &foreign.url(), &[way])]) else { return };
        let mut peer = foreign.receives();
        until_up(&here, "b");
        let mut publisher = connect(V5).at(here.address()).open();
        // Both are under way before the first is answered.
        publisher.say("x/nobody", "1", 1);
        publisher.say("x/nobody", "2", 1);
        let under_way = [foreign::next(&mut peer), foreign::next(&mut peer)];
        for (id, _) in under_way.iter().rev() {
            peer.send(&raw::disposition(true, *id, *id, true, &released));
        }
        let is_kept = what == Released::Kept;
        until(&here, "b", |bridge| match is_kept {
            true => bridge["routes"][0]["held"] == 2 && bridge["routes"][0]["state"] == "stuck",
            false => bridge["refused"] == 2 && bridge["waiting"] == 0 && bridge["routes"][0]["state"] == "up",
        });
        publisher.say("x/somebody", "goes on", 1);
        let next = |peer: &mut Peer| loop {
            let (id, message) = foreign::next(peer);
            let text = message.last().map(|byte| char::from(*byte).to_string()).unwrap_or_default();
            match text.as_str() {
                "n" => peer.send(&raw::disposition(true, id, id, true, raw::ACCEPTED)),
                _ => break (id, text),
            }
        };
        if is_kept {
            // One asks for both, until it is taken.
            for _ in 0..3 {
                let (id, text) = next(&mut peer);
                assert_eq!(text, "1");
                peer.send(&raw::disposition(true, id, id, true, &released));
            }
            until(&here, "b", |bridge| bridge["sent"] == 1);
        } else {
            publisher.say("x/nobody", "3", 1);
            publisher.say("x/nobody", "4", 1);
        }
        for text in expected {
            let (id, came) = next(&mut peer);
            assert_eq!(came, text);
            peer.send(&raw::disposition(true, id, id, true, raw::ACCEPTED));
        }
        until(&here, "b", |bridge| bridge["waiting"] == 0 && bridge["routes"][0]["state"] == "up");
        let refused = if is_kept { 0 } else { 2 };
        assert_eq!(standing(&here, "b")["refused"], refused);
    }
}

#[test]
fn routes_in_are_asked_for_no_more_than_eight_at_once() {
    for version in [MqttVersion::V5, MqttVersion::V311] {
        let there = mosquitto::start(1000, Refusal::Close);
        let routes: Vec<Route> = (0..21).map(|number| route(Direction::In, &format!("in/{number}"))).collect();
        // It gets through when the subscriber is there.
        let relay = Relay::to(there);
        relay.cut();
        let settings = Settings { version: Some(version), ..bridge("b", &mqtt(relay.address()), &routes) };
        let Some(here) = with(vec![settings]) else { return };
        let mut subscriber = connect(V5).at(here.address()).open();
        subscriber.subscribe("in/#", 0);
        relay.open(there);
        let mut came: Vec<String> = (0..21).map(|_| subscriber.take().topic.clone()).collect();
        came.sort_by_key(|topic| topic["in/".len()..].parse::<u32>().unwrap_or(u32::MAX));
        assert_eq!(came, (0..21).map(|number| format!("in/{number}")).collect::<Vec<_>>());
        let bridge = standing(&here, "b");
        assert_eq!((&bridge["state"], &bridge["connections"]), (&"connected".into(), &1.into()), "{bridge}");
    }
}
