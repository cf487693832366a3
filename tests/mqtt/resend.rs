//! What was under way when a connection broke: sent again, under the same identifiers, once.

use crate::harness::*;

/// [MQTT-4.4.0-1], [MQTT-3.3.1-1]: QoS 1 and QoS 2 without an answer.
#[test]
fn unacknowledged_messages_come_again_with_dup_and_their_identifiers() {
    for version in BOTH {
        for qos in [1, 2] {
            let (id, topic) = (unique("again"), unique("again"));
            let mut subscriber = connect(version).id(&id).kept().open();
            subscriber.subscribe(&topic, qos);
            let mut publisher = client(version);
            for number in 0..5 {
                publisher.say(&topic, &number.to_string(), qos);
            }
            let before: Vec<Publish> = (0..5).map(|_| subscriber.delivery()).collect();
            // The third one is settled, so four come again, in their order [MQTT-4.6.0-1].
            if qos == 1 {
                subscriber.ack(0x40, before[2].id);
            } else {
                subscriber.ack(0x50, before[2].id);
                subscriber.acked(0x62, before[2].id);
                subscriber.ack(0x70, before[2].id);
            }
            subscriber.ping();
            subscriber.cut();
            let mut subscriber = connect(version).id(&id).kept().resume();
            for old in before.iter().enumerate().filter(|(at, _)| *at != 2).map(|(_, old)| old) {
                let new = subscriber.take();
                assert_eq!((new.id, new.text(), new.duplicate), (old.id, old.text(), true), "{version:?} QoS {qos}");
            }
            subscriber.expect_nothing();
        }
    }
}

/// [MQTT-4.4.0-1], [MQTT-4.3.3-6]: after PUBREC not the message but its PUBREL comes again.
#[test]
fn a_received_qos_2_message_does_not_come_again_but_its_release_does() {
    for version in BOTH {
        let (id, topic) = (unique("release"), unique("release"));
        let mut subscriber = connect(version).id(&id).kept().open();
        subscriber.subscribe(&topic, 2);
        client(version).say(&topic, "once", 2);
        let message = subscriber.delivery();
        subscriber.ack(0x50, message.id);
        subscriber.acked(0x62, message.id);
        for _ in 0..2 {
            subscriber.cut();
            subscriber = connect(version).id(&id).kept().resume();
            assert!(matches!(subscriber.receive(), Packet::Pubrel(ack) if ack.id == message.id));
        }
        subscriber.ack(0x70, message.id);
        subscriber.ping();
        subscriber.cut();
        connect(version).id(&id).kept().resume().expect_nothing();
    }
}

/// [MQTT-4.3.3-10] over a reconnect: the broker keeps the identifiers of QoS 2 messages it has taken.
#[test]
fn a_qos_2_message_sent_again_after_a_reconnect_is_the_same_message() {
    for version in BOTH {
        let (id, topic) = (unique("retry"), unique("retry"));
        let mut subscriber = client(version);
        subscriber.subscribe(&topic, 2);
        let mut publisher = connect(version).id(&id).kept().open();
        publisher.send_publish(&Publish::new(&topic, "once", 2).id(5));
        publisher.acked(0x50, 5);
        publisher.cut();
        let mut publisher = connect(version).id(&id).kept().resume();
        publisher.send_publish(&Publish::new(&topic, "once", 2).id(5).duplicate());
        assert!(publisher.acked(0x50, 5).code < 0x80);
        publisher.cut();
        let mut publisher = connect(version).id(&id).kept().resume();
        assert_eq!(publisher.release(5).code, 0);
        subscriber.expect(&topic, "once", 2);
        subscriber.expect_nothing();
    }
}

/// [MQTT-3.1.2-4], [MQTT-3.1.2-6]
#[test]
fn a_clean_start_forgets_what_was_under_way() {
    for version in BOTH {
        let (id, topic) = (unique("forget"), unique("forget"));
        let mut subscriber = connect(version).id(&id).kept().open();
        subscriber.subscribe(&topic, 1);
        client(version).say(&topic, "x", 1);
        subscriber.delivery();
        subscriber.cut();
        connect(version).id(&id).open().expect_nothing();
    }
}

