//! The real binary, killed as by `kill -9`: what it had acknowledged by then is there again.

use crate::harness::*;
use std::sync::atomic::{AtomicU32, Ordering};

/// Publishes with up to fifty messages under way until the broker is gone; how many were acknowledged. Told of each one.
fn publish_until_killed(publisher: &mut Client, topic: &str, qos: u8, acknowledged: &AtomicU32) {
    let mut sent = 0;
    loop {
        while sent < acknowledged.load(Ordering::Relaxed) + 50 {
            let id = (sent % 60_000 + 1) as u16;
            publisher.try_send_publish(&Publish::new(topic, format!("{sent}"), qos).id(id));
            sent += 1;
        }
        match publisher.try_receive() {
            Ok(Packet::Puback(ack)) => {
                assert!(ack.code < 0x80);
                acknowledged.fetch_add(1, Ordering::Relaxed);
            }
            Ok(Packet::Pubrec(ack)) => {
                assert!(ack.code < 0x80);
                acknowledged.fetch_add(1, Ordering::Relaxed);
                publisher.try_send(&[0x62, 2, (ack.id >> 8) as u8, ack.id as u8]);
            }
            Ok(Packet::Pubcomp(_)) => {}
            Ok(other) => panic!("unexpected {other:?}"),
            Err(_) => return,
        }
    }
}

#[test]
fn what_was_acknowledged_is_delivered_after_a_kill() {
    for qos in [1, 2] {
        let Some(mut broker) = Process::start() else { return };
        let (id, topic) = (unique("reader"), unique("killed"));
        let mut subscriber = connect(V5).at(broker.address()).id(&id).kept().open();
        subscriber.subscribe(&topic, qos);
        subscriber.disconnect();
        let acknowledged = AtomicU32::new(0);
        let mut publisher = connect(V5).at(broker.address()).session_expiry(600).open();
        std::thread::scope(|scope| {
            scope.spawn(|| publish_until_killed(&mut publisher, &topic, qos, &acknowledged));
            while acknowledged.load(Ordering::Relaxed) < 500 {
                std::thread::yield_now();
            }
            broker.kill();
        });
        let acknowledged = acknowledged.load(Ordering::Relaxed);
        let broker = broker.kill_and_start();
        let mut subscriber = connect(V5).at(broker.address()).id(&id).kept().resume();
        // Messages that were on disk and not yet acknowledged may follow.
        for number in 0..acknowledged {
            subscriber.expect(&topic, &number.to_string(), qos);
        }
    }
}

/// Q04: the broker dies at each step of the exchange of a delivery.
#[test]
fn a_delivery_at_qos_2_ends_once_wherever_the_broker_dies() {
    for steps in 0..4 {
        let Some(broker) = Process::start() else { return };
        let (id, topic) = (unique("steps"), unique("steps"));
        let mut subscriber = connect(V5).at(broker.address()).id(&id).kept().open();
        subscriber.subscribe(&topic, 2);
        connect(V5).at(broker.address()).open().say(&topic, "once", 2);
        let mut received = None;
        if steps > 0 {
            received = Some(subscriber.delivery().id);
        }
        if let Some(id) = received.filter(|_| steps > 1) {
            subscriber.ack(0x50, id);
            subscriber.acked(0x62, id);
        }
        if let Some(id) = received.filter(|_| steps > 2) {
            subscriber.ack(0x70, id);
            subscriber.ping();
        }
        let broker = broker.kill_and_start();
        let mut subscriber = connect(V5).at(broker.address()).id(&id).kept().resume();
        match (steps, received) {
            (0 | 1, received) => {
                let message = subscriber.expect(&topic, "once", 2);
                assert!(received.is_none_or(|id| id == message.id));
            }
            (2, Some(id)) => {
                assert!(matches!(subscriber.receive(), Packet::Pubrel(ack) if ack.id == id));
                subscriber.ack(0x70, id);
            }
            _ => drop_repeated_release(&mut subscriber),
        }
        subscriber.expect_nothing();
    }
}

/// PUBCOMP is answered by nothing, so a broker that dies after it may not have it on disk: PUBREL may come again.
fn drop_repeated_release(subscriber: &mut Client) {
    subscriber.ping();
    while !subscriber.is_silent_for(std::time::Duration::from_millis(50)) {
        let Packet::Pubrel(ack) = subscriber.receive() else { panic!("nothing but PUBREL may come again") };
        subscriber.ack(0x70, ack.id);
    }
}

#[test]
fn sessions_retained_messages_and_modules_outlive_a_kill() {
    let Some(broker) = Process::start() else { return };
    let (id, own) = (unique("all"), unique("all"));
    let mut subscriber = connect(V5).at(broker.address()).id(&id).kept().open();
    subscriber.subscribe(&format!("{own}/+"), 1);
    let mut publisher = connect(V5).at(broker.address()).open();
    publisher.publish(&Publish::new(&format!("{own}/retained/x"), "kept", 1).retained());
    let rules = serde_json::json!({ "rules": [{ "from": "in/{rest...}", "to": format!("{own}/{{rest...}}") }] });
    broker.admin().put("/api/v1/modules/topic-rules/config", &rules).expect(200);
    let broker = broker.kill_and_start();
    let mut subscriber = connect(V5).at(broker.address()).id(&id).kept().resume();
    let mut publisher = connect(V5).at(broker.address()).open();
    publisher.say("in/mapped", "x", 1);
    assert_eq!(subscriber.take().payload, b"x");
    subscriber.subscribe(&format!("{own}/retained/#"), 1);
    // The rule works both ways: the topic is shown under the name that this listener's clients have for it.
    assert!(subscriber.expect("in/retained/x", "kept", 1).retain);
}
