//! A message of AMQP 1.0 in an example: its sections (part 3, section 3.2), their fields named as there.
//!
//! | File | Job |
//! |---|---|
//! | `value` | a value of AMQP's type system |
//! | `bytes` | bytes, as base64 |

mod bytes;
mod value;

use crate::sections::{Body, Pairs, Sections, Value};
use bytes::Base64;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
pub use value::ExampleValue;

/// Annotations, properties and footers, by name: AMQP lets no name stand twice.
type Named = BTreeMap<String, ExampleValue>;

/// A message in an example; what is left out is not there.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[expect(missing_docs, reason = "as in `translation.wit`")]
pub struct ExampleSections {
    pub durable: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub priority: Option<u8>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ttl: Option<u32>,
    #[serde(skip_serializing_if = "is_zero")]
    pub delivery_count: u32,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub delivery_annotations: Named,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub message_annotations: Named,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message_id: Option<ExampleValue>,
    /// As text where it is text.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user_id_base64: Option<Base64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub to: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub subject: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reply_to: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub correlation_id: Option<ExampleValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub content_type: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub content_encoding: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub absolute_expiry_time: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub creation_time: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub group_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub group_sequence: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reply_to_group_id: Option<String>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub application_properties: Named,
    pub body: ExampleBody,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub footer: Named,
}

fn is_zero(number: &u32) -> bool {
    *number == 0
}

/// A body in an example. Text where data are text, base64 where they are not.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "as in `translation.wit`")]
pub enum ExampleBody {
    Data(String),
    DataBase64(Base64),
    Value(ExampleValue),
    SequenceBase64(Vec<Base64>),
}

impl Default for ExampleBody {
    fn default() -> Self {
        Self::Data(String::new())
    }
}

impl ExampleSections {
    /// A message as an example would have it.
    pub(super) fn of(sections: Sections) -> Self {
        let (user_id, user_id_base64) = match sections.user_id.map(text) {
            Some(Ok(text)) => (Some(text), None),
            Some(Err(bytes)) => (None, Some(bytes)),
            None => (None, None),
        };
        Self {
            durable: sections.durable,
            priority: sections.priority,
            ttl: sections.ttl,
            delivery_count: sections.delivery_count,
            delivery_annotations: named(sections.delivery_annotations),
            message_annotations: named(sections.message_annotations),
            message_id: sections.message_id.map(ExampleValue),
            user_id,
            user_id_base64,
            to: sections.to,
            subject: sections.subject,
            reply_to: sections.reply_to,
            correlation_id: sections.correlation_id.map(ExampleValue),
            content_type: sections.content_type,
            content_encoding: sections.content_encoding,
            absolute_expiry_time: sections.absolute_expiry_time,
            creation_time: sections.creation_time,
            group_id: sections.group_id,
            group_sequence: sections.group_sequence,
            reply_to_group_id: sections.reply_to_group_id,
            application_properties: named(sections.application_properties),
            body: ExampleBody::of(sections.body),
            footer: named(sections.footer),
        }
    }

    /// As a module is shown it.
    pub(super) fn sections(&self) -> Result<Sections, String> {
        let written = self.clone();
        let user_id = match (written.user_id, written.user_id_base64) {
            (Some(_), Some(_)) => return Err("amqp: user_id and user_id_base64 exclude each other".to_owned()),
            (Some(text), None) => Some(text.into_bytes()),
            (None, bytes) => bytes.map(|bytes| bytes.0),
        };
        Ok(Sections {
            durable: written.durable,
            priority: written.priority,
            ttl: written.ttl,
            delivery_count: written.delivery_count,
            delivery_annotations: pairs(written.delivery_annotations),
            message_annotations: pairs(written.message_annotations),
            message_id: written.message_id.map(|value| value.0),
            user_id,
            to: written.to,
            subject: written.subject,
            reply_to: written.reply_to,
            correlation_id: written.correlation_id.map(|value| value.0),
            content_type: written.content_type,
            content_encoding: written.content_encoding,
            absolute_expiry_time: written.absolute_expiry_time,
            creation_time: written.creation_time,
            group_id: written.group_id,
            group_sequence: written.group_sequence,
            reply_to_group_id: written.reply_to_group_id,
            application_properties: pairs(written.application_properties),
            body: written.body.body(),
            footer: pairs(written.footer),
        })
    }
}

