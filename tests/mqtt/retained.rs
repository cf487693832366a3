//! Retained messages: the last value of a topic.

use crate::harness::*;

fn retain(client: &mut Client, topic: &str, payload: &str, qos: u8) {
    assert!(client.publish(&Publish::new(topic, payload, qos).retained()) < 0x80);
}

/// [MQTT-3.3.1-5], [MQTT-3.3.1-8] of 3.1.1: sent to a new subscription, with RETAIN.
#[test]
fn the_last_value_is_sent_to_a_new_subscription() {
    for version in ALL {
        for qos in 0..3 {
            let topic = unique("retained");
            let mut publisher = client(version);
            retain(&mut publisher, &topic, "old", qos);
            retain(&mut publisher, &topic, "new", qos);
            for granted in 0..3 {
                let mut subscriber = client(version);
                subscriber.subscribe(&topic, granted);
                let message = subscriber.expect(&topic, "new", qos.min(granted));
                assert!(message.retain && !message.duplicate);
                subscriber.expect_nothing();
            }
            retain(&mut publisher, &topic, "", 0);
        }
    }
}

/// [MQTT-3.3.1-12], [MQTT-3.3.1-9] of 3.1.1: to a subscription that is there it is a message like any other.
#[test]
fn to_an_established_subscription_the_flag_is_cleared() {
    for version in BOTH {
        let topic = unique("live");
        let (mut publisher, mut subscriber) = (client(version), client(version));
        subscriber.subscribe(&topic, 1);
        retain(&mut publisher, &topic, "x", 1);
        assert!(!subscriber.expect(&topic, "x", 1).retain);
        retain(&mut publisher, &topic, "", 1);
        assert!(!subscriber.expect(&topic, "", 1).retain);
        subscriber.expect_nothing();
    }
}

/// [MQTT-3.3.1-6], [MQTT-3.3.1-7], [MQTT-3.3.1-10] and [MQTT-3.3.1-11] of 3.1.1
#[test]
fn an_empty_payload_clears_the_last_value() {
    for version in BOTH {
        for qos in 0..3 {
            let topic = unique("cleared");
            let mut publisher = client(version);
            retain(&mut publisher, &topic, "x", 1);
            retain(&mut publisher, &topic, "", qos);
            let mut subscriber = client(version);
            subscriber.subscribe(&topic, 1);
            subscriber.expect_nothing();
        }
    }
}

/// [MQTT-3.3.1-8], [MQTT-3.3.1-12] of 3.1.1
#[test]
fn a_message_without_the_flag_leaves_the_last_value_alone() {
    for version in BOTH {
        let topic = unique("alone");
        let mut publisher = client(version);
        retain(&mut publisher, &topic, "kept", 1);
        publisher.say(&topic, "passing", 1);
        publisher.say(&topic, "", 1);
        let mut subscriber = client(version);
        subscriber.subscribe(&topic, 1);
        assert!(subscriber.expect(&topic, "kept", 1).retain);
        retain(&mut publisher, &topic, "", 0);
    }
}

#[test]
fn a_wildcard_brings_all_last_values_that_match() {
    for version in BOTH {
        let own = unique("all");
        let mut publisher = client(version);
        for name in ["", "/a", "/a/b", "/b", "/b/c/d"] {
            retain(&mut publisher, &format!("{own}{name}"), "x", 1);
        }
        for (filter, expected) in [("/#", 5), ("/+", 2), ("/+/b", 1), ("/b/#", 2), ("/a", 1), ("/c", 0)] {
            let mut subscriber = client(version);
            subscriber.subscribe(&format!("{own}{filter}"), 1);
            let mut topics: Vec<String> = (0..expected).map(|_| subscriber.take().topic).collect();
            topics.sort();
            topics.dedup();
            assert_eq!(topics.len(), expected, "{filter}");
            subscriber.expect_nothing();
        }
        for name in ["", "/a", "/a/b", "/b", "/b/c/d"] {
            retain(&mut publisher, &format!("{own}{name}"), "", 0);
        }
    }
}

/// [MQTT-3.8.4-4], [MQTT-3.8.4-3] of 3.1.1: a subscription made again is sent them again.
#[test]
fn subscribing_again_brings_the_last_value_again() {
    for version in BOTH {
        let topic = unique("once-more");
        let mut publisher = client(version);
        retain(&mut publisher, &topic, "x", 1);
        let mut subscriber = client(version);
        for _ in 0..2 {
            subscriber.subscribe(&topic, 1);
            assert!(subscriber.expect(&topic, "x", 1).retain);
        }
        retain(&mut publisher, &topic, "", 0);
    }
}

