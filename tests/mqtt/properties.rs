//! What a publisher says about a message reaches the subscriber unchanged.

use crate::harness::property::*;
use crate::harness::*;

/// [MQTT-3.3.2-4], [MQTT-3.3.2-15], [MQTT-3.3.2-16], [MQTT-3.3.2-17], [MQTT-3.3.2-18], [MQTT-3.3.2-20]
#[test]
fn properties_of_a_message_are_handed_on() {
    for qos in 0..3 {
        let topic = unique("properties");
        let (mut publisher, mut subscriber) = (client(V5), client(V5));
        subscriber.subscribe(&topic, qos);
        let message = Publish::new(&topic, "ß", qos)
            .with(Property::user("z", "1"))
            .with(Property::Byte(PAYLOAD_FORMAT, 1))
            .with(Property::text(CONTENT_TYPE, "text/plain; charset=utf-8"))
            .with(Property::user("a", ""))
            .with(Property::text(RESPONSE_TOPIC, "answers/to/me"))
            .with(Property::Binary(CORRELATION_DATA, vec![0, 255, 1]))
            .with(Property::user("z", "1"))
            .with(Property::user("", "ß"));
        publisher.publish(&message);
        let got = subscriber.expect(&topic, "ß", qos).properties;
        assert_eq!(got.number(PAYLOAD_FORMAT), Some(1));
        assert_eq!(got.text(CONTENT_TYPE), Some("text/plain; charset=utf-8"));
        assert_eq!(got.text(RESPONSE_TOPIC), Some("answers/to/me"));
        assert_eq!(got.binary(CORRELATION_DATA), Some(&[0, 255, 1][..]));
        assert_eq!(got.user(), [("z", "1"), ("a", ""), ("z", "1"), ("", "ß")]);
        assert_eq!(got.0.len(), 8, "{got:?}");
    }
}

#[test]
fn a_message_without_properties_gets_none() {
    for from in BOTH {
        let topic = unique("none");
        let mut subscriber = client(V5);
        subscriber.subscribe(&topic, 1);
        client(from).say(&topic, "x", 1);
        assert_eq!(subscriber.take().properties, Properties::default());
    }
}

#[test]
fn a_subscriber_of_3_1_1_gets_the_message_without_its_properties() {
    let topic = unique("bare");
    let mut subscriber = client(V311);
    subscriber.subscribe(&topic, 1);
    let message = Publish::new(&topic, "x", 1).with(Property::user("a", "b")).with(Property::text(CONTENT_TYPE, "c"));
    client(V5).publish(&message);
    subscriber.expect(&topic, "x", 1);
}

#[test]
fn properties_wait_with_their_message() {
    let (id, topic) = (unique("wait"), unique("wait"));
    let mut subscriber = connect(V5).id(&id).kept().open();
    subscriber.subscribe(&topic, 1);
    subscriber.disconnect();
    let message = Publish::new(&topic, "x", 1)
        .with(Property::user("a", "b"))
        .with(Property::Binary(CORRELATION_DATA, vec![9; 300]))
        .with(Property::text(RESPONSE_TOPIC, "r"));
    client(V5).publish(&message);
    let got = connect(V5).id(&id).kept().resume().take().properties;
    assert_eq!(got.user(), [("a", "b")]);
    assert_eq!(got.binary(CORRELATION_DATA), Some(&[9; 300][..]));
    assert_eq!(got.text(RESPONSE_TOPIC), Some("r"));
}

/// P09: many user properties are read in time linear in their number.
#[test]
fn many_user_properties_pass() {
    let topic = unique("many");
    let (mut publisher, mut subscriber) = (client(V5), client(V5));
    subscriber.subscribe(&topic, 1);
    let names: Vec<String> = (0..1000).map(|number| format!("name-{number}")).collect();
    let message = names.iter().fold(Publish::new(&topic, "x", 1), |m, name| m.with(Property::user(name, "value")));
    publisher.publish(&message);
    let got = subscriber.take().properties;
    assert!(got.user().iter().map(|(name, _)| *name).eq(names.iter().map(String::as_str)));
}

/// U06: what is said to be text and is not is handed on or refused with 0x99, by the publisher's acknowledgement.
#[test]
fn a_payload_that_is_not_the_text_it_claims_to_be_harms_nobody() {
    let topic = unique("claim");
    let (mut publisher, mut subscriber) = (client(V5), client(V5));
    subscriber.subscribe(&topic, 1);
    let message = Publish::new(&topic, [0xC3, 0x28], 1).with(Property::Byte(PAYLOAD_FORMAT, 1));
    let id = publisher.send_publish(&message);
    match publisher.receive() {
        Packet::Puback(ack) if ack.code < 0x80 => assert_eq!(subscriber.take().payload, [0xC3, 0x28]),
        Packet::Puback(ack) => assert_eq!((ack.id, ack.code), (id, 0x99)),
        Packet::Disconnect(farewell) => assert_eq!(farewell.code, 0x99),
        other => panic!("unexpected {other:?}"),
    }
    subscriber.ping();
}
