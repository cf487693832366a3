//! A value of AMQP 1.0's type system in an example: text and truth as they are, anything else with its type, such as
//! `{ ubyte = 1 }`.

use super::bytes::Base64;
use crate::sections::Value;
use serde::de::value::MapAccessDeserializer;
use serde::de::{Error, IgnoredAny, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::fmt;
use uuid::Uuid;

/// A value in an example.
#[derive(Debug, Clone, PartialEq)]
pub struct ExampleValue(pub(super) Value);

/// Values that are written with their type. TOML has no null, and what expects null in JSON expects nothing: so it has one, too.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Typed {
    Null {},
    Boolean(bool),
    Ubyte(u8),
    Ushort(u16),
    Uint(u32),
    Ulong(u64),
    Byte(i8),
    Short(i16),
    Int(i32),
    Long(i64),
    #[serde(deserialize_with = "finite")]
    Float(f64),
    #[serde(deserialize_with = "finite")]
    Double(f64),
    Character(char),
    Timestamp(i64),
    Uuid(String),
    BinaryBase64(Base64),
    Text(String),
    Symbol(String),
    EncodedBase64(Base64),
}

/// JSON has no others, and examples that a component carries are JSON.
fn finite<'de, D: Deserializer<'de>>(deserializer: D) -> Result<f64, D::Error> {
    let number = f64::deserialize(deserializer)?;
    if number.is_finite() { Ok(number) } else { Err(D::Error::custom("a number that is finite is needed")) }
}

impl Typed {
    fn of(value: &Value) -> Self {
        match value {
            Value::Null => Self::Null {},
            Value::Boolean(value) => Self::Boolean(*value),
            Value::Ubyte(value) => Self::Ubyte(*value),
            Value::Ushort(value) => Self::Ushort(*value),
            Value::Uint(value) => Self::Uint(*value),
            Value::Ulong(value) => Self::Ulong(*value),
            Value::Byte(value) => Self::Byte(*value),
            Value::Short(value) => Self::Short(*value),
            Value::Int(value) => Self::Int(*value),
            Value::Long(value) => Self::Long(*value),
            // The shortest decimal that means it: 0.1, and not the double next to it.
            Value::Float(value) => Self::Float(value.to_string().parse().unwrap_or(f64::NAN)),
            Value::Double(value) => Self::Double(*value),
            Value::Char(value) => Self::Character(*value),
            Value::Timestamp(value) => Self::Timestamp(*value),
            Value::Uuid(bytes) => Self::Uuid(Uuid::from_bytes(*bytes).to_string()),
            Value::Binary(bytes) => Self::BinaryBase64(Base64(bytes.clone())),
            Value::Text(text) => Self::Text(text.clone()),
            Value::Symbol(text) => Self::Symbol(text.clone()),
            Value::Encoded(bytes) => Self::EncodedBase64(Base64(bytes.clone())),
        }
    }

    fn value(self) -> Result<Value, String> {
        Ok(match self {
            Self::Null {} => Value::Null,
            Self::Boolean(value) => Value::Boolean(value),
            Self::Ubyte(value) => Value::Ubyte(value),
            Self::Ushort(value) => Value::Ushort(value),
            Self::Uint(value) => Value::Uint(value),
            Self::Ulong(value) => Value::Ulong(value),
            Self::Byte(value) => Value::Byte(value),
            Self::Short(value) => Value::Short(value),
            Self::Int(value) => Value::Int(value),
            Self::Long(value) => Value::Long(value),
            Self::Float(value) if !(value as f32).is_finite() => return Err(format!("{value} is no float")),
            Self::Float(value) => Value::Float(value as f32),
            Self::Double(value) => Value::Double(value),
            Self::Character(value) => Value::Char(value),
            Self::Timestamp(value) => Value::Timestamp(value),
            Self::Uuid(text) => {
                Value::Uuid(text.parse::<Uuid>().map_err(|error| format!("uuid: {error}"))?.into_bytes())
            }
            Self::BinaryBase64(bytes) => Value::Binary(bytes.0),
            Self::Text(text) => Value::Text(text),
            Self::Symbol(text) if !text.is_ascii() => return Err(format!("the symbol `{text}` is not ASCII")),
            Self::Symbol(text) => Value::Symbol(text),
            Self::EncodedBase64(bytes) => Value::Encoded(bytes.0),
        })
    }
}

impl Serialize for ExampleValue {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match &self.0 {
            Value::Boolean(truth) => serializer.serialize_bool(*truth),
            Value::Text(text) => serializer.serialize_str(text),
            value => Typed::of(value).serialize(serializer),
        }
    }
}

