//! `pliant sub`: print what arrives.

use super::connect::{ConnectArgs, qos, words};
use super::mqtt::{Connection, FAREWELL};
use super::tunnel::Tunnel;
use super::{Failure, Outcome, amqp, output, plain};
use crate::topic::{self, Limits};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use clap::Args;
use rumqttc::v5::mqttbytes::QoS;
use rumqttc::v5::mqttbytes::v5::{
    DisconnectReasonCode, Filter, Packet, PubAck, PubComp, PubRec, Publish, RetainForwardRule, SubAck, Subscribe,
    SubscribeReasonCode,
};
use rumqttc::v5::{ConnectionError, MqttOptions, StateError};
use serde_json::{Map, Value as Json, json};
use std::collections::HashSet;
use std::time::Duration;

/// Longest wait before a connection is made again, in seconds.
const WAIT_SECONDS_MAX: u64 = 30;
/// Messages that may be on their way here without an acknowledgement.
const WINDOW: u16 = 1024;

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
    args.connect.check_session()?;
    if args.connect.is_amqp() {
        return amqp::subscribe(args);
    }
    let (options, tunnel) = args.connect.link()?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(Failure::failed)?;
    runtime.block_on(async {
        tunnel.as_ref().map_or(Ok(()), Tunnel::open)?;
        let mut receiving =
            Receiving { args, options, tunnel: tunnel.as_ref(), connection: None, seen: 0, unreleased: HashSet::new() };
        let ended = match args.timeout {
            Some(seconds) => tokio::time::timeout(Duration::from_secs(seconds), receiving.run()).await,
            None => Ok(receiving.run().await),
        };
        // Whoever is slow here is not waited for: a later run answers what comes then.
        let _ = tokio::time::timeout(FAREWELL, receiving.release()).await;
        if let Some(connection) = receiving.connection.take() {
            connection.finish().await;
            if let Some(tunnel) = &tunnel {
                tunnel.finish().await;
            }
        }
        match (ended, args.count) {
            (Ok(outcome), _) => outcome,
            (Err(_), Some(count)) => {
                Err(Failure::Failed(format!("{} of {count} messages came in time", receiving.seen)))
            }
            (Err(_), None) => Ok(()),
        }
    })
}

/// What is received, and what is still owed for it.
struct Receiving<'a> {
    args: &'a SubscribeArgs,
    options: MqttOptions,
    tunnel: Option<&'a Tunnel>,
    connection: Option<Connection>,
    /// Messages printed.
    seen: u64,
    /// Identifiers of exactly-once messages that were printed and are not yet released: what comes under them was printed.
    unreleased: HashSet<u16>,
}

/// Why nothing more comes on a connection.
enum End {
    Lost(ConnectionError),
    Failed(Failure),
}

impl From<ConnectionError> for End {
    fn from(error: ConnectionError) -> Self {
        Self::Lost(error)
    }
}

impl From<Failure> for End {
    fn from(failure: Failure) -> Self {
        Self::Failed(failure)
    }
}

impl Receiving<'_> {
    /// Prints what comes. A connection that was there and breaks is made again, after a wait that grows.
    async fn run(&mut self) -> Outcome {
        // None: it was never there.
        let mut wait = None;
        loop {
            let error = match self.open().await {
                Ok(()) => {
                    wait = Some(1);
                    match self.listen().await {
                        Ok(()) => return Ok(()),
                        Err(End::Failed(failure)) => return Err(failure),
                        Err(End::Lost(error)) => error,
                    }
                }
                Err(error) => error,
            };
            self.connection = None;
            let broken = self.args.connect.broken(self.tunnel, &error, wait.is_some());
            let (Some(seconds), Failure::Failed(reason)) = (wait, &broken) else { return Err(broken) };
            if matches!(error, ConnectionError::ConnectionRefused(_)) {
                return Err(broken);
            }
            eprintln!("{}; connecting again in {seconds} s", plain::lines(reason));
            tokio::time::sleep(Duration::from_secs(seconds)).await;
            wait = Some((2 * seconds).min(WAIT_SECONDS_MAX));
        }
    }

    /// Connects and subscribes. No more is on its way here than is wanted.
    async fn open(&mut self) -> Result<(), ConnectionError> {
        let wanted = self.args.count.map_or(u64::MAX, |count| count - self.seen);
        self.options.set_receive_maximum(Some(u16::try_from(wanted).unwrap_or(WINDOW).min(WINDOW)));
        let (mut connection, answer) = Connection::open(&self.options).await?;
        if !answer.session_present {
            self.unreleased.clear();
        }
        let filters = self.args.filters.iter().map(|filter| self.args.filter(filter));
        let mut subscribe = Subscribe::new_many(filters, None);
        subscribe.pkid = 1;
        connection.say(&Packet::Subscribe(subscribe))?;
        self.connection = Some(connection);
        Ok(())
    }

    async fn listen(&mut self) -> Result<(), End> {
        while let Some(connection) = &mut self.connection {
            match connection.next().await? {
                Packet::Publish(message) => {
                    self.take(&message)?;
                    if self.args.count == Some(self.seen) {
                        break;
                    }
                }
                // It may be of a run before this one.
                Packet::PubRel(release) => {
                    self.unreleased.remove(&release.pkid);
                    connection.say(&Packet::PubComp(PubComp::new(release.pkid, None)))?;
                }
                Packet::SubAck(answer) => self.args.granted(&answer)?,
                Packet::Disconnect(farewell) if comes_back(farewell.reason_code) => {
                    let reason_string = farewell.properties.and_then(|said| said.reason_string);
                    let lost = StateError::ServerDisconnect { reason_code: farewell.reason_code, reason_string };
                    return Err(ConnectionError::from(lost).into());
                }
                Packet::Disconnect(farewell) => {
                    let reason = format!("the broker ended the connection: {}", words(farewell.reason_code, None));
                    return Err(Failure::Failed(reason).into());
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// Waits until what was printed is released. What comes meanwhile is left to a later run.
    async fn release(&mut self) {
        while let (Some(connection), false) = (&mut self.connection, self.unreleased.is_empty()) {
            match connection.next().await {
                Ok(Packet::PubRel(release)) => {
                    self.unreleased.remove(&release.pkid);
                    if connection.say(&Packet::PubComp(PubComp::new(release.pkid, None))).is_err() {
                        return;
                    }
                }
                Ok(_) => {}
                Err(_) => return,
            }
        }
    }

    /// Prints a message and then acknowledges it.
    fn take(&mut self, message: &Publish) -> Result<(), End> {
        let comes_again = message.qos == QoS::ExactlyOnce && self.unreleased.contains(&message.pkid);
        if !comes_again {
            self.args.print(message)?;
            self.seen += 1;
        }
        let answer = match message.qos {
            QoS::AtMostOnce => return Ok(()),
            QoS::AtLeastOnce => Packet::PubAck(PubAck::new(message.pkid, None)),
            QoS::ExactlyOnce => {
                self.unreleased.insert(message.pkid);
                Packet::PubRec(PubRec::new(message.pkid, None))
            }
        };
        if let Some(connection) = &mut self.connection {
            connection.say(&answer)?;
        }
        Ok(())
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
                return Err(Failure::Failed(format!(
                    "the broker refused the subscription {filter}: {}",
                    words(code, None)
                )));
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
