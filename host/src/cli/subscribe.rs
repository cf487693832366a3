//! `pliant sub`: print what arrives.

use super::connect::{ConnectArgs, qos};
use super::publish::goodbye;
use super::tunnel::Tunnel;
use super::{Failure, Outcome, amqp, output};
use crate::topic::{self, Limits};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use clap::Args;
use rumqttc::v5::mqttbytes::v5::{
    DisconnectReasonCode, Filter, Packet, Publish, RetainForwardRule, SubAck, SubscribeReasonCode,
};
use rumqttc::v5::{AsyncClient, ConnectionError, Event, EventLoop};
use serde_json::{Map, Value as Json, json};
use std::time::Duration;

/// Longest wait before a connection is made again, in seconds.
const WAIT_SECONDS_MAX: u64 = 30;

#[derive(Debug, Clone, Args)]
pub(crate) struct SubscribeArgs {
    /// Topic filters
    #[arg(required = true, value_name = "FILTER")]
    pub(super) filters: Vec<String>,
    /// Quality of service
    #[arg(long, short, value_name = "0|1|2", default_value_t = 2, value_parser = clap::value_parser!(u8).range(0..=2))]
    pub(super) qos: u8,
    /// End after so many messages
    #[arg(long, short, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub(super) count: Option<u64>,
    /// End after so many seconds; with --count that is a failure
    #[arg(long, value_name = "SECONDS")]
    pub(super) timeout: Option<u64>,
    /// Leave out what was retained before
    #[arg(long)]
    pub(super) no_retained: bool,
    /// Print the topic before the payload
    #[arg(long, short)]
    pub(super) verbose: bool,
    /// Print each message as one JSON document a line
    #[arg(long, conflicts_with = "verbose")]
    pub(super) json: bool,
    #[command(flatten)]
    pub(super) connect: ConnectArgs,
}

pub(crate) fn run(args: &SubscribeArgs) -> Outcome {
    for filter in &args.filters {
        let checked = topic::Filter::new(filter, &Limits::default());
        checked.map_err(|error| Failure::Usage(format!("{filter:?}: {error}")))?;
    }
    if args.connect.is_amqp() {
        return amqp::subscribe(args);
    }
    let (options, tunnel) = args.connect.link()?;
    let (client, mut events) = AsyncClient::new(options, 16);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(Failure::failed)?;
    runtime.block_on(async {
        tunnel.as_ref().map_or(Ok(()), Tunnel::open)?;
        let mut seen = 0;
        let receiving = receive(args, &client, &mut events, tunnel.as_ref(), &mut seen);
        let ended = match args.timeout {
            Some(seconds) => tokio::time::timeout(Duration::from_secs(seconds), receiving).await,
            None => Ok(receiving.await),
        };
        match (ended, args.count) {
            (Ok(Err(failure)), _) => return Err(failure),
            (Err(_), Some(count)) => {
                return Err(Failure::Failed(format!("{seen} of {count} messages came in time")));
            }
            _ => {}
        }
        goodbye(&client, &mut events).await;
        drop(events);
        if let Some(tunnel) = &tunnel {
            tunnel.finish().await;
        }
        Ok(())
    })
}

