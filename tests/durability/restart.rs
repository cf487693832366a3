//! A broker that is stopped in order and started again on its data.

use crate::harness::*;
use std::io::Write;
use std::net::TcpStream;

#[test]
fn sessions_and_their_queues_outlive_a_restart() {
    for version in BOTH {
        let Some(broker) = Broker::start() else { return };
        let (id, topic) = (unique("queue"), unique("queue"));
        let mut subscriber = connect(version).at(broker.address()).id(&id).kept().open();
        subscriber.subscribe(&topic, 2);
        subscriber.disconnect();
        let mut publisher = connect(V5).at(broker.address()).open();
        for number in 0..50 {
            let message = Publish::new(&topic, format!("{number}"), 1 + number % 2).with(Property::user("n", "v"));
            assert_eq!(publisher.publish(&message), 0);
        }
        let broker = broker.restart();
        let mut subscriber = connect(version).at(broker.address()).id(&id).kept().resume();
        for number in 0..50 {
            let message = subscriber.expect(&topic, &number.to_string(), 1 + number % 2);
            assert!(!message.duplicate && message.properties.user().len() == usize::from(version == V5));
        }
        subscriber.expect_nothing();
        // What was delivered is over: it does not come again after the next restart.
        subscriber.disconnect();
        let broker = broker.restart();
        connect(version).at(broker.address()).id(&id).kept().resume().expect_nothing();
    }
}

/// A publisher whose last message was taken hears of it: it does not have to send that again.
#[test]
fn what_is_taken_before_a_broker_stops_is_acknowledged() {
    for _ in 0..3 {
        let Some(broker) = Broker::start() else { return };
        let mut subscriber = connect(V311).at(broker.address()).id("s").kept().open();
        subscriber.subscribe("t", 1);
        subscriber.disconnect();
        let stream = TcpStream::connect(broker.address()).expect("a connection");
        let mut on = stream.try_clone().expect("a handle");
        let mut publisher = connect(V311).at(broker.address()).open_on(Box::new(stream));
        // It goes on for as long as it can, so that whenever the broker stops something is on its way to the disk.
        let publishes = std::thread::spawn(move || {
            (1..=u16::MAX).try_for_each(|id| {
                on.write_all(&writer::publish(V311, &Publish { id, ..Publish::new("t", id.to_string(), 1) }))
            })
        });
        (1..=100).for_each(|id| drop(publisher.acked(0x40, id)));
        let broker = broker.restart();
        let mut acknowledged = 100;
        while let Ok(packet) = publisher.try_receive() {
            acknowledged += u32::from(matches!(packet, Packet::Puback(_)));
        }
        drop(publishes.join().unwrap());
        assert!(acknowledged < u32::from(u16::MAX), "the broker stopped too late to tell anything");
        let mut subscriber = connect(V311).at(broker.address()).id("s").kept().resume();
        for number in 1..=acknowledged {
            subscriber.expect("t", &number.to_string(), 1);
        }
        subscriber.expect_nothing();
    }
}

#[test]
fn subscriptions_go_on_after_a_restart() {
    let Some(broker) = Broker::start() else { return };
    let (id, topic) = (unique("goes-on"), unique("goes-on"));
    let mut subscriber = connect(V5).at(broker.address()).id(&id).kept().open();
    let identifier = Property::Variable(property::SUBSCRIPTION_IDENTIFIER, 7);
    let options = Subscription::new(&format!("{topic}/+"), 1).retain_as_published();
    subscriber.subscribe_with([identifier], &[options]);
    subscriber.subscribe(&format!("{topic}/gone"), 1);
    subscriber.unsubscribe(&[&format!("{topic}/gone")]);
    let broker = broker.restart();
    let mut publisher = connect(V5).at(broker.address()).open();
    publisher.publish(&Publish::new(&format!("{topic}/a"), "x", 2).retained());
    let mut subscriber = connect(V5).at(broker.address()).id(&id).kept().resume();
    let message = subscriber.expect(&format!("{topic}/a"), "x", 1);
    assert!(message.retain);
    assert_eq!(message.properties.numbers(property::SUBSCRIPTION_IDENTIFIER), [7]);
    subscriber.expect_nothing();
}

