//! SUBSCRIBE and UNSUBSCRIBE: what matches what, what is granted, what is taken back.

use crate::harness::*;

/// 4.7.1: filter, topic, whether it matches. Both stand below a level of the row's own.
const MATCHES: &[(&str, &str, bool)] = &[
    ("a/b", "a/b", true),
    ("a/b", "a/b/c", false),
    ("a/b", "a/B", false),
    ("a/+", "a/b", true),
    ("a/+", "a", false),
    ("a/+", "a/", true),
    ("a/+", "a/b/c", false),
    ("a/+/c", "a/b/c", true),
    ("a/+/c", "a//c", true),
    ("+", "a", true),
    ("+", "/a", false),
    ("+/+", "/a", true),
    ("/+", "/a", true),
    ("a/#", "a", true),
    ("a/#", "a/b/c", true),
    ("a/#", "a/", true),
    ("a/#", "ab", false),
    ("#", "a/b", true),
    ("+/b/#", "a/b/c/d", true),
    ("+/b/#", "a/b", true),
    ("a b", "a b", true),
    ("ß/温度", "ß/温度", true),
    ("a//", "a//", true),
    ("a//", "a/", false),
];

/// [MQTT-4.7.1-1], [MQTT-4.7.1-2], [MQTT-4.7.3-4]
#[test]
fn filters_match_topics() {
    for version in BOTH {
        let (mut publisher, mut subscriber) = (client(version), client(version));
        for (filter, topic, expected) in MATCHES {
            let own = unique("match");
            let (filter, topic, fence) = (format!("{own}/{filter}"), format!("{own}/{topic}"), format!("fence/{own}"));
            subscriber.subscribe(&filter, 0);
            subscriber.subscribe(&fence, 0);
            publisher.say(&topic, "x", 0);
            publisher.say(&fence, "x", 0);
            let first = subscriber.take();
            assert_eq!(first.topic == topic, *expected, "{filter} {topic}");
            if *expected {
                subscriber.expect(&fence, "x", 0);
            }
            subscriber.unsubscribe(&[&filter, &fence]);
        }
    }
}

/// [MQTT-4.7.2-1], T10
#[test]
fn a_wildcard_in_the_first_level_matches_no_topic_that_begins_with_a_dollar() {
    for version in BOTH {
        let own = unique("dollar");
        let (mut publisher, mut subscriber) = (client(version), client(version));
        subscriber.subscribe(&format!("+/{own}"), 0);
        subscriber.subscribe("#", 0);
        publisher.try_send(&raw(0x30, &[&[0, own.len() as u8 + 3], &b"$x/"[..], own.as_bytes()].concat()));
        let mut publisher = client(version);
        publisher.say(&format!("x/{own}"), "fence", 0);
        // `#` brings the traffic of other rows too.
        loop {
            let message = subscriber.take();
            assert!(!message.topic.starts_with('$'), "{}", message.topic);
            if message.topic == format!("x/{own}") {
                break;
            }
        }
    }
}

/// [MQTT-3.8.4-5], [MQTT-3.8.4-6], [MQTT-3.9.3-1]
#[test]
fn several_filters_are_answered_in_their_order() {
    for version in BOTH {
        let mut client = client(version);
        let filters: Vec<_> = (0..7u8).map(|at| Subscription::new(&unique("several"), at % 3)).collect();
        assert_eq!(client.subscribe_with([], &filters), [0, 1, 2, 0, 1, 2, 0]);
    }
}

/// [MQTT-3.8.4-3], [MQTT-3.8.4-4]
#[test]
fn subscribing_again_replaces_the_subscription() {
    for version in BOTH {
        let topic = unique("replace");
        let (mut publisher, mut subscriber) = (client(version), client(version));
        subscriber.subscribe(&topic, 0);
        subscriber.subscribe(&topic, 2);
        publisher.say(&topic, "x", 2);
        subscriber.expect(&topic, "x", 2);
        subscriber.subscribe(&topic, 1);
        publisher.say(&topic, "y", 2);
        subscriber.expect(&topic, "y", 1);
        subscriber.expect_nothing();
    }
}

