//! What is kept for a client while it is away, and for how long.

use crate::harness::*;
use std::net::{Shutdown, TcpStream};

/// [MQTT-3.1.2-5], [MQTT-3.1.2-4] of 3.1.1, [MQTT-3.2.2-3], [MQTT-3.2.2-2] of 3.1.1
#[test]
fn subscriptions_outlive_the_connection() {
    for version in ALL {
        let (id, topic) = (unique("kept"), unique("kept"));
        let mut subscriber = connect(version).id(&id).kept().open();
        assert!(!subscriber.connack.present);
        subscriber.subscribe(&topic, 1);
        subscriber.disconnect();
        let mut subscriber = connect(version).id(&id).kept().open();
        // 3.1 has no Session Present.
        assert_eq!(subscriber.connack.present, version != V31);
        client(version).say(&topic, "x", 1);
        subscriber.expect(&topic, "x", 1);
    }
}

/// [MQTT-3.1.2-5] of 3.1.1, 4.4: in the order in which they came.
#[test]
fn messages_wait_for_a_client_that_is_away() {
    for version in ALL {
        let (id, topic) = (unique("away"), unique("away"));
        let mut subscriber = connect(version).id(&id).kept().open();
        subscriber.subscribe(&topic, 2);
        subscriber.disconnect();
        let mut publisher = client(version);
        for number in 0..50 {
            publisher.say(&topic, &number.to_string(), 1 + number % 2);
        }
        let mut subscriber = connect(version).id(&id).kept().open();
        for number in 0..50 {
            assert!(!subscriber.expect(&topic, &number.to_string(), 1 + number % 2).duplicate);
        }
        subscriber.expect_nothing();
        subscriber.disconnect();
        connect(version).id(&id).kept().open().expect_nothing();
    }
}

#[test]
fn a_cut_socket_keeps_the_session_as_a_goodbye_does() {
    for version in BOTH {
        let (id, topic) = (unique("cut"), unique("cut"));
        let mut subscriber = connect(version).id(&id).kept().open();
        subscriber.subscribe(&topic, 1);
        subscriber.cut();
        client(version).say(&topic, "x", 1);
        connect(version).id(&id).kept().resume().expect(&topic, "x", 1);
    }
}

/// [MQTT-3.1.2-4], [MQTT-3.1.2-6] of 3.1.1
#[test]
fn a_clean_start_begins_with_nothing() {
    for version in BOTH {
        let (id, topic) = (unique("clean"), unique("clean"));
        let mut subscriber = connect(version).id(&id).kept().open();
        subscriber.subscribe(&topic, 1);
        subscriber.disconnect();
        client(version).say(&topic, "lost", 1);
        let mut subscriber = connect(version).id(&id).open();
        assert!(!subscriber.connack.present);
        client(version).say(&topic, "unheard", 1);
        subscriber.expect_nothing();
    }
}

/// [MQTT-3.1.2-6] of 3.1.1, 3.1.2.11.2: a session that ends with its connection.
#[test]
fn a_session_that_is_not_kept_ends_with_its_connection() {
    for version in BOTH {
        let (id, topic) = (unique("ends"), unique("ends"));
        let mut subscriber = connect(version).id(&id).open();
        subscriber.subscribe(&topic, 1);
        subscriber.disconnect();
        client(version).say(&topic, "lost", 1);
        let mut subscriber = connect(version).id(&id).kept().open();
        assert!(!subscriber.connack.present);
        subscriber.expect_nothing();
    }
}

/// 3.1.2.11.2
#[test]
fn a_session_ends_when_its_expiry_interval_has_passed() {
    let (short, long) = (unique("short"), unique("long"));
    connect(V5).id(&short).session_expiry(1).open().disconnect();
    connect(V5).id(&long).session_expiry(60).open().disconnect();
    pass(2);
    assert!(!connect(V5).id(&short).clean(false).open().connack.present);
    connect(V5).id(&long).clean(false).resume();
}

/// 3.1.2.11.2: the interval begins when the connection ends, and each connection sets its own.
#[test]
fn the_expiry_interval_is_that_of_the_last_connection() {
    let id = unique("last");
    connect(V5).id(&id).session_expiry(1).open().disconnect();
    connect(V5).id(&id).clean(false).session_expiry(60).resume().disconnect();
    pass(2);
    connect(V5).id(&id).clean(false).session_expiry(0).resume().disconnect();
    assert!(!connect(V5).id(&id).clean(false).open().connack.present);
}

/// [MQTT-3.2.0-1], [MQTT-3.8.4-1], [MQTT-4.3.2-4], [MQTT-4.3.3-8]: a client that sends all at once and reads to the end hears what
/// became of it, though the answers wait for the disk and its goodbye, or the end of what it sends, has come long before.
#[test]
fn what_was_asked_before_a_goodbye_is_answered() {
    for (version, says_goodbye) in ALL.into_iter().flat_map(|version| [(version, true), (version, false)]) {
        let (id, topic) = (unique("all-at-once"), unique("topic"));
        let message = |qos, id| writer::publish(version, &Publish::new(&topic, "m", qos).id(id));
        let mut all = vec![
            connect(version).id(&id).kept().bytes(),
            writer::subscribe(version, 1, &Properties::default(), &[Subscription::new(&topic, 1)]),
            message(1, 2),
            message(2, 3),
        ];
        if says_goodbye {
            all.push(writer::disconnect(version, 0, &Properties::default()));
        }
        let socket = TcpStream::connect(address()).unwrap();
        let mut client = Client::on(Box::new(socket.try_clone().unwrap()), version);
        client.send(&all.concat());
        if !says_goodbye {
            socket.shutdown(Shutdown::Write).unwrap();
        }
        let mut answers = Vec::new();
        while let Ok(packet) = client.try_receive() {
            answers.push(match packet {
                Packet::Connack(answer) => (0x20, answer.code.into()),
                Packet::Suback(answer) => (0x90, answer.id),
                Packet::Puback(answer) => (0x40, answer.id),
                Packet::Pubrec(answer) => (0x50, answer.id),
                Packet::Publish(_) => continue,
                other => panic!("{other:?}"),
            });
        }
        assert_eq!(answers, [(0x20, 0), (0x90, 1), (0x40, 2), (0x50, 3)], "{version:?} {says_goodbye}");
    }
}