/// [MQTT-4.3.3-7], [MQTT-4.4.0-1]: what was sent does not expire any more, what waits behind it does.
#[test]
fn a_delivery_under_way_does_not_expire_over_a_restart() {
    for qos in [1, 2] {
        let Some(broker) = Broker::start() else { return };
        let (id, topic) = (unique("flight"), unique("flight"));
        let one_at_a_time = Property::Two(property::RECEIVE_MAXIMUM, 1);
        let mut first = connect(V5).at(broker.address()).id(&id).kept().with(one_at_a_time.clone()).open();
        first.subscribe(&topic, qos);
        let mut publisher = connect(V5).at(broker.address()).open();
        for payload in ["sent", "waits"] {
            let message = Publish::new(&topic, payload, qos);
            publisher.publish(&message.with(Property::Four(property::MESSAGE_EXPIRY, 5)));
        }
        let sent = first.delivery();
        drop(first);
        let broker = broker.restart();
        pass_at(broker.address(), 6);
        let mut again = connect(V5).at(broker.address()).id(&id).kept().with(one_at_a_time).resume();
        let copy = again.take();
        assert_eq!((copy.id, copy.duplicate, copy.text()), (sent.id, true, "sent"), "QoS {qos}");
        again.expect_nothing();
    }
}

/// [MQTT-4.4.0-1] over a restart
#[test]
fn deliveries_under_way_come_again_under_their_identifiers() {
    for (version, qos) in [(V311, 1), (V311, 2), (V5, 1), (V5, 2)] {
        let Some(broker) = Broker::start() else { return };
        let (id, topic) = (unique("flight"), unique("flight"));
        let mut subscriber = connect(version).at(broker.address()).id(&id).kept().open();
        subscriber.subscribe(&topic, qos);
        let mut publisher = connect(version).at(broker.address()).open();
        for number in 0..10 {
            publisher.say(&topic, &number.to_string(), qos);
        }
        let before: Vec<Publish> = (0..10).map(|_| subscriber.delivery()).collect();
        let broker = broker.restart();
        let mut subscriber = connect(version).at(broker.address()).id(&id).kept().resume();
        for old in &before {
            let new = subscriber.take();
            assert_eq!((new.id, new.text(), new.qos), (old.id, old.text(), qos), "{version:?}");
        }
        subscriber.expect_nothing();
    }
}

/// [MQTT-4.3.3-10] over a restart
#[test]
fn a_qos_2_message_that_was_taken_is_not_taken_again() {
    let Some(broker) = Broker::start() else { return };
    let (id, reader, topic) = (unique("once"), unique("once"), unique("once"));
    let mut subscriber = connect(V5).at(broker.address()).id(&reader).kept().open();
    subscriber.subscribe(&topic, 2);
    let mut publisher = connect(V5).at(broker.address()).id(&id).kept().open();
    publisher.send_publish(&Publish::new(&topic, "once", 2).id(5));
    assert_eq!(publisher.acked(0x50, 5).code, 0);
    let broker = broker.restart();
    let mut publisher = connect(V5).at(broker.address()).id(&id).kept().resume();
    publisher.send_publish(&Publish::new(&topic, "once", 2).id(5).duplicate());
    assert!(publisher.acked(0x50, 5).code < 0x80);
    assert_eq!(publisher.release(5).code, 0);
    let mut subscriber = connect(V5).at(broker.address()).id(&reader).kept().resume();
    subscriber.expect(&topic, "once", 2);
    subscriber.expect_nothing();
}