#[test]
fn the_last_value_keeps_its_properties() {
    let topic = unique("properties");
    let mut publisher = client(V5);
    let message = Publish::new(&topic, "x", 1)
        .retained()
        .with(Property::text(property::CONTENT_TYPE, "text/plain"))
        .with(Property::Binary(property::CORRELATION_DATA, vec![0, 1, 255]))
        .with(Property::user("k", "v"));
    publisher.publish(&message);
    let mut subscriber = client(V5);
    subscriber.subscribe(&topic, 1);
    let got = subscriber.take();
    assert_eq!(got.properties.text(property::CONTENT_TYPE), Some("text/plain"));
    assert_eq!(got.properties.binary(property::CORRELATION_DATA), Some(&[0, 1, 255][..]));
    assert_eq!(got.properties.user(), [("k", "v")]);
    retain(&mut publisher, &topic, "", 0);
}

#[test]
fn the_publishers_session_end_does_not_clear_what_it_retained() {
    for version in BOTH {
        let topic = unique("stays");
        let mut publisher = client(version);
        retain(&mut publisher, &topic, "x", 0);
        publisher.disconnect();
        let mut subscriber = client(version);
        subscriber.subscribe(&topic, 0);
        subscriber.expect(&topic, "x", 0);
        retain(&mut subscriber, &topic, "", 0);
    }
}

/// More last values than a window holds arrive all the same.
#[test]
fn many_last_values_pass_a_narrow_window() {
    let own = unique("many");
    let mut publisher = client(V5);
    for number in 0..300 {
        publisher.send_publish(&Publish::new(&format!("{own}/{number}"), "x", 1).retained());
    }
    publisher.ping();
    let mut subscriber = connect(V5).with(Property::Two(property::RECEIVE_MAXIMUM, 5)).open();
    subscriber.subscribe(&format!("{own}/+"), 1);
    let mut topics: Vec<String> = (0..300).map(|_| subscriber.take().topic).collect();
    topics.sort();
    topics.dedup();
    assert_eq!(topics.len(), 300);
    for topic in topics {
        publisher.send_publish(&Publish::new(&topic, "", 0).retained());
    }
    publisher.ping();
}

/// [MQTT-3.9.3-2], 3.9.3, and [MQTT-3.9.3-2] of 3.1.1: where more is retained than the queue of a session that is kept takes,
/// the subscription is refused, and then nothing comes of it; one that fits is there with all that is retained for it.
#[test]
fn of_a_subscription_whose_retained_messages_do_not_fit_nothing_comes() {
    let Some(broker) = Broker::start_with(|config| config.broker.queue_messages_max = 20) else { return };
    let mut publisher = connect(V5).at(broker.address()).open();
    for number in 0..30 {
        retain(&mut publisher, &format!("r/{number}"), "x", 1);
        retain(&mut publisher, &format!("q/{number}"), "x", u8::from(number < 15));
    }
    for version in ALL {
        let id = unique("keeper");
        let open = || connect(version).at(broker.address()).id(&id).kept();
        let mut subscriber = open().open();
        let refused = if version == V5 { 0x97 } else { 0x80 };
        let codes = subscriber.subscribe_with([], &[Subscription::new("r/#", 1), Subscription::new("r/7", 1)]);
        // 3.1 has no word for a refusal.
        assert_eq!(codes, [if version == V31 { codes[0] } else { refused }, 1], "{version:?}");
        subscriber.expect("r/7", "x", 1);
        // What is retained at QoS 0 need not be kept, and does not count.
        subscriber.subscribe("q/#", 2);
        let mut topics: Vec<(String, u8)> =
            (0..30).map(|_| subscriber.take()).map(|one| (one.topic, one.qos)).collect();
        topics.sort();
        topics.dedup();
        assert_eq!((topics.len(), topics.iter().filter(|topic| topic.1 == 1).count()), (30, 15), "{version:?}");
        retain(&mut publisher, "r/9", "live", 1);
        subscriber.expect_nothing();
        subscriber.cut();
        open().open().expect_nothing();
    }
}