/// [MQTT-3.2.0-1], [MQTT-3.1.4-3]: each of many that come under one name at once has come in before it is thrown out, and hears so.
#[test]
fn who_is_thrown_out_while_its_coming_waits_for_the_disk_hears_both() {
    for _ in 0..5 {
        let id = unique("many");
        let greeting = connect(V5).id(&id).clean(false).session_expiry(100).bytes();
        let mut clients: Vec<_> = (0..10).map(|_| Client::dial(address(), V5)).collect();
        clients.iter_mut().for_each(|client| client.try_send(&greeting));
        for client in &mut clients {
            let first = client.try_receive().expect("it has come in");
            assert!(matches!(&first, Packet::Connack(answer) if answer.code == 0), "{first:?}");
        }
        let mut last = connect(V5).id(&id).clean(false).session_expiry(100).resume();
        clients.iter_mut().for_each(|client| _ = client.expect_disconnect(0x8E));
        last.ping();
    }
}

/// 3.14.2.2.2
#[test]
fn a_goodbye_may_change_the_expiry_interval() {
    for (at_connect, at_goodbye, present) in [(60, 0, false), (1, 60, true)] {
        let id = unique("changed");
        let expiry = Property::Four(property::SESSION_EXPIRY, at_goodbye);
        connect(V5).id(&id).session_expiry(at_connect).open().disconnect_with(0, [expiry]);
        if present {
            pass(2);
        }
        assert_eq!(connect(V5).id(&id).clean(false).open().connack.present, present);
    }
}

/// [MQTT-3.1.2-23]: an interval that cannot be granted is said; what is granted holds.
#[test]
fn a_session_may_be_kept_for_ever() {
    let id = unique("ever");
    let first = connect(V5).id(&id).session_expiry(u32::MAX).open();
    assert!(first.connack.properties.number(property::SESSION_EXPIRY).is_none_or(|granted| granted > 0));
    first.disconnect();
    connect(V5).id(&id).clean(false).resume();
}

#[test]
fn a_session_of_one_version_is_resumed_by_another() {
    for (from, to) in [(V311, V5), (V5, V311)] {
        let (id, topic) = (unique("cross"), unique("cross"));
        let mut subscriber = connect(from).id(&id).kept().open();
        subscriber.subscribe(&topic, 1);
        subscriber.disconnect();
        client(from).say(&topic, "x", 1);
        connect(to).id(&id).kept().resume().expect(&topic, "x", 1);
    }
}

#[test]
fn unsubscribing_holds_for_the_next_connection() {
    for version in BOTH {
        let (id, topic) = (unique("unsub"), unique("unsub"));
        let mut subscriber = connect(version).id(&id).kept().open();
        subscriber.subscribe(&topic, 1);
        subscriber.unsubscribe(&[&topic]);
        subscriber.disconnect();
        client(version).say(&topic, "unheard", 1);
        connect(version).id(&id).kept().resume().expect_nothing();
    }
}

/// What waits is delivered at the QoS that was granted, also where the window is narrow.
#[test]
fn a_long_queue_drains_through_a_narrow_window() {
    let (id, topic) = (unique("drain"), unique("drain"));
    let mut subscriber = connect(V5).id(&id).kept().open();
    subscriber.subscribe(&topic, 1);
    subscriber.disconnect();
    let mut publisher = client(V5);
    for number in 0..200 {
        publisher.say(&topic, &number.to_string(), 1);
    }
    let mut subscriber = connect(V5).id(&id).kept().with(Property::Two(property::RECEIVE_MAXIMUM, 1)).resume();
    for number in 0..200 {
        subscriber.expect(&topic, &number.to_string(), 1);
    }
    subscriber.expect_nothing();
}

/// MQTT 5.0, table 3-1; 3.1.1, table 3.1. Ids of sessions that are kept stand in memory and on the disk for as long.
#[test]
fn a_session_that_is_kept_has_an_id_of_bounded_length() {
    let Some(broker) = Broker::start() else { return };
    for (version, refused) in [(V5, 0x85), (V311, 2)] {
        for (bytes, code) in [(1_024, 0), (1_025, refused)] {
            let mut client = connect(version).at(broker.address()).id(&"x".repeat(bytes)).kept().sent();
            let Packet::Connack(answer) = client.receive() else { panic!("expected CONNACK") };
            assert_eq!(answer.code, code, "{version:?}, {bytes}");
        }
        connect(version).at(broker.address()).id(&"x".repeat(65_535)).open();
    }
}
