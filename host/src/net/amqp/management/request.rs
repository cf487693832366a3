//! What a request to `$management` says.

use super::answer::{Failure, QUEUE_FIELDS, bad};
use crate::amqp::sections::{Body, RawValue, Sections};
use crate::store::QueueRecord;

/// What there is to manage.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Type {
    Queue,
    Binding,
}

/// A request, as its application properties say it.
pub struct Request<'m> {
    pub message: &'m Sections<'m>,
}

impl<'m> Request<'m> {
    pub fn property(&self, name: &str) -> Option<&'m str> {
        self.message.application_property(name)?.as_str()
    }

    /// A number among the application properties.
    pub fn number(&self, name: &str) -> Result<Option<usize>, Failure> {
        let said = self.message.application_property(name).filter(|value| !value.is_null());
        said.map(|value| in_range(name, value.as_integer().ok_or_else(|| wrong_type(name))?)).transpose()
    }

    /// The type that the answer is to be about; none: all of them.
    pub fn entity_type(&self) -> Result<Option<Type>, Failure> {
        match self.property("entityType") {
            None => Ok(None),
            Some("queue") => Ok(Some(Type::Queue)),
            Some("binding") => Ok(Some(Type::Binding)),
            Some(_) => Err(bad("`entityType` is neither queue nor binding")),
        }
    }

    /// A value of the body.
    pub fn body(&self, name: &str) -> Option<RawValue<'m>> {
        let mut items = self.message.value()?.map()?;
        while let (Some(key), Some(value)) = (items.next(), items.next()) {
            if key.as_str().or(key.as_symbol()) == Some(name) {
                return Some(value);
            }
        }
        None
    }

    /// The keys of the body.
    fn keys(&self) -> impl Iterator<Item = &'m str> {
        let items = self.message.value().and_then(|value| value.map()).into_iter().flatten();
        items.step_by(2).map(|key| key.as_str().or(key.as_symbol()).unwrap_or("?"))
    }

    /// The queue that it is about, as it is named.
    pub fn queue(&self) -> Result<&'m str, Failure> {
        let named = self.property("identity").or(self.property("name"));
        let named = named.or_else(|| self.body("queue")?.as_str());
        named.filter(|name| !name.is_empty()).ok_or_else(|| bad("which queue is not said"))
    }

    pub fn filter(&self) -> Result<&'m str, Failure> {
        self.body("filter").and_then(|value| value.as_str()).ok_or_else(|| bad("`filter` is not said"))
    }

    /// The settings of a queue.
    pub fn settings(&self) -> Result<Settings<'m>, Failure> {
        let is_map_or_nothing = match self.message.body() {
            Body::Nothing | Body::Data([]) => true,
            Body::Value(value) => value.is_null() || value.map().is_some(),
            _ => false,
        };
        if !is_map_or_nothing {
            return Err(bad("settings are a map, in a section amqp-value"));
        }
        if let Some(unknown) = self.keys().find(|key| *key != "queue" && !QUEUE_FIELDS.contains(key)) {
            return Err(bad(&format!("`{unknown}` is no setting of a queue")));
        }
        Ok(Settings {
            dead_letters: self.setting("dead-letters", |value| value.as_str())?,
            failures_max: self.number_setting("failures-max")?,
            messages_max: self.number_setting("messages-max")?,
            bytes_max: self.number_setting("bytes-max")?,
            expiry_milliseconds: self.number_setting("expiry-milliseconds")?,
        })
    }

    fn setting<T>(&self, name: &str, read: impl FnOnce(RawValue<'m>) -> Option<T>) -> Result<Said<T>, Failure> {
        let Some(value) = self.body(name) else { return Ok(None) };
        match read(value) {
            None if !value.is_null() => Err(wrong_type(name)),
            read => Ok(Some(read)),
        }
    }

    fn number_setting<T: TryFrom<i128>>(&self, name: &str) -> Result<Said<T>, Failure> {
        let said = self.setting(name, |value| value.as_integer())?;
        said.map(|number| number.map(|number| in_range(name, number)).transpose()).transpose()
    }
}

fn wrong_type(name: &str) -> Failure {
    bad(&format!("`{name}` is of a wrong type"))
}

fn in_range<T: TryFrom<i128>>(name: &str, number: i128) -> Result<T, Failure> {
    T::try_from(number).map_err(|_| bad(&format!("the value of `{name}` is below 0, or too large")))
}

/// None: nothing was said; null is the broker's own.
type Said<T> = Option<Option<T>>;

/// What a request says of the settings of a queue.
pub struct Settings<'m> {
    /// In the client's words.
    pub dead_letters: Said<&'m str>,
    failures_max: Said<u32>,
    messages_max: Said<u64>,
    bytes_max: Said<u64>,
    expiry_milliseconds: Said<u64>,
}

impl Settings<'_> {
    /// Puts them over those that hold; what was not said stays as it is.
    pub fn over(&self, before: &QueueRecord, dead_letters: &Said<Box<str>>) -> QueueRecord {
        QueueRecord {
            dead_letters: dead_letters.clone().unwrap_or_else(|| before.dead_letters.clone()),
            failures_max: self.failures_max.unwrap_or(before.failures_max),
            messages_max: self.messages_max.unwrap_or(before.messages_max),
            bytes_max: self.bytes_max.unwrap_or(before.bytes_max),
            expiry_milliseconds: self.expiry_milliseconds.unwrap_or(before.expiry_milliseconds),
            bindings: before.bindings.clone(),
        }
    }
}
