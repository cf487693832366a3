//! From MQTT to AMQP.

use super::{DYNAMIC, FORMAT, QOS, RETAIN, USER_PROPERTIES, encode};
use crate::prelude::*;
use alloc::collections::BTreeSet;

/// Everything but the payload, which the host puts into one data section.
pub fn to_amqp(envelope: &Envelope) -> AmqpForm {
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
    let mut known = BTreeSet::new();
    for (name, value) in user {
        if known.insert(name.as_str()) {
            application.push((name.clone(), AmqpValue::Text(value.clone())));
        }
    }
    if application.len() < user.len() {
        annotations.push((USER_PROPERTIES.to_owned(), AmqpValue::Encoded(encode::texts(user))));
    }
    let head = AmqpMessage {
        durable: level > 0,
        ttl: envelope.expiry_seconds.map(|seconds| seconds.saturating_mul(1000)),
        message_annotations: annotations,
        to: Some(envelope.topic.clone()),
        reply_to: envelope.response_topic.clone(),
        correlation_id: envelope.correlation_data.as_deref().map(|data| correlation(&envelope.topic, data)),
        content_type: envelope.content_type.clone().filter(|text| text.is_ascii()),
        application_properties: application,
        ..AmqpMessage::new(AmqpBody::Data(Vec::new()))
    };
    AmqpForm { head, body: None }
}

/// Bytes, as MQTT has it. But what goes to a dynamic node answers a request of AMQP, and clients of AMQP know theirs by text:
/// bytes with the same letters are another id (3.2.11).
fn correlation(topic: &str, data: &[u8]) -> AmqpValue {
    let text = core::str::from_utf8(data).ok();
    match (text.and_then(|text| text.strip_prefix("urn:uuid:")).and_then(encode::uuid), text) {
        (Some(uuid), _) => AmqpValue::Uuid(uuid.to_vec()),
        (None, Some(text)) if is_dynamic(topic) => AmqpValue::Text(text.to_owned()),
        _ => AmqpValue::Binary(data.to_vec()),
    }
}

/// Whether a topic is that of a dynamic node, also below a mount point.
fn is_dynamic(topic: &str) -> bool {
    topic.starts_with(DYNAMIC) || topic.contains(&format!("/{DYNAMIC}"))
}