/// [MQTT-3.3.4-2], [MQTT-3.3.5-1] of 3.1.1: one copy at the highest QoS that is granted. In 5.0 only if the operator
/// wants it so.
#[test]
fn overlapping_filters_bring_one_copy_at_the_highest_qos() {
    let Some(broker) = Broker::start_with(|config| config.mqtt.copy_per_subscription = false) else { return };
    for version in ALL {
        let topic = unique("overlap");
        let open = || connect(version).at(broker.address()).open();
        let (mut publisher, mut subscriber) = (open(), open());
        for (below, qos) in [("", 0), ("/#", 2), ("/+", 1), ("/a", 0)] {
            subscriber.subscribe(&format!("{topic}{below}"), qos);
        }
        publisher.say(&format!("{topic}/a"), "x", 2);
        subscriber.expect(&format!("{topic}/a"), "x", 2);
        subscriber.expect_nothing();
        subscriber.unsubscribe(&[&format!("{topic}/#")]);
        publisher.say(&format!("{topic}/a"), "y", 2);
        subscriber.expect(&format!("{topic}/a"), "y", 1);
        subscriber.expect_nothing();
    }
}

/// [MQTT-3.3.4-2]: the copies after the first, one for each further subscription, at the QoS of each.
#[test]
fn overlapping_filters_of_a_v5_client_bring_a_copy_each() {
    let topic = unique("overlap");
    let (mut publisher, mut subscriber) = (client(V5), client(V5));
    for (below, qos) in [("/#", 2), ("/+", 1), ("/a", 0), ("/b", 2)] {
        subscriber.subscribe(&format!("{topic}{below}"), qos);
    }
    publisher.say(&format!("{topic}/a"), "x", 2);
    let mut granted: Vec<u8> = (0..3).map(|_| subscriber.take().qos).collect();
    granted.sort_unstable();
    assert_eq!(granted, [0, 1, 2]);
    subscriber.expect_nothing();
}

/// [MQTT-3.10.4-1], [MQTT-3.10.4-2]: filters are compared letter by letter.
#[test]
fn unsubscribing_takes_exactly_the_named_filter_back() {
    for version in BOTH {
        let own = unique("unsub");
        let (mut publisher, mut subscriber) = (client(version), client(version));
        let (one, two, wild) = (format!("{own}/1"), format!("{own}/2"), format!("{own}/#"));
        subscriber.subscribe(&one, 1);
        subscriber.subscribe(&two, 1);
        let missing: &[u8] = if version == V5 { &[0x11] } else { &[] };
        assert_eq!(subscriber.unsubscribe(&[&wild]), missing);
        let codes: &[u8] = if version == V5 { &[0x00, 0x11] } else { &[] };
        assert_eq!(subscriber.unsubscribe(&[&one, &wild]), codes);
        publisher.say(&one, "gone", 1);
        publisher.say(&two, "here", 1);
        subscriber.expect(&two, "here", 1);
        subscriber.expect_nothing();
    }
}

/// [MQTT-3.10.4-3], [MQTT-3.10.4-5]: what is under way is brought to its end.
#[test]
fn a_delivery_under_way_outlives_its_subscription() {
    for version in BOTH {
        let topic = unique("underway");
        let (mut publisher, mut subscriber) = (client(version), client(version));
        subscriber.subscribe(&topic, 2);
        publisher.say(&topic, "x", 2);
        let message = subscriber.delivery();
        subscriber.unsubscribe(&[&topic]);
        subscriber.ack(0x50, message.id);
        assert_eq!(subscriber.acked(0x62, message.id).code, 0);
        subscriber.ack(0x70, message.id);
        publisher.say(&topic, "y", 2);
        subscriber.expect_nothing();
    }
}

/// T06, [MQTT-4.7.1-1], [MQTT-4.7.1-2]: one bad filter among good ones is refused alone, or the connection is closed.
#[test]
fn a_filter_that_is_none_is_refused() {
    for (version, refused) in [(V311, 0x80), (V5, 0x8F)] {
        for bad in ["a#", "#/a", "a+/b", "a/#/b", "+a"] {
            let good = unique("good");
            let mut client = client(version);
            let filters = [Subscription::new(&good, 1), Subscription::new(bad, 1), Subscription::new(&good, 0)];
            client.send_subscribe(&filters);
            match client.try_receive() {
                Ok(Packet::Suback(granted)) => assert_eq!(granted.codes, [1, refused, 0], "{bad}"),
                Ok(Packet::Disconnect(farewell)) => assert!(matches!(farewell.code, 0x81 | 0x82 | 0x8F), "{bad}"),
                other => assert_eq!((other, version), (Err(End::Closed), V311), "{bad}"),
            }
        }
    }
}

