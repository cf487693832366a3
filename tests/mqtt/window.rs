//! How much may be under way: Receive Maximum in both directions.

use crate::harness::property::RECEIVE_MAXIMUM;
use crate::harness::*;

fn narrow(window: u16) -> Client {
    connect(V5).with(Property::Two(RECEIVE_MAXIMUM, window)).open()
}

/// [MQTT-3.3.4-9], [MQTT-4.9.0-2]
#[test]
fn no_more_than_the_receive_maximum_is_under_way() {
    for qos in [1, 2] {
        let topic = unique("window");
        let (mut publisher, mut subscriber) = (client(V5), narrow(3));
        subscriber.subscribe(&topic, qos);
        for number in 0..10 {
            publisher.say(&topic, &number.to_string(), qos);
        }
        let mut open: Vec<Publish> = (0..3).map(|_| subscriber.delivery()).collect();
        subscriber.expect_nothing();
        for number in 3..10 {
            let oldest = open.remove(0);
            settle(&mut subscriber, &oldest);
            let next = subscriber.delivery();
            assert_eq!(next.text(), number.to_string());
            open.push(next);
            subscriber.expect_nothing();
        }
    }
}

fn settle(subscriber: &mut Client, message: &Publish) {
    if message.qos == 1 {
        subscriber.ack(0x40, message.id);
        return;
    }
    subscriber.ack(0x50, message.id);
    subscriber.acked(0x62, message.id);
    // [MQTT-4.9.0-2]: PUBREC without an error does not make room yet.
    subscriber.expect_nothing();
    subscriber.ack(0x70, message.id);
}

/// 4.9: PUBREC with an error makes room.
#[test]
fn a_refused_delivery_makes_room() {
    let topic = unique("window");
    let (mut publisher, mut subscriber) = (client(V5), narrow(1));
    subscriber.subscribe(&topic, 2);
    publisher.say(&topic, "one", 2);
    publisher.say(&topic, "two", 2);
    let id = subscriber.delivery().id;
    subscriber.send(&[0x50, 0x03, (id >> 8) as u8, id as u8, 0x80]);
    subscriber.expect(&topic, "two", 2);
}

/// [MQTT-4.9.0-3]: packets of other kinds pass a full window.
#[test]
fn qos_0_and_answers_pass_a_full_window() {
    let (held, free) = (unique("held"), unique("free"));
    let (mut publisher, mut subscriber) = (client(V5), narrow(1));
    subscriber.subscribe(&held, 1);
    publisher.say(&held, "one", 1);
    publisher.say(&held, "two", 1);
    let first = subscriber.delivery();
    subscriber.subscribe(&free, 0);
    publisher.say(&free, "passes", 0);
    subscriber.expect(&free, "passes", 0);
    subscriber.expect_nothing();
    subscriber.ack(0x40, first.id);
    subscriber.expect(&held, "two", 1);
}

/// 3.3.4: acknowledgements may come in another order than the deliveries.
#[test]
fn a_window_opens_by_acknowledgements_in_any_order() {
    let topic = unique("window");
    let (mut publisher, mut subscriber) = (client(V5), narrow(3));
    subscriber.subscribe(&topic, 1);
    for number in 0..5 {
        publisher.say(&topic, &number.to_string(), 1);
    }
    let open: Vec<Publish> = (0..3).map(|_| subscriber.delivery()).collect();
    subscriber.ack(0x40, open[2].id);
    assert_eq!(subscriber.delivery().text(), "3");
    subscriber.ack(0x40, open[0].id);
    assert_eq!(subscriber.delivery().text(), "4");
    subscriber.expect_nothing();
}

/// [MQTT-3.3.4-7], Q02: what the broker allows.
#[test]
fn more_than_the_broker_takes_is_a_violation() {
    let topic = unique("flood");
    let mut publisher = client(V5);
    let maximum = publisher.connack.properties.number(RECEIVE_MAXIMUM).unwrap_or(65_535);
    for id in 1..=maximum as u16 {
        publisher.send_publish(&Publish::new(&topic, "x", 2).id(id));
        if id % 100 == 0 {
            publisher.acked(0x50, id);
        }
    }
    publisher.acked(0x50, maximum as u16);
    if maximum < 65_535 {
        publisher.send_publish(&Publish::new(&topic, "x", 2).id(maximum as u16 + 1));
        while let Ok(packet) = publisher.try_receive() {
            match packet {
                Packet::Pubrec(ack) => assert!(u32::from(ack.id) <= maximum),
                Packet::Disconnect(farewell) => return assert_eq!(farewell.code, 0x93),
                other => panic!("expected DISCONNECT, got {other:?}"),
            }
        }
        panic!("expected DISCONNECT 0x93");
    }
}

/// What is acknowledged once it is on disk does not count against a client that does not wait for it: it hears of the first
/// ones before the rest is read.
#[test]
fn a_burst_of_qos_1_may_be_longer_than_the_receive_maximum() {
    let topic = unique("burst");
    let mut publisher = client(V5);
    let count = publisher.connack.properties.number(RECEIVE_MAXIMUM).map_or(10, |maximum| maximum as u16 * 3);
    let all: Vec<u8> = (1..=count).flat_map(|id| writer::publish(V5, &Publish::new(&topic, "x", 1).id(id))).collect();
    publisher.send(&all);
    for id in 1..=count {
        assert_eq!(publisher.acked(0x40, id).code, 0x10);
    }
    publisher.ping();
}

/// Q08
#[test]
fn an_identifier_that_is_stuck_is_passed_over() {
    let topic = unique("wrap");
    let (mut publisher, mut subscriber) = (client(V5), client(V5));
    subscriber.subscribe(&topic, 1);
    publisher.say(&topic, "stuck", 1);
    let stuck = subscriber.delivery().id;
    for _ in 0..700 {
        let ids: Vec<u16> = (0..100).map(|_| publisher.send_publish(&Publish::new(&topic, "x", 1))).collect();
        for _ in &ids {
            let message = subscriber.take();
            assert!(message.id != stuck && message.id != 0);
        }
        for id in ids {
            publisher.acked(0x40, id);
        }
    }
}

/// Q09: a subscriber that never acknowledges costs nobody else anything.
#[test]
fn a_subscriber_that_never_acknowledges_hinders_nobody() {
    for version in BOTH {
        let topic = unique("never");
        let (mut publisher, mut lazy, mut busy) = (client(version), client(version), client(version));
        lazy.subscribe(&topic, 1);
        busy.subscribe(&topic, 1);
        for number in 0..200 {
            publisher.say(&topic, &number.to_string(), 1);
            busy.expect(&topic, &number.to_string(), 1);
        }
        lazy.ping();
    }
}
