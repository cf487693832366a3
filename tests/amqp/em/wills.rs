//! Wills: EM-01 to EM-12.

use super::client::{ACCEPTED, Client, Link, Post, Said};
use crate::amqp::raw;
use crate::amqp::{address, own};
use crate::harness::{self, Client as Mqtt, V5, client, connect, unique};
use std::net::SocketAddr;

const SERVICE: &str = "$mqtt.lwtservice";

/// A client with a will link of this name.
fn with_link(address: SocketAddr, id: &str) -> Client {
    let mut client = Client::connect(address, id);
    client.sender(id, SERVICE);
    client
}

fn watcher(topic: &str) -> Mqtt {
    let mut watcher = client(V5);
    watcher.subscribe(topic, 2);
    watcher
}

/// What is not whole, or was refused, is no will.
#[test]
fn em_01_a_will_is_stored_when_it_is_accepted_and_not_before() {
    let Some(address) = address() else { return };
    let (id, topic) = (unique("em01"), unique("em01"));
    let mut watcher = watcher(&topic);
    let mut half = with_link(address, &format!("{id}-half"));
    half.send_half(&format!("{id}-half"), b"t", &Post::will(&topic, b"half", 1, false));
    half.settled_inbox();
    half.cut();
    let mut refused = with_link(address, &format!("{id}-refused"));
    assert!(matches!(refused.send(&format!("{id}-refused"), &Post::will("a/#", b"bad", 1, false)), Said::Detached(_)));
    refused.cut();
    let mut whole = with_link(address, &id);
    assert_eq!(whole.send(&id, &Post::will(&topic, b"whole", 1, false)), ACCEPTED);
    whole.cut();
    watcher.expect(&topic, "whole", 1);
    watcher.expect_nothing();
}

#[test]
fn em_02_a_will_that_is_sent_again_replaces_the_first() {
    let Some(address) = address() else { return };
    let (id, topic) = (unique("em02"), unique("em02"));
    let mut watcher = watcher(&format!("{topic}/#"));
    let mut client = with_link(address, &id);
    client.send(&id, &Post::will(&format!("{topic}/old"), b"old", 2, true));
    assert_eq!(client.send(&id, &Post::will(&format!("{topic}/new"), b"new", 1, false)), ACCEPTED);
    client.cut();
    watcher.expect(&format!("{topic}/new"), "new", 1);
    watcher.expect_nothing();
}

#[test]
fn em_03_a_will_clear_deletes_it() {
    let Some(address) = address() else { return };
    let (id, topic) = (unique("em03"), unique("em03"));
    let mut watcher = watcher(&topic);
    let mut client = with_link(address, &id);
    client.send(&id, &Post::will(&topic, b"x", 1, false));
    assert_eq!(client.send(&id, &Post::about("will-clear")), ACCEPTED);
    client.cut();
    client_is_gone(address);
    watcher.expect_nothing();
}

/// The broker has seen to all that was cut before this.
fn client_is_gone(address: SocketAddr) {
    let (id, topic) = (unique("gone"), unique("gone"));
    let mut watcher = watcher(&topic);
    let mut client = with_link(address, &id);
    client.send(&id, &Post::will(&topic, b"x", 0, false));
    client.cut();
    watcher.expect(&topic, "x", 0);
}

#[test]
fn em_04_a_detach_without_an_error_deletes_it() {
    let Some(address) = address() else { return };
    for closed in [true, false] {
        let (id, topic) = (unique("em04"), unique("em04"));
        let mut watcher = watcher(&topic);
        let mut client = with_link(address, &id);
        client.send(&id, &Post::will(&topic, b"x", 1, false));
        client.detach(&id, closed, None);
        client.cut();
        client_is_gone(address);
        watcher.expect_nothing();
    }
}

#[test]
fn em_05_a_detach_with_an_error_publishes_it() {
    let Some(address) = address() else { return };
    for closed in [true, false] {
        let (id, topic) = (unique("em05"), unique("em05"));
        let mut watcher = watcher(&topic);
        let mut client = with_link(address, &id);
        client.send(&id, &Post::will(&topic, b"lost", 1, false));
        client.detach(&id, closed, Some("amqp:link:detach-forced"));
        watcher.expect(&topic, "lost", 1);
        client.close();
        watcher.expect_nothing();
    }
}

