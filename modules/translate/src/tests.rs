//! What becomes of each field, both ways.

use super::*;
use pliant_guest::testing;

/// Content type of bodies that only AMQP knows.
const ENCODED: &str = "message/vnd.rabbitmq.amqp";

fn module() -> Translate {
    testing::configure::<Translate>("{}").unwrap().0
}

fn there(envelope: &Envelope) -> AmqpMessage {
    module().to_amqp(envelope, &Payload::from(b"x")).unwrap().head
}

fn back(message: AmqpMessage) -> (Envelope, Vec<u8>) {
    module().from_amqp("a/b", message).unwrap()
}

fn full() -> Envelope {
    Envelope {
        guarantee: Guarantee::ExactlyOnce,
        retain: true,
        expiry_seconds: Some(7),
        content_type: Some("text/plain".into()),
        payload_is_text: true,
        response_topic: Some("back/here".into()),
        correlation_data: Some(vec![0, 255, 3]),
        ..Envelope::new("a/b").property("k", "v").property("k", "w").property("l", "\u{fc}")
    }
}

#[test]
fn everything_that_mqtt_says_comes_back() {
    let mut message = there(&full());
    message.body = AmqpBody::Data(b"x".to_vec());
    assert_eq!((message.durable, message.ttl), (true, Some(7000)));
    assert_eq!((message.to.as_deref(), message.reply_to.as_deref()), (Some("a/b"), Some("back/here")));
    assert_eq!(message.application_properties.len(), 2);
    assert_eq!(back(message), (full(), b"x".to_vec()));
}

#[test]
fn a_uuid_is_one_on_both_sides() {
    let urn = "urn:uuid:0123abcd-0123-4567-89ab-0123456789ab";
    let envelope = Envelope { correlation_data: Some(urn.into()), ..Envelope::new("a/b") };
    let message = there(&envelope);
    assert!(matches!(message.correlation_id, Some(AmqpValue::Uuid(_))));
    assert_eq!(back(message).0.correlation_data, Some(urn.into()));
    // What would come back as another text stays bytes.
    for other in ["urn:uuid:0123ABCD-0123-4567-89ab-0123456789ab", "urn:uuid:+123abcd-0123-4567-89ab-0123456789ab"] {
        let envelope = Envelope { correlation_data: Some(other.into()), ..Envelope::new("a/b") };
        assert_eq!(back(there(&envelope)).0.correlation_data, Some(other.into()));
    }
}

/// What it was asked under is known by its type too (3.2.11), and libraries ask under strings.
#[test]
fn an_answer_to_a_dynamic_node_is_known_by_its_text() {
    let id = |topic: &str, data: &[u8]| {
        there(&Envelope { correlation_data: Some(data.to_vec()), ..Envelope::new(topic) }).correlation_id
    };
    let urn = b"urn:uuid:0123abcd-0123-4567-89ab-0123456789ab";
    for node in ["/temporary/0a", "/temporary/queues/0a", "tenants/one//temporary/0a"] {
        assert!(matches!(id(node, "5\u{e9}".as_bytes()), Some(AmqpValue::Text(text)) if text == "5\u{e9}"), "{node}");
        assert!(matches!(id(node, &[0xff]), Some(AmqpValue::Binary(bytes)) if bytes == [0xff]), "{node}");
        assert!(matches!(id(node, urn), Some(AmqpValue::Uuid(_))), "{node}");
    }
    for topic in ["back/here", "temporary/0a", "a/temporary/0a"] {
        assert!(matches!(id(topic, b"5"), Some(AmqpValue::Binary(bytes)) if bytes == b"5"), "{topic}");
    }
}

/// Who answers over MQTT has nothing else to repeat (MQTT 5.0, 4.10.1).
#[test]
fn a_request_without_correlation_id_is_known_by_its_message_id() {
    let uuid = (0..16).collect();
    for (message_id, expected) in [
        (Some(AmqpValue::Text("ID:\u{e9}".into())), Some("ID:\u{e9}".as_bytes())),
        (Some(AmqpValue::Binary(vec![0, 255])), Some(&[0, 255][..])),
        (Some(AmqpValue::Ulong(57)), Some(b"57")),
        (Some(AmqpValue::Uuid(uuid)), Some(b"urn:uuid:00010203-0405-0607-0809-0a0b0c0d0e0f")),
        (Some(AmqpValue::Text("x".repeat(65_536))), None),
        (None, None),
    ] {
        let request = || AmqpMessage { message_id: message_id.clone(), ..there(&Envelope::new("a/b")) };
        let asks = |reply_to: &str| AmqpMessage { reply_to: Some(reply_to.into()), ..request() };
        assert_eq!(back(asks("back/here")).0.correlation_data.as_deref(), expected);
        // What nobody can answer is as it was, and who says what it is to be known by is heard.
        for other in [request(), asks("a/+")] {
            assert_eq!(back(other).0.correlation_data, None);
        }
        let told = AmqpMessage { correlation_id: Some(AmqpValue::Ulong(8)), ..asks("back/here") };
        assert_eq!(back(told).0.correlation_data.as_deref(), Some(&b"8"[..]));
    }
}

#[test]
fn without_annotations_durable_tells_the_quality() {
    for (durable, expected) in [(true, Guarantee::AtLeastOnce), (false, Guarantee::AtMostOnce)] {
        let message = AmqpMessage { durable, message_annotations: Vec::new(), ..there(&Envelope::new("a/b")) };
        assert_eq!(back(message).0.guarantee, expected);
    }
}

