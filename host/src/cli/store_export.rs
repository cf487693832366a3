//! `pliant store export`: all that is in a store, one JSON document a line, oldest of each kind first.

use super::progress::Progress;
use super::{Failure, Outcome, output};
use crate::message::Message;
use crate::store::{self, Limits, LoadedMailbox};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde_json::{Map, Value, json};
use std::io::IsTerminal;
use std::path::Path;

/// Writes everything that is not damaged to standard output. Fails at the end if something is.
pub(super) fn export(directory: &Path) -> Outcome {
    let progress = Progress::start("reading the store");
    let loaded = &store::salvage(directory, &Limits::default()).map_err(Failure::failed)?;
    drop(progress);
    // Lines would go through it on a terminal.
    let _progress = (!std::io::stdout().is_terminal()).then(|| Progress::start("writing"));
    for mailbox in &loaded.mailboxes {
        session(mailbox)?;
    }
    for (message, stored) in &loaded.retained {
        output::json(&document("retained", message, json!({ "stored": stored.0 })))?;
    }
    for (_, will) in &loaded.wills {
        let more = json!({
            "client": will.owner.id,
            "delay_seconds": will.will.delay_seconds,
            "due": will.due.map(|(at, _)| at.0),
        });
        output::json(&document("will", &will.will.message, more))?;
    }
    for version in &loaded.module_versions {
        let module = loaded.modules.iter().find(|module| module.name == version.name);
        output::json(&json!({
            "kind": "module",
            "name": version.name,
            "version": version.version,
            "active": module.is_some_and(|module| module.active == Some(version.version)),
            "digest": version.digest,
            "config": version.config,
        }))?;
    }
    for state in &loaded.state {
        output::json(&json!({
            "kind": "state",
            "module": state.module,
            "key": state.key,
            "value_base64": BASE64_STANDARD.encode(&state.value),
            "expires": state.expires.map(|at| at.0),
        }))?;
    }
    match loaded.damaged {
        0 => Ok(()),
        rows => Err(Failure::Failed(format!("{rows} damaged rows were left out"))),
    }
}

fn session(mailbox: &LoadedMailbox) -> Outcome {
    let subscriptions: Vec<Value> = mailbox
        .filters
        .iter()
        .map(|one| json!({ "filter": one.filter.as_str(), "share": one.share, "qos": one.options.guarantee.level() }))
        .collect();
    let client = &mailbox.record.client;
    output::json(&json!({
        "kind": if mailbox.kept_as.is_some() { "queue" } else { "session" },
        "client": client.id,
        "identity": client.scope.identity,
        "expiry_seconds": mailbox.record.expiry_seconds,
        "detached": mailbox.record.detached.map(|at| at.0),
        "subscriptions": subscriptions,
        "condition_base64": mailbox.condition.as_deref().map(|words| BASE64_STANDARD.encode(words)),
        "unreleased": mailbox.seen,
        "queued": mailbox.queue.len(),
    }))?;
    for entry in &mailbox.queue {
        let more =
            json!({ "client": client.id, "number": entry.entry.number, "granted": entry.entry.guarantee.level() });
        output::json(&document("queued", &entry.message, more))?;
    }
    Ok(())
}

/// A message with what is known of its place. A payload that is no text, or was kept as an AMQP client encoded it, is
/// written in base64.
fn document(kind: &str, message: &Message, more: Value) -> Value {
    let envelope = message.envelope();
    let mut out = Map::new();
    out.insert("kind".into(), kind.into());
    if let Value::Object(more) = more {
        out.extend(more);
    }
    out.insert("topic".into(), envelope.topic.as_str().into());
    out.insert("qos".into(), envelope.guarantee.level().into());
    out.insert("retain".into(), envelope.retain.into());
    out.insert("expires".into(), envelope.expires.map(|at| at.0).into());
    match std::str::from_utf8(message.payload()) {
        Ok(text) if message.as_bare().is_none() => out.insert("payload".into(), text.into()),
        _ if message.as_bare().is_some() => {
            out.insert("amqp_base64".into(), BASE64_STANDARD.encode(message.payload()).into())
        }
        _ => out.insert("payload_base64".into(), BASE64_STANDARD.encode(message.payload()).into()),
    };
    if let Some(properties) = &envelope.properties {
        out.insert(
            "properties".into(),
            json!({
                "content_type": properties.content_type,
                "response_topic": properties.response_topic,
                "correlation_data_base64": properties.correlation_data.as_deref().map(|data| BASE64_STANDARD.encode(data)),
                "user": properties.user,
            }),
        );
    }
    Value::Object(out)
}