impl<'de> Deserialize<'de> for ExampleValue {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Written)
    }
}

/// What stands where a value is expected.
struct Written;

impl<'de> Visitor<'de> for Written {
    type Value = ExampleValue;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("text, true, false, or a value with its type, such as { int = 5 }")
    }

    fn visit_bool<E: Error>(self, truth: bool) -> Result<ExampleValue, E> {
        Ok(ExampleValue(Value::Boolean(truth)))
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<ExampleValue, E> {
        Ok(ExampleValue(Value::Text(text.to_owned())))
    }

    fn visit_unit<E: Error>(self) -> Result<ExampleValue, E> {
        Ok(ExampleValue(Value::Null))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<ExampleValue, A::Error> {
        let typed = Typed::deserialize(MapAccessDeserializer::new(&mut map))?;
        if let Some((key, _)) = map.next_entry::<String, IgnoredAny>()? {
            return Err(A::Error::custom(format!("a value has one type; `{key}` is another")));
        }
        typed.value().map(ExampleValue).map_err(A::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn each_type_is_written_and_read() {
        for (value, written) in [
            (Value::Null, json!({ "null": {} })),
            (Value::Boolean(true), json!(true)),
            (Value::Ubyte(1), json!({ "ubyte": 1 })),
            (Value::Ushort(2), json!({ "ushort": 2 })),
            (Value::Uint(3), json!({ "uint": 3 })),
            (Value::Ulong(u64::MAX), json!({ "ulong": u64::MAX })),
            (Value::Byte(-1), json!({ "byte": -1 })),
            (Value::Short(-2), json!({ "short": -2 })),
            (Value::Int(-3), json!({ "int": -3 })),
            (Value::Long(i64::MIN), json!({ "long": i64::MIN })),
            (Value::Float(0.1), json!({ "float": 0.1 })),
            (Value::Double(0.1), json!({ "double": 0.1 })),
            (Value::Char('\u{fc}'), json!({ "character": "\u{fc}" })),
            (Value::Timestamp(1_767_225_600_000), json!({ "timestamp": 1_767_225_600_000_i64 })),
            (Value::Uuid([0x11; 16]), json!({ "uuid": "11111111-1111-1111-1111-111111111111" })),
            (Value::Binary(vec![0, 255]), json!({ "binary_base64": "AP8=" })),
            (Value::Text("x".into()), json!("x")),
            (Value::Symbol("x".into()), json!({ "symbol": "x" })),
            (Value::Encoded(vec![0x45]), json!({ "encoded_base64": "RQ==" })),
        ] {
            assert_eq!(json!(ExampleValue(value.clone())), written);
            assert_eq!(serde_json::from_value::<ExampleValue>(written.clone()).unwrap().0, value);
            // As a component carries it.
            let carried = serde_json::to_vec(&ExampleValue(value.clone())).unwrap();
            assert_eq!(serde_json::from_slice::<ExampleValue>(&carried).unwrap().0, value);
        }
        assert_eq!(serde_json::from_str::<ExampleValue>("null").unwrap().0, Value::Null);
        for (written, value) in [(json!({ "text": "x" }), "x".into()), (json!({ "text": "" }), String::new())] {
            assert_eq!(serde_json::from_value::<ExampleValue>(written).unwrap().0, Value::Text(value));
        }
    }

    #[test]
    fn what_is_no_value_is_told() {
        for (written, why) in [
            (json!(5), "invalid type: integer `5`, expected text, true, false, or a value with its type"),
            (json!([]), "invalid type: sequence"),
            (json!({ "ubite": 1 }), "unknown variant `ubite`"),
            (json!({ "ubyte": 256 }), "256"),
            (json!({ "ubyte": 1, "uint": 1 }), "a value has one type; `uint` is another"),
            (json!({ "uuid": "x" }), "uuid: "),
            (json!({ "symbol": "\u{fc}" }), "the symbol `\u{fc}` is not ASCII"),
            (json!({ "binary_base64": "?" }), "base64: "),
            (json!({ "float": 1e300 }), "is no float"),
            (json!({}), "expected"),
        ] {
            let error = serde_json::from_value::<ExampleValue>(written.clone()).unwrap_err().to_string();
            assert!(error.contains(why), "{written}: {error}");
        }
        let infinite = serde::de::value::F64Deserializer::<serde::de::value::Error>::new(f64::INFINITY);
        assert!(finite(infinite).unwrap_err().to_string().contains("finite"));
    }
}