/// What ends a link without a detach counts as an error: the socket, the session, the connection.
#[test]
fn em_06_a_cut_publishes_it_wherever_it_is_made() {
    let Some(address) = address() else { return };
    for ending in [None, Some(raw::end(0)), Some(raw::close())] {
        let (id, topic) = (unique("em06"), unique("em06"));
        let mut watcher = watcher(&topic);
        let mut client = with_link(address, &id);
        client.send(&id, &Post::will(&topic, b"gone", 1, false));
        if let Some(ending) = &ending {
            client.peer.send(ending);
        } else {
            client.cut();
        }
        watcher.expect(&topic, "gone", 1);
        watcher.expect_nothing();
    }
}

#[test]
fn em_07_silence_publishes_it() {
    let Some(broker) = harness::Broker::start_with(|config| config.amqp.idle_milliseconds_max = 300) else { return };
    let topic = unique("em07");
    let mut watcher = connect(V5).at(broker.address()).open();
    watcher.subscribe(&topic, 1);
    let mut client = with_link(broker.at("amqp"), "silent");
    client.send("silent", &Post::will(&topic, b"silent", 1, false));
    // The client stays and says nothing more.
    watcher.expect(&topic, "silent", 1);
    client.expect_end();
}

/// A client that cannot put an error into a detach.
#[test]
fn em_08_in_the_second_mode_a_detach_publishes_what_was_not_cleared() {
    let Some(address) = address() else { return };
    let mode = raw::map(&[&raw::symbol("x-opt-mqtt-will-mode"), &raw::ubyte(2)]);
    for clears in [true, false] {
        let (id, topic) = (unique("em08"), unique("em08"));
        let mut watcher = watcher(&topic);
        let mut client = Client::connect(address, &id);
        let link = Link { properties: Some(mode.clone()), ..Link::default() };
        client.attach(&id, SERVICE, true, &link).expect("a link");
        client.send(&id, &Post::will(&topic, b"lost", 1, false));
        if clears {
            assert_eq!(client.send(&id, &Post::about("will-clear")), ACCEPTED);
        }
        client.detach(&id, true, None);
        if clears {
            watcher.expect_nothing();
        } else {
            watcher.expect(&topic, "lost", 1);
        }
    }
}

/// The same by a setting, and a link that chooses for itself.
#[test]
fn em_08_the_second_mode_may_be_a_setting() {
    let Some(broker) = harness::Broker::start_with(|config| config.amqp.will_mode = 2) else { return };
    let mut watcher = connect(V5).at(broker.address()).open();
    watcher.subscribe("t", 1);
    let mut client = with_link(broker.at("amqp"), "plain");
    client.send("plain", &Post::will("t", b"lost", 1, false));
    client.detach("plain", true, None);
    watcher.expect("t", "lost", 1);
    let mode = raw::map(&[&raw::symbol("x-opt-mqtt-will-mode"), &raw::uint(1)]);
    client.attach("first", SERVICE, true, &Link { properties: Some(mode), ..Link::default() }).expect("a link");
    client.send("first", &Post::will("t", b"lost", 1, false));
    client.detach("first", true, None);
    watcher.expect_nothing();
}

#[test]
fn em_09_qos_retain_and_payload_are_exact() {
    let Some(address) = address() else { return };
    let payload: Vec<u8> = (0..=255).collect();
    for qos in 0..=2 {
        for retain in [false, true] {
            let (id, topic) = (unique("em09"), unique("em09"));
            let mut watcher = watcher(&topic);
            let mut client = with_link(address, &id);
            client.send(&id, &Post::will(&topic, &payload, qos, retain));
            client.cut();
            let got = watcher.take();
            assert_eq!((got.qos, got.retain, &got.payload), (qos, false, &payload), "live");
            let mut late = client_of(&topic);
            if retain {
                let got = late.take();
                assert_eq!((got.qos, got.retain, &got.payload), (qos, true, &payload), "a later subscriber");
            } else {
                late.expect_nothing();
            }
        }
    }
}

fn client_of(topic: &str) -> Mqtt {
    watcher(topic)
}

/// A stored will is published once when the broker is back, however often it comes back.
#[test]
fn em_10_a_will_outlives_the_broker_and_is_published_once() {
    let Some((broker, address)) = own() else { return };
    let topic = unique("em10");
    let mut watcher = connect(V5).at(broker.address()).id("watcher").kept().open();
    watcher.subscribe(&format!("{topic}/#"), 1);
    watcher.disconnect();
    let mut client = with_link(address, "one");
    client.send("one", &Post::will(&format!("{topic}/now"), b"now", 1, false));
    client.sender("two", SERVICE);
    let later =
        Post::will(&format!("{topic}/later"), b"later", 1, false).with("x-opt-mqtt-will-delay", raw::uint(3600));
    client.send("two", &later);
    let broker = broker.restart();
    // Who returns in time is not mourned.
    let mut client = with_link(broker.at("amqp"), "two");
    client.detach("two", true, None);
    let mut watcher = connect(V5).at(broker.address()).id("watcher").kept().resume();
    watcher.expect(&format!("{topic}/now"), "now", 1);
    watcher.expect_nothing();
    watcher.disconnect();
    drop(client);
    let broker = broker.restart();
    let mut watcher = connect(V5).at(broker.address()).id("watcher").kept().resume();
    watcher.expect_nothing();
}

