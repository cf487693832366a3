//! Wills: what a client leaves to be said when it is gone.

use crate::harness::*;

fn watcher(version: Version, topic: &str) -> Client {
    let mut watcher = client(version);
    watcher.subscribe(topic, 2);
    watcher
}

/// [MQTT-3.1.2-8]
#[test]
fn a_cut_socket_publishes_the_will() {
    for version in ALL {
        for qos in 0..3 {
            let topic = unique("cut");
            let mut watcher = watcher(version, &topic);
            connect(version).will(Will::new(&topic, "gone").qos(qos)).open().cut();
            assert!(!watcher.expect(&topic, "gone", qos).retain);
            watcher.expect_nothing();
        }
    }
}

#[test]
fn silence_publishes_the_will() {
    for version in BOTH {
        let topic = unique("silent");
        let mut watcher = watcher(version, &topic);
        let _silent = connect(version).keep_alive(1).will(Will::new(&topic, "silent")).open();
        watcher.expect(&topic, "silent", 0);
    }
}

/// 3.1.2.5: the broker closes because of a violation.
#[test]
fn a_violation_publishes_the_will() {
    for version in BOTH {
        let topic = unique("violation");
        let mut watcher = watcher(version, &topic);
        let mut bad = connect(version).will(Will::new(&topic, "broke the rules")).open();
        bad.send(&hex("F5 00"));
        watcher.expect(&topic, "broke the rules", 0);
        bad.expect_closed();
    }
}

/// [MQTT-3.14.4-3], [MQTT-3.1.2-10]
#[test]
fn a_goodbye_drops_the_will() {
    for version in ALL {
        let topic = unique("goodbye");
        let mut watcher = watcher(version, &topic);
        connect(version).will(Will::new(&topic, "never")).open().disconnect();
        watcher.expect_nothing();
    }
}

/// [MQTT-3.14.4-3]: also of a client that closes before it has read all that came for it. Writing to it fails then, and what it
/// had sent before, acknowledgements and goodbye, is there all the same.
#[test]
fn a_goodbye_in_the_midst_of_a_backlog_counts() {
    const CLIENTS: usize = 5;
    for version in BOTH {
        let (topic, wills) = (unique("backlog"), unique("midst"));
        let mut watcher = watcher(version, &wills);
        let ids: Vec<String> = (0..CLIENTS).map(|_| unique("leaves")).collect();
        for id in &ids {
            let mut client = connect(version).id(id).kept().open();
            client.subscribe(&topic, 1);
            client.disconnect();
        }
        let mut publisher = client(version);
        (0..600).for_each(|n| publisher.say(&topic, &format!("{n:010000}"), 1));
        for id in &ids {
            let mut client = connect(version).id(id).kept().will(Will::new(&wills, "never")).resume();
            (0..24).for_each(|n| assert_eq!(client.take().text().parse(), Ok(n), "{id}"));
            client.send(&writer::disconnect(version, 0, &Properties::default()));
            drop(client);
        }
        watcher.expect_nothing();
        for id in &ids {
            let next = connect(version).id(id).kept().resume().delivery();
            assert_eq!(
                (next.text().parse(), next.duplicate),
                (Ok(24), true),
                "what was acknowledged does not come again"
            );
        }
    }
}

/// 3.14.2.1, reason code 0x04
#[test]
fn a_goodbye_with_will_publishes_it() {
    let topic = unique("with-will");
    let mut watcher = watcher(V5, &topic);
    connect(V5).will(Will::new(&topic, "as asked")).open().disconnect_with(0x04, []);
    watcher.expect(&topic, "as asked", 0);
}

/// 3.14.2.1: any other reason that a client may give is no normal goodbye.
#[test]
fn a_goodbye_for_another_reason_publishes_the_will() {
    for code in [0x80, 0x81, 0x93] {
        let topic = unique("error");
        let mut watcher = watcher(V5, &topic);
        connect(V5).will(Will::new(&topic, "trouble")).open().disconnect_with(code, []);
        watcher.expect(&topic, "trouble", 0);
    }
}

