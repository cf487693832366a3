//! QoS 0, 1 and 2 in both directions, one connection at a time.

use crate::harness::*;

/// [MQTT-3.8.4-8], [MQTT-3.8.4-6]: the lower one of what was published and what was granted, whatever is spoken.
#[test]
fn a_message_arrives_at_the_lower_qos() {
    for from in ALL {
        for to in ALL {
            for granted in 0..3 {
                let topic = unique("lower");
                let (mut publisher, mut subscriber) = (client(from), client(to));
                subscriber.subscribe(&topic, granted);
                for qos in 0..3 {
                    publisher.say(&topic, "x", qos);
                    let message = subscriber.expect(&topic, "x", qos.min(granted));
                    assert!(!message.duplicate && !message.retain);
                }
                subscriber.expect_nothing();
                publisher.expect_nothing();
            }
        }
    }
}

/// [MQTT-4.3.2-4], [MQTT-4.3.3-8], [MQTT-4.3.3-11]: each answer carries the identifier of what it answers.
#[test]
fn answers_carry_the_packet_identifier() {
    for version in ALL {
        let mut client = client(version);
        let topic = unique("ids");
        for id in [1, 2, 0x100, 0x7FFF, 0xFFFF] {
            client.send_publish(&Publish::new(&topic, "x", 1).id(id));
            assert!(client.acked(0x40, id).code < 0x80);
            client.send_publish(&Publish::new(&topic, "x", 2).id(id));
            assert!(client.acked(0x50, id).code < 0x80);
            assert_eq!(client.release(id).code, 0);
        }
        client.expect_nothing();
    }
}

/// [MQTT-4.3.3-10], [MQTT-4.3.3-2], Q01, Q10
#[test]
fn a_qos_2_message_sent_again_before_its_release_is_the_same_message() {
    for version in BOTH {
        let topic = unique("twice");
        let (mut publisher, mut subscriber) = (client(version), client(version));
        subscriber.subscribe(&topic, 2);
        publisher.send_publish(&Publish::new(&topic, "first", 2).id(7));
        publisher.acked(0x50, 7);
        for _ in 0..20 {
            publisher.send_publish(&Publish::new(&topic, "other payload", 2).id(7).duplicate());
            assert!(publisher.acked(0x50, 7).code < 0x80);
        }
        publisher.release(7);
        subscriber.expect(&topic, "first", 2);
        subscriber.expect_nothing();
        // [MQTT-4.3.3-12]: after PUBCOMP the identifier is free for another message.
        publisher.send_publish(&Publish::new(&topic, "second", 2).id(7));
        publisher.acked(0x50, 7);
        publisher.release(7);
        subscriber.expect(&topic, "second", 2);
    }
}

/// Q03
#[test]
fn a_first_qos_2_message_with_dup_is_delivered_once() {
    for version in BOTH {
        let topic = unique("dup");
        let (mut publisher, mut subscriber) = (client(version), client(version));
        subscriber.subscribe(&topic, 2);
        publisher.send_publish(&Publish::new(&topic, "hi", 2).id(7).duplicate());
        publisher.acked(0x50, 7);
        publisher.release(7);
        subscriber.expect(&topic, "hi", 2);
        subscriber.expect_nothing();
    }
}

/// [MQTT-3.3.1-3]
#[test]
fn dup_of_the_publisher_is_not_handed_on() {
    for version in BOTH {
        let topic = unique("dup");
        let (mut publisher, mut subscriber) = (client(version), client(version));
        subscriber.subscribe(&topic, 1);
        publisher.send_publish(&Publish::new(&topic, "hi", 1).duplicate());
        assert!(!subscriber.take().duplicate);
    }
}

/// Q05
#[test]
fn releasing_what_was_never_sent_is_answered() {
    // 3.7.2.1: 0x92 is allowed, not demanded; clients in the field take it for an error.
    for (version, codes) in [(V311, &[0][..]), (V5, &[0, 0x92])] {
        let code = client(version).release(99).code;
        assert!(codes.contains(&code), "{version:?}: {code:#x}");
    }
}

