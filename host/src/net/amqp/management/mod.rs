//! Queues and what is bound to them, made, read, changed, removed and listed by messages (AMQP Management 1.0, working draft):
//! requests go to `$management`, answers to their `reply-to`.
//!
//! A request says in its application properties what it wants:
//!
//! | `operation` | `type` | `name` or `identity` | Body (a map) | Answer |
//! |---|---|---|---|---|
//! | `CREATE` | `queue` | address of a queue that is there, or that begins with `/`; else NAME of `/queues/NAME` | settings | 201, or 200 if it is there with these settings, 409 with others |
//! | `READ`, `UPDATE`, `DELETE` | `queue` | as above | settings of an `UPDATE`: those that are left out stay | 200, 200, 204; 404 |
//! | `CREATE`, `READ`, `DELETE` | `binding` | – | `queue`, `filter` | 201 or 200, 200, 204; 404 |
//! | `QUERY` | – (`entityType`: `queue` or `binding`) | – | `attributeNames`; `offset` and `count` are application properties | 200 with `attributeNames`, `results` and their `count` |
//! | `GET-TYPES`, `GET-OPERATIONS`, `GET-ATTRIBUTES`, `GET-ANNOTATIONS` | – (`entityType`: of that type only) | – | – | 200 |
//! | `GET-MGMT-NODES` | – | – | – | 200 with an empty list: there is no other management node |
//!
//! Its own address is bound to a queue as long as that is there. A setting that is not known is refused.
//!
//! Settings of a queue: `dead-letters` (address; empty: none), `failures-max` (attempts), `messages-max`, `bytes-max`,
//! `expiry-milliseconds`; null is the broker's own. `waiting`, `held` and `consumers` are told. A binding's filter is one of
//! MQTT, such as `/exchanges/NAME/KEY` or `sensors/#`: the queue gets what is published there.
//!
//! What several clients do to one queue at the same time is done one after the other. A query is answered with at most 1,000
//! rows, and no row follows when there is 1 MiB of them: whoever wants the rest asks again with a greater `offset`.
//!
//! An answer has `statusCode` (an int, HTTP's) and `statusDescription`, and the request's correlation-id, else its message-id. It
//! leaves when what was done is on disk. Whoever may publish to `$management` may do all of this, but bind only filters that it
//! may subscribe to, and name only such addresses for dead letters as it may publish to. A binding brings in what the client may
//! receive that asked for it last.
//!
//! Where modules map names, all of this is in the client's own, and what it has no name for, such as what lies outside of its
//! mount point, it is not shown.

mod answer;
mod query;
mod request;

use super::address;
use super::outcome::Told;
use super::side::{End, Side};
use crate::amqp::sections::{self, Properties, Sections};
use crate::amqp::{AmqpError, Error, OrderedMap, Value, error};
use crate::broker::{Changed, How, PublishBare, QueueInfo, Taken};
use crate::message::{Bare, Guarantee, Time};
use crate::store::{QueueRecord, Sequence};
use answer::{Answer, Answered, BINDING_FIELDS, Failure, QUEUE_FIELDS, bad, done, gone, of_binding, of_queue};
use answer::{string_map, types};
use request::{Request, Settings};

/// Where requests go.
pub(super) const ADDRESS: &str = "$management";