/// [MQTT-3.1.2-14], [MQTT-3.1.2-15], [MQTT-3.1.2-16] and [MQTT-3.1.2-17] of 3.1.1
#[test]
fn a_retained_will_is_kept() {
    for version in BOTH {
        let topic = unique("kept");
        let mut before = watcher(version, &topic);
        connect(version).will(Will::new(&topic, "offline").qos(1).retained()).open().cut();
        assert!(!before.expect(&topic, "offline", 1).retain);
        let mut after = watcher(version, &topic);
        assert!(after.expect(&topic, "offline", 1).retain);
        before.publish(&Publish::new(&topic, "", 0).retained());
    }
}

#[test]
fn an_empty_will_is_a_message() {
    for version in BOTH {
        let topic = unique("empty");
        let mut watcher = watcher(version, &topic);
        connect(version).will(Will::new(&topic, "")).open().cut();
        watcher.expect(&topic, "", 0);
    }
}

/// [MQTT-3.1.3-9]: not before the delay has passed.
#[test]
fn a_delayed_will_waits() {
    let topic = unique("delayed");
    let mut watcher = watcher(V5, &topic);
    let start = std::time::Instant::now();
    connect(V5).session_expiry(60).will(Will::new(&topic, "late").delay(2)).open().cut();
    watcher.expect_nothing();
    watcher.expect(&topic, "late", 0);
    assert!(start.elapsed().as_millis() >= 1900, "{:?}", start.elapsed());
}

/// [MQTT-3.1.3-9]
#[test]
fn a_client_that_is_back_in_time_cancels_its_will() {
    let (id, topic) = (unique("back"), unique("back"));
    let mut watcher = watcher(V5, &topic);
    connect(V5).id(&id).session_expiry(60).will(Will::new(&topic, "never").delay(1)).open().cut();
    let _back = connect(V5).id(&id).clean(false).session_expiry(60).open();
    pass(2);
    watcher.expect_nothing();
}

/// 3.1.3.2.2: whichever happens first, the delay or the end of the session.
#[test]
fn the_end_of_the_session_ends_the_delay() {
    for expiry in [0, 1] {
        let topic = unique("session");
        let mut watcher = watcher(V5, &topic);
        connect(V5).session_expiry(expiry).will(Will::new(&topic, "over").delay(3600)).open().cut();
        watcher.expect(&topic, "over", 0);
    }
}

/// [MQTT-3.1.2-10]
#[test]
fn a_goodbye_drops_a_delayed_will_too() {
    let topic = unique("dropped");
    let mut watcher = watcher(V5, &topic);
    connect(V5).session_expiry(60).will(Will::new(&topic, "never").delay(1)).open().disconnect();
    pass(2);
    watcher.expect_nothing();
}

/// 3.1.3.2
#[test]
fn a_will_carries_its_properties() {
    let topic = unique("properties");
    let mut watcher = watcher(V5, &topic);
    let will = Will::new(&topic, "{}")
        .with(Property::Byte(property::PAYLOAD_FORMAT, 1))
        .with(Property::Four(property::MESSAGE_EXPIRY, 100))
        .with(Property::text(property::CONTENT_TYPE, "application/json"))
        .with(Property::text(property::RESPONSE_TOPIC, "answers"))
        .with(Property::Binary(property::CORRELATION_DATA, vec![7]))
        .with(Property::user("a", "1"))
        .with(Property::user("a", "2"));
    connect(V5).will(will).open().cut();
    let got = watcher.take().properties;
    assert_eq!(got.number(property::PAYLOAD_FORMAT), Some(1));
    assert!(got.number(property::MESSAGE_EXPIRY).is_some_and(|left| (98..=100).contains(&left)));
    assert_eq!(got.text(property::CONTENT_TYPE), Some("application/json"));
    assert_eq!(got.text(property::RESPONSE_TOPIC), Some("answers"));
    assert_eq!(got.binary(property::CORRELATION_DATA), Some(&[7][..]));
    assert_eq!(got.user(), [("a", "1"), ("a", "2")]);
    assert_eq!(got.count(property::WILL_DELAY), 0);
}

/// The will of a connection is the one of its own CONNECT.
#[test]
fn a_new_connection_without_a_will_has_none() {
    for version in BOTH {
        let (id, topic) = (unique("none"), unique("none"));
        let mut watcher = watcher(version, &topic);
        connect(version).id(&id).kept().will(Will::new(&topic, "never")).open().disconnect();
        connect(version).id(&id).kept().resume().cut();
        watcher.expect_nothing();
    }
}
