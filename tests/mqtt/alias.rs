//! Topic aliases (5.0, 3.3.2.3.4), from the client to the broker and back.

use crate::harness::property::{TOPIC_ALIAS, TOPIC_ALIAS_MAXIMUM};
use crate::harness::*;

fn aliased(topic: &str, payload: &str, alias: u16) -> Publish {
    Publish::new(topic, payload, 1).with(Property::Two(TOPIC_ALIAS, alias))
}

/// How many aliases the broker takes.
fn maximum(client: &Client) -> u16 {
    client.connack.properties.number(TOPIC_ALIAS_MAXIMUM).unwrap_or(0) as u16
}

/// [MQTT-3.3.2-12]
#[test]
fn an_alias_stands_for_the_topic_it_was_set_with() {
    let (one, two) = (unique("one"), unique("two"));
    let (mut publisher, mut subscriber) = (client(V5), client(V5));
    let last = maximum(&publisher);
    assert!(last > 0, "the broker takes no aliases");
    subscriber.subscribe(&one, 1);
    subscriber.subscribe(&two, 1);
    publisher.publish(&aliased(&one, "set", 1));
    publisher.publish(&aliased("", "used", 1));
    publisher.publish(&aliased(&two, "set", last));
    publisher.publish(&aliased("", "used", last));
    publisher.publish(&aliased(&two, "moved", 1));
    publisher.publish(&aliased("", "used", 1));
    let expected = [(&one, "set"), (&one, "used"), (&two, "set"), (&two, "used"), (&two, "moved"), (&two, "used")];
    for (topic, payload) in expected {
        let message = subscriber.expect(topic, payload, 1);
        assert_eq!(message.properties.count(TOPIC_ALIAS), 0, "the publisher's alias is its own");
    }
}

/// [MQTT-3.3.2-7]: an alias ends with its connection.
#[test]
fn an_alias_does_not_outlive_its_connection() {
    let (id, topic) = (unique("alias"), unique("alias"));
    let mut publisher = connect(V5).id(&id).kept().open();
    publisher.publish(&aliased(&topic, "set", 1));
    publisher.disconnect();
    let mut publisher = connect(V5).id(&id).kept().resume();
    publisher.send_publish(&aliased("", "unknown", 1));
    publisher.expect_disconnect(0x82);
}

/// [MQTT-3.3.2-8], [MQTT-3.3.2-9], P06
#[test]
fn an_alias_out_of_bounds_is_a_violation() {
    let mut publisher = client(V5);
    publisher.send_publish(&aliased(&unique("zero"), "x", 0));
    publisher.expect_disconnect(0x94);
    let mut publisher = client(V5);
    let beyond = maximum(&publisher) + 1;
    publisher.send_publish(&aliased(&unique("beyond"), "x", beyond));
    publisher.expect_disconnect(0x94);
}

/// [MQTT-3.1.2-26], [MQTT-3.1.2-27], P19
#[test]
fn the_broker_uses_no_alias_that_was_not_allowed() {
    for allowed in [0, 2] {
        let own = unique("allowed");
        let mut subscriber = match allowed {
            0 => client(V5),
            _ => connect(V5).with(Property::Two(TOPIC_ALIAS_MAXIMUM, allowed)).open(),
        };
        subscriber.subscribe(&format!("{own}/#"), 1);
        let mut publisher = client(V5);
        let mut known = std::collections::BTreeMap::new();
        for round in 0..3 {
            for name in 0..4 {
                let topic = format!("{own}/{name}");
                publisher.say(&topic, &round.to_string(), 1);
                let message = subscriber.take();
                let alias = message.properties.number(TOPIC_ALIAS);
                assert!(alias.is_none_or(|alias| (1..=u32::from(allowed)).contains(&alias)), "{alias:?}");
                match alias {
                    Some(alias) if message.topic.is_empty() => assert_eq!(known.get(&alias), Some(&topic)),
                    Some(alias) => drop(known.insert(alias, topic.clone())),
                    None => {}
                }
                assert!(message.topic.is_empty() || message.topic == topic);
            }
        }
    }
}
