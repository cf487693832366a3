//! From MQTT to AMQP.

use pliant_guest::prelude::*;

use crate::{FORMAT, QOS, RETAIN, USER_PROPERTIES, encode};

/// Everything but the payload, which the host puts into a data section.
pub fn form(envelope: &Envelope) -> AmqpForm {
    let level = match envelope.guarantee {
        Guarantee::AtMostOnce => 0,
        Guarantee::AtLeastOnce => 1,
        Guarantee::ExactlyOnce => 2,
    };
    let mut annotations =
        vec![(QOS.to_owned(), AmqpValue::Ubyte(level)), (RETAIN.to_owned(), AmqpValue::Boolean(envelope.retain))];
    if envelope.payload_is_text {
        annotations.push((FORMAT.to_owned(), AmqpValue::Ubyte(1)));
    }
    let user = &envelope.user_properties;
    let mut application: Vec<(String, AmqpValue)> = Vec::new();
    for (name, value) in user {
        if !application.iter().any(|(other, _)| other == name) {
            application.push((name.clone(), AmqpValue::Text(value.clone())));
        }
    }
    if application.len() < user.len() {
        annotations.push((USER_PROPERTIES.to_owned(), AmqpValue::Encoded(encode::texts(user))));
    }
    let head = AmqpMessage {
        durable: level > 0,
        priority: None,
        ttl: envelope.expiry_seconds.map(|seconds| seconds.saturating_mul(1000)),
        delivery_count: 0,
        delivery_annotations: Vec::new(),
        message_annotations: annotations,
        message_id: None,
        user_id: None,
        to: Some(envelope.topic.clone()),
        subject: None,
        reply_to: envelope.response_topic.clone(),
        correlation_id: envelope.correlation_data.as_deref().map(correlation),
        content_type: envelope.content_type.clone().filter(|text| text.is_ascii()),
        content_encoding: None,
        absolute_expiry_time: None,
        creation_time: None,
        group_id: None,
        group_sequence: None,
        reply_to_group_id: None,
        application_properties: application,
        body: AmqpBody::Data(Vec::new()),
        footer: Vec::new(),
    };
    AmqpForm { head, body: None }
}

fn correlation(data: &[u8]) -> AmqpValue {
    let text = core::str::from_utf8(data).ok().and_then(|text| text.strip_prefix("urn:uuid:"));
    match text.and_then(encode::uuid) {
        Some(uuid) => AmqpValue::Uuid(uuid.to_vec()),
        None => AmqpValue::Binary(data.to_vec()),
    }
}
