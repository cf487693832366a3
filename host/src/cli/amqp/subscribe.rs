//! `pliant sub` over AMQP: a receiving link for each address; a message is settled when it has been printed.

use super::{Opened, run, settling};
use crate::amqp::{TOPIC_ANNOTATION, TOPICS_PROPERTY};
use crate::bridge::{self, disposing, receiving};
use crate::cli::subscribe::SubscribeArgs;
use crate::cli::{Failure, Outcome, output};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use fe2o3_amqp::link::delivery::DeliveryInfo;
use fe2o3_amqp::types::messaging::annotations::OwnedKey;
use fe2o3_amqp::types::messaging::{Body, Message, MessageId, Source, TerminusDurability, TerminusExpiryPolicy};
use fe2o3_amqp::types::primitives::{SimpleValue, Symbol, Value};
use fe2o3_amqp::{Delivery, Receiver};
use serde_json::{Map, Value as Json, json};
use std::time::Duration;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinSet;

/// What came on a link, and how to say that it was printed.
type Came = (usize, Result<Message<Body<Value>>, String>, oneshot::Sender<()>);

/// Prints what comes until there was enough of it.
pub(in crate::cli) fn subscribe(args: &SubscribeArgs) -> Outcome {
    if args.no_retained {
        return Err(Failure::Usage("--no-retained is for MQTT".to_owned()));
    }
    run(receive(args))
}

async fn receive(args: &SubscribeArgs) -> Outcome {
    let mut opened = Opened::open(&args.connect).await?;
    let (stop, stopped) = watch::channel(false);
    let (tell, mut told) = mpsc::channel::<Came>(1);
    let mut links = JoinSet::new();
    for (at, filter) in args.filters.iter().enumerate() {
        let receiver = attach(args, &mut opened, filter).await?;
        links.spawn(listen(at, receiver, tell.clone(), stopped.clone(), opened.session_expiry > 0));
    }
    drop(tell);
    let mut seen = 0;
    let printing = async {
        loop {
            let (at, came, printed) = told.recv().await.ok_or_else(|| Failure::Failed("the links ended".to_owned()))?;
            let message = came.map_err(|reason| Failure::Failed(format!("{}: {reason}", args.filters[at])))?;
            print(args, at, &message)?;
            // A link that has ended meanwhile settles nothing more.
            let _ = printed.send(());
            seen += 1;
            if args.count == Some(seen) {
                return Ok(());
            }
        }
    };
    let ended = match args.timeout {
        Some(seconds) => tokio::time::timeout(Duration::from_secs(seconds), printing).await.unwrap_or_else(|_| {
            let late = |count| Err(Failure::Failed(format!("fewer than {count} messages came in time")));
            args.count.map_or(Ok(()), late)
        }),
        None => printing.await,
    };
    let _ = stop.send(true);
    let all = async { while links.join_next().await.is_some() {} };
    // Nothing depends on it any more: whoever is slow here is not waited for.
    let _ = tokio::time::timeout(super::FAREWELL, all).await;
    opened.close().await;
    ended
}

async fn attach(args: &SubscribeArgs, opened: &mut Opened, filter: &str) -> Result<Receiver, Failure> {
    let mut source = Source::builder().address(filter);
    // A name that a later run finds again, if something is to be found.
    let mut name = format!("sub-{:08x}", rand::random::<u32>());
    if opened.session_expiry > 0 {
        let policy = TerminusExpiryPolicy::LinkDetach;
        source =
            source.durable(TerminusDurability::UnsettledState).expiry_policy(policy).timeout(opened.session_expiry);
        name = format!("{}/{filter}", opened.container);
    }
    let (sender_settles, receiver_settles) = settling(args.qos);
    let attached = Receiver::builder()
        .name(name)
        .source(source.build())
        .sender_settle_mode(sender_settles)
        .receiver_settle_mode(receiver_settles)
        .properties([(Symbol::from(TOPICS_PROPERTY), Value::Bool(true))].into_iter().collect())
        .attach(&mut opened.session)
        .await;
    attached.map_err(|error| {
        Failure::Failed(format!("the broker refused the subscription {filter}: {}", receiving(&error)))
    })
}

