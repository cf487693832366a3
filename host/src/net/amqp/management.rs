//! Queues and what is bound to them, made, read, changed, removed and listed by messages (AMQP Management 1.0, working draft):
//! requests go to `$management`, answers to their `reply-to`.
//!
//! A request says in its application properties what it wants:
//!
//! | `operation` | `type` | `name` or `identity` | Body (a map) | Answer |
//! |---|---|---|---|---|
//! | `CREATE` | `queue` | address, or NAME of `/queues/NAME` | settings | 201, or 200 if it is there with these settings, 409 with others |
//! | `READ`, `UPDATE`, `DELETE` | `queue` | as above | settings of an `UPDATE`: those that are left out stay | 200, 200, 204; 404 |
//! | `CREATE`, `READ`, `DELETE` | `binding` | – | `queue`, `filter` | 201 or 200, 200, 204; 404 |
//! | `QUERY` | – (`entityType`: `queue` or `binding`) | – | `attributeNames`; `offset` and `count` are application properties | 200 with `attributeNames` and `results` |
//! | `GET-TYPES`, `GET-OPERATIONS`, `GET-ATTRIBUTES` | – | – | – | 200 |
//!
//! Its own address is bound to a queue as long as that is there. A setting that is not known is refused.
//!
//! Settings of a queue: `dead-letters` (address; empty: none), `failures-max` (attempts), `messages-max`, `bytes-max`,
//! `expiry-milliseconds`; null is the broker's own. `waiting`, `held` and `consumers` are told. A binding's filter is one of
//! MQTT, such as `/exchanges/NAME/KEY` or `sensors/#`: the queue gets what is published there.
//!
//! An answer has `statusCode` (an int, HTTP's) and `statusDescription`, and the request's correlation-id, else its message-id. It
//! leaves when what was done is on disk. Whoever may publish to `$management` may do all of this, but bind only filters that it
//! may subscribe to.

use super::outcome::Told;
use super::side::{End, Side};
use crate::amqp::sections::{self, Properties, RawValue, Sections};
use crate::amqp::{AmqpError, Error, OrderedMap, Value, error};
use crate::broker::{PublishBare, QueueInfo};
use crate::message::{Bare, Guarantee, Refusal, RefusalKind, Time};
use crate::store::{QueueRecord, Sequence};

/// Where requests go.
pub(super) const ADDRESS: &str = "$management";
/// Most entities in one answer to a query.
const RESULTS_MAX: usize = 1000;

/// An answer that waits for the disk.
#[derive(Debug)]
pub(super) struct Reply {
    to: Box<str>,
    encoded: Vec<u8>,
}

/// What an answer says.
struct Answer {
    after: Sequence,
    status: i32,
    what: &'static str,
    body: Value,
}

/// Why there is none, in HTTP's numbers.
struct Failure(i32, String);

type Answered = Result<Answer, Failure>;

impl From<Refusal> for Failure {
    fn from(refusal: Refusal) -> Self {
        let status = match refusal.kind {
            RefusalKind::NotAuthorized | RefusalKind::BadCredentials => 403,
            RefusalKind::TopicInvalid | RefusalKind::PayloadInvalid => 400,
            RefusalKind::NotSupported => 501,
            RefusalKind::QuotaExceeded | RefusalKind::Unavailable => 503,
            RefusalKind::Unspecified => 500,
        };
        Self(status, refusal.reason)
    }
}

/// A request, as its application properties say it.
struct Request<'m> {
    message: &'m Sections<'m>,
}