/// [MQTT-3.3.4-9] after a reconnect: the window is the one of the new connection.
#[test]
fn a_narrower_window_holds_for_what_comes_again() {
    let (id, topic) = (unique("narrow"), unique("narrow"));
    let mut subscriber = connect(V5).id(&id).kept().open();
    subscriber.subscribe(&topic, 1);
    let mut publisher = client(V5);
    for number in 0..5 {
        publisher.say(&topic, &number.to_string(), 1);
    }
    for _ in 0..5 {
        subscriber.delivery();
    }
    subscriber.cut();
    let window = Property::Two(property::RECEIVE_MAXIMUM, 2);
    let mut subscriber = connect(V5).id(&id).kept().with(window).resume();
    let first = subscriber.delivery();
    subscriber.delivery();
    subscriber.expect_nothing();
    subscriber.ack(0x40, first.id);
    assert_eq!(subscriber.delivery().text(), "2");
    subscriber.expect_nothing();
}

/// [MQTT-4.4.0-2]: a delivery that was answered with an error is over.
#[test]
fn a_delivery_that_was_refused_does_not_come_again() {
    for qos in [1, 2] {
        let (id, topic) = (unique("refused"), unique("refused"));
        let mut subscriber = connect(V5).id(&id).kept().open();
        subscriber.subscribe(&topic, qos);
        client(V5).say(&topic, "x", qos);
        let message = subscriber.delivery();
        subscriber.send(&raw([0, 0x40, 0x50][usize::from(qos)], &[&message.id.to_be_bytes()[..], &[0x97]].concat()));
        subscriber.ping();
        subscriber.cut();
        connect(V5).id(&id).kept().resume().expect_nothing();
    }
}

/// [MQTT-4.4.0-1]: at no other time than after a reconnect.
#[test]
fn nothing_is_sent_again_on_a_connection_that_lasts() {
    for version in ALL {
        let topic = unique("patience");
        let mut subscriber = client(version);
        subscriber.subscribe(&topic, 2);
        client(version).say(&topic, "x", 2);
        client(version).say(&topic, "y", 1);
        assert_eq!((subscriber.delivery().text(), subscriber.delivery().text()), ("x", "y"));
        pass(2);
        subscriber.expect_nothing();
    }
}

/// [MQTT-3.1.2-24], [MQTT-3.1.2-25], [MQTT-2.2.1-4], 4.3.3: what became too large for the client does not come again and counts
/// as sent. Its identifier, under which a QoS 2 client may have it, is free only after PUBREL and PUBCOMP, which may say
/// "not known" (3.7.2.1: no error while a session is recovered).
#[test]
fn an_identifier_of_what_became_too_large_is_released_before_it_is_used_again() {
    for (qos, pubcomp) in [(1, 0), (2, 0), (2, 0x92)] {
        let (id, topic) = (unique("smaller"), unique("smaller"));
        let mut subscriber = connect(V5).id(&id).kept().open();
        subscriber.subscribe(&topic, qos);
        let mut publisher = client(V5);
        publisher.say(&topic, &"x".repeat(500), qos);
        publisher.say(&topic, "small", qos);
        let (large, small) = (subscriber.delivery(), subscriber.delivery());
        subscriber.cut();
        for _ in 0..2 {
            let mut subscriber =
                connect(V5).id(&id).kept().with(Property::Four(property::MAXIMUM_PACKET_SIZE, 100)).resume();
            if qos == 2 {
                assert!(matches!(subscriber.receive(), Packet::Pubrel(ack) if ack.id == large.id));
            }
            let again = subscriber.delivery();
            assert_eq!((again.id, again.text(), again.duplicate), (small.id, "small", true));
            subscriber.expect_nothing();
            subscriber.cut();
        }
        // It counts as sent for whatever the client takes later.
        let mut subscriber = connect(V5).id(&id).kept().resume();
        if qos == 2 {
            assert!(matches!(subscriber.receive(), Packet::Pubrel(ack) if ack.id == large.id));
            subscriber.send(&writer::ack(V5, 0x70, large.id, pubcomp));
        }
        assert_eq!(subscriber.take().text(), "small");
        subscriber.cut();
        connect(V5).id(&id).kept().resume().expect_nothing();
    }
}
