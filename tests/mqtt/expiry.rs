//! Message Expiry Interval.

use crate::harness::property::MESSAGE_EXPIRY;
use crate::harness::*;

fn expiring(topic: &str, payload: &str, seconds: u32) -> Publish {
    Publish::new(topic, payload, 1).with(Property::Four(MESSAGE_EXPIRY, seconds))
}

/// [MQTT-3.3.2-6]
#[test]
fn what_is_left_of_the_interval_is_handed_on() {
    let (id, topic) = (unique("left"), unique("left"));
    let mut subscriber = connect(V5).id(&id).kept().open();
    subscriber.subscribe(&topic, 1);
    let mut publisher = client(V5);
    publisher.publish(&expiring(&topic, "at once", 100));
    let left = subscriber.expect(&topic, "at once", 1).properties.number(MESSAGE_EXPIRY);
    assert!(left.is_some_and(|left| (99..=100).contains(&left)), "{left:?}");
    subscriber.disconnect();
    publisher.publish(&expiring(&topic, "later", 100));
    pass(2);
    let left = connect(V5).id(&id).kept().resume().expect(&topic, "later", 1).properties.number(MESSAGE_EXPIRY);
    assert!(left.is_some_and(|left| (90..=98).contains(&left)), "{left:?}");
}

/// [MQTT-3.3.2-5]
#[test]
fn a_message_that_expired_in_the_queue_is_not_delivered() {
    let (id, topic) = (unique("queue"), unique("queue"));
    let mut subscriber = connect(V5).id(&id).kept().open();
    subscriber.subscribe(&topic, 1);
    subscriber.disconnect();
    let mut publisher = client(V5);
    publisher.publish(&expiring(&topic, "short", 1));
    publisher.publish(&expiring(&topic, "long", 100));
    publisher.say(&topic, "for ever", 1);
    pass(2);
    let mut subscriber = connect(V5).id(&id).kept().resume();
    subscriber.expect(&topic, "long", 1);
    let last = subscriber.expect(&topic, "for ever", 1);
    assert_eq!(last.properties.number(MESSAGE_EXPIRY), None);
    subscriber.expect_nothing();
}

/// [MQTT-3.3.2-5] for a subscriber of 3.1.1, who is not told.
#[test]
fn expiry_holds_for_subscribers_of_3_1_1_too() {
    let (id, topic) = (unique("old"), unique("old"));
    let mut subscriber = connect(V311).id(&id).kept().open();
    subscriber.subscribe(&topic, 1);
    subscriber.disconnect();
    let mut publisher = client(V5);
    publisher.publish(&expiring(&topic, "short", 1));
    publisher.say(&topic, "for ever", 1);
    pass(2);
    connect(V311).id(&id).kept().resume().expect(&topic, "for ever", 1);
}

/// 3.3.2.3.3: a retained message expires too.
#[test]
fn a_retained_message_expires() {
    let (short, long) = (unique("short"), unique("long"));
    let mut publisher = client(V5);
    publisher.publish(&expiring(&short, "x", 1).retained());
    publisher.publish(&expiring(&long, "x", 100).retained());
    pass(2);
    let mut subscriber = client(V5);
    subscriber.subscribe(&short, 1);
    subscriber.subscribe(&long, 1);
    let left = subscriber.expect(&long, "x", 1).properties.number(MESSAGE_EXPIRY);
    assert!(left.is_some_and(|left| (90..=98).contains(&left)), "{left:?}");
    subscriber.expect_nothing();
    publisher.publish(&Publish::new(&long, "", 0).retained());
}

/// P17: the greatest interval is no overflow.
#[test]
fn the_greatest_interval_is_taken() {
    let topic = unique("greatest");
    let (mut publisher, mut subscriber) = (client(V5), client(V5));
    subscriber.subscribe(&topic, 1);
    publisher.publish(&expiring(&topic, "x", u32::MAX));
    assert!(subscriber.take().properties.number(MESSAGE_EXPIRY).is_none_or(|left| left >= u32::MAX - 2));
}

/// [MQTT-4.3.3-7]: once it was sent, a QoS 2 message is brought to its end whatever its age.
#[test]
fn a_delivery_that_has_begun_does_not_expire() {
    let (id, topic) = (unique("begun"), unique("begun"));
    let mut subscriber = connect(V5).id(&id).kept().open();
    subscriber.subscribe(&topic, 2);
    client(V5).publish(&Publish { qos: 2, ..expiring(&topic, "x", 1) });
    let message = subscriber.delivery();
    subscriber.cut();
    pass(2);
    let mut subscriber = connect(V5).id(&id).kept().resume();
    let again = subscriber.delivery();
    assert_eq!((again.id, again.text(), again.duplicate), (message.id, "x", true));
    subscriber.ack(0x50, message.id);
    assert_eq!(subscriber.acked(0x62, message.id).code, 0);
    subscriber.ack(0x70, message.id);
    subscriber.expect_nothing();
}

/// [MQTT-4.3.3-13]: a publisher is answered to the end, also about a message that has expired meanwhile.
#[test]
fn a_publication_that_expired_is_acknowledged_to_the_end() {
    let topic = unique("acknowledged");
    let mut publisher = client(V5);
    let id = publisher.send_publish(&Publish { qos: 2, ..expiring(&topic, "x", 1) });
    assert!(publisher.acked(0x50, id).code < 0x80);
    pass(2);
    assert_eq!(publisher.release(id).code, 0);
}
