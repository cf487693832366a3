//! Subscription identifiers (5.0, 3.8.2.1.2).

use crate::harness::property::SUBSCRIPTION_IDENTIFIER;
use crate::harness::*;

fn identifier(number: u32) -> Property {
    Property::Variable(SUBSCRIPTION_IDENTIFIER, number)
}

/// [MQTT-3.3.4-3]
#[test]
fn a_delivery_carries_the_identifier_of_its_subscription() {
    for number in [1, 127, 128, 16_384, 268_435_455] {
        let topic = unique("identified");
        let mut subscriber = client(V5);
        subscriber.subscribe_with([identifier(number)], &[Subscription::new(&topic, 1)]);
        client(V5).say(&topic, "x", 1);
        assert_eq!(subscriber.take().properties.numbers(SUBSCRIPTION_IDENTIFIER), [number]);
    }
}

/// [MQTT-3.3.4-5]: one copy for each, with the identifier of its subscription.
#[test]
fn overlapping_subscriptions_bring_a_copy_each_with_its_identifier() {
    let topic = unique("overlap");
    let mut subscriber = client(V5);
    subscriber.subscribe_with([identifier(1)], &[Subscription::new(&format!("{topic}/#"), 1)]);
    subscriber.subscribe_with([identifier(2)], &[Subscription::new(&format!("{topic}/+"), 1)]);
    client(V5).say(&format!("{topic}/a"), "x", 1);
    let mut identifiers = [(); 2].map(|()| subscriber.take().properties.numbers(SUBSCRIPTION_IDENTIFIER));
    identifiers.sort_unstable();
    assert_eq!(identifiers, [[1], [2]]);
    subscriber.expect_nothing();
}

/// [MQTT-3.3.4-4]: one copy with all identifiers, if the operator wants it so.
#[test]
fn overlapping_subscriptions_bring_one_copy_with_all_identifiers() {
    let Some(broker) = Broker::start_with(|config| config.mqtt.copy_per_subscription = false) else { return };
    let mut subscriber = connect(V5).at(broker.address()).open();
    subscriber.subscribe_with([identifier(1)], &[Subscription::new("a/#", 1)]);
    subscriber.subscribe_with([identifier(2)], &[Subscription::new("a/+", 1)]);
    subscriber.subscribe("+/a", 0);
    connect(V5).at(broker.address()).open().say("a/a", "x", 1);
    let mut identifiers = subscriber.take().properties.numbers(SUBSCRIPTION_IDENTIFIER);
    identifiers.sort_unstable();
    assert_eq!(identifiers, [1, 2]);
    subscriber.expect_nothing();
}

/// 3.8.2.1.2: a subscription made again has the identifier of its last SUBSCRIBE, or none.
#[test]
fn subscribing_again_replaces_the_identifier() {
    let topic = unique("again");
    let (mut publisher, mut subscriber) = (client(V5), client(V5));
    for (properties, expected) in [(vec![identifier(1)], vec![1]), (vec![identifier(2)], vec![2]), (vec![], vec![])] {
        subscriber.subscribe_with(Properties(properties), &[Subscription::new(&topic, 1)]);
        publisher.say(&topic, "x", 1);
        assert_eq!(subscriber.take().properties.numbers(SUBSCRIPTION_IDENTIFIER), expected);
    }
    subscriber.expect_nothing();
}

#[test]
fn retained_messages_carry_the_identifier_too() {
    let topic = unique("retained");
    let mut publisher = client(V5);
    publisher.publish(&Publish::new(&topic, "x", 1).retained());
    let mut subscriber = client(V5);
    subscriber.subscribe_with([identifier(9)], &[Subscription::new(&topic, 1)]);
    assert_eq!(subscriber.take().properties.numbers(SUBSCRIPTION_IDENTIFIER), [9]);
    publisher.publish(&Publish::new(&topic, "", 1).retained());
}

/// 4.1: identifiers are part of the session.
#[test]
fn identifiers_are_kept_with_the_session() {
    let (id, topic) = (unique("kept"), unique("kept"));
    let mut subscriber = connect(V5).id(&id).kept().open();
    subscriber.subscribe_with([identifier(5)], &[Subscription::new(&topic, 1)]);
    subscriber.disconnect();
    client(V5).say(&topic, "x", 1);
    let mut subscriber = connect(V5).id(&id).kept().resume();
    assert_eq!(subscriber.take().properties.numbers(SUBSCRIPTION_IDENTIFIER), [5]);
}
