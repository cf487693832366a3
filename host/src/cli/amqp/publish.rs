//! `pliant pub` over AMQP: each message is waited for until the broker has taken it.

use super::{Opened, PUBLISHING, run, settling, taken};
use crate::bridge;
use crate::cli::publish::{AHEAD, PublishArgs, progress};
use crate::cli::{Failure, Outcome, output};
use fe2o3_amqp::link::SendError;
use fe2o3_amqp::types::messaging::{
    ApplicationProperties, Data, Header, Message, MessageAnnotations, MessageId, Outcome as Said, Properties,
};
use fe2o3_amqp::types::primitives::{SimpleValue, Symbol, Value};
use fe2o3_amqp::{Sendable, Sender};
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::task::JoinSet;

/// Sends all that the arguments say.
pub(in crate::cli) fn publish(args: &PublishArgs, properties: Vec<(String, String)>) -> Outcome {
    let sent = run(send(args, properties))?;
    match args.json {
        true => output::json(&serde_json::json!({ "sent": sent })),
        false => Ok(()),
    }
}

async fn send(args: &PublishArgs, properties: Vec<(String, String)>) -> Result<u64, Failure> {
    let mut payloads = args.payloads()?;
    let mut opened = Opened::open(&args.connect).await?;
    let failed = |reason: String| Failure::Failed(format!("{}: {reason}", args.topic));
    let (sender_settles, _) = settling(args.qos);
    let attaching = Sender::builder()
        .name(format!("pub-{:08x}", rand::random::<u32>()))
        .target(args.topic.as_str())
        .sender_settle_mode(sender_settles)
        .receiver_settle_mode(PUBLISHING)
        .attach(&mut opened.session);
    let patience = Duration::from_secs(args.timeout);
    let late = || Failure::Failed(format!("{}: no answer within {} s", args.connect.url(), args.timeout));
    let attached = tokio::time::timeout(patience, attaching).await.map_err(|_| late())?;
    let mut sender = attached.map_err(|error| failed(bridge::sending(&error)))?;
    let mut under_way: JoinSet<Result<Said, SendError>> = JoinSet::new();
    let mut sent = 0;
    let (_progress, told_done) = progress();
    loop {
        let payload = match under_way.len() < AHEAD {
            true => payloads.recv().await,
            false => None,
        };
        if let Some(payload) = payload {
            let message = message(args, &properties, payload.map_err(Failure::Failed)?);
            let sendable = Sendable::builder().message(message).settled(args.qos == 0).build();
            let handed = tokio::time::timeout(patience, sender.send_batchable(sendable)).await;
            under_way.spawn(handed.map_err(|_| late())?.map_err(|error| failed(bridge::sent(error)))?);
            if under_way.len() < AHEAD {
                continue;
            }
        }
        let said = tokio::time::timeout(patience, under_way.join_next()).await.map_err(|_| late())?;
        let Some(said) = said else { break };
        taken(said.map_err(Failure::failed)?.map_err(|error| failed(bridge::sent(error)))?)?;
        sent += 1;
        told_done.store(sent, Ordering::Relaxed);
    }
    // The goodbye of the connection ends the link, too, if this takes too long.
    let _ = tokio::time::timeout(super::FAREWELL, sender.close()).await;
    opened.close().await;
    Ok(sent)
}

fn message(args: &PublishArgs, properties: &[(String, String)], payload: Vec<u8>) -> Message<Data> {
    let header = Header {
        durable: args.qos > 0,
        ttl: args.expiry.map(|seconds| seconds.saturating_mul(1000)),
        ..Header::default()
    };
    let said = Properties {
        to: Some(args.topic.clone()),
        content_type: args.content_type.as_deref().map(Symbol::from),
        reply_to: args.response_topic.clone(),
        correlation_id: args.correlation_data.clone().map(MessageId::String),
        ..Properties::default()
    };
    let retain =
        || MessageAnnotations::builder().insert(Symbol::from("x-opt-retain-message"), Value::Bool(true)).build();
    let mut own = ApplicationProperties::builder();
    for (name, value) in properties {
        own = own.insert(name.clone(), SimpleValue::String(value.clone()));
    }
    Message {
        header: Some(header),
        delivery_annotations: None,
        message_annotations: args.retain.then(retain),
        properties: Some(said),
        application_properties: (!properties.is_empty()).then(|| own.build()),
        body: Data(payload.into()),
        footer: None,
    }
}