/// Q05, the other direction: a PUBREC that nothing led to.
#[test]
fn receiving_what_was_never_sent_is_answered() {
    let mut client = client(V5);
    client.ack(0x50, 99);
    assert!([0, 0x92].contains(&client.acked(0x62, 99).code));
    client.ping();
}

/// Q07
#[test]
fn acknowledgements_of_nothing_are_ignored() {
    for version in BOTH {
        let mut client = client(version);
        client.send(&hex("40 02 12 34  70 02 12 34"));
        client.expect_nothing();
    }
}

/// 4.3.3: PUBREC with an error ends the delivery.
#[test]
fn a_delivery_that_the_receiver_refuses_is_over() {
    let topic = unique("refused");
    let (mut publisher, mut subscriber) = (client(V5), client(V5));
    subscriber.subscribe(&topic, 2);
    publisher.say(&topic, "x", 2);
    let id = subscriber.delivery().id;
    subscriber.send(&[0x50, 0x03, (id >> 8) as u8, id as u8, 0x97]);
    subscriber.expect_nothing();
}

/// [MQTT-4.6.0-6], [MQTT-4.6.0-5]
#[test]
fn messages_of_one_publisher_on_one_topic_keep_their_order() {
    for version in BOTH {
        for qos in 0..3 {
            let topic = unique("order");
            let (mut publisher, mut subscriber) = (client(version), client(version));
            subscriber.subscribe(&topic, qos);
            // So many at a time stay below every broker's bounds on what may be under way.
            for round in 0..50 {
                let numbers = round * 20..(round + 1) * 20;
                let send = |number| publisher.send_publish(&Publish::new(&topic, format!("{number}"), qos));
                let ids: Vec<u16> = numbers.clone().map(send).collect();
                for id in ids {
                    match qos {
                        0 => {}
                        1 => assert!(publisher.acked(0x40, id).code < 0x80),
                        _ => {
                            publisher.acked(0x50, id);
                            publisher.release(id);
                        }
                    }
                }
                for number in numbers {
                    subscriber.expect(&topic, &number.to_string(), qos);
                }
            }
            subscriber.expect_nothing();
        }
    }
}

#[test]
fn payloads_of_any_size_arrive_whole() {
    for version in BOTH {
        let topic = unique("size");
        let (mut publisher, mut subscriber) = (client(version), client(version));
        subscriber.subscribe(&topic, 1);
        for size in [0, 1, 90, 127, 128, 16_000, 16_383, 16_384, 65_535, 65_536, 1 << 20] {
            let payload: Vec<u8> = (0..size).map(|at| (at * 31 % 251) as u8).collect();
            publisher.publish(&Publish::new(&topic, &payload, 1));
            assert!(subscriber.take().payload == payload, "{size} bytes");
        }
    }
}

/// F24: a packet is put together in time linear in its length.
#[test]
fn a_message_may_come_byte_by_byte() {
    let topic = unique("drip");
    let (mut publisher, mut subscriber) = (client(V311), client(V311));
    subscriber.subscribe(&topic, 0);
    let mut body = vec![0, topic.len() as u8];
    body.extend(topic.bytes());
    body.extend([b'x'; 2000]);
    for byte in raw(0x30, &body) {
        publisher.send(&[byte]);
    }
    assert_eq!(subscriber.take().payload, [b'x'; 2000]);
}

#[test]
fn a_client_gets_what_it_publishes_itself() {
    for version in ALL {
        let topic = unique("self");
        let mut client = client(version);
        client.subscribe(&topic, 2);
        for qos in 0..3 {
            client.say(&topic, "x", qos);
            client.expect(&topic, "x", qos);
        }
    }
}