/// Prints what comes. A connection that was there and breaks is made again, after a wait that grows.
async fn receive(
    args: &SubscribeArgs,
    client: &AsyncClient,
    events: &mut EventLoop,
    tunnel: Option<&Tunnel>,
    seen: &mut u64,
) -> Outcome {
    let filters: Vec<_> = args.filters.iter().map(|filter| args.filter(filter)).collect();
    // None: it was never there.
    let mut wait = None;
    loop {
        let event = match (events.poll().await, wait) {
            (Ok(event), _) => event,
            (Err(error @ ConnectionError::ConnectionRefused(_)), _) | (Err(error), None) => {
                return Err(args.connect.broken(tunnel, &error, wait.is_some()));
            }
            (Err(error), Some(seconds)) => {
                if let Failure::Failed(reason) = args.connect.broken(tunnel, &error, true) {
                    eprintln!("{reason}; connecting again in {seconds} s");
                }
                tokio::time::sleep(Duration::from_secs(seconds)).await;
                wait = Some((2 * seconds).min(WAIT_SECONDS_MAX));
                continue;
            }
        };
        match event {
            Event::Incoming(Packet::ConnAck(_)) => {
                wait = Some(1);
                client.try_subscribe_many(filters.clone()).map_err(Failure::failed)?;
            }
            Event::Incoming(Packet::SubAck(answer)) => args.granted(&answer)?,
            Event::Incoming(Packet::Publish(message)) => {
                args.print(&message)?;
                *seen += 1;
                if args.count == Some(*seen) {
                    return Ok(());
                }
            }
            Event::Incoming(Packet::Disconnect(farewell)) if comes_back(farewell.reason_code) => {}
            Event::Incoming(Packet::Disconnect(farewell)) => {
                return Err(Failure::Failed(format!("the broker ended the connection: {:?}", farewell.reason_code)));
            }
            _ => {}
        }
    }
}

/// Whether the broker, or another one in its place, will be there for this client again.
fn comes_back(reason: DisconnectReasonCode) -> bool {
    use DisconnectReasonCode as Reason;
    matches!(reason, Reason::ServerShuttingDown | Reason::ServerBusy | Reason::KeepAliveTimeout)
}

impl SubscribeArgs {
    fn filter(&self, path: &str) -> Filter {
        let mut filter = Filter::new(path, qos(self.qos));
        filter.preserve_retain = true;
        if self.no_retained {
            filter.retain_forward_rule = RetainForwardRule::Never;
        }
        filter
    }

    fn granted(&self, answer: &SubAck) -> Outcome {
        for (filter, code) in self.filters.iter().zip(&answer.return_codes) {
            if !matches!(code, SubscribeReasonCode::Success(_)) {
                return Err(Failure::Failed(format!("the broker refused the subscription {filter}: {code:?}")));
            }
        }
        Ok(())
    }

    fn print(&self, message: &Publish) -> Outcome {
        if self.json {
            return output::json(&document(message));
        }
        let topic = if self.verbose { [&message.topic[..], b" "].concat() } else { Vec::new() };
        output::bytes(&[&topic, &message.payload[..], b"\n"].concat())
    }
}

/// A message as JSON: payload as text where it is text, else as base64.
fn document(message: &Publish) -> Json {
    let mut document = Map::new();
    let mut put = |key: &str, value: Json| document.insert(key.to_owned(), value);
    put("topic", String::from_utf8_lossy(&message.topic).into());
    put("qos", (message.qos as u8).into());
    put("retain", message.retain.into());
    match std::str::from_utf8(&message.payload) {
        Ok(text) => put("payload", text.into()),
        Err(_) => put("payload_base64", BASE64_STANDARD.encode(&message.payload).into()),
    };
    let Some(said) = &message.properties else { return document.into() };
    let mut properties = Map::new();
    let mut put = |key: &str, value: Option<Json>| value.map(|value| properties.insert(key.to_owned(), value));
    put("content_type", said.content_type.clone().map(Json::from));
    put("payload_is_text", said.payload_format_indicator.map(|format| Json::from(format == 1)));
    put("expiry_seconds", said.message_expiry_interval.map(Json::from));
    put("response_topic", said.response_topic.clone().map(Json::from));
    if let Some(data) = &said.correlation_data {
        match std::str::from_utf8(data) {
            Ok(text) => put("correlation_data", Some(text.into())),
            Err(_) => put("correlation_data_base64", Some(BASE64_STANDARD.encode(data).into())),
        };
    }
    put("user", (!said.user_properties.is_empty()).then(|| json!(said.user_properties)));
    if !properties.is_empty() {
        document.insert("properties".to_owned(), properties.into());
    }
    document.into()
}