#[test]
fn bodies_become_payloads() {
    for (body, payload, is_text, content_type) in [
        (AmqpBody::Value(AmqpValue::Text("hi".into())), b"hi".to_vec(), true, None),
        (AmqpBody::Value(AmqpValue::Binary(vec![1])), vec![1], false, None),
        (AmqpBody::Value(AmqpValue::Null), vec![], false, None),
        (AmqpBody::Value(AmqpValue::Ubyte(5)), vec![0, 0x53, 0x77, 0x50, 5], false, Some(ENCODED)),
        (AmqpBody::Sequence(vec![vec![0x45]]), vec![0, 0x53, 0x76, 0x45], false, Some(ENCODED)),
    ] {
        let (envelope, bytes) = back(AmqpMessage { body, ..there(&Envelope::new("a/b")) });
        assert_eq!((bytes, envelope.payload_is_text), (payload, is_text));
        assert_eq!(envelope.content_type.as_deref(), content_type);
    }
}

#[test]
fn what_mqtt_cannot_say_is_left_out() {
    let message = AmqpMessage {
        reply_to: Some("a/+".into()),
        application_properties: vec![
            ("n".into(), AmqpValue::Int(-3)),
            ("t".into(), AmqpValue::Timestamp(-1500)),
            ("b".into(), AmqpValue::Binary(vec![1])),
            ("z".into(), AmqpValue::Text("\0".into())),
        ],
        ..there(&Envelope::new("a/b"))
    };
    let envelope = back(message).0;
    assert_eq!(envelope.response_topic, None);
    assert_eq!(envelope.user_properties, [("n".to_owned(), "-3".to_owned()), ("t".to_owned(), "-2".to_owned())]);
}

/// Neither does a client make this module fail, nor the broker refuse what comes out of it (MQTT 5.0, 1.5.4).
#[test]
fn a_reply_to_that_is_no_topic_is_left_out() {
    for name in ["", "a/#", "a\0", "a\tb", "a\u{1f}", "\u{7f}", "a\u{85}b", "\u{fdd0}", "\u{fffe}", "\u{10ffff}/a"] {
        let message = AmqpMessage { reply_to: Some(name.into()), ..there(&Envelope::new("a/b")) };
        assert_eq!(back(message).0.response_topic, None, "{name:?}");
    }
    for name in ["a", "/queues/\u{e9} x", "\u{fffd}\u{a0}"] {
        let message = AmqpMessage { reply_to: Some(name.into()), ..there(&Envelope::new("a/b")) };
        assert_eq!(back(message).0.response_topic.as_deref(), Some(name));
    }
}

/// As of a link, so that an answer finds the node that was meant.
#[test]
fn of_a_reply_to_that_is_a_url_the_node_is_the_response_topic() {
    for (name, expected) in [
        ("amqp://127.0.0.1/back/here", Some("back/here")),
        ("AMQPS://me@host:5671/queues/back", Some("/queues/back")),
        ("amqps://host//queues/back", Some("/queues/back")),
        ("amqp://host/exchanges/e/key", Some("/exchanges/e/key")),
        ("amqp://host/temporary/0a", Some("/temporary/0a")),
        ("amqp:///back", Some("back")),
        ("amqp://host", None),
        ("amqp://host/", None),
        ("amqp://host/a/+", None),
        ("http://host/back", Some("http://host/back")),
    ] {
        let message = AmqpMessage { reply_to: Some(name.into()), ..there(&Envelope::new("a/b")) };
        assert_eq!(back(message).0.response_topic.as_deref(), expected, "{name}");
    }
}

/// The first thousand, whether they are listed or are application properties; so many does the broker take of an MQTT client.
#[test]
fn a_message_has_up_to_a_thousand_user_properties() {
    for (count, expected) in [(999, 999), (1_000, 1_000), (1_001, 1_000), (3_000, 1_000)] {
        let mut envelope = Envelope::new("a/b");
        // Each name twice, so that they are listed.
        for n in 0..count {
            envelope = envelope.property((n / 2).to_string(), n.to_string());
        }
        let user = &back(there(&envelope)).0.user_properties;
        assert_eq!(user[..], envelope.user_properties[..expected], "{count} in the list");

        let known = (0..count).map(|n| (n.to_string(), AmqpValue::Int(n))).collect();
        let message = AmqpMessage { application_properties: known, ..there(&Envelope::new("a/b")) };
        assert_eq!(back(message).0.user_properties.len(), expected, "{count} application properties");
    }
    // What is wrong in the list is wrong wherever it stands, but for what is not read any more.
    let known = vec![("k".to_owned(), AmqpValue::Boolean(true))];
    for (list, expected) in [(&b"\xC0\x05\x02\xA1\x01a\xA1\x00"[..], "a"), (b"\xC0\x04\x01\xA1\x01a", "k")] {
        let message_annotations = vec![("x-opt-mqtt-user-properties".to_owned(), AmqpValue::Encoded(list.to_vec()))];
        let application_properties = known.clone();
        let message = AmqpMessage { message_annotations, application_properties, ..there(&Envelope::new("a/b")) };
        assert_eq!(back(message).0.user_properties[0].0, expected, "{list:?}");
    }
}