impl<'m> Request<'m> {
    fn property(&self, name: &str) -> Option<&'m str> {
        self.message.application_property(name)?.as_str()
    }

    fn number(&self, name: &str) -> Option<usize> {
        usize::try_from(self.message.application_property(name)?.as_integer()?).ok()
    }

    /// A value of the body.
    fn body(&self, name: &str) -> Option<RawValue<'m>> {
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

    /// The address of the queue that it is about.
    fn queue(&self) -> Result<String, Failure> {
        let named = self.property("identity").or(self.property("name"));
        let named = named.or_else(|| self.body("queue")?.as_str());
        let named = named.filter(|name| !name.is_empty()).ok_or_else(|| bad("which queue is not said"))?;
        Ok(if named.starts_with('/') { named.to_owned() } else { format!("/queues/{named}") })
    }

    fn filter(&self) -> Result<&'m str, Failure> {
        self.body("filter").and_then(|value| value.as_str()).ok_or_else(|| bad("`filter` is not said"))
    }

    /// The settings of a queue, where those that are not said stay as they are.
    fn settings(&self, before: &QueueRecord) -> Result<QueueRecord, Failure> {
        let mut record = before.clone();
        if let Some(unknown) = self.keys().find(|key| *key != "queue" && !QUEUE_FIELDS.contains(key)) {
            return Err(bad(&format!("`{unknown}` is no setting of a queue")));
        }
        if let Some(value) = self.body("dead-letters") {
            let text = value.as_str().map(Into::into);
            record.dead_letters = unless_null(value, text, "dead-letters")?;
        }
        if let Some(value) = self.body("failures-max") {
            let number = value.as_integer().and_then(|number| u32::try_from(number).ok());
            record.failures_max = unless_null(value, number, "failures-max")?;
        }
        for (name, field) in [
            ("messages-max", &mut record.messages_max),
            ("bytes-max", &mut record.bytes_max),
            ("expiry-milliseconds", &mut record.expiry_milliseconds),
        ] {
            if let Some(value) = self.body(name) {
                let number = value.as_integer().and_then(|number| u64::try_from(number).ok());
                *field = unless_null(value, number, name)?;
            }
        }
        Ok(record)
    }
}

fn unless_null<T>(value: RawValue<'_>, read: Option<T>, name: &str) -> Result<Option<T>, Failure> {
    match read {
        Some(read) => Ok(Some(read)),
        None if value.is_null() => Ok(None),
        None => Err(bad(&format!("`{name}` is of a wrong type"))),
    }
}

fn bad(why: &str) -> Failure {
    Failure(400, why.to_owned())
}

fn gone(queue: &str) -> Failure {
    Failure(404, format!("there is no queue {queue}"))
}

impl Side {
    /// A message to `$management`.
    pub(super) fn management_request(&mut self, now: Time, message: &Sections<'_>) -> Result<Sequence, Error> {
        let properties = message.properties();
        let to = properties.reply_to.filter(|to| !to.is_empty());
        let to = to.ok_or_else(|| error(AmqpError::PreconditionFailed, "a request needs a reply-to"))?;
        let answered = self.manage(now, &Request { message });
        let (after, status, what, body) = match answered {
            Ok(Answer { after, status, what, body }) => (after, status, what.to_owned(), body),
            Err(Failure(status, why)) => (0, status, why, Value::Map(OrderedMap::new())),
        };
        let mut encoded = Vec::new();
        let correlation_id = properties.correlation_id.or(properties.message_id);
        sections::properties(&Properties { to: Some(to), correlation_id, ..Properties::default() }, &mut encoded);
        let said = [("statusCode", Value::Int(status)), ("statusDescription", Value::String(what))];
        sections::application_properties(said.iter().map(|(key, value)| (*key, value)), &mut encoded);
        sections::value(&body, &mut encoded);
        let reply = Reply { to: self.reply_node(to).into(), encoded };
        self.answers.push_back((after, Told::Reply(now, Box::new(reply))));
        Ok(after)
    }

    /// Where an answer goes: clients may give the target of a receiver that they have at `$management`.
    fn reply_node(&self, to: &str) -> String {
        let own = self.links.iter().flatten().find_map(|(_, end)| match end {
            End::Outgoing(receiver) => receiver.replies.as_ref().filter(|(name, _)| **name == *to),
            _ => None,
        });
        own.map_or(to, |(_, topic)| topic).to_owned()
    }

    /// What was done is on disk.
    pub(super) fn reply(&mut self, now: Time, reply: &Reply) {
        let publish = PublishBare {
            name: &reply.to,
            guarantee: Guarantee::AtLeastOnce,
            retain: false,
            expiry_milliseconds: None,
            bare: Bare { handover: Guarantee::AtMostOnce, blank: false, durable: false, priority: 4 },
            origin: self.origin,
            encoded: &reply.encoded,
        };
        let context = self.context.clone();
        let mut worker = context.worker.borrow_mut();
        context.broker.publish_bare(&mut worker, &mut self.publisher, now, publish, None);
    }