#[test]
fn retained_messages_outlive_a_restart() {
    let Some(broker) = Broker::start() else { return };
    let own = unique("retained");
    let mut publisher = connect(V5).at(broker.address()).open();
    let expiring = Property::Four(property::MESSAGE_EXPIRY, 100);
    publisher.publish(&Publish::new(&format!("{own}/kept"), "x", 1).retained().with(expiring));
    publisher.publish(&Publish::new(&format!("{own}/replaced"), "old", 1).retained());
    publisher.publish(&Publish::new(&format!("{own}/replaced"), "new", 1).retained());
    publisher.publish(&Publish::new(&format!("{own}/cleared"), "x", 1).retained());
    publisher.publish(&Publish::new(&format!("{own}/cleared"), "", 1).retained());
    let broker = broker.restart();
    let mut subscriber = connect(V5).at(broker.address()).open();
    subscriber.subscribe(&format!("{own}/#"), 1);
    let mut got = [subscriber.take(), subscriber.take()];
    got.sort_by_key(|message| message.topic.clone());
    assert_eq!(got[0].topic, format!("{own}/kept"));
    assert!(got[0].properties.number(property::MESSAGE_EXPIRY).is_some_and(|left| (80..=100).contains(&left)));
    assert_eq!(got[1].text(), "new");
    assert!(got.iter().all(|message| message.retain));
    subscriber.expect_nothing();
}

/// The broker went, not the client: its will is published when the broker is back, once, after its delay.
#[test]
fn a_will_outlives_a_restart() {
    for delay in [0, 1] {
        let Some(broker) = Broker::start() else { return };
        let (reader, topic) = (unique("reader"), unique("will"));
        let mut watcher = connect(V5).at(broker.address()).id(&reader).kept().open();
        watcher.subscribe(&topic, 1);
        let will = Will::new(&topic, "gone").qos(1).delay(delay);
        let mortal = connect(V5).at(broker.address()).session_expiry(600).will(will).open();
        let broker = broker.restart();
        let mut watcher = connect(V5).at(broker.address()).id(&reader).kept().resume();
        watcher.expect(&topic, "gone", 1);
        drop(mortal);
        pass_at(broker.address(), 2);
        watcher.expect_nothing();
    }
}

#[test]
fn a_session_that_is_not_kept_does_not_come_back() {
    let Some(broker) = Broker::start() else { return };
    let (id, topic) = (unique("ends"), unique("ends"));
    let mut subscriber = connect(V5).at(broker.address()).id(&id).open();
    subscriber.subscribe(&topic, 1);
    let broker = broker.restart();
    let again = connect(V5).at(broker.address()).id(&id).clean(false).open();
    assert!(!again.connack.present);
}

#[test]
fn modules_and_their_configuration_outlive_a_restart() {
    let Some(broker) = Broker::start() else { return };
    let rules = serde_json::json!({ "rules": [{ "from": "in/{rest...}", "to": "out/{rest...}" }] });
    broker.admin().put("/api/v1/modules/topic-rules/config", &rules).expect(200);
    let broker = broker.restart();
    let mut subscriber = connect(V5).at(broker.address()).open();
    subscriber.subscribe("in/#", 1);
    assert_eq!(broker.admin().get("/api/v1/modules/topic-rules").expect(200).json()["config"], rules);
    let explained = broker.admin().post("/api/v1/explain", &serde_json::json!({ "topic": "in/a" })).expect(200).json();
    assert_eq!(explained["topic"], "out/a");
}

/// [MQTT-4.13.1-1] where the broker goes: 5.0 is told why.
#[test]
fn clients_are_told_that_the_broker_goes() {
    let Some(broker) = Broker::start() else { return };
    let mut new = connect(V5).at(broker.address()).open();
    let mut old = connect(V311).at(broker.address()).open();
    drop(broker);
    new.expect_disconnect(0x8B);
    assert_eq!(old.expect_closed(), None);
}

/// Whoever comes back at once would be told a second time.
#[test]
fn nobody_comes_in_while_the_broker_goes() {
    let Some(broker) = Broker::start() else { return };
    let address = broker.address();
    let mut told = connect(V5).at(address).open();
    // Has nothing to say, and so the broker waits for it a little.
    let silent = std::net::TcpStream::connect(address).unwrap();
    told.ping();
    let stopping = std::thread::spawn(move || drop(broker));
    told.expect_disconnect(0x8B);
    assert!(std::net::TcpStream::connect(address).is_err());
    drop(silent);
    stopping.join().unwrap();
}
