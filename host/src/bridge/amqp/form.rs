//! Messages between the form in which the hall keeps them and that of the client library.

use super::super::mapping::Way;
use super::super::thread::Plan;
use crate::dialogue::Consignment;
use crate::message::{Guarantee, Time};
use fe2o3_amqp::types::messaging::annotations::OwnedKey;
use fe2o3_amqp::types::messaging::message::__private::{Deserializable, Serializable};
use fe2o3_amqp::types::messaging::{Body, Header, Message, MessageAnnotations, Priority, Properties};
use fe2o3_amqp::types::primitives::{Symbol, Value};

/// A message with any body.
pub type Any = Message<Body<Value>>;

/// The message annotation that names the brokers from which bridges have taken a message, separated by spaces.
pub const VIA: &str = "x-opt-pliant-via";

const RETAIN: [&str; 2] = ["x-opt-retain-message", "x-opt-retain"];
const QOS: [&str; 2] = ["x-opt-mqtt-qos", "x-opt-qos"];

/// What the hall has to know of a message that came in.
pub struct Known {
    pub bytes: Vec<u8>,
    pub guarantee: Guarantee,
    pub retain: bool,
    pub blank: bool,
    pub header: Header,
}

/// The message as it leaves; none: it may go no further.
///
/// # Errors
/// It cannot be read.
pub fn outgoing(
    plan: &Plan,
    way: &Way,
    peer: Option<&str>,
    consignment: &Consignment,
    now: Time,
) -> Result<Option<Any>, String> {
    let kept = &consignment.message;
    let read: Deserializable<Any> = serde_amqp::from_slice(kept.payload()).map_err(|error| error.to_string())?;
    let mut message = read.0;
    let mut via = via(&message);
    // It was brought here by a bridge, which said so.
    via.pop_if(|node| **node == *plan.node);
    let goes_back = |node: &String| **node == *plan.node || peer == Some(node);
    if via.iter().any(goes_back) || via.len() >= plan.settings.hops_max as usize {
        return Ok(None);
    }
    let bare = kept.as_bare();
    let left = kept.envelope().expires.map(|at| u32::try_from(at.since(now)).unwrap_or(u32::MAX));
    message.header = Some(Header {
        durable: bare.is_some_and(|bare| bare.durable) || way.route.qos > 0,
        priority: Priority(bare.map_or(4, |bare| bare.priority)),
        ttl: left,
        ..Header::default()
    });
    message.delivery_annotations = None;
    mark(&mut message, via, &plan.node);
    let annotations = &mut message.message_annotations.get_or_insert_with(|| MessageAnnotations(Default::default())).0;
    let key = OwnedKey::Symbol(Symbol::from(RETAIN[0]));
    if consignment.retain || annotations.contains_key(&key) {
        annotations.insert(key, Value::Bool(consignment.retain));
    }
    if way.route.remote.is_empty() {
        let name = consignment.name.as_deref().unwrap_or(kept.topic().as_str());
        let Some(to) = way.outward(name) else { return Ok(None) };
        message.properties.get_or_insert_with(Properties::default).to = Some(to);
    }
    Ok(Some(message))
}

/// What came in, as the hall takes it.
///
/// # Errors
/// It cannot be written.
pub fn incoming(mut message: Any) -> Result<Known, String> {
    let header = message.header.take().unwrap_or_default();
    message.delivery_annotations = None;
    let level = QOS.iter().find_map(|name| match annotation(&message, name)? {
        Value::Ubyte(level) => Some(*level),
        Value::Uint(level) => u8::try_from(*level).ok(),
        Value::Int(level) => u8::try_from(*level).ok(),
        Value::Long(level) => u8::try_from(*level).ok(),
        Value::String(text) => text.trim().parse().ok(),
        _ => None,
    });
    let by_durable = if header.durable { Guarantee::AtLeastOnce } else { Guarantee::AtMostOnce };
    let retain = RETAIN.iter().find_map(|name| annotation(&message, name));
    let blank = match &message.body {
        Body::Empty => true,
        Body::Data(parts) => parts.iter().all(|part| part.0.is_empty()),
        Body::Value(value) => match &value.0 {
            Value::Null => true,
            Value::String(text) => text.is_empty(),
            Value::Binary(bytes) => bytes.is_empty(),
            _ => false,
        },
        Body::Sequence(_) => false,
    };
    Ok(Known {
        guarantee: level.and_then(Guarantee::from_level).unwrap_or(by_durable),
        retain: matches!(retain, Some(Value::Bool(true))),
        blank,
        bytes: serde_amqp::to_vec(&Serializable(message)).map_err(|error| error.to_string())?,
        header,
    })
}

/// The brokers that a message came through.
pub fn via(message: &Any) -> Vec<String> {
    match annotation(message, VIA) {
        Some(Value::String(path)) => path.split(' ').map(str::to_owned).collect(),
        _ => Vec::new(),
    }
}

/// Adds a broker to those that the message came through.
pub fn mark(message: &mut Any, via: Vec<String>, node: &str) {
    if via.iter().any(|known| known == node) {
        return;
    }
    let path = via.into_iter().chain([node.to_owned()]).collect::<Vec<_>>().join(" ");
    let annotations = &mut message.message_annotations.get_or_insert_with(|| MessageAnnotations(Default::default())).0;
    annotations.insert(OwnedKey::Symbol(Symbol::from(VIA)), Value::String(path));
}

fn annotation<'m>(message: &'m Any, name: &str) -> Option<&'m Value> {
    message.message_annotations.as_ref()?.0.get(&OwnedKey::Symbol(Symbol::from(name)))
}