    fn manage(&mut self, now: Time, request: &Request<'_>) -> Answered {
        let operation = request.property("operation").ok_or_else(|| bad("`operation` is not said"))?;
        let client = self.client.clone().ok_or_else(|| Failure(401, "the connection is not open".to_owned()))?;
        let context = self.context.clone();
        context.broker.may_manage(&mut context.worker.borrow_mut(), &client)?;
        match (operation, request.property("type")) {
            ("CREATE", Some("queue")) => self.create(now, request),
            ("READ", Some("queue")) => self.read(request),
            ("UPDATE", Some("queue")) => self.update(now, request),
            ("DELETE", Some("queue")) => self.delete(now, request),
            ("CREATE", Some("binding")) => self.bind(now, request, true),
            ("READ", Some("binding")) => self.read_binding(request),
            ("DELETE", Some("binding")) => self.bind(now, request, false),
            ("QUERY", _) => self.query(request),
            ("GET-TYPES", _) => Ok(done(200, "OK", of_types(&[&[], &[]]))),
            ("GET-OPERATIONS", _) => {
                let of_queues = &["CREATE", "READ", "UPDATE", "DELETE"][..];
                Ok(done(200, "OK", of_types(&[of_queues, &["CREATE", "READ", "DELETE"]])))
            }
            ("GET-ATTRIBUTES", _) => Ok(done(200, "OK", of_types(&[QUEUE_FIELDS, BINDING_FIELDS]))),
            ("CREATE" | "READ" | "UPDATE" | "DELETE", _) => Err(bad("`type` is neither queue nor binding")),
            _ => Err(Failure(501, format!("operation {operation} is not known"))),
        }
    }

    fn find(&self, address: &str) -> Result<Option<QueueInfo>, Failure> {
        let mut worker = self.context.worker.borrow_mut();
        Ok(self.context.broker.queue_info(&mut worker, &self.publisher_scope(), address)?)
    }

    fn found(&self, address: &str) -> Result<QueueInfo, Failure> {
        self.find(address)?.ok_or_else(|| gone(address))
    }

    fn publisher_scope(&self) -> crate::client::Scope {
        let nobody = || crate::broker::nobody(&self.listener, crate::client::Protocol::Amqp);
        self.client.as_ref().map_or_else(nobody, |client| client.scope.clone())
    }

    fn declare_queue(&mut self, now: Time, address: &str, record: QueueRecord) -> Result<Sequence, Failure> {
        let context = self.context.clone();
        let mut worker = context.worker.borrow_mut();
        Ok(context.broker.declare_queue(&mut worker, now, &self.publisher_scope(), address, record)?.0)
    }

    fn create(&mut self, now: Time, request: &Request<'_>) -> Answered {
        let address = request.queue()?;
        let wanted = request.settings(&QueueRecord::default())?;
        if let Some(info) = self.find(&address)? {
            let same = QueueRecord { bindings: Vec::new(), ..info.record.clone() } == wanted;
            return match same {
                true => Ok(done(200, "OK", queue_map(&info))),
                false => Err(Failure(409, format!("queue {address} is there with other settings"))),
            };
        }
        let after = self.declare_queue(now, &address, wanted)?;
        Ok(Answer { after, ..done(201, "Created", queue_map(&self.found(&address)?)) })
    }

    fn read(&mut self, request: &Request<'_>) -> Answered {
        Ok(done(200, "OK", queue_map(&self.found(&request.queue()?)?)))
    }

    fn update(&mut self, now: Time, request: &Request<'_>) -> Answered {
        let address = request.queue()?;
        let wanted = request.settings(&self.found(&address)?.record)?;
        let after = self.declare_queue(now, &address, wanted)?;
        Ok(Answer { after, ..done(200, "OK", queue_map(&self.found(&address)?)) })
    }

    fn delete(&mut self, now: Time, request: &Request<'_>) -> Answered {
        let address = request.queue()?;
        let context = self.context.clone();
        let mut worker = context.worker.borrow_mut();
        let deleted = context.broker.delete_queue(&mut worker, now, &self.publisher_scope(), &address)?;
        let after = deleted.ok_or_else(|| gone(&address))?;
        Ok(Answer { after, ..done(204, "No Content", Value::Map(OrderedMap::new())) })
    }

    /// Binds a filter to a queue, or takes it away.
    fn bind(&mut self, now: Time, request: &Request<'_>, more: bool) -> Answered {
        let (address, filter) = (request.queue()?, request.filter()?);
        let QueueInfo { address: own, mut record, .. } = self.found(&address)?;
        let client = self.client.clone().ok_or_else(|| bad("the connection is not open"))?;
        let mapped = {
            let mut worker = self.context.worker.borrow_mut();
            self.context.broker.filter_to_bind(&mut worker, &client, filter)?
        };
        // What is sent to its own address a queue gets as long as it is there.
        let is_own = *mapped == *own;
        let at = record.bindings.iter().position(|bound| **bound == *mapped);
        let body = binding_map(&address, &mapped);
        match (more, at) {
            (true, Some(_)) => return Ok(done(200, "OK", body)),
            (true, None) if is_own => return Ok(done(200, "OK", body)),
            (true, None) => record.bindings.push(mapped.into()),
            (false, Some(at)) => drop(record.bindings.remove(at)),
            (false, None) => return Err(Failure(404, format!("{filter} is not bound to queue {address}"))),
        }
        let after = self.declare_queue(now, &address, record)?;
        Ok(match more {
            true => Answer { after, ..done(201, "Created", body) },
            false => Answer { after, ..done(204, "No Content", Value::Map(OrderedMap::new())) },
        })
    }

