//! Queries: rows of what there is. Whatever is asked and however much there is, an answer has a bound; the rest comes by
//! `offset`.

use super::answer::{Answered, BINDING_FIELDS, QUEUE_FIELDS, bad, done, of_binding, of_queue, string_map};
use super::request::{Request, Type};
use crate::amqp::Value;
use crate::broker::{Broker, QueueInfo, Worker};
use crate::client::Scope;

/// Most rows of an answer.
const ROWS_MAX: usize = 1000;
/// No row follows when those before it have so many bytes.
const BYTES_MAX: usize = 1 << 20;

/// Answers a query: with what clients of this scope have names for.
pub fn query(broker: &Broker, worker: &mut Worker, scope: &Scope, request: &Request<'_>) -> Answered {
    let (offset, count) = (request.number("offset")?.unwrap_or(0), request.number("count")?.unwrap_or(ROWS_MAX));
    let is_of_queues = !matches!(request.entity_type()?, Some(Type::Binding));
    // Where every queue is shown, those that are left out need not be looked at.
    let skipped = if is_of_queues && broker.knows_all_names(worker) { offset } else { 0 };
    let known = broker.queues(skipped).filter_map(|info| broker.as_known_to(worker, scope, info, None));
    match request.entity_type()? {
        None | Some(Type::Queue) => {
            let names = names(request, QUEUE_FIELDS)?;
            let queues = known.skip(offset - skipped);
            answer(&names, queues.map(|info| row(&names, &of_queue(&info))).take(count))
        }
        Some(Type::Binding) => {
            let names = names(request, BINDING_FIELDS)?;
            let told =
                |(info, at): (QueueInfo, usize)| row(&names, &of_binding(&info.address, &info.record.bindings[at]));
            answer(&names, bindings(known, offset).map(told).take(count))
        }
    }
}

/// Bindings of queues behind so many of them.
fn bindings(queues: impl Iterator<Item = QueueInfo>, mut offset: usize) -> impl Iterator<Item = (QueueInfo, usize)> {
    queues.flat_map(move |info| {
        let count = info.record.bindings.len();
        let from = offset.min(count);
        offset -= from;
        (from..count).map(move |at| (info.clone(), at))
    })
}

/// The attributes that are asked for; all, if none is named.
fn names<'m>(request: &Request<'m>, known: &[&'m str]) -> Result<Vec<&'m str>, super::answer::Failure> {
    let asked = request.body("attributeNames").and_then(|names| names.elements()).into_iter().flatten();
    let asked = asked.filter_map(|name| name.as_str().or(name.as_symbol()));
    let asked: Vec<&str> = asked.take(known.len() + 1).collect();
    match asked.len() {
        0 => Ok(known.to_vec()),
        count if count > known.len() => {
            Err(bad(&format!("`attributeNames` has more names than there are attributes, which is {}", known.len())))
        }
        _ => Ok(asked),
    }
}

/// One that is not known is null.
fn row(names: &[&str], told: &[(&str, Value)]) -> Vec<Value> {
    let cell =
        |name: &&str| told.iter().find(|(known, _)| known == name).map_or(Value::Null, |(_, value)| value.clone());
    names.iter().map(cell).collect()
}

fn answer(names: &[&str], rows: impl Iterator<Item = Vec<Value>>) -> Answered {
    let mut bytes = 0;
    let mut results = Vec::new();
    for row in rows.take(ROWS_MAX) {
        bytes += row.iter().map(size).sum::<usize>();
        results.push(Value::List(row));
        if bytes >= BYTES_MAX {
            break;
        }
    }
    let count = Value::Int(i32::try_from(results.len()).unwrap_or(i32::MAX));
    let names = Value::List(names.iter().map(|name| Value::String((*name).to_owned())).collect());
    Ok(done(200, "OK", string_map([("attributeNames", names), ("results", Value::List(results)), ("count", count)])))
}

/// Bytes of a cell, at most a few more than it has.
fn size(value: &Value) -> usize {
    9 + if let Value::String(text) = value { text.len() } else { 0 }
}