/// T03, T04: depth is bounded, and a deep name costs nobody anything.
#[test]
fn a_name_of_more_levels_than_allowed_is_refused() {
    let deep = "/".repeat(65_535);
    for (version, refused) in [(V311, 0x80), (V5, 0x8F)] {
        let mut client = client(version);
        assert_eq!(client.subscribe_with([], &[Subscription::new(&deep, 0)]), [refused]);
        client.ping();
    }
    let mut healthy = client(V5);
    let mut publisher = client(V5);
    publisher.send_publish(&Publish::new(&deep, "x", 1).id(1));
    match publisher.receive() {
        Packet::Puback(ack) => assert_eq!(ack.code, 0x90),
        Packet::Disconnect(farewell) => assert_eq!(farewell.code, 0x90),
        other => panic!("expected a refusal, got {other:?}"),
    }
    healthy.ping();
}

/// T03: 128 levels are allowed, 129 are not, whoever names them.
#[test]
fn the_border_of_depth_is_the_same_for_every_name_and_version() {
    for version in BOTH {
        let stem = unique("deep");
        let of = |levels: usize, last: &str| format!("{stem}{}{last}", "/x".repeat(levels - 2));
        let mut reader = client(version);
        let asked = [of(128, "/x"), of(128, "/+"), of(128, "/#"), of(129, "/x"), of(129, "/+"), of(129, "/#")];
        let refused = if version == V5 { 0x8F } else { 0x80 };
        let filters = asked.each_ref().map(|filter| Subscription::new(filter, 1));
        assert_eq!(reader.subscribe_with([], &filters[2..]), [1, refused, refused, refused], "{version:?}");
        let mut writer = client(version);
        writer.say(&of(128, "/x"), "as deep as may be", 1);
        reader.expect(&of(128, "/x"), "as deep as may be", 1);
        // At most once there is no answer but the end.
        for qos in 0..=2 {
            let mut deeper = client(version);
            deeper.send_publish(&Publish::new(&of(129, "/x"), "too deep", qos));
            match deeper.try_receive() {
                Ok(Packet::Puback(ack) | Packet::Pubrec(ack)) => assert_eq!((ack.code, version), (0x90, V5)),
                Ok(Packet::Disconnect(farewell)) => assert_eq!((farewell.code, version), (0x90, V5)),
                other => assert_eq!((other, version), (Err(End::Closed), V311), "QoS {qos}"),
            }
        }
        reader.expect_nothing();
        // A will is a name, too.
        connect(version).will(Will::new(&of(128, "/x"), "w")).open().disconnect();
        connect(version).will(Will::new(&of(129, "/x"), "w")).refused(if version == V5 { 0x90 } else { 0 });
    }
}

/// T04
#[test]
fn filters_of_many_wildcards_match_a_deep_topic() {
    let own = unique("wild");
    let (mut publisher, mut subscriber) = (client(V311), client(V311));
    let topic = format!("{own}{}", "/x".repeat(100));
    for plus in 0..30 {
        let filter = format!("{own}{}{}", "/+".repeat(plus), if plus == 29 { "/#" } else { "/x/#" });
        subscriber.subscribe(&filter, 1);
    }
    publisher.say(&topic, "x", 1);
    subscriber.expect(&topic, "x", 1);
    subscriber.expect_nothing();
}

/// T05: a SUBSCRIBE of very many filters is answered filter by filter.
#[test]
fn a_subscribe_of_many_filters_is_answered_whole() {
    let own = unique("many");
    let mut client = client(V5);
    let filters: Vec<_> = (0..5000).map(|number| Subscription::new(&format!("{own}/{number}"), 0)).collect();
    let codes = client.subscribe_with([], &filters);
    assert_eq!(codes.len(), 5000);
    let granted = codes.iter().take_while(|code| **code == 0).count();
    assert!(codes[granted..].iter().all(|code| *code == 0x97), "{granted}: {:02x?}", codes.get(granted));
}

/// T16: coming and going of overlapping filters leaves nothing behind.
#[test]
fn subscribing_and_unsubscribing_in_turns_leaves_nothing_stale() {
    let own = unique("flip");
    let (mut publisher, mut subscriber) = (client(V5), client(V5));
    let filters = [format!("{own}/#"), format!("{own}/+"), format!("{own}/a"), format!("$share/g/{own}/a")];
    for round in 0..40 {
        let (on, off) = (&filters[round % 4], &filters[(round + 2) % 4]);
        subscriber.subscribe(on, 0);
        subscriber.unsubscribe(&[off.as_str()]);
    }
    for filter in &filters {
        subscriber.unsubscribe(&[filter.as_str()]);
    }
    publisher.say(&format!("{own}/a"), "x", 0);
    subscriber.expect_nothing();
}