    fn read_binding(&mut self, request: &Request<'_>) -> Answered {
        let (address, filter) = (request.queue()?, request.filter()?);
        let info = self.found(&address)?;
        match info.record.bindings.iter().any(|bound| **bound == *filter) {
            true => Ok(done(200, "OK", binding_map(&info.address, filter))),
            false => Err(Failure(404, format!("{filter} is not bound to queue {address}"))),
        }
    }

    fn query(&mut self, request: &Request<'_>) -> Answered {
        let kind = request.property("entityType");
        let (offset, count) = (request.number("offset").unwrap_or(0), request.number("count").unwrap_or(RESULTS_MAX));
        let wanted = (offset.saturating_add(count)).min(offset.saturating_add(RESULTS_MAX));
        let queues = self.context.broker.queues(match kind {
            Some("binding") => usize::MAX,
            _ => wanted,
        });
        let entities: Vec<Value> = match kind {
            Some("queue") | None => queues.iter().map(queue_map).collect(),
            Some("binding") => {
                let of_one = |info: &QueueInfo| -> Vec<Value> {
                    info.record.bindings.iter().map(|filter| binding_map(&info.address, filter)).collect()
                };
                queues.iter().flat_map(of_one).take(wanted).collect()
            }
            Some(_) => return Err(bad("`entityType` is neither queue nor binding")),
        };
        let fields = if kind == Some("binding") { BINDING_FIELDS } else { QUEUE_FIELDS };
        let asked: Vec<String> = request
            .body("attributeNames")
            .and_then(|names| names.elements())
            .map(|names| names.filter_map(|name| name.as_str().or(name.as_symbol()).map(str::to_owned)).collect())
            .unwrap_or_default();
        let names = if asked.is_empty() { fields.iter().map(|name| (*name).to_owned()).collect() } else { asked };
        let row = |entity: &Value| {
            let Value::Map(map) = entity else { return Value::Null };
            let cell = |name: &String| map.get(&Value::String(name.clone())).cloned().unwrap_or(Value::Null);
            Value::List(names.iter().map(cell).collect())
        };
        let results: Vec<Value> = entities.iter().skip(offset).take(count.min(RESULTS_MAX)).map(row).collect();
        let found = i32::try_from(results.len()).unwrap_or(i32::MAX);
        let names = Value::List(names.into_iter().map(Value::String).collect());
        let body = [("attributeNames", names), ("results", Value::List(results)), ("count", Value::Int(found))];
        Ok(done(200, "OK", string_map(body)))
    }
}

fn done(status: i32, what: &'static str, body: Value) -> Answer {
    Answer { after: 0, status, what, body }
}

/// What a queue is told with.
const QUEUE_FIELDS: &[&str] = &[
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
/// What a binding is told with.
const BINDING_FIELDS: &[&str] = &["type", "queue", "filter"];

fn string_map<const N: usize>(pairs: [(&str, Value); N]) -> Value {
    let mut map = OrderedMap::new();
    for (key, value) in pairs {
        map.insert(Value::String(key.to_owned()), value);
    }
    Value::Map(map)
}

fn queue_map(info: &QueueInfo) -> Value {
    let text = |text: &str| Value::String(text.to_owned());
    let number = |number: Option<u64>| number.map_or(Value::Null, Value::Ulong);
    let record = &info.record;
    string_map([
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
    ])
}

fn binding_map(queue: &str, filter: &str) -> Value {
    let text = |text: &str| Value::String(text.to_owned());
    string_map([("type", text("binding")), ("queue", text(queue)), ("filter", text(filter))])
}

/// A list for each of the two types.
fn of_types(lists: &[&[&str]; 2]) -> Value {
    let list = |names: &[&str]| Value::List(names.iter().map(|name| Value::String((*name).to_owned())).collect());
    string_map([("queue", list(lists[0])), ("binding", list(lists[1]))])
}