/// [MQTT-4.3.2-1]: identifiers of deliveries in flight differ.
#[test]
fn deliveries_under_way_have_identifiers_of_their_own() {
    let topic = unique("flight");
    let (mut publisher, mut subscriber) = (client(V311), client(V311));
    subscriber.subscribe(&topic, 2);
    for number in 0..15 {
        publisher.say(&topic, &number.to_string(), 1 + number % 2);
    }
    let mut ids: Vec<u16> = (0..15).map(|_| subscriber.delivery().id).collect();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), 15);
}

/// [MQTT-4.3.2-5], [MQTT-4.3.3-12]: an identifier whose exchange is over stands for a new message, whatever DUP says.
#[test]
fn an_identifier_may_be_used_again_once_its_exchange_is_over() {
    for version in ALL {
        for qos in [1, 2] {
            let topic = unique("again");
            let (mut publisher, mut subscriber) = (client(version), client(version));
            subscriber.subscribe(&topic, qos);
            for payload in ["first", "second", "third"] {
                let message = Publish::new(&topic, payload, qos).id(7);
                let message = if payload == "third" { message.duplicate() } else { message };
                assert!(publisher.publish(&message) < 0x80);
                subscriber.expect(&topic, payload, qos);
            }
            subscriber.expect_nothing();
        }
    }
}

/// Its receipts wait for the disk, one or the other at any time; what comes for it does not wait for them all.
#[test]
fn whoever_publishes_at_qos_2_without_a_pause_gets_messages_meanwhile() {
    const ALL_OF_THEM: u16 = 8_000;
    // A disk that takes little at a time has always something to do.
    let Some(broker) = Broker::start_with(|config| config.store.batch_changes_max = 32) else { return };
    let come = || connect(V311).at(broker.address()).kept().open();
    let (mut publisher, mut friend) = (come(), come());
    publisher.subscribe("other", 0);
    let mut sent = 0;
    let mut send = |publisher: &mut Client| {
        if sent < ALL_OF_THEM {
            sent += 1;
            publisher.send_publish(&Publish::new("busy", "x", 2).id(sent));
        }
    };
    (0..2_000).for_each(|_| send(&mut publisher));
    let mut receipts = 0;
    while receipts < ALL_OF_THEM {
        match publisher.receive() {
            Packet::Pubrec(_) if receipts == 0 => friend.say("other", "unrelated", 0),
            Packet::Pubrec(_) => {}
            Packet::Publish(message) => {
                assert_eq!(message.topic, "other");
                return;
            }
            packet => panic!("{packet:?}"),
        }
        receipts += 1;
        send(&mut publisher);
    }
    panic!("all of it came first");
}

/// [MQTT-4.6.0-2], [MQTT-4.6.0-3], [MQTT-4.6.0-4] on the broker's side: answers come in the order of what they answer.
#[test]
fn acknowledgements_come_in_the_order_of_the_messages() {
    for version in ALL {
        let topic = unique("order");
        let mut subscriber = client(version);
        subscriber.subscribe(&topic, 2);
        let mut publisher = client(version);
        for (qos, answer) in [(1, 0x40), (2, 0x50)] {
            for id in 1..=100 {
                publisher.send_publish(&Publish::new(&topic, "x", qos).id(id));
            }
            for id in 1..=100 {
                let got = publisher.receive();
                let in_order = match &got {
                    Packet::Puback(ack) => answer == 0x40 && ack.id == id,
                    Packet::Pubrec(ack) => answer == 0x50 && ack.id == id,
                    _ => false,
                };
                assert!(in_order, "{version:?} QoS {qos}: {got:?} in the place of {id}");
            }
        }
        for id in 1..=100 {
            publisher.ack(0x62, id);
        }
        for id in 1..=100 {
            let got = publisher.receive();
            assert!(matches!(&got, Packet::Pubcomp(ack) if ack.id == id), "{got:?} in the place of {id}");
        }
    }
}