/// An answer that waits for the disk.
#[derive(Debug)]
pub(super) struct Reply {
    to: Box<str>,
    encoded: Vec<u8>,
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
        own.map_or(address::node(to), |(_, topic)| topic).to_owned()
    }

    /// What was done is on disk. Not to be called while a publication of the client waits, whose place this would take.
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
        if matches!(context.broker.publish_bare(&mut worker, &mut self.publisher, now, publish, None), Taken::Parked) {
            // Whoever asks and lets the queue for its answers be full gets none.
            context.broker.give_up(&mut self.publisher);
        }
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
            ("CREATE", Some("binding")) => self.bind(now, request),
            ("READ", Some("binding")) => self.read_binding(request),
            ("DELETE", Some("binding")) => self.unbind(now, request),
            ("QUERY", _) => query::query(&context.broker, &mut context.worker.borrow_mut(), &client.scope, request),
            // Neither type extends another, nor has annotations.
            ("GET-TYPES" | "GET-ANNOTATIONS", _) => types(request, [&[], &[]]),
            ("GET-OPERATIONS", _) => {
                types(request, [&["CREATE", "READ", "UPDATE", "DELETE"], &["CREATE", "READ", "DELETE"]])
            }
            ("GET-ATTRIBUTES", _) => types(request, [QUEUE_FIELDS, BINDING_FIELDS]),
            ("GET-MGMT-NODES", _) => Ok(done(200, "OK", Value::List(Vec::new()))),
            ("CREATE" | "READ" | "UPDATE" | "DELETE", _) => Err(bad("`type` is neither queue nor binding")),
            _ => Err(Failure(501, format!("operation {operation} is not known"))),
        }
    }

    /// The address of the queue that a request is about: as it is named where it begins with `/`, or a queue is there, else
    /// below `/queues/`.
    fn queue(&self, request: &Request<'_>) -> Result<String, Failure> {
        let address = self.address_of(request.queue()?);
        match request.property("name").filter(|name| !name.is_empty()) {
            Some(name) if self.address_of(name) != address => Err(bad("`name` and `identity` are of different queues")),
            _ => Ok(address),
        }
    }

    fn address_of(&self, named: &str) -> String {
        match named.starts_with('/') || self.find(named).is_ok_and(|found| found.is_some()) {
            true => named.to_owned(),
            false => format!("/queues/{named}"),
        }
    }

    fn find(&self, address: &str) -> Result<Option<QueueInfo>, Failure> {
        let client = self.client.as_ref().ok_or_else(|| bad("the connection is not open"))?;
        let mut worker = self.context.worker.borrow_mut();
        Ok(self.context.broker.queue_info(&mut worker, client, address)?)
    }

    fn found(&self, address: &str) -> Result<QueueInfo, Failure> {
        self.find(address)?.ok_or_else(|| gone(address))
    }

    /// A queue in the client's words, under the address that it said.
    fn told(&self, info: QueueInfo, address: &str) -> Value {
        let mut worker = self.context.worker.borrow_mut();
        let known = self.context.broker.as_known_to(&mut worker, &self.publisher_scope(), info, Some(address));
        known.map_or(Value::Null, |info| string_map(of_queue(&info)))
    }

    fn publisher_scope(&self) -> std::sync::Arc<crate::client::Scope> {
        let nobody = || crate::broker::nobody(&self.listener, crate::client::Protocol::Amqp);
        self.client.as_ref().map_or_else(nobody, |client| client.scope.clone())
    }

    fn change(
        &mut self,
        now: Time,
        address: &str,
        change: impl FnOnce(Option<&QueueRecord>) -> Result<QueueRecord, Failure>,
    ) -> Result<Changed, Failure> {
        let client = self.client.as_ref().ok_or_else(|| bad("the connection is not open"))?;
        let mut worker = self.context.worker.borrow_mut();
        self.context.broker.change_queue(&mut worker, now, client, address, change)
    }

    /// Where dead letters are to go, in the broker's words.
    fn dead_letters(&self, settings: &Settings<'_>) -> Result<Option<Option<Box<str>>>, Failure> {
        let Some(Some(name)) = settings.dead_letters.filter(|name| *name != Some("")) else {
            return Ok(settings.dead_letters.map(|name| name.map(Into::into)));
        };
        let client = self.client.as_ref().ok_or_else(|| bad("the connection is not open"))?;
        let mut worker = self.context.worker.borrow_mut();
        let topic = self.context.broker.dead_letters_to_set(&mut worker, client, name).map_err(|refusal| {
            let Failure(status, why) = refusal.into();
            Failure(status, format!("`dead-letters`: {why}"))
        })?;
        Ok(Some(Some(topic.as_str().into())))
    }

    fn create(&mut self, now: Time, request: &Request<'_>) -> Answered {
        let (address, settings) = (self.queue(request)?, request.settings()?);
        let dead_letters = self.dead_letters(&settings)?;
        let changed = self.change(now, &address, |before| {
            let bindings = before.map_or_else(Vec::new, |before| before.bindings.clone());
            let wanted = settings.over(&QueueRecord { bindings, ..QueueRecord::default() }, &dead_letters);
            match before.is_none_or(|before| *before == wanted) {
                true => Ok(wanted),
                false => Err(Failure(409, format!("queue {address} is there with other settings"))),
            }
        })?;
        let (status, what) = if changed.how == How::Made { (201, "Created") } else { (200, "OK") };
        Ok(Answer { after: changed.after, ..done(status, what, self.told(changed.info, &address)) })
    }

    fn read(&mut self, request: &Request<'_>) -> Answered {
        let address = self.queue(request)?;
        Ok(done(200, "OK", self.told(self.found(&address)?, &address)))
    }

    fn update(&mut self, now: Time, request: &Request<'_>) -> Answered {
        let (address, settings) = (self.queue(request)?, request.settings()?);
        let dead_letters = self.dead_letters(&settings)?;
        let changed = self.change(now, &address, |before| {
            let before = before.ok_or_else(|| gone(&address))?;
            Ok(settings.over(before, &dead_letters))
        })?;
        Ok(Answer { after: changed.after, ..done(200, "OK", self.told(changed.info, &address)) })
    }

    fn delete(&mut self, now: Time, request: &Request<'_>) -> Answered {
        let address = self.queue(request)?;
        let client = self.client.as_ref().ok_or_else(|| bad("the connection is not open"))?;
        let mut worker = self.context.worker.borrow_mut();
        let deleted = self.context.broker.delete_queue(&mut worker, now, client, &address)?;
        let after = deleted.ok_or_else(|| gone(&address))?;
        Ok(Answer { after, ..done(204, "No Content", Value::Map(OrderedMap::new())) })
    }

    /// A filter in the broker's words, which the client may subscribe to.
    fn filter_to_bind(&self, filter: &str) -> Result<String, Failure> {
        let client = self.client.as_ref().ok_or_else(|| bad("the connection is not open"))?;
        let mut worker = self.context.worker.borrow_mut();
        Ok(self.context.broker.filter_to_bind(&mut worker, client, filter)?)
    }

    /// A filter in the broker's words: who may not subscribe to it any more may take back that it did.
    fn bound_filter(&self, filter: &str) -> Result<String, Failure> {
        let client = self.client.as_ref().ok_or_else(|| bad("the connection is not open"))?;
        let mut worker = self.context.worker.borrow_mut();
        Ok(self.context.broker.bound_filter(&mut worker, client, filter)?)
    }

    fn bind(&mut self, now: Time, request: &Request<'_>) -> Answered {
        let address = self.queue(request)?;
        let filter = self.filter_to_bind(request.filter()?)?;
        let changed = self.change(now, &address, |before| {
            let mut record = before.ok_or_else(|| gone(&address))?.clone();
            if record.bindings.iter().all(|bound| **bound != *filter) {
                record.bindings.push(filter.as_str().into());
            }
            Ok(record)
        })?;
        let (status, what) = if changed.how == How::Changed { (201, "Created") } else { (200, "OK") };
        let mut after = changed.after;
        if let (How::NotAtAll, Some(client)) = (changed.how, &self.client) {
            let mut worker = self.context.worker.borrow_mut();
            after = after.max(self.context.broker.answer_for_binding(&mut worker, client, &address, &filter)?);
        }
        Ok(Answer { after, ..done(status, what, string_map(of_binding(&address, request.filter()?))) })
    }

    fn unbind(&mut self, now: Time, request: &Request<'_>) -> Answered {
        let address = self.queue(request)?;
        let filter = self.bound_filter(request.filter()?)?;
        let changed = self.change(now, &address, |before| {
            let mut record = before.ok_or_else(|| gone(&address))?.clone();
            let at = record.bindings.iter().position(|bound| **bound == *filter);
            let at = at.ok_or_else(|| Failure(404, format!("{filter} is not bound to queue {address}")))?;
            record.bindings.remove(at);
            Ok(record)
        })?;
        Ok(Answer { after: changed.after, ..done(204, "No Content", Value::Map(OrderedMap::new())) })
    }

    fn read_binding(&mut self, request: &Request<'_>) -> Answered {
        let (address, filter) = (self.queue(request)?, request.filter()?);
        let (info, bound_as) = (self.found(&address)?, self.bound_filter(filter)?);
        match info.record.bindings.iter().any(|bound| **bound == *bound_as) {
            true => Ok(done(200, "OK", string_map(of_binding(&address, filter)))),
            false => Err(Failure(404, format!("{filter} is not bound to queue {address}"))),
        }
    }
}
