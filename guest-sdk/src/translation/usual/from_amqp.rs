//! From AMQP to MQTT.

use super::{DYNAMIC, ENCODED, FORMAT, QOS, RETAIN, USER_PROPERTIES, encode};
use crate::filter;
use crate::prelude::*;

/// Longest text that MQTT can carry, in bytes.
const TEXT_BYTES_MAX: usize = 65_535;

/// Envelope and payload. `topic` is the broker's for the address it was sent to.
pub fn from_amqp(topic: &str, message: AmqpMessage) -> (Envelope, Vec<u8>) {
    let annotation = |name: &str| message.message_annotations.iter().find(|(key, _)| key == name).map(|(_, v)| v);
    let level = annotation(QOS).and_then(number).unwrap_or(i128::from(message.durable));
    let guarantee = match level {
        2 => Guarantee::ExactlyOnce,
        1 => Guarantee::AtLeastOnce,
        _ => Guarantee::AtMostOnce,
    };
    let retain = matches!(annotation(RETAIN), Some(AmqpValue::Boolean(true)));
    let mut is_text = annotation(FORMAT).and_then(number) == Some(1);
    let listed = match annotation(USER_PROPERTIES) {
        Some(AmqpValue::Encoded(list)) => encode::read_texts(list),
        _ => None,
    };
    let user_properties = listed.unwrap_or_else(|| {
        let known = message.application_properties.iter();
        known.filter_map(|(name, value)| Some((name.clone(), text(value)?))).collect::<Vec<_>>()
    });
    let user_properties =
        user_properties.into_iter().filter(|(name, value)| is_text_of_mqtt(name) && is_text_of_mqtt(value));
    let user_properties = user_properties.take(encode::PAIRS_MAX).collect();
    let mut content_type = message.content_type.filter(|text| is_text_of_mqtt(text));
    let payload = match message.body {
        AmqpBody::Data(bytes) | AmqpBody::Value(AmqpValue::Binary(bytes)) => bytes,
        AmqpBody::Value(AmqpValue::Text(text)) => {
            is_text = true;
            text.into_bytes()
        }
        AmqpBody::Value(AmqpValue::Null) => Vec::new(),
        body => {
            is_text = false;
            content_type = Some(ENCODED.to_owned());
            encode::body(&body)
        }
    };
    let response_topic = message.reply_to.as_deref().map(node).filter(|name| is_topic(name)).map(ToOwned::to_owned);
    // Who answers repeats the correlation data. A request of AMQP need not have any: its answer is known by its message-id.
    let asked_by = response_topic.as_ref().and(message.message_id.as_ref());
    let envelope = Envelope {
        topic: topic.to_owned(),
        guarantee,
        retain,
        expiry_seconds: message.ttl.map(|milliseconds| milliseconds.div_ceil(1000)),
        content_type,
        payload_is_text: is_text && core::str::from_utf8(&payload).is_ok(),
        response_topic,
        correlation_data: message.correlation_id.as_ref().or(asked_by).and_then(correlation),
        user_properties,
    };
    (envelope, payload)
}

fn is_text_of_mqtt(text: &str) -> bool {
    text.len() <= TEXT_BYTES_MAX && !text.contains('\0')
}

/// What an address means: some clients write a node's whole URL, `amqps://HOST/queues/NAME`. The broker reads those of links so.
fn node(address: &str) -> &str {
    let (scheme, rest) = address.split_once("://").unwrap_or_default();
    if !["amqp", "amqps"].iter().any(|own| scheme.eq_ignore_ascii_case(own)) {
        return address;
    }
    let path = rest.find('/').map_or("", |at| &rest[at..]);
    let is_own = ["/queues/", "/exchanges/", DYNAMIC].iter().any(|own| path.starts_with(own));
    if is_own { path } else { path.strip_prefix('/').unwrap_or(path) }
}

fn is_topic(name: &str) -> bool {
    filter::check_topic(name).is_ok() && name.matches('/').count() < 128
}

fn correlation(id: &AmqpValue) -> Option<Vec<u8>> {
    let bytes = match id {
        AmqpValue::Binary(bytes) => bytes.clone(),
        AmqpValue::Text(text) => text.as_bytes().to_vec(),
        AmqpValue::Ulong(number) => number.to_string().into_bytes(),
        AmqpValue::Uuid(uuid) => format!("urn:uuid:{}", encode::uuid_text(uuid)).into_bytes(),
        _ => return None,
    };
    (bytes.len() <= TEXT_BYTES_MAX).then_some(bytes)
}

fn number(value: &AmqpValue) -> Option<i128> {
    Some(match value {
        AmqpValue::Ubyte(n) => i128::from(*n),
        AmqpValue::Ushort(n) => i128::from(*n),
        AmqpValue::Uint(n) => i128::from(*n),
        AmqpValue::Ulong(n) => i128::from(*n),
        AmqpValue::Byte(n) => i128::from(*n),
        AmqpValue::Short(n) => i128::from(*n),
        AmqpValue::Int(n) => i128::from(*n),
        AmqpValue::Long(n) => i128::from(*n),
        AmqpValue::Text(text) => text.trim().parse().ok()?,
        _ => return None,
    })
}

/// What a user property can say: scalars, a time in seconds.
fn text(value: &AmqpValue) -> Option<String> {
    Some(match value {
        AmqpValue::Text(text) | AmqpValue::Symbol(text) => text.clone(),
        AmqpValue::Boolean(truth) => truth.to_string(),
        AmqpValue::Float(n) => n.to_string(),
        AmqpValue::Double(n) => n.to_string(),
        AmqpValue::Character(c) => c.to_string(),
        AmqpValue::Timestamp(milliseconds) => milliseconds.div_euclid(1000).to_string(),
        AmqpValue::Uuid(uuid) => encode::uuid_text(uuid),
        other => number(other)?.to_string(),
    })
}