impl ExampleBody {
    fn of(body: Body) -> Self {
        match body {
            Body::Data(bytes) => text(bytes).map_or_else(Self::DataBase64, Self::Data),
            Body::Value(value) => Self::Value(ExampleValue(value)),
            Body::Sequence(lists) => Self::SequenceBase64(lists.into_iter().map(Base64).collect()),
        }
    }

    fn body(self) -> Body {
        match self {
            Self::Data(text) => Body::Data(text.into_bytes()),
            Self::DataBase64(bytes) => Body::Data(bytes.0),
            Self::Value(value) => Body::Value(value.0),
            Self::SequenceBase64(lists) => Body::Sequence(lists.into_iter().map(|list| list.0).collect()),
        }
    }
}

fn text(bytes: Vec<u8>) -> Result<String, Base64> {
    String::from_utf8(bytes).map_err(|error| Base64(error.into_bytes()))
}

fn named(pairs: Pairs) -> Named {
    pairs.into_iter().map(|(name, value)| (name, ExampleValue(value))).collect()
}

fn pairs(named: Named) -> Vec<(String, Value)> {
    named.into_iter().map(|(name, value)| (name, value.0)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value as Json, json};

    #[test]
    fn every_field_is_written_and_read_by_its_name() {
        let annotated = |name: &str| json!({ name: { "ubyte": 1 } });
        let written = json!({
            "durable": true, "priority": 9, "ttl": 1000, "delivery_count": 2,
            "delivery_annotations": annotated("x-a"), "message_annotations": annotated("x-b"),
            "message_id": { "ulong": u64::MAX }, "user_id": "ann", "to": "a/b", "subject": "b", "reply_to": "c",
            "correlation_id": { "uuid": "0123abcd-0123-4567-89ab-0123456789ab" }, "content_type": "text/plain",
            "content_encoding": "gzip", "absolute_expiry_time": -1, "creation_time": 1_767_225_600_000_i64,
            "group_id": "g", "group_sequence": 7, "reply_to_group_id": "h",
            "application_properties": { "unit": "C", "is_new": true }, "body": { "value": "x" },
            "footer": annotated("x-c"),
        });
        let read: ExampleSections = serde_json::from_value(written.clone()).unwrap();
        let again = ExampleSections::of(read.sections().unwrap());
        assert_eq!(json!(again), written);
        assert_eq!(again.sections().unwrap().priority, Some(9));
    }

    #[test]
    fn what_is_left_out_is_not_there() {
        let none: ExampleSections = serde_json::from_value(json!({})).unwrap();
        assert_eq!(none.sections().unwrap(), Sections::default());
        assert_eq!(json!(none), json!({ "durable": false, "body": { "data": "" } }));
    }

    #[test]
    fn bodies_are_text_where_they_are_text() {
        for (body, written) in [
            (Body::Data(b"x".to_vec()), json!({ "data": "x" })),
            (Body::Data(vec![255]), json!({ "data_base64": "/w==" })),
            (Body::Value(Value::Int(-5)), json!({ "value": { "int": -5 } })),
            (Body::Sequence(vec![vec![0x45], vec![0x45]]), json!({ "sequence_base64": ["RQ==", "RQ=="] })),
        ] {
            assert_eq!(json!(ExampleBody::of(body.clone())), written);
            assert_eq!(serde_json::from_value::<ExampleBody>(written).unwrap().body(), body);
        }
        let bytes = Sections { user_id: Some(vec![255]), ..Sections::default() };
        assert_eq!(json!(ExampleSections::of(bytes.clone()))["user_id_base64"], "/w==");
        assert_eq!(ExampleSections::of(bytes.clone()).sections().unwrap(), bytes);
    }

    #[test]
    fn what_is_wrong_is_named() {
        let error = |written: Json| {
            let read = serde_json::from_value::<ExampleSections>(written).map_err(|error| error.to_string());
            read.and_then(|read| read.sections()).unwrap_err()
        };
        for (written, why) in [
            (json!({ "subjekt": "x" }), "unknown field `subjekt`"),
            (json!({ "body": { "text": "x" } }), "unknown variant `text`"),
            (json!({ "body": { "data_base64": "?" } }), "base64: "),
            (json!({ "priority": 256 }), "256"),
            (json!({ "body": { "data": "x", "value": true } }), "value"),
            (json!({ "user_id": "a", "user_id_base64": "" }), "user_id and user_id_base64 exclude each other"),
        ] {
            assert!(error(written.clone()).contains(why), "{written}: {}", error(written.clone()));
        }
    }
}
