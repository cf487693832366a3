//! What is answered to a request to `$management`.

use super::request::{Request, Type};
use crate::amqp::{OrderedMap, Value};
use crate::broker::QueueInfo;
use crate::message::{Refusal, RefusalKind};
use crate::store::Sequence;

/// What an answer says.
pub struct Answer {
    pub after: Sequence,
    pub status: i32,
    pub what: &'static str,
    pub body: Value,
}

/// Why there is none, in HTTP's numbers.
pub struct Failure(pub i32, pub String);

pub type Answered = Result<Answer, Failure>;

impl From<Refusal> for Failure {
    fn from(refusal: Refusal) -> Self {
        let status = match refusal.kind {
            RefusalKind::NotAuthorized | RefusalKind::BadCredentials => 403,
            RefusalKind::NameInvalid | RefusalKind::TopicInvalid | RefusalKind::PayloadInvalid => 400,
            RefusalKind::NotFound => 404,
            RefusalKind::NotSupported => 501,
            RefusalKind::QuotaExceeded | RefusalKind::Unavailable => 503,
            RefusalKind::Unspecified => 500,
        };
        Self(status, refusal.reason)
    }
}

pub fn bad(why: &str) -> Failure {
    Failure(400, why.to_owned())
}

pub fn gone(queue: &str) -> Failure {
    Failure(404, format!("there is no queue {queue}"))
}

pub fn done(status: i32, what: &'static str, body: Value) -> Answer {
    Answer { after: 0, status, what, body }
}

/// The names of what a queue is told with.
pub const QUEUE_FIELDS: &[&str] = &[
    "name",
    "identity",
    "type",
    "dead-letters",
    "failures-max",
    "messages-max",
    "bytes-max",
    "expiry-milliseconds",
    "waiting",
    "held",
    "consumers",
];
/// The names of what a binding is told with.
pub const BINDING_FIELDS: &[&str] = &["type", "queue", "filter"];

/// A map with texts as keys.
pub fn string_map<const N: usize>(pairs: [(&str, Value); N]) -> Value {
    let mut map = OrderedMap::new();
    for (key, value) in pairs {
        map.insert(Value::String(key.to_owned()), value);
    }
    Value::Map(map)
}

/// What a queue is told with.
pub fn of_queue(info: &QueueInfo) -> [(&'static str, Value); 11] {
    let number = |number: Option<u64>| number.map_or(Value::Null, Value::Ulong);
    let record = &info.record;
    [
        ("name", text(info.address.strip_prefix("/queues/").unwrap_or(&info.address))),
        ("identity", text(&info.address)),
        ("type", text("queue")),
        ("dead-letters", record.dead_letters.as_deref().map_or(Value::Null, text)),
        ("failures-max", record.failures_max.map_or(Value::Null, Value::Uint)),
        ("messages-max", number(record.messages_max)),
        ("bytes-max", number(record.bytes_max)),
        ("expiry-milliseconds", number(record.expiry_milliseconds)),
        ("waiting", Value::Ulong(info.waiting as u64)),
        ("held", Value::Ulong(info.held as u64)),
        ("consumers", Value::Uint(u32::try_from(info.consumers).unwrap_or(u32::MAX))),
    ]
}

/// What a binding is told with.
pub fn of_binding(queue: &str, filter: &str) -> [(&'static str, Value); 3] {
    [("type", text("binding")), ("queue", text(queue)), ("filter", text(filter))]
}

fn text(text: &str) -> Value {
    Value::String(text.to_owned())
}

/// A list for each of the two types, or for the one that is asked for.
pub fn types(request: &Request<'_>, [queue, binding]: [&[&str]; 2]) -> Answered {
    let list = |names: &[&str]| Value::List(names.iter().map(|name| text(name)).collect());
    let body = match request.entity_type()? {
        None => string_map([("queue", list(queue)), ("binding", list(binding))]),
        Some(Type::Queue) => string_map([("queue", list(queue))]),
        Some(Type::Binding) => string_map([("binding", list(binding))]),
    };
    Ok(done(200, "OK", body))
}