#[test]
fn em_11_without_annotations_durable_says_the_qos() {
    let Some(address) = address() else { return };
    for (durable, qos) in [(None, 0), (Some(false), 0), (Some(true), 1)] {
        let (id, topic) = (unique("em11"), unique("em11"));
        let mut watcher = watcher(&topic);
        let mut client = with_link(address, &id);
        let mut will = Post::of(b"will").subject("will").to(&topic);
        will.durable = durable;
        assert_eq!(client.send(&id, &will), ACCEPTED);
        client.sender("out", &topic);
        let mut message = Post::of(b"message");
        message.durable = durable;
        assert_eq!(client.send("out", &message), ACCEPTED);
        assert!(!watcher.expect(&topic, "message", qos).retain);
        client.cut();
        assert!(!watcher.expect(&topic, "will", qos).retain);
        watcher_sees_nothing_kept(&topic);
    }
}

fn watcher_sees_nothing_kept(topic: &str) {
    watcher(topic).expect_nothing();
}

#[test]
fn em_12_what_is_no_will_closes_the_link() {
    let Some(address) = address() else { return };
    for post in [Post::about("else"), Post::of(b"no subject"), Post::of(b"no topic").subject("will")] {
        let id = unique("em12");
        let mut client = with_link(address, &id);
        assert_eq!(client.send(&id, &post), Said::Detached("amqp:decode-error".to_owned()), "{post:?}");
        client.close();
    }
}

/// 1.6, 9: the name is one client's, and the later link has it.
#[test]
fn a_later_link_takes_the_name_over_and_the_first_one_s_will_is_published() {
    let Some(address) = address() else { return };
    let (id, topic) = (unique("later"), unique("later"));
    let mut watcher = watcher(&topic);
    let mut first = with_link(address, &id);
    first.send(&id, &Post::will(&topic, b"first", 1, false));
    let mut second = with_link(address, &id);
    assert_eq!(first.expect_detach(&id), "amqp:link:stolen");
    watcher.expect(&topic, "first", 1);
    second.send(&id, &Post::will(&topic, b"second", 1, false));
    first.close();
    watcher.expect_nothing();
    // An MQTT client of that name takes it over, too.
    let mut third = connect(V5).id(&id).open();
    assert_eq!(second.expect_detach(&id), "amqp:link:stolen");
    watcher.expect(&topic, "second", 1);
    // And back.
    let _fourth = with_link(address, &id);
    third.expect_closed();
}

/// 1.7: a will waits for its delay, and is forgotten if its client is back.
#[test]
fn a_will_waits_for_its_delay() {
    let Some(address) = address() else { return };
    let (id, topic) = (unique("delay"), unique("delay"));
    let mut watcher = watcher(&topic);
    let delayed = |seconds| Post::will(&topic, b"late", 1, false).with("x-opt-mqtt-will-delay", raw::uint(seconds));
    let mut client = with_link(address, &id);
    client.send(&id, &delayed(1));
    client.cut();
    watcher.expect(&topic, "late", 1);
    let mut client = with_link(address, &id);
    client.send(&id, &delayed(3600));
    client.cut();
    client_is_gone(address);
    let mut back = with_link(address, &id);
    back.detach(&id, true, None);
    watcher.expect_nothing();
}

/// A will has the properties that its message had, and a body of text is text.
#[test]
fn a_will_carries_its_properties() {
    let Some(address) = address() else { return };
    let (id, topic) = (unique("props"), unique("props"));
    let mut watcher = watcher(&topic);
    let mut client = with_link(address, &id);
    let will = Post::will(&topic, b"", 1, false).value(&raw::string("text")).reply_to("an/swer");
    assert_eq!(client.send(&id, &will), ACCEPTED);
    client.cut();
    let got = watcher.expect(&topic, "text", 1);
    assert_eq!((got.properties.text(0x08), got.properties.number(0x01)), (Some("an/swer"), Some(1)));
}