/// One link: a message at a time, settled when it was printed.
async fn listen(
    at: usize,
    mut receiver: Receiver,
    tell: mpsc::Sender<Came>,
    mut stopped: watch::Receiver<bool>,
    is_kept: bool,
) {
    loop {
        let received: Result<Delivery<Body<Value>>, _> = tokio::select! {
            received = receiver.recv() => received,
            _ = stopped.changed() => break,
        };
        let (done, printed) = oneshot::channel();
        match received {
            Ok(delivery) => {
                let info = DeliveryInfo::from(&delivery);
                if tell.send((at, Ok(delivery.into_message()), done)).await.is_err() || printed.await.is_err() {
                    break;
                }
                if let Err(error) = receiver.accept(info).await {
                    let _ = tell.send((at, Err(disposing(&error)), oneshot::channel().0)).await;
                    break;
                }
            }
            Err(error) => {
                let _ = tell.send((at, Err(bridge::received(&error)), done)).await;
                break;
            }
        }
    }
    if is_kept {
        let _ = receiver.detach().await;
    } else {
        let _ = receiver.close().await;
    }
}

fn print(args: &SubscribeArgs, at: usize, message: &Message<Body<Value>>) -> Outcome {
    let to = || message.properties.as_ref()?.to.as_deref();
    let address = topic(message).or_else(to).unwrap_or(&args.filters[at]);
    let payload = payload(&message.body);
    if args.json {
        return output::json(&document(address, &payload, message));
    }
    let topic = if args.verbose { [address.as_bytes(), b" "].concat() } else { Vec::new() };
    output::bytes(&[&topic, &payload[..], b"\n"].concat())
}

/// The topic that a broker of ours says it is of.
fn topic(message: &Message<Body<Value>>) -> Option<&str> {
    message.delivery_annotations.as_ref()?.0.iter().find_map(|told| match told {
        (OwnedKey::Symbol(key), Value::String(topic)) if key.as_str() == TOPIC_ANNOTATION => Some(topic.as_str()),
        _ => None,
    })
}

/// Data and texts as they are, anything else in words.
fn payload(body: &Body<Value>) -> Vec<u8> {
    match body {
        Body::Data(parts) => parts.iter().flat_map(|part| part.0.to_vec()).collect(),
        Body::Value(value) => match &value.0 {
            Value::String(text) => text.clone().into_bytes(),
            Value::Binary(bytes) => bytes.to_vec(),
            other => format!("{other:?}").into_bytes(),
        },
        Body::Sequence(lists) => format!("{lists:?}").into_bytes(),
        Body::Empty => Vec::new(),
    }
}

/// A message as JSON: payload as text where it is text, else as base64.
fn document(address: &str, payload: &[u8], message: &Message<Body<Value>>) -> Json {
    let mut document = Map::new();
    let mut put = |key: &str, value: Json| document.insert(key.to_owned(), value);
    put("topic", address.into());
    match std::str::from_utf8(payload) {
        Ok(text) => put("payload", text.into()),
        Err(_) => put("payload_base64", BASE64_STANDARD.encode(payload).into()),
    };
    if let Some(header) = &message.header {
        put("durable", header.durable.into());
        put("delivery_count", header.delivery_count.into());
    }
    let mut properties = Map::new();
    let mut put = |key: &str, value: Option<Json>| value.map(|value| properties.insert(key.to_owned(), value));
    if let Some(said) = &message.properties {
        put("content_type", said.content_type.as_ref().map(|kind| kind.as_str().into()));
        put("response_topic", said.reply_to.clone().map(Json::from));
        put("correlation_data", said.correlation_id.as_ref().map(id));
    }
    let own = message.application_properties.iter().flat_map(|own| own.0.iter());
    let user: Vec<Json> = own
        .map(|(name, value)| match value {
            SimpleValue::String(text) => json!([name, text]),
            other => json!([name, format!("{other:?}")]),
        })
        .collect();
    put("user", (!user.is_empty()).then_some(user.into()));
    if !properties.is_empty() {
        document.insert("properties".to_owned(), properties.into());
    }
    document.into()
}

fn id(id: &MessageId) -> Json {
    match id {
        MessageId::String(text) => text.clone().into(),
        MessageId::Binary(bytes) => String::from_utf8_lossy(bytes).into(),
        MessageId::Ulong(number) => (*number).into(),
        MessageId::Uuid(uuid) => format!("{uuid:?}").into(),
    }
}
