//! The properties that describe a message: those of PUBLISH and those of a will.

use super::property::{Properties, Value, id, set};
use super::reader::Reader;
use super::text;
use crate::message;
use crate::mqtt::violation::Violation;

/// What PUBLISH may have (table 2-4). The Subscription Identifier is for the server only (MQTT-3.3.4-6).
pub const PUBLISH: u64 = MESSAGE | set(&[id::TOPIC_ALIAS]);
/// What a will may have (3.1.3.2).
pub const WILL: u64 = MESSAGE | set(&[id::WILL_DELAY]);

const MESSAGE: u64 = set(&[
    id::PAYLOAD_FORMAT,
    id::MESSAGE_EXPIRY,
    id::CONTENT_TYPE,
    id::RESPONSE_TOPIC,
    id::CORRELATION_DATA,
    id::USER_PROPERTY,
]);

/// What was said about a message.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct MessageProperties {
    /// Seconds until it is worthless.
    pub expiry_seconds: Option<u32>,
    /// Of PUBLISH: a number for its topic.
    pub alias: Option<u16>,
    /// Of a will: seconds until it is published.
    pub delay_seconds: u32,
    /// What subscribers are told as it is.
    pub rest: Option<Box<message::Properties>>,
}

/// Reads the properties of a message out of `reader`.
pub fn read(reader: &mut Reader<'_>, allowed: u64, user_max: usize) -> Result<MessageProperties, Violation> {
    let mut properties = Properties::take(reader, allowed, user_max)?;
    let mut found = MessageProperties::default();
    while let Some((identifier, value)) = properties.next()? {
        match (identifier, value) {
            (id::MESSAGE_EXPIRY, Value::Number(seconds)) => found.expiry_seconds = Some(seconds),
            (id::TOPIC_ALIAS, Value::Number(alias)) => found.alias = u16::try_from(alias).ok(),
            (id::WILL_DELAY, Value::Number(seconds)) => found.delay_seconds = seconds,
            (_, value) => set_rest(found.rest.get_or_insert_default(), identifier, value)?,
        }
    }
    Ok(found)
}

fn set_rest(rest: &mut message::Properties, identifier: u8, value: Value<'_>) -> Result<(), Violation> {
    match (identifier, value) {
        (id::PAYLOAD_FORMAT, Value::Number(format)) => rest.payload_is_text = Some(format == 1),
        (id::CONTENT_TYPE, Value::Text(text)) => rest.content_type = Some(text.into()),
        (id::RESPONSE_TOPIC, Value::Text(topic)) => {
            let named = !topic.is_empty() && text::topic_name(topic.as_bytes()).is_ok();
            rest.response_topic = Some(if named { topic.into() } else { return Err(Violation::ResponseTopic) });
        }
        (id::CORRELATION_DATA, Value::Data(data)) => rest.correlation_data = Some(data.into()),
        (id::USER_PROPERTY, Value::Pair(name, value)) => rest.user.push((name.into(), value.into())),
        _ => {}
    }
    Ok(())
}
