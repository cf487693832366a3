//! Order: the messages of one publisher on one topic arrive as they were sent, whatever happens between.

use crate::harness::*;

/// [MQTT-4.6.0-4]
#[test]
fn releases_come_in_the_order_of_the_receipts() {
    for version in ALL {
        let topic = unique("releases");
        let mut subscriber = client(version);
        subscriber.subscribe(&topic, 2);
        let mut publisher = client(version);
        for number in 0..20 {
            publisher.say(&topic, &number.to_string(), 2);
        }
        let mut ids: Vec<u16> = (0..20).map(|_| subscriber.delivery().id).collect();
        ids.reverse();
        for id in &ids {
            subscriber.ack(0x50, *id);
        }
        for id in ids {
            let got = subscriber.receive();
            assert!(matches!(&got, Packet::Pubrel(ack) if ack.id == id), "{got:?} in the place of {id}");
        }
    }
}

/// Reads what comes on one connection until `most` new messages were seen, settling all but every fifth. Each message
/// comes after those that were sent before it, none is left out, and one that was seen before has DUP.
fn read_some(subscriber: &mut Client, next: &mut usize, most: usize) {
    let until = *next + most;
    let mut before = None;
    while *next < until {
        let message = subscriber.delivery();
        let number: usize = message.text().parse().expect("a number");
        assert!(before < Some(number), "{number} comes after {before:?}");
        before = Some(number);
        if number < *next {
            assert!(message.duplicate, "{number} comes again without DUP");
        } else {
            assert_eq!(number, *next, "the next one");
            *next += 1;
        }
        if number.is_multiple_of(5) {
            continue;
        }
        match message.qos {
            1 => subscriber.ack(0x40, message.id),
            _ => subscriber.ack(0x50, message.id),
        }
    }
}

/// [MQTT-4.6.0-5], [MQTT-4.6.0-1]: what comes again comes in its order too, and new messages after each other.
#[test]
fn order_holds_across_reconnects() {
    for version in BOTH {
        for qos in [1, 2] {
            let (id, topic) = (unique("reconnects"), unique("reconnects"));
            let mut subscriber = connect(version).id(&id).kept().open();
            subscriber.subscribe(&topic, qos);
            let mut publisher = client(version);
            let (mut sent, mut next) = (0, 0);
            for _ in 0..10 {
                for _ in 0..30 {
                    publisher.say(&topic, &sent.to_string(), qos);
                    sent += 1;
                }
                read_some(&mut subscriber, &mut next, 20);
                subscriber.cut();
                subscriber = connect(version).id(&id).kept().resume();
            }
            read_some(&mut subscriber, &mut next, 100);
            assert_eq!(next, sent);
        }
    }
}

/// The same across restarts of the broker.
#[test]
fn order_holds_across_restarts() {
    let Some(mut broker) = Broker::start() else { return };
    let rows: Vec<_> =
        [(V311, 1), (V311, 2), (V5, 1), (V5, 2)].into_iter().map(|row| (row, unique("restarts"))).collect();
    let mut next = vec![0; rows.len()];
    for round in 0..3 {
        let at = broker.address();
        for (((version, qos), name), next) in rows.iter().zip(&mut next) {
            let mut subscriber = connect(*version).at(at).id(name).kept().open();
            if round == 0 {
                subscriber.subscribe(name, *qos);
            }
            let mut publisher = connect(*version).at(at).open();
            for number in 0..40 {
                publisher.say(name, &(round * 40 + number).to_string(), *qos);
            }
            read_some(&mut subscriber, next, if round == 2 { 120 - *next } else { 25 });
        }
        broker = broker.restart();
    }
    assert_eq!(next, vec![120; rows.len()]);
}

/// QoS 0 has no resending, and keeps its order while a subscriber reads slowly.
#[test]
fn order_holds_at_qos_0() {
    let topic = unique("zero");
    let (mut publisher, mut subscriber) = (client(V5), client(V311));
    subscriber.subscribe(&topic, 0);
    for number in 0..5000 {
        publisher.send_publish(&Publish::new(&topic, format!("{number}"), 0));
    }
    for number in 0..5000 {
        subscriber.expect(&topic, &number.to_string(), 0);
    }
}
