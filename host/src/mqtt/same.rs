//! The properties of a PUBLISH that are the same for every subscriber, encoded once a message.

use super::packet::property::id;
use super::packet::{text, writer};
use crate::message::{Envelope, Message};

/// Those of a message.
pub(super) fn encoded(message: &Message) -> &[u8] {
    match &message.envelope().properties {
        Some(_) => message.encoded_properties(encode),
        None => &[],
    }
}

/// What came by another protocol and cannot be said in MQTT is left out.
fn encode(envelope: &Envelope) -> Vec<u8> {
    let mut out = Vec::new();
    let Some(properties) = &envelope.properties else {
        return out;
    };
    if let Some(is_text) = properties.payload_is_text {
        out.extend_from_slice(&[id::PAYLOAD_FORMAT, u8::from(is_text)]);
    }
    let texts = [(id::CONTENT_TYPE, &properties.content_type), (id::RESPONSE_TOPIC, &properties.response_topic)];
    for (identifier, value) in texts {
        if let Some(value) = value.as_ref().filter(|value| text::is_text(value)) {
            writer::property(&mut out, identifier, value.as_bytes());
        }
    }
    if let Some(data) = properties.correlation_data.as_ref().filter(|data| data.len() <= usize::from(u16::MAX)) {
        writer::property(&mut out, id::CORRELATION_DATA, data);
    }
    for (name, value) in &properties.user {
        if text::is_text(name) && text::is_text(value) {
            writer::property(&mut out, id::USER_PROPERTY, name.as_bytes());
            writer::data(&mut out, value.as_bytes());
        }
    }
    out
}
