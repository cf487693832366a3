//! Property filters of "AMQP Filter Expressions": fields and the values that they must have. A string may ask for a
//! beginning (`&p:`) or an end (`&s:`); `&&` at its start is one `&`. Null asks for any value: of the application's properties the
//! field has to be there.

use super::subject::{Known, Subject};
use crate::amqp::sections::RawReader;
use serde_amqp::Value;
use std::collections::HashMap;

/// See the head of this file.
#[derive(Debug)]
pub struct Expected {
    /// Of the standard's properties; else of the application's.
    standard: bool,
    fields: HashMap<Box<str>, Wanted>,
}

#[derive(Debug)]
enum Wanted {
    /// Whatever is there.
    Any,
    /// This value, encoded.
    Value(Box<[u8]>),
    Text(Box<str>),
    Beginning(Box<str>),
    End(Box<str>),
}

/// The properties, by the names they have in the standard.
const STANDARD: [&str; 13] = [
    "message-id",
    "user-id",
    "to",
    "subject",
    "reply-to",
    "correlation-id",
    "content-type",
    "content-encoding",
    "absolute-expiry-time",
    "creation-time",
    "group-id",
    "group-sequence",
    "reply-to-group-id",
];

impl Expected {
    /// Reads the map.
    pub fn new(value: &Value, standard: bool) -> Result<Self, &'static str> {
        let Value::Map(map) = value else { return Err("not a map") };
        let mut fields = HashMap::new();
        for (key, value) in map.iter() {
            let name = super::text(key).ok_or("a key is not a symbol or string")?;
            if standard && !STANDARD.contains(&name) {
                return Err("an unknown property");
            }
            fields.insert(name.into(), Wanted::new(value)?);
        }
        Ok(Self { standard, fields })
    }

    /// Whether all fields are as they must be.
    pub fn fits(&self, subject: &Subject<'_>) -> bool {
        if self.standard {
            return self.fields.iter().all(|(name, wanted)| wanted.fits(standard(subject, name)));
        }
        let mut found = 0;
        for (key, value) in subject.sections.application_properties() {
            let Some(wanted) = key.as_str().and_then(|key| self.fields.get(key)) else { continue };
            if !wanted.fits(Known::of(&value)) {
                return false;
            }
            found += 1;
        }
        found == self.fields.len()
    }
}

fn standard<'m>(subject: &Subject<'m>, name: &str) -> Known<'m> {
    let properties = &subject.properties;
    let number = |number: Option<i64>| number.map_or(Known::Absent, |number| Known::Integer(number.into()));
    match name {
        "message-id" => Known::id(properties.message_id),
        "user-id" => properties.user_id.map_or(Known::Absent, Known::Bytes),
        "to" => Known::text(properties.to),
        "subject" => Known::text(properties.subject),
        "reply-to" => Known::text(properties.reply_to),
        "correlation-id" => Known::id(properties.correlation_id),
        "content-type" => Known::text(properties.content_type),
        "content-encoding" => Known::text(properties.content_encoding),
        "absolute-expiry-time" => number(properties.absolute_expiry_time),
        "creation-time" => number(properties.creation_time),
        "group-id" => Known::text(properties.group_id),
        "group-sequence" => number(properties.group_sequence.map(i64::from)),
        "reply-to-group-id" => Known::text(properties.reply_to_group_id),
        _ => Known::Other,
    }
}

impl Wanted {
    fn new(value: &Value) -> Result<Self, &'static str> {
        if *value == Value::Null {
            return Ok(Self::Any);
        }
        if let Some(text) = super::text(value) {
            let Some(rest) = text.strip_prefix('&') else { return Ok(Self::Text(text.into())) };
            return match (rest.strip_prefix("p:"), rest.strip_prefix("s:")) {
                (Some(beginning), _) => Ok(Self::Beginning(beginning.into())),
                (_, Some(end)) => Ok(Self::End(end.into())),
                _ if rest.starts_with('&') => Ok(Self::Text(rest.into())),
                _ => Err("an unknown modifier"),
            };
        }
        let encoded = serde_amqp::to_vec(value).map_err(|_| "a value that cannot be compared")?;
        Ok(Self::Value(encoded.into()))
    }

    fn fits(&self, found: Known<'_>) -> bool {
        match (self, found) {
            (Self::Any, _) => true,
            (Self::Text(text), Known::Text(found)) => **text == *found,
            (Self::Beginning(text), Known::Text(found)) => found.starts_with(&**text),
            (Self::End(text), Known::Text(found)) => found.ends_with(&**text),
            (Self::Value(encoded), found) => {
                let wanted = RawReader::new(encoded).next().map_or(Known::Other, |value| Known::of(&value));
                wanted.equals(&found) == Some(true)
            }
            _ => false,
        }
    }
}
